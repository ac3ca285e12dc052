// SPDX-License-Identifier: GPL-2.0

//! Sockets of the kernel's own: TCP.
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h)

use super::namespace::Net;
use crate::bindings;
use core::{
    mem,
    net::SocketAddr,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    error::to_result,
    prelude::*, //
};

/// An address as the kernel has it.
///
/// # Invariants
///
/// The first `len` bytes of `storage` are an address of the family that stands there.
struct RawAddr {
    storage: bindings::__kernel_sockaddr_storage,
    len: c_int,
}

impl RawAddr {
    fn new(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(addr) => Self::of(bindings::sockaddr_in {
                // CAST: Families are small numbers.
                sin_family: bindings::AF_INET as u16,
                sin_port: addr.port().to_be(),
                sin_addr: bindings::in_addr {
                    s_addr: u32::from_ne_bytes(addr.ip().octets()),
                },
                ..Default::default()
            }),
            SocketAddr::V6(addr) => Self::of(bindings::sockaddr_in6 {
                // CAST: As above.
                sin6_family: bindings::AF_INET6 as u16,
                sin6_port: addr.port().to_be(),
                // SAFETY: Any 16 bytes are an address.
                sin6_addr: unsafe {
                    mem::transmute::<[u8; 16], bindings::in6_addr>(addr.ip().octets())
                },
                ..Default::default()
            }),
        }
    }

    fn of<T>(addr: T) -> Self {
        const {
            assert!(size_of::<T>() <= size_of::<bindings::__kernel_sockaddr_storage>());
            assert!(align_of::<T>() <= align_of::<bindings::__kernel_sockaddr_storage>());
        }
        let mut storage = bindings::__kernel_sockaddr_storage::default();
        // SAFETY: The storage is large enough, and aligned.
        unsafe { ptr::from_mut(&mut storage).cast::<T>().write(addr) };
        // INVARIANT: It was just written.
        // CAST: Less than 128.
        Self {
            storage,
            len: size_of::<T>() as c_int,
        }
    }

    fn as_mut_ptr<T>(&mut self) -> *mut T {
        ptr::from_mut(&mut self.storage).cast()
    }

    /// Returns the address; [`None`] if it is of another family.
    fn get(&self) -> Option<SocketAddr> {
        let raw = ptr::from_ref(&self.storage);
        // SAFETY: All addresses begin with their family.
        match c_uint::from(unsafe { raw.cast::<u16>().read() }) {
            bindings::AF_INET => {
                // SAFETY: By the type invariants.
                let raw = unsafe { raw.cast::<bindings::sockaddr_in>().read() };
                let addr = raw.sin_addr.s_addr.to_ne_bytes();
                Some((addr, u16::from_be(raw.sin_port)).into())
            }
            bindings::AF_INET6 => {
                // SAFETY: By the type invariants.
                let raw = unsafe { raw.cast::<bindings::sockaddr_in6>().read() };
                // SAFETY: An address is 16 bytes.
                let addr = unsafe { mem::transmute::<bindings::in6_addr, [u8; 16]>(raw.sin6_addr) };
                Some((addr, u16::from_be(raw.sin6_port)).into())
            }
            _ => None,
        }
    }
}

/// A TCP socket.
///
/// # Invariants
///
/// `raw` owns a `socket` of `net`.
pub(crate) struct Socket {
    raw: NonNull<bindings::socket>,
    net: Net,
}

// SAFETY: The functions of sockets do their own locking.
unsafe impl Send for Socket {}
// SAFETY: As above.
unsafe impl Sync for Socket {}

/// How long a socket's calls may block, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Timeouts {
    /// For accepting and receiving.
    pub(crate) receive: u32,
    /// For connecting and sending.
    pub(crate) send: u32,
}

/// Whether a call waits until it can do something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It does, up to the time-out.
    Yes,
    /// It fails instead.
    No,
}

