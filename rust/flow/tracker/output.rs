// SPDX-License-Identifier: GPL-2.0

//! What a service sends: which acknowledgements have to be held back, and when they may leave.

use super::Tracker;
use crate::wire::{
    segment::{
        flags,
        Header, //
    },
    seq::Seq, //
};

/// How much may go without an acknowledgement for a while, in bytes: less than two segments (RFC 5681,
/// section 4.2) of the smallest size that is usual (RFC 9293, section 3.7.1).
const LITTLE: u64 = 2 * 536;

/// What to do with a segment of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outbound {
    /// It may leave as it is.
    Pass,
    /// It may leave with these instead of its own.
    Clamp {
        /// The acknowledgement number.
        ack: Seq,
        /// The window, scaled, as it stands in the header.
        window: u16,
    },
    /// It says nothing yet, or must not be the last word: keep it in place of what was kept before,
    /// until [`Tracker::confirm`] releases it, with this window, scaled, instead of its own.
    Keep {
        /// The window, as it stands in the header.
        window: u16,
    },
    /// Something that says as much is being kept: drop it.
    Absorb,
    /// It would have to wait, as others have for too long: the backup is not to be counted on.
    GiveUp,
}

/// What [`Tracker::confirm`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Nothing is waiting for it.
    Nothing,
    /// What was kept may be sent as it is.
    Kept,
    /// The socket may acknowledge more than it could.
    More,
    /// The same, but so little that it may wait for something else to leave.
    Little,
}

/// A segment that is being kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// What it acknowledges.
    ack: u64,
    /// The right edge that it offers.
    edge: u64,
    /// Whether that is less than the socket does.
    curtailed: bool,
    /// Whether it has the FIN.
    fin: bool,
}

impl Tracker {
    /// Looks at a segment of the service with `len` bytes of payload, at `now`, and says what to do
    /// with it if nothing may wait for longer than `patience`. Both are of the caller's clock.
    ///
    /// Not for the SYN-ACK, which waits as a whole.
    pub(crate) fn outbound(
        &mut self,
        header: &Header,
        len: usize,
        has_sack: bool,
        (now, patience): (u64, u64),
    ) -> Outbound {
        let verdict = self.hold_back(header, len, has_sack);
        if verdict == Outbound::Pass || !self.waits_for_backup() {
            return verdict;
        }
        let since = *self.waits_since.get_or_insert(now);
        if now.saturating_sub(since) <= patience {
            return verdict;
        }
        self.outbound_unprotected(header, len);
        Outbound::GiveUp
    }

    /// Returns whether the backup has not confirmed all that it was told, or what the socket has, though it
    /// was not seen to come: fragments, for one.
    fn waits_for_backup(&mut self) -> bool {
        let waits = self.reached.max(self.told_with).max(self.wanted) > self.confirmed;
        if !waits {
            self.waits_since = None;
        }
        waits
    }

    fn hold_back(&mut self, header: &Header, len: usize, has_sack: bool) -> Outbound {
        self.note_sent(header, len);
        let Some(ack) = self.acknowledged(header) else {
            return Outbound::Pass;
        };
        let offered = ack + (u64::from(header.window) << self.wscale);
        self.wanted = self.wanted.max(ack);
        self.offered_edge = self.offered_edge.max(offered);
        let edge = offered.min(self.known_edge.max(self.sent_edge));
        // What has left while nothing protected the connection is not taken back.
        let limit = self.confirmed.max(self.acked);
        if ack <= limit && edge == offered {
            self.sent(ack, edge);
            return Outbound::Pass;
        }
        let fin = header.has(flags::FIN);
        if ack > limit && fin {
            return self.keep(ack, header.window, (offered, edge), true);
        }
        let says_nothing = limit == self.acked && edge <= self.sent_edge;
        let keeps_fin = self.kept.is_some_and(|kept| kept.fin);
        // Whatever else it says, it must not leave before the FIN.
        if ack > limit && len == 0 && (keeps_fin || (says_nothing && !has_sack)) {
            return self.keep(ack, header.window, (offered, edge), false);
        }
        self.owes |= ack > limit && len == 0;
        let ack = ack.min(limit);
        let window = self.window_to(ack, edge);
        self.sent(ack, ack + (u64::from(window) << self.wscale));
        Outbound::Clamp {
            ack: self.irs.at(ack),
            window,
        }
    }

