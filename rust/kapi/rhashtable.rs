// SPDX-License-Identifier: GPL-2.0

//! A hash table that grows and shrinks and is read without a lock.
//!
//! One length of key only, [`KEY_LEN`].
//!
//! C header: [`include/linux/rhashtable.h`](srctree/include/linux/rhashtable.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        rcu,
        Arc,
        UniqueArc, //
    },
    types::Opaque, //
};

/// The length of a key, in bytes.
pub(crate) const KEY_LEN: usize = bindings::TCPFO_KEY_LEN as usize;

/// A value that can be in a [`Table`], with its key in front, and in a [`Stack`](super::llist::Stack).
///
/// # Invariants
///
/// While a table holds the node, `head.head` and `head.rcu` belong to the table, which owns a reference to
/// the node. While `is_stacked` is set, `head.stacked` belongs to who has set it, or to the stack that the
/// node was added to.
#[pin_data]
#[repr(C)]
pub(crate) struct Node<T> {
    head: Opaque<bindings::tcpfo_node>,
    is_stacked: Atomic<bool>,
    #[pin]
    value: T,
}

// SAFETY: `head` is used by the table only, under the table's own locks, and by a stack, one at a time.
unsafe impl<T: Send> Send for Node<T> {}
// SAFETY: As above.
unsafe impl<T: Sync> Sync for Node<T> {}

impl<T> Node<T> {
    /// Creates a node, which is in no table.
    pub(crate) fn new(
        key: &[u8; KEY_LEN],
        value: impl PinInit<T, Error>,
        flags: kernel::alloc::Flags,
    ) -> Result<Pin<UniqueArc<Self>>> {
        let key = *key;
        UniqueArc::pin_init(
            try_pin_init!(Self {
                head: Opaque::new(bindings::tcpfo_node {
                    key,
                    ..Default::default()
                }),
                is_stacked: Atomic::new(false),
                value <- value,
            }),
            flags,
        )
    }

    /// Sets the mark of a node that is in a stack, and returns whether it was not set.
    pub(super) fn mark_stacked(&self) -> bool {
        // Most of the time it is.
        !self.is_stacked.load(Relaxed) && !self.is_stacked.xchg(true, Acquire)
    }

    /// Takes the mark away: who sets it next may overwrite the link, which is not needed any more.
    pub(super) fn clear_stacked(&self) {
        self.is_stacked.store(false, Release);
    }

    /// Returns a pointer to the front of a node, which stands for the reference, and for all of it.
    pub(super) fn into_raw(node: Arc<Self>) -> *mut bindings::tcpfo_node {
        // CAST: `head` is the first field of the `repr(C)` struct.
        Arc::into_raw(node).cast_mut().cast()
    }

    pub(super) fn from_raw(raw: *mut bindings::tcpfo_node) -> *const Self {
        // CAST: `head` is the first field of the `repr(C)` struct.
        raw.cast::<Self>().cast_const()
    }

    fn as_raw(&self) -> *mut bindings::tcpfo_node {
        self.head.get()
    }
}

impl<T> Deref for Node<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A hash table of reference-counted nodes.
///
/// # Invariants
///
/// `table` is initialised, and owns a reference to each node in it. The reference is given up only
/// after a grace period.
#[pin_data(PinnedDrop)]
pub(crate) struct Table<T: Send + Sync + 'static> {
    #[pin]
    table: Opaque<bindings::rhashtable>,
    _p: PhantomData<Arc<Node<T>>>,
}

// SAFETY: The functions of `rhashtable` do their own locking.
unsafe impl<T: Send + Sync + 'static> Send for Table<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync + 'static> Sync for Table<T> {}

