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

mod edge;
mod input;
mod output;
mod place;
#[cfg(any(test, CONFIG_KUNIT))]
mod testing;

pub(crate) use edge::first_edge;
pub(crate) use input::{
    Inbound,
    Piece,
    Stamp, //
};
pub(crate) use output::{
    Outbound,
    Release, //
};
pub(crate) use place::NO_ANSWER;

use crate::wire::{
    segment::MAX_WSCALE,
    seq::Seq, //
};
use input::max_lag;
use output::Kept;

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

    /// Tells whether the client's stream has ended where it is.
    pub(crate) fn with_end(self, has_ended: bool) -> Self {
        Self {
            fin: has_ended.then_some(self.logged),
            ..self
        }
    }

    /// Returns the client's initial sequence number: which of the connections of its name it is.
    pub(crate) fn incarnation(&self) -> u32 {
        self.irs.raw()
    }
}
