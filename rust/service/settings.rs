// SPDX-License-Identifier: GPL-2.0

//! What both nodes should have set alike: each tells the other one, and says where they differ.
//!
//! Nothing is changed because of it: which of the values is the right one only the operator knows.

use super::{
    ownership::Role,
    Service,
    ON_PEER_LOSS_STALL,
    SAFE_POINTS_REQUEST, //
};
use crate::{
    events,
    wire::record::{
        self,
        role, //
    }, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::atomic::Relaxed, //
};

/// What was compared last: the role and the settings of both nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Compared {
    own: (u8, record::Settings),
    peer: (u8, record::Settings),
}

/// Returns a role as it travels.
pub(super) fn role_number(role: Role) -> u8 {
    match role {
        Role::Primary => role::PRIMARY,
        Role::Backup => role::BACKUP,
    }
}

/// Returns what is set here.
pub(super) fn own(service: &Service) -> record::Settings {
    let tuning = &service.tuning;
    let limits = &service.node.limits;
    let max_connections = limits.max_connections.load(Relaxed);
    record::Settings {
        // CAST: Small numbers.
        safe_points: tuning.safe_points.load(Relaxed) as u8,
        on_peer_loss: tuning.on_peer_loss.load(Relaxed) as u8,
        reserved: [0; 2],
        hold_timeout_ms: tuning.hold_timeout_ms.load(Relaxed).into(),
        commit_timeout_ms: tuning.commit_timeout_ms.load(Relaxed).into(),
        max_connections: u32::try_from(max_connections).unwrap_or(u32::MAX).into(),
        max_log_bytes: limits.max_log_bytes.load(Relaxed).into(),
        max_log_bytes_per_connection: limits.max_log_bytes_per_connection.load(Relaxed).into(),
    }
}

/// Compares what the peer has set with what is set here, and tells each difference, once. Process
/// context; may sleep.
pub(super) fn compare(service: &Service, peer: &record::Service) {
    let compared = Compared {
        own: (role_number(service.role()), own(service)),
        peer: (peer.role, peer.settings),
    };
    let mut last = service.compared.lock();
    if *last == Some(compared) {
        return;
    }
    *last = Some(compared);
    drop(last);
    let mut count = 0;
    differences(&compared, |name, own, peer| {
        count += 1;
        tell(service, name, own, peer);
    });
    service.differences.store(count, Relaxed);
}

/// A value, for people.
enum Value {
    Word(&'static str),
    Number(u64),
}

impl kernel::fmt::Display for Value {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Shows each difference to `visit`: its name, what is set here, and what at the peer.
fn differences(compared: &Compared, mut visit: impl FnMut(&str, Value, Value)) {
    // One of each is what there should be. Two primaries agree on who speaks, two backups do not.
    if compared.own.0 == compared.peer.0 {
        let word = || {
            Value::Word(match compared.own.0 {
                role::PRIMARY => "primary",
                _ => "backup",
            })
        };
        visit("role", word(), word());
    }
    let (own, peer) = (&compared.own.1, &compared.peer.1);
    let safe_points = |value: u8| match u32::from(value) {
        SAFE_POINTS_REQUEST => "request",
        _ => "whole",
    };
    let on_peer_loss = |value: u8| match u32::from(value) {
        ON_PEER_LOSS_STALL => "stall",
        _ => "degrade",
    };
    for (name, own, peer) in [
        (
            "safe_points",
            safe_points(own.safe_points),
            safe_points(peer.safe_points),
        ),
        (
            "on_peer_loss",
            on_peer_loss(own.on_peer_loss),
            on_peer_loss(peer.on_peer_loss),
        ),
    ] {
        if own != peer {
            visit(name, Value::Word(own), Value::Word(peer));
        }
    }
    for (name, own, peer) in [
        (
            "hold_timeout_ms",
            u64::from(own.hold_timeout_ms.get()),
            u64::from(peer.hold_timeout_ms.get()),
        ),
        (
            "commit_timeout_ms",
            own.commit_timeout_ms.get().into(),
            peer.commit_timeout_ms.get().into(),
        ),
        (
            "max_connections",
            own.max_connections.get().into(),
            peer.max_connections.get().into(),
        ),
        (
            "max_log_bytes",
            own.max_log_bytes.get(),
            peer.max_log_bytes.get(),
        ),
        (
            "max_log_bytes_per_connection",
            own.max_log_bytes_per_connection.get(),
            peer.max_log_bytes_per_connection.get(),
        ),
    ] {
        if own != peer {
            visit(name, Value::Number(own), Value::Number(peer));
        }
    }
}

fn tell(service: &Service, name: &str, own: Value, peer: Value) {
    service.node.stats.settings_differ.inc();
    pr_warn!(
        "{}: {name} is {own} here and {peer} at the peer\n",
        &*service.name
    );
    let text = CString::try_from_fmt(fmt!("{name}: {own} here, {peer} at the peer"));
    // Without memory the kernel log has it.
    if let Some(reason) = text.as_ref().ok().and_then(|text| text.to_str().ok()) {
        events::differs(service, reason);
    }
}