impl<T: Send + Sync + 'static> Table<T> {
    /// Creates an empty table. May sleep.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            table <- Opaque::try_ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes, and stays in place.
                to_result(unsafe { bindings::table_init(slot) })
            }),
            _p: PhantomData,
        }? Error)
    }

    /// Finds a node. Callable from any context but hard interrupts.
    pub(crate) fn get(&self, key: &[u8; KEY_LEN]) -> Option<Arc<Node<T>>> {
        let _rcu = rcu::read_lock();
        // SAFETY: The table is initialised, the key is as long as the table's keys, and we hold the
        // RCU read lock.
        let raw = unsafe { bindings::table_lookup(self.table.get(), key.as_ptr()) };
        if raw.is_null() {
            return None;
        }
        // SAFETY: The table has a reference, which it keeps for as long as we hold the RCU read
        // lock.
        Some(unsafe { borrow(raw) })
    }

    /// Adds a node, which can be shared from then on. Callable from any context but hard interrupts.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one with this key, `ENOMEM`, `E2BIG`, or `EBUSY` if the table is
    /// growing and cannot take more at the moment.
    pub(crate) fn insert(&self, node: Pin<UniqueArc<Node<T>>>) -> Result<Arc<Node<T>>> {
        let node = Arc::from(node);
        // INVARIANT: The table gets a reference of its own.
        let raw = Node::into_raw(node.clone());
        // SAFETY:
        // - The table is initialised.
        // - The node is in no table, nor does one give it up: such a table would have a reference to it,
        //   and the only one was the caller's. So `head` and `rcu` are nobody's.
        // - It stays in place for as long as the table has its reference.
        to_result(unsafe { bindings::table_insert(self.table.get(), raw) }).inspect_err(|_| {
            // SAFETY: It was not inserted, so the table's reference is still ours.
            drop(unsafe { Arc::from_raw(Node::<T>::from_raw(raw)) });
        })?;
        Ok(node)
    }

    /// Removes a node, and returns whether it was there. Callable from any context but hard
    /// interrupts.
    pub(crate) fn remove(&self, node: &Arc<Node<T>>) -> bool {
        let raw = node.as_raw();
        // SAFETY: The table is initialised, and the node is alive.
        if unsafe { bindings::table_remove(self.table.get(), raw) } != 0 {
            return false;
        }
        // SAFETY: The table's reference is ours to give up now, after a grace period.
        unsafe { Self::defer_drop(raw) };
        true
    }

    /// Shows each node to `visit` until it returns false. May sleep, but `visit` may not: it runs
    /// under the RCU read lock.
    ///
    /// While the table is being resized a node may be shown twice.
    pub(crate) fn for_each<F: FnMut(Arc<Node<T>>) -> bool>(&self, mut visit: F) {
        // SAFETY: The table is initialised; `visit_callback::<F>` takes a pointer to an `F`.
        unsafe {
            bindings::table_walk(
                self.table.get(),
                Some(visit_callback::<T, F>),
                ptr::from_mut(&mut visit).cast(),
            )
        };
    }

    /// # Safety
    ///
    /// `raw` was taken out of a table, and the caller owns the table's reference.
    unsafe fn defer_drop(raw: *mut bindings::tcpfo_node) {
        // SAFETY: The node stays until the callback runs, and is in no table, so nobody else uses
        // `rcu`.
        unsafe { bindings::call_rcu(&raw mut (*raw).rcu, Some(drop_callback::<T>)) };
    }
}

#[pinned_drop]
impl<T: Send + Sync + 'static> PinnedDrop for Table<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The table is initialised and nobody uses it any more. The nodes are given up after
        // a grace period, as readers may still hold what they found before.
        unsafe {
            bindings::rhashtable_free_and_destroy(
                self.table.get(),
                Some(free_callback::<T>),
                ptr::null_mut(),
            )
        };
    }
}

/// # Safety
///
/// `raw` is the head of a `Node<T>` in an `Arc` that is alive.
unsafe fn borrow<T>(raw: *mut bindings::tcpfo_node) -> Arc<Node<T>> {
    // SAFETY: By the function requirements; the reference is not ours, so it must not be dropped.
    let node = ManuallyDrop::new(unsafe { Arc::from_raw(Node::<T>::from_raw(raw)) });
    Arc::clone(&node)
}

/// # Safety
///
/// Only called by `tcpfo_helper_table_walk()`, with a pointer to an `F`.
unsafe extern "C" fn visit_callback<T, F: FnMut(Arc<Node<T>>) -> bool>(
    data: *mut c_void,
    raw: *mut bindings::tcpfo_node,
) -> bool {
    // SAFETY: By the function requirements.
    let visit = unsafe { &mut *data.cast::<F>() };
    // SAFETY: The node is in the table, and the walk holds the RCU read lock.
    visit(unsafe { borrow(raw) })
}

/// # Safety
///
/// Only called by RCU, with the `rcu` of a node whose reference is owned by the call.
unsafe extern "C" fn drop_callback<T>(rcu: *mut bindings::callback_head) {
    // SAFETY: `rcu` is a field of a `tcpfo_node`.
    let raw = unsafe { kernel::container_of!(rcu, bindings::tcpfo_node, rcu) };
    // SAFETY: By the function requirements.
    drop(unsafe { Arc::from_raw(Node::<T>::from_raw(raw)) });
}

/// # Safety
///
/// Only called by `rhashtable_free_and_destroy()`, with a node of the table.
unsafe extern "C" fn free_callback<T: Send + Sync + 'static>(node: *mut c_void, _arg: *mut c_void) {
    // CAST: What is in the table are the heads of nodes.
    // SAFETY: The table gives up its reference.
    unsafe { Table::<T>::defer_drop(node.cast()) };
}
