// SPDX-License-Identifier: GPL-2.0

//! Transparent failover of TCP connections between the nodes of a cluster.
//!
//! The modules stand in the order in which data passes them; `Documentation/architecture.rst` tells
//! the whole.

#![crate_name = "tcp_failover"]

use kernel::prelude::*;

#[cfg(tcpfo_test)]
#[macro_use]
mod test_points;
/// Nothing, but in test builds: see `test_points.rs`.
#[cfg(not(tcpfo_test))]
macro_rules! kill_point {
    ($node:expr, $($step:tt)*) => {
        let _ = &$node;
    };
}

mod bindings;
mod kapi;

mod wire;

mod flow;

mod service;

mod primary;

mod channel;

mod backup;

mod takeover;

mod control;
mod director;
mod events;
mod node;
mod stats;

module! {
    type: TcpFailover,
    name: "tcp_failover",
    authors: ["The tcp_failover authors"],
    description: "Transparent failover of TCP connections between cluster nodes",
    license: "GPL",
}

/// The module: all its state hangs from the net namespaces.
struct TcpFailover {
    _namespaces: kapi::net::namespace::Registration<control::Namespace>,
    /// Outlives the namespaces, whose ends are told of; its own end tells listeners that this was
    /// all.
    _events: kernel::net::netlink::Registration,
    /// Dropped last: what was in the tables goes after a grace period, with code of the module.
    _grace: Grace,
}

/// Waits, when dropped, for all that was left to RCU.
struct Grace;

impl Drop for Grace {
    fn drop(&mut self) {
        kernel::sync::rcu::rcu_barrier();
    }
}

impl kernel::Module for TcpFailover {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let root = control::Root::new()?;
        let events = events::register()?;
        Ok(Self {
            _namespaces: kapi::net::namespace::Registration::new(root)?,
            _events: events,
            _grace: Grace,
        })
    }
}
