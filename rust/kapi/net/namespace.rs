// SPDX-License-Identifier: GPL-2.0

//! Net namespaces.
//!
//! C headers: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h),
//! [`include/net/netns/generic.h`](srctree/include/net/netns/generic.h)

use crate::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Release, //
        },
        Arc,
        Completion, //
    }, //
};

/// A net namespace, as seen by what lives in it.
///
/// It holds no reference: the namespace may end, but that waits until all its `Net`s are gone.
///
/// # Invariants
///
/// `raw` is valid, and its end has not gone further than ours, for as long as `_hold` exists.
#[derive(Clone)]
pub(crate) struct Net {
    raw: NonNull<bindings::net>,
    _hold: Arc<Hold>,
}

/// What all `Net`s of a namespace have a reference to: when it goes, they are gone.
struct Hold(Arc<Completion>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.complete_all();
    }
}

// SAFETY: A namespace may be used from any thread.
unsafe impl Send for Net {}
// SAFETY: As above.
unsafe impl Sync for Net {}

impl Net {
    /// Returns the pointer.
    pub(super) fn ptr(&self) -> *mut bindings::net {
        self.raw.as_ptr()
    }

    /// Returns the pointer, for what stands outside of networking.
    pub(in crate::kapi) fn as_raw(&self) -> *mut bindings::net {
        self.raw.as_ptr()
    }
}

/// Something that exists once in each net namespace.
pub(crate) trait PerNet: Send + Sync + 'static {
    /// What all namespaces share.
    type Shared: Send + Sync + 'static;

    /// Creates the value for `net`.
    ///
    /// The value is dropped when the namespace ends. That, and a failure of this, waits until `net` and all
    /// clones of it are gone.
    fn new(net: Net, shared: &Self::Shared) -> Result<Pin<KBox<Self>>>;
}

/// What a registration keeps for a namespace.
struct Instance<T> {
    value: Pin<KBox<T>>,
    /// Completed when all `Net`s are.
    gone: Arc<Completion>,
}

/// What the C side has to find at fixed places.
#[repr(C)]
struct Operations<T: PerNet> {
    raw: UnsafeCell<bindings::pernet_operations>,
    id: UnsafeCell<c_uint>,
    shared: T::Shared,
}

/// The registration of a [`PerNet`]; dropping it drops the values of all namespaces.
///
/// # Invariants
///
/// `operations` is registered, and [`CURRENT`] points to it.
pub(crate) struct Registration<T: PerNet> {
    operations: Pin<KBox<Operations<T>>>,
    _p: PhantomData<T>,
}

// SAFETY: The registration gives access to nothing.
unsafe impl<T: PerNet> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: PerNet> Sync for Registration<T> {}

/// The registered operations: the callbacks of C are given the namespace and nothing else.
static CURRENT: Atomic<usize> = Atomic::new(0);

impl<T: PerNet> Registration<T> {
    /// Creates a value for each namespace there is, and for each that there will be. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is a registration already, or whatever [`PerNet::new`] returns.
    pub(crate) fn new(shared: T::Shared) -> Result<Self> {
        let operations = KBox::pin(
            Operations::<T> {
                raw: UnsafeCell::new(bindings::pernet_operations::default()),
                id: UnsafeCell::new(0),
                shared,
            },
            GFP_KERNEL,
        )?;
        let raw = operations.raw.get();
        // SAFETY: Nobody else knows of the operations yet.
        unsafe {
            (&raw mut (*raw).init).write(Some(Self::init_callback));
            (&raw mut (*raw).exit).write(Some(Self::exit_callback));
            (&raw mut (*raw).size).write(size_of::<Instance<T>>());
            // The field is `const` in C only.
            (&raw const (*raw).id)
                .cast_mut()
                .cast::<*mut c_uint>()
                .write(operations.id.get());
        }
        let address = core::ptr::from_ref::<Operations<T>>(&operations) as usize;
        if CURRENT.cmpxchg(0, address, Full).is_err() {
            return Err(EBUSY);
        }
        // SAFETY: The operations are complete, and stay in place until they are unregistered.
        to_result(unsafe { bindings::register_pernet_subsys(raw) }).inspect_err(|_| {
            CURRENT.store(0, Release);
        })?;
        // INVARIANT: Just registered.
        Ok(Self {
            operations,
            _p: PhantomData,
        })
    }

    fn operations() -> &'static Operations<T> {
        let address = CURRENT.load(Acquire);
        // SAFETY: The callbacks run only between registering and unregistering; in between
        // `CURRENT` is what `new` stored, and the operations are there.
        unsafe { &*(address as *const Operations<T>) }
    }

    /// Returns where the instance of `net` is kept.
    ///
    /// # Safety
    ///
    /// `net` is a valid namespace, and the operations are registered or about to be.
    unsafe fn slot(net: *mut bindings::net) -> *mut Instance<T> {
        // SAFETY: `id` was set before the first callback.
        let id = unsafe { *Self::operations().id.get() };
        // SAFETY: By the function requirements.
        unsafe { bindings::net_generic(net, id) }.cast()
    }

    /// # Safety
    ///
    /// Only called by the namespace code, once for each namespace.
    unsafe extern "C" fn init_callback(raw: *mut bindings::net) -> c_int {
        from_result(|| {
            let gone = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
            // INVARIANT: The namespace is there, and what was registered before us, until this has failed
            // or `exit_callback` has run. Either waits for `gone`.
            let net = Net {
                raw: NonNull::new(raw).ok_or(EINVAL)?,
                _hold: Arc::new(Hold(gone.clone()), GFP_KERNEL)?,
            };
            let value = T::new(net, &Self::operations().shared)
                .inspect_err(|_| gone.wait_for_completion())?;
            // SAFETY: The slot has room for an instance, and is this namespace's.
            unsafe { Self::slot(raw).write(Instance { value, gone }) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Only called by the namespace code, once for each namespace whose `init_callback` went well.
    unsafe extern "C" fn exit_callback(raw: *mut bindings::net) {
        // SAFETY: The slot holds what `init_callback` put there, and is not looked at any more.
        let Instance { value, gone } = unsafe { Self::slot(raw).read() };
        drop(value);
        gone.wait_for_completion();
    }
}

impl<T: PerNet> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants the operations are registered.
        unsafe { bindings::unregister_pernet_subsys(self.operations.raw.get()) };
        CURRENT.store(0, Release);
    }
}
