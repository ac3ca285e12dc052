// SPDX-License-Identifier: GPL-2.0

//! Takes an Ethernet frame apart, as far as the checks need it.
//!
//! Knows VLAN tags, ARP, IPv4 and IPv6, TCP, ICMP errors and neighbour advertisements. Everything
//! else, fragments and truncated headers included, is no packet to it. Checksums are not looked at:
//! a capture on the sending or on an offloading host does not have them.

use std::{
    fmt,
    net::{
        IpAddr,
        Ipv4Addr,
        Ipv6Addr,
        SocketAddr, //
    }, //
};

/// A hardware address: who speaks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A TCP sequence number; ordered only relative to another, see [`Seq::beyond`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seq(pub(crate) u32);

impl Seq {
    /// How far this is beyond `other`, modulo 2^32; negative when it is before it.
    pub(crate) const fn beyond(self, other: Self) -> i64 {
        self.0.wrapping_sub(other.0) as i32 as i64
    }

    /// Advances by `n`, modulo 2^32.
    pub(crate) const fn add(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

/// The flags of a segment, one bit each as in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;

    /// Whether all bits of `mask` are set.
    pub(crate) const fn has(self, mask: u8) -> bool {
        self.0 & mask == mask
    }
}

/// The TCP options that the checks look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The window scale of a SYN.
    pub(crate) scale: Option<u8>,
    /// The sender's timestamp.
    pub(crate) tsval: Option<u32>,
}

impl Options {
    /// Parses until the end, an impossible length, or where the capture cut the header off.
    fn parse(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        loop {
            bytes = match bytes {
                [1, rest @ ..] => rest,
                [3, 3, scale, rest @ ..] => {
                    // RFC 7323: more than 14 is taken as 14.
                    options.scale = Some((*scale).min(14));
                    rest
                }
                [8, 10, a, b, c, d, _, _, _, _, rest @ ..] => {
                    options.tsval = Some(u32::from_be_bytes([*a, *b, *c, *d]));
                    rest
                }
                [kind, length, ..] if *kind != 0 && *length >= 2 => {
                    match bytes.get(usize::from(*length)..) {
                        Some(rest) => rest,
                        None => return options,
                    }
                }
                _ => return options,
            }
        }
    }
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) seq: Seq,
    pub(crate) ack: Option<Seq>,
    pub(crate) flags: Flags,
    /// The window as it stands in the header, not scaled.
    pub(crate) window: u16,
    pub(crate) options: Options,
    /// Length of the payload on the wire.
    pub(crate) length: u32,
    /// The beginning of the payload, as far as it was captured.
    pub(crate) payload: &'a [u8],
}

/// What a frame carries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'a> {
    /// A TCP segment.
    Tcp(Segment<'a>),
    /// An ICMP error about a TCP segment that went from `source` to `destination`.
    IcmpError {
        source: SocketAddr,
        destination: SocketAddr,
        kind: u8,
        code: u8,
    },
    /// An ARP packet or neighbour advertisement: the sender says that this address is its own.
    Claim(IpAddr),
}

/// A frame that the checks can use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// Who sent it.
    pub(crate) source: Mac,
    /// What it carries.
    pub(crate) content: Content<'a>,
}

impl<'a> Frame<'a> {
    /// Parses a frame that was `length` bytes long and of which `bytes` were captured.
    pub(crate) fn parse(bytes: &'a [u8], length: usize) -> Option<Self> {
        let source = Mac(array(bytes.get(6..12)?)?);
        let mut offset = 12;
        let mut kind = half(bytes, offset)?;
        // 802.1Q and 802.1ad tags.
        while matches!(kind, 0x8100 | 0x88a8) {
            offset += 4;
            kind = half(bytes, offset)?;
        }
        let packet = bytes.get(offset + 2..)?;
        let length = length.checked_sub(offset + 2)?;
        let content = match kind {
            0x0806 => Content::Claim(arp(packet)?),
            0x0800 => ipv4(packet, length)?,
            0x86dd => ipv6(packet, length)?,
            _ => return None,
        };
        Some(Self { source, content })
    }
}

/// The address that the sender of an ARP packet gives as its own.
fn arp(packet: &[u8]) -> Option<IpAddr> {
    if packet.get(..6)? != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let address = Ipv4Addr::from(array::<4>(packet.get(14..18)?)?);
    // A probe (RFC 5227) asks on behalf of nobody.
    (!address.is_unspecified()).then_some(IpAddr::V4(address))
}

/// Parses an IPv4 packet.
fn ipv4(packet: &[u8], length: usize) -> Option<Content<'_>> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    // A segment of BIG TCP is longer than the length field can tell, and says 0.
    let total = match usize::from(half(packet, 2)?) {
        0 => length,
        total => total,
    };
    // More fragments follow, or this is not the first.
    if half(packet, 6)? & 0x3fff != 0 {
        return None;
    }
    let source = IpAddr::from(array::<4>(packet.get(12..16)?)?);
    let destination = IpAddr::from(array::<4>(packet.get(16..20)?)?);
    let body = clip(packet.get(header..)?, total.checked_sub(header)?);
    match packet.get(9)? {
        6 => tcp(source, destination, body, total - header),
        1 => {
            let (kind, code) = (*body.first()?, *body.get(1)?);
            // Unreachable, time exceeded, parameter problem. Path MTU discovery (3, 4) is no error.
            if !matches!(kind, 3 | 11 | 12) || (kind, code) == (3, 4) {
                return None;
            }
            let quoted = body.get(8..)?;
            let header = usize::from(quoted.first()? & 0xf) * 4;
            let from = IpAddr::from(array::<4>(quoted.get(12..16)?)?);
            let to = IpAddr::from(array::<4>(quoted.get(16..20)?)?);
            quoted_tcp(*quoted.get(9)?, from, to, quoted.get(header..)?, kind, code)
        }
        _ => None,
    }
}

