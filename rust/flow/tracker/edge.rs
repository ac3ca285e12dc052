// SPDX-License-Identifier: GPL-2.0

//! The right edge of the window that a client is offered: how far it may send.
//!
//! The backup is told one that is somewhat beyond it, and no more than that is ever offered.

use super::{
    Piece,
    Tracker, //
};

/// How much further than what is offered the edge that the backup is told reaches, in bytes, beside
/// the window itself: the window may as much as double before the next record.
const EDGE_SLACK: u64 = 256 << 10;

/// Returns the right edge that both nodes know of from the start, given what the SYN-ACK offers in
/// bytes.
pub(crate) fn first_edge(window: u32) -> u64 {
    1 + u64::from(window) + EDGE_SLACK
}

impl Tracker {
    /// Returns the right edge that the backup is to be told with `piece`.
    pub(crate) fn edge_to_tell(&mut self, piece: &Piece) -> u64 {
        // One at a time: otherwise it would never be known, as each piece would change it.
        if self.told_with <= self.confirmed {
            let window = self.offered_edge.saturating_sub(self.wanted);
            let edge = self.offered_edge + window + EDGE_SLACK;
            self.told_edge = self.told_edge.max(edge);
            self.told_with = piece.end();
        }
        self.told_edge
    }

    /// Returns the window in bytes that a SYN-ACK of this connection would have offered, for a backup that
    /// hears of it only now.
    pub(crate) fn first_window(&self, offered: u32) -> u32 {
        let edge = u32::try_from(self.sent_edge.saturating_sub(self.logged)).unwrap_or(u32::MAX);
        offered.max(edge)
    }

    /// A backup is told of the connection from its beginning: it has confirmed nothing yet, and knows of
    /// the right edge that is returned, to be told with the last of the input.
    ///
    /// `window` is the one that it was told that the SYN-ACK had.
    pub(crate) fn begin_again(&mut self, window: u32) -> u64 {
        let room = self.offered_edge.saturating_sub(self.wanted);
        let edge = self.offered_edge.max(self.sent_edge) + room + EDGE_SLACK;
        self.told_edge = if self.logged == 1 {
            first_edge(window)
        } else {
            edge
        };
        self.told_with = self.logged;
        self.known_edge = self.sent_edge;
        self.confirmed = 0;
        self.waits_since = None;
        self.kept = None;
        self.told_edge
    }

    /// Returns the window that, from `ack`, reaches as far as `edge`.
    ///
    /// A scaled window cannot name every edge. It is rounded down, except where that would take
    /// back what the client has been offered; then it is rounded up, to at most one unit more than
    /// the socket has offered.
    pub(super) fn window_to(&self, ack: u64, edge: u64) -> u16 {
        let unit_less_one = (1u64 << self.wscale) - 1;
        let down = edge.saturating_sub(ack) >> self.wscale;
        let kept = self.sent_edge.min(self.offered_edge);
        let up = (kept.saturating_sub(ack) + unit_less_one) >> self.wscale;
        u16::try_from(down.max(up)).unwrap_or(u16::MAX)
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_tracker_edge))]
mod tests {
    use super::{
        super::{
            testing::{
                from_service,
                log,
                open,
                IRS,
                ISS,
                NOW,
                WSCALE, //
            },
            Outbound,
            Release, //
        },
        *, //
    };
    use crate::wire::segment::flags;

    #[test]
    fn the_right_edge_never_shrinks() {
        let mut t = open();
        let mut edge = t.sent_edge;
        let mut offset = 1;
        for len in [1, 127, 128, 129, 1000, 1448, 37] {
            log(&mut t, offset, len, 0);
            offset += len as u64;
            for window in [512, 511, 510] {
                let (ack, window) = match t.outbound(&from_service(offset, window), 5, false, NOW) {
                    Outbound::Clamp { ack, window } => (ack, window),
                    Outbound::Pass => (IRS.at(offset), window),
                    _ => continue,
                };
                let now = ack.offset(IRS, offset).unwrap() + (u64::from(window) << WSCALE);
                assert!(now >= edge.min(t.offered_edge));
                assert!(now < t.offered_edge + (1 << WSCALE));
                edge = edge.max(now);
            }
            t.confirm(offset - 1).unwrap();
        }
    }

