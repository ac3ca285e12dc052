// SPDX-License-Identifier: GPL-2.0

//! A signal that a kernel thread waits for, with high-resolution timers.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use crate::bindings;
use kernel::{
    prelude::*,
    str::CStr,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        LockClassKey, //
    },
    types::Opaque, //
};

/// Creates a [`Signal`] initialiser with the given name and a newly-created lock class.
macro_rules! new_signal {
    ($name:literal) => {
        $crate::kapi::signal::Signal::new(
            ::kernel::optional_name!($name),
            ::kernel::static_lock_class!(),
        )
    };
}
pub(crate) use new_signal;

/// A signal: it stays raised until somebody has waited for it.
#[pin_data]
pub(crate) struct Signal {
    raised: Atomic<u32>,
    #[pin]
    queue: Opaque<bindings::wait_queue_head>,
}

// SAFETY: The wait queue has a lock of its own, and may be used by any thread.
unsafe impl Send for Signal {}
// SAFETY: As above.
unsafe impl Sync for Signal {}

impl Signal {
    /// Creates a signal that is not raised.
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            raised: Atomic::new(0),
            // SAFETY: `slot` is valid for writes, and `name` and `key` live for ever.
            queue <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr())
            }),
        })
    }

    /// Raises the signal. Callable from any context.
    pub(crate) fn raise(&self) {
        if self.raised.xchg(1, Full) == 0 {
            // SAFETY: The queue was initialised, and is pinned.
            unsafe { bindings::wake_up(self.queue.get()) };
        }
    }

    /// Waits until the signal is raised, `us` microseconds are over, or the thread is to stop. It is not
    /// raised any more then. Sleeps; for kernel threads only.
    pub(crate) fn wait(&self, us: u64) {
        // SAFETY: Both live for as long as `self`; the flag is only read, and as an atomic is.
        unsafe { bindings::wait_us(self.queue.get(), self.raised.as_ptr(), us) };
        self.raised.xchg(0, Full);
    }
}
