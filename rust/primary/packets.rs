// SPDX-License-Identifier: GPL-2.0

//! Packets of connections that this node serves.

use super::{
    closed,
    give_up,
    open_record,
    rest::tell_place,
    rewrite_ack,
    safe_point,
    stamp,
    tracker_of,
    Journal,
    Reason,
    Tracked,
    Unprotected, //
};
use crate::{
    flow::tracker::{
        Inbound,
        Outbound,
        Piece, //
    },
    kapi::{
        net::{
            netfilter::Verdict,
            tcp::{
                Request,
                RequestFields,
                Sender, //
            }, //
        },
        time, //
    },
    service::{
        hooks::Segment,
        FlowRef,
        FlowState,
        Service, //
    },
    wire::{
        key::Key,
        record::{
            self,
            data, //
        },
        segment::{
            flags,
            Header, //
        },
        seq::Seq, //
    },
};
use kernel::prelude::*;

/// A segment of the service, as far as it matters to what becomes of it.
pub(super) struct Passed {
    pub(super) header: Header,
    pub(super) len: usize,
    pub(super) has_sack: bool,
    /// When it leaves, and how long something may wait, both in jiffies.
    pub(super) now: (u64, u64),
}

/// A segment of the service that belongs to no connection known: a SYN-ACK begins one.
pub(crate) fn outbound_unknown(service: &Service, mut segment: Segment<'_>) -> Verdict {
    let header = &segment.header;
    if header.has(flags::SYN | flags::ACK) {
        return syn_ack(service, segment);
    }
    // A connection that was there before the module, or before there was room for it. It is noted
    // once, so that the backup knows that it could not carry it on.
    if !header.any(flags::RST) && Sender::of(&mut segment.packet).is_some() {
        let key = service.key_of(&segment.client);
        unprotected(service, &key, Reason::Unlogged, Unprotected::unknown());
    }
    segment.packet.accept()
}

/// Notes a connection that is not protected.
fn unprotected(service: &Service, key: &Key, reason: Reason, state: Unprotected) {
    match service.add(key, FlowState::Unprotected(state)) {
        Ok(_) => reason.count(&service.node.stats),
        Err(_) => service.count_unnoted(),
    }
}

/// A client's SYN is being answered: log that, and have the answer wait until the backup knows.
fn syn_ack(service: &Service, segment: Segment<'_>) -> Verdict {
    let key = service.key_of(&segment.client);
    // A cookie is not a connection yet. If it becomes one, that is noted when it first sends.
    let Some(Request(request)) = Request::of(&segment.packet) else {
        if service.stalls() && !service.is_known_to_peer() {
            return segment.packet.absorb();
        }
        return segment.packet.accept();
    };
    if request.special || segment.options().signed {
        unprotected(service, &key, Reason::Special, Unprotected::unknown());
        return segment.packet.accept();
    }
    if !service.is_known_to_peer() {
        return syn_ack_without_backup(service, segment, &key, &request);
    }
    let opened = open_record(&key, &request);
    let tracked = Tracked::new(service, tracker_of(&request), &opened);
    let added = KBox::new(tracked, GFP_ATOMIC)
        .map_err(Error::from)
        .and_then(|tracked| service.add(&key, FlowState::Tracked(tracked)));
    let Ok(flow) = added else {
        service.count_unnoted();
        return segment.packet.accept();
    };
    // The record goes out under the lock: whoever confirms it finds the packet.
    let mut state = flow.state.lock();
    kill_point!(service.node, Unlogged);
    if service.node.channel.log.append_awaited(&opened).is_err() {
        // The packet leaves, and it is all that there is.
        drop(give_up(service, &key, &mut state, Reason::Log));
        drop(state);
        return segment.packet.accept();
    }
    service.node.stats.connections_protected.inc();
    kill_point!(service.node, Queued);
    let FlowState::Tracked(tracked) = &mut *state else {
        return segment.packet.accept();
    };
    if !service.waits_for_backup() {
        tracked.answer();
        return segment.packet.accept();
    }
    let (held, verdict) = segment.packet.keep();
    tracked.kept = Some(held);
    service.node.stats.synacks_held.inc();
    verdict
}

