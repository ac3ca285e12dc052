// SPDX-License-Identifier: GPL-2.0

//! Netfilter hooks.
//!
//! C header: [`include/linux/netfilter.h`](srctree/include/linux/netfilter.h)

use super::{
    namespace::Net,
    skbuff::{
        Held,
        SkBuff, //
    }, //
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    }, //
};

/// Where hooks are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// IPv4 packets for this host, before the protocols see them. In softirq context.
    Ipv4In,
    /// IPv4 packets of this host, before they are routed out. In softirq or process context.
    Ipv4Out,
    /// The same for IPv6, which has no ARP: neighbour discovery is among these packets. Fragments
    /// have not been put together.
    Ipv6In,
    /// The same for IPv6.
    Ipv6Out,
    /// IPv4 packets that have just come in, for whomever they are. In softirq context, or wherever
    /// a packet is injected.
    Ipv4Arrival,
    /// The same for IPv6.
    Ipv6Arrival,
    /// ARP packets, before they are looked at. In softirq context.
    ArpIn,
    /// ARP packets of this host. In softirq or process context.
    ArpOut,
}

impl Point {
    fn family_and_number(self) -> (u8, u32) {
        // CAST: Families are small numbers.
        match self {
            Self::Ipv4In => (
                bindings::NFPROTO_IPV4 as u8,
                bindings::nf_inet_hooks_NF_INET_LOCAL_IN,
            ),
            Self::Ipv4Out => (
                bindings::NFPROTO_IPV4 as u8,
                bindings::nf_inet_hooks_NF_INET_LOCAL_OUT,
            ),
            Self::Ipv6In => (
                bindings::NFPROTO_IPV6 as u8,
                bindings::nf_inet_hooks_NF_INET_LOCAL_IN,
            ),
            Self::Ipv6Out => (
                bindings::NFPROTO_IPV6 as u8,
                bindings::nf_inet_hooks_NF_INET_LOCAL_OUT,
            ),
            Self::Ipv4Arrival => (
                bindings::NFPROTO_IPV4 as u8,
                bindings::nf_inet_hooks_NF_INET_PRE_ROUTING,
            ),
            Self::Ipv6Arrival => (
                bindings::NFPROTO_IPV6 as u8,
                bindings::nf_inet_hooks_NF_INET_PRE_ROUTING,
            ),
            Self::ArpIn => (bindings::NFPROTO_ARP as u8, bindings::NF_ARP_IN),
            Self::ArpOut => (bindings::NFPROTO_ARP as u8, bindings::NF_ARP_OUT),
        }
    }
}

/// What becomes of a packet after a hook has seen it: only a [`Packet`] can be turned into one.
pub(crate) struct Verdict(c_uint);

/// A packet in a hook, to be turned into a [`Verdict`].
pub(crate) struct Packet<'a>(&'a mut SkBuff);

impl Packet<'_> {
    /// Lets the packet go on.
    pub(crate) fn accept(self) -> Verdict {
        Verdict(bindings::NF_ACCEPT)
    }

    /// Drops the packet; its sender does not learn of it.
    pub(crate) fn absorb(self) -> Verdict {
        drop(self.hold());
        Verdict(bindings::NF_STOLEN)
    }

    /// Takes the packet out of its way, which may be resumed later.
    fn hold(&self) -> Held {
        // SAFETY: The callers return `NF_STOLEN`, with which netfilter gives the packet up, and do
        // not touch the packet again; hooks run under the RCU read lock.
        unsafe { Held::from_raw(NonNull::new_unchecked(self.0.as_raw())) }
    }

    /// Takes the packet, on its way out, out of its way, which may be resumed later.
    pub(crate) fn keep(self) -> (Held, Verdict) {
        (self.hold(), Verdict(bindings::NF_STOLEN))
    }
}

impl Deref for Packet<'_> {
    type Target = SkBuff;

    fn deref(&self) -> &SkBuff {
        self.0
    }
}

impl DerefMut for Packet<'_> {
    fn deref_mut(&mut self) -> &mut SkBuff {
        self.0
    }
}

/// Something that looks at packets.
pub(crate) trait Hook: Send + Sync + 'static {
    /// Hooks of one point run in ascending order of priority.
    const PRIORITY: i32;

    /// Called for each packet at `point`.
    ///
    /// Runs under the RCU read lock, in the context that [`Point`] says; it must not sleep.
    fn hook(this: ArcBorrow<'_, Self>, point: Point, packet: Packet<'_>) -> Verdict;
}