    #[test]
    fn no_more_is_offered_than_the_backup_knows_of() {
        let mut t = open();
        let known = first_edge(65535);
        let Outbound::Clamp { ack, window } = t.outbound(&from_service(1, 65535), 10, false, NOW)
        else {
            panic!("not clamped");
        };
        assert_eq!((ack, u64::from(window)), (IRS.at(1), (known - 1) >> WSCALE));
        // A piece takes a larger edge along, and the next one the same until it is confirmed.
        let piece = log(&mut t, 1, 10, 0).unwrap();
        let edge = t.edge_to_tell(&piece);
        assert!(edge > 65535 << WSCALE);
        let next = log(&mut t, 11, 10, 0).unwrap();
        assert_eq!(t.edge_to_tell(&next), edge);
        t.confirm(11).unwrap();
        assert_eq!(
            t.outbound(&from_service(11, 65535), 10, false, NOW),
            Outbound::Pass
        );
    }

    /// The backup knows of no more than what is offered already when the socket offers much more.
    fn with_an_edge_to_be_known() -> (Tracker, u64) {
        let mut t = open();
        let piece = log(&mut t, 1, 127, 0).unwrap();
        let known = t.edge_to_tell(&piece);
        let piece = log(&mut t, 128, 1000, 0).unwrap();
        assert_eq!(t.edge_to_tell(&piece), known);
        assert!(t.confirm(128).is_some());
        let answer = t.outbound(&from_service(128, u16::MAX), 10, false, NOW);
        assert!(matches!(answer, Outbound::Clamp { .. }));
        (t, known)
    }

    #[test]
    fn what_was_kept_offers_no_more_than_the_backup_knows_of() {
        let (mut t, known) = with_an_edge_to_be_known();
        let bare = t.outbound(&from_service(1128, u16::MAX), 0, false, NOW);
        let Outbound::Keep { window } = bare else {
            panic!("not kept");
        };
        assert!(1128 + (u64::from(window) << WSCALE) < known + (1 << WSCALE));
        assert!(t.keeps() && !t.keeps_the_last_word());
        // The socket says it again, with all that it may offer then.
        assert_eq!(t.confirm(1128), Some(Release::More));
    }

    #[test]
    fn nor_does_a_fin() {
        let (mut t, known) = with_an_edge_to_be_known();
        let mut fin = from_service(1128, u16::MAX);
        fin.flags |= flags::FIN;
        let Outbound::Keep { window } = t.outbound(&fin, 0, false, NOW) else {
            panic!("not kept");
        };
        let edge = 1128 + (u64::from(window) << WSCALE);
        assert!(edge < known + (1 << WSCALE));
        assert_eq!(t.confirm(1128), Some(Release::Kept));
        assert_eq!(t.sent_edge, edge);
    }

    #[test]
    fn a_window_that_the_backup_does_not_know_of_is_no_reason_to_give_up() {
        let mut t = open();
        let wide = from_service(1, 65535);
        for now in [1000, 5000] {
            let verdict = t.outbound(&wide, 10, false, (now, 50));
            assert!(matches!(verdict, Outbound::Clamp { .. }));
        }
    }

    #[test]
    fn a_backup_that_comes_later_is_waited_for_without_taking_anything_back() {
        let mut t = Tracker::carried_on((IRS, ISS), WSCALE, (5001, 70_001), 900, false);
        assert!(t.is_whole());
        t.outbound_unprotected(&from_service(5001, 600), 10);
        let sent = 5001 + (600u64 << WSCALE);
        let edge = t.begin_again(65535);
        assert!(edge > sent);
        // What has left stays, and no more is offered than the backup knows of.
        assert_eq!(
            t.outbound(&from_service(5001, 600), 10, false, NOW),
            Outbound::Pass
        );
        assert!(matches!(
            t.outbound(&from_service(5001, 700), 10, false, NOW),
            Outbound::Clamp { ack, window } if ack == IRS.at(5001) && window <= 600
        ));
        assert_eq!(log(&mut t, 5001, 100, 0).map(|p| p.end()), Some(5101));
        assert!(matches!(
            t.outbound(&from_service(5101, 700), 10, false, NOW),
            Outbound::Clamp { ack, .. } if ack == IRS.at(5001)
        ));
        assert!(t.confirm(5001).is_some());
        assert_eq!(t.confirm(5101), Some(Release::Little));
        assert_eq!(
            t.outbound(&from_service(5101, 700), 10, false, NOW),
            Outbound::Pass
        );
    }

    #[test]
    fn a_client_that_has_sent_nothing_is_told_of_by_its_window() {
        let mut t = Tracker::new(IRS, ISS, WSCALE, 1000);
        t.outbound_unprotected(&from_service(1, 2000), 10);
        let window = t.first_window(1000);
        assert_eq!(window, 2000 << WSCALE);
        assert_eq!(t.begin_again(window), first_edge(window));
        assert_eq!(t.first_window(u32::MAX), u32::MAX);
    }
}
