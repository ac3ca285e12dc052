// SPDX-License-Identifier: GPL-2.0

//! Connections that this node serves: logged to the backup, and their acknowledgements held back
//! until it has confirmed.

mod journal;
mod packets;
mod rest;
pub(crate) mod resync;
mod rewrite;
mod safe_point;

use crate::{
    flow::tracker::{
        Release,
        Stamp,
        Tracker, //
    },
    kapi::{
        net::{
            skbuff::Held,
            tcp::RequestFields, //
        },
        time, //
    },
    service::{
        Flow,
        FlowRef,
        FlowState,
        Service, //
    },
    stats::Stats,
    wire::{
        frame::WireError,
        key::Key,
        record::{
            self,
            open, //
        },
        seq::Seq, //
    },
};
use core::mem;
use journal::Journal;
pub(crate) use journal::Unprotected;
use kernel::prelude::*;
pub(crate) use packets::{
    inbound,
    outbound,
    outbound_unknown, //
};
pub(crate) use rest::{
    look,
    note_rest,
    Look, //
};
pub(crate) use rewrite::{
    rewrite_ack,
    rewrite_flags,
    rewrite_seq, //
};

/// How long a backup that could not take a connection, or was too slow, is left alone with it, in
/// milliseconds.
const TRY_AGAIN_MS: u64 = 10_000;

/// A connection that is logged.
pub(crate) struct Tracked {
    tracker: Tracker,
    /// The session in which it was opened: in another one the backup knows nothing of it.
    session: u32,
    /// What waits for the backup: the SYN-ACK, an acknowledgement, or the last segment.
    kept: Option<Held>,
    /// When the SYN was answered, in jiffies.
    began: u64,
    /// Whether the SYN-ACK has left. Until then it is what is kept, and nothing else leaves.
    is_answered: bool,
    /// What it takes to tell another backup, if there was room for it.
    journal: Option<KBox<Journal>>,
}

// There is one for each connection: a byte more, and the next larger slab has it.
const _: () = assert!(size_of::<Tracked>() <= 256);

/// Why a connection is not, or no longer, protected.
#[derive(Clone, Copy)]
enum Reason {
    Unlogged,
    NoBackup,
    Special,
    Session,
    Log,
    Refused,
    Late,
    Urgent,
}

impl Reason {
    /// Counts it.
    fn count(self, stats: &Stats) {
        stats.connections_unprotected.inc();
        match self {
            Self::Unlogged => &stats.unprotected_unlogged,
            Self::NoBackup => &stats.unprotected_no_backup,
            Self::Special => &stats.unprotected_special,
            Self::Session => &stats.unprotected_session,
            Self::Log => &stats.unprotected_log,
            Self::Refused => &stats.unprotected_refused,
            Self::Late => &stats.unprotected_late,
            Self::Urgent => &stats.unprotected_urgent,
        }
        .inc();
    }
}

impl Tracked {
    /// Creates the state of a connection of which the backup has just been told in `open`.
    fn new(service: &Service, tracker: Tracker, open: &record::Open) -> Self {
        Self {
            tracker,
            session: service.node.channel.session(),
            kept: None,
            began: time::jiffies(),
            is_answered: false,
            journal: Journal::new(&service.node, open),
        }
    }

    /// Returns how much memory the copy of the input takes, in bytes.
    pub(crate) fn input_bytes(&self) -> u64 {
        self.journal
            .as_ref()
            .map_or(0, |journal| journal.input.size())
    }

    /// Takes what is kept if something newer has left.
    fn take_stale(&mut self) -> Option<Held> {
        let stale = self.is_answered && !self.tracker.keeps();
        self.kept.take_if(|_| stale)
    }

    /// Takes what is kept, if it is to be sent when nothing waits any more: the SYN-ACK, or the newest segment
    /// unless the socket would say more.
    fn take_kept(&mut self) -> Option<Held> {
        let fresh = !self.is_answered || self.tracker.keeps_the_last_word();
        self.kept.take().filter(|_| fresh)
    }

    /// The SYN-ACK leaves, if it has not yet, whatever the backup knows.
    fn answer(&mut self) {
        if !mem::replace(&mut self.is_answered, true) {
            self.tracker.syn_ack_leaves();
        }
    }

    /// Nothing waits for the backup any more: returns what has.
    fn let_go(&mut self) -> Leftover {
        let leftover = Leftover::with(self.take_kept(), self.tracker.holds_back());
        self.tracker.let_go();
        self.answer();
        leftover
    }
}

/// Returns the tracker of a connection whose SYN was answered so.
fn tracker_of(request: &RequestFields) -> Tracker {
    Tracker::new(
        Seq::new(request.irs),
        Seq::new(request.iss),
        request.wscale,
        request.window,
    )
    .with_client(request.client_wscale, first_stamp(request))
}