    fn note_sent(&mut self, header: &Header, len: usize) {
        // One that answers what is not the client's has that one's numbers.
        if header.has(flags::RST) {
            return;
        }
        if let Some(offset) = header.seq.offset(self.iss, self.service_next) {
            // CAST: `usize` has 64 bits at most.
            let end = offset + len as u64 + u64::from(header.has(flags::FIN));
            self.service_next = self.service_next.max(end);
        }
    }

    fn acknowledged(&self, header: &Header) -> Option<u64> {
        if !header.has(flags::ACK) || header.has(flags::RST) {
            return None;
        }
        header.ack.offset(self.irs, self.wanted)
    }

    /// Keeps a segment that offers `window`, a right edge at `offered`, as one that offers `edge`.
    fn keep(&mut self, ack: u64, window: u16, (offered, edge): (u64, u64), fin: bool) -> Outbound {
        if !fin && self.kept.is_some_and(|kept| kept.fin) {
            return Outbound::Absorb;
        }
        // The backup may know of no wider one when it leaves, either.
        let curtailed = edge < offered;
        let window = if curtailed {
            self.window_to(ack, edge)
        } else {
            window
        };
        self.kept = Some(Kept {
            ack,
            edge: ack + (u64::from(window) << self.wscale),
            curtailed,
            fin,
        });
        self.owes |= !fin;
        Outbound::Keep { window }
    }

    fn sent(&mut self, ack: u64, edge: u64) {
        self.acked = self.acked.max(ack);
        self.sent_edge = self.sent_edge.max(edge);
        self.kept = None;
        self.owes &= self.acked < self.wanted;
    }

    /// Looks at a segment of the service that leaves as it is because nothing protects the
    /// connection at the moment.
    pub(crate) fn outbound_unprotected(&mut self, header: &Header, len: usize) {
        self.waits_since = None;
        self.note_sent(header, len);
        if let Some(ack) = self.acknowledged(header) {
            let edge = ack + (u64::from(header.window) << self.wscale);
            self.wanted = self.wanted.max(ack);
            self.offered_edge = self.offered_edge.max(edge);
            self.sent(ack, edge);
        }
    }

    /// Takes note that the backup holds all offsets below `upto`.
    ///
    /// Returns what may now be sent, or [`None`] if the backup claims what was never sent to it.
    pub(crate) fn confirm(&mut self, upto: u64) -> Option<Release> {
        if upto > self.reached {
            return None;
        }
        if upto > self.confirmed {
            self.waits_since = None;
        }
        self.confirmed = self.confirmed.max(upto);
        self.logged = self.logged.max(upto);
        if self.told_with <= self.confirmed {
            self.known_edge = self.told_edge;
        }
        Some(self.release())
    }

    fn release(&mut self) -> Release {
        let kept = self.kept.filter(|kept| kept.ack <= self.confirmed);
        // What offers less than the socket does is said again, with all that may be offered by now.
        if let Some(kept) = kept.filter(|kept| kept.fin || !kept.curtailed) {
            self.sent(kept.ack, kept.edge);
            return Release::Kept;
        }
        // What left before the FIN would make it stale, and the client would get it when TCP's timer
        // says so. What it waits for is on its way to the backup.
        if self.kept.is_some_and(|kept| kept.fin) {
            return Release::Nothing;
        }
        match self.wanted.min(self.confirmed).saturating_sub(self.acked) {
            0 => Release::Nothing,
            1..LITTLE if !self.owes => Release::Little,
            _ => Release::More,
        }
    }

