// SPDX-License-Identifier: GPL-2.0

//! A stream put together from pieces that need not come in order.
//!
//! Where pieces overlap with different bytes, those count that the kernel's own queue for what is
//! out of order would show: see `tcp_data_queue_ofo()` in
//! [`net/ipv4/tcp_input.c`](srctree/net/ipv4/tcp_input.c).

use core::mem;
use kernel::prelude::*;

/// How long a run of bytes grows by appending, in bytes.
const MAX_CHUNK: usize = 16 << 10;
/// What a run of bytes costs beside them, in bytes, roughly.
const CHUNK_COST: u64 = 64;
/// How many runs that nothing will be put in front of are set aside together: what they are kept in then
/// fits into a page. Random tests get that far with fewer.
const SEALED: usize = if cfg!(test) { 4 } else { 128 };
/// How many others there may be: 64 MiB of a stream behind a gap, and no more than can be moved in
/// a moment, as what a client sends decides of it.
const MAX_OPEN: usize = 4096;

/// Where bytes are copied from.
pub(crate) trait Source {
    /// Returns how many there are.
    fn len(&self) -> usize;

    /// Appends `len` of them, from number `from` on, to `out`, which has room for them.
    ///
    /// # Errors
    ///
    /// `EFAULT` if there are not as many, `ENOSPC` if there is no room. `out` is as it was then.
    fn append_to(&self, from: usize, len: usize, out: &mut KVec<u8>) -> Result;
}

impl Source for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn append_to(&self, from: usize, len: usize, out: &mut KVec<u8>) -> Result {
        let bytes = self.get(from..).and_then(|rest| rest.get(..len));
        out.extend_from_slice(bytes.ok_or(EFAULT)?, GFP_ATOMIC)?;
        Ok(())
    }
}

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

/// A stream, as far as it is there.
///
/// # Invariants
///
/// The chunks of `sealed`, and behind them those of `open`, are in the order of their offsets and of their
/// ends: they may overlap, but none lies within another. Each of `sealed` has some, all of which end at
/// `next` or before; there are no more than [`MAX_OPEN`] in `open`. `next` is the end of what is there
/// without a gap, and behind the FIN if that is all. `size` is what all of them cost.
pub(crate) struct Assembly {
    sealed: KVec<KVec<Chunk>>,
    open: KVec<Chunk>,
    next: u64,
    /// The offset of the FIN, once it came.
    fin: Option<u64>,
    size: u64,
}

impl Assembly {
    /// Creates the stream whose first byte has offset `next`.
    pub(crate) const fn new(next: u64) -> Self {
        Self {
            sealed: KVec::new(),
            open: KVec::new(),
            next,
            fin: None,
            size: 0,
        }
    }

    /// Returns the first offset that is not there. The FIN counts as one.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Returns whether all of the stream is there, to its FIN.
    pub(crate) fn has_ended(&self) -> bool {
        self.fin.is_some_and(|fin| fin < self.next)
    }

    /// Returns how much memory the stream takes, in bytes.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Adds `bytes` at `offset`, and the FIN behind them, if that costs no more than `room`. Does
    /// not sleep.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if there is no such room, or too much in pieces behind a gap, `ENOMEM`. What was there
    /// stays, and of what is added a part may be there.
    pub(crate) fn add(&mut self, offset: u64, bytes: &dyn Source, fin: bool, room: u64) -> Result {
        // CAST: Widening.
        let end = offset + bytes.len() as u64;
        // CAST: What is longer than `bytes` leaves nothing of them.
        let mut from = self.next.saturating_sub(offset).min(bytes.len() as u64) as usize;
        // No more than a chunk at a time, as memory comes in small pieces.
        let limit = self.size.saturating_add(room);
        let mut stored = Ok(());
        while from < bytes.len() && stored.is_ok() {
            let count = (bytes.len() - from).min(MAX_CHUNK);
            let room = limit.saturating_sub(self.size);
            // CAST: Widening.
            stored = self.store(offset + from as u64, bytes, (from, count), room);
            from += count;
        }
        if stored.is_ok() && fin && end >= self.next {
            self.fin = self.fin.or(Some(end));
        }
        self.advance();
        self.seal();
        stored
    }

