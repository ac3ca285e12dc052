// SPDX-License-Identifier: GPL-2.0

//! Packets.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::{
    namespace::Net,
    netdevice, //
};
use crate::{
    bindings,
    kapi::random, //
};
use core::{
    mem::ManuallyDrop,
    ptr::{
        self,
        NonNull, //
    },
    slice, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::SetOnce,
    types::Opaque, //
};

/// A packet that is on its way through a netfilter hook.
///
/// # Invariants
///
/// A valid `sk_buff` whose network header is set, and which nobody else reads or writes.
#[repr(transparent)]
pub(crate) struct SkBuff(Opaque<bindings::sk_buff>);

impl SkBuff {
    /// Creates a reference to a packet from a valid pointer.
    ///
    /// # Safety
    ///
    /// For the duration of `'a`, `raw` points at a valid `sk_buff` whose network header is set, and
    /// nothing else reads or writes it.
    pub(super) unsafe fn from_raw<'a>(raw: *mut bindings::sk_buff) -> &'a mut Self {
        // CAST: `Self` is a `repr(transparent)` wrapper around `bindings::sk_buff`.
        // SAFETY: By the function requirements.
        unsafe { &mut *raw.cast::<Self>() }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.0.get()
    }

    /// Returns the length of the packet, in bytes.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: By the type invariants.
        let len = unsafe { bindings::skb_len(self.0.get()) };
        // CAST: Widening.
        len as usize
    }

    /// Makes sure that the first `len` bytes are where [`Self::data`] can show them. Returns
    /// whether they are; if not, there are not as many, or no memory for them.
    pub(crate) fn pull(&mut self, len: usize) -> bool {
        let Ok(len) = u32::try_from(len) else {
            return false;
        };
        // SAFETY: By the type invariants.
        unsafe { bindings::pskb_may_pull(self.0.get(), len) }
    }

    /// Returns the first bytes of the packet: at least as many as were pulled.
    pub(crate) fn data(&self) -> &[u8] {
        // SAFETY: By the type invariants; `headlen` bytes stand at `data`, and pulling, which could
        // move them, needs `&mut self`.
        unsafe {
            let len = bindings::skb_headlen(self.0.get());
            slice::from_raw_parts((*self.0.get()).data, len as usize)
        }
    }

    /// Returns the bytes from the network header on.
    pub(crate) fn network(&self) -> Option<&[u8]> {
        // SAFETY: By the type invariants.
        let offset = unsafe { bindings::skb_network_offset(self.0.get()) };
        self.data().get(usize::try_from(offset).ok()?..)
    }

    /// Appends `len` bytes of the packet, from `offset` on, to `out`, which has to have room.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if `out` has no room, `EFAULT` if the packet is shorter.
    pub(crate) fn append_to(&self, offset: usize, len: usize, out: &mut KVec<u8>) -> Result {
        let spare = out.spare_capacity_mut();
        if spare.len() < len {
            return Err(ENOSPC);
        }
        // SAFETY: By the type invariants, and `spare` has room for `len` bytes.
        to_result(unsafe {
            bindings::skb_copy_bits(
                self.0.get(),
                c_int::try_from(offset)?,
                spare.as_mut_ptr().cast(),
                c_int::try_from(len)?,
            )
        })?;
        // SAFETY: `len` bytes behind the vector's end were just written, within its capacity.
        unsafe { out.inc_len(len) };
        Ok(())
    }

    /// Returns whether the checksum of the TCP segment behind `ip_len` bytes of IP headers, on its
    /// way in, is right; the stack will not compute it again.
    pub(crate) fn tcp_checksum_ok(&mut self, ip_len: usize) -> bool {
        const LOCAL_IN: u32 = bindings::nf_inet_hooks_NF_INET_LOCAL_IN;
        let family = match self.data().first() {
            Some(0x60..=0x6f) => bindings::AF_INET6,
            _ => bindings::AF_INET,
        };
        let Ok(offset) = u32::try_from(ip_len) else {
            return false;
        };
        // CAST: Families are small numbers.
        // SAFETY: By the type invariants; the packet is in the hook it is said to be in.
        unsafe { bindings::nf_checksum(self.0.get(), LOCAL_IN, offset, 6, family as u16) == 0 }
    }

    /// Writes the 32-bit word `new` at `offset` bytes from the start of the TCP header at `tcp`,
    /// and keeps the TCP checksum right. `offset` is a multiple of 4.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the packet is shorter, `ENOMEM` if it cannot be made writable.
    pub(crate) fn rewrite_tcp(&mut self, tcp: usize, offset: usize, new: [u8; 4]) -> Result {
        const CHECKSUM: usize = 16;
        let end = tcp + (offset + 4).max(CHECKSUM + 2);
        if end > self.len() {
            return Err(EINVAL);
        }
        // SAFETY: By the type invariants, and the packet is long enough.
        to_result(unsafe { bindings::skb_ensure_writable(self.0.get(), u32::try_from(end)?) })?;
        let raw = self.0.get();
        // SAFETY: The first `end` bytes are at `data` and are ours to write; a checksum may stand
        // at any address on the architectures that have Rust, and so may a word.
        unsafe {
            let header = (*raw).data.add(tcp);
            let word = header.add(offset);
            let old = word.cast::<[u8; 4]>().read();
            word.cast::<[u8; 4]>().write(new);
            bindings::inet_proto_csum_replace4(
                header.add(CHECKSUM).cast(),
                raw,
                u32::from_ne_bytes(old),
                u32::from_ne_bytes(new),
                false,
            );
        }
        Ok(())
    }

    /// Returns how many segments the packet, on its way out, stands for.
    #[cfg(tcpfo_test)]
    pub(crate) fn segments(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { bindings::skb_segments(self.0.get()) }
    }

    /// Leaves the first `segments` of those that the packet, on its way out, stands for. TCP begins
    /// at `tcp`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and the packet is as it was.
    #[cfg(tcpfo_test)]
    pub(crate) fn keep_segments(&mut self, tcp: usize, segments: u32) -> Result {
        // SAFETY: By the type invariants; the headers are where `data` shows them.
        to_result(unsafe {
            bindings::skb_keep_segments(self.0.get(), c_int::try_from(tcp)?, segments)
        })
    }

    /// Returns the index of the device that the packet has come in by, or 0.
    pub(crate) fn ifindex(&self) -> c_int {
        // SAFETY: By the type invariants.
        unsafe { bindings::skb_ifindex(self.0.get()) }
    }

    /// Returns whether the packet was made here: by [`Injected`], and not received, or to be sent.
    pub(crate) fn is_injected(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::skb_priority(self.0.get()) == injection_mark() }
    }
}

