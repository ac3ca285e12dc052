// SPDX-License-Identifier: GPL-2.0

//! Carrying on the connections of a dead peer.
//!
//! Each connection goes through the handshake of its client once more: the SYN is injected, the
//! listener answers, the connection request behind the SYN-ACK gets the numbers that the client
//! knows, and the client's acknowledgement is injected. What comes out is a socket like any other,
//! accepted by an unmodified server. From there on [`Restore`] says what is to be done; this module
//! does it.
//!
//! The director drives it with [`advance`]; the hooks call [`inbound`] and [`outbound`] for the
//! connections that are on their way.

mod inject;
mod packets;
mod queue;
mod report;
mod restoring;

use crate::{
    flow::restore::{
        Phase,
        INITIAL_CWND, //
    },
    kapi::{
        net::tcp::Locked,
        time, //
    },
    primary,
    service::{
        FlowRef,
        FlowState,
        Service, //
    }, //
};
use core::mem;
use inject::Injection;
use kernel::{
    prelude::*,
    sync::atomic::{
        Relaxed,
        Release, //
    }, //
};
pub(crate) use packets::{
    concerns,
    inbound,
    outbound,
    syn_ack, //
};
use queue::Queue;
pub(crate) use queue::{
    abandon,
    wake,
    Takeover, //
};
pub(crate) use report::{
    Report,
    ATTRIBUTES as REPORT_ATTRIBUTES, //
};
pub(crate) use restoring::Restoring;
use restoring::{
    Step,
    RETRY_MS, //
};

/// How many segments of input a connection is fed in one turn.
const FEED_SEGMENTS: u32 = 16;

/// What has become of a connection in its turn.
enum Turn {
    /// It is to have another turn then, on the monotonic clock in milliseconds.
    Again(u64),
    /// The same, but it has not come any further for a while.
    Stalled(u64),
    /// It is spliced.
    Done,
    /// It cannot be carried on.
    Failed,
    /// The client does not know of it.
    Vanished,
}

/// Gives each connection that is under way its turn, and returns when the next one is due. Process
/// context; may sleep.
pub(crate) fn advance(service: &Service) -> u64 {
    if !service.takeover.is_going_on() {
        return u64::MAX;
    }
    let mut next = u64::MAX;
    // Held for the whole round, so that nobody ends the takeover in the midst of it.
    let mut queue = service.takeover.queue.lock();
    queue.look_for_resting(service);
    let began_us = time::now_us();
    queue.refill(service, began_us);
    queue.make_room(service);
    let mut under_way = 0;
    let at_once = queue.at_once;
    queue.urgent.retain(|flow| {
        if under_way == at_once {
            return true;
        }
        match turn(service, flow) {
            Turn::Again(at) => {
                next = next.min(at);
                under_way += 1;
                true
            }
            Turn::Stalled(at) => {
                next = next.min(at);
                true
            }
            Turn::Done => false,
            Turn::Failed => match fail(service, flow) {
                Some(again_ms) => {
                    next = next.min(again_ms);
                    true
                }
                None => false,
            },
            Turn::Vanished => {
                vanish(service, flow);
                false
            }
        }
    });
    queue.under_way = under_way;
    next = next.min(queue.pause(began_us));
    if queue.is_empty() && service.takeover.is_going_on() {
        service.takeover.going_on.store(0, Release);
        *queue = Queue::EMPTY;
        service.report.end(service);
    }
    next
}

/// Splices client and child, if they are still level: the connection is an ordinary one of this
/// node from then on. Returns whether it is.
fn splice(service: &Service, flow: &FlowRef) -> bool {
    // A connection that has come to its own end meanwhile has no socket any more.
    let Some(socket) = service.socket_of(&flow.key) else {
        return splice_locked(service, flow, None);
    };
    let spliced = socket.with_lock(|socket| {
        // With the socket locked nothing leaves it in between.
        let spliced = splice_locked(service, flow, Some(socket));
        if spliced {
            // What the client has sent in vain it sends again only when its timer says so, unless
            // it hears how far its node has come.
            socket.send_ack();
        }
        spliced
    });
    spliced.unwrap_or(false)
}

