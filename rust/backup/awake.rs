// SPDX-License-Identifier: GPL-2.0

//! Which replicas are not at rest: a takeover begins with them, and has no time to look for them among
//! all the others.

use crate::service::{
    FlowRef,
    FlowState, //
};
use core::mem;
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};

/// The replicas of a service that are not at rest, and some that were when they were noted: these are left
/// out when there is no room for others, now and then, and in the end.
///
/// That one is missing does no harm: there was no memory for it, and it counts as at rest.
///
/// # Invariants
///
/// Those in the list have [`Flow::awake`](crate::service::Flow::awake) set, and no other replicas have but
/// those of a takeover that has begun.
pub(crate) struct Awake(KVVec<FlowRef>);

impl Awake {
    /// Creates an empty list.
    pub(crate) const fn new() -> Self {
        Self(KVVec::new())
    }

    /// There is news of a replica, which is not in the list. May sleep.
    pub(super) fn note(&mut self, flow: &FlowRef) {
        if self.0.len() == self.0.capacity() {
            self.leave_out_resting();
            // Twice as much as is needed now, lest it be done for each.
            if self.0.reserve(self.0.len() + 1, GFP_KERNEL).is_err() {
                return;
            }
        }
        if self.0.push_within_capacity(flow.clone()).is_ok() {
            // INVARIANT: It is in the list.
            flow.awake.store(true, Relaxed);
        }
    }

    /// Leaves out those that are at rest, or replicas no more.
    pub(crate) fn leave_out_resting(&mut self) {
        self.0.retain(|flow| {
            let state = flow.state.lock();
            let stays =
                matches!(&*state, FlowState::Replica(replica) if replica.place.at_rest.is_none());
            if !stays {
                // INVARIANT: It is not in the list any more. Under the lock: who has news of it looks here
                // afterwards.
                flow.awake.store(false, Relaxed);
            }
            stays
        });
    }

    /// Returns those that are not at rest; the list is empty then. They are about to cease to be replicas,
    /// and keep their mark.
    pub(crate) fn take(&mut self) -> KVVec<FlowRef> {
        self.leave_out_resting();
        mem::replace(self, Self::new()).0
    }
}