/// Returns the timestamp that what a client sends next must not be older than. As the kernel does it, 0
/// is none.
fn first_stamp(fields: &RequestFields) -> Option<Stamp> {
    stamp(fields.client_tsval).filter(|_| fields.tstamp_ok)
}

/// Returns a timestamp of the client that has just come; the kernel takes 0 for none.
pub(crate) fn stamp(val: u32) -> Option<Stamp> {
    (val != 0).then(|| Stamp {
        val,
        at_ms: time::now_ms(),
    })
}

fn open_record(key: &Key, request: &RequestFields) -> record::Open {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    record::Open {
        key: *key,
        incarnation: request.irs.into(),
        iss: request.iss.into(),
        flags: flag(request.wscale_ok, open::WSCALE)
            | flag(request.tstamp_ok, open::TIMESTAMPS)
            | flag(request.sack_ok, open::SACK)
            | flag(request.usec_ts, open::TS_USEC)
            | flag(request.ecn_ok, open::ECN),
        client_wscale: request.client_wscale,
        service_wscale: request.wscale,
        reserved: 0,
        client_mss: request.client_mss.into(),
        window: request.window.into(),
        client_tsval: request.client_tsval.into(),
        service_tsval: request.tsval.into(),
        clock_ms: time::now_ms().into(),
    }
}

/// The backup has confirmed what it holds of a connection.
pub(crate) fn confirmed(service: &Service, confirm: &record::Confirm) -> Result<(), WireError> {
    let Some(flow) = service.find(&confirm.key) else {
        return Ok(());
    };
    let mut state = flow.state.lock();
    let upto = confirm.upto.get();
    let tracked = match &mut *state {
        FlowState::Tracked(tracked) => tracked,
        FlowState::Unprotected(unprotected) if upto == 0 => {
            let ack = unprotected.refused(service, &flow.key, confirm.incarnation.get());
            drop(state);
            Leftover::owed(ack).finish(service, &flow);
            return Ok(());
        }
        _ => return Ok(()),
    };
    if tracked.tracker.incarnation() != confirm.incarnation.get() {
        return Ok(());
    }
    if upto == 0 {
        let leftover = give_up(service, &flow.key, &mut state, Reason::Refused);
        drop(state);
        leftover.finish(service, &flow);
        return Ok(());
    }
    let release = tracked.tracker.confirm(upto).ok_or(WireError::BadValue)?;
    // The SYN-ACK, or what the tracker has just released.
    let sendable = !tracked.is_answered || release == Release::Kept;
    let begins_anew = service.has_safe_points() && tracked.tracker.is_long();
    let leftover = Leftover {
        kept: tracked.kept.take_if(|_| sendable),
        ack: match release {
            Release::Nothing | Release::Kept => Owed::No,
            Release::Little if !begins_anew => Owed::Soon,
            Release::Little | Release::More => Owed::Now,
        },
    };
    tracked.is_answered = true;
    drop(state);
    kill_point!(service.node, Confirmed);
    leftover.finish(service, &flow);
    kill_point!(service.node, Released);
    Ok(())
}

/// Whether the client is owed an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owed {
    No,
    /// It may be with what the socket sends next, if that is soon.
    Soon,
    Now,
}

/// What a connection has held back.
struct Leftover {
    kept: Option<Held>,
    ack: Owed,
}

impl Leftover {
    /// Returns an acknowledgement, if one is owed.
    fn owed(ack: bool) -> Self {
        Self::with(None, ack)
    }

    /// Returns something that was kept, or else an acknowledgement, if one is owed.
    fn with(kept: Option<Held>, ack: bool) -> Self {
        let ack = if ack && kept.is_none() {
            Owed::Now
        } else {
            Owed::No
        };
        Self { kept, ack }
    }

    /// Sends what may be sent from within a hook. The owed acknowledgement goes with whatever the
    /// socket sends next, and at the latest when the client asks for it by sending again.
    fn send(self, service: &Service) {
        // It is past the hooks, which would not let it leave from a node that is silent.
        let may_speak = service.speaks() && !service.is_muted();
        #[cfg(tcpfo_test)]
        let may_speak = may_speak && !crate::test_points::is_dead(&service.node);
        if let Some(kept) = self.kept.filter(|_| may_speak) {
            kept.send(&service.node.net);
        }
    }

    /// Sends everything, without waiting for anybody. Process context.
    fn finish(self, service: &Service, flow: &Flow) {
        let speaks = self.ack == Owed::Now || self.kept.is_some();
        service.node.stats.acks_released.add(u64::from(speaks));
        if self.ack != Owed::No {
            if let Some(socket) = service.socket_of(&flow.key) {
                match self.ack {
                    Owed::Now => socket.send_ack(),
                    _ => socket.delay_ack(),
                }
            }
        }
        self.send(service);
    }
}