    /// Returns whether somebody waits for what is being held back: for the service's FIN, for room in the
    /// window, or for the acknowledgement of so much that its client may send no more without it.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.kept.is_some_and(|kept| kept.fin)
            || self.offered_edge > self.known_edge.max(self.sent_edge)
            || self.wanted >= self.confirmed.max(self.acked) + LITTLE
    }

    /// Returns whether an acknowledgement is being held back.
    pub(crate) fn holds_back(&self) -> bool {
        self.wanted > self.acked
    }

    /// Returns whether the segment that is being kept is still the newest one.
    pub(crate) fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// The same, and it says all that the socket has to say.
    pub(crate) fn keeps_the_last_word(&self) -> bool {
        self.kept.is_some_and(|kept| kept.fin || !kept.curtailed)
    }

    /// What was to be kept is not: it is said again, or not at all.
    pub(crate) fn forget_kept(&mut self) {
        self.kept = None;
    }

    /// The SYN-ACK leaves before the backup has confirmed anything: it acknowledges the SYN.
    pub(crate) fn syn_ack_leaves(&mut self) {
        self.acked = self.acked.max(1);
        self.wanted = self.wanted.max(1);
    }

    /// Nothing is held back any more: what was, leaves now.
    pub(crate) fn let_go(&mut self) {
        self.acked = self.wanted;
        self.sent_edge = self.offered_edge;
        self.kept = None;
        self.owes = false;
        self.waits_since = None;
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_tracker_output))]
mod tests {
    use super::{
        super::testing::{
            from_service,
            log,
            open,
            piece,
            IRS,
            ISS,
            NOW,
            WSCALE, //
        },
        *, //
    };

    #[test]
    fn an_acknowledgement_waits_for_the_backup_and_keeps_its_right_edge() {
        let mut t = open();
        log(&mut t, 1, 1000, 0);
        // The window that the SYN-ACK offered has moved on with the bytes.
        let edge = 1001 + (600u64 << WSCALE);
        let Outbound::Clamp { ack, window } = t.outbound(&from_service(1001, 600), 0, false, NOW)
        else {
            panic!("not clamped");
        };
        assert_eq!(ack, IRS.at(1));
        let left = 1 + (u64::from(window) << WSCALE);
        assert!(left <= edge && left + (1 << WSCALE) > edge);
        assert!(t.holds_back());
        // What fits into the window's unit says nothing more.
        assert_eq!(
            t.outbound(&from_service(1001, 599), 0, false, NOW),
            Outbound::Keep { window: 599 }
        );
        assert_eq!(t.confirm(1001), Some(Release::Kept));
        assert_eq!(
            t.outbound(&from_service(1001, 600), 0, false, NOW),
            Outbound::Pass
        );
        assert!(!t.holds_back());
        assert_eq!(t.confirm(1001), Some(Release::Nothing));
    }

    #[test]
    fn a_bare_acknowledgement_that_would_say_nothing_is_absorbed() {
        let mut t = open();
        // The third packet of the handshake, answered.
        assert_eq!(
            t.outbound(&from_service(1, 512), 10, false, NOW),
            Outbound::Pass
        );
        log(&mut t, 1, 128, 0);
        assert_eq!(
            t.outbound(&from_service(129, 511), 0, false, NOW),
            Outbound::Keep { window: 511 }
        );
        // Data goes out all the same, and a selective acknowledgement has news.
        assert!(matches!(
            t.outbound(&from_service(129, 511), 10, false, NOW),
            Outbound::Clamp { .. }
        ));
        assert!(matches!(
            t.outbound(&from_service(129, 511), 0, true, NOW),
            Outbound::Clamp { .. }
        ));
    }

    #[test]
    fn a_reset_says_nothing_of_how_far_the_service_has_come() {
        let mut t = open();
        let mut reset = from_service(1, 0);
        reset.seq = ISS.at(1 << 30);
        reset.flags = flags::RST;
        assert_eq!(t.outbound(&reset, 0, false, NOW), Outbound::Pass);
        assert_eq!(t.place(), 1);
        assert_eq!(log(&mut t, 1, 10, 0), piece(1, 0, 10, false));
    }

