// SPDX-License-Identifier: GPL-2.0

//! Which replicas are not at rest: a takeover begins with them, and has no time to look for them among
//! all the others.

use crate::service::{
    FlowRef,
    FlowState, //
};
use core::mem;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::Relaxed,
        Mutex, //
    }, //
};

/// How many are looked at when one may have left, so that the list is never much longer than it has to be.
const LOOKS: usize = 4;
/// A list for so many is not worth being made shorter.
const SMALL: usize = 1024;

/// The replicas of a service that are not at rest, and not many more that were when they were noted.
///
/// That one is missing does no harm: there was no memory for it, and it counts as at rest.
#[pin_data]
pub(crate) struct Awake {
    /// Taken in process context.
    #[pin]
    list: Mutex<List>,
}

/// # Invariants
///
/// Those in the list have [`Flow::awake`](crate::service::Flow::awake) set, and no other replicas have but
/// those of a takeover that has begun and those that are about to be added.
struct List {
    flows: KVVec<FlowRef>,
    /// Which is to be looked at next.
    next: usize,
}

impl Awake {
    /// Creates an empty list.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- new_mutex!(List::EMPTY, "Awake::list"),
        })
    }

    /// There is a replica that is not in the list. The receiver's; may sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`: it counts as at rest.
    pub(super) fn add(&self, flow: &FlowRef) -> Result {
        let mut list = self.list.lock();
        list.tidy();
        // INVARIANT: Either it is in the list then, or the mark goes.
        let added = list.flows.push(flow.clone(), GFP_KERNEL);
        flow.awake.store(added.is_ok(), Relaxed);
        Ok(added?)
    }

    /// There is news of a replica, which has been stored. The receiver's; may sleep.
    pub(super) fn rouse(&self, flow: &FlowRef) {
        if !flow.awake.load(Relaxed) {
            // The next time.
            let _ = self.add(flow);
        }
    }

    /// A replica has come to rest, or to its end. The receiver's; may sleep.
    pub(super) fn left(&self) {
        self.list.lock().tidy();
    }

    /// Returns those that are not at rest; the list is empty then. They are about to cease to be replicas,
    /// and keep their mark. The caller has paused the peer's records. May sleep.
    pub(crate) fn take(&self) -> KVVec<FlowRef> {
        let mut flows = mem::replace(&mut *self.list.lock(), List::EMPTY).flows;
        flows.retain(|flow| stays(flow));
        flows
    }

    /// Forgets all. The caller has paused the peer's records. May sleep.
    pub(crate) fn clear(&self) {
        let list = mem::replace(&mut *self.list.lock(), List::EMPTY);
        for flow in list.flows {
            // INVARIANT: It is not in the list any more.
            flow.awake.store(false, Relaxed);
        }
    }
}

impl List {
    const EMPTY: Self = Self {
        flows: KVVec::new(),
        next: 0,
    };

    /// Looks at a few, one after another in a circle, and leaves out those that have left.
    fn tidy(&mut self) {
        for _ in 0..LOOKS {
            if self.next >= self.flows.len() {
                self.next = 0;
                self.give_back();
            }
            let Some(flow) = self.flows.get(self.next) else {
                return;
            };
            if stays(flow) {
                self.next += 1;
                continue;
            }
            let last = self.flows.len() - 1;
            self.flows.swap(self.next, last);
            self.flows.pop();
        }
    }

    /// Gives most of the memory back if little is needed.
    fn give_back(&mut self) {
        if self.flows.capacity() / 4 < self.flows.len().max(SMALL) {
            return;
        }
        // Not `shrink_to()`: what comes from the slab allocator stays as large as it is. And without memory
        // for a short list it stays long.
        if let Ok(mut short) = KVVec::with_capacity(2 * self.flows.len(), GFP_KERNEL) {
            for flow in self.flows.drain_all() {
                // There is room.
                let _ = short.push_within_capacity(flow);
            }
            self.flows = short;
        }
    }
}

/// Returns whether one of the list is to stay: it is a replica still, and not at rest. Takes the mark away
/// if not.
fn stays(flow: &FlowRef) -> bool {
    let state = flow.state.lock();
    let stays = matches!(&*state, FlowState::Replica(replica) if replica.place.at_rest.is_none());
    if !stays {
        // INVARIANT: It is about to be left out. Under the lock: who has stored news of it looks at this
        // afterwards.
        flow.awake.store(false, Relaxed);
    }
    stays
}
