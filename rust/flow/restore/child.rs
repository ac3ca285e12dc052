// SPDX-License-Identifier: GPL-2.0

//! What the child of a restoration says: what of it the client has already, what it lacks, and what it
//! is told beside that.

use super::{
    Phase,
    Restore,
    Tell, //
};
use crate::wire::{
    segment::{
        flags,
        Header, //
    },
    seq::Seq, //
};

/// How much more the client is offered each time while the child catches up, in bytes.
const FURTHER: u64 = 256 << 10;

/// How far behind, in bytes, the child may be without the client being told to go on. A client that
/// never stops would never be caught up with.
const CLOSE_BEHIND: u64 = 64 << 10;

/// How far back the question where the client is goes, in bytes, from where the service was: behind
/// anything that may have been on its way, and less than half of all sequence numbers behind the
/// client.
const QUESTION_BACK: u64 = 1 << 30;

/// What to do with a segment of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    /// The client has no use for it: drop it.
    Absorb,
    /// Let it pass, with these instead of its own.
    Rewrite {
        /// The sequence number.
        seq: Seq,
        /// The acknowledgement number.
        ack: Seq,
        /// The window, scaled, as it stands in the header.
        window: u16,
    },
    /// Let it pass as it is.
    Pass,
    /// The child is no more: it has reset the connection.
    Gone,
}

impl Restore {
    /// Looks at a segment of the child with `len` bytes of payload; `held` is the end of the input
    /// that is held.
    ///
    /// Not for the SYN-ACK. Returns what becomes of the segment, and what the child is to be told.
    pub(crate) fn hear_child(
        &mut self,
        header: &Header,
        len: usize,
        held: u64,
    ) -> (Child, Option<Tell>) {
        if header.has(flags::RST) {
            return (Child::Gone, None);
        }
        let (Some(offset), Some(ack)) = (
            header.seq.offset(self.iss, self.sent),
            header.ack.offset(self.irs, self.taken),
        ) else {
            return (Child::Absorb, None);
        };
        self.child_acknowledges(ack, header.window);
        // CAST: `usize` has 64 bits at most.
        let end = offset + len as u64 + u64::from(header.has(flags::FIN));
        if end == offset {
            return (self.bare(held), None);
        }
        let Some(client) = self.client else {
            // It comes again when the client's position is known.
            return (Child::Absorb, None);
        };
        if offset <= self.sent {
            self.sent = self.sent.max(end);
        }
        let tell = self.tell_of_output(offset);
        // What goes beyond the client's window it sends again when that has opened.
        if end <= client.ack || end > self.client_edge(&client) + 1 {
            return (Child::Absorb, tell);
        }
        (self.pass(header.seq, held), tell)
    }

    fn child_acknowledges(&mut self, ack: u64, window: u16) {
        self.taken = self.taken.max(ack.min(self.fed));
        self.edge = self
            .edge
            .max(ack + (u64::from(window) << self.service_wscale));
    }

    /// Returns what the child is to be told upon output that begins at `offset`: also what it was
    /// told before, when it sends that again.
    fn tell_of_output(&mut self, offset: u64) -> Option<Tell> {
        let again = offset < self.told;
        let client = self.client?;
        self.tell()
            .or_else(|| again.then(|| self.tell_again(&client)))
    }

    /// A segment of the child with neither bytes nor FIN: of use only as something to be made into
    /// what the client has to hear.
    ///
    /// First that is the question where the client is. A segment from before the window is answered
    /// by every TCP with what it expects next (RFC 9293, section 3.10.7.4), and one without bytes
    /// cannot do harm. Later it is that the client may go on, while the child is far behind.
    fn bare(&mut self, held: u64) -> Child {
        if !self.is_heard && matches!(self.phase, Phase::Probe | Phase::CatchUp) {
            // The client does not take the acknowledgement of a segment that it does not accept.
            let (seq, ack, window) = self.question(held);
            return Child::Rewrite { seq, ack, window };
        }
        match (self.phase, self.client) {
            (Phase::CatchUp, Some(client)) => {
                let far_behind = held - self.taken > CLOSE_BEHIND;
                let news = far_behind && held > self.acked;
                if !(self.owes || news) {
                    return Child::Absorb;
                }
                if far_behind {
                    let widest = u64::from(u16::MAX) << self.service_wscale;
                    self.old_edge = self.old_edge.max(held + FURTHER.min(widest));
                }
                self.rewrite(self.iss.at(client.ack), held)
            }
            _ => Child::Absorb,
        }
    }

