// SPDX-License-Identifier: GPL-2.0

//! The connections of a service.

use super::Service;
use crate::{
    backup::{
        self,
        Replica, //
    },
    kapi::{
        net::tcp::{
            Ends,
            Sock, //
        },
        rhashtable,
        sync::{
            new_spinlock_bh,
            SpinLockBh, //
        }, //
    },
    primary::{
        self,
        Look,
        Tracked,
        Unprotected, //
    },
    takeover::Restoring,
    wire::key::Key, //
};
use core::mem;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// How many connections are ended at once.
const AT_ONCE: usize = 64;
/// How many connections are looked at in one sweep because they seem to be at rest.
const RESTS_A_SWEEP: usize = 4096;
/// Every which sweep looks at connections that have shown no sign of their end.
const SWEEP_ALL: u32 = 30;

/// One connection of a service.
#[pin_data]
pub(crate) struct Flow {
    /// Its name.
    pub(crate) key: Key,
    /// What it is to this node. Taken in softirq and process context.
    #[pin]
    pub(crate) state: SpinLockBh<FlowState>,
    /// A FIN or RST was seen: the end is near.
    pub(crate) ending: Atomic<bool>,
    /// It is one of [`Service::awake`], or was that when a takeover began.
    pub(crate) awake: Atomic<bool>,
    /// Something that its socket has sent was dropped as this node was in doubt.
    pub(crate) muted: Atomic<bool>,
}

/// What a connection is to this node. What is large is elsewhere, so that each costs only what it needs.
pub(crate) enum FlowState {
    /// It is served here and logged to the backup.
    Tracked(KBox<Tracked>),
    /// It is served here, and would be lost with this node.
    Unprotected(Unprotected),
    /// It is served by the peer; what is needed to carry it on is held here.
    Replica(KBox<Replica>),
    /// It was served by the peer, and is being carried on.
    Restoring(KBox<Restoring>),
    /// It was forgotten: it is in no table any more, and who still has it leaves it alone.
    Gone,
}

impl FlowState {
    /// Returns how many bytes the client's input takes that is held of it.
    fn input_bytes(&self) -> u64 {
        match self {
            Self::Tracked(tracked) => tracked.input_bytes(),
            Self::Unprotected(unprotected) => unprotected.input_bytes(),
            Self::Replica(replica) => replica.input.size(),
            Self::Restoring(restoring) => restoring.input_bytes(),
            Self::Gone => 0,
        }
    }
}

/// A connection in its service's table.
pub(crate) type FlowRef = Arc<rhashtable::Node<Flow>>;

impl Service {
    /// Returns all connections, or none if there is no memory. May sleep.
    pub(crate) fn collect(&self) -> KVVec<FlowRef> {
        self.try_collect().unwrap_or_else(|_| {
            pr_err!("{}: no memory for a list of connections\n", &*self.name);
            KVVec::new()
        })
    }

