// SPDX-License-Identifier: GPL-2.0

//! What the client of a restoration says: where it is, and what the input lacks.

use super::{
    Restore,
    Tell, //
};
use crate::{
    flow::tracker::Piece,
    wire::{
        segment::{
            flags,
            Header, //
        },
        seq::Seq, //
    }, //
};

impl Restore {
    /// Returns whether a segment may be the client's; `held` is the end of the input that is held.
    ///
    /// The client may have been offered no more than the old node has told of.
    pub(crate) fn accepts(&self, header: &Header, held: u64) -> bool {
        let offset = header.seq.offset(self.irs, held);
        header.has(flags::ACK)
            && !header.any(flags::SYN | flags::RST)
            && offset.is_some_and(|offset| offset <= self.old_edge)
    }

    /// Looks at a segment of the client with `len` bytes of payload; `held` is the end of the
    /// input that is held.
    ///
    /// `sack` is the furthest end of what it selectively acknowledges. Returns the piece that the input
    /// lacks, if it has one that follows it, and what the child is to be told. The segment itself goes no
    /// further.
    pub(crate) fn hear_client(
        &mut self,
        header: &Header,
        len: usize,
        sack: Option<Seq>,
        held: u64,
    ) -> (Option<Piece>, Option<Tell>) {
        let Some(offset) = header
            .seq
            .offset(self.irs, held)
            .filter(|_| self.accepts(header, held))
        else {
            return (None, None);
        };
        // CAST: Widening.
        let end = offset + len as u64 + u64::from(header.has(flags::FIN));
        self.client_next = self.client_next.max(end);
        self.is_heard = true;
        self.owes |= end > offset;
        self.at_rest &= end == offset;
        self.leaves_gap |= offset > held && end > offset;
        let known = self.client.map_or(self.place, |c| c.ack);
        if let Some(ack) = header.ack.offset(self.iss, known) {
            self.client_acknowledges(ack, header.window);
        }
        if let Some(sack) = sack {
            self.client_holds(sack);
        }
        let piece = self.lacking(header, offset, len, held);
        self.leaves_gap &= piece.is_none();
        (piece, self.tell())
    }

    /// Takes in what the client acknowledges and offers.
    fn client_acknowledges(&mut self, ack: u64, window: u16) {
        if self.client.is_none_or(|c| ack >= c.ack) && ack >= 1 {
            let told = Tell { ack, window };
            if self.client.is_none() && !self.tells_reach {
                self.client_reach = self.client_edge(&told);
            }
            self.client = Some(told);
            self.catch_up();
        }
    }

    /// Takes in how far what the client selectively acknowledges reaches. What lies beyond its window is
    /// not true.
    fn client_holds(&mut self, sack: Seq) {
        let Some(client) = self.client else {
            return;
        };
        let reach = sack.offset(self.iss, client.ack);
        if let Some(reach) = reach.filter(|&reach| reach <= self.client_edge(&client)) {
            self.client_reach = self.client_reach.max(reach);
        }
    }

    fn lacking(&self, header: &Header, offset: u64, len: usize, held: u64) -> Option<Piece> {
        let fin = header.has(flags::FIN);
        let piece = Piece {
            offset,
            skip: 0,
            len,
            fin,
        };
        if offset > held || piece.end() <= held {
            return None;
        }
        // CAST: The difference is less than the segment's length.
        let skip = (held - offset) as usize;
        Some(Piece {
            offset: held,
            skip,
            len: len.saturating_sub(skip),
            fin,
        })
    }

    pub(super) fn client_edge(&self, client: &Tell) -> u64 {
        client.ack + (u64::from(client.window) << self.client_wscale)
    }

    /// Returns the end of what the client has sent and that has to be held, if it was heard.
    pub(super) fn client_end(&self) -> u64 {
        self.client_next.min(self.urgent)
    }

    /// Returns the numbers that an acknowledgement of the client would have, as far as it was heard.
    pub(crate) fn client_place(&self, held: u64) -> Option<(Seq, Seq)> {
        let client = self.client?;
        Some((self.irs.at(held), self.iss.at(client.ack)))
    }

    /// Returns whether a segment says that the client does not know of the connection: it begins it
    /// again, as it has not heard of the answer to its SYN, or resets it.
    pub(crate) fn is_given_up_by(&self, header: &Header, held: u64) -> bool {
        let begins = header.has(flags::SYN) && !header.has(flags::ACK) && header.seq == self.irs;
        // In the very place where a reset is believed (RFC 5961, section 3.2).
        let resets = header.has(flags::RST) && header.seq == self.irs.at(held);
        (begins && self.client.is_none() && held == 1) || resets
    }

