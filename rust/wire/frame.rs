// SPDX-License-Identifier: GPL-2.0

//! Frames: what travels over the channel. With [`super::record`] the whole contract between two
//! nodes.
//!
//! ```text
//!  0               1               2               3
//! +---------------+---------------+---------------+---------------+
//! |                       magic  "TCFO"                           |
//! +---------------+---------------+---------------+---------------+
//! |            version            |           reserved            |
//! +---------------+---------------+---------------+---------------+
//! |                 sequence: 0, 1, 2, ... in a session           |
//! +---------------+---------------+---------------+---------------+
//! |                 length of the records that follow             |
//! +---------------+---------------+---------------+---------------+
//! |  records ...                                                  |
//! ```
//!
//! All numbers are big-endian. A node speaks exactly one version and closes the channel on a frame
//! of any other; there is nothing to negotiate. A session is one connection of the channel: it
//! begins with a [`Hello`](super::record::Hello) each way, and whatever is wrong in it ends it, for
//! behind a broken frame no boundary can be trusted.
//!
//! Frames are neither authenticated nor encrypted: the channel has to be a network that only the
//! two nodes can reach.

use zerocopy::{
    byteorder::big_endian::{
        U16,
        U32, //
    },
    FromBytes, //
    IntoBytes,
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

/// The first four bytes of a frame.
const MAGIC: u32 = u32::from_be_bytes(*b"TCFO");
/// The version of frames and records.
const VERSION: u16 = 2;

/// The length of a frame's header, in bytes.
pub(crate) const HEADER: usize = size_of::<RawHeader>();
/// The longest frame, header included, in bytes.
pub(crate) const MAX_FRAME: usize = 32 * 1024;

/// Why a frame or a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    /// The bytes end before the record does.
    Truncated,
    /// The first bytes are not a frame's.
    BadMagic,
    /// The frame is of another version.
    BadVersion,
    /// A length is larger than what may follow, or not what the kind wants.
    BadLength,
    /// A frame is missing, or came twice.
    BadSequence,
    /// There is no record of this kind.
    UnknownKind,
    /// A field has a value that it cannot have.
    BadValue,
}

#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    version: U16,
    reserved: U16,
    sequence: U32,
    length: U32,
}

/// Returns the header of frame number `sequence` around `length` bytes of records.
pub(crate) fn header(sequence: u32, length: u32) -> [u8; HEADER] {
    let raw = RawHeader {
        magic: MAGIC.into(),
        version: VERSION.into(),
        reserved: 0.into(),
        sequence: sequence.into(),
        length: length.into(),
    };
    let mut bytes = [0; HEADER];
    // Cannot fail: the buffer has the length of the header.
    let _ = raw.write_to(&mut bytes);
    bytes
}

/// Checks a header, which has to be that of frame number `sequence`, and returns how many bytes of
/// records follow.
pub(crate) fn check_header(bytes: &[u8; HEADER], sequence: u32) -> Result<usize, WireError> {
    let raw = RawHeader::ref_from_bytes(bytes).map_err(|_| WireError::Truncated)?;
    if raw.magic.get() != MAGIC {
        return Err(WireError::BadMagic);
    }
    if raw.version.get() != VERSION {
        return Err(WireError::BadVersion);
    }
    if raw.sequence.get() != sequence {
        return Err(WireError::BadSequence);
    }
    usize::try_from(raw.length.get())
        .ok()
        .filter(|&length| length <= MAX_FRAME - HEADER)
        .ok_or(WireError::BadLength)
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_frame))]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back() {
        for length in [0, 1, (MAX_FRAME - HEADER) as u32] {
            assert_eq!(check_header(&header(7, length), 7), Ok(length as usize));
        }
    }

    #[test]
    fn a_wrong_header_is_refused_with_its_reason() {
        let good = header(7, 100);
        for (at, reason) in [
            (0, WireError::BadMagic),
            (3, WireError::BadMagic),
            (5, WireError::BadVersion),
            (11, WireError::BadSequence),
            (12, WireError::BadLength),
            (13, WireError::BadLength),
        ] {
            let mut bad = good;
            bad[at] ^= 0x40;
            assert_eq!(check_header(&bad, 7), Err(reason));
        }
        let too_long = header(7, (MAX_FRAME - HEADER + 1) as u32);
        assert_eq!(check_header(&too_long, 7), Err(WireError::BadLength));
    }
}