    #[test]
    fn a_syn_ack_that_has_left_is_not_taken_back() {
        let mut t = Tracker::new(IRS, ISS, WSCALE, 65535);
        t.syn_ack_leaves();
        log(&mut t, 1, 10, 0);
        let answer = t.outbound(&from_service(11, 500), 5, false, NOW);
        assert!(matches!(answer, Outbound::Clamp { ack, .. } if ack == IRS.at(1)));
        assert_eq!(t.confirm(1), Some(Release::Nothing));
    }

    #[test]
    fn the_services_fin_waits_with_what_it_acknowledges() {
        let mut t = open();
        assert_eq!(
            t.outbound(&from_service(1, 500), 0, false, NOW),
            Outbound::Pass
        );
        log(&mut t, 1, 10, flags::FIN);
        let mut last = from_service(12, 500);
        last.flags |= flags::FIN;
        let kept = Outbound::Keep { window: 500 };
        assert_eq!(t.outbound(&last, 100, false, NOW), kept);
        assert_eq!(
            t.outbound(&from_service(12, 500), 0, false, NOW),
            Outbound::Absorb
        );
        assert_eq!(t.confirm(12), Some(Release::Kept));
        assert_eq!(t.outbound(&last, 100, false, NOW), Outbound::Pass);
    }

    #[test]
    fn a_part_of_what_the_fin_waits_for_does_not_overtake_it() {
        let mut t = open();
        assert_eq!(
            t.outbound(&from_service(1, 500), 0, false, NOW),
            Outbound::Pass
        );
        log(&mut t, 1, 10, 0);
        log(&mut t, 11, 0, flags::FIN);
        let mut last = from_service(12, 500);
        last.flags |= flags::FIN;
        let kept = Outbound::Keep { window: 500 };
        assert_eq!(t.outbound(&last, 100, false, NOW), kept);
        assert_eq!(t.confirm(11), Some(Release::Nothing));
        // The client sends its FIN once more, and is told so.
        assert_eq!(
            t.outbound(&from_service(12, 500), 0, true, NOW),
            Outbound::Absorb
        );
        assert!(t.keeps());
        assert_eq!(t.confirm(12), Some(Release::Kept));
    }

    #[test]
    fn what_was_kept_is_stale_once_something_newer_has_left() {
        let mut t = open();
        assert_eq!(
            t.outbound(&from_service(1, 500), 0, false, NOW),
            Outbound::Pass
        );
        log(&mut t, 1, 10, 0);
        assert_eq!(
            t.outbound(&from_service(11, 500), 0, false, NOW),
            Outbound::Keep { window: 500 }
        );
        assert!(t.keeps());
        assert!(matches!(
            t.outbound(&from_service(11, 500), 5, false, NOW),
            Outbound::Clamp { .. }
        ));
        assert!(!t.keeps());
        // That one was wanted for its own sake.
        assert_eq!(t.confirm(11), Some(Release::More));
    }

    #[test]
    fn a_little_that_an_answer_should_have_acknowledged_may_wait() {
        let clamped = |t: &mut Tracker, ack, len| {
            let verdict = t.outbound(&from_service(ack, 500), len, false, NOW);
            assert!(matches!(verdict, Outbound::Clamp { .. }));
        };
        // A request, and its answer.
        let mut t = open();
        log(&mut t, 1, 100, 0);
        clamped(&mut t, 101, 50);
        assert_eq!(t.confirm(101), Some(Release::Little));
        // As long as two segments.
        log(&mut t, 101, 1072, 0);
        clamped(&mut t, 1173, 50);
        assert_eq!(t.confirm(1173), Some(Release::More));
        // An acknowledgement that says something else, too.
        let mut t = open();
        log(&mut t, 1, 100, 0);
        let bare = t.outbound(&from_service(101, 500), 0, true, NOW);
        assert!(matches!(bare, Outbound::Clamp { .. }));
        assert_eq!(t.confirm(101), Some(Release::More));
    }

