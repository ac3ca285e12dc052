// SPDX-License-Identifier: GPL-2.0

//! Who has which address on a link: ARP for IPv4 (RFC 826), neighbour discovery for IPv6 (RFC 4861).
//!
//! C headers: [`include/net/arp.h`](srctree/include/net/arp.h),
//! [`include/net/ndisc.h`](srctree/include/net/ndisc.h)

use super::{
    namespace::Net,
    netdevice,
    skbuff::{
        self,
        SkBuff, //
    }, //
};
use crate::bindings;
use core::{
    net::IpAddr,
    ptr, //
};
use kernel::prelude::*;

/// The length of an ARP packet for Ethernet and IPv4.
const ARP: usize = 28;
/// The length of an IPv6 header and the fixed part of a solicitation or an advertisement.
const ND: usize = 40 + 24;

const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// What a host says about addresses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Message {
    /// The address that it asks for.
    pub(crate) asks: Option<IpAddr>,
    /// The address that it says is its own.
    pub(crate) claims: Option<IpAddr>,
}

impl Message {
    /// Reads the ARP packet in `skb`; [`None`] if it is not one for Ethernet and IPv4.
    pub(crate) fn parse_arp(skb: &SkBuff) -> Option<Self> {
        let bytes: &[u8; ARP] = skb.network()?.first_chunk()?;
        let &[0, 1, 8, 0, 6, 4, 0, op, _, _, _, _, _, _, s0, s1, s2, s3, _, _, _, _, _, _, t0, t1, t2, t3] =
            bytes
        else {
            return None;
        };
        // CAST: ARP's operation codes are small.
        let is_request = op == bindings::ARPOP_REQUEST as u8;
        Some(Self {
            asks: is_request.then_some(IpAddr::from([t0, t1, t2, t3])),
            claims: specified([s0, s1, s2, s3]),
        })
    }

    /// Reads the solicitation or advertisement in `skb`, an IPv6 packet; [`None`] if it is neither, or has
    /// come from another link, through a router (RFC 4861, section 7.1).
    pub(crate) fn parse_nd(skb: &mut SkBuff) -> Option<Self> {
        if *skb.data().get(6)? != ICMPV6 || !skb.pull(ND) {
            return None;
        }
        let bytes: &[u8; ND] = skb.data().first_chunk()?;
        let source: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
        let target: [u8; 16] = *bytes.get(48..)?.first_chunk()?;
        let (hop_limit, code) = (*bytes.get(7)?, *bytes.get(41)?);
        if hop_limit != u8::MAX || code != 0 {
            return None;
        }
        match *bytes.get(40)? {
            SOLICITATION => Some(Self {
                asks: Some(target.into()),
                claims: specified(source),
            }),
            ADVERTISEMENT => Some(Self {
                asks: None,
                claims: Some(target.into()),
            }),
            _ => None,
        }
    }
}

fn specified(addr: impl Into<IpAddr>) -> Option<IpAddr> {
    Some(addr.into()).filter(|addr| !addr.is_unspecified())
}

/// Asks who has `addr`, without saying who asks (RFC 5227, section 2.1.1; RFC 4862, section 5.4.2).
/// Must not be called from hard interrupts.
///
/// For IPv6 the question is known by [`SkBuff::is_injected`] in the hooks.
///
/// # Errors
///
/// `ENETDOWN` if the device is gone, or cannot send.
pub(crate) fn probe(net: &Net, ifindex: c_int, addr: IpAddr) -> Result {
    if !netdevice::has_link(net, ifindex) {
        return Err(ENETDOWN);
    }
    match addr {
        IpAddr::V4(addr) => arp(net, ifindex, [0; 4], addr.octets()),
        IpAddr::V6(addr) => netdevice::with(net, ifindex, |dev| {
            let mark = skbuff::injection_mark();
            // SAFETY: The device is valid under the RCU read lock, and the address has 16 bytes.
            unsafe { bindings::ndisc_probe(dev.as_ptr(), addr.octets().as_ptr(), mark) };
        })
        .ok_or(ENODEV),
    }
}

/// Tells everybody that `addr` is here (RFC 5227, section 2.3; RFC 4861, section 7.2.6). Must not
/// be called from hard interrupts.
///
/// # Errors
///
/// `ENODEV` if the device is gone.
pub(crate) fn announce(net: &Net, ifindex: c_int, addr: IpAddr) -> Result {
    match addr {
        IpAddr::V4(addr) => arp(net, ifindex, addr.octets(), addr.octets()),
        IpAddr::V6(addr) => netdevice::with(net, ifindex, |dev| {
            // SAFETY: The device is valid under the RCU read lock, and the address has 16 bytes.
            unsafe { bindings::ndisc_announce(dev.as_ptr(), addr.octets().as_ptr()) };
        })
        .ok_or(ENODEV),
    }
}

/// Broadcasts an ARP request for `target`.
fn arp(net: &Net, ifindex: c_int, sender: [u8; 4], target: [u8; 4]) -> Result {
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
