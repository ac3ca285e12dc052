// SPDX-License-Identifier: GPL-2.0

//! Counters of one net namespace.

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// A counter that only grows. Callable from any context.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Adds 1.
    pub(crate) fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub(crate) fn add(&self, n: u64) {
        self.0.add(n, Relaxed);
    }

    /// Makes it `n` at least. Of one thread at a time.
    pub(crate) fn raise_to(&self, n: u64) {
        if self.get() < n {
            self.0.store(n, Relaxed);
        }
    }

    /// Returns the value.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters.
        pub(crate) struct Stats {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        impl Stats {
            /// Creates counters that are all 0.
            pub(crate) const fn new() -> Self {
                Self { $($name: Counter::new(),)* }
            }
        }

        /// The files of `stats/`.
        pub(crate) const ATTRIBUTES: &[crate::kapi::kobject::Attribute<crate::node::Node>] = &[
            $(crate::kapi::kobject::Attribute::ro(
                kernel::c_str!(stringify!($name)),
                |node, out| write!(out, "{}", node.stats.$name.get()),
            ),)*
        ];
    };
}

counters! {
    /// Acknowledgements that were set back to what the backup holds.
    acks_clamped,
    /// Segments of restored connections that were absorbed after a takeover.
    absorbed_segments,
    /// Acknowledgements that were kept as they would have said nothing new if set back, and last
    /// segments that were kept with them.
    acks_kept,
    /// Segments that were sent, kept ones or new ones, when the backup confirmed.
    acks_released,
    /// Packets of others that claimed an address of ours.
    address_conflicts,
    /// Bytes of clients that went into the log.
    bytes_logged,
    /// Connections of the channel that were refused: they did not come from the peer.
    channel_refused,
    /// Connections whose end has been noticed.
    connections_closed,
    /// Connections that could not be restored within the hold time, and were reset.
    connections_failed,
    /// Connections, or sightings of them, for which there was no room in the tables.
    connections_unnoted,
    /// Connections that were logged from their beginning.
    connections_protected,
    /// Connections that have become protected at a safe point, or as the peer was given what it had missed.
    connections_resumed,
    /// Connections that go on after a takeover.
    connections_restored,
    /// Connections that are not, or no longer, protected: the sum of what follows.
    connections_unprotected,
    /// Connections whose beginning was not logged: there before the module, begun with a cookie or with
    /// data in the SYN (TCP Fast Open).
    unprotected_unlogged,
    /// Connections that began while nobody stood by.
    unprotected_no_backup,
    /// Connections that a takeover could not carry on as they use what is not replayed: MPTCP, AccECN,
    /// MD5 or AO signatures.
    unprotected_special,
    /// Connections whose log was lost with the session.
    unprotected_session,
    /// Connections for whose records there was no room or memory in the log.
    unprotected_log,
    /// Connections that the backup could not hold.
    unprotected_refused,
    /// Connections of which the backup has not confirmed within `commit_timeout_ms` what it was told.
    unprotected_late,
    /// Connections on which the client has sent urgent data.
    unprotected_urgent,
    /// Bytes of services that were absorbed after a takeover as the client had them already.
    bytes_absorbed,
    /// How often the peer has handed a service over to this node.
    handovers,
    /// Packets of clients that were dropped because nobody here may answer them yet.
    held_packets,
    /// Frames and records that were refused. Each also ends the session.
    malformed_records,
    /// Packets of a service that were dropped because this node must not speak.
    muted_packets,
    /// Sessions of the channel that have begun.
    sessions,
    /// How often the peer was given up.
    peer_losses,
    /// Records for which it was measured how long their confirmation took, as the primary.
    confirm_samples,
    /// How long that was, of all of them together, in microseconds.
    confirm_total_us,
    /// How long that was at most, in microseconds.
    confirm_max_us,
    /// Confirmations that were received, as the primary of a connection.
    confirmations_received,
    /// Confirmations that were sent, as the backup of a connection.
    confirmations_sent,
    /// Records that were received.
    records_received,
    /// Records that were sent.
    records_sent,
    /// How often the peer was told that a connection has come to rest.
    rests,
    /// Replicas that could not be taken in, or were given up, for want of memory or room.
    replicas_refused,
    /// How often the log of a connection has begun anew at a safe point.
    safe_points,
    /// Settings in which the peer was found to differ.
    settings_differ,
    /// How often this node fell silent because another one speaks that it has not asked to.
    stand_downs,
    /// SYN-ACKs that have waited for the backup.
    synacks_held,
    /// How often this node has taken over a service.
    takeovers,
}
