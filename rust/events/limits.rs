// SPDX-License-Identifier: GPL-2.0

//! How often limits were reached. Noted where it happens, which may be in softirq, and told by the
//! director, so that an event about a limit comes once per second at most.

use super::event::Event;
use crate::node::Node;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    }, //
};

/// How often a limit was reached since that was last told.
pub(crate) struct Hits(Atomic<u32>);

impl Hits {
    /// Creates a counter that is 0.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Counts one. Callable from any context.
    pub(crate) fn note(&self) {
        self.0.add(1, Relaxed);
    }

    /// Returns the value, which is 0 again then.
    fn take(&self) -> u32 {
        self.0.xchg(0, Full)
    }
}

/// The limits of a node. The log has a counter of its own, as it does not know its node.
pub(crate) struct Reached {
    /// `max_connections`.
    pub(crate) connections: Hits,
    /// `max_log_bytes`, by the replicas of all connections.
    replicas: Hits,
    /// `max_log_bytes_per_connection`, by a replica.
    replica: Hits,
}

impl Reached {
    /// Creates counters that are all 0.
    pub(crate) const fn new() -> Self {
        Self {
            connections: Hits::new(),
            replicas: Hits::new(),
            replica: Hits::new(),
        }
    }

    /// A replica could not be added to, be it for the room of all or for its own. Callable from any
    /// context.
    pub(crate) fn note_refused(&self, e: Error, for_all: bool) {
        match e {
            ENOBUFS if for_all => self.replicas.note(),
            ENOBUFS => self.replica.note(),
            _ => {}
        }
    }
}

/// Tells of the limits that were reached since the last time. May sleep.
pub(crate) fn look(node: &Node) {
    let reached = &node.limits.reached;
    let log = node.channel.log.full.take();
    let all = [
        ("max_connections", reached.connections.take()),
        ("max_log_bytes", reached.replicas.take().saturating_add(log)),
        ("max_log_bytes_per_connection", reached.replica.take()),
    ];
    for (name, count) in all {
        if count != 0 {
            node.events.send(None, &Event::Limit { name, count });
        }
    }
}
