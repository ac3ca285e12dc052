// SPDX-License-Identifier: GPL-2.0

//! What a client sends: which of it has to be logged.
//!
//! What TCP does not take is not logged either.

use super::Tracker;
use crate::wire::segment::{
    flags,
    Header, //
};

/// For how long a timestamp of the client is compared with the one before, in milliseconds: less than it
/// takes one that counts microseconds to wrap (2^31 of them).
const TIMESTAMPS_COMPARE_MS: u64 = 2_000_000;
/// What is sent beyond a window: probes of one that is closed, the FIN, in bytes, with much to spare.
const LAG_SLACK: u64 = 64 << 10;

/// A timestamp of the client, and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The timestamp.
    pub(crate) val: u32,
    /// When it came, on the caller's clock in milliseconds.
    pub(crate) at_ms: u64,
}

impl Stamp {
    /// Returns whether a segment is older than one that came with `last`, as TCP sees it (RFC 7323,
    /// section 5): one tick is let pass, as by the kernel, and after a while anything may be new, as the
    /// client's clock wraps.
    fn is_older_than(&self, last: &Self) -> bool {
        // CAST: The sign of the difference is the order.
        let before = (self.val.wrapping_sub(last.val) as i32) < -1;
        before && self.at_ms.saturating_sub(last.at_ms) < TIMESTAMPS_COMPARE_MS
    }
}

/// What to do with a segment of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inbound {
    /// It brings nothing that the log lacks.
    Nothing,
    /// It has to go into the log; once it is there, [`Tracker::logged`] has to be told.
    Log(Piece),
}

/// A piece of a segment of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The offset of its first byte, or of the FIN if it has no bytes.
    pub(crate) offset: u64,
    /// How many bytes of the payload come before it, all logged already.
    pub(crate) skip: usize,
    /// How many bytes it has.
    pub(crate) len: usize,
    /// Whether the FIN follows the bytes.
    pub(crate) fin: bool,
}

impl Piece {
    /// Returns the offset behind the piece.
    pub(crate) fn end(&self) -> u64 {
        // CAST: `usize` has 64 bits at most.
        self.offset + self.len as u64 + u64::from(self.fin)
    }
}

/// Returns how far behind what the service has sent an acknowledgement may be that TCP takes.
///
/// It may be older than another one by the largest window that the client has offered (RFC 5961,
/// section 5.2), and the service may have sent a window more than that one: whatever is in doubt is
/// taken.
pub(super) fn max_lag(wscale: u8) -> u64 {
    2 * (u64::from(u16::MAX) << wscale) + LAG_SLACK
}

impl Tracker {
    /// Returns the client's first offset that is not in the log.
    pub(crate) fn next_to_log(&self) -> u64 {
        self.logged
    }

    /// Returns whether there is no gap in what is known of the client's stream, and nothing that the
    /// socket has and that was not seen.
    pub(crate) fn is_whole(&self) -> bool {
        self.reached.max(self.wanted) <= self.logged
    }

    /// Returns the client's last timestamp.
    pub(crate) fn tsval(&self) -> Option<u32> {
        self.tsval.map(|stamp| stamp.val)
    }

    /// Looks at a segment of the client with `len` bytes of payload.
    ///
    /// `tsval` is its timestamp, if it has one. What TCP does not take is not logged either: what
    /// lies outside the offered window, acknowledges what was never sent, or is older than what was
    /// taken before (RFC 9293, section 3.10.7.4; RFC 7323, section 5).
    pub(crate) fn inbound(&self, header: &Header, len: usize, tsval: Option<Stamp>) -> Inbound {
        if header.any(flags::SYN | flags::RST) || !self.is_acceptable(header, tsval) {
            return Inbound::Nothing;
        }
        let fin = header.has(flags::FIN);
        let Some(offset) = header.seq.offset(self.irs, self.logged) else {
            return Inbound::Nothing;
        };
        let whole = Piece {
            offset,
            skip: 0,
            len,
            fin,
        };
        // Nothing follows a FIN that was reached.
        if self.fin == Some(self.logged) {
            return Inbound::Nothing;
        }
        // The FIN needs no room in the window.
        if whole.end() <= self.logged || offset > self.offered_edge {
            return Inbound::Nothing;
        }
        // CAST: The difference is less than the segment's length.
        let skip = self.logged.saturating_sub(offset) as usize;
        Inbound::Log(Piece {
            offset: offset.max(self.logged),
            skip,
            len: len.saturating_sub(skip),
            fin,
        })
    }

