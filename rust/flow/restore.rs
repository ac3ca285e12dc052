// SPDX-License-Identifier: GPL-2.0

//! A connection that is being carried on: from the handshake replayed to the splice.
//!
//! Between the client and the fabricated socket, the *child*, stands this machine. The child has
//! not read all that the client has sent, and has not sent all that the client has received:
//!
//! ```text
//!   client's stream   |--- taken ---|--- fed ---|--- held, to be fed ---| the client goes on here
//!   service's stream  |--- told ----|--- sent by the child ---| ... the client's position
//! ```
//!
//! The input is fed to the child as its window allows. Of the child's output, what the client
//! already has is absorbed and acknowledged at once, with a wide window so that it goes fast; what
//! is new passes, with the acknowledgement that the client is owed in place of the child's own,
//! which is behind. When both sides have caught up the two are spliced and the machine is done.
//!
//! Offsets are those of [`crate::wire::seq`].

use super::tracker::{
    first_edge,
    Piece,
    Stamp,
    Tracker, //
};
use crate::wire::{
    record::{
        open,
        Open, //
    },
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

/// How many segments a socket sends, at most, before it has heard of the first one (RFC 6928).
pub(crate) const INITIAL_CWND: u32 = 10;

/// How far the service had come on the old node, as it last said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// It had sent all offsets below.
    pub(crate) sent: u64,
    /// The window of its client, in bytes, if nothing was under way then.
    pub(crate) at_rest: Option<u32>,
}

impl Place {
    /// The place of a service that has not said anything.
    pub(crate) const START: Self = Self {
        sent: 1,
        at_rest: None,
    };
}

/// How far the restoration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The SYN has to be replayed, or was, and has not been answered.
    Embryo,
    /// The SYN-ACK was seen; the client's acknowledgement has to be replayed.
    Handshake,
    /// There is a child. The client has to be asked where it is.
    Probe,
    /// The client's position is known.
    CatchUp,
    /// It cannot be carried on, and the client, of which nobody knows where it is, has to be told.
    Lost,
    /// Client and child are spliced, or what the child says is of no use to anybody any more.
    Done,
}

/// An acknowledgement to be given to the child in the client's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tell {
    /// The offset acknowledged.
    pub(crate) ack: u64,
    /// The window, as it stands in the header.
    pub(crate) window: u16,
}

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

/// A connection that is being carried on.
///
/// # Invariants
///
/// `taken <= fed`, and `told <= sent`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restore {
    irs: Seq,
    iss: Seq,
    client_wscale: u8,
    service_wscale: u8,
    /// The longest segment that the child sends, in bytes, or more than that.
    mss: u64,
    phase: Phase,
    /// The child was given all of the client's offsets below.
    fed: u64,
    /// The child has acknowledged all of the client's offsets below.
    taken: u64,
    /// The right edge that the child offers.
    edge: u64,
    /// The right edge that the client may have been offered on the old node, or was since.
    old_edge: u64,
    /// Where urgent data of the client begins that it is to send again, or the end of all offsets.
    urgent: u64,
    /// The client was told that all of its offsets below are held here.
    acked: u64,
    /// The client has sent something since, and waits for an acknowledgement.
    owes: bool,
    /// The child has sent all of the service's offsets below.
    sent: u64,
    /// The child was told that the client has all offsets below.
    told: u64,
    /// The service had sent all of its offsets below, as far as is known, while it was elsewhere.
    place: u64,
    /// Whether nothing was under way then, nor has been since.
    at_rest: bool,
    /// The client has sent all of its offsets below, as far as it was heard.
    client_next: u64,
    /// It holds bytes up to here, some of them behind a gap; or may do so, if it does not tell.
    client_reach: u64,
    /// Whether it tells, by selective acknowledgements.
    tells_reach: bool,
    /// It was heard to send what lies behind bytes that are not held, and not those.
    leaves_gap: bool,
    /// What the client acknowledges and offers; nothing is known before it has spoken, unless it was
    /// at rest.
    client: Option<Tell>,
    /// Whether it has spoken.
    is_heard: bool,
}

impl Restore {
    /// Creates the machine for a connection that was logged as `open`.
    ///
    /// `old_edge` is the right edge that the client is known to have been offered.
    pub(crate) fn new(open: &Open, old_edge: u64, place: Place) -> Self {
        let irs = Seq::new(open.incarnation.get());
        let client = place.at_rest.map(|window| Tell {
            ack: place.sent,
            window: u16::try_from(window >> open.client_wscale).unwrap_or(u16::MAX),
        });
        Self {
            irs,
            iss: Seq::new(open.iss.get()),
            client_wscale: open.client_wscale,
            service_wscale: open.service_wscale,
            mss: u64::from(open.client_mss.get()).max(1),
            phase: Phase::Embryo,
            fed: 1,
            taken: 1,
            edge: 1,
            old_edge: old_edge.max(first_edge(open.window.get())),
            urgent: u64::MAX,
            acked: 1,
            owes: false,
            sent: 1,
            told: 1,
            place: place.sent,
            at_rest: place.at_rest.is_some(),
            client_next: 1,
            client_reach: 1,
            tells_reach: open.flags & open::SACK != 0,
            leaves_gap: false,
            client,
            is_heard: false,
        }
    }

