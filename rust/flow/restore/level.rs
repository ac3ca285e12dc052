// SPDX-License-Identifier: GPL-2.0

//! Whether client and child of a restoration have both caught up, and with what the child goes on then.

use super::{
    Phase,
    Restore, //
};
use crate::{
    flow::tracker::{
        Stamp,
        Tracker, //
    },
    wire::seq::Seq, //
};

impl Restore {
    /// Returns whether client and child have both caught up, and can be spliced; `held` is the end
    /// of the input that is held.
    ///
    /// All that the client has sent has to be held. What is missing it sends again, unless the old
    /// node has acknowledged it unprotected; then it never comes, and the connection cannot go on.
    /// And the child has to have sent all that the client holds, also what it holds behind a gap: when
    /// that closes, the client acknowledges all of it at once, which to a child that has not come as far
    /// would be an acknowledgement of what was never sent.
    pub(crate) fn is_level(&self, held: u64) -> bool {
        self.has_caught_up(held) && held >= self.client_end()
    }

    fn has_caught_up(&self, held: u64) -> bool {
        let told = self.client.is_some_and(|c| c.ack <= self.told);
        let is_quiet = !self.tells_reach && self.client.is_some_and(|c| c.ack == self.sent);
        let sent = !self.may_hold_more() || is_quiet;
        self.phase == Phase::CatchUp && self.taken >= held && told && sent
    }

    /// Returns whether the client is only believed to be where it is: it was at rest there.
    pub(crate) fn is_believed(&self) -> bool {
        !self.is_heard
    }

    /// Returns whether the client may hold what the child has not sent: then there is a splice only when
    /// the child has nothing more to send.
    pub(crate) fn may_hold_more(&self) -> bool {
        self.sent < self.client_reach
    }

    /// Returns whether nothing is missing but what the client has sent to the old node, which it sends
    /// again when its timer says so. Not if it was heard to send what follows that: then it does not mean
    /// to.
    pub(crate) fn waits_for_client(&self, held: u64) -> bool {
        self.has_caught_up(held) && held < self.client_end() && !self.leaves_gap
    }

    /// Splices client and child, which have to be level, and whose child has to be given
    /// [`Self::right_edge`].
    pub(crate) fn splice(&mut self) {
        self.phase = Phase::Done;
    }

    /// Returns the right edge that the child has to go on with, as an offset.
    fn edge_to_keep(&self) -> u64 {
        let widest = u64::from(u16::MAX) << self.service_wscale;
        self.old_edge.min(self.taken + widest)
    }

    /// Returns the sequence number of the right edge that the child has to go on with.
    pub(crate) fn right_edge(&self) -> Seq {
        self.irs.at(self.edge_to_keep())
    }

    /// Returns the tracker with which a connection goes on that has just been spliced; `held` is the end
    /// of the input that is held, and of all input if `has_ended`; `tsval` the client's last timestamp.
    pub(crate) fn tracker(&self, held: u64, has_ended: bool, tsval: Option<Stamp>) -> Tracker {
        let edge = self.edge.max(self.edge_to_keep());
        Tracker::carried_on(
            (self.irs, self.iss),
            self.service_wscale,
            (held, edge),
            self.sent,
            self.at_rest,
        )
        .with_end(has_ended)
        .with_client(self.client_wscale, tsval)
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_restore_level))]
mod tests {
    use super::{
        super::testing::{
            child,
            client,
            machine_at,
            passes,
            probing,
            ISS, //
        },
        *, //
    };
    use crate::flow::restore::{
        Child,
        Place, //
    };

    #[test]
    fn a_client_at_rest_is_believed_to_be_there() {
        let mut m = machine_at(Place {
            sent: 5001,
            at_rest: Some(64 << 7),
        });
        m.syn_ack_seen();
        m.child_found(1000);
        assert_eq!(m.phase(), Phase::CatchUp);
        m.feed(100);
        let (verdict, tell) = m.hear_child(&child(1, 101), 5000, 101);
        let tell = tell.unwrap();
        assert_eq!((verdict, tell.ack, tell.window), (Child::Absorb, 5001, 64));
        assert!(m.is_level(101) && m.is_believed());
        // It is asked all the same, and may be further.
        let (question, _) = m.hear_child(&child(5001, 101), 0, 101);
        assert!(matches!(question, Child::Rewrite { seq, .. } if seq == ISS));
        m.hear_client(&client(101, 9001, 64), 0, None, 101);
        assert!(!m.is_level(101) && !m.is_believed());
    }

    #[test]
    fn what_the_client_holds_behind_a_gap_has_to_be_sent_before_the_splice() {
        let mut m = probing();
        let place = client(1, 1001, 100);
        m.hear_client(&place, 0, Some(ISS.at(5001)), 1);
        m.hear_child(&child(1, 1), 1000, 1);
        assert_eq!(m.told(), 1001);
        assert!(!m.is_level(1));
        // The gap closes: the client has more than the child has sent.
        assert!(passes(m.hear_child(&child(1001, 1), 1000, 1).0, 1001, 1));
        m.hear_client(&client(1, 5001, 100), 0, None, 1);
        assert_eq!(m.told(), 2001);
        assert!(!m.is_level(1));
        let (verdict, tell) = m.hear_child(&child(2001, 1), 3000, 1);
        assert_eq!((verdict, tell.unwrap().ack), (Child::Absorb, 5001));
        assert!(m.is_level(1));
        // One that does not tell is level when nothing is under way, or when it can hold no more.
        let mut silent = probing();
        silent.tells_reach = false;
        silent.hear_client(&place, 0, None, 1);
        silent.hear_child(&child(1, 1), 1000, 1);
        assert!(silent.may_hold_more() && silent.is_level(1));
        silent.hear_child(&child(1001, 1), 1000, 1);
        assert!(!silent.is_level(1));
        silent.hear_child(&child(2001, 1), 100 << 7, 1);
        assert!(!silent.may_hold_more() && silent.is_level(1));
        // What lies beyond its window it cannot hold.
        let mut liar = probing();
        liar.hear_client(&place, 0, Some(ISS.at(1002 + (100 << 7))), 1);
        liar.hear_child(&child(1, 1), 1000, 1);
        assert!(liar.is_level(1));
    }

    #[test]
    fn a_client_may_take_its_time_to_send_again() {
        let mut m = probing();
        m.hear_client(&client(201, 1, 30), 0, None, 101);
        m.feed(100);
        m.hear_child(&child(1, 101), 0, 101);
        assert!(!m.is_level(101) && m.waits_for_client(101));
        // It sends what follows: it believes that the rest has arrived.
        m.hear_client(&client(151, 1, 30), 50, None, 101);
        assert!(!m.waits_for_client(101));
    }
}