    fn is_acceptable(&self, header: &Header, tsval: Option<Stamp>) -> bool {
        let acknowledged = header.ack.offset(self.iss, self.service_next);
        let old = match (self.tsval, tsval) {
            (Some(last), Some(now)) => now.is_older_than(&last),
            _ => false,
        };
        let sensible = |a| a <= self.service_next && self.service_next - a <= self.max_lag;
        header.has(flags::ACK) && acknowledged.is_some_and(sensible) && !old
    }

    /// Takes note that `piece`, of a segment with timestamp `tsval`, is in the log.
    ///
    /// A piece behind a gap counts only when the backup, which puts the pieces together, says so.
    pub(crate) fn logged(&mut self, piece: &Piece, tsval: Option<Stamp>) {
        self.asked = self.service_next;
        self.at_rest = false;
        self.reached = self.reached.max(piece.end());
        if piece.fin {
            self.fin = Some(piece.end());
        }
        if piece.offset <= self.logged {
            // As TCP does: what overtook others is no measure for them.
            self.tsval = tsval.or(self.tsval);
            self.logged = self.logged.max(piece.end());
        }
    }

    /// All of the client's offsets below `end` are held here.
    pub(crate) fn holds(&mut self, end: u64) {
        self.logged = self.logged.max(end);
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_tracker_input))]
mod tests {
    use super::{
        super::testing::{
            from_client,
            from_service,
            log,
            open,
            piece,
            ISS,
            NOW, //
        },
        *, //
    };
    use crate::wire::seq::Seq;

    fn stamp(val: u32) -> Option<Stamp> {
        Some(Stamp { val, at_ms: 0 })
    }

    #[test]
    fn each_byte_is_logged_once() {
        let mut t = open();
        assert_eq!(log(&mut t, 1, 0, 0), None);
        assert_eq!(log(&mut t, 1, 100, 0), piece(1, 0, 100, false));
        assert_eq!(log(&mut t, 1, 100, 0), None);
        assert_eq!(log(&mut t, 51, 100, 0), piece(101, 50, 50, false));
        assert_eq!(log(&mut t, 151, 0, flags::FIN), piece(151, 0, 0, true));
        assert_eq!(log(&mut t, 151, 0, flags::FIN), None);
    }

    #[test]
    fn what_came_out_of_order_counts_when_the_backup_has_put_it_together() {
        let mut t = open();
        assert_eq!(log(&mut t, 101, 100, 0), piece(101, 0, 100, false));
        assert_eq!(log(&mut t, 1, 100, 0), piece(1, 0, 100, false));
        let mut unheard = t;
        assert_eq!(log(&mut unheard, 101, 100, 0), piece(101, 0, 100, false));
        assert!(t.confirm(201).is_some());
        assert_eq!(log(&mut t, 101, 100, 0), None);
        assert_eq!(t.confirm(202), None);
    }

    #[test]
    fn what_lies_outside_the_window_is_not_logged() {
        let mut t = open();
        assert_eq!(log(&mut t, 65536 + 1, 10, 0), None);
        assert_eq!(
            t.inbound(&from_client(0, flags::SYN), 10, None),
            Inbound::Nothing
        );
        assert_eq!(
            t.inbound(&from_client(1, flags::RST), 10, None),
            Inbound::Nothing
        );
        let mut young = Tracker::new(Seq::new(100), ISS, 0, 1000);
        let before = Header {
            seq: Seq::new(90),
            flags: flags::ACK,
            ..Header::default()
        };
        assert_eq!(young.inbound(&before, 5, None), Inbound::Nothing);
        assert_eq!(young.confirm(2), None);
    }

