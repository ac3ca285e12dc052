// SPDX-License-Identifier: GPL-2.0

//! Generic netlink messages to the listeners of one net namespace.
//!
//! Families and multicast groups are those of [`kernel::net::netlink`], whose own messages go to
//! the initial namespace only and have no 64-bit numbers. Neither commands nor replies.
//!
//! C header: [`include/net/genetlink.h`](srctree/include/net/genetlink.h)

use super::namespace::Net;
use crate::bindings;
use core::{
    mem::ManuallyDrop,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    error::to_result,
    net::netlink::Family,
    prelude::*, //
};

/// The longest payload of an attribute, in bytes: its length, header included, has 16 bits.
const MAX_PAYLOAD: usize = u16::MAX as usize - size_of::<bindings::nlattr>();

/// A message that is being put together.
///
/// # Invariants
///
/// `skb` is owned, and `header` is the header of the message in it.
pub(crate) struct Message {
    skb: NonNull<bindings::sk_buff>,
    header: NonNull<c_void>,
    family: &'static Family,
}

impl Message {
    /// Creates a message of `family` with room for `size` bytes of attributes. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(family: &'static Family, command: u8, size: usize) -> Result<Self> {
        // SAFETY: Takes nothing but integers.
        let skb = unsafe { bindings::genlmsg_new(size, bindings::GFP_KERNEL) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // SAFETY: Both are valid.
        let header =
            unsafe { bindings::genlmsg_put(skb.as_ptr(), 0, 0, family.as_raw(), 0, command) };
        let Some(header) = NonNull::new(header) else {
            // SAFETY: We own the buffer, and nobody else knows of it.
            unsafe { bindings::nlmsg_free(skb.as_ptr()) };
            return Err(ENOMEM);
        };
        // INVARIANT: Both were just made.
        Ok(Self {
            skb,
            header,
            family,
        })
    }

    /// Puts a number into the message: four bytes if it fits into them, else eight; what netlink
    /// calls `uint`.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room.
    pub(crate) fn put_uint(&mut self, attribute: u16, value: u64) -> Result {
        match u32::try_from(value) {
            Ok(short) => self.put(attribute, &[&short.to_ne_bytes()]),
            Err(_) => self.put(attribute, &[&value.to_ne_bytes()]),
        }
    }

    /// Puts a string into the message, and a NUL behind it.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room.
    pub(crate) fn put_string(&mut self, attribute: u16, text: &[u8]) -> Result {
        self.put(attribute, &[text, &[0]])
    }

    /// Puts an attribute into the message whose payload is `parts`, one behind the other.
    fn put(&mut self, attribute: u16, parts: &[&[u8]]) -> Result {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        if len > MAX_PAYLOAD {
            return Err(EMSGSIZE);
        }
        // CAST: At most `MAX_PAYLOAD`.
        // SAFETY: The buffer is valid by the type invariants.
        let attr =
            unsafe { bindings::nla_reserve(self.skb.as_ptr(), attribute.into(), len as c_int) };
        let attr = NonNull::new(attr).ok_or(EMSGSIZE)?;
        // SAFETY: The payload follows the header.
        let mut to = unsafe { attr.add(1) }.cast::<u8>();
        for part in parts {
            // SAFETY: `nla_reserve` has made room for all parts, which are not in the buffer.
            unsafe {
                ptr::copy_nonoverlapping(part.as_ptr(), to.as_ptr(), part.len());
                to = to.add(part.len());
            }
        }
        Ok(())
    }

    /// Sends the message to all who listen to a group of its family in `net`; `group` is its place
    /// among the family's groups. Each of them has it in its queue, or was told that it has missed
    /// something, when this returns. Does not sleep.
    ///
    /// # Errors
    ///
    /// `ESRCH` if nobody listens, `EINVAL` if there is no such group, `ENOBUFS` or `ENOMEM`.
    pub(crate) fn multicast(self, net: &Net, group: u32) -> Result {
        let this = ManuallyDrop::new(self);
        // SAFETY:
        // - buffer and header are valid by the type invariants, and the buffer, which is not
        //   dropped here, is given away.
        // - netlink's part of the namespace was there before `Net` and outlives it.
        unsafe {
            bindings::genlmsg_end(this.skb.as_ptr(), this.header.as_ptr());
            to_result(bindings::genlmsg_multicast_netns(
                this.family.as_raw(),
                net.ptr(),
                this.skb.as_ptr(),
                group,
                // One that may sleep also waits for listeners that are slow.
                bindings::GFP_ATOMIC,
            ))
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: We own the buffer by the type invariants.
        unsafe { bindings::nlmsg_free(self.skb.as_ptr()) };
    }
}