/// A packet that was taken out of the output path, to be sent later.
///
/// # Invariants
///
/// The pointer owns a valid `sk_buff` that has a route and whose socket, if it has one, the
/// `sk_buff` holds a reference of.
pub(crate) struct Held(NonNull<bindings::sk_buff>);

// SAFETY: The packet is owned, and may be sent or freed from any thread.
unsafe impl Send for Held {}
// SAFETY: A shared reference gives access to nothing.
unsafe impl Sync for Held {}

impl Held {
    /// Takes over the packet `raw`.
    ///
    /// # Safety
    ///
    /// The caller owns `raw`, which came out of the LOCAL_OUT hook, and gives it up; the RCU read
    /// lock is held.
    pub(super) unsafe fn from_raw(raw: NonNull<bindings::sk_buff>) -> Self {
        // A packet that loses its route here is not sent later on.
        // SAFETY: By the function requirements.
        unsafe { bindings::skb_dst_force(raw.as_ptr()) };
        // INVARIANT: By the function requirements.
        Self(raw)
    }

    /// Sends the packet on its way: what follows the hook. Callable from softirq and process
    /// context, without spinlocks.
    pub(crate) fn send(self, net: &Net) {
        let raw = ManuallyDrop::new(self).0.as_ptr();
        // SAFETY: We own the packet and give it up. Without a route it cannot be sent.
        unsafe {
            if !bindings::skb_dst_force(raw) {
                bindings::kfree_skb(raw);
                return;
            }
            bindings::local_bh_disable();
            let _rcu = kernel::sync::rcu::read_lock();
            bindings::dst_output(net.ptr(), bindings::skb_sk(raw), raw);
            bindings::local_bh_enable();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own the packet.
        unsafe { bindings::kfree_skb(self.0.as_ptr()) };
    }
}

/// What [`SkBuff::is_injected`] knows an injected packet by: a number that is drawn when the module
/// is loaded and stands in `skb->priority`, which is 0 in whatever comes from a network.
static MARK: SetOnce<u32> = SetOnce::new();

pub(super) fn injection_mark() -> u32 {
    if let Some(&mark) = MARK.as_ref() {
        return mark;
    }
    // CAST: Half of the bits will do. Not 0, nor one of the small numbers that are in use.
    MARK.populate(random::random_u64() as u32 | 0x8000_0000);
    MARK.as_ref().copied().unwrap_or(u32::MAX)
}

/// A packet made here, to be received as if it had come over a device.
///
/// # Invariants
///
/// The pointer owns a valid, linear `sk_buff` that begins with an IP header of `ip_len` bytes.
pub(crate) struct Injected {
    raw: NonNull<bindings::sk_buff>,
    ip_len: usize,
    segment: u16,
}

impl Injected {
    /// Creates a packet: the IP header, the TCP header, the payload. `segment` is the payload of each
    /// segment if it stands for several, else 0. Callable from any context but hard interrupts.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `E2BIG` if it would be longer than a packet can be.
    pub(crate) fn new(ip: &[u8], tcp: &[u8], payload: &[u8], segment: u16) -> Result<Self> {
        let parts = [ip, tcp, payload];
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        if len > usize::from(u16::MAX) {
            return Err(E2BIG);
        }
        // CAST: At most 65535.
        // SAFETY: Always safe to call.
        let raw = unsafe { bindings::alloc_skb_atomic(len as u32) };
        let this = Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            ip_len: ip.len(),
            segment,
        };
        for part in parts {
            // SAFETY: The packet was made with room for all parts.
            unsafe {
                let to = bindings::skb_put(raw, part.len() as u32).cast::<u8>();
                ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
            }
        }
        Ok(this)
    }

