// SPDX-License-Identifier: GPL-2.0

//! Messages that may come often.
//!
//! C header: [`include/linux/ratelimit.h`](srctree/include/linux/ratelimit.h)

use crate::bindings;

/// Prints a warning, unless there were too many lately.
macro_rules! warn_ratelimited {
    ($($arg:tt)*) => {
        if $crate::kapi::print::may_print() {
            ::kernel::pr_warn!($($arg)*)
        }
    };
}
pub(crate) use warn_ratelimited;

/// Returns whether there were few enough messages lately for one more. Callable from any context.
pub(crate) fn may_print() -> bool {
    // SAFETY: Always safe to call.
    unsafe { bindings::may_print() }
}