impl Socket {
    /// Creates a socket that is bound to `local`. May sleep, as all functions here.
    ///
    /// The socket does not keep the namespace from ending, but that waits for it.
    pub(crate) fn bound(net: &Net, local: SocketAddr, timeouts: Timeouts) -> Result<Self> {
        let mut raw = ptr::null_mut();
        let family = match local {
            SocketAddr::V4(_) => bindings::AF_INET,
            SocketAddr::V6(_) => bindings::AF_INET6,
        };
        // CAST: Families and protocols are small numbers.
        // SAFETY: The namespace is valid.
        to_result(unsafe {
            bindings::sock_create_kern(
                net.ptr(),
                family as c_int,
                bindings::sock_type_SOCK_STREAM as c_int,
                bindings::IPPROTO_TCP as c_int,
                &mut raw,
            )
        })?;
        // INVARIANT: Just made, in `net`.
        let this = Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            net: net.clone(),
        };
        let mut address = RawAddr::new(local);
        // SAFETY: The socket is ours; the address is valid for the call.
        unsafe {
            bindings::sock_set_timeouts(raw, timeouts.receive, timeouts.send);
            bindings::sock_set_reuseaddr((*raw).sk);
            bindings::tcp_sock_set_nodelay((*raw).sk);
            to_result(bindings::kernel_bind(
                raw,
                address.as_mut_ptr(),
                address.len,
            ))?;
        }
        Ok(this)
    }

    /// Waits for connections.
    pub(crate) fn listen(&self) -> Result {
        // SAFETY: By the type invariants.
        to_result(unsafe { bindings::kernel_listen(self.raw.as_ptr(), 1) })
    }

    /// Takes the next connection, and says whose it is.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if none comes within the time-out.
    pub(crate) fn accept(&self, timeouts: Timeouts) -> Result<(Self, SocketAddr)> {
        let mut raw = ptr::null_mut();
        // SAFETY: By the type invariants.
        to_result(unsafe { bindings::kernel_accept(self.raw.as_ptr(), &mut raw, 0) })?;
        // INVARIANT: Just made, in the listener's namespace.
        let new = Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            net: self.net.clone(),
        };
        // SAFETY: The socket is ours.
        unsafe {
            bindings::sock_set_timeouts(raw, timeouts.receive, timeouts.send);
            bindings::tcp_sock_set_nodelay((*raw).sk);
        }
        let peer = new.peer()?;
        Ok((new, peer))
    }

    fn peer(&self) -> Result<SocketAddr> {
        let mut address = RawAddr {
            storage: Default::default(),
            len: 0,
        };
        // SAFETY: By the type invariants, and any address fits.
        let len = unsafe { bindings::kernel_getpeername(self.raw.as_ptr(), address.as_mut_ptr()) };
        to_result(len)?;
        // INVARIANT: The kernel has written an address of that length.
        address.len = len;
        address.get().ok_or(EAFNOSUPPORT)
    }

    /// Connects to `peer`.
    ///
    /// # Errors
    ///
    /// `EINPROGRESS` if that takes longer than the time-out; the socket is of no use then.
    pub(crate) fn connect(&self, peer: SocketAddr) -> Result {
        let mut address = RawAddr::new(peer);
        // SAFETY: By the type invariants; the address is valid for the call.
        to_result(unsafe {
            bindings::kernel_connect(self.raw.as_ptr(), address.as_mut_ptr(), address.len, 0)
        })
    }

    /// Sends as many of `bytes` as the socket takes, at least one if there is one. Returns how many.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if it takes none, within the time-out or at once, or what ended the connection.
    pub(crate) fn send(&self, bytes: &[u8], wait: Wait) -> Result<usize> {
        let mut vec = bindings::kvec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: All-zeroes is a valid message header.
        let mut msg: bindings::msghdr = unsafe { mem::zeroed() };
        if wait == Wait::No {
            msg.msg_flags = bindings::MSG_DONTWAIT;
        }
        // SAFETY: By the type invariants; the vector names `bytes`, which are only read.
        let sent = unsafe {
            bindings::kernel_sendmsg(self.raw.as_ptr(), &mut msg, &mut vec, 1, bytes.len())
        };
        to_result(sent)?;
        // CAST: Not negative.
        Ok(sent as usize)
    }

    /// Receives as many bytes as there are, at most as many as `out` has room for, and appends
    /// them. Returns how many; 0 if the peer has closed.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is nothing within the time-out, or what ended the connection.
    pub(crate) fn receive(&self, out: &mut KVec<u8>) -> Result<usize> {
        let spare = out.spare_capacity_mut();
        let mut vec = bindings::kvec {
            iov_base: spare.as_mut_ptr().cast(),
            iov_len: spare.len(),
        };
        // SAFETY: All-zeroes is a valid message header.
        let mut msg: bindings::msghdr = unsafe { mem::zeroed() };
        // SAFETY: By the type invariants; the vector names memory that is ours to write.
        let got = unsafe {
            bindings::kernel_recvmsg(self.raw.as_ptr(), &mut msg, &mut vec, 1, spare.len(), 0)
        };
        to_result(got)?;
        // CAST: Not negative.
        let got = got as usize;
        // SAFETY: The kernel has written `got` bytes behind the end, within the capacity.
        unsafe { out.inc_len(got) };
        Ok(got)
    }

    /// Ends the connection: whoever is blocked in a call returns.
    pub(crate) fn shut_down(&self) {
        // SAFETY: By the type invariants. A socket that is not connected says so, which is fine.
        unsafe {
            bindings::kernel_sock_shutdown(self.raw.as_ptr(), bindings::sock_shutdown_cmd_SHUT_RDWR)
        };
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let raw = self.raw.as_ptr();
        // A socket that does not keep its namespace alive has no timers any more once it is closed, so
        // what a peer that is gone has not taken would keep it for ever: it is reset instead.
        // SAFETY: By the type invariants.
        unsafe {
            bindings::sock_no_linger((*raw).sk);
            bindings::sock_release(raw);
        }
    }
}