/// Has the backup forget a connection that it was told of in `session`, if that is the present one.
fn tell_closed(service: &Service, key: &Key, incarnation: u32, session: u32) {
    if session == service.node.channel.session() {
        let close = record::Close {
            key: *key,
            incarnation: incarnation.into(),
        };
        let node = &service.node;
        let appended = node.channel.log.append_idly(&close, None);
        node.channel.depend_on(appended, &node.desk);
    }
}

/// Counts a connection that was protected until now.
fn end_protection(service: &Service, reason: Reason) {
    service.count_unprotected();
    reason.count(&service.node.stats);
}

/// A connection was carried on. The caller has made it an unprotected one.
pub(crate) fn carried_on(service: &Service) {
    end_protection(service, Reason::NoBackup);
}

/// Ends the protection of a connection, and returns what it has held back.
///
/// Without a backup it stands still if the service is to: then nothing is let go.
fn give_up(service: &Service, key: &Key, state: &mut FlowState, reason: Reason) -> Leftover {
    let mut leftover = Leftover::owed(false);
    let FlowState::Tracked(tracked) = state else {
        return leftover;
    };
    let incarnation = tracked.tracker.incarnation();
    tell_closed(service, key, incarnation, tracked.session);
    let stalls = service.stalls() && matches!(reason, Reason::Session) && tracked.journal.is_some();
    if !stalls {
        leftover = tracked.let_go();
    }
    let mut unprotected = Unprotected::whole(tracked.tracker, tracked.journal.take());
    if let Some(whole) = unprotected.whole.as_mut() {
        whole.stalls = stalls;
        whole.not_before_ms = match reason {
            Reason::Session | Reason::NoBackup => 0,
            _ => time::now_ms() + TRY_AGAIN_MS,
        };
    }
    *state = FlowState::Unprotected(unprotected);
    end_protection(service, reason);
    leftover
}

/// The backup is silent: what waits for it need not wait any longer. Process context.
pub(crate) fn let_go(service: &Service, flow: &FlowRef) {
    if service.stalls() {
        return;
    }
    let mut state = flow.state.lock();
    let FlowState::Tracked(tracked) = &mut *state else {
        return;
    };
    let leftover = tracked.let_go();
    drop(state);
    leftover.finish(service, flow);
}

/// The service is not to stand still without a backup any more. Process context.
pub(crate) fn stop_stalling(service: &Service, flow: &FlowRef) {
    let ack = match &mut *flow.state.lock() {
        FlowState::Unprotected(unprotected) => unprotected.stops_stalling(),
        _ => false,
    };
    Leftover::owed(ack).finish(service, flow);
}

/// Ends the protection of a connection that was logged in another session than the present one. Process
/// context.
pub(crate) fn release_stale(service: &Service, flow: &FlowRef) {
    let session = service.node.channel.session();
    let mut state = flow.state.lock();
    if matches!(&*state, FlowState::Tracked(tracked) if tracked.session != session) {
        let leftover = give_up(service, &flow.key, &mut state, Reason::Session);
        drop(state);
        leftover.finish(service, flow);
    }
}

/// Ends the protection of a connection because nobody logs it any more. Process context.
pub(crate) fn release(service: &Service, flow: &FlowRef) {
    let mut state = flow.state.lock();
    let mut leftover = give_up(service, &flow.key, &mut state, Reason::NoBackup);
    if let FlowState::Unprotected(unprotected) = &mut *state {
        if unprotected.stops_stalling() {
            leftover.ack = Owed::Now;
        }
        if let Some(whole) = &mut unprotected.whole {
            whole.withdraw(service, &flow.key);
        }
    }
    drop(state);
    leftover.finish(service, flow);
}

/// Returns whether a connection is one that ends when its socket does.
pub(crate) fn is_served_here(flow: &Flow) -> bool {
    matches!(
        &*flow.state.lock(),
        FlowState::Tracked(_) | FlowState::Unprotected(_)
    )
}

/// A connection has ended: forget it, and have the backup forget it.
pub(crate) fn closed(service: &Service, flow: &FlowRef) {
    match &mut *flow.state.lock() {
        FlowState::Tracked(tracked) => {
            let incarnation = tracked.tracker.incarnation();
            tell_closed(service, &flow.key, incarnation, tracked.session);
        }
        FlowState::Unprotected(Unprotected {
            whole: Some(whole), ..
        }) => whole.withdraw(service, &flow.key),
        _ => {}
    }
    service.node.stats.connections_closed.inc();
    service.forget(flow);
}
