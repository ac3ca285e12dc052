// SPDX-License-Identifier: GPL-2.0

//! How far a service has come, and whether anything is under way between it and its client: when the
//! backup has to be told of that, and where the log may begin anew.

use super::Tracker;
use crate::wire::{
    segment::Header,
    seq::Seq, //
};
use core::mem;

/// How far the service comes before the backup is told of its place again, in bytes: few enough for
/// an acknowledgement to say where its client is, also if one such record is lost with the node.
const PLACE_STEP: u64 = 256 << 20;

/// What is no answer yet, however often the client goes on after it, in bytes: "HTTP/1.1 100
/// Continue" and two ends of lines.
pub(crate) const NO_ANSWER: u64 = 25;

/// How much input, or output that would have to be regenerated, makes it worth while to begin the log
/// anew, in bytes.
const WORTH_INPUT: u64 = 4 << 10;
const WORTH_OUTPUT: u64 = 64 << 10;

impl Tracker {
    /// Returns the offset that the service's next byte has.
    pub(crate) fn place(&self) -> u64 {
        self.service_next
    }

    /// Returns the number that the service's next byte has.
    pub(crate) fn service_seq(&self) -> Seq {
        self.iss.at(self.service_next)
    }

    /// Returns the place of the service if the backup has to be told of it: it is far beyond the one
    /// that it knows of, or was thought to be at rest.
    pub(crate) fn place_to_tell(&self) -> Option<u64> {
        let beyond = self.service_next - self.told_place;
        let news = beyond >= PLACE_STEP || (self.at_rest && beyond > 0);
        news.then_some(self.service_next)
    }

    /// The backup was told of the place that the service has now, and whether that is at rest.
    pub(crate) fn place_told(&mut self, at_rest: bool) {
        self.told_place = self.service_next;
        self.at_rest = at_rest;
    }

    /// Returns whether nobody has spoken since this was last asked, and nothing waits for the backup.
    pub(crate) fn stands(&mut self) -> bool {
        let now = (self.service_next, self.logged);
        let stands = mem::replace(&mut self.settled, now) == now;
        stands && self.confirmed >= self.reached && !self.holds_back()
    }

    /// Returns whether nothing seems to be under way that the backup does not know to be at rest, and
    /// has not since this was last asked: the service was the last to speak, or nobody has spoken.
    pub(crate) fn settles(&mut self) -> bool {
        self.stands() && self.is_news_that_it_rests()
    }

    /// Returns whether that is so of one that [stands](Self::stands).
    pub(crate) fn is_news_that_it_rests(&self) -> bool {
        let answered = self.service_next > self.asked || self.logged == 1;
        answered && !self.at_rest
    }

    /// Returns whether a segment of the client with a payload may be the next request, and the log
    /// so long that it is worth while to begin anew: the client has all that the service has sent,
    /// which was an answer to all that the client has sent before.
    pub(crate) fn may_begin_anew(&self, header: &Header) -> bool {
        let next = header.seq.offset(self.irs, self.logged) == Some(self.logged)
            && header.ack.offset(self.iss, self.service_next) == Some(self.service_next);
        let settled = self.acked == self.logged && self.kept.is_none();
        self.is_long() && next && settled && self.service_next - self.asked > NO_ANSWER
    }

    /// Returns whether it would be worth while to begin the log anew, which happens only where the client
    /// was told of all.
    pub(crate) fn is_long(&self) -> bool {
        self.logged > WORTH_INPUT || self.service_next > WORTH_OUTPUT
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_tracker_place))]
mod tests {
    use super::{
        super::{
            testing::{
                from_client,
                from_service,
                log,
                open,
                IRS,
                ISS,
                NOW,
                WSCALE, //
            },
            Outbound, //
        },
        *, //
    };

    /// Sends `len` bytes of the service from `from` on.
    fn send(t: &mut Tracker, from: u64, len: u64) {
        let segment = Header {
            seq: ISS.at(from),
            ..from_service(t.logged, 500)
        };
        t.outbound(&segment, len as usize, false, NOW);
    }

    #[test]
    fn the_next_request_after_a_long_answer_begins_anew() {
        let mut t = open();
        let request = |offset, ack: u64| Header {
            ack: ISS.at(ack),
            ..from_client(offset, 0)
        };
        log(&mut t, 1, 100, 0);
        assert!(t.confirm(101).is_some());
        let mut answer = from_service(101, 500);
        assert_eq!(
            t.outbound(&answer, WORTH_OUTPUT as usize, false, NOW),
            Outbound::Pass
        );
        let end = 1 + WORTH_OUTPUT;
        assert!(t.may_begin_anew(&request(101, end)));
        // Not before all of the answer has arrived, nor behind a gap, nor for what was said before.
        assert!(!t.may_begin_anew(&request(101, end - 1)));
        assert!(!t.may_begin_anew(&request(102, end)));
        assert!(!t.may_begin_anew(&request(100, end)));
        // The second segment of a request does not, nor what follows no more than a "go on".
        log(&mut t, 101, 10, 0);
        assert!(!t.may_begin_anew(&request(111, end)));
        assert!(t.confirm(111).is_some());
        answer = Header {
            seq: ISS.at(end),
            ..from_service(111, 500)
        };
        t.outbound(&answer, NO_ANSWER as usize, false, NOW);
        assert!(!t.may_begin_anew(&request(111, end + NO_ANSWER)));
        answer.seq = ISS.at(end + NO_ANSWER);
        t.outbound(&answer, 1, false, NOW);
        assert!(t.may_begin_anew(&request(111, end + NO_ANSWER + 1)));
    }

    #[test]
    fn the_backup_is_told_now_and_then_how_far_the_service_is() {
        let mut t = open();
        let (mut told, mut last) = (0, 1);
        for step in 0..(5 << 12) {
            send(&mut t, 1 + (step << 20), 1 << 20);
            if let Some(place) = t.place_to_tell() {
                assert_eq!(place - last, PLACE_STEP);
                told += 1;
                last = place;
                t.place_told(false);
            }
        }
        assert_eq!(t.service_seq(), ISS.at(1 + (20 << 30)));
        assert_eq!(told, 80);
    }

    #[test]
    fn a_connection_on_which_nobody_has_spoken_settles() {
        let mut t = Tracker::resumed(IRS, ISS, WSCALE, 65535);
        assert!(!t.settles());
        // Not before the backup knows of it.
        assert!(!t.settles());
        t.confirm(1).unwrap();
        assert!(t.settles());
        t.place_told(true);
        assert!(!t.settles());
        assert_eq!(t.place_to_tell(), None);
        // The first word of the service is news, the client's is in the log.
        send(&mut t, 1, 10);
        assert_eq!(t.place_to_tell(), Some(11));
        t.place_told(false);
        send(&mut t, 11, 10);
        assert_eq!(t.place_to_tell(), None);
    }

    #[test]
    fn a_connection_settles_once_all_is_answered_and_committed() {
        let mut t = Tracker::resumed(IRS, ISS, WSCALE, 65535);
        log(&mut t, 1, 100, 0);
        assert!(!t.settles());
        assert!(!t.settles());
        t.confirm(101).unwrap();
        send(&mut t, 1, 10);
        assert!(!t.settles());
        assert!(t.settles());
        t.place_told(true);
        // The next request ends the rest, and the backup knows by itself.
        log(&mut t, 101, 100, 0);
        send(&mut t, 11, 10);
        assert_eq!(t.place_to_tell(), None);
        assert!(!t.settles());
        assert!(!t.settles());
    }
}
