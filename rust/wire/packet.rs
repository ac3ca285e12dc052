// SPDX-License-Identifier: GPL-2.0

//! IP headers in front of TCP.
//!
//! Extension headers of IPv6 are not walked: a packet that has any is no TCP packet here.

use super::key::Addr;

/// The length of the IPv4 header that [`Ip::emit`] writes, in bytes.
pub(crate) const EMITTED: usize = 20;
/// How much of a packet [`Ip::parse`] may want to see, in bytes.
pub(crate) const MAX_PARSED: usize = 40;

const TCP: u8 = 6;

/// What an IP header says of a TCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ip {
    /// The sender's address.
    pub(crate) source: Addr,
    /// The receiver's address.
    pub(crate) dest: Addr,
    /// The length of the header, in bytes: where TCP begins.
    pub(crate) len: usize,
}

impl Ip {
    /// Reads a header off the front of `bytes`.
    ///
    /// Returns [`None`] if `bytes` is too short, the packet is a fragment, or it is not TCP.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::parse_v4(bytes),
            6 => Self::parse_v6(bytes),
            _ => None,
        }
    }

    fn parse_v4(bytes: &[u8]) -> Option<Self> {
        let fixed: &[u8; 20] = bytes.first_chunk()?;
        let [first, _, _, _, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
            *fixed;
        let len = usize::from(first & 0xf) * 4;
        // More fragments, or an offset.
        let fragment = u16::from_be_bytes([f0, f1]) & 0x3fff != 0;
        if len < fixed.len() || protocol != TCP || fragment {
            return None;
        }
        Some(Self {
            source: Addr::from_v4([s0, s1, s2, s3]),
            dest: Addr::from_v4([d0, d1, d2, d3]),
            len,
        })
    }

    fn parse_v6(bytes: &[u8]) -> Option<Self> {
        let fixed: &[u8; 40] = bytes.first_chunk()?;
        if *fixed.get(6)? != TCP {
            return None;
        }
        Some(Self {
            source: Addr::from_v6(*fixed.get(8..)?.first_chunk()?),
            dest: Addr::from_v6(*fixed.get(24..)?.first_chunk()?),
            len: fixed.len(),
        })
    }

    /// Writes a header for `payload` bytes of TCP, checksum included.
    ///
    /// Returns [`None`] for IPv6 addresses, and for a payload that no packet can hold.
    pub(crate) fn emit(source: Addr, dest: Addr, payload: usize) -> Option<[u8; EMITTED]> {
        let [s0, s1, s2, s3] = source.v4()?;
        let [d0, d1, d2, d3] = dest.v4()?;
        let [l0, l1] = u16::try_from(payload.checked_add(EMITTED)?)
            .ok()?
            .to_be_bytes();
        const DONT_FRAGMENT: u8 = 0x40;
        const TTL: u8 = 64;
        let mut bytes = [
            0x45,
            0,
            l0,
            l1,
            0,
            0,
            DONT_FRAGMENT,
            0,
            TTL,
            TCP,
            0,
            0,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ];
        let [c0, c1] = checksum(&bytes).to_be_bytes();
        bytes[10] = c0;
        bytes[11] = c1;
        Some(bytes)
    }
}

/// The Internet checksum of an IPv4 header (RFC 1071).
fn checksum(header: &[u8; EMITTED]) -> u16 {
    let mut sum = 0u32;
    for pair in header.chunks_exact(2) {
        if let &[a, b] = pair {
            sum += u32::from(u16::from_be_bytes([a, b]));
        }
    }
    // Ten 16-bit words: one carry, and the carry of the carry.
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    // CAST: Folded to 16 bits above.
    !(sum as u16)
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_packet))]
mod tests {
    use super::*;

    const CLIENT: Addr = Addr::from_v4([10, 77, 0, 1]);
    const SERVICE: Addr = Addr::from_v4([10, 77, 0, 100]);

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = Ip::emit(CLIENT, SERVICE, 40).unwrap();
        assert_eq!(
            Ip::parse(&bytes),
            Some(Ip {
                source: CLIENT,
                dest: SERVICE,
                len: EMITTED,
            })
        );
        // A header that includes its checksum sums up to nothing.
        assert_eq!(checksum(&bytes), 0);
    }

    #[test]
    fn fragments_and_other_protocols_are_refused() {
        let good = Ip::emit(CLIENT, SERVICE, 40).unwrap();
        for (at, value) in [(6, 0x20), (7, 1), (9, 17), (0, 0x44), (0, 0x55)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Ip::parse(&bad), None);
        }
        assert_eq!(Ip::parse(&good[..19]), None);
        assert_eq!(Ip::parse(&[]), None);
    }

    #[test]
    fn a_packet_has_no_room_for_more_than_it_can_say() {
        assert!(Ip::emit(CLIENT, SERVICE, 65515).is_some());
        assert!(Ip::emit(CLIENT, SERVICE, 65516).is_none());
        assert!(Ip::emit(Addr::from_v6([1; 16]), SERVICE, 40).is_none());
    }

    #[test]
    fn ipv6_without_extension_headers_is_read() {
        let mut bytes = [0; 40];
        bytes[0] = 0x60;
        bytes[6] = TCP;
        bytes[8] = 0xfd;
        bytes[24] = 0xfe;
        let ip = Ip::parse(&bytes).unwrap();
        assert_eq!(ip.len, 40);
        assert_eq!(ip.source, Addr::from_v6(*bytes[8..].first_chunk().unwrap()));
        assert_eq!(ip.dest, Addr::from_v6(*bytes[24..].first_chunk().unwrap()));
        assert_eq!(Ip::parse(&bytes[..39]), None);
    }
}