    /// Has the packet received at once, before this returns, by the device of index `ifindex`. In
    /// process context only, and without locks.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the device is gone.
    pub(crate) fn receive(self, net: &Net, ifindex: c_int) -> Result {
        netdevice::with(net, ifindex, |dev| {
            let raw = self.become_received(dev);
            // SAFETY: The packet is ours and complete, and bottom halves are disabled.
            unsafe {
                bindings::local_bh_disable();
                bindings::netif_receive_skb(raw);
                bindings::local_bh_enable();
            }
        })
        .ok_or(ENODEV)
    }

    /// As [`Self::receive`], but later, and callable from within a hook and under spinlocks.
    pub(crate) fn receive_later(self, net: &Net, ifindex: c_int) -> Result {
        netdevice::with(net, ifindex, |dev| {
            let raw = self.become_received(dev);
            // SAFETY: The packet is ours and complete.
            unsafe { bindings::netif_rx(raw) };
        })
        .ok_or(ENODEV)
    }

    fn become_received(self, dev: NonNull<bindings::net_device>) -> *mut bindings::sk_buff {
        let this = ManuallyDrop::new(self);
        let raw = this.raw.as_ptr();
        // SAFETY: The packet is ours, linear, and begins with an IP header.
        let version = unsafe { (*raw).data.read() >> 4 };
        let protocol = if version == 6 {
            bindings::ETH_P_IPV6
        } else {
            bindings::ETH_P_IP
        };
        // CAST: An IP header is short, and protocols have 16 bits.
        // SAFETY: We own the packet.
        unsafe {
            bindings::skb_received(
                raw,
                dev.as_ptr(),
                this.ip_len as c_int,
                (protocol as u16).to_be(),
                injection_mark(),
                this.segment,
            )
        };
        raw
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own the packet.
        unsafe { bindings::kfree_skb(self.raw.as_ptr()) };
    }
}
