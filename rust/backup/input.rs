// SPDX-License-Identifier: GPL-2.0

//! The bytes that a client has sent, in whatever order they came.

use crate::{
    flow::assembly::Assembly,
    node::Node,
    wire::record::MAX_DATA, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// A run of bytes.
struct Chunk {
    offset: u64,
    bytes: KVec<u8>,
}

impl Chunk {
    fn end(&self) -> u64 {
        // CAST: Widening.
        self.offset + self.bytes.len() as u64
    }
}

/// The input of a connection.
///
/// # Invariants
///
/// `chunks` are in the order of their offsets; they may overlap. `node.replica_bytes` has been
/// charged with `charged` bytes.
pub(crate) struct Input {
    node: Arc<Node>,
    assembly: Assembly,
    chunks: KVec<Chunk>,
    /// The offset of the FIN, once it came.
    fin: Option<u64>,
    charged: u64,
}

impl Input {
    /// Creates the input of a connection whose client has sent nothing but a SYN.
    pub(crate) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: node.clone(),
            assembly: Assembly::new(1),
            chunks: KVec::new(),
            fin: None,
            charged: 0,
        }
    }

    /// Returns the end of what is there without a gap; a FIN counts as one.
    pub(crate) fn end(&self) -> u64 {
        self.assembly.next()
    }

    /// Adds `bytes` at `offset`, and the FIN behind them. Does not sleep.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if a limit is reached, `ENOMEM`. What was there stays.
    pub(crate) fn add(&mut self, offset: u64, bytes: &[u8], fin: bool) -> Result {
        // CAST: Widening.
        let end = offset + bytes.len() as u64 + u64::from(fin);
        let held = self.end();
        // What came behind a gap comes again with each retransmission.
        if self.assembly.has(offset, end) {
            return Ok(());
        }
        // CAST: Less than the length of `bytes`, plus the FIN.
        let known = held.saturating_sub(offset) as usize;
        let new = bytes.get(known..).unwrap_or_default();
        let mut assembly = self.assembly;
        if assembly.add(offset, end).is_err() {
            // It is not confirmed either, so the client sends it again.
            return Ok(());
        }
        self.charge(new.len())?;
        self.store(offset.max(held), new)?;
        self.assembly = assembly;
        if fin {
            self.fin = Some(end - 1);
        }
        Ok(())
    }

    /// Returns up to `max` bytes at `offset`, and whether the FIN follows them.
    ///
    /// There are none only where the FIN stands, or nothing yet.
    pub(crate) fn at(&self, offset: u64, max: u64) -> (&[u8], bool) {
        let max = max.min(MAX_DATA as u64);
        let bytes = self.run_at(offset);
        // CAST: At most `MAX_DATA`.
        let bytes = bytes.get(..max as usize).unwrap_or(bytes);
        // CAST: Widening.
        let end = offset + bytes.len() as u64;
        (bytes, self.fin == Some(end) && (bytes.len() as u64) < max)
    }

    /// Returns what one chunk has at `offset` and behind it, as far as there is no gap.
    fn run_at(&self, offset: u64) -> &[u8] {
        let after = self.chunks.partition_point(|chunk| chunk.offset <= offset);
        let before = self.chunks.get(..after).unwrap_or_default();
        let Some(chunk) = before.iter().rev().find(|chunk| chunk.end() > offset) else {
            return &[];
        };
        // CAST: Less than the length of the chunk.
        chunk
            .bytes
            .get((offset - chunk.offset) as usize..)
            .unwrap_or_default()
    }

    fn charge(&mut self, len: usize) -> Result {
        // CAST: Widening.
        let len = len as u64;
        let limits = &self.node.limits;
        let own = self.charged + len;
        let all = self.node.replica_bytes.load(Relaxed) + len;
        if own > limits.max_log_bytes_per_connection.load(Relaxed)
            || all > limits.max_log_bytes.load(Relaxed)
        {
            return Err(ENOBUFS);
        }
        self.node.replica_bytes.add(len, Relaxed);
        self.charged = own;
        Ok(())
    }

    fn store(&mut self, offset: u64, bytes: &[u8]) -> Result {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(last) = self.chunks.last_mut() {
            if last.end() == offset && last.bytes.len() + bytes.len() <= MAX_DATA {
                last.bytes.extend_from_slice(bytes, GFP_ATOMIC)?;
                return Ok(());
            }
        }
        let mut copy = KVec::with_capacity(bytes.len(), GFP_ATOMIC)?;
        copy.extend_from_slice(bytes, GFP_ATOMIC)?;
        let at = self.chunks.partition_point(|chunk| chunk.offset <= offset);
        self.chunks.reserve(1, GFP_ATOMIC)?;
        let chunk = Chunk {
            offset,
            bytes: copy,
        };
        self.chunks
            .insert_within_capacity(at, chunk)
            .map_err(|_| ENOMEM)?;
        Ok(())
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.node.replica_bytes.fetch_sub(self.charged, Relaxed);
    }
}
