// SPDX-License-Identifier: GPL-2.0

//! What the tests of a tracker have in common.

use super::{
    Inbound,
    Piece,
    Release,
    Tracker, //
};
use crate::wire::{
    segment::{
        flags,
        Header, //
    },
    seq::Seq, //
};

pub(super) const IRS: Seq = Seq::new(u32::MAX - 2);
pub(super) const ISS: Seq = Seq::new(7);
pub(super) const WSCALE: u8 = 7;
/// When a segment leaves, and for how long it may wait, where that does not matter.
pub(super) const NOW: (u64, u64) = (1000, 50);

/// A tracker just behind the handshake.
pub(super) fn open() -> Tracker {
    let mut tracker = Tracker::new(IRS, ISS, WSCALE, 65535);
    assert_eq!(tracker.confirm(1), Some(Release::Nothing));
    tracker
}

pub(super) fn from_client(offset: u64, bits: u8) -> Header {
    Header {
        seq: IRS.at(offset),
        ack: ISS.at(1),
        flags: flags::ACK | bits,
        ..Header::default()
    }
}

pub(super) fn from_service(ack: u64, window: u16) -> Header {
    Header {
        seq: ISS.at(1),
        ack: IRS.at(ack),
        flags: flags::ACK,
        window,
        ..Header::default()
    }
}

/// Logs a segment whole, and returns the piece.
pub(super) fn log(tracker: &mut Tracker, offset: u64, len: usize, bits: u8) -> Option<Piece> {
    match tracker.inbound(&from_client(offset, bits), len, None) {
        Inbound::Log(piece) => {
            tracker.logged(&piece, None);
            Some(piece)
        }
        Inbound::Nothing => None,
    }
}

pub(super) fn piece(offset: u64, skip: usize, len: usize, fin: bool) -> Option<Piece> {
    Some(Piece {
        offset,
        skip,
        len,
        fin,
    })
}
