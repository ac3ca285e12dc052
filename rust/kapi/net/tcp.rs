// SPDX-License-Identifier: GPL-2.0

//! TCP sockets and connection requests of others: found, read, and nudged.
//!
//! C headers: [`include/net/inet_hashtables.h`](srctree/include/net/inet_hashtables.h),
//! [`include/net/inet6_hashtables.h`](srctree/include/net/inet6_hashtables.h),
//! [`include/net/tcp.h`](srctree/include/net/tcp.h),
//! [`include/net/request_sock.h`](srctree/include/net/request_sock.h)

use super::{
    namespace::Net,
    skbuff::SkBuff, //
};
use crate::bindings;
use core::{
    net::IpAddr,
    ptr::NonNull, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::rcu,
    types::Opaque, //
};

/// What a connection request and its SYN-ACK have negotiated.
///
/// `repr(transparent)` over the type that the helpers fill in and read.
#[repr(transparent)]
pub(crate) struct Request(pub(crate) RequestFields);

/// The fields of a [`Request`]; see `struct tcpfo_request`.
pub(crate) type RequestFields = bindings::tcpfo_request;

/// Where a connection on which nothing is under way stands; see `struct tcpfo_quiet`.
pub(crate) type Quiet = bindings::tcpfo_quiet;

impl Request {
    /// Reads the request that the packet, a SYN-ACK on its way out, answers.
    ///
    /// [`None`] if there is none: the SYN-ACK carries a cookie.
    pub(crate) fn of(skb: &SkBuff) -> Option<Self> {
        let mut fields = RequestFields::default();
        // SAFETY: The packet is valid, and the request it belongs to is held by it.
        unsafe { bindings::request_read(skb.as_raw(), &mut fields) }.then_some(Self(fields))
    }

    /// Gives the request that the packet answers the numbers of this one: `iss`, `wscale`, `window`
    /// as the least, and `tsval`. Returns whether there is one.
    pub(crate) fn write_to(&self, skb: &mut SkBuff) -> bool {
        // SAFETY: The packet is valid, and the request it belongs to is held by it; the request is
        // not yet established, and what is sent for it passes through here first.
        unsafe { bindings::request_write(skb.as_raw(), &self.0) }
    }
}

/// The ends of a connection, in host byte order where there is one.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    /// The other host.
    pub(crate) remote: IpAddr,
    /// Its port.
    pub(crate) remote_port: u16,
    /// This host.
    pub(crate) local: IpAddr,
    /// Its port.
    pub(crate) local_port: u16,
}

/// A socket that is connected, or was, or is about to be.
///
/// # Invariants
///
/// The pointer owns a reference to a socket, a request, or what is left of a socket in TIME_WAIT.
pub(crate) struct Sock(NonNull<bindings::sock>);

impl Sock {
    /// Finds the socket with these ends on the device of index `ifindex`. Callable from softirq and
    /// process context.
    pub(crate) fn find(net: &Net, ends: &Ends, ifindex: c_int) -> Option<Self> {
        let _rcu = rcu::read_lock();
        let remote_port = ends.remote_port.to_be();
        let raw = match (ends.remote, ends.local) {
            // SAFETY: The namespace is valid, and we hold the RCU read lock.
            (IpAddr::V4(remote), IpAddr::V4(local)) => unsafe {
                bindings::__inet_lookup_established(
                    net.ptr(),
                    u32::from_ne_bytes(remote.octets()),
                    remote_port,
                    u32::from_ne_bytes(local.octets()),
                    ends.local_port,
                    ifindex,
                    0,
                )
            },
            // SAFETY: As above, and the addresses have 16 bytes.
            (IpAddr::V6(remote), IpAddr::V6(local)) => unsafe {
                bindings::inet6_lookup(
                    net.ptr(),
                    remote.octets().as_ptr(),
                    remote_port,
                    local.octets().as_ptr(),
                    ends.local_port,
                    ifindex,
                )
            },
            _ => return None,
        };
        // INVARIANT: What is found comes with a reference.
        NonNull::new(raw).map(Self)
    }