    /// Stores at `offset` as many bytes as are told, from that number on, of `source`.
    fn store(
        &mut self,
        offset: u64,
        source: &dyn Source,
        (from, count): (usize, usize),
        room: u64,
    ) -> Result {
        // CAST: Widening.
        let len = count as u64;
        let end = offset + len;
        let is_within = |chunk: &Chunk| chunk.offset <= offset && end <= chunk.end();
        let at = self.open.partition_point(|chunk| chunk.offset < offset);
        if self.open.get(at).is_some_and(is_within) {
            return Ok(());
        }
        let before = match at.checked_sub(1) {
            Some(i) => self.open.get_mut(i),
            None => self.sealed.last_mut().and_then(|run| run.last_mut()),
        };
        if before.as_deref().is_some_and(is_within) {
            return Ok(());
        }
        if len + CHUNK_COST > room {
            return Err(ENOBUFS);
        }
        match before {
            Some(last) if last.end() == offset && last.bytes.len() + count <= MAX_CHUNK => {
                make_room(&mut last.bytes, count)?;
                source.append_to(from, count, &mut last.bytes)?;
                self.size += len;
                self.drop_within(at, end);
                return Ok(());
            }
            _ => {}
        }
        if self.count_within(at, end) == 0 {
            if self.open.len() == MAX_OPEN {
                return Err(ENOBUFS);
            }
            make_room(&mut self.open, 1)?;
        }
        let mut bytes = KVec::new();
        make_room(&mut bytes, count)?;
        source.append_to(from, count, &mut bytes)?;
        let chunk = Chunk { offset, bytes };
        self.drop_within(at, end);
        self.open
            .insert_within_capacity(at, chunk)
            .map_err(|_| ENOMEM)?;
        self.size += len + CHUNK_COST;
        Ok(())
    }

    /// Returns how many open chunks from number `at` on lie before `end`.
    fn count_within(&self, at: usize, end: u64) -> usize {
        let behind = self.open.get(at..).unwrap_or_default();
        behind.partition_point(|chunk| chunk.end() <= end)
    }

    /// Drops the open chunks from number `at` on that lie before `end`.
    fn drop_within(&mut self, at: usize, end: u64) {
        let count = self.count_within(at, end);
        let size = &mut self.size;
        take_out(&mut self.open, at, count, |chunk| {
            // CAST: Widening.
            *size -= chunk.bytes.len() as u64 + CHUNK_COST;
        });
    }

    /// Sets the first chunks aside if there are many that nothing will be put in front of. If there is no
    /// memory for that they stay where they are.
    fn seal(&mut self) {
        let done = self.open.partition_point(|chunk| chunk.end() <= self.next);
        if done < SEALED {
            return;
        }
        let mut run = KVec::new();
        if make_room(&mut self.sealed, 1).is_err() || make_room(&mut run, SEALED).is_err() {
            return;
        }
        take_out(&mut self.open, 0, SEALED, |chunk| {
            let _ = run.insert_within_capacity(run.len(), chunk);
        });
        let _ = self.sealed.insert_within_capacity(self.sealed.len(), run);
    }

    /// Moves `next` to the first gap.
    fn advance(&mut self) {
        // What is set aside may have grown at its end.
        if let Some(last) = self.sealed.last().and_then(|run| run.last()) {
            self.next = self.next.max(last.end());
        }
        let from = self.open.partition_point(|chunk| chunk.end() <= self.next);
        for chunk in self.open.get(from..).unwrap_or_default() {
            if chunk.offset > self.next {
                break;
            }
            self.next = chunk.end();
        }
        if self.fin == Some(self.next) {
            self.next += 1;
        }
    }

    /// Returns up to `max` bytes at `offset`, and whether the FIN follows them.
    ///
    /// There are none only where the FIN stands, or nothing yet.
    pub(crate) fn at(&self, offset: u64, max: u64) -> (&[u8], bool) {
        let bytes = self.run_at(offset);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let bytes = bytes.get(..max).unwrap_or(bytes);
        // CAST: Widening.
        let end = offset + bytes.len() as u64;
        (bytes, self.fin == Some(end) && bytes.len() < max)
    }

    /// Returns what one chunk has at `offset` and behind it.
    fn run_at(&self, offset: u64) -> &[u8] {
        let ends_before = |chunk: &Chunk| chunk.end() <= offset;
        let at = (self.sealed).partition_point(|run| run.last().is_some_and(ends_before));
        let run = self.sealed.get(at).unwrap_or(&self.open);
        let at = run.partition_point(ends_before);
        let Some(chunk) = run.get(at).filter(|chunk| chunk.offset <= offset) else {
            return &[];
        };
        // CAST: Less than the length of the chunk.
        chunk
            .bytes
            .get((offset - chunk.offset) as usize..)
            .unwrap_or_default()
    }
}

