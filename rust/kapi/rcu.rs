// SPDX-License-Identifier: GPL-2.0

//! Waiting for readers.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use crate::bindings;

/// Waits until no hook runs that was running before, and soon: at the cost of the other processors.
/// May sleep.
pub(crate) fn synchronize_expedited() {
    // SAFETY: Safe to call in process context.
    unsafe { bindings::synchronize_rcu_expedited() };
}
