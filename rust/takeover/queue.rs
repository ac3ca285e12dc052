// SPDX-License-Identifier: GPL-2.0

//! The connections of a takeover, and whose turn it is.

use super::{
    begin,
    give_up,
    restoring::STALLED_MS, //
};
use crate::{
    kapi::{
        sync::{
            new_spinlock_bh,
            SpinLockBh, //
        },
        time, //
    },
    service::{
        is_replica,
        FlowRef,
        FlowState,
        Service, //
    }, //
};
use core::mem;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Mutex, //
    }, //
};

/// How many connections make progress at the same time: as few as keep the node busy, so that the
/// first are done early and not all of them late. As many more when nothing moves.
const AT_ONCE: usize = 32;
/// The same of those that were at rest, whose clients wait for nothing: they follow when no more than
/// that of the others make progress.
const AT_REST_AT_ONCE: usize = 8;
/// They are looked for when none of the others makes progress, or after that time if only a few do, in
/// microseconds: it takes a while if there are many connections, for which the others should not wait.
const LOOK_AFTER_US: u64 = 1_000_000;
/// How long to wait for memory, in microseconds.
const NO_MEMORY_US: u64 = 100_000;
/// For how long after the last progress of any of them others do not get in their way, in milliseconds.
const PRECEDENCE_MS: u64 = 2000;
/// How many times as long as it takes to begin with those there is a pause then: nobody waits for them,
/// but for the server, to which this leaves the most of a processor.
const AT_REST_PAUSE: u64 = 3;

/// The takeover of a service.
#[pin_data]
pub(crate) struct Takeover {
    #[pin]
    pub(super) queue: Mutex<Queue>,
    /// Connections that were at rest, and whose clients have spoken since. Taken in softirq and process
    /// context; innermost.
    #[pin]
    woken: SpinLockBh<KVec<FlowRef>>,
    /// Whether there are any connections that have not come to their end.
    pub(super) going_on: Atomic<u32>,
    /// When one of them last came further, on the monotonic clock in milliseconds. The director's.
    pub(super) moved_ms: Atomic<u64>,
    /// The clock of the peer whose connections these are less ours, in milliseconds, modulo 2^64. When it is
    /// heard again, it may have been rebooted, and have another one.
    clock_ahead_ms: Atomic<u64>,
}

/// The connections that have not come to their end yet.
pub(super) struct Queue {
    /// Those that somebody waits for. The first `at_once` are under way.
    pub(super) urgent: KVVec<FlowRef>,
    at_rest: AtRest,
    /// How many made progress in the last round.
    pub(super) under_way: usize,
    /// How many may make progress at the same time.
    pub(super) at_once: usize,
    /// When others that were at rest may follow, on the monotonic clock in microseconds.
    at_rest_us: u64,
}

/// The connections that were at rest.
enum AtRest {
    /// They were not looked for yet: that may be done when nothing else is under way, from the first time on,
    /// and when only a few others are, from the second one on. On the monotonic clock in microseconds.
    Unknown { from_us: u64, latest_us: u64 },
    /// Those whose turn has not come.
    Known(KVVec<FlowRef>),
}

impl Queue {
    pub(super) const EMPTY: Self = Self {
        urgent: KVVec::new(),
        at_rest: AtRest::Known(KVVec::new()),
        under_way: 0,
        at_once: AT_ONCE,
        at_rest_us: 0,
    };

    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && matches!(&self.at_rest, AtRest::Known(rest) if rest.is_empty())
    }

    /// Has a connection follow that was at rest, and whose client has spoken.
    fn add(&mut self, service: &Service, flow: FlowRef) {
        if self.urgent.reserve(1, GFP_KERNEL).is_err() {
            return give_up(service, &flow);
        }
        // There is room.
        let _ = self.urgent.push_within_capacity(flow);
    }

    /// Has more connections make progress at the same time if none does: their servers think, but the
    /// node has nothing to do.
    pub(super) fn make_room(&mut self, service: &Service) {
        let moved_ms = &service.takeover.moved_ms;
        let now_ms = time::now_ms();
        if self.under_way < self.at_once || now_ms < moved_ms.load(Relaxed) + STALLED_MS {
            return;
        }
        self.at_once += AT_ONCE;
        moved_ms.store(now_ms, Relaxed);
    }

    /// Returns when those that were at rest are to be looked for.
    fn look_us(&self) -> u64 {
        match self.at_rest {
            AtRest::Unknown { from_us, .. } if self.under_way == 0 => from_us,
            AtRest::Unknown { latest_us, .. } if self.under_way < AT_REST_AT_ONCE => latest_us,
            _ => u64::MAX,
        }
    }

    /// Looks for those that were at rest if it is time for that.
    pub(super) fn look_for_resting(&mut self, service: &Service) {
        if time::now_us() < self.look_us() {
            return;
        }
        self.at_rest = match service.try_collect() {
            Ok(mut flows) => {
                flows.retain(|flow| is_resting(flow));
                AtRest::Known(flows)
            }
            Err(_) => {
                let again_us = time::now_us() + NO_MEMORY_US;
                AtRest::Unknown {
                    from_us: again_us,
                    latest_us: again_us,
                }
            }
        };
    }

    /// Has connections follow that were at rest: those whose clients have spoken since, and others for
    /// which there is time at `now_us`. One may have its turn twice; the second is of no effect.
    pub(super) fn refill(&mut self, service: &Service, now_us: u64) {
        // After the others were looked for: one that was missed, as its client has just spoken, is here.
        let woken = mem::take(&mut *service.takeover.woken.lock());
        for flow in woken {
            self.add(service, flow);
        }
        if now_us < self.at_rest_us {
            return;
        }
        if self.urgent.reserve(AT_REST_AT_ONCE, GFP_KERNEL).is_err() {
            self.at_rest_us = now_us + NO_MEMORY_US;
            return;
        }
        for _ in self.under_way..AT_REST_AT_ONCE {
            let AtRest::Known(rest) = &mut self.at_rest else {
                return;
            };
            let Some(flow) = rest.pop() else {
                return;
            };
            // There is room.
            let _ = self.urgent.push_within_capacity(flow);
            // Until it is known how long they take.
            self.at_rest_us = u64::MAX;
        }
    }

    /// The round is over that began at `began_us`. Returns when others that were at rest may follow, on
    /// the monotonic clock in milliseconds.
    pub(super) fn pause(&mut self, began_us: u64) -> u64 {
        if self.at_rest_us == u64::MAX {
            let now_us = time::now_us();
            self.at_rest_us = now_us + AT_REST_PAUSE * (now_us - began_us);
        }
        let next_us = match &self.at_rest {
            AtRest::Unknown { .. } => self.look_us(),
            AtRest::Known(rest) if !rest.is_empty() && self.under_way < AT_REST_AT_ONCE => {
                self.at_rest_us
            }
            AtRest::Known(_) => u64::MAX,
        };
        next_us.div_ceil(1000)
    }
}

