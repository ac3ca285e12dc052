// SPDX-License-Identifier: GPL-2.0

//! TCP headers (RFC 9293, section 3.1; options: RFC 7323, RFC 2018).
//!
//! Payload stays where it is: a header is read from, and written to, the bytes in front of it.

use super::seq::Seq;

/// The length of a TCP header without options, in bytes.
pub(crate) const MIN_HEADER: usize = 20;
/// The length of the longest TCP header, in bytes.
pub(crate) const MAX_HEADER: usize = 60;
/// The largest window scale (RFC 7323, section 2.3).
pub(crate) const MAX_WSCALE: u8 = 14;

/// Header bits.
pub(crate) mod flags {
    /// No more data from the sender.
    pub(crate) const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub(crate) const SYN: u8 = 0x02;
    /// Reset the connection.
    pub(crate) const RST: u8 = 0x04;
    /// Push.
    pub(crate) const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub(crate) const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub(crate) const URG: u8 = 0x20;
    /// ECN echo (RFC 3168).
    pub(crate) const ECE: u8 = 0x40;
    /// Congestion window reduced (RFC 3168).
    pub(crate) const CWR: u8 = 0x80;
}

mod option {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const MSS: u8 = 2;
    pub(super) const WSCALE: u8 = 3;
    pub(super) const SACK_PERMITTED: u8 = 4;
    pub(super) const SACK: u8 = 5;
    pub(super) const TIMESTAMPS: u8 = 8;
    pub(super) const MD5: u8 = 19;
    pub(super) const AUTHENTICATION: u8 = 29;
}

/// The timestamps option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timestamps {
    /// The sender's clock.
    pub(crate) val: u32,
    /// The last clock value that the sender has had of the other side.
    pub(crate) ecr: u32,
}

/// The fixed part of a TCP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The sender's port.
    pub(crate) source: u16,
    /// The receiver's port.
    pub(crate) dest: u16,
    /// The sequence number of the first byte, or of the SYN.
    pub(crate) seq: Seq,
    /// The next sequence number expected of the other side; valid with [`flags::ACK`].
    pub(crate) ack: Seq,
    /// Bits of [`flags`].
    pub(crate) flags: u8,
    /// The window as it stands in the header, not scaled.
    pub(crate) window: u16,
    /// The length of header and options, in bytes: 20 to 60, a multiple of 4.
    pub(crate) len: usize,
}

/// The options that a segment may carry and that we look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Maximum segment size; on a SYN.
    pub(crate) mss: Option<u16>,
    /// Window scale; on a SYN.
    pub(crate) wscale: Option<u8>,
    /// Selective acknowledgements are welcome; on a SYN.
    pub(crate) sack_permitted: bool,
    /// Timestamps.
    pub(crate) timestamps: Option<Timestamps>,
    /// The furthest end of what the segment selectively acknowledges.
    pub(crate) sack: Option<Seq>,
    /// The segment is signed (RFC 2385, RFC 5925).
    pub(crate) signed: bool,
}

impl Header {
    /// Reads a header off the front of `bytes`.
    ///
    /// Returns [`None`] if `bytes` is too short or the length field lies.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let fixed: &[u8; MIN_HEADER] = bytes.first_chunk()?;
        let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, off, flags, w0, w1, ..] = *fixed;
        let len = usize::from(off >> 4) * 4;
        if len < MIN_HEADER {
            return None;
        }
        Some(Self {
            source: u16::from_be_bytes([s0, s1]),
            dest: u16::from_be_bytes([d0, d1]),
            seq: Seq::new(u32::from_be_bytes([q0, q1, q2, q3])),
            ack: Seq::new(u32::from_be_bytes([a0, a1, a2, a3])),
            flags,
            window: u16::from_be_bytes([w0, w1]),
            len,
        })
    }

    /// Whether all of `flags` are set.
    pub(crate) const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Whether any of `flags` is set.
    pub(crate) const fn any(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Writes header and `options` to the front of `bytes`, the checksum left zero, and returns
    /// their length.
    ///
    /// Only the options that a SYN or an acknowledgement needs are written; [`Header::len`] is not
    /// looked at.
    pub(crate) fn emit(&self, options: &Options, bytes: &mut [u8; MAX_HEADER]) -> usize {
        let mut out = Writer { bytes, len: 0 };
        out.put(&self.source.to_be_bytes());
        out.put(&self.dest.to_be_bytes());
        out.put(&self.seq.raw().to_be_bytes());
        out.put(&self.ack.raw().to_be_bytes());
        out.put(&[0, self.flags]);
        out.put(&self.window.to_be_bytes());
        out.put(&[0; 4]);
        if let Some(mss) = options.mss {
            out.put(&[option::MSS, 4]);
            out.put(&mss.to_be_bytes());
        }
        // Either of these takes two bytes more than a multiple of four, both take none.
        if options.sack_permitted {
            out.put(&[option::SACK_PERMITTED, 2]);
        }
        if options.sack_permitted != options.timestamps.is_some() {
            out.put(&[option::NOP, option::NOP]);
        }
        if let Some(ts) = options.timestamps {
            out.put(&[option::TIMESTAMPS, 10]);
            out.put(&ts.val.to_be_bytes());
            out.put(&ts.ecr.to_be_bytes());
        }
        if let Some(wscale) = options.wscale {
            out.put(&[option::NOP, option::WSCALE, 3, wscale]);
        }
        let len = out.len;
        // CAST: At most 60 / 4, in the upper half of the byte.
        bytes[12] = ((len / 4) << 4) as u8;
        len
    }
}

