// SPDX-License-Identifier: GPL-2.0

//! A connection on its primary: which of the client's bytes to log, and which acknowledgements to
//! hold back.
//!
//! The rule is input commit: the client is never told that something was received before the
//! backup holds it. An acknowledgement that is ahead of the backup is set back to what the backup
//! has confirmed, with the window made larger by the difference, so that the right edge of the
//! offered window stays where it was (RFC 9293, section 3.8.6.2.1: it must not shrink). The
//! service's data is never held back, but for what comes with its FIN: once the client has
//! acknowledged that, there may be no socket any more that could send the newer acknowledgement.
//!
//! The right edge itself is committed too. The backup is told an edge somewhat beyond the one that
//! is being offered, and no more than what it has confirmed to know of is ever offered: so whoever
//! takes over knows how much the client may have been promised.

use crate::wire::{
    segment::{
        flags,
        Header,
        MAX_WSCALE, //
    },
    seq::Seq, //
};
use core::mem;

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

/// How much further than what is offered the edge that the backup is told reaches, in bytes, beside
/// the window itself: the window may as much as double before the next record.
const EDGE_SLACK: u64 = 256 << 10;

/// How far the service comes before the backup is told of its place again, in bytes: few enough for
/// an acknowledgement to say where its client is, also if one such record is lost with the node.
const PLACE_STEP: u64 = 256 << 20;
/// For how long a timestamp of the client is compared with the one before, in milliseconds: less than it
/// takes one that counts microseconds to wrap (2^31 of them).
const TIMESTAMPS_COMPARE_MS: u64 = 2_000_000;
/// How much may go without an acknowledgement for a while, in bytes: less than two segments (RFC 5681,
/// section 4.2) of the smallest size that is usual (RFC 9293, section 3.7.1).
const LITTLE: u64 = 2 * 536;
/// What is sent beyond a window: probes of one that is closed, the FIN, in bytes, with much to spare.
const LAG_SLACK: u64 = 64 << 10;

/// What is no answer yet, however often the client goes on after it, in bytes: "HTTP/1.1 100
/// Continue" and two ends of lines.
pub(crate) const NO_ANSWER: u64 = 25;
/// How much input, or output that would have to be regenerated, makes it worth while to begin the log
/// anew, in bytes.
const WORTH_INPUT: u64 = 4 << 10;
const WORTH_OUTPUT: u64 = 64 << 10;

/// Returns how far behind what the service has sent an acknowledgement may be that TCP takes.
///
/// It may be older than another one by the largest window that the client has offered (RFC 5961,
/// section 5.2), and the service may have sent a window more than that one: whatever is in doubt is
/// taken.
fn max_lag(wscale: u8) -> u64 {
    2 * (u64::from(u16::MAX) << wscale) + LAG_SLACK
}

/// Returns the right edge that both nodes know of from the start, given what the SYN-ACK offers in
/// bytes.
pub(crate) fn first_edge(window: u32) -> u64 {
    1 + u64::from(window) + EDGE_SLACK
}

/// A segment that is being kept.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// What it acknowledges.
    ack: u64,
    /// The right edge that it offers.
    edge: u64,
    /// Whether that is less than the socket does.
    curtailed: bool,
    /// Whether it has the FIN.
    fin: bool,
}

/// A protected connection on its primary.
///
/// # Invariants
///
/// `confirmed <= logged <= reached`, and `acked <= confirmed` and `sent_edge <= known_edge`, but for
/// the rounding of windows, for as long as the connection is protected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tracker {
    irs: Seq,
    iss: Seq,
    wscale: u8,
    /// The service has sent no offset from here on.
    service_next: u64,
    /// The same, when the client was last heard to say something new.
    asked: u64,
    /// The same, as the backup was told last.
    told_place: u64,
    /// Whether the backup was told that nothing is under way.
    at_rest: bool,
    /// `service_next` and `logged` as they were when [`Self::stands`] was last asked.
    settled: (u64, u64),
    /// The timestamp of the last segment that was logged in order, or of the SYN.
    tsval: Option<Stamp>,
    /// How far behind the service an acknowledgement may be, in bytes.
    max_lag: u64,
    /// The offset behind the client's FIN, where it was heard last.
    fin: Option<u64>,
    /// All offsets below are in the log.
    logged: u64,
    /// No offset from here on is in the log.
    reached: u64,
    /// All offsets below are held by the backup.
    confirmed: u64,
    /// The highest acknowledgement that has left.
    acked: u64,
    /// The highest acknowledgement that the socket wanted to send.
    wanted: u64,
    /// The right edge that the socket has offered, and the one that has left.
    offered_edge: u64,
    sent_edge: u64,
    /// The right edge that the backup knows of.
    known_edge: u64,
    /// The right edge that it was told last, and will know of when it has confirmed all offsets
    /// below `told_with`.
    told_edge: u64,
    told_with: u64,
    /// What is being kept. Once another segment has left it is stale: its timestamp would run backwards.
    kept: Option<Kept>,
    /// Whether the socket wanted to send an acknowledgement for its own sake, and could not.
    owes: bool,
    /// Since when something waits, on the caller's clock. A confirmation of anything more ends it.
    waits_since: Option<u64>,
}