    /// Returns whether a segment of the client is left to be sent again, to the child itself: it has urgent data,
    /// which is not what it seems in a stream, or follows some.
    pub(crate) fn leaves_to_child(&mut self, header: &Header, len: usize, held: u64) -> bool {
        let Some(offset) = header.seq.offset(self.irs, held) else {
            return false;
        };
        if header.has(flags::URG) && len > 0 && self.accepts(header, held) {
            self.urgent = self.urgent.min(offset);
        }
        offset >= self.urgent
    }

    /// Looks whether a segment resets the connection behind what is held: as TCP does, the client is told
    /// where that is, so that it can do it there (RFC 5961, section 3.2).
    pub(crate) fn hear_reset(&mut self, header: &Header, held: u64) {
        let offset = header.seq.offset(self.irs, held);
        let behind = offset.is_some_and(|offset| offset > held && offset <= self.old_edge);
        self.owes |= header.has(flags::RST) && behind;
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_restore_client))]
mod tests {
    use super::{
        super::testing::{
            child,
            client,
            machine,
            probing,
            IRS, //
        },
        *, //
    };
    use crate::flow::restore::Phase;

    #[test]
    fn urgent_data_and_what_follows_it_is_left_to_the_child() {
        let mut m = probing();
        let mut urgent = client(111, 1, 512);
        urgent.flags |= flags::URG;
        assert!(!m.leaves_to_child(&client(101, 1, 512), 10, 101));
        assert!(m.leaves_to_child(&urgent, 1, 101));
        assert!(m.leaves_to_child(&client(112, 1, 512), 10, 101));
        assert!(!m.leaves_to_child(&client(101, 1, 512), 10, 101));
        // The client has sent more behind it, and says so; what is in front of it is missing.
        m.hear_client(&client(122, 1, 512), 0, None, 101);
        m.feed(100);
        m.hear_child(&child(1, 101), 0, 101);
        assert!(m.waits_for_client(101) && !m.is_level(101));
        m.feed(10);
        m.hear_child(&child(1, 111), 0, 111);
        assert!(m.is_level(111));
        // One that is nobody's says nothing.
        let mut m = probing();
        urgent.seq = IRS.at(1 << 30);
        m.leaves_to_child(&urgent, 1, 101);
        assert!(!m.leaves_to_child(&client(111, 1, 512), 10, 101));
    }

    #[test]
    fn a_reset_behind_what_is_held_is_answered() {
        let reset = |seq| Header {
            flags: flags::RST,
            ..client(seq, 0, 0)
        };
        for (seq, answered) in [(100, false), (101, false), (102, true), (1 << 30, false)] {
            let mut m = probing();
            m.hear_client(&client(101, 1, 512), 0, None, 101);
            m.hear_reset(&reset(seq), 101);
            assert_eq!(m.owes_acknowledgement(), answered);
        }
    }

    #[test]
    fn a_client_that_does_not_know_of_the_connection_is_let_go() {
        let m = probing();
        let syn = Header {
            seq: IRS,
            flags: flags::SYN,
            ..Header::default()
        };
        let rst = Header {
            seq: IRS.at(101),
            flags: flags::RST,
            ..Header::default()
        };
        assert!(m.is_given_up_by(&syn, 1));
        assert!(m.is_given_up_by(&rst, 101));
        // Another connection's, one that was answered, and one that nobody believes.
        assert!(!m.is_given_up_by(
            &Header {
                seq: IRS.add(1),
                ..syn
            },
            1
        ));
        assert!(!m.is_given_up_by(&syn, 2));
        assert!(!m.is_given_up_by(&rst, 102));
        let mut heard = m;
        heard.hear_client(&client(1, 1, 30), 0, None, 1);
        assert!(!heard.is_given_up_by(&syn, 1));
    }

    #[test]
    fn what_the_client_sends_meanwhile_joins_the_input() {
        let mut m = probing();
        let (piece, _) = m.hear_client(&client(91, 1, 30), 20, None, 101);
        assert_eq!(
            piece,
            Some(Piece {
                offset: 101,
                skip: 10,
                len: 10,
                fin: false
            })
        );
        // With a gap it has to come again.
        assert_eq!(m.hear_client(&client(120, 1, 30), 20, None, 111).0, None);
    }

    #[test]
    fn a_client_that_was_heard_before_there_was_a_child_is_fed_at_once() {
        let mut m = machine();
        m.hear_client(&client(101, 1, 30), 0, None, 101);
        m.syn_ack_seen();
        m.child_found(1000);
        assert_eq!(m.phase(), Phase::CatchUp);
        assert_eq!(m.appetite(101), Some((1, 100)));
    }
}
