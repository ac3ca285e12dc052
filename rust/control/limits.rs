// SPDX-License-Identifier: GPL-2.0

//! `limits/`: how much a node may hold, and how much it does.

use super::parse;
use crate::{
    kapi::kobject::Attribute,
    node::Node, //
};
use kernel::sync::atomic::Relaxed;

macro_rules! limit {
    ($name:ident, $range:expr) => {
        Attribute::rw(
            kernel::c_str!(stringify!($name)),
            |node, out| write!(out, "{}", node.limits.$name.load(Relaxed)),
            |node, text| {
                let value = parse::number(stringify!($name), text, $range)?;
                node.limits.$name.store(value, Relaxed);
                Ok(())
            },
        )
    };
}

/// The smallest log of use: a few segments.
const MIN_BYTES: u64 = 1 << 16;
/// More than a machine has.
const MAX_BYTES: u64 = 1 << 44;

/// The files.
pub(super) const ATTRIBUTES: &[Attribute<Node>] = &[
    limit!(max_connections, 1..=1 << 24),
    limit!(max_log_bytes, MIN_BYTES..=MAX_BYTES),
    limit!(max_log_bytes_per_connection, MIN_BYTES..=MAX_BYTES),
    Attribute::ro(c"connections", |node, out| {
        write!(out, "{}", node.connections.load(Relaxed))
    }),
    Attribute::ro(c"replica_bytes", |node, out| {
        write!(out, "{}", node.replica_bytes.load(Relaxed))
    }),
];