impl Tracker {
    /// Creates the tracker of a connection whose SYN, number `irs`, has been answered with one of
    /// number `iss`.
    ///
    /// `window` is what the SYN-ACK offers in bytes, `wscale` the scale of the windows that
    /// follow, 0 to 14.
    pub(crate) fn new(irs: Seq, iss: Seq, wscale: u8, window: u32) -> Self {
        let edge = 1 + u64::from(window);
        let known_edge = first_edge(window);
        Self {
            irs,
            iss,
            wscale,
            service_next: 1,
            asked: 1,
            told_place: 1,
            at_rest: false,
            settled: (0, 0),
            tsval: None,
            max_lag: max_lag(MAX_WSCALE),
            fin: None,
            logged: 1,
            reached: 1,
            confirmed: 0,
            acked: 0,
            wanted: 0,
            offered_edge: edge,
            sent_edge: edge,
            known_edge,
            told_edge: known_edge,
            told_with: 0,
            kept: None,
            owes: false,
            waits_since: None,
        }
    }

    /// Tells what the client has said of itself: the scale of its windows, and its first timestamp.
    pub(crate) fn with_client(self, wscale: u8, tsval: Option<Stamp>) -> Self {
        Self {
            max_lag: max_lag(wscale),
            tsval,
            ..self
        }
    }