/// Splices if client and child are level, and returns whether they are.
fn splice_locked(service: &Service, flow: &FlowRef, socket: Option<&Locked>) -> bool {
    let mut state = flow.state.lock();
    let FlowState::Restoring(restoring) = &mut *state else {
        return false;
    };
    if !restoring.machine.is_level(restoring.input.end()) {
        return false;
    }
    if let Some(socket) = socket {
        if restoring.machine.may_hold_more() && socket.has_unsent() {
            return false;
        }
        socket.extend_window(restoring.machine.right_edge().raw());
        socket.begin_path(INITIAL_CWND);
        // The child was told of a wide one, to be fast.
        socket.forget_windows();
    }
    restoring.machine.splice();
    let absorbed = restoring.machine.absorbed();
    let begun_us = restoring.begun_us;
    // Its log was the peer's: from here on it is one that was never logged, and may be.
    if let FlowState::Restoring(restoring) = mem::replace(&mut *state, FlowState::Gone) {
        *state = FlowState::Unprotected(KBox::into_inner(restoring).finish(service.stalls()));
    }
    primary::carried_on(service);
    drop(state);
    service.recent.push(flow);
    service.node.stats.bytes_absorbed.add(absorbed);
    service.node.stats.connections_restored.inc();
    service.report.restored(begun_us, absorbed);
    true
}

/// The connection cannot be carried on: reset it, where the client can see it. Returns when it is to
/// have its next turn, if the client has to be asked first where that is.
fn fail(service: &Service, flow: &FlowRef) -> Option<u64> {
    let again = lose(flow);
    if again.is_some() {
        count_failed(service);
        abort(service, flow);
    } else {
        give_up(service, flow);
    }
    again
}

/// The same, but nobody is asked. Of no effect on one that has come to the end of its takeover.
fn give_up(service: &Service, flow: &FlowRef) {
    let Some(Ended { was_lost, stray }) = end(service, flow) else {
        return;
    };
    if !was_lost {
        count_failed(service);
    }
    if let Some(stray) = stray {
        // The child's own reset would not be believed: it is not where the client is. The stack
        // answers a segment of a connection that it does not know with one that is.
        let _ = stray.receive(service, &flow.key);
    }
}

fn count_failed(service: &Service) {
    service.node.stats.connections_failed.inc();
    service.report.failed();
}

/// Begins to ask the client of a connection that cannot be carried on where it is, unless that is known.
/// Returns the present time, on the monotonic clock in milliseconds, if so.
fn lose(flow: &FlowRef) -> Option<u64> {
    let mut state = flow.state.lock();
    let FlowState::Restoring(restoring) = &mut *state else {
        return None;
    };
    if restoring.machine.phase() >= Phase::Lost || restoring.stray().is_some() {
        return None;
    }
    let now_ms = time::now_ms();
    restoring.machine.lose();
    restoring.attempts = 0;
    restoring.retry_ms = now_ms;
    Some(now_ms)
}

/// The client does not know of the connection any more, or not yet: it is as if it had never been.
fn vanish(service: &Service, flow: &FlowRef) {
    // One that had failed already is counted so.
    if end(service, flow).is_some_and(|ended| !ended.was_lost) {
        service.node.stats.connections_closed.inc();
    }
}

/// A restoration that was ended.
struct Ended {
    /// Whether it had failed already.
    was_lost: bool,
    /// A segment of the client, if it is known where that is.
    stray: Option<Injection>,
}

/// Ends the restoration and the child, of which the client does not hear; [`None`] if there was none.
fn end(service: &Service, flow: &FlowRef) -> Option<Ended> {
    let mut state = flow.state.lock();
    let ended = match &mut *state {
        FlowState::Replica(_) => Ended {
            was_lost: false,
            stray: None,
        },
        FlowState::Restoring(restoring) if restoring.machine.phase() != Phase::Done => {
            let was_lost = restoring.machine.phase() == Phase::Lost;
            restoring.machine.end();
            Ended {
                was_lost,
                stray: restoring.stray(),
            }
        }
        _ => return None,
    };
    drop(state);
    abort(service, flow);
    service.forget(flow);
    Some(ended)
}

