// SPDX-License-Identifier: GPL-2.0

//! Which replicas are not at rest: a takeover begins with them, and has no time to look for them among
//! all the others.

use crate::service::{
    Flow,
    FlowRef,
    FlowState, //
};
use core::mem;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    }, //
};

/// How many may have left before it is worth while to look who stays.
const LEAVERS: u32 = 64;

/// The replicas of a service that are not at rest, and not many more that were when they were noted.
///
/// That one is missing does no harm: there was no memory for it, and it counts as at rest.
///
/// # Invariants
///
/// Those in the list have [`Flow::awake`] set, and no other replicas have but those of a takeover that
/// has begun and those that are about to be added.
#[pin_data]
pub(crate) struct Awake {
    /// Taken in process context.
    #[pin]
    list: Mutex<KVVec<FlowRef>>,
    /// How many of the list have come to rest, or to their end, since it was tidied. Those that have roused
    /// themselves again are counted, too.
    leavers: Atomic<u32>,
}

impl Awake {
    /// Creates an empty list.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_mutex!(KVVec::new(), "Awake::list"),
            leavers: Atomic::new(0),
        })
    }

    /// There is a replica that is not in the list. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: it counts as at rest.
    pub(super) fn add(&self, flow: &FlowRef) -> Result {
        self.tidy();
        // INVARIANT: Either it is in the list then, or the mark goes.
        let added = self.list.lock().push(flow.clone(), GFP_KERNEL);
        flow.awake.store(added.is_ok(), Relaxed);
        Ok(added?)
    }

    /// There is news of a replica, which has been stored. May sleep.
    pub(super) fn rouse(&self, flow: &FlowRef) {
        if !flow.awake.load(Relaxed) {
            // The next time.
            let _ = self.add(flow);
        }
    }

    /// A replica has come to rest. May sleep.
    pub(super) fn rests(&self, flow: &Flow) {
        self.leaves(flow);
        self.tidy();
    }

    /// A replica has come to rest or to its end. Callable from any context.
    pub(crate) fn leaves(&self, flow: &Flow) {
        if flow.awake.load(Relaxed) {
            self.leavers.add(1, Relaxed);
        }
    }

    /// Leaves out those that have left, if these are the half: so it costs little for each of them, and the
    /// list is never much longer than it has to be. May sleep.
    pub(super) fn tidy(&self) {
        let leavers = self.leavers.load(Relaxed);
        if leavers < LEAVERS {
            return;
        }
        let mut list = self.list.lock();
        // CAST: Widening.
        if (leavers as usize) < list.len() / 2 {
            return;
        }
        self.leavers.store(0, Relaxed);
        leave_out_resting(&mut list);
        if list.capacity() / 4 > list.len() {
            let room = 2 * list.len();
            // Without memory for less it stays as large as it was.
            let _ = list.shrink_to(room, GFP_KERNEL);
        }
    }

    /// Returns those that are not at rest; the list is empty then. They are about to cease to be replicas,
    /// and keep their mark. The caller has paused the peer's records. May sleep.
    pub(crate) fn take(&self) -> KVVec<FlowRef> {
        let mut list = self.list.lock();
        leave_out_resting(&mut list);
        mem::take(&mut *list)
    }

    /// Forgets all. The caller has paused the peer's records. May sleep.
    pub(crate) fn clear(&self) {
        for flow in mem::take(&mut *self.list.lock()) {
            flow.awake.store(false, Relaxed);
        }
    }
}

/// Leaves out those that are at rest, or replicas no more.
fn leave_out_resting(list: &mut KVVec<FlowRef>) {
    list.retain(|flow| {
        let state = flow.state.lock();
        let stays =
            matches!(&*state, FlowState::Replica(replica) if replica.place.at_rest.is_none());
        if !stays {
            // INVARIANT: It is not in the list any more. Under the lock: who has stored news of it looks at
            // this afterwards.
            flow.awake.store(false, Relaxed);
        }
        stays
    });
}
