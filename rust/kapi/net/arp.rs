// SPDX-License-Identifier: GPL-2.0

//! Address resolution for IPv4.
//!
//! C header: [`include/net/arp.h`](srctree/include/net/arp.h)

use super::{
    namespace::Net,
    netdevice,
    skbuff::SkBuff, //
};
use crate::bindings;
use core::ptr;
use kernel::prelude::*;

/// The length of an ARP packet for Ethernet and IPv4.
const LEN: usize = 28;

/// What an ARP packet says.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    /// Whether it asks, or answers.
    pub(crate) is_request: bool,
    /// The sender's address.
    pub(crate) sender: [u8; 4],
    /// The address asked for.
    pub(crate) target: [u8; 4],
}

impl Packet {
    /// Reads the ARP packet in `skb`; [`None`] if it is not one for Ethernet and IPv4.
    pub(crate) fn parse(skb: &SkBuff) -> Option<Self> {
        let bytes: &[u8; LEN] = skb.network()?.first_chunk()?;
        let &[0, 1, 8, 0, 6, 4, 0, op, _, _, _, _, _, _, s0, s1, s2, s3, _, _, _, _, _, _, t0, t1, t2, t3] =
            bytes
        else {
            return None;
        };
        // CAST: ARP's operation codes are small.
        Some(Self {
            is_request: op == bindings::ARPOP_REQUEST as u8,
            sender: [s0, s1, s2, s3],
            target: [t0, t1, t2, t3],
        })
    }
}

/// Asks who has `addr`, without saying who asks (RFC 5227, section 2.1.1). Must not be called from
/// hard interrupts.
pub(crate) fn probe(net: &Net, ifindex: c_int, addr: [u8; 4]) -> Result {
    send(net, ifindex, [0; 4], addr)
}

/// Tells everybody that `addr` is here (RFC 5227, section 2.3). Must not be called from hard
/// interrupts.
pub(crate) fn announce(net: &Net, ifindex: c_int, addr: [u8; 4]) -> Result {
    send(net, ifindex, addr, addr)
}

/// Broadcasts a request for `target`.
///
/// # Errors
///
/// `ENODEV` if the device is gone.
fn send(net: &Net, ifindex: c_int, sender: [u8; 4], target: [u8; 4]) -> Result {
    netdevice::with(net, ifindex, |dev| {
        // SAFETY: The device is valid under the RCU read lock; without hardware addresses the
        // function takes broadcast and the device's own.
        unsafe {
            bindings::arp_send(
                bindings::ARPOP_REQUEST as c_int,
                bindings::ETH_P_ARP as c_int,
                u32::from_ne_bytes(target),
                dev.as_ptr(),
                u32::from_ne_bytes(sender),
                ptr::null(),
                bindings::dev_addr(dev.as_ptr()),
                ptr::null(),
            )
        };
    })
    .ok_or(ENODEV)
}
