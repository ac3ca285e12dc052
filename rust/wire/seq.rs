// SPDX-License-Identifier: GPL-2.0

//! TCP sequence numbers and the stream offsets behind them.
//!
//! A sequence number is 32 bits and wraps; a stream offset is 64 bits and does not. Offset 0 is
//! the SYN, offset 1 the first byte of the stream, and the FIN takes one offset after the last
//! byte (RFC 9293, section 3.4).

/// A TCP sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seq(u32);

impl Seq {
    /// Creates a sequence number from its value in host byte order.
    pub(crate) const fn new(value: u32) -> Self {
        Self(value)
    }

    /// Returns the value in host byte order.
    pub(crate) const fn raw(self) -> u32 {
        self.0
    }

    /// Returns the sequence number `n` further on, modulo 2^32.
    pub(crate) const fn add(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// Returns the sequence number of stream offset `offset` in the stream that begins at `self`.
    pub(crate) const fn at(self, offset: u64) -> Self {
        // CAST: Truncation is what a sequence number is: the offset modulo 2^32.
        self.add(offset as u32)
    }

    /// Returns the stream offset of `self` in the stream that begins at `isn`: of all offsets
    /// that have this sequence number, the one nearest to `near`.
    ///
    /// Returns [`None`] for a sequence number before the beginning of the stream.
    pub(crate) const fn offset(self, isn: Seq, near: u64) -> Option<u64> {
        let delta = self.distance_from(isn.at(near));
        // CAST: Widening.
        near.checked_add_signed(delta as i64)
    }

    /// Returns whether `self` lies before `other`, modulo 2^32.
    pub(crate) const fn is_before(self, other: Self) -> bool {
        self.distance_from(other) < 0
    }

    /// Returns whether `self` lies after `other`, modulo 2^32.
    pub(crate) const fn is_after(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }

    /// Returns how far `self` lies after `other`; negative if it lies before, modulo 2^32.
    ///
    /// C counterparts: `before()` and `after()` in
    /// [`include/net/tcp.h`](srctree/include/net/tcp.h).
    const fn distance_from(self, other: Self) -> i32 {
        // CAST: The sign of the difference is the order, as in `before()`.
        self.0.wrapping_sub(other.0) as i32
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_seq))]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap() {
        let last = Seq::new(u32::MAX);
        assert_eq!(last.add(1).distance_from(last), 1);
        assert_eq!(last.distance_from(last.add(1)), -1);
        assert_eq!(last.add(2), Seq::new(1));
    }

    #[test]
    fn offsets_go_on_past_a_wrap() {
        let isn = Seq::new(u32::MAX - 5);
        for offset in [0, 1, 5, 6, 7, 1 << 20, (1 << 32) + 3, (7 << 32) - 1] {
            assert_eq!(isn.at(offset).offset(isn, offset), Some(offset));
            assert_eq!(isn.at(offset).offset(isn, offset + 1000), Some(offset));
            assert_eq!(
                isn.at(offset + 1000).offset(isn, offset),
                Some(offset + 1000)
            );
        }
    }

    #[test]
    fn a_number_before_the_stream_has_no_offset() {
        let isn = Seq::new(10);
        assert_eq!(Seq::new(9).offset(isn, 0), None);
        assert_eq!(Seq::new(10).offset(isn, 0), Some(0));
        assert_eq!(Seq::new(5).offset(isn, 3), None);
    }
}
