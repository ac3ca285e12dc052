// SPDX-License-Identifier: GPL-2.0

//! Makes captures, to plant breaches in.

use crate::packet::{
    Flags,
    Mac, //
};

/// The node that serves first.
pub(crate) const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
/// The node that takes over.
pub(crate) const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);
/// The client.
pub(crate) const C: Mac = Mac([2, 0, 0, 0, 0, 0xc]);

/// The service in IPv4 captures.
pub(crate) const SERVICE: &str = "10.77.0.100:80";
/// The service in IPv6 captures.
pub(crate) const SERVICE6: &str = "[fd00::100]:80";

/// Both streams begin close to the wrap.
pub(crate) const CLIENT_ISN: u32 = u32::MAX - 50;
const SERVER_ISN: u32 = u32::MAX - 3000;

/// Both sides scale their windows by this.
pub(crate) const SCALE: u8 = 7;

/// A segment to write, from the client or from a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp<'a> {
    pub(crate) mac: Mac,
    pub(crate) flags: u8,
    /// Positions, not sequence numbers: 0 is the SYN.
    pub(crate) seq: i64,
    pub(crate) ack: i64,
    /// The window in the header.
    pub(crate) window: u16,
    pub(crate) tsval: Option<u32>,
    pub(crate) payload: &'a [u8],
}

/// What a client sends or a node answers, unless said otherwise.
pub(crate) fn tcp<'a>(mac: Mac, seq: i64, ack: i64, payload: &'a [u8]) -> Tcp<'a> {
    Tcp {
        mac,
        flags: Flags::ACK,
        seq,
        ack,
        window: 512,
        tsval: Some(0),
        payload,
    }
}

/// A capture being made.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    file: Vec<u8>,
    /// Microseconds since the beginning.
    now: u32,
    ipv6: bool,
    /// How much of each packet is kept.
    snaplen: usize,
}

impl Capture {
    pub(crate) fn new(ipv6: bool, snaplen: usize) -> Self {
        let mut file = Vec::new();
        for word in [0xa1b2c3d4_u32, 0x0002_0004, 0, 0, snaplen as u32, 1] {
            file.extend(word.to_le_bytes());
        }
        Self {
            file,
            now: 0,
            ipv6,
            snaplen,
        }
    }

    /// The file so far.
    pub(crate) fn file(&self) -> &[u8] {
        &self.file
    }

    /// Lets time pass.
    pub(crate) fn after_us(&mut self, microseconds: u32) -> &mut Self {
        self.now += microseconds;
        self
    }

    /// Writes a frame of `mac`.
    pub(crate) fn frame(&mut self, mac: Mac, ethertype: u16, body: &[u8]) -> &mut Self {
        let mut frame = vec![0xff; 6];
        frame.extend(mac.0);
        frame.extend(ethertype.to_be_bytes());
        frame.extend(body);
        let kept = frame.len().min(self.snaplen);
        for word in [
            1_700_000_000 + self.now / 1_000_000,
            self.now % 1_000_000,
            kept as u32,
            frame.len() as u32,
        ] {
            self.file.extend(word.to_le_bytes());
        }
        self.file.extend(&frame[..kept]);
        self
    }

    /// Writes an IP packet from the client or to it.
    fn ip(&mut self, mac: Mac, protocol: u8, body: &[u8]) -> &mut Self {
        let packet = self.packet(mac == C, protocol, body);
        let ethertype = if self.ipv6 { 0x86dd } else { 0x0800 };
        self.frame(mac, ethertype, &packet)
    }

    /// Makes an IP packet.
    fn packet(&self, from_client: bool, protocol: u8, body: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        let mut addresses = if self.ipv6 {
            let mut address = [0; 16];
            address[0] = 0xfd;
            let mut other = address;
            address[15] = 1;
            other[14..].copy_from_slice(&[1, 0]);
            // A hop-by-hop header in front, to be walked.
            packet.extend([0x60, 0, 0, 0]);
            packet.extend((body.len() as u16 + 8).to_be_bytes());
            packet.extend([0, 64]);
            [address.to_vec(), other.to_vec()]
        } else {
            packet.extend([0x45, 0]);
            packet.extend((body.len() as u16 + 20).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            [vec![10, 77, 0, 1], vec![10, 77, 0, 100]]
        };
        if !from_client {
            addresses.reverse();
        }
        packet.extend(addresses.concat());
        if self.ipv6 {
            packet.extend([protocol, 0, 1, 4, 0, 0, 0, 0]);
        }
        packet.extend(body);
        packet
    }

    /// The header and payload of a segment.
    fn segment(tcp: Tcp<'_>) -> Vec<u8> {
        let (ports, mine, other) = if tcp.mac == C {
            ([40000_u16, 80], CLIENT_ISN, SERVER_ISN)
        } else {
            ([80, 40000], SERVER_ISN, CLIENT_ISN)
        };
        let mut options = Vec::new();
        if tcp.flags & Flags::SYN != 0 {
            options.extend([2, 4, 5, 0xb4, 1, 3, 3, SCALE]);
        }
        if let Some(tsval) = tcp.tsval {
            options.extend([1, 1, 8, 10]);
            options.extend(tsval.to_be_bytes());
            options.extend([0; 4]);
        }
        let mut segment = Vec::new();
        for port in ports {
            segment.extend(port.to_be_bytes());
        }
        segment.extend(mine.wrapping_add(tcp.seq as u32).to_be_bytes());
        let ack = other.wrapping_add(tcp.ack as u32);
        let ack = if tcp.flags & Flags::ACK != 0 { ack } else { 0 };
        segment.extend(ack.to_be_bytes());
        segment.extend([((20 + options.len()) / 4 * 16) as u8, tcp.flags]);
        segment.extend(tcp.window.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(options);
        segment.extend(tcp.payload);
        segment
    }

    /// Writes a segment, a millisecond after the packet before. Its timestamp counts from there.
    pub(crate) fn tcp(&mut self, mut tcp: Tcp<'_>) -> &mut Self {
        self.after_us(1000);
        tcp.tsval = tcp.tsval.map(|offset| {
            // Close to the wrap, too.
            (u32::MAX - 20)
                .wrapping_add(self.now / 1000)
                .wrapping_add(offset)
        });
        self.ip(tcp.mac, 6, &Self::segment(tcp))
    }

    /// Writes an ICMP error about a segment of the client.
    pub(crate) fn icmp_error(&mut self, mac: Mac, kind: u8, code: u8) -> &mut Self {
        let quoted = self.packet(true, 6, &Self::segment(tcp(C, 100, 1, b""))[..8]);
        let mut body = vec![kind, code, 0, 0, 0, 0, 0, 0];
        body.extend(quoted);
        self.after_us(1000);
        self.ip(mac, if self.ipv6 { 58 } else { 1 }, &body)
    }

    /// Writes a claim to the service's address: gratuitous ARP or a neighbour advertisement.
    pub(crate) fn claim(&mut self, mac: Mac) -> &mut Self {
        if self.ipv6 {
            let mut body = vec![136, 0, 0, 0, 0x20, 0, 0, 0, 0xfd];
            body.extend([0; 13]);
            body.extend([1, 0, 2, 1]);
            body.extend(mac.0);
            return self.ip(mac, 58, &body);
        }
        let mut body = vec![0, 1, 8, 0, 6, 4, 0, 2];
        body.extend(mac.0);
        body.extend([10, 77, 0, 100]);
        body.extend([0xff; 6]);
        body.extend([10, 77, 0, 100]);
        self.frame(mac, 0x0806, &body)
    }
}
