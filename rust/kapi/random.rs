// SPDX-License-Identifier: GPL-2.0

//! Random numbers.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use crate::bindings;

/// Returns a random number that nobody can guess. Callable from any context.
pub(crate) fn random_u64() -> u64 {
    // SAFETY: Always safe to call.
    unsafe { bindings::get_random_u64() }
}