    /// Returns all connections. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn try_collect(&self) -> Result<KVVec<FlowRef>> {
        // Some may come while the room is being made, or be shown twice.
        let mut room = self.connections() as usize + 256;
        loop {
            let mut all = KVVec::with_capacity(room, GFP_KERNEL)?;
            let mut fits = true;
            self.flows.for_each(|flow| {
                fits = all.push_within_capacity(flow).is_ok();
                fits
            });
            if fits {
                return Ok(all);
            }
            room = room.saturating_mul(2);
        }
    }

    /// Adds a connection in place of any of the same name. Callable from softirq and process
    /// context.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if there are too many, or whatever [`Table::insert`] returns.
    pub(crate) fn add(&self, key: &Key, state: FlowState) -> Result<FlowRef> {
        if let Some(old) = self.find(key) {
            self.forget(&old);
        }
        let limit = self.node.limits.max_connections.load(Relaxed);
        if self.node.connections.load(Relaxed) >= limit {
            self.node.limits.reached.connections.note();
            return Err(ENOBUFS);
        }
        let unprotected = matches!(state, FlowState::Unprotected(_));
        let awake = matches!(state, FlowState::Replica(_));
        let key = *key;
        let node = rhashtable::Node::new(
            key_bytes(&key),
            try_pin_init!(Flow {
                key,
                state <- new_spinlock_bh!(state, "Flow::state"),
                ending: Atomic::new(false),
                awake: Atomic::new(awake),
                muted: Atomic::new(false),
            }),
            GFP_ATOMIC,
        )?;
        // Counted first: it may be forgotten as soon as it is there.
        self.count(1, unprotected);
        let flow = self
            .flows
            .insert(node)
            .inspect_err(|_| self.count(-1, unprotected))?;
        if !awake {
            self.recent.push(&flow);
        }
        Ok(flow)
    }

    /// Counts a connection in, or out.
    fn count(&self, change: i32, unprotected: bool) {
        // CAST: Two's complement: adding -1 modulo 2^n.
        self.node.connections.add(i64::from(change) as u64, Relaxed);
        self.connections.add(change as u32, Relaxed);
        if unprotected {
            self.unprotected.add(change as u32, Relaxed);
        }
    }

    /// Returns how many bytes the largest input of a client takes. Looks at all connections.
    pub(crate) fn largest_input(&self) -> u64 {
        let mut largest = 0;
        self.flows.for_each(|flow| {
            largest = largest.max(flow.state.lock().input_bytes());
            true
        });
        largest
    }

    /// Finds a connection. Callable from softirq and process context.
    pub(crate) fn find(&self, key: &Key) -> Option<FlowRef> {
        self.flows.get(key_bytes(key))
    }

    /// Forgets a connection. Callable from softirq and process context.
    pub(crate) fn forget(&self, flow: &FlowRef) {
        if !self.flows.remove(flow) {
            return;
        }
        let mut state = flow.state.lock();
        let was = mem::replace(&mut *state, FlowState::Gone);
        drop(state);
        self.count(-1, matches!(was, FlowState::Unprotected(_)));
    }

    /// A connection that was protected is not any more. The caller has changed its state.
    pub(crate) fn count_unprotected(&self) {
        self.unprotected.add(1, Relaxed);
    }

    /// A connection that was not protected is so again. The caller has changed its state.
    pub(crate) fn count_resumed(&self) {
        // CAST: Two's complement: adding -1 modulo 2^32.
        self.unprotected.add(-1i32 as u32, Relaxed);
        self.node.stats.connections_resumed.inc();
    }

    /// Returns how many connections are not protected.
    pub(crate) fn unprotected(&self) -> u32 {
        self.unprotected.load(Relaxed)
    }

    /// A connection was seen that is not protected, and for which there is no room.
    pub(crate) fn count_unnoted(&self) {
        self.unnoted.store(1, Relaxed);
        self.node.stats.connections_unnoted.inc();
    }

    /// Forgets what is held of the peer's connections. The caller has paused its records. May sleep.
    pub(super) fn forget_replicas(&self) {
        self.awake.clear();
        self.flows.for_each(|flow| {
            if is_replica(&flow) {
                self.forget(&flow);
            }
            true
        });
    }

    /// Forgets the connections that have ended, and tells the peer of those that have come to rest. Looks at
    /// those on which something has passed; what escapes that, now and then at all. May sleep.
    pub(crate) fn sweep(&self) {
        self.find_device();
        self.unnoted.store(0, Relaxed);
        if !self.speaks() {
            drop(self.recent.take());
            self.was_backed.store(false, Relaxed);
            return;
        }
        let backed = self.is_protected();
        let all = self.is_for_all(backed);
        if all {
            self.flows.for_each(|flow| {
                self.recent.push(&flow);
                true
            });
        }
        let mut rests = backed.then_some(RESTS_A_SWEEP);
        for flow in self.recent.take() {
            if self.sweep_one(&flow, all, &mut rests) {
                self.recent.push(&flow);
            }
        }
    }

    /// Returns whether a sweep is to look at all connections: the first one since the peer stands by, and one
    /// now and then.
    fn is_for_all(&self, backed: bool) -> bool {
        let sweeps = self.sweeps.load(Relaxed);
        let was_backed = self.was_backed.xchg(backed, Relaxed);
        let all = sweeps % SWEEP_ALL == 0 || (backed && !was_backed);
        self.sweeps.store(sweeps.wrapping_add(1), Relaxed);
        all
    }

    /// Sweeps one connection, and returns whether the next sweep has to look at it again. `rests` is of how
    /// many the peer may be told yet, if it stands by.
    fn sweep_one(&self, flow: &FlowRef, all: bool, rests: &mut Option<usize>) -> bool {
        let mut ending = flow.ending.load(Relaxed);
        if ending || all {
            if !primary::is_served_here(flow) {
                return false;
            }
            let socket = self.find_socket(&flow.key);
            if socket.as_ref().is_none_or(Sock::is_over) {
                primary::closed(self, flow);
                return false;
            }
            // It was a segment that TCP has not believed; it is given the time to.
            if ending && all && socket.is_some_and(|socket| socket.is_established()) {
                flow.ending.store(false, Relaxed);
                ending = false;
            }
        }
        let again = match primary::look(self, flow) {
            Look::Moves => true,
            Look::Stands => false,
            Look::Settles => match rests {
                // When it does, there is one for all.
                None => false,
                Some(left) if ending || *left == 0 => true,
                Some(left) => {
                    let told = primary::note_rest(self, flow);
                    *left -= usize::from(told);
                    !told
                }
            },
        };
        again || ending
    }

    /// Finds the socket of a connection. Callable from softirq and process context.
    pub(crate) fn socket_of(&self, key: &Key) -> Option<Sock> {
        self.find_socket(key).filter(Sock::is_connected)
    }

    fn find_socket(&self, key: &Key) -> Option<Sock> {
        let ends = Ends {
            remote: key.client.addr.ip(),
            remote_port: key.client.port.get(),
            local: self.address,
            local_port: self.endpoint.port.get(),
        };
        Sock::find(&self.node.net, &ends, self.ifindex())
    }

    /// Ends all that goes on for the service, which has no hooks any more: what is held back is
    /// sent, and the sockets go on as ordinary ones. May sleep.
    pub(crate) fn stop(&self) {
        // A record that is being taken in may add one to the very last.
        let records = self.node.pause_records();
        backup::dismiss(self);
        drop(records);
        // A few at a time, as all are looked at under the RCU read lock.
        loop {
            let mut some = [const { None::<FlowRef> }; AT_ONCE];
            let mut free = some.iter_mut();
            self.flows.for_each(|flow| match free.next() {
                Some(slot) => {
                    *slot = Some(flow);
                    true
                }
                None => false,
            });
            if some.iter().all(Option::is_none) {
                return;
            }
            for flow in some.iter().flatten() {
                primary::release(self, flow);
                self.forget(flow);
            }
        }
    }
}

/// Returns whether a connection is one of the peer's that is held here.
pub(crate) fn is_replica(flow: &FlowRef) -> bool {
    matches!(&*flow.state.lock(), FlowState::Replica(_))
}

/// Returns the bytes by which a connection is found.
fn key_bytes(key: &Key) -> &[u8; rhashtable::KEY_LEN] {
    zerocopy::transmute_ref!(key)
}
