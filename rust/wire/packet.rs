// SPDX-License-Identifier: GPL-2.0

//! IP headers in front of TCP.

use super::key::Addr;
use core::net::IpAddr;

/// The length of the longest header that [`Ip::emit`] writes, in bytes.
pub(crate) const MAX_EMITTED: usize = V6;
/// How much of a packet is enough for [`Ip::parse`], unless it has options or extension headers.
pub(crate) const USUALLY_PARSED: usize = V6;
/// How much of a packet [`Ip::parse`] may want to see, in bytes: no TCP of this world puts more in
/// front of its header.
pub(crate) const MAX_PARSED: usize = 256;

const V4: usize = 20;
const V6: usize = 40;
const TCP: u8 = 6;

/// How many extension headers are walked.
const MAX_EXTENSIONS: usize = 8;
/// The extension headers that may stand in front of TCP: hop-by-hop options, routing, destination
/// options (RFC 8200, section 4). A fragment is not followed.
const EXTENSIONS: [u8; 3] = [0, 43, 60];

/// Returns the length of the IP header at the front of `bytes` if it has no options, and if no extension
/// header stands between it and TCP.
pub(crate) fn ip_header_of_usual_length(bytes: &[u8]) -> Option<usize> {
    match (*bytes.first()?, bytes.get(6)) {
        (0x45, _) => Some(V4),
        (0x60..=0x6f, Some(&TCP)) => Some(V6),
        _ => None,
    }
}

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

    /// Returns whether [`Self::parse`] might find TCP if it saw more than `bytes`.
    pub(crate) fn may_be_longer(bytes: &[u8]) -> bool {
        let is_extension = bytes.get(6).is_some_and(|next| EXTENSIONS.contains(next));
        bytes.first().is_some_and(|first| first >> 4 == 6) && is_extension
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
        let fixed: &[u8; V6] = bytes.first_chunk()?;
        Some(Self {
            source: Addr::from_v6(*fixed.get(8..)?.first_chunk()?),
            dest: Addr::from_v6(*fixed.get(24..)?.first_chunk()?),
            len: V6 + extensions(*fixed.get(6)?, bytes.get(V6..)?)?,
        })
    }

    /// Writes a header for `payload` bytes of TCP, checksum included.
    ///
    /// Returns [`None`] for addresses of different families, and for a payload that no packet can
    /// hold.
    pub(crate) fn emit(source: Addr, dest: Addr, payload: usize) -> Option<Emitted> {
        match (source.ip(), dest.ip()) {
            (IpAddr::V4(source), IpAddr::V4(dest)) => {
                emit_v4(source.octets(), dest.octets(), payload)
            }
            (IpAddr::V6(source), IpAddr::V6(dest)) => {
                emit_v6(source.octets(), dest.octets(), payload)
            }
            _ => None,
        }
    }
}

/// A header that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Emitted {
    bytes: [u8; MAX_EMITTED],
    len: usize,
}

impl Emitted {
    /// Returns the bytes of the header.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

const TTL: u8 = 64;

fn emit_v4(source: [u8; 4], dest: [u8; 4], payload: usize) -> Option<Emitted> {
    const DONT_FRAGMENT: u8 = 0x40;
    let length = u16::try_from(payload.checked_add(V4)?).ok()?.to_be_bytes();
    let mut header = [0; V4];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&length);
    header[6] = DONT_FRAGMENT;
    header[8] = TTL;
    header[9] = TCP;
    header[12..16].copy_from_slice(&source);
    header[16..].copy_from_slice(&dest);
    let checksum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&checksum);
    let mut bytes = [0; MAX_EMITTED];
    bytes[..V4].copy_from_slice(&header);
    Some(Emitted { bytes, len: V4 })
}

fn emit_v6(source: [u8; 16], dest: [u8; 16], payload: usize) -> Option<Emitted> {
    let length = u16::try_from(payload).ok()?.to_be_bytes();
    let mut bytes = [0; V6];
    bytes[0] = 0x60;
    bytes[4..6].copy_from_slice(&length);
    bytes[6] = TCP;
    bytes[7] = TTL;
    bytes[8..24].copy_from_slice(&source);
    bytes[24..].copy_from_slice(&dest);
    Some(Emitted { bytes, len: V6 })
}

/// Returns how long the extension headers at the beginning of `bytes` are, the first of which is a
/// `next`, if TCP follows.
fn extensions(mut next: u8, bytes: &[u8]) -> Option<usize> {
    let mut len = 0;
    for _ in 0..=MAX_EXTENSIONS {
        if next == TCP {
            return Some(len);
        }
        if !EXTENSIONS.contains(&next) {
            return None;
        }
        let &[after, units] = bytes.get(len..)?.first_chunk()?;
        next = after;
        len += (usize::from(units) + 1) * 8;
    }
    None
}

/// The Internet checksum of an IPv4 header (RFC 1071).
fn checksum(header: &[u8; V4]) -> u16 {
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
    const CLIENT_V6: Addr = Addr::from_v6([0xfd; 16]);
    const SERVICE_V6: Addr = Addr::from_v6([0xfe; 16]);

    #[test]
    fn what_is_written_is_read_back() {
        for (source, dest, len) in [(CLIENT, SERVICE, V4), (CLIENT_V6, SERVICE_V6, V6)] {
            let emitted = Ip::emit(source, dest, 40).unwrap();
            assert_eq!(Ip::parse(emitted.bytes()), Some(Ip { source, dest, len }));
        }
        // A header that includes its checksum sums up to nothing.
        let emitted = Ip::emit(CLIENT, SERVICE, 40).unwrap();
        assert_eq!(checksum(emitted.bytes().first_chunk().unwrap()), 0);
    }

    #[test]
    fn fragments_and_other_protocols_are_refused() {
        let good = Ip::emit(CLIENT, SERVICE, 40).unwrap();
        let good: [u8; V4] = *good.bytes().first_chunk().unwrap();
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
        assert!(Ip::emit(CLIENT_V6, SERVICE_V6, 65535).is_some());
        assert!(Ip::emit(CLIENT_V6, SERVICE_V6, 65536).is_none());
        assert!(Ip::emit(CLIENT_V6, SERVICE, 40).is_none());
    }

    /// A packet of IPv6 with these bytes behind its header, the first of which are a `next`.
    fn extended(next: u8, rest: &[u8]) -> Option<usize> {
        let mut bytes = [0; 200];
        bytes[..V6].copy_from_slice(Ip::emit(CLIENT_V6, SERVICE_V6, 0)?.bytes());
        bytes[6] = next;
        bytes[V6..V6 + rest.len()].copy_from_slice(rest);
        Ip::parse(&bytes[..V6 + rest.len()]).map(|ip| ip.len - V6)
    }

    #[test]
    fn extension_headers_are_walked() {
        let mut headers = [0; 32];
        headers[..2].copy_from_slice(&[60, 0]);
        headers[8..10].copy_from_slice(&[TCP, 1]);
        assert_eq!(extended(TCP, &headers), Some(0));
        assert_eq!(extended(0, &headers), Some(24));
        // Cut short, a fragment, another protocol, and one that never ends.
        assert_eq!(extended(0, &headers[..9]), None);
        assert_eq!(extended(44, &headers), None);
        headers[8] = 17;
        assert_eq!(extended(0, &headers), None);
        assert_eq!(extended(60, &[60; 160]), None);
        assert_eq!(extended(0, &[0; 160]), None);
    }
}