/// Returns whether it is a replica with which the takeover has not begun.
fn is_resting(flow: &FlowRef) -> bool {
    !flow.awake.load(Relaxed) && is_replica(flow)
}

fn is_restoring(flow: &FlowRef) -> bool {
    matches!(&*flow.state.lock(), FlowState::Restoring(_))
}

impl Takeover {
    /// Creates a takeover that does not go on.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            queue <- new_mutex!(Queue::EMPTY, "Takeover::queue"),
            woken <- new_spinlock_bh!(KVec::new(), "Takeover::woken"),
            going_on: Atomic::new(0),
            moved_ms: Atomic::new(0),
            clock_ahead_ms: Atomic::new(0),
        })
    }

    /// Returns whether connections are being carried on. Callable from any context.
    pub(crate) fn is_going_on(&self) -> bool {
        self.going_on.load(Acquire) != 0
    }

    /// Returns until when others leave the node to the connections that are carried on, on the monotonic clock
    /// in milliseconds: as long as these make progress. A server that does not read may keep one for ever.
    pub(crate) fn has_precedence_until(&self) -> Option<u64> {
        self.is_going_on()
            .then(|| self.moved_ms.load(Relaxed) + PRECEDENCE_MS)
    }

    /// Returns what the clock of the peer whose connections these are says now, or would say, in
    /// milliseconds. Callable from any context.
    pub(super) fn peer_clock_ms(&self) -> u64 {
        time::now_ms().wrapping_add(self.clock_ahead_ms.load(Relaxed))
    }

    /// Begins to carry on all connections of `service`. The caller has paused the peer's records. May sleep.
    pub(crate) fn begin(&self, service: &Service) {
        let ahead_ms = service.node.peer_clock_ahead_ms();
        self.clock_ahead_ms.store(ahead_ms, Relaxed);
        let urgent = service.awake.take();
        // CAST: There are at most as many as connections.
        let others = service.connections().saturating_sub(urgent.len() as u32);
        service.report.at_rest(others);
        let now_us = time::now_us();
        self.moved_ms.store(now_us / 1000, Relaxed);
        // None that belong to another takeover; and none is dropped under the lock.
        let stale = mem::take(&mut *self.woken.lock());
        drop(stale);
        self.going_on.store(1, Release);
        *self.queue.lock() = Queue {
            urgent,
            at_rest: AtRest::Unknown {
                from_us: 0,
                latest_us: now_us + LOOK_AFTER_US,
            },
            under_way: AT_ONCE,
            ..Queue::EMPTY
        };
    }
}

/// Ends a takeover that is going on: the connections that have not come to their end cannot be
/// carried on any more. Waits for the director to be done with them. May sleep.
pub(crate) fn abandon(service: &Service) {
    let mut queue = service.takeover.queue.lock();
    let left = mem::replace(&mut *queue, Queue::EMPTY);
    service.takeover.going_on.store(0, Release);
    drop(queue);
    // At once: the peer may give this node replicas of its own again.
    let at_rest = match left.at_rest {
        AtRest::Known(flows) => flows,
        AtRest::Unknown { .. } => {
            let mut flows = service.collect();
            flows.retain(|flow| is_resting(flow) || is_restoring(flow));
            flows
        }
    };
    left.urgent.iter().for_each(|flow| give_up(service, flow));
    at_rest.iter().for_each(|flow| give_up(service, flow));
    let woken = mem::take(&mut *service.takeover.woken.lock());
    woken.iter().for_each(|flow| give_up(service, flow));
}

/// A client speaks of whose connection a replica is held: it is carried on from here on, and before
/// others if it was at rest. Returns whether the segment has to be heard, by [`inbound`](super::inbound);
/// there may be no memory. Callable from softirq and process context.
pub(crate) fn wake(service: &Service, flow: &FlowRef) -> bool {
    if is_resting(flow) {
        let noted = service.takeover.woken.lock().push(flow.clone(), GFP_ATOMIC);
        if noted.is_err() {
            return false;
        }
        service.node.desk.ring();
    }
    let mut state = flow.state.lock();
    match &*state {
        FlowState::Replica(_) => begin(service, &mut state, time::now_ms()).is_ok(),
        _ => true,
    }
}