/// The same while nobody stands by. A backup that comes later is told of it; a service that is to stand
/// still without one has its client ask again.
fn syn_ack_without_backup(
    service: &Service,
    segment: Segment<'_>,
    key: &Key,
    request: &RequestFields,
) -> Verdict {
    if service.stalls() {
        service.node.stats.synacks_held.inc();
        return segment.packet.absorb();
    }
    let journal = Journal::new(&service.node, &open_record(key, request));
    let mut tracker = tracker_of(request);
    tracker.syn_ack_leaves();
    let state = Unprotected::whole(tracker, journal);
    unprotected(service, key, Reason::NoBackup, state);
    segment.packet.accept()
}

/// A segment of a client, with bytes or a flag that matters.
pub(crate) fn inbound(service: &Service, flow: &FlowRef, mut segment: Segment<'_>) -> Verdict {
    // A segment with a wrong checksum is dropped by TCP: it must not be logged either.
    let tcp = segment.tcp;
    // The same holds for one with a signature, as nothing was agreed on.
    let options = segment.options();
    if options.signed || !segment.packet.tcp_checksum_ok(tcp) {
        return segment.packet.accept();
    }
    if service.has_safe_points() && segment.len > 0 {
        safe_point::look(service, flow, &segment);
    }
    let tsval = options.timestamps.and_then(|ts| stamp(ts.val));
    let mut state = flow.state.lock();
    let tracked = match &mut *state {
        FlowState::Tracked(tracked) => tracked,
        FlowState::Unprotected(unprotected) => {
            let dropped = unprotected.inbound(&segment, tsval);
            drop(state);
            if let Some(mut whole) = dropped {
                whole.withdraw(service, &flow.key);
            }
            return segment.packet.accept();
        }
        _ => return segment.packet.accept(),
    };
    let verdict = tracked.tracker.inbound(&segment.header, segment.len, tsval);
    let Inbound::Log(piece) = verdict else {
        return segment.packet.accept();
    };
    kill_point!(service.node, Unlogged);
    kill_point!(service.node, Fin if piece.fin);
    let mut whole = None;
    let reason = if segment.header.has(flags::URG) {
        // It is not what it seems in a stream, and the server may not see it where it stands.
        whole = tracked.journal.take();
        Some(Reason::Urgent)
    } else if tracked.session != service.node.channel.session() {
        Some(Reason::Session)
    } else if log(service, &flow.key, tracked, &segment, &piece).is_err() {
        Some(Reason::Log)
    } else {
        None
    };
    if let Some(journal) = &mut tracked.journal {
        if journal.add(&segment, &piece).is_err() {
            whole = tracked.journal.take();
        }
    }
    tracked.tracker.logged(&piece, tsval);
    kill_point!(service.node, Queued);
    kill_point!(service.node, Fin if piece.fin);
    let leftover = match reason {
        None => {
            service.node.stats.bytes_logged.add(piece.len as u64);
            None
        }
        // The segment itself is received all the same: only the protection ends.
        Some(reason) => Some(give_up(service, &flow.key, &mut state, reason)),
    };
    drop(state);
    drop(whole);
    if let Some(leftover) = leftover {
        leftover.send(service);
    }
    segment.packet.accept()
}

