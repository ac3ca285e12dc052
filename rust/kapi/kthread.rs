// SPDX-License-Identifier: GPL-2.0

//! Kernel threads.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::{
        ForeignOwnable,
        NotThreadSafe, //
    }, //
};

/// What a thread does.
pub(crate) trait Run: Send + Sync + 'static {
    /// The name of the thread.
    const NAME: &'static CStr;

    /// The nice value of the thread, -20 to 19.
    const NICE: c_long;

    /// The body of the thread. Runs in process context, and may sleep.
    ///
    /// It has to return soon after [`Stop::requested`] says so; whoever waits interruptibly is
    /// woken then.
    fn run(this: ArcBorrow<'_, Self>, stop: &Stop);
}

/// The thread's view of whether it has to stop; who has it is that thread.
///
/// # Invariants
///
/// The running thread was made by [`Thread::spawn`].
pub(crate) struct Stop(NotThreadSafe);

impl Stop {
    /// Returns whether the owner of the thread waits for its end.
    pub(crate) fn requested(&self) -> bool {
        // SAFETY: By the type invariants we are in a kernel thread, which is where this may be called.
        unsafe { bindings::kthread_should_stop() }
    }

    /// Waits until the owner wants the thread to end.
    fn wait(&self) {
        while !self.requested() {
            kernel::time::delay::fsleep(kernel::time::Delta::from_millis(10));
        }
    }
}

/// Changes the nice value of the thread that has `_stop`, -20 to 19.
pub(crate) fn nice(_stop: &Stop, nice: c_long) {
    // SAFETY: The running thread is there.
    unsafe { bindings::set_user_nice(kernel::current!().as_ptr(), nice) };
}

/// A running thread; dropping it stops the thread and waits for its end.
///
/// # Invariants
///
/// `task` is a kernel thread that runs [`Self::main`] and has not been stopped; it does not end
/// before that. `data` is what it was given, and `reclaim` drops that.
pub(crate) struct Thread {
    task: NonNull<bindings::task_struct>,
    data: *mut c_void,
    reclaim: unsafe fn(*mut c_void),
}

// SAFETY: `kthread_stop()` may be called from any thread but the one that is stopped.
unsafe impl Send for Thread {}
// SAFETY: A shared reference gives access to nothing.
unsafe impl Sync for Thread {}

impl Thread {
    /// Starts a thread. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, also if there are too many threads, or `EINTR` if the caller was killed meanwhile.
    pub(crate) fn spawn<T: Run>(work: Arc<T>) -> Result<Self> {
        let data = work.into_foreign();
        // SAFETY: `main::<T>` takes what `into_foreign` gave; the name is a C string.
        let task = from_err_ptr(unsafe {
            bindings::kthread_create(Some(Self::main::<T>), data, T::NAME.as_char_ptr())
        })
        .map_err(|e| {
            // SAFETY: There is no thread, so we still own what `into_foreign` gave.
            drop(unsafe { Arc::<T>::from_foreign(data) });
            if e == EINTR {
                e
            } else {
                ENOMEM
            }
        })?;
        // SAFETY: The thread has just been created, and nobody has stopped it.
        unsafe {
            bindings::set_user_nice(task, T::NICE);
            bindings::wake_up_process(task);
        }
        // INVARIANT: `main` does not return before it is asked to.
        Ok(Self {
            task: NonNull::new(task).ok_or(ENOMEM)?,
            data,
            reclaim: Self::reclaim::<T>,
        })
    }

    /// # Safety
    ///
    /// `data` is what [`Self::spawn`] has passed to a thread that has never run.
    unsafe fn reclaim<T: Run>(data: *mut c_void) {
        // SAFETY: By the function requirements it is still ours.
        drop(unsafe { Arc::<T>::from_foreign(data) });
    }

    /// # Safety
    ///
    /// Only called by the thread that [`Self::spawn`] created, with the pointer that it passed.
    unsafe extern "C" fn main<T: Run>(data: *mut c_void) -> c_int {
        // SAFETY: `data` comes from `into_foreign` in `spawn`, and is ours now.
        let work = unsafe { Arc::<T>::from_foreign(data) };
        // INVARIANT: By the function requirements; and it cannot leave the thread.
        let stop = Stop(NotThreadSafe);
        T::run(work.as_arc_borrow(), &stop);
        // The owner holds no reference to the task, which has to be there until it is stopped.
        stop.wait();
        0
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the task is there, and has not been stopped.
        let result = unsafe { bindings::kthread_stop(self.task.as_ptr()) };
        // A thread that was stopped before it ran at all; one that ran returns 0.
        if result == EINTR.to_errno() {
            // SAFETY: It has never run.
            unsafe { (self.reclaim)(self.data) };
        }
    }
}
