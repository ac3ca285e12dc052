// SPDX-License-Identifier: GPL-2.0

//! What the child of a restoration is given in the client's name: the input, and acknowledgements.

use super::{
    Phase,
    Restore,
    Tell,
    INITIAL_CWND, //
};
use crate::wire::seq::Seq;

impl Restore {
    /// Returns the sequence and acknowledgement numbers of what is injected in the client's name,
    /// given what the child is told.
    pub(crate) fn numbers(&self, ack: u64) -> (Seq, Seq) {
        (self.irs.at(self.fed), self.iss.at(ack))
    }

    /// Returns the offset from which the child may be fed, and how many offsets its window has room
    /// for; `held` is the end of the input that is held.
    pub(crate) fn appetite(&self, held: u64) -> Option<(u64, u64)> {
        let room = self.edge.min(held).saturating_sub(self.fed);
        (self.phase == Phase::CatchUp && room > 0).then_some((self.fed, room))
    }

    /// The child was given `count` offsets more.
    pub(crate) fn feed(&mut self, count: u64) {
        self.fed += count;
    }

    /// What the child was fed and has not acknowledged was lost on the way to it: it is fed again.
    pub(crate) fn feed_again(&mut self) {
        self.fed = self.taken;
    }

    /// Returns whether nothing goes on because the server does not read: the child has taken all that
    /// it has room for. That may last, as it may on any connection; `held` is the end of the input
    /// that is held.
    pub(crate) fn waits_for_server(&self, held: u64) -> bool {
        self.phase == Phase::CatchUp
            && self.taken == self.fed
            && self.edge <= self.fed
            && self.fed < held
    }

    /// Returns whether the client waits for an acknowledgement, which the child has to be made to
    /// send if it has no other reason to.
    pub(crate) fn owes_acknowledgement(&self) -> bool {
        self.owes && self.phase == Phase::CatchUp
    }

    /// Returns what the child is to be told now, if that is news.
    pub(super) fn tell(&mut self) -> Option<Tell> {
        let client = self.client?;
        let ack = client.ack.min(self.sent);
        let caught_up = ack == client.ack;
        let news = ack > self.told || (caught_up && self.told == ack && self.sent > 1);
        if !matches!(self.phase, Phase::CatchUp) || !news {
            return None;
        }
        self.told = ack;
        Some(self.tell_again(&client))
    }

    /// Returns what the child was told last, with a window that ends at the client's place, so that no
    /// segment, which may be a long aggregate, reaches from what the client has into what it lacks. With
    /// less than a segment to go it ends where the client's does, or up to a unit behind: the child has
    /// to come as far as the client is.
    pub(super) fn tell_again(&self, client: &Tell) -> Tell {
        let behind = client.ack.saturating_sub(self.told) >> self.client_wscale;
        let window = if behind << self.client_wscale >= self.mss {
            behind
        } else {
            let unit_less_one = (1 << self.client_wscale) - 1;
            let window = self.client_edge(client).saturating_sub(self.told) + unit_less_one;
            window >> self.client_wscale
        };
        Tell {
            ack: self.told,
            window: u16::try_from(window).unwrap_or(u16::MAX),
        }
    }

    /// Returns the end of what the child was told that the client has.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// Returns the window that goes with what the child was told last.
    pub(crate) fn told_window(&self) -> u16 {
        self.client.map_or(u16::MAX, |c| self.tell_again(&c).window)
    }

    /// Returns whether the child has heard of the window that it is told. Before, it only knows that of
    /// its handshake: a smaller one is news only when something was acknowledged.
    pub(crate) fn heeds_window(&self) -> bool {
        self.told > 1 + u64::from(INITIAL_CWND) * self.mss
    }

    /// Returns how many of the service's bytes the client was spared so far.
    pub(crate) fn absorbed(&self) -> u64 {
        self.told - 1
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_restore_feed))]
mod tests {
    use crate::flow::restore::{
        testing::{
            child,
            client,
            machine,
            probing,
            IRS,
            ISS, //
        },
        Child, //
    };

    #[test]
    fn an_upload_is_fed_as_the_window_allows_and_the_client_keeps_its_acknowledgement() {
        let mut m = probing();
        let held = 200_001;
        m.hear_child(&child(1, 1), 0, held);
        m.hear_client(&client(held, 1, 30), 0, None, held);
        let (from, room) = m.appetite(held).unwrap();
        assert_eq!((from, room), (1, 512 << 7));
        m.feed(room);
        assert_eq!(m.appetite(held), None);
        // An early response passes, and does not take back what was acknowledged.
        let (verdict, _) = m.hear_child(&child(1, 1000), 10, held);
        assert!(matches!(verdict, Child::Rewrite { seq, ack, .. }
            if seq == ISS.at(1) && ack == IRS.at(held)));
        assert!(!m.is_level(held));
        // It gets lost on the way, and is fed again.
        m.feed_again();
        assert_eq!(m.appetite(held).unwrap().0, 1000);
    }

    #[test]
    fn a_server_that_does_not_read_may_take_its_time() {
        let mut m = machine();
        m.hear_client(&client(101, 1, 30), 0, None, 101);
        m.syn_ack_seen();
        m.child_found(50);
        assert!(!m.waits_for_server(101));
        m.feed(50);
        assert!(!m.waits_for_server(101));
        let mut closed = child(1, 51);
        closed.window = 0;
        m.hear_child(&closed, 0, 101);
        assert!(m.waits_for_server(101));
        m.hear_child(&child(1, 51), 0, 101);
        assert!(!m.waits_for_server(101));
    }

    #[test]
    fn the_childs_window_ends_at_the_clients_place_until_a_segment_is_to_go() {
        let mut m = probing();
        m.hear_client(&client(1, 100_001, 30), 0, None, 1);
        assert_eq!(m.told_window(), (100_000u32 >> 7) as u16);
        assert!(!m.heeds_window());
        // Segments of 1000 bytes, as many as the child is told that there is room for.
        let mut sent = 1;
        let last = loop {
            let room = 1000.min((u64::from(m.told_window()) << 7) + m.told() - sent);
            let (verdict, tell) = m.hear_child(&child(sent, 1), room as usize, 1);
            assert!(room > 0 && tell.is_some());
            sent += room;
            if verdict != Child::Absorb {
                break room;
            }
        };
        assert!(m.heeds_window());
        // The last one has less than a segment of what the client has.
        assert!(sent > 100_001 && sent - last > 100_001 - 1460);
        assert_eq!((m.told(), m.told_window()), (100_001, 30));
        // One that is far behind has all the window that there can be.
        let mut far = probing();
        far.hear_client(&client(1, 1 << 30, 30), 0, None, 1);
        assert_eq!(far.told_window(), u16::MAX);
    }
}