/// Appends the records of a piece to the log, as many as it takes.
fn log(
    service: &Service,
    key: &Key,
    tracked: &mut Tracked,
    segment: &Segment<'_>,
    piece: &Piece,
) -> Result {
    let right_edge = tracked.tracker.edge_to_tell(piece);
    let mut done = 0;
    loop {
        let len = (piece.len - done).min(record::FULL_DATA);
        let last = done + len == piece.len;
        let body = record::Data {
            key: *key,
            incarnation: tracked.tracker.incarnation().into(),
            flags: if last && piece.fin { data::FIN } else { 0 },
            reserved: [0; 3],
            // CAST: Widening.
            offset: (piece.offset + done as u64).into(),
            right_edge: right_edge.into(),
        };
        let part = segment.part(piece.skip + done, len);
        let channel = &service.node.channel;
        channel.log.append_idly(&body, Some(&part))?;
        done += len;
        if last {
            // What lies behind a gap may have to wait for what fills it.
            if piece.offset == tracked.tracker.next_to_log() {
                channel.latency.logged(&body, piece.end());
            }
            return Ok(());
        }
    }
}

/// A segment of the service; it is given back if the connection is not one that this node serves.
pub(crate) fn outbound<'a>(
    service: &Service,
    flow: &FlowRef,
    segment: Segment<'a>,
) -> Result<Verdict, Segment<'a>> {
    if segment.header.has(flags::SYN) {
        return syn_ack_again(service, flow, segment);
    }
    let passed = Passed {
        header: segment.header,
        len: segment.len,
        has_sack: segment.len == 0 && segment.options().sack.is_some(),
        now: (time::jiffies(), service.patience()),
    };
    let mut state = flow.state.lock();
    let tracked = match &mut *state {
        FlowState::Tracked(tracked) => tracked,
        FlowState::Unprotected(unprotected) => {
            let verdict = unprotected.outbound(&passed, service.stalls());
            drop(state);
            return Ok(obey(service, segment, verdict));
        }
        FlowState::Gone => return Ok(segment.packet.accept()),
        FlowState::Replica(_) | FlowState::Restoring(_) => return Err(segment),
    };
    if tracked.session != service.node.channel.session() {
        drop(state);
        return Ok(outbound_stale(service, flow, segment, &passed));
    }
    kill_point!(service.node, Fin if segment.header.has(flags::FIN));
    #[cfg(tcpfo_test)]
    if crate::test_points::is_unclamped() {
        tracked
            .tracker
            .outbound_unprotected(&passed.header, passed.len);
        return Ok(segment.packet.accept());
    }
    // What the request says while its SYN-ACK waits is said again, if it matters.
    if !tracked.is_answered && tracked.kept.is_some() && !segment.header.has(flags::RST) {
        drop(state);
        return Ok(segment.packet.absorb());
    }
    if !service.waits_for_backup() {
        tracked
            .tracker
            .outbound_unprotected(&passed.header, passed.len);
        let _drop_outside_lock = tracked.kept.take();
        if tell_place(service, &flow.key, tracked).is_err() {
            drop(give_up(service, &flow.key, &mut state, Reason::Log));
        }
        drop(state);
        return Ok(segment.packet.accept());
    }
    let verdict = tracked
        .tracker
        .outbound(&passed.header, passed.len, passed.has_sack, passed.now);
    let reason = match verdict {
        Outbound::GiveUp => Some(Reason::Late),
        _ if tell_place(service, &flow.key, tracked).is_err() => Some(Reason::Log),
        _ => None,
    };
    if let Some(reason) = reason {
        let leftover = give_up(service, &flow.key, &mut state, reason);
        drop(state);
        // It leaves whole. What was kept is older, and says less.
        drop(leftover);
        return Ok(segment.packet.accept());
    }
    // TCP does not send again what it believes to be still on its way out: nothing is held for longer
    // than it is of use.
    let _drop_outside_lock = tracked.take_stale();
    let held_back = match verdict {
        Outbound::Keep { .. } => true,
        // TCP wanted to say more, and now.
        Outbound::Clamp { .. } => passed.len == 0,
        _ => false,
    };
    if held_back && tracked.tracker.is_waited_for() {
        service.node.channel.log.hurry();
    }
    if let Outbound::Keep { window } = verdict {
        let mut segment = segment;
        let ack = segment.header.ack;
        // As below: TCP sends it again.
        if window != segment.header.window && rewrite_ack(&mut segment, ack, window).is_err() {
            tracked.tracker.forget_kept();
            drop(state);
            return Ok(segment.packet.absorb());
        }
        service.node.stats.acks_kept.inc();
        let (held, verdict) = segment.packet.keep();
        let replaced = tracked.kept.replace(held);
        drop(state);
        drop(replaced);
        return Ok(verdict);
    }
    drop(state);
    Ok(obey(service, segment, verdict))
}