    /// Returns the sequence and acknowledgement numbers and the window of the question where the client
    /// is.
    pub(crate) fn question(&self, held: u64) -> (Seq, Seq, u16) {
        let behind = self.place.saturating_sub(QUESTION_BACK);
        (self.iss.at(behind), self.irs.at(held), self.window(held))
    }

    /// A segment of the child with bytes that the client lacks.
    fn pass(&mut self, seq: Seq, held: u64) -> Child {
        if self.taken >= held && self.edge >= self.old_edge {
            return Child::Pass;
        }
        self.rewrite(seq, held)
    }

    fn rewrite(&mut self, seq: Seq, held: u64) -> Child {
        self.acked = self.acked.max(held);
        self.owes = false;
        Child::Rewrite {
            seq,
            ack: self.irs.at(held),
            window: self.window(held),
        }
    }

    /// Returns the window that, from `from`, reaches as far as the client has been offered.
    fn window(&self, from: u64) -> u16 {
        let edge = self.edge.max(self.old_edge);
        u16::try_from(edge.saturating_sub(from) >> self.service_wscale).unwrap_or(u16::MAX)
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_restore_child))]
mod tests {
    use super::{
        super::testing::{
            child,
            client,
            machine_at,
            passes,
            probing,
            IRS,
            ISS, //
        },
        *, //
    };
    use crate::flow::restore::Place;

    #[test]
    fn a_download_is_absorbed_up_to_the_clients_position_and_then_passes() {
        let mut m = probing();
        let held = 101;
        // The question, and the answer: the client has 5000 bytes.
        assert!(matches!(
            m.hear_child(&child(1, 1), 0, held).0,
            Child::Rewrite { seq, .. } if seq == ISS
        ));
        assert_eq!(
            m.hear_client(&client(101, 5001, 30), 0, None, held),
            (None, None)
        );
        assert_eq!(m.phase(), Phase::CatchUp);
        // The request.
        assert_eq!(m.appetite(held), Some((1, 100)));
        m.feed(100);
        assert_eq!(m.appetite(held), None);
        // The response.
        assert_eq!(
            m.hear_child(&child(1, 101), 3000, held),
            (
                Child::Absorb,
                Some(Tell {
                    ack: 3001,
                    // As far as the client is.
                    window: 15
                })
            )
        );
        assert!(!m.is_level(held));
        let (verdict, tell) = m.hear_child(&child(3001, 101), 3000, held);
        assert!(passes(verdict, 3001, held));
        assert_eq!(
            tell,
            Some(Tell {
                ack: 5001,
                window: 30
            })
        );
        assert!(m.is_level(held));
        assert_eq!(m.absorbed(), 5000);
    }

    #[test]
    fn a_client_far_along_is_found_where_it_is() {
        // Sequence numbers have wrapped, and the last word of the service's place is not the newest.
        let sent = 5 << 30;
        let mut m = machine_at(Place {
            sent,
            at_rest: None,
        });
        m.syn_ack_seen();
        m.child_found(0);
        let Child::Rewrite { seq, .. } = m.hear_child(&child(1, 1), 0, 101).0 else {
            panic!("no question");
        };
        for at in [sent - 1000, sent + (500 << 20)] {
            assert!(seq.is_before(ISS.at(at)));
            let mut m = m;
            m.hear_client(&client(101, at, 30), 0, None, 101);
            assert_eq!(m.client_place(101), Some((IRS.at(101), ISS.at(at))));
            // All of it is regenerated from the beginning.
            let (verdict, tell) = m.hear_child(&child(1, 101), 1000, 101);
            assert_eq!((verdict, tell.unwrap().ack), (Child::Absorb, 1001));
        }
    }

    #[test]
    fn output_before_the_clients_position_is_known_waits() {
        let mut m = probing();
        assert_eq!(m.hear_child(&child(1, 1), 100, 1), (Child::Absorb, None));
        m.hear_client(&client(1, 1, 30), 0, None, 1);
        assert!(passes(m.hear_child(&child(1, 1), 100, 1).0, 1, 1));
        assert!(m.is_level(1));
    }

    #[test]
    fn output_beyond_the_clients_window_waits() {
        let mut m = probing();
        m.hear_client(&client(1, 1, 10), 0, None, 1);
        let edge = 10 << 7;
        assert_eq!(m.hear_child(&child(1, 1), edge + 2, 1).0, Child::Absorb);
        assert!(passes(m.hear_child(&child(1, 1), edge, 1).0, 1, 1));
        assert_eq!(m.told_window(), 10);
        let mut closed = probing();
        closed.hear_client(&client(1, 5001, 0), 0, None, 1);
        assert_eq!(closed.told_window(), 5000 >> 7);
        assert_eq!(closed.hear_child(&child(1, 1), 5000, 1).0, Child::Absorb);
        assert_eq!((closed.told(), closed.told_window()), (5001, 0));
    }