    /// Returns how far the restoration has come.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns the end of what the child was told that the client has.
    pub(crate) fn told(&self) -> u64 {
        self.told
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

    /// The SYN-ACK was seen, and now has the numbers that it had on the old node.
    pub(crate) fn syn_ack_seen(&mut self) {
        if self.phase == Phase::Embryo {
            self.phase = Phase::Handshake;
        }
    }

    /// The handshake has to be replayed from the beginning.
    pub(crate) fn start_over(&mut self) {
        if self.phase == Phase::Handshake {
            self.phase = Phase::Embryo;
        }
    }

    /// There is a child in the table of established connections, which offers at least `window`
    /// bytes.
    pub(crate) fn child_found(&mut self, window: u32) {
        if self.phase == Phase::Handshake {
            self.edge = self.edge.max(1 + u64::from(window));
            self.phase = Phase::Probe;
            self.catch_up();
        }
    }

    /// Returns the sequence and acknowledgement numbers of what is injected in the client's name,
    /// given what the child is told.
    pub(crate) fn numbers(&self, ack: u64) -> (Seq, Seq) {
        (self.irs.at(self.fed), self.iss.at(ack))
    }

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

    fn catch_up(&mut self) {
        if self.phase == Phase::Probe && self.client.is_some() {
            self.phase = Phase::CatchUp;
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

    /// Returns what the child is to be told now, if that is news.
    fn tell(&mut self) -> Option<Tell> {
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
    fn tell_again(&self, client: &Tell) -> Tell {
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

    /// Returns the window that goes with what the child was told last.
    pub(crate) fn told_window(&self) -> u16 {
        self.client.map_or(u16::MAX, |c| self.tell_again(&c).window)
    }

    fn client_edge(&self, client: &Tell) -> u64 {
        client.ack + (u64::from(client.window) << self.client_wscale)
    }

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

    /// Returns the offset from which the child may be fed, and how many offsets its window has room
    /// for; `held` is the end of the input that is held.
    pub(crate) fn appetite(&self, held: u64) -> Option<(u64, u64)> {
        let room = self.edge.min(held).saturating_sub(self.fed);
        (self.phase == Phase::CatchUp && room > 0).then_some((self.fed, room))
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

    /// The child was given `count` offsets more.
    pub(crate) fn feed(&mut self, count: u64) {
        self.fed += count;
    }

    /// What the child was fed and has not acknowledged was lost on the way to it: it is fed again.
    pub(crate) fn feed_again(&mut self) {
        self.fed = self.taken;
    }

    /// Returns how far the restoration has come, as a number that grows with every step.
    pub(crate) fn progress(&self) -> u64 {
        // CAST: Phases are numbered in their order.
        (self.phase as u64) + self.taken + self.told
    }

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

    /// Returns the end of what the client has sent and that has to be held, if it was heard.
    fn client_end(&self) -> u64 {
        self.client_next.min(self.urgent)
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

    /// Returns the numbers that an acknowledgement of the client would have, as far as it was heard.
    pub(crate) fn client_place(&self, held: u64) -> Option<(Seq, Seq)> {
        let client = self.client?;
        Some((self.irs.at(held), self.iss.at(client.ack)))
    }

    /// The connection is not carried on: what the child says from here on is of no use.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Done;
    }

    /// The connection cannot be carried on, and the client is to be told.
    pub(crate) fn lose(&mut self) {
        self.phase = Phase::Lost;
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
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_restore))]
mod tests {
    use super::*;

    const IRS: Seq = Seq::new(u32::MAX - 50);
    const ISS: Seq = Seq::new(u32::MAX - 5);

    fn machine() -> Restore {
        machine_at(Place::START)
    }

    fn machine_at(place: Place) -> Restore {
        let open = Open {
            flags: open::SACK,
            incarnation: IRS.raw().into(),
            iss: ISS.raw().into(),
            client_wscale: 7,
            service_wscale: 7,
            client_mss: 1460.into(),
            window: 65535.into(),
            ..Open::default()
        };
        Restore::new(&open, 0, place)
    }

    /// A machine whose child stands, and has been asked where the client is.
    fn probing() -> Restore {
        let mut m = machine();
        m.syn_ack_seen();
        m.child_found(0);
        assert_eq!(m.phase(), Phase::Probe);
        m
    }

    fn client(seq: u64, ack: u64, window: u16) -> Header {
        Header {
            seq: IRS.at(seq),
            ack: ISS.at(ack),
            flags: flags::ACK,
            window,
            ..Header::default()
        }
    }

    fn child(seq: u64, ack: u64) -> Header {
        Header {
            seq: ISS.at(seq),
            ack: IRS.at(ack),
            flags: flags::ACK,
            window: 512,
            ..Header::default()
        }
    }

    /// Whether a segment of the child passes that begins at `seq`, acknowledging `ack` and offering
    /// what the old node may have offered.
    fn passes(verdict: Child, seq: u64, ack: u64) -> bool {
        let window = ((first_edge(65535) - ack) >> 7) as u16;
        verdict
            == Child::Rewrite {
                seq: ISS.at(seq),
                ack: IRS.at(ack),
                window,
            }
    }

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
    fn output_before_the_clients_position_is_known_waits() {
        let mut m = probing();
        assert_eq!(m.hear_child(&child(1, 1), 100, 1), (Child::Absorb, None));
        m.hear_client(&client(1, 1, 30), 0, None, 1);
        assert!(passes(m.hear_child(&child(1, 1), 100, 1).0, 1, 1));
        assert!(m.is_level(1));
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

    #[test]
    fn a_client_that_was_heard_before_there_was_a_child_is_fed_at_once() {
        let mut m = machine();
        m.hear_client(&client(101, 1, 30), 0, None, 101);
        m.syn_ack_seen();
        m.child_found(1000);
        assert_eq!(m.phase(), Phase::CatchUp);
        assert_eq!(m.appetite(101), Some((1, 100)));
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
}
