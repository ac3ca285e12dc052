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
    kapi::print::warn_ratelimited,
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
use zerocopy::byteorder::big_endian::{
    U32,
    U64, //
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
    let before = last.replace(compared).unwrap_or(Compared::NONE);
    drop(last);
    if before == compared {
        return;
    }
    let mut count = 0;
    for (now, before) in compared.settings().iter().zip(&before.settings()) {
        if now.differs() {
            count += 1;
            if now != before {
                tell(service, now);
            }
        }
    }
    service.differences.store(count, Relaxed);
}

/// A value, for people.
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// What is set on both nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Setting {
    name: &'static str,
    own: Value,
    peer: Value,
}

impl Setting {
    fn new<T>(name: &'static str, (own, peer): (T, T), value: impl Fn(T) -> Value) -> Self {
        Self {
            name,
            own: value(own),
            peer: value(peer),
        }
    }

    /// Returns whether the nodes are at odds. One of each role is what there should be: two primaries
    /// agree on who speaks, two backups do not.
    fn differs(&self) -> bool {
        (self.own == self.peer) == (self.name == ROLE)
    }
}

const ROLE: &str = "role";

impl Compared {
    /// Nodes that have nothing set: whatever differs is news.
    const NONE: Self = Self {
        own: (0, NOTHING),
        peer: (0, NOTHING),
    };

    /// Returns all that is compared.
    fn settings(&self) -> [Setting; 8] {
        let role = |role: u8| {
            Value::Word(match role {
                role::PRIMARY => "primary",
                role::BACKUP => "backup",
                _ => "none",
            })
        };
        let safe_points = |value: u8| {
            Value::Word(match u32::from(value) {
                SAFE_POINTS_REQUEST => "request",
                _ => "whole",
            })
        };
        let on_peer_loss = |value: u8| {
            Value::Word(match u32::from(value) {
                ON_PEER_LOSS_STALL => "stall",
                _ => "degrade",
            })
        };
        let small = |value: U32| Value::Number(value.get().into());
        let large = |value: U64| Value::Number(value.get());
        let (a, b) = (&self.own.1, &self.peer.1);
        [
            Setting::new(ROLE, (self.own.0, self.peer.0), role),
            Setting::new("safe_points", (a.safe_points, b.safe_points), safe_points),
            Setting::new(
                "on_peer_loss",
                (a.on_peer_loss, b.on_peer_loss),
                on_peer_loss,
            ),
            Setting::new(
                "hold_timeout_ms",
                (a.hold_timeout_ms, b.hold_timeout_ms),
                small,
            ),
            Setting::new(
                "commit_timeout_ms",
                (a.commit_timeout_ms, b.commit_timeout_ms),
                small,
            ),
            Setting::new(
                "max_connections",
                (a.max_connections, b.max_connections),
                small,
            ),
            Setting::new("max_log_bytes", (a.max_log_bytes, b.max_log_bytes), large),
            Setting::new(
                "max_log_bytes_per_connection",
                (
                    a.max_log_bytes_per_connection,
                    b.max_log_bytes_per_connection,
                ),
                large,
            ),
        ]
    }
}

/// The settings of a node that has none.
const NOTHING: record::Settings = record::Settings {
    safe_points: 0,
    on_peer_loss: 0,
    reserved: [0; 2],
    hold_timeout_ms: U32::ZERO,
    commit_timeout_ms: U32::ZERO,
    max_connections: U32::ZERO,
    max_log_bytes: U64::ZERO,
    max_log_bytes_per_connection: U64::ZERO,
};

fn tell(service: &Service, setting: &Setting) {
    let Setting { name, own, peer } = setting;
    service.node.stats.settings_differ.inc();
    // The peer decides how often.
    warn_ratelimited!(
        "{}: {name} is {own} here and {peer} at the peer\n",
        &*service.name
    );
    let text = CString::try_from_fmt(fmt!("{name}: {own} here, {peer} at the peer"));
    // Without memory the kernel log has it.
    if let Some(reason) = text.as_ref().ok().and_then(|text| text.to_str().ok()) {
        events::differs(service, reason);
    }
}
