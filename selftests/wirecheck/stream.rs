// SPDX-License-Identifier: GPL-2.0

//! One direction of a connection: turns sequence numbers into positions that do not wrap.

use crate::packet::Seq;

/// One direction of a connection.
///
/// Position 0 is the SYN, position 1 the first byte of the payload; they are 64 bit wide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    /// The sequence number at position `high`.
    edge: Seq,
    /// One past the highest position that was sent.
    pub(crate) high: i64,
    /// The highest acknowledgement of the other side.
    pub(crate) acked: i64,
    /// Where the FIN stands.
    pub(crate) fin: Option<i64>,
}

impl Stream {
    /// A stream whose SYN has the sequence number `isn`.
    pub(crate) fn new(isn: Seq) -> Self {
        Self {
            edge: isn.add(1),
            high: 1,
            acked: 0,
            fin: None,
        }
    }

    /// The position of a sequence or acknowledgement number.
    pub(crate) fn position(&self, seq: Seq) -> i64 {
        self.high + seq.beyond(self.edge)
    }

    /// Something was sent that ends before `end`; returns how many positions of it are new.
    pub(crate) fn sent(&mut self, end: i64) -> i64 {
        let new = (end - self.high).max(0);
        // CAST: a segment ends less than 2^31 after the highest position, see `Seq::beyond()`.
        self.edge = self.edge.add(new as u32);
        self.high += new;
        new
    }

    /// Whether it has ended, and the other side knows.
    pub(crate) fn is_over(&self) -> bool {
        self.fin.is_some_and(|fin| self.acked > fin)
    }

    /// The other side acknowledged everything before `position`; returns how much of it is new.
    pub(crate) fn acknowledged(&mut self, position: i64) -> i64 {
        let new = (position - self.acked).max(0);
        self.acked += new;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_do_not_wrap() {
        let mut stream = Stream::new(Seq(u32::MAX - 1));
        let mut seq = Seq(u32::MAX);
        for step in 0..10 {
            assert_eq!(stream.position(seq), 1 + step * 0x4000_0000);
            seq = seq.add(0x4000_0000);
            assert_eq!(stream.sent(1 + (step + 1) * 0x4000_0000), 0x4000_0000);
        }
        assert_eq!(stream.position(seq.add(u32::MAX)), 10 * 0x4000_0000);
        assert_eq!(stream.sent(5), 0);
    }
}
