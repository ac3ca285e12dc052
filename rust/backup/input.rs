// SPDX-License-Identifier: GPL-2.0

//! The bytes that a client has sent, within the limits.

use crate::{
    flow::assembly::{
        Assembly,
        Source, //
    },
    node::Node, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// The input of a connection.
///
/// # Invariants
///
/// `node.replica_bytes` has been charged with the stream's size.
pub(crate) struct Input {
    node: Arc<Node>,
    stream: Assembly,
    /// Whether it may be done without: the other ones have precedence.
    is_copy: bool,
}

impl Input {
    /// Creates the input of a connection whose client has sent nothing but a SYN.
    pub(crate) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: node.clone(),
            stream: Assembly::new(1),
            is_copy: false,
        }
    }

    /// Returns the same as something that may be done without, as others hold it, too.
    pub(crate) fn into_copy(mut self) -> Self {
        self.is_copy = true;
        self
    }

    /// Returns the end of what is there without a gap; a FIN counts as one.
    pub(crate) fn end(&self) -> u64 {
        self.stream.next()
    }

    /// Returns how much memory it takes, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.stream.size()
    }

    /// Returns whether all of it is there, to the FIN.
    pub(crate) fn has_ended(&self) -> bool {
        self.stream.has_ended()
    }

    /// Adds `bytes` at `offset`, and the FIN behind them. Does not sleep.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if a limit is reached, `ENOMEM`. What was there stays.
    pub(crate) fn add(&mut self, offset: u64, bytes: &dyn Source, fin: bool) -> Result {
        let before = self.stream.size();
        let limits = &self.node.limits;
        let own = limits.max_log_bytes_per_connection.load(Relaxed);
        // Copies leave half of it to what is held for the peer.
        let all = limits.max_log_bytes.load(Relaxed) >> u32::from(self.is_copy);
        let room = own
            .saturating_sub(before)
            .min(all.saturating_sub(self.node.replica_bytes.load(Relaxed)));
        let for_all = room < own.saturating_sub(before);
        let added = self
            .stream
            .add(offset, bytes, fin, room)
            .inspect_err(|e| limits.reached.note_refused(*e, for_all));
        // What the piece has replaced may have been more.
        let change = self.stream.size().wrapping_sub(before);
        self.node.replica_bytes.add(change, Relaxed);
        added
    }

    /// Returns up to `max` bytes at `offset`, and whether the FIN follows them.
    ///
    /// There are none only where the FIN stands, or nothing yet.
    pub(crate) fn at(&self, offset: u64, max: u64) -> (&[u8], bool) {
        self.stream.at(offset, max)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.node
            .replica_bytes
            .fetch_sub(self.stream.size(), Relaxed);
    }
}