    #[test]
    fn a_fin_a_window_and_two_segments_are_waited_for() {
        let mut t = open();
        log(&mut t, 1, 100, 0);
        t.outbound(&from_service(101, 400), 0, false, NOW);
        assert!(!t.is_waited_for());
        log(&mut t, 101, 972, 0);
        t.outbound(&from_service(1073, 400), 0, false, NOW);
        assert!(t.is_waited_for());
        assert!(t.confirm(1073).is_some());
        assert!(!t.is_waited_for());
        // More room than the backup knows of.
        t.outbound(&from_service(1073, u16::MAX), 0, false, NOW);
        assert!(t.is_waited_for());
        // The end of the answer.
        let mut t = open();
        log(&mut t, 1, 100, 0);
        let mut fin = from_service(101, 400);
        fin.flags |= flags::FIN;
        let kept = Outbound::Keep { window: 400 };
        assert_eq!(t.outbound(&fin, 0, false, NOW), kept);
        assert!(t.is_waited_for());
    }

    #[test]
    fn what_begins_anew_has_acknowledged_its_beginning() {
        let mut t = Tracker::resumed(IRS, ISS, WSCALE, 65535);
        assert_eq!(
            t.outbound(&from_service(1, 500), 10, false, NOW),
            Outbound::Pass
        );
        log(&mut t, 1, 100, 0);
        assert!(matches!(
            t.outbound(&from_service(101, 500), 10, false, NOW),
            Outbound::Clamp { ack, .. } if ack == IRS.at(1)
        ));
        assert_eq!(t.confirm(1), Some(Release::Nothing));
        assert_eq!(t.confirm(101), Some(Release::Little));
    }

    #[test]
    fn nothing_waits_for_ever() {
        let mut t = open();
        assert_eq!(
            t.outbound(&from_service(1, 500), 0, false, NOW),
            Outbound::Pass
        );
        log(&mut t, 1, 1000, 0);
        let ack = from_service(1001, 500);
        let at = |t: &mut Tracker, now| t.outbound(&ack, 0, true, (now, 50));
        assert!(matches!(at(&mut t, 1000), Outbound::Clamp { .. }));
        assert!(matches!(at(&mut t, 1050), Outbound::Clamp { .. }));
        // What is confirmed meanwhile, if not all, gives it more time.
        t.confirm(501).unwrap();
        assert!(matches!(at(&mut t, 1051), Outbound::Clamp { .. }));
        assert!(matches!(at(&mut t, 1101), Outbound::Clamp { .. }));
        t.confirm(501).unwrap();
        assert_eq!(at(&mut t, 1102), Outbound::GiveUp);
        assert!(!t.holds_back());
    }

    #[test]
    fn what_was_not_seen_to_come_is_not_waited_for_for_ever() {
        let mut t = open();
        t.outbound(&from_service(1, 500), 0, false, NOW);
        let unseen = from_service(1001, 500);
        let at = |t: &mut Tracker, now| t.outbound(&unseen, 10, false, (now, 50));
        assert!(matches!(at(&mut t, 1000), Outbound::Clamp { ack, .. } if ack == IRS.at(1)));
        assert!(matches!(at(&mut t, 1050), Outbound::Clamp { .. }));
        assert_eq!(at(&mut t, 1051), Outbound::GiveUp);
        assert!(!t.is_whole());
    }

    #[test]
    fn what_left_unprotected_is_not_taken_back() {
        let mut t = open();
        log(&mut t, 1, 1000, 0);
        t.outbound(&from_service(1001, 500), 0, false, NOW);
        t.outbound_unprotected(&from_service(1001, 500), 0);
        assert!(!t.holds_back());
        log(&mut t, 1001, 1000, 0);
        assert_eq!(
            t.outbound(&from_service(1001, 500), 5, false, NOW),
            Outbound::Pass
        );
        assert!(matches!(
            t.outbound(&from_service(2001, 500), 5, false, NOW),
            Outbound::Clamp { ack, .. } if ack == IRS.at(1001)
        ));
    }
}