/// Makes room for `count` elements more. That there is no memory is no reason for a report in the log: what
/// clients send may bring it about, and it is counted.
fn make_room<T>(vec: &mut KVec<T>, count: usize) -> Result {
    vec.reserve(count, GFP_ATOMIC | __GFP_NOWARN)?;
    Ok(())
}

/// Takes `count` chunks from number `at` on out of `chunks`, at once, and gives each to `taken`.
fn take_out(chunks: &mut KVec<Chunk>, at: usize, count: usize, mut taken: impl FnMut(Chunk)) {
    if count == 0 {
        return;
    }
    let mut number = 0;
    chunks.retain(|chunk| {
        let stays = !(at..at + count).contains(&number);
        number += 1;
        if !stays {
            taken(Chunk {
                offset: chunk.offset,
                bytes: mem::take(&mut chunk.bytes),
            });
        }
        stays
    });
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_assembly))]
mod tests {
    use super::*;

    const ROOM: u64 = u64::MAX;

    #[test]
    fn in_order_is_in_order() {
        let mut a = Assembly::new(1);
        for (offset, bytes, next) in [(1, "abc", 4), (4, "d", 5), (5, "efgh", 9)] {
            assert!(a.add(offset, &bytes.as_bytes(), false, ROOM).is_ok());
            assert_eq!((a.next(), a.open.len()), (next, 1));
        }
        assert!(a.add(2, &&b"xxxxxxxij"[..], false, ROOM).is_ok());
        assert_eq!(a.at(1, 100), (&b"abcdefghij"[..], false));
        assert_eq!(a.at(4, 2), (&b"de"[..], false));
        assert_eq!(a.at(11, 2), (&b""[..], false));
        assert_eq!(a.size(), 10 + CHUNK_COST);
    }

    #[test]
    fn a_gap_closes_from_either_side() {
        let mut a = Assembly::new(1);
        assert!(a.add(11, &&[2; 10][..], false, ROOM).is_ok());
        assert!(a.add(31, &&[4; 10][..], false, ROOM).is_ok());
        assert_eq!((a.next(), a.open.len()), (1, 2));
        assert_eq!(a.at(1, 9).0.len() + a.at(21, 9).0.len(), 0);
        assert!(a.add(21, &&[3; 10][..], false, ROOM).is_ok());
        assert_eq!(a.next(), 1);
        assert!(a.add(1, &&[1; 11][..], false, ROOM).is_ok());
        assert_eq!(a.next(), 41);
        assert_eq!(
            (a.at(11, 1), a.at(12, 1)),
            ((&[1][..], false), (&[2][..], false))
        );
    }

    #[test]
    fn a_piece_swallows_those_within_it() {
        let mut a = Assembly::new(1);
        for offset in [10, 20, 30, 40] {
            assert!(a.add(offset, &&[1; 5][..], false, ROOM).is_ok());
        }
        assert!(a.add(10, &&[2; 23][..], false, ROOM).is_ok());
        assert_eq!((a.open.len(), a.size()), (3, 33 + 3 * CHUNK_COST));
        assert!(a.add(12, &&[3; 5][..], false, ROOM).is_ok());
        assert_eq!((a.open.len(), a.at(12, 1).0), (3, &[2][..]));
        assert!(a.add(1, &&[4; 49][..], false, ROOM).is_ok());
        assert_eq!((a.next(), a.open.len(), a.size()), (50, 1, 49 + CHUNK_COST));
    }

    /// The same byte again and again: a stack has no room for as many.
    struct Repeated(u8, usize);

    impl Source for Repeated {
        fn len(&self) -> usize {
            self.1
        }

        fn append_to(&self, _from: usize, len: usize, out: &mut KVec<u8>) -> Result {
            for _ in 0..len {
                out.extend_from_slice(&[self.0], GFP_ATOMIC)?;
            }
            Ok(())
        }
    }