    /// Returns whether it is a socket on which an application can send or receive, or still has
    /// something to send.
    pub(crate) fn is_connected(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::sk_is_connected(self.0.as_ptr()) }
    }

    /// Returns whether neither side has ended its stream, as far as TCP knows.
    pub(crate) fn is_established(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::sk_is_established(self.0.as_ptr()) }
    }

    /// Returns whether the connection is closed, or only remembered in TIME_WAIT.
    pub(crate) fn is_over(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::sk_is_over(self.0.as_ptr()) }
    }

    /// Makes the socket send an acknowledgement; if a process has it locked, when it has not any more.
    /// Callable from softirq and process context. What is sent passes the hooks.
    pub(crate) fn send_ack(&self) {
        self.ack_soon(true);
    }

    /// Makes the socket send an acknowledgement, unless it sends something else soon. As above.
    pub(crate) fn delay_ack(&self) {
        self.ack_soon(false);
    }

    fn ack_soon(&self, at_once: bool) {
        if self.is_connected() {
            // SAFETY: It is a full socket, and we hold a reference.
            unsafe { bindings::tcp_ack_soon(self.0.as_ptr(), at_once) };
        }
    }

    /// Runs `f` with the socket locked if it is connected. May sleep.
    ///
    /// What the socket sends meanwhile goes through the hooks, so `f` may take no lock that is also
    /// taken around this, and hold none while it sends.
    pub(crate) fn with_lock<R>(&self, f: impl FnOnce(&Locked) -> R) -> Option<R> {
        if !self.is_connected() {
            return None;
        }
        let raw = self.0.as_ptr();
        // SAFETY: It is a full socket, and we hold a reference.
        unsafe { bindings::lock_sock(raw) };
        // CAST: `Locked` is a `repr(transparent)` wrapper around `bindings::sock`.
        let result = if self.is_connected() {
            // SAFETY: The socket is locked until `f` has returned, and stays for longer.
            Some(f(unsafe { &*raw.cast::<Locked>() }))
        } else {
            None
        };
        // SAFETY: We have locked it.
        unsafe { bindings::release_sock(raw) };
        result
    }

    /// Returns what a handshake at this place of both streams would have negotiated, if the
    /// connection is at rest there, and runs `f` with it while the socket is locked: `seq` is the
    /// number of the client's next byte, `ack` what it acknowledges. In softirq context.
    ///
    /// At rest is a connection whose application has read all that the client has sent before, and
    /// whose client has received all that the application has written. `f` must not sleep, nor send.
    pub(crate) fn at_rest<R>(
        &self,
        seq: u32,
        ack: u32,
        f: impl FnOnce(&RequestFields) -> R,
    ) -> Option<R> {
        let raw = self.0.as_ptr();
        // SAFETY: If it is connected it is a full socket, and we hold a reference.
        if !self.is_connected() || !unsafe { bindings::bh_lock_sock(raw) } {
            return None;
        }
        let mut fields = RequestFields::default();
        // SAFETY: It is a full TCP socket, and locked.
        let at_rest = unsafe { bindings::tcp_at_rest(raw, seq, ack, &mut fields) };
        let result = at_rest.then(|| f(&fields));
        // SAFETY: We have locked it.
        unsafe { bindings::bh_unlock_sock(raw) };
        result
    }

    /// Runs `f` with the socket locked if nothing is under way on it: the client has acknowledged all
    /// that the application has written, and the application has read all that the client has sent.
    /// Callable from softirq and process context; `f` must not sleep, nor send.
    pub(crate) fn if_quiet(&self, f: impl FnOnce(&Quiet)) {
        let raw = self.0.as_ptr();
        // SAFETY: If it is connected it is a full socket, and we hold a reference.
        if !self.is_connected() || !unsafe { bindings::bh_lock_sock(raw) } {
            return;
        }
        let mut quiet = Quiet::default();
        // SAFETY: It is a full TCP socket, and locked.
        if unsafe { bindings::tcp_quiet(raw, &mut quiet) } {
            f(&quiet);
        }
        // SAFETY: We have locked it.
        unsafe { bindings::bh_unlock_sock(raw) };
    }

    /// Resets the connection. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it was closed already.
    pub(crate) fn abort(&self) -> Result {
        // SAFETY: We hold a reference; the function knows what kind of socket it has.
        to_result(unsafe { bindings::tcp_abort(self.0.as_ptr(), ECONNABORTED.to_errno()) })
    }
}

