// SPDX-License-Identifier: GPL-2.0

//! Names of connections and of services.
//!
//! Addresses of both families have one form, the IPv6 one, in which an IPv4 address is
//! `::ffff:a.b.c.d` (RFC 4291, section 2.5.5.2). The same bytes are the key of the tables and the
//! name of a connection in the records.

use core::net::{
    IpAddr,
    Ipv6Addr, //
};
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

const V4_PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// An IPv4 or IPv6 address.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    PartialEq,
    Eq,
    Unaligned,
)]
#[repr(transparent)]
pub(crate) struct Addr([u8; 16]);

impl Addr {
    /// Creates the address of an IPv4 host.
    pub(crate) const fn from_v4(v4: [u8; 4]) -> Self {
        let p = V4_PREFIX;
        Self([
            p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], v4[0], v4[1],
            v4[2], v4[3],
        ])
    }

    /// Creates the address of an IPv6 host.
    pub(crate) const fn from_v6(v6: [u8; 16]) -> Self {
        Self(v6)
    }

    /// Returns the address in the form of its family.
    pub(crate) fn ip(&self) -> IpAddr {
        let v6 = Ipv6Addr::from(self.0);
        v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
    }

    /// Whether no host can have this address, or not without saying on which link: unspecified,
    /// loopback, multicast, broadcast or link-local.
    pub(crate) fn is_unusable(&self) -> bool {
        match self.ip() {
            IpAddr::V4(v4) => matches!(v4.octets(), [0 | 127 | 224.., ..]),
            IpAddr::V6(v6) => {
                let nothing = v6.segments().iter().take(7).all(|&s| s == 0);
                nothing || v6.is_multicast() || v6.segments()[0] & 0xffc0 == 0xfe80
            }
        }
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::from_v4(v4.octets()),
            IpAddr::V6(v6) => Self::from_v6(v6.octets()),
        }
    }
}

/// The address and port of a service or of a client.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    PartialEq,
    Eq,
    Unaligned,
)]
#[repr(C)]
pub(crate) struct Endpoint {
    /// The address.
    pub(crate) addr: Addr,
    /// The TCP port.
    pub(crate) port: U16,
}

/// The name of a connection: its client's end and its service.
///
/// The same four numbers may name one connection after another; an [`Incarnation`] tells them
/// apart.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    PartialEq,
    Eq,
    Unaligned,
)]
#[repr(C)]
pub(crate) struct Key {
    /// The client's end.
    pub(crate) client: Endpoint,
    /// The service's end.
    pub(crate) service: Endpoint,
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_key))]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_comes_back_from_its_mapped_form() {
        let v4 = [10, 77, 0, 100];
        assert_eq!(Addr::from_v4(v4).ip(), IpAddr::from(v4));
        assert_eq!(Addr::from(IpAddr::from(v4)), Addr::from_v4(v4));
        assert_eq!(Addr::from_v4(v4).0[10..], [0xff, 0xff, 10, 77, 0, 100]);
        assert_eq!(Addr::from_v6([0xfd; 16]).ip(), IpAddr::from([0xfd; 16]));
    }

    #[test]
    fn addresses_that_no_host_has_are_told() {
        for v4 in [
            [0, 0, 0, 0],
            [127, 0, 0, 1],
            [224, 0, 0, 1],
            [255, 255, 255, 255],
        ] {
            assert!(Addr::from_v4(v4).is_unusable());
        }
        for v6 in ["::", "::1", "ff02::1", "fe80::1"] {
            assert!(Addr::from(v6.parse::<IpAddr>().unwrap()).is_unusable());
        }
        assert!(!Addr::from_v4([10, 77, 0, 100]).is_unusable());
        assert!(!Addr::from_v6([0xfd; 16]).is_unusable());
    }

    #[test]
    fn a_key_has_no_padding() {
        assert_eq!(core::mem::size_of::<Key>(), 36);
    }
}
