// SPDX-License-Identifier: GPL-2.0

//! Reads classic pcap files: both byte orders, micro- or nanoseconds, any snaplen.
//!
//! Does not read pcapng, and knows one link type only, Ethernet.

use std::{
    fmt,
    time::Duration, //
};

/// Length of the file header.
const FILE_HEADER: usize = 24;

/// Length of the header before each packet.
const PACKET_HEADER: usize = 16;

/// Link type of Ethernet frames (`LINKTYPE_ETHERNET`).
pub(crate) const ETHERNET: u32 = 1;

/// Why a file cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The file is shorter than its header.
    Short,
    /// The first four bytes are those of a pcapng file.
    Pcapng,
    /// The first four bytes are those of no capture.
    Magic(u32),
    /// The link type is not Ethernet.
    LinkType(u32),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(f, "shorter than a pcap header"),
            Self::Pcapng => write!(f, "a pcapng file; convert it with: editcap -F pcap"),
            Self::Magic(magic) => write!(f, "not a pcap file (starts with {magic:08x})"),
            Self::LinkType(link) => write!(f, "link type {link}, only Ethernet is known"),
        }
    }
}

/// A moment, as the capturing host's clock had it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(u64);

impl Time {
    /// From seconds and nanoseconds since the epoch.
    pub(crate) const fn new(seconds: u32, nanoseconds: u32) -> Self {
        Self(seconds as u64 * 1_000_000_000 + nanoseconds as u64)
    }

    /// Nanoseconds since the epoch.
    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// One packet of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Captured<'a> {
    /// Its number, counted from 1 as tcpdump and Wireshark do.
    pub(crate) number: usize,
    /// When it was seen.
    pub(crate) time: Time,
    /// The bytes that were kept.
    pub(crate) bytes: &'a [u8],
    /// How long it was on the wire.
    pub(crate) length: usize,
}

/// Iterates over the packets of a file.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    big_endian: bool,
    nanoseconds: bool,
    number: usize,
}

impl<'a> Reader<'a> {
    /// Reads the file header.
    pub(crate) fn new(file: &'a [u8]) -> Result<Self, Unreadable> {
        let magic = file.get(..4).ok_or(Unreadable::Short)?;
        let (big_endian, nanoseconds) = match magic {
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
            [0x0a, 0x0d, 0x0d, 0x0a] => return Err(Unreadable::Pcapng),
            other => return Err(Unreadable::Magic(word(other, true))),
        };
        let (header, rest) = file
            .split_at_checked(FILE_HEADER)
            .ok_or(Unreadable::Short)?;
        // The upper bits of the link type tell of a frame check sequence.
        match word(&header[20..], big_endian) & 0xffff {
            ETHERNET => Ok(Self {
                rest,
                big_endian,
                nanoseconds,
                number: 0,
            }),
            link => Err(Unreadable::LinkType(link)),
        }
    }

    /// Whether bytes are left that make no whole packet: the writer was killed, or the disk was full.
    pub(crate) fn is_cut_off(&self) -> bool {
        !self.rest.is_empty()
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Captured<'a>;

    fn next(&mut self) -> Option<Captured<'a>> {
        let (header, rest) = self.rest.split_at_checked(PACKET_HEADER)?;
        let fraction = word(&header[4..], self.big_endian);
        let kept = word(&header[8..], self.big_endian) as usize;
        let (bytes, rest) = rest.split_at_checked(kept)?;
        self.rest = rest;
        self.number += 1;
        Some(Captured {
            number: self.number,
            time: Time::new(
                word(header, self.big_endian),
                fraction.saturating_mul(if self.nanoseconds { 1 } else { 1000 }),
            ),
            bytes,
            length: word(&header[12..], self.big_endian) as usize,
        })
    }
}

/// Takes 32 bits off the front of `bytes`, which holds at least four.
fn word(bytes: &[u8], big_endian: bool) -> u32 {
    let word = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if big_endian {
        u32::from_be_bytes(word)
    } else {
        u32::from_le_bytes(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one packet of three bytes, ten on the wire, at 7.000005 s or 7.000000005 s.
    fn file(big_endian: bool, nanoseconds: bool) -> Vec<u8> {
        let magic = if nanoseconds { 0xa1b23c4d } else { 0xa1b2c3d4 };
        let words = [magic, 0x0002_0004, 0, 0, 64, ETHERNET, 7, 5, 3, 10];
        let mut file = Vec::new();
        for word in words {
            let word: u32 = word;
            file.extend(if big_endian {
                word.to_be_bytes()
            } else {
                word.to_le_bytes()
            });
        }
        file.extend([1, 2, 3]);
        file
    }

    #[test]
    fn both_byte_orders_and_both_units_are_read() {
        for (big_endian, nanoseconds, fraction) in [
            (false, false, 5000),
            (true, false, 5000),
            (false, true, 5),
            (true, true, 5),
        ] {
            let file = file(big_endian, nanoseconds);
            let mut reader = Reader::new(&file).unwrap();
            let packet = reader.next().unwrap();
            assert_eq!(packet.number, 1);
            assert_eq!(packet.time, Time::new(7, fraction));
            assert_eq!(packet.bytes, [1, 2, 3]);
            assert_eq!(packet.length, 10);
            assert!(reader.next().is_none());
            assert!(!reader.is_cut_off());
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_is_noticed() {
        let whole = file(false, false);
        for length in 0..whole.len() {
            match Reader::new(&whole[..length]) {
                Err(error) => assert_eq!(error, Unreadable::Short),
                Ok(mut reader) => {
                    assert!(reader.next().is_none());
                    assert_eq!(reader.is_cut_off(), length > FILE_HEADER);
                }
            }
        }
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let mut cooked = file(true, false);
        cooked[23] = 113;
        assert_eq!(Reader::new(&cooked).err(), Some(Unreadable::LinkType(113)));
        assert_eq!(
            Reader::new(b"\x0a\x0d\x0d\x0a").err(),
            Some(Unreadable::Pcapng)
        );
        assert_eq!(
            Reader::new(b"text").err(),
            Some(Unreadable::Magic(0x74657874))
        );
    }
}
