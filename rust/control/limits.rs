// SPDX-License-Identifier: GPL-2.0

//! `limits/`: how much a node may hold, and how much it does.

use super::parse;
use crate::{
    kapi::{
        kobject::Attribute,
        print::warn_ratelimited, //
    },
    node::Node, //
};
use kernel::sync::atomic::Relaxed;

/// `$in_use` says how much of it is taken now: a lower limit is set all the same, so that no more is
/// taken, and the operator is told that it is not kept yet.
macro_rules! limit {
    ($name:ident, $range:expr, $in_use:expr) => {
        Attribute::rw(
            kernel::c_str!(stringify!($name)),
            |node, out| write!(out, "{}", node.limits.$name.load(Relaxed)),
            |node, text| {
                let value = parse::number(stringify!($name), text, $range)?;
                node.limits.$name.store(value, Relaxed);
                tell_excess(stringify!($name), value, $in_use(node));
                Ok(())
            },
        )
    };
}

/// Says in the kernel log that a limit was set below what is taken, if so.
fn tell_excess(file: &str, limit: u64, in_use: u64) {
    if limit < in_use {
        warn_ratelimited!("{file}: {limit} is less than the {in_use} in use: no more is taken\n");
    }
}

/// The smallest log of use: a few segments.
const MIN_BYTES: u64 = 1 << 16;
/// More than a machine has.
const MAX_BYTES: u64 = 1 << 44;

/// The files.
pub(super) const ATTRIBUTES: &[Attribute<Node>] = &[
    limit!(max_connections, 1..=1 << 24, |node: &Node| node
        .connections
        .load(Relaxed)),
    limit!(max_log_bytes, MIN_BYTES..=MAX_BYTES, |node: &Node| node
        .replica_bytes
        .load(Relaxed)),
    limit!(
        max_log_bytes_per_connection,
        MIN_BYTES..=MAX_BYTES,
        Node::largest_input
    ),
    Attribute::ro(c"connections", |node, out| {
        write!(out, "{}", node.connections.load(Relaxed))
    }),
    Attribute::ro(c"replica_bytes", |node, out| {
        write!(out, "{}", node.replica_bytes.load(Relaxed))
    }),
];