/// Parses an IPv6 packet.
fn ipv6(packet: &[u8], length: usize) -> Option<Content<'_>> {
    const HEADER: usize = 40;

    let total = match usize::from(half(packet, 4)?) {
        0 => length.checked_sub(HEADER)?,
        total => total,
    };
    let source = IpAddr::from(array::<16>(packet.get(8..24)?)?);
    let destination = IpAddr::from(array::<16>(packet.get(24..40)?)?);
    let (next, skipped) = extension_headers(*packet.get(6)?, packet.get(HEADER..)?)?;
    let length = total.checked_sub(skipped)?;
    let body = clip(packet.get(HEADER + skipped..)?, length);
    match next {
        6 => tcp(source, destination, body, length),
        58 => match (*body.first()?, *body.get(1)?) {
            (kind @ (1 | 3 | 4), code) => {
                let quoted = body.get(8..)?;
                let from = IpAddr::from(array::<16>(quoted.get(8..24)?)?);
                let to = IpAddr::from(array::<16>(quoted.get(24..40)?)?);
                let (next, skipped) = extension_headers(*quoted.get(6)?, quoted.get(HEADER..)?)?;
                quoted_tcp(next, from, to, quoted.get(HEADER + skipped..)?, kind, code)
            }
            (136, 0) => {
                let target: [u8; 16] = array(body.get(8..24)?)?;
                Some(Content::Claim(IpAddr::V6(Ipv6Addr::from(target))))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Walks the extension headers; returns the protocol behind them and how many bytes they are.
fn extension_headers(mut next: u8, bytes: &[u8]) -> Option<(u8, usize)> {
    let mut skipped = 0;
    // Hop-by-hop, routing and destination options. A fragment (44) is not followed.
    while matches!(next, 0 | 43 | 60) {
        next = *bytes.get(skipped)?;
        skipped += (usize::from(*bytes.get(skipped + 1)?) + 1) * 8;
    }
    Some((next, skipped))
}

/// Parses a TCP segment of `length` bytes, of which `bytes` were captured.
fn tcp(source: IpAddr, destination: IpAddr, bytes: &[u8], length: usize) -> Option<Content<'_>> {
    let header = usize::from(bytes.get(12)? >> 4) * 4;
    let flags = Flags(*bytes.get(13)?);
    let options = bytes.get(20..header.min(bytes.len()))?;
    Some(Content::Tcp(Segment {
        source: SocketAddr::new(source, half(bytes, 0)?),
        destination: SocketAddr::new(destination, half(bytes, 2)?),
        seq: Seq(word(bytes, 4)?),
        ack: if flags.has(Flags::ACK) {
            Some(Seq(word(bytes, 8)?))
        } else {
            None
        },
        flags,
        window: half(bytes, 14)?,
        options: Options::parse(options),
        length: u32::try_from(length.checked_sub(header)?).ok()?,
        payload: bytes.get(header..).unwrap_or(&[]),
    }))
}

/// The ports of the segment that an ICMP error quotes.
fn quoted_tcp(
    protocol: u8,
    source: IpAddr,
    destination: IpAddr,
    header: &[u8],
    kind: u8,
    code: u8,
) -> Option<Content<'_>> {
    if protocol != 6 {
        return None;
    }
    Some(Content::IcmpError {
        source: SocketAddr::new(source, half(header, 0)?),
        destination: SocketAddr::new(destination, half(header, 2)?),
        kind,
        code,
    })
}

/// At most `length` bytes of `bytes`: short frames are padded.
fn clip(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
}

fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn half(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(array(bytes.get(offset..offset + 2)?)?))
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_be_bytes(array(bytes.get(offset..offset + 4)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_compared_modulo_two_to_the_32() {
        assert_eq!(Seq(2).beyond(Seq(u32::MAX)), 3);
        assert_eq!(Seq(u32::MAX).beyond(Seq(2)), -3);
        assert_eq!(Seq(u32::MAX).add(3), Seq(2));
    }

    #[test]
    fn options_are_found_behind_unknown_ones() {
        let bytes = [
            2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0, 254, 3, 9, 1, 3, 3, 15, 0, 8,
        ];
        let options = Options::parse(&bytes);
        assert_eq!(options.tsval, Some(256));
        assert_eq!(options.scale, Some(14));
    }

    #[test]
    fn lying_option_lengths_end_the_parse() {
        for bytes in [
            &[8, 10, 0][..],
            &[5, 0, 1],
            &[5, 1],
            &[5],
            &[5, 200, 3, 3, 7],
        ] {
            assert_eq!(Options::parse(bytes), Options::default());
        }
    }
}