    /// Creates the tracker of a connection that begins anew at a safe point: as if a handshake with
    /// these numbers had just come to its end.
    pub(crate) fn resumed(irs: Seq, iss: Seq, wscale: u8, window: u32) -> Self {
        Self {
            acked: 1,
            wanted: 1,
            ..Self::new(irs, iss, wscale, window)
        }
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

    /// Creates the tracker of a connection that was carried on: the client has been told that all of its
    /// offsets below `held` are held, and offered a window up to `edge`; the service has sent all of its
    /// offsets below `sent`. `is_answered` is whether the service was the last to speak.
    pub(crate) fn carried_on(
        (irs, iss): (Seq, Seq),
        wscale: u8,
        (held, edge): (u64, u64),
        sent: u64,
        is_answered: bool,
    ) -> Self {
        Self {
            service_next: sent,
            asked: if is_answered { 1 } else { sent },
            logged: held,
            reached: held,
            acked: held,
            wanted: held,
            offered_edge: edge,
            sent_edge: edge,
            ..Self::new(irs, iss, wscale, 0)
        }
    }

    /// The SYN-ACK leaves before the backup has confirmed anything: it acknowledges the SYN.
    pub(crate) fn syn_ack_leaves(&mut self) {
        self.acked = self.acked.max(1);
        self.wanted = self.wanted.max(1);
    }

    /// Tells whether the client's stream has ended where it is.
    pub(crate) fn with_end(self, has_ended: bool) -> Self {
        Self {
            fin: has_ended.then_some(self.logged),
            ..self
        }
    }

    /// All of the client's offsets below `end` are held here.
    pub(crate) fn holds(&mut self, end: u64) {
        self.logged = self.logged.max(end);
    }

    /// Returns whether there is no gap in what is known of the client's stream, and nothing that the
    /// socket has and that was not seen.
    pub(crate) fn is_whole(&self) -> bool {
        self.reached.max(self.wanted) <= self.logged
    }

    /// Nothing is held back any more: what was, leaves now.
    pub(crate) fn let_go(&mut self) {
        self.acked = self.wanted;
        self.sent_edge = self.offered_edge;
        self.kept = None;
        self.owes = false;
        self.waits_since = None;
    }

    /// Returns the client's last timestamp.
    pub(crate) fn tsval(&self) -> Option<u32> {
        self.tsval.map(|stamp| stamp.val)
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

    /// Returns the client's first offset that is not in the log.
    pub(crate) fn next_to_log(&self) -> u64 {
        self.logged
    }

    /// Returns the offset that the service's next byte has.
    pub(crate) fn place(&self) -> u64 {
        self.service_next
    }

    /// Returns the number that the service's next byte has.
    pub(crate) fn service_seq(&self) -> Seq {
        self.iss.at(self.service_next)
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

    /// Returns the client's initial sequence number: which of the connections of its name it is.
    pub(crate) fn incarnation(&self) -> u32 {
        self.irs.raw()
    }

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

    fn sent(&mut self, ack: u64, edge: u64) {
        self.acked = self.acked.max(ack);
        self.sent_edge = self.sent_edge.max(edge);
        self.kept = None;
        self.owes &= self.acked < self.wanted;
    }

    /// What was to be kept is not: it is said again, or not at all.
    pub(crate) fn forget_kept(&mut self) {
        self.kept = None;
    }

    /// Returns whether the segment that is being kept is still the newest one.
    pub(crate) fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// The same, and it says all that the socket has to say.
    pub(crate) fn keeps_the_last_word(&self) -> bool {
        self.kept.is_some_and(|kept| kept.fin || !kept.curtailed)
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

    fn acknowledged(&self, header: &Header) -> Option<u64> {
        if !header.has(flags::ACK) || header.has(flags::RST) {
            return None;
        }
        header.ack.offset(self.irs, self.wanted)
    }

    /// Returns the window that, from `ack`, reaches as far as `edge`.
    ///
    /// A scaled window cannot name every edge. It is rounded down, except where that would take
    /// back what the client has been offered; then it is rounded up, to at most one unit more than
    /// the socket has offered.
    fn window_to(&self, ack: u64, edge: u64) -> u16 {
        let unit_less_one = (1u64 << self.wscale) - 1;
        let down = edge.saturating_sub(ack) >> self.wscale;
        let kept = self.sent_edge.min(self.offered_edge);
        let up = (kept.saturating_sub(ack) + unit_less_one) >> self.wscale;
        u16::try_from(down.max(up)).unwrap_or(u16::MAX)
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_tracker))]
mod tests {
    use super::*;

    fn stamp(val: u32) -> Option<Stamp> {
        Some(Stamp { val, at_ms: 0 })
    }

    const IRS: Seq = Seq::new(u32::MAX - 2);
    const ISS: Seq = Seq::new(7);
    const WSCALE: u8 = 7;
    const NOW: (u64, u64) = (1000, 50);

    /// A tracker just behind the handshake.
    fn open() -> Tracker {
        let mut tracker = Tracker::new(IRS, ISS, WSCALE, 65535);
        assert_eq!(tracker.confirm(1), Some(Release::Nothing));
        tracker
    }

    fn from_client(offset: u64, bits: u8) -> Header {
        Header {
            seq: IRS.at(offset),
            ack: ISS.at(1),
            flags: flags::ACK | bits,
            ..Header::default()
        }
    }

    fn from_service(ack: u64, window: u16) -> Header {
        Header {
            seq: ISS.at(1),
            ack: IRS.at(ack),
            flags: flags::ACK,
            window,
            ..Header::default()
        }
    }

    /// Logs a segment whole, and returns the piece.
    fn log(tracker: &mut Tracker, offset: u64, len: usize, bits: u8) -> Option<Piece> {
        match tracker.inbound(&from_client(offset, bits), len, None) {
            Inbound::Log(piece) => {
                tracker.logged(&piece, None);
                Some(piece)
            }
            Inbound::Nothing => None,
        }
    }

    fn piece(offset: u64, skip: usize, len: usize, fin: bool) -> Option<Piece> {
        Some(Piece {
            offset,
            skip,
            len,
            fin,
        })
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
        let piece = Piece {
            offset: 1,
            skip: 0,
            len: 10,
            fin: false,
        };
        t.logged(&piece, stamp(100));
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

    /// Sends `len` bytes of the service from `from` on.
    fn send(t: &mut Tracker, from: u64, len: u64) {
        let segment = Header {
            seq: ISS.at(from),
            ..from_service(t.logged, 500)
        };
        t.outbound(&segment, len as usize, false, NOW);
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
    fn a_window_that_the_backup_does_not_know_of_is_no_reason_to_give_up() {
        let mut t = open();
        let wide = from_service(1, 65535);
        for now in [1000, 5000] {
            let verdict = t.outbound(&wide, 10, false, (now, 50));
            assert!(matches!(verdict, Outbound::Clamp { .. }));
        }
    }

    #[test]
    fn what_overtook_others_does_not_make_them_old() {
        let mut t = open();
        let piece = Piece {
            offset: 101,
            skip: 0,
            len: 10,
            fin: false,
        };
        t.logged(&piece, stamp(100));
        assert_ne!(
            t.inbound(&from_client(1, 0), 100, stamp(90)),
            Inbound::Nothing
        );
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