    #[test]
    fn what_tcp_refuses_is_not_logged() {
        let mut t = open();
        let good = from_client(1, 0);
        let logs = |t: &Tracker, header, ts| t.inbound(&header, 10, ts) != Inbound::Nothing;
        assert!(logs(&t, good, stamp(100)));
        let unsent = Header {
            ack: ISS.at(2),
            ..good
        };
        assert!(!logs(&t, unsent, stamp(100)));
        assert!(!logs(&t, Header { flags: 0, ..good }, stamp(100)));
        t.logged(&piece(1, 0, 10, false).unwrap(), stamp(100));
        let next = from_client(11, 0);
        assert!(!logs(&t, next, stamp(98)));
        assert!(logs(&t, next, stamp(99)));
        t.outbound(&from_service(1, 500), 1, false, NOW);
        assert!(logs(
            &t,
            Header {
                ack: ISS.at(2),
                ..next
            },
            stamp(100)
        ));
    }

    #[test]
    fn nothing_follows_the_fin() {
        let mut t = open();
        assert_eq!(log(&mut t, 101, 10, flags::FIN), piece(101, 0, 10, true));
        // It may be anywhere, as long as there is a gap before it.
        assert_eq!(log(&mut t, 1, 90, 0), piece(1, 0, 90, false));
        assert_eq!(log(&mut t, 91, 10, 0), piece(91, 0, 10, false));
        assert!(t.confirm(112).is_some());
        assert_eq!(log(&mut t, 112, 10, 0), None);
        assert_eq!(log(&mut t, 120, 10, flags::FIN), None);
        let mut in_order = open();
        log(&mut in_order, 1, 10, flags::FIN);
        assert_eq!(log(&mut in_order, 12, 10, 0), None);
        assert_eq!(log(&mut in_order, 5, 100, 0), None);
    }

    #[test]
    fn an_acknowledgement_from_long_ago_is_refused() {
        let mut t = open().with_client(0, None);
        let sent = 1 << 20;
        t.outbound(&from_service(1, 500), sent, false, NOW);
        let next = 1 + sent as u64;
        let with_ack = |ack: u64| Header {
            ack: ISS.at(ack),
            ..from_client(1, 0)
        };
        let logs = |ack| t.inbound(&with_ack(ack), 10, None) != Inbound::Nothing;
        assert!(logs(next) && logs(next - 65535) && logs(next - 2 * 65535));
        assert!(!logs(next + 1) && !logs(next - 2 * 65535 - LAG_SLACK - 1) && !logs(1));
    }

    #[test]
    fn what_is_older_than_the_syn_is_not_logged() {
        let t = open().with_client(7, stamp(100));
        let logs = |ts| t.inbound(&from_client(1, 0), 10, ts) != Inbound::Nothing;
        assert!(logs(stamp(100)) && logs(stamp(101)) && logs(None) && !logs(stamp(98)));
    }

    #[test]
    fn what_overtook_others_does_not_make_them_old() {
        let mut t = open();
        t.logged(&piece(101, 0, 10, false).unwrap(), stamp(100));
        assert_ne!(
            t.inbound(&from_client(1, 0), 100, stamp(90)),
            Inbound::Nothing
        );
    }

    #[test]
    fn a_gap_is_no_whole() {
        let mut t = open();
        log(&mut t, 101, 100, 0);
        assert!(!t.is_whole());
        log(&mut t, 1, 100, 0);
        assert!(!t.is_whole());
        t.holds(201);
        assert!(t.is_whole());
    }
}