    #[test]
    fn output_that_comes_twice_is_acknowledged_twice() {
        let mut m = probing();
        m.hear_client(&client(1, 5001, 30), 0, None, 1);
        let told = Some(Tell {
            ack: 101,
            window: 38,
        });
        assert_eq!(m.hear_child(&child(1, 1), 100, 1), (Child::Absorb, told));
        assert_eq!(m.hear_child(&child(1, 1), 100, 1), (Child::Absorb, told));
    }

    #[test]
    fn a_fin_is_absorbed_like_a_byte() {
        let mut m = probing();
        m.hear_client(&client(1, 12, 30), 0, None, 1);
        let mut last = child(1, 1);
        last.flags |= flags::FIN;
        assert_eq!(
            m.hear_child(&last, 10, 1),
            (
                Child::Absorb,
                Some(Tell {
                    ack: 12,
                    window: 30
                })
            )
        );
        assert!(m.is_level(1));
    }

    #[test]
    fn a_reset_of_the_child_is_the_end() {
        let mut m = probing();
        let mut reset = child(1, 1);
        reset.flags |= flags::RST;
        assert_eq!(m.hear_child(&reset, 0, 1), (Child::Gone, None));
    }

    #[test]
    fn the_client_may_go_on_while_the_child_is_far_behind() {
        let mut m = probing();
        let held = 500_001;
        m.old_edge = held;
        m.hear_client(&client(held, 1, 30), 0, None, held);
        m.feed(1000);
        let (verdict, _) = m.hear_child(&child(1, 1001), 0, held);
        assert!(matches!(verdict, Child::Rewrite { seq, ack, window }
            if seq == ISS.at(1) && ack == IRS.at(held) && u64::from(window) == FURTHER >> 7));
        // Not twice for the same, unless the client asks, and not when the child is close behind.
        assert_eq!(m.hear_child(&child(1, 1001), 0, held).0, Child::Absorb);
        m.feed(held - 2001);
        let further = held + 1000;
        assert_eq!(
            m.hear_child(&child(1, held - 1000), 0, further).0,
            Child::Absorb
        );
        // What was offered is kept at the splice.
        m.feed(2000);
        m.hear_child(&child(1, further), 0, further);
        assert!(m.is_level(further));
        assert_eq!(m.right_edge(), IRS.at(held + FURTHER));
    }

    #[test]
    fn a_client_that_has_not_heard_its_acknowledgement_is_told_again() {
        let mut m = probing();
        m.hear_child(&child(1, 1), 0, 1001);
        m.hear_client(&client(3001, 1, 30), 0, None, 1001);
        m.feed(1000);
        assert!(!m.owes_acknowledgement());
        assert_eq!(m.hear_child(&child(1, 1001), 0, 1001).0, Child::Absorb);
        // It sends again what is held.
        assert_eq!(m.hear_client(&client(501, 1, 30), 500, None, 1001).0, None);
        assert!(m.owes_acknowledgement());
        assert!(matches!(
            m.hear_child(&child(1, 1001), 0, 1001).0,
            Child::Rewrite { seq, ack, .. } if seq == ISS.at(1) && ack == IRS.at(1001)
        ));
        assert!(!m.owes_acknowledgement());
    }

    #[test]
    fn what_was_lost_with_the_old_node_is_acknowledged_as_it_comes_again() {
        let mut m = probing();
        // The client has sent up to 3001, of which 1001 and what follows are held nowhere.
        m.hear_client(&client(3001, 1, 30), 0, None, 1001);
        m.feed(1000);
        m.hear_child(&child(1, 1001), 0, 1001);
        assert!(!m.is_level(1001));
        let (piece, _) = m.hear_client(&client(1001, 1, 30), 1000, None, 1001);
        assert_eq!(piece.unwrap().end(), 2001);
        m.feed(1000);
        assert!(matches!(
            m.hear_child(&child(1, 2001), 0, 2001).0,
            Child::Rewrite { ack, .. } if ack == IRS.at(2001)
        ));
        m.hear_client(&client(2001, 1, 30), 1000, None, 2001);
        m.feed(1000);
        m.hear_child(&child(1, 3001), 0, 3001);
        assert!(m.is_level(3001));
    }
}
