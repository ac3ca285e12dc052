// SPDX-License-Identifier: GPL-2.0

//! Network devices.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::namespace::Net;
use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    str::CStr,
    sync::rcu, //
};

/// Returns the index of the device called `name`, if there is one. May sleep.
pub(crate) fn index_of(net: &Net, name: &CStr) -> Option<c_int> {
    // SAFETY: The namespace and the name are valid.
    let dev = NonNull::new(unsafe { bindings::dev_get_by_name(net.ptr(), name.as_char_ptr()) })?;
    // SAFETY: We hold a reference to the device, and give it up.
    unsafe {
        let index = bindings::dev_ifindex(dev.as_ptr());
        bindings::dev_put(dev.as_ptr());
        Some(index)
    }
}

/// Returns whether there is a device of index `index`. Callable from any context.
pub(crate) fn exists(net: &Net, index: c_int) -> bool {
    with(net, index, |_| ()).is_some()
}

/// Returns whether there is a device of index `index` that can send. Callable from any context.
pub(crate) fn has_link(net: &Net, index: c_int) -> bool {
    // SAFETY: The device is valid under the RCU read lock.
    with(net, index, |dev| unsafe {
        bindings::dev_has_link(dev.as_ptr())
    })
    .unwrap_or(false)
}

/// Runs `f` with the device of index `index`, if there is one, under the RCU read lock.
pub(super) fn with<R>(
    net: &Net,
    index: c_int,
    f: impl FnOnce(NonNull<bindings::net_device>) -> R,
) -> Option<R> {
    let _rcu = rcu::read_lock();
    // SAFETY: The namespace is valid, and we hold the RCU read lock.
    let dev = NonNull::new(unsafe { bindings::dev_get_by_index_rcu(net.ptr(), index) })?;
    Some(f(dev))
}
