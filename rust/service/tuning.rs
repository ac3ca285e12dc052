// SPDX-License-Identifier: GPL-2.0

//! What the operator may change at any time.

use super::Service;
use crate::primary;
use kernel::{
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::msecs_to_jiffies, //
};

/// What the operator may change at any time.
pub(crate) struct Tuning {
    /// For how long a connection may be held while it is being restored, in milliseconds.
    pub(crate) hold_timeout_ms: Atomic<u32>,
    /// For how long something may wait for the backup, in milliseconds.
    pub(crate) commit_timeout_ms: Atomic<u32>,
    /// Where the log of a connection may begin anew: one of `SAFE_POINTS_*`.
    pub(crate) safe_points: Atomic<u32>,
    /// What becomes of the connections when the peer is lost: one of `ON_PEER_LOSS_*`.
    pub(crate) on_peer_loss: Atomic<u32>,
}

/// They go on without protection.
pub(crate) const ON_PEER_LOSS_DEGRADE: u32 = 0;
/// They stand still: their clients are told nothing that would be lost with this node.
pub(crate) const ON_PEER_LOSS_STALL: u32 = 1;

/// Nowhere: the log is whole.
pub(crate) const SAFE_POINTS_WHOLE: u32 = 0;
/// After each request that was answered.
pub(crate) const SAFE_POINTS_REQUEST: u32 = 1;

impl Tuning {
    /// Creates the defaults.
    pub(crate) const fn new() -> Self {
        Self {
            hold_timeout_ms: Atomic::new(10_000),
            commit_timeout_ms: Atomic::new(2_000),
            safe_points: Atomic::new(SAFE_POINTS_WHOLE),
            on_peer_loss: Atomic::new(ON_PEER_LOSS_DEGRADE),
        }
    }
}

impl Service {
    /// Returns whether the connections are to stand still rather than to go on without protection.
    /// Callable from any context.
    pub(crate) fn stalls(&self) -> bool {
        self.tuning.on_peer_loss.load(Relaxed) == ON_PEER_LOSS_STALL
    }

    /// The connections are not to stand still any more. May sleep.
    pub(crate) fn stop_stalling(&self) {
        for flow in self.collect() {
            primary::stop_stalling(self, &flow);
        }
    }

    /// Returns whether something may wait for the backup. Callable from any context.
    pub(crate) fn waits_for_backup(&self) -> bool {
        self.node.channel.is_backed() || self.stalls()
    }

    /// Returns for how long something may wait for the backup, in jiffies.
    pub(crate) fn patience(&self) -> u64 {
        if self.stalls() {
            return u64::MAX;
        }
        // CAST: Widening.
        msecs_to_jiffies(self.tuning.commit_timeout_ms.load(Relaxed)) as u64
    }

    /// Returns whether the log of a connection may begin anew after each answered request.
    pub(crate) fn has_safe_points(&self) -> bool {
        self.tuning.safe_points.load(Relaxed) == SAFE_POINTS_REQUEST
    }
}
