// SPDX-License-Identifier: GPL-2.0

//! How long it takes until the backup has confirmed something: measured on one record at a time, which
//! costs the others nothing.

use crate::{
    kapi::{
        sync::{
            new_spinlock_bh,
            SpinLockBh, //
        },
        time, //
    },
    stats::Stats,
    wire::record::{
        Confirm,
        Data, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::msecs_to_jiffies, //
};

/// After how long the record is given up for which nothing was confirmed, in milliseconds: its
/// connection has ended, or its session.
const GIVE_UP_MS: u32 = 10_000;

/// The record that is being measured.
#[pin_data]
pub(crate) struct Latency {
    /// Since when, in jiffies; 0 if there is none.
    since: Atomic<u64>,
    /// The record, how far it reaches, and when it was logged, on the monotonic clock in microseconds.
    /// Taken in softirq and process context, inside the locks of flows.
    #[pin]
    record: SpinLockBh<Option<(Data, u64, u64)>>,
}

impl Latency {
    /// Creates a measurement that has not begun.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            since: Atomic::new(0),
            record <- new_spinlock_bh!(None, "Latency::record"),
        })
    }

    fn is_under_way(&self, now: u64) -> bool {
        let since = self.since.load(Relaxed);
        // CAST: Widening.
        since != 0 && now.saturating_sub(since) < msecs_to_jiffies(GIVE_UP_MS) as u64
    }

    /// A record was logged that reaches up to `end`. Callable from softirq and process context.
    pub(crate) fn logged(&self, data: &Data, end: u64) {
        let now = time::jiffies();
        if self.is_under_way(now) {
            return;
        }
        *self.record.lock() = Some((*data, end, time::now_us()));
        self.since.store(now.max(1), Relaxed);
    }

    /// Something was confirmed. Process context.
    pub(crate) fn confirmed(&self, confirm: &Confirm, stats: &Stats) {
        if !self.is_under_way(time::jiffies()) {
            return;
        }
        let mut record = self.record.lock();
        let done = record.filter(|(data, end, _)| {
            data.key == confirm.key
                && data.incarnation == confirm.incarnation
                && confirm.upto.get() >= *end
        });
        let Some((_, _, logged_us)) = done else {
            return;
        };
        *record = None;
        drop(record);
        self.since.store(0, Relaxed);
        let took_us = time::now_us().saturating_sub(logged_us);
        stats.confirm_samples.inc();
        stats.confirm_total_us.add(took_us);
        stats.confirm_max_us.raise_to(took_us);
    }
}
