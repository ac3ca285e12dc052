// SPDX-License-Identifier: GPL-2.0

//! Clocks.
//!
//! C headers: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h),
//! [`include/linux/jiffies.h`](srctree/include/linux/jiffies.h)

use crate::bindings;

/// Returns the monotonic clock, in microseconds. Callable from any context.
pub(crate) fn now_us() -> u64 {
    // SAFETY: Always safe to call.
    unsafe { bindings::ktime_us() }
}

/// Returns the monotonic clock, in milliseconds. Callable from any context.
pub(crate) fn now_ms() -> u64 {
    now_us() / 1000
}

/// Returns the same, with the time for which the system was suspended. Callable from any context.
pub(crate) fn boot_us() -> u64 {
    // SAFETY: Always safe to call.
    unsafe { bindings::ktime_boot_us() }
}

/// Returns the tick counter, which is coarser than [`now_us`] but costs one load.
pub(crate) fn jiffies() -> u64 {
    // SAFETY: Always safe to call.
    unsafe { bindings::get_jiffies() }
}
