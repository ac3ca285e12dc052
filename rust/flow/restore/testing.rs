// SPDX-License-Identifier: GPL-2.0

//! What the tests of a restoration have in common.

use super::{
    Child,
    Phase,
    Place,
    Restore, //
};
use crate::{
    flow::tracker::first_edge,
    wire::{
        record::{
            open,
            Open, //
        },
        segment::{
            flags,
            Header, //
        },
        seq::Seq, //
    }, //
};

pub(super) const IRS: Seq = Seq::new(u32::MAX - 50);
pub(super) const ISS: Seq = Seq::new(u32::MAX - 5);

pub(super) fn machine() -> Restore {
    machine_at(Place::START)
}

pub(super) fn machine_at(place: Place) -> Restore {
    let open = Open {
        flags: open::SACK,
        incarnation: IRS.raw().into(),
        iss: ISS.raw().into(),
        client_wscale: 7,
        service_wscale: 7,
        client_mss: 1460.into(),
        window: 65535.into(),
        ..Open::default()
    };
    Restore::new(&open, 0, place)
}

/// A machine whose child stands, and has been asked where the client is.
pub(super) fn probing() -> Restore {
    let mut m = machine();
    m.syn_ack_seen();
    m.child_found(0);
    assert_eq!(m.phase(), Phase::Probe);
    m
}

pub(super) fn client(seq: u64, ack: u64, window: u16) -> Header {
    Header {
        seq: IRS.at(seq),
        ack: ISS.at(ack),
        flags: flags::ACK,
        window,
        ..Header::default()
    }
}

pub(super) fn child(seq: u64, ack: u64) -> Header {
    Header {
        seq: ISS.at(seq),
        ack: IRS.at(ack),
        flags: flags::ACK,
        window: 512,
        ..Header::default()
    }
}

/// Whether a segment of the child passes that begins at `seq`, acknowledging `ack` and offering
/// what the old node may have offered.
pub(super) fn passes(verdict: Child, seq: u64, ack: u64) -> bool {
    let window = ((first_edge(65535) - ack) >> 7) as u16;
    verdict
        == Child::Rewrite {
            seq: ISS.at(seq),
            ack: IRS.at(ack),
            window,
        }
}