    #[test]
    fn a_long_stream_is_set_aside() {
        const LEN: u64 = MAX_CHUNK as u64 - 1;
        const COUNT: u64 = 2 * SEALED as u64;
        let mut a = Assembly::new(0);
        // The first piece comes last.
        for i in (0..COUNT).rev() {
            let bytes = Repeated(i as u8, LEN as usize);
            assert!(a.add(i * LEN, &bytes, false, ROOM).is_ok());
        }
        assert_eq!((a.sealed.len(), a.open.len()), (1, SEALED));
        assert!(a.add(a.next(), &&b"end"[..], true, ROOM).is_ok());
        assert_eq!((a.sealed.len(), a.open.len()), (2, 1));
        for i in 0..COUNT {
            let (bytes, fin) = a.at(i * LEN, ROOM);
            assert!(bytes.len() as u64 == LEN && bytes.ends_with(&[i as u8]) && !fin);
        }
        assert_eq!(a.at(a.next() - 4, ROOM), (&b"end"[..], true));
        assert_eq!(a.size(), COUNT * (LEN + CHUNK_COST) + 3 + CHUNK_COST);
    }

    #[test]
    fn what_was_set_aside_grows_at_its_end() {
        let mut a = Assembly::new(0);
        for i in (0..SEALED as u64).rev() {
            assert!(a.add(i, &&[i as u8][..], false, ROOM).is_ok());
        }
        assert_eq!((a.sealed.len(), a.open.len()), (1, 0));
        assert!(a.add(SEALED as u64, &&b"more"[..], false, ROOM).is_ok());
        assert_eq!((a.sealed.len(), a.open.len()), (1, 0));
        assert_eq!(a.next(), SEALED as u64 + 4);
        assert_eq!(a.at(SEALED as u64, ROOM).0, b"more");
        assert_eq!(a.at(SEALED as u64 - 1, ROOM).0.len(), 5);
    }

    #[test]
    fn pieces_behind_gaps_are_bounded() {
        let mut a = Assembly::new(0);
        let mut end = 0;
        while a.add(end + 1, &&b"x"[..], false, ROOM).is_ok() {
            end += 2;
        }
        assert_eq!((a.open.len(), end), (MAX_OPEN, 2 * MAX_OPEN as u64));
        assert_eq!(a.size(), MAX_OPEN as u64 * (1 + CHUNK_COST));
        // One piece takes the place of all of them.
        assert!(a.add(0, &Repeated(0, end as usize), false, ROOM).is_ok());
        assert_eq!((a.next(), a.open.len()), (end, 1));
        assert_eq!(a.size(), end + CHUNK_COST);
    }

    #[test]
    fn what_begins_where_another_does_and_is_no_longer_brings_nothing() {
        let mut a = Assembly::new(0);
        assert!(a.add(20, &&[2; 20][..], false, ROOM).is_ok());
        assert!(a.add(10, &&[1; 10][..], false, ROOM).is_ok());
        assert!(a.add(20, &&[3; 10][..], false, ROOM).is_ok());
        assert!(a.add(0, &&[0; 10][..], false, ROOM).is_ok());
        assert_eq!(a.at(20, 1).0, &[2]);
    }

    #[test]
    fn the_fin_counts_when_it_is_reached() {
        let mut a = Assembly::new(1);
        assert!(a.add(3, &&b"cd"[..], true, ROOM).is_ok());
        assert_eq!(a.next(), 1);
        assert!(a.add(1, &&b"ab"[..], false, ROOM).is_ok());
        assert_eq!(a.next(), 6);
        assert_eq!(a.at(3, 9), (&b"cd"[..], true));
        assert_eq!(a.at(3, 2), (&b"cd"[..], false));
        assert_eq!(a.at(5, 1), (&b""[..], true));
        let mut bare = Assembly::new(1);
        assert!(bare.add(1, &&b""[..], true, 0).is_ok());
        assert_eq!((bare.next(), bare.at(1, 1)), (2, (&b""[..], true)));
    }

    #[test]
    fn without_room_nothing_changes() {
        let mut a = Assembly::new(1);
        assert!(a.add(5, &&b"efgh"[..], false, ROOM).is_ok());
        assert!(a.add(1, &&b"abcd"[..], true, 4 + CHUNK_COST - 1).is_err());
        assert_eq!((a.next(), a.fin, a.size()), (1, None, 4 + CHUNK_COST));
        assert!(a.add(6, &&b"fg"[..], false, 0).is_ok());
        assert!(a.add(1, &&b"abcd"[..], false, 4 + CHUNK_COST).is_ok());
        assert_eq!(a.next(), 9);
    }
}