/// A segment of the service on a connection that was logged in another session.
fn outbound_stale(
    service: &Service,
    flow: &FlowRef,
    segment: Segment<'_>,
    passed: &Passed,
) -> Verdict {
    let mut state = flow.state.lock();
    if let FlowState::Tracked(tracked) = &mut *state {
        if !service.stalls() {
            // What was kept is older, and says less.
            tracked
                .tracker
                .outbound_unprotected(&passed.header, passed.len);
        }
    }
    let leftover = give_up(service, &flow.key, &mut state, Reason::Session);
    let verdict = match &mut *state {
        FlowState::Unprotected(unprotected) => unprotected.outbound(passed, service.stalls()),
        _ => Outbound::Pass,
    };
    drop(state);
    leftover.send(service);
    obey(service, segment, verdict)
}

/// Does with a segment of the service what the tracker says, but for keeping it.
fn obey(service: &Service, mut segment: Segment<'_>, verdict: Outbound) -> Verdict {
    match verdict {
        Outbound::Pass | Outbound::GiveUp => segment.packet.accept(),
        Outbound::Keep { .. } | Outbound::Absorb => segment.packet.absorb(),
        Outbound::Clamp { ack, window } => {
            // A segment that cannot be rewritten must not leave; TCP sends it again.
            if rewrite_ack(&mut segment, ack, window).is_err() {
                return segment.packet.absorb();
            }
            service.node.stats.acks_clamped.inc();
            #[cfg(tcpfo_test)]
            crate::test_points::aggregate(&service.node, &mut segment);
            segment.packet.accept()
        }
    }
}

/// A SYN-ACK of a connection that is known: sent again, or for a new connection of the same name.
fn syn_ack_again<'a>(
    service: &Service,
    flow: &FlowRef,
    segment: Segment<'a>,
) -> Result<Verdict, Segment<'a>> {
    let mut state = flow.state.lock();
    if matches!(&*state, FlowState::Replica(_) | FlowState::Restoring(_)) {
        return Err(segment);
    }
    if !state.is_incarnation(segment.header.ack) {
        drop(state);
        closed(service, flow);
        return Ok(syn_ack(service, segment));
    }
    let mut _drop_outside_lock = None;
    if let FlowState::Tracked(tracked) = &mut *state {
        let current = tracked.session == service.node.channel.session();
        if tracked.is_answered || !current || !service.waits_for_backup() {
            // This one leaves, and not one that was kept.
            let answered = tracked.is_answered;
            _drop_outside_lock = tracked.kept.take_if(|_| !answered);
            tracked.answer();
        } else if time::jiffies().saturating_sub(tracked.began) <= service.patience() {
            drop(state);
            return Ok(segment.packet.absorb());
        } else {
            _drop_outside_lock = give_up(service, &flow.key, &mut state, Reason::Late).kept;
        }
    }
    drop(state);
    Ok(segment.packet.accept())
}

impl FlowState {
    /// Returns whether it is of the connection whose SYN-ACK has this acknowledgement number, that of the
    /// SYN plus 1. One that stands still without a backup is to begin anew, as there may be one.
    fn is_incarnation(&self, ack: Seq) -> bool {
        let number = match self {
            Self::Tracked(tracked) => Some(tracked.tracker.incarnation()),
            Self::Unprotected(unprotected) => unprotected.incarnation(),
            _ => None,
        };
        number.is_some_and(|number| Seq::new(number).add(1) == ack)
    }
}