/// A registered hook; dropping it unregisters it, and waits for those that are running.
///
/// # Invariants
///
/// `ops` is registered with `net` for as long as `self` exists, and `ops.priv` owns a reference to
/// a `T`.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: Hook> {
    #[pin]
    ops: Opaque<bindings::nf_hook_ops>,
    net: Net,
    _p: PhantomData<Arc<T>>,
}

// SAFETY: `Registration` exposes nothing of `ops`.
unsafe impl<T: Hook> Send for Registration<T> {}
// SAFETY: `Registration` exposes nothing of `ops`.
unsafe impl<T: Hook> Sync for Registration<T> {}

impl<T: Hook> Registration<T> {
    /// Registers `hook` at `point`. May sleep.
    pub(crate) fn new(net: &Net, point: Point, hook: Arc<T>) -> impl PinInit<Self, Error> {
        let net = net.clone();
        let raw = net.ptr();
        try_pin_init!(Self {
            ops <- Opaque::try_ffi_init(move |slot: *mut bindings::nf_hook_ops| {
                let (family, number) = point.family_and_number();
                let hook = hook.into_foreign();
                // SAFETY: `slot` is valid for writes, and all-zeroes is a valid `nf_hook_ops`.
                unsafe {
                    slot.write_bytes(0, 1);
                    (&raw mut (*slot).hook).write(Some(Self::callback_of(point)));
                    (&raw mut (*slot).priv_).write(hook);
                    (&raw mut (*slot).pf).write(family);
                    (&raw mut (*slot).hooknum).write(number);
                    (&raw mut (*slot).priority).write(T::PRIORITY);
                }
                // SAFETY: `slot` was fully initialised, is pinned, and stays in place until
                // `drop`; so does the namespace, as we keep `net`.
                to_result(unsafe { bindings::nf_register_net_hooks(raw, slot, 1) })
                    .inspect_err(|_| {
                        // SAFETY: Registration failed, so that we still own the pointer.
                        drop(unsafe { Arc::<T>::from_foreign(hook) })
                    })
            }),
            net,
            _p: PhantomData,
        }? Error)
    }

    fn callback_of(
        point: Point,
    ) -> unsafe extern "C" fn(
        *mut c_void,
        *mut bindings::sk_buff,
        *const bindings::nf_hook_state,
    ) -> c_uint {
        match point {
            Point::Ipv4In => Self::callback::<0>,
            Point::Ipv4Out => Self::callback::<1>,
            Point::Ipv6In => Self::callback::<2>,
            Point::Ipv6Out => Self::callback::<3>,
            Point::ArpIn => Self::callback::<4>,
            Point::ArpOut => Self::callback::<5>,
            Point::Ipv4Arrival => Self::callback::<6>,
            Point::Ipv6Arrival => Self::callback::<7>,
        }
    }

    /// # Safety
    ///
    /// Only called by netfilter, with the `priv` that [`Self::new`] stored.
    unsafe extern "C" fn callback<const POINT: u8>(
        priv_: *mut c_void,
        skb: *mut bindings::sk_buff,
        _state: *const bindings::nf_hook_state,
    ) -> c_uint {
        let point = const {
            match POINT {
                0 => Point::Ipv4In,
                1 => Point::Ipv4Out,
                2 => Point::Ipv6In,
                3 => Point::Ipv6Out,
                4 => Point::ArpIn,
                6 => Point::Ipv4Arrival,
                7 => Point::Ipv6Arrival,
                _ => Point::ArpOut,
            }
        };
        // SAFETY: By the type invariants `priv_` is from `into_foreign` and outlives the hook.
        let this = unsafe { Arc::<T>::borrow(priv_) };
        // SAFETY: Netfilter passes a valid buffer with its network header set, and the hook is the
        // only one to use it until it returns.
        let skb = unsafe { SkBuff::from_raw(skb) };
        T::hook(this, point, Packet(skb)).0
    }
}

#[pinned_drop]
impl<T: Hook> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        let ops = self.ops.get();
        // SAFETY: By the type invariants `ops` is registered.
        unsafe { bindings::nf_unregister_net_hooks(self.net.ptr(), ops, 1) };
        // `nf_unregister_net_hooks()` does not wait for running hooks.
        kernel::sync::rcu::synchronize_rcu();
        // SAFETY: No hook can run any more, so we are the owner of the reference again.
        drop(unsafe { Arc::<T>::from_foreign((*ops).priv_) });
    }
}