impl Drop for Sock {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::sock_gen_put(self.0.as_ptr()) };
    }
}

/// A full TCP socket that is locked, and not closed.
#[repr(transparent)]
pub(crate) struct Locked(Opaque<bindings::sock>);

impl Locked {
    /// Sends an acknowledgement.
    pub(crate) fn send_ack(&self) {
        // SAFETY: It is a full TCP socket, and locked.
        unsafe { bindings::tcp_send_ack(self.0.get()) };
    }

    /// Returns whether the application has written what was not sent yet.
    pub(crate) fn has_unsent(&self) -> bool {
        // SAFETY: It is a full TCP socket, and locked.
        unsafe { bindings::tcp_has_unsent(self.0.get()) }
    }

    /// Forgets that the other side has ever offered a wider window than now.
    pub(crate) fn forget_windows(&self) {
        // SAFETY: It is a full TCP socket, and locked.
        unsafe { bindings::tcp_forget_windows(self.0.get()) };
    }

    /// Forgets what was learned of the path to the other side, and goes on with a congestion window of
    /// at most `cwnd` segments.
    pub(crate) fn begin_path(&self, cwnd: u32) {
        // SAFETY: It is a full TCP socket, and locked.
        unsafe { bindings::tcp_begin_path(self.0.get(), cwnd) };
    }

    /// Offers a window that reaches at least as far as sequence number `edge`.
    pub(crate) fn extend_window(&self, edge: u32) {
        // SAFETY: It is a full TCP socket, and locked.
        unsafe { bindings::tcp_extend_window(self.0.get(), edge) };
    }
}

/// The full socket that a packet in the LOCAL_OUT hook is from.
///
/// As a rule it is locked: the hook runs below whoever sends. Behind a queue of netfilter's (NFQUEUE) it runs
/// in the task that lets the packet go on, and then the socket may be locked by another, or by nobody.
#[repr(transparent)]
pub(crate) struct Sender(Opaque<bindings::sock>);

impl Sender {
    /// Returns the socket that sends `skb`, a TCP segment in the LOCAL_OUT hook; [`None`] if the
    /// segment is not sent by a full socket.
    pub(crate) fn of(skb: &mut SkBuff) -> Option<&Self> {
        // SAFETY: The packet is valid.
        let raw = NonNull::new(unsafe { bindings::skb_sk(skb.as_raw()) })?;
        // SAFETY: The packet holds a reference of its socket.
        if !unsafe { bindings::sk_sends_stream(raw.as_ptr()) } {
            return None;
        }
        // CAST: `Self` is a `repr(transparent)` wrapper around `bindings::sock`.
        // SAFETY: The socket lives for as long as the packet.
        Some(unsafe { raw.cast::<Self>().as_ref() })
    }

    /// Makes the socket forget what it has learned of the path to the other side, and go on with a
    /// congestion window of at most `cwnd` segments; if it is not locked, nothing.
    pub(crate) fn begin_path(&self, cwnd: u32) {
        if self.is_locked() {
            // SAFETY: It is a full TCP socket, and as `is_locked` says.
            unsafe { bindings::tcp_begin_path(self.0.get(), cwnd) };
        }
    }

    /// Makes the socket go on with a congestion window of at least `cwnd` segments; if it is not locked,
    /// nothing.
    pub(crate) fn raise_cwnd(&self, cwnd: u32) {
        if self.is_locked() {
            // SAFETY: It is a full TCP socket, and as `is_locked` says.
            unsafe { bindings::tcp_raise_cwnd(self.0.get(), cwnd) };
        }
    }

    /// Returns whether the socket is locked: by whoever sends the packet, as far as can be told.
    ///
    /// It is another's lock if the packet was in a queue and that one is at the socket just now. It finds
    /// numbers changed then, none of which is used to get at memory; the timer has its own lock.
    fn is_locked(&self) -> bool {
        // SAFETY: It is a full socket.
        unsafe { bindings::sk_is_locked(self.0.get()) }
    }
}
