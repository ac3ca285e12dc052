// SPDX-License-Identifier: GPL-2.0

//! How the last takeover went: when, since the peer was last heard, and with what outcome.

use crate::{
    events::Totals,
    kapi::{
        kobject::Attribute,
        time, //
    },
    service::Service, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

macro_rules! report {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The figures of a takeover. All 0 before the first one.
        pub(crate) struct Report {
            /// When the peer was last heard, on the monotonic clock in microseconds.
            heard_us: Atomic<u64>,
            $($(#[$doc])* $name: Atomic<u64>,)*
        }

        impl Report {
            /// Creates a report of nothing.
            pub(crate) const fn new() -> Self {
                Self {
                    heard_us: Atomic::new(0),
                    $($name: Atomic::new(0),)*
                }
            }

            fn clear(&self) {
                $(self.$name.store(0, Relaxed);)*
            }
        }

        /// The files of a service's `takeover/`.
        pub(crate) const ATTRIBUTES: &[Attribute<crate::control::definition::Definition>] = &[
            $(Attribute::ro(
                kernel::c_str!(stringify!($name)),
                |definition, out| {
                    let value = definition.service().map_or(0, |s| s.report.$name.load(Relaxed));
                    write!(out, "{value}")
                },
            ),)*
        ];
    };
}

report! {
    /// When the takeover was decided, in microseconds since the peer was last heard, as all times
    /// here.
    detected_us,
    /// When the node began to answer for the address.
    address_us,
    /// When the first connection had a socket.
    first_socket_us,
    /// When the last connection had a socket.
    last_socket_us,
    /// When the first connection was spliced.
    first_splice_us,
    /// When the last connection was spliced.
    last_splice_us,
    /// How many connections were at rest, so that others had precedence.
    at_rest,
    /// How many connections were spliced.
    restored,
    /// How many connections could not be carried on.
    failed,
    /// How many bytes of the service the clients had already.
    bytes_absorbed,
    /// How long the restored connections took together, in microseconds, each from when it was begun
    /// with to its splice.
    restore_total_us,
    /// How long the slowest of them took, in microseconds.
    restore_max_us,
}

impl Report {
    /// A takeover was decided.
    pub(crate) fn begin(&self, heard_us: u64) {
        self.clear();
        self.heard_us.store(heard_us, Relaxed);
        self.stamp(&self.detected_us);
    }

    /// The node answers for the address.
    pub(crate) fn address_taken(&self) {
        self.stamp(&self.address_us);
    }

    /// So many connections are at rest.
    pub(super) fn at_rest(&self, count: u32) {
        self.at_rest.store(count.into(), Relaxed);
    }

    /// A connection has a socket.
    pub(super) fn socket(&self) {
        if self.first_socket_us.load(Relaxed) == 0 {
            self.stamp(&self.first_socket_us);
        }
        self.stamp(&self.last_socket_us);
    }

    /// A connection is spliced that was begun with at `began_us`, on the monotonic clock, and `absorbed`
    /// bytes of it were absorbed.
    pub(super) fn restored(&self, began_us: u64, absorbed: u64) {
        let took_us = time::now_us().saturating_sub(began_us);
        self.restore_total_us.add(took_us, Relaxed);
        if took_us > self.restore_max_us.load(Relaxed) {
            // Only the director splices.
            self.restore_max_us.store(took_us, Relaxed);
        }
        self.restored.add(1, Relaxed);
        self.bytes_absorbed.add(absorbed, Relaxed);
        if self.first_splice_us.load(Relaxed) == 0 {
            self.stamp(&self.first_splice_us);
        }
        self.stamp(&self.last_splice_us);
    }

    /// A connection could not be carried on.
    pub(super) fn failed(&self) {
        self.failed.add(1, Relaxed);
    }

    /// All connections have come to their end.
    pub(super) fn end(&self, service: &Service) {
        pr_info!(
            "{}: takeover done: {} restored, {} failed, {} bytes absorbed in {} ms\n",
            &*service.name,
            self.restored.load(Relaxed),
            self.failed.load(Relaxed),
            self.bytes_absorbed.load(Relaxed),
            self.since_heard()
                .saturating_sub(self.address_us.load(Relaxed))
                / 1000,
        );
    }

    /// Returns what has become of the takeover, and how long it has taken until now.
    pub(crate) fn totals(&self) -> Totals {
        let taken = self.address_us.load(Relaxed);
        Totals {
            restored: self.restored.load(Relaxed),
            failed: self.failed.load(Relaxed),
            bytes_absorbed: self.bytes_absorbed.load(Relaxed),
            duration_ms: self.since_heard().saturating_sub(taken) / 1000,
        }
    }

    fn stamp(&self, at: &Atomic<u64>) {
        at.store(self.since_heard(), Relaxed);
    }

    fn since_heard(&self) -> u64 {
        time::now_us().saturating_sub(self.heard_us.load(Relaxed))
    }
}
