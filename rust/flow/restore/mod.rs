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

mod child;
mod client;
mod feed;
mod level;
#[cfg(any(test, CONFIG_KUNIT))]
mod testing;

pub(crate) use child::Child;

use super::tracker::first_edge;
use crate::wire::{
    record::{
        open,
        Open, //
    },
    seq::Seq, //
};

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

    /// Returns how far the restoration has come, as a number that grows with every step.
    pub(crate) fn progress(&self) -> u64 {
        // CAST: Phases are numbered in their order.
        (self.phase as u64) + self.taken + self.told
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

    fn catch_up(&mut self) {
        if self.phase == Phase::Probe && self.client.is_some() {
            self.phase = Phase::CatchUp;
        }
    }

    /// The connection cannot be carried on, and the client is to be told.
    pub(crate) fn lose(&mut self) {
        self.phase = Phase::Lost;
    }

    /// The connection is not carried on: what the child says from here on is of no use.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Done;
    }
}
