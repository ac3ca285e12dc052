// SPDX-License-Identifier: GPL-2.0

//! A signal that a kernel thread waits for, with high-resolution timers.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use super::kthread::Stop;
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

/// Nanoseconds in a microsecond.
const NS: u64 = 1000;

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
///
/// # Invariants
///
/// `queue` and `timer` are initialised; the timer's function is [`fire`].
#[pin_data(PinnedDrop)]
pub(crate) struct Signal {
    raised: Atomic<u32>,
    #[pin]
    queue: Opaque<bindings::wait_queue_head>,
    /// Raises the signal.
    #[pin]
    timer: Opaque<bindings::hrtimer>,
}

/// The timer of a signal has expired.
///
/// # Safety
///
/// `timer` is the one of a [`Signal`] that is there until the timer has been cancelled.
unsafe extern "C" fn fire(timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
    // SAFETY: By the safety requirements; `Opaque` has the layout of what is in it.
    let signal = unsafe { &*kernel::container_of!(timer.cast::<Opaque<_>>(), Signal, timer) };
    signal.raise();
    bindings::hrtimer_restart::HRTIMER_NORESTART
}

// SAFETY: The wait queue and the timer have locks of their own, and may be used by any thread.
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
            // SAFETY: `slot` is valid for writes.
            timer <- Opaque::ffi_init(|slot| unsafe {
                bindings::hrtimer_setup(
                    slot,
                    Some(fire),
                    // CAST: A small number.
                    bindings::CLOCK_MONOTONIC as bindings::clockid_t,
                    bindings::hrtimer_mode_HRTIMER_MODE_REL,
                )
            }),
        })
    }

    /// Raises the signal. Callable from any context.
    pub(crate) fn raise(&self) {
        if self.raised.xchg(1, Full) == 0 {
            // SAFETY: By the type invariants, and the queue is pinned.
            unsafe { bindings::wake_up(self.queue.get()) };
        }
    }

    /// Raises the signal `us` microseconds from now, or from the last call if that was later. Callable
    /// from any context.
    pub(crate) fn raise_in(&self, us: u64) {
        let ns = i64::try_from(us.saturating_mul(NS)).unwrap_or(i64::MAX);
        // SAFETY: By the type invariants, and the timer is pinned, and cancelled before it is gone.
        unsafe {
            bindings::hrtimer_start_range_ns(
                self.timer.get(),
                ns,
                0,
                bindings::hrtimer_mode_HRTIMER_MODE_REL,
            )
        };
    }

    /// Has [`Self::raise_in`] not raise it, unless it does so just now. Callable from any context.
    pub(crate) fn put_off(&self) {
        // SAFETY: By the type invariants, and the timer is pinned.
        unsafe { bindings::hrtimer_try_to_cancel(self.timer.get()) };
    }

    /// Waits until the signal is raised, `us` microseconds are over, or the thread that has `_stop` is to
    /// stop. It is not raised any more then. Sleeps.
    pub(crate) fn wait(&self, _stop: &Stop, us: u64) {
        // SAFETY:
        // - Both live for as long as `self`; the flag is only read, and as an atomic is.
        // - Whoever has a `Stop` is a kernel thread, which may ask whether it is to stop.
        unsafe { bindings::wait_us(self.queue.get(), self.raised.as_ptr(), us) };
        self.raised.xchg(0, Full);
    }
}

#[pinned_drop]
impl PinnedDrop for Signal {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants.
        unsafe { bindings::hrtimer_cancel(self.timer.get()) };
    }
}
