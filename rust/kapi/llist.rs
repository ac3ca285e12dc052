// SPDX-License-Identifier: GPL-2.0

//! A stack to which anybody adds without a lock and without memory, and which is taken as a whole.
//!
//! C header: [`include/linux/llist.h`](srctree/include/linux/llist.h)

use super::rhashtable::Node;
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    sync::Arc,
    types::Opaque, //
};

/// A stack of reference-counted nodes, each of which is in no more than one.
///
/// # Invariants
///
/// `head` is a list of nodes whose marks are set, and owns a reference to each.
pub(crate) struct Stack<T: Send + Sync + 'static> {
    head: Opaque<bindings::llist_head>,
    _p: PhantomData<Arc<Node<T>>>,
}

// SAFETY: What is added, and the whole, move by atomic operations.
unsafe impl<T: Send + Sync + 'static> Send for Stack<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync + 'static> Sync for Stack<T> {}

impl<T: Send + Sync + 'static> Stack<T> {
    /// Creates an empty stack.
    pub(crate) const fn new() -> Self {
        // INVARIANT: There is nothing in it.
        Self {
            head: Opaque::new(bindings::llist_head {
                first: ptr::null_mut(),
            }),
            _p: PhantomData,
        }
    }

    /// Adds a node, unless it is in a stack already. Callable from any context.
    ///
    /// What was done to it under a lock before is seen by who has taken it out and takes the same lock.
    pub(crate) fn push(&self, node: &Arc<Node<T>>) {
        if !node.mark_stacked() {
            return;
        }
        // INVARIANT: The stack gets a reference of its own, and the mark is set.
        let raw = Node::into_raw(node.clone());
        // SAFETY: `head` is a list. We have set the mark, so the node is in no list, and nobody else adds
        // it; it stays in place for as long as the list has its reference.
        unsafe { bindings::stack_push(self.head.get(), raw) };
    }

    /// Takes all nodes, the last one first. Each may be added again as soon as it is shown.
    pub(crate) fn take(&self) -> Taken<T> {
        // INVARIANT: The references go along with the nodes.
        Taken {
            // SAFETY: `head` is a list.
            next: unsafe { bindings::stack_take(self.head.get()) },
            _p: PhantomData,
        }
    }
}

impl<T: Send + Sync + 'static> Drop for Stack<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// What was in a [`Stack`].
///
/// # Invariants
///
/// `next` is null, or the first of a list of nodes whose marks are set, and of each of which this owns a
/// reference.
pub(crate) struct Taken<T: Send + Sync + 'static> {
    next: *mut bindings::tcpfo_node,
    _p: PhantomData<Arc<Node<T>>>,
}

impl<T: Send + Sync + 'static> Iterator for Taken<T> {
    type Item = Arc<Node<T>>;

    fn next(&mut self) -> Option<Arc<Node<T>>> {
        let raw = self.next;
        if raw.is_null() {
            return None;
        }
        // SAFETY: By the type invariants it is a node of our list, which nobody else changes. Afterwards
        // it may be in another one.
        self.next = unsafe { bindings::stack_next(raw) };
        // SAFETY: The reference is ours to give away.
        let node = unsafe { Arc::from_raw(Node::<T>::from_raw(raw)) };
        node.clear_stacked();
        Some(node)
    }
}

impl<T: Send + Sync + 'static> Drop for Taken<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}