impl Options {
    /// Reads the options from `bytes`, what stands between the fixed header and the payload.
    ///
    /// Stops at the first option whose length lies, as the kernel's `tcp_parse_options()` does.
    pub(crate) fn parse(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        while let [kind, rest @ ..] = bytes {
            match *kind {
                option::END => break,
                option::NOP => {
                    bytes = rest;
                    continue;
                }
                _ => {}
            }
            let Some(body_len) = rest
                .first()
                .and_then(|&len| usize::from(len).checked_sub(2))
            else {
                break;
            };
            let Some(body) = rest.get(1..).and_then(|r| r.get(..body_len)) else {
                break;
            };
            options.take(*kind, body);
            bytes = rest.get(1 + body_len..).unwrap_or_default();
        }
        options
    }

    /// Takes in one option.
    fn take(&mut self, kind: u8, body: &[u8]) {
        match (kind, body) {
            (option::MSS, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            (option::WSCALE, &[scale]) => self.wscale = Some(scale.min(MAX_WSCALE)),
            (option::SACK_PERMITTED, []) => self.sack_permitted = true,
            (option::SACK, blocks) => self.sack = furthest_end(blocks),
            (option::MD5 | option::AUTHENTICATION, _) => self.signed = true,
            (option::TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
                self.timestamps = Some(Timestamps {
                    val: u32::from_be_bytes([a, b, c, d]),
                    ecr: u32::from_be_bytes([e, f, g, h]),
                });
            }
            _ => {}
        }
    }
}

/// Returns the furthest end of blocks of selective acknowledgements (RFC 2018, section 3).
fn furthest_end(blocks: &[u8]) -> Option<Seq> {
    let mut furthest: Option<Seq> = None;
    for block in blocks.chunks_exact(8) {
        if let &[_, _, _, _, a, b, c, d] = block {
            let end = Seq::new(u32::from_be_bytes([a, b, c, d]));
            if furthest.is_none_or(|known| end.is_after(known)) {
                furthest = Some(end);
            }
        }
    }
    furthest
}

/// Appends to a header.
struct Writer<'a> {
    bytes: &'a mut [u8; MAX_HEADER],
    len: usize,
}

impl Writer<'_> {
    /// Appends `bytes`; what does not fit is left out, which a header of ours never meets.
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(slot) = self.bytes.get_mut(self.len..end) {
            slot.copy_from_slice(bytes);
            self.len = end;
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_segment))]
mod tests {
    use super::*;

    fn syn() -> (Header, Options) {
        (
            Header {
                source: 40000,
                dest: 80,
                seq: Seq::new(0xffff_fff0),
                flags: flags::SYN,
                window: 64240,
                len: 40,
                ..Header::default()
            },
            Options {
                mss: Some(1460),
                wscale: Some(7),
                sack_permitted: true,
                timestamps: Some(Timestamps { val: 1, ecr: 0 }),
                ..Options::default()
            },
        )
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (header, options) = syn();
        let mut bytes = [0; MAX_HEADER];
        let len = header.emit(&options, &mut bytes);
        assert_eq!(len, 40);
        assert_eq!(Header::parse(&bytes), Some(header));
        assert_eq!(Options::parse(&bytes[MIN_HEADER..len]), options);
    }

    #[test]
    fn a_header_without_options_is_twenty_bytes() {
        let (header, _) = syn();
        let mut bytes = [0; MAX_HEADER];
        assert_eq!(header.emit(&Options::default(), &mut bytes), MIN_HEADER);
        assert_eq!(bytes[12], 0x50);
    }

    #[test]
    fn a_short_or_lying_header_is_refused() {
        let (header, options) = syn();
        let mut bytes = [0; MAX_HEADER];
        header.emit(&options, &mut bytes);
        assert_eq!(Header::parse(&bytes[..MIN_HEADER - 1]), None);
        bytes[12] = 0x40;
        assert_eq!(Header::parse(&bytes), None);
    }

    #[test]
    fn selective_acknowledgements_reach_as_far_as_the_furthest() {
        let near = u32::MAX - 9;
        for (ends, furthest) in [
            (&[][..], None),
            (&[near][..], Some(near)),
            (&[near, 5, near - 7][..], Some(5)),
        ] {
            let mut bytes = [0; 40];
            bytes[0] = 5;
            bytes[1] = 2 + 8 * ends.len() as u8;
            for (i, end) in ends.iter().enumerate() {
                bytes[6 + 8 * i..10 + 8 * i].copy_from_slice(&end.to_be_bytes());
            }
            let options = Options::parse(&bytes[..usize::from(bytes[1])]);
            assert_eq!(options.sack, furthest.map(Seq::new));
        }
    }

    #[test]
    fn lying_options_end_the_list() {
        for bytes in [
            &[8, 10, 1][..],
            &[8, 0],
            &[8, 1],
            &[8],
            &[3, 3],
            &[2, 255, 0],
        ] {
            assert_eq!(Options::parse(bytes), Options::default());
        }
        let good_then_bad = [3, 3, 9, 8, 200];
        assert_eq!(Options::parse(&good_then_bad).wscale, Some(9));
    }

    #[test]
    fn a_window_scale_above_fourteen_is_fourteen() {
        assert_eq!(Options::parse(&[3, 3, 200]).wscale, Some(MAX_WSCALE));
    }
}