/// Ends the child, if there is one.
fn abort(service: &Service, flow: &FlowRef) {
    if let Some(socket) = service.socket_of(&flow.key) {
        // If it was closed meanwhile that is as good.
        let _ = socket.abort();
    }
}

fn wait(until_ms: u64, stalled: bool) -> Turn {
    if stalled {
        Turn::Stalled(until_ms)
    } else {
        Turn::Again(until_ms)
    }
}

/// Does what is due for one connection.
fn turn(service: &Service, flow: &FlowRef) -> Turn {
    let mut fed = 0;
    loop {
        let now_ms = time::now_ms();
        match step(service, flow, now_ms) {
            Step::Inject(injection, again_ms) => {
                let injected = injection.receive(service, &flow.key);
                fed += 1;
                // Out of memory, or the turn is over: later.
                if injected.is_err() || fed > FEED_SEGMENTS {
                    return Turn::Again(again_ms);
                }
            }
            Step::FindChild(injection) => {
                // Nothing comes of it if there is no memory, and it is tried again.
                let _ = injection.receive(service, &flow.key);
                if !find_child(service, flow) {
                    return Turn::Again(now_ms + RETRY_MS);
                }
            }
            Step::Ask(again_ms, stalled) => {
                if let Some(socket) = service.socket_of(&flow.key) {
                    socket.send_ack();
                }
                return wait(again_ms, stalled);
            }
            Step::Over => return Turn::Done,
            Step::Wait(until_ms, stalled) => return wait(until_ms, stalled),
            Step::Splice(again_ms) if !splice(service, flow) => return Turn::Again(again_ms),
            Step::Splice(_) => return Turn::Done,
            Step::Failed => return Turn::Failed,
            Step::Vanished => return Turn::Vanished,
        }
    }
}

/// Says what is to be done next for one connection.
fn step(service: &Service, flow: &FlowRef, now_ms: u64) -> Step {
    let mut state = flow.state.lock();
    if matches!(*state, FlowState::Replica(_)) {
        if let Err(e) = begin(service, &mut state, now_ms) {
            pr_debug!("{}: {e:?} on restoring a connection\n", &*service.name);
            return Step::Failed;
        }
    }
    let FlowState::Restoring(restoring) = &mut *state else {
        return Step::Over;
    };
    if restoring.is_given_up {
        return Step::Vanished;
    }
    restoring.note_turn(now_ms);
    if restoring.note_progress(now_ms) {
        service.takeover.moved_ms.store(now_ms, Relaxed);
    }
    if restoring.machine.phase() != Phase::Lost && now_ms - restoring.alive_ms >= restoring.hold_ms
    {
        return Step::Failed;
    }
    restoring.step(now_ms)
}

/// Turns a replica into a connection that is being carried on.
fn begin(service: &Service, state: &mut FlowState, now_ms: u64) -> Result {
    let room = KBox::<Restoring>::new_uninit(GFP_ATOMIC)?;
    let hold_ms = service.tuning.hold_timeout_ms.load(Relaxed).into();
    if let FlowState::Replica(replica) = mem::replace(state, FlowState::Gone) {
        let restoring = Restoring::new(KBox::into_inner(replica), now_ms, hold_ms);
        *state = FlowState::Restoring(room.write(restoring));
    }
    Ok(())
}

/// Looks whether the handshake has made a socket.
fn find_child(service: &Service, flow: &FlowRef) -> bool {
    if service.socket_of(&flow.key).is_none() {
        return false;
    }
    if let FlowState::Restoring(restoring) = &mut *flow.state.lock() {
        let window = restoring.first_window();
        restoring.machine.child_found(window);
        restoring.retry_ms = 0;
    }
    service.report.socket();
    true
}
