// SPDX-License-Identifier: GPL-2.0

//! `channel/`: where the peer is, and how long it may be silent.

use super::parse::{
    self,
    refuse, //
};
use crate::{
    channel::Config,
    kapi::kobject::Attribute,
    node::Node,
    wire::key::Addr, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    }, //
};

/// Half of what a connection is protected for at least without a confirmation (`commit_timeout_ms`).
const MAX_GATHER_US: u64 = 50_000;

/// The files.
pub(super) const ATTRIBUTES: &[Attribute<Node>] = &[
    Attribute::rw(
        c"local_address",
        |node, out| parse::show_address(node.channel.config().local, out),
        |node, text| set_address(node, "local_address", text, |config| &mut config.local),
    ),
    Attribute::rw(
        c"peer_address",
        |node, out| parse::show_address(node.channel.config().peer, out),
        |node, text| set_address(node, "peer_address", text, |config| &mut config.peer),
    ),
    Attribute::rw(
        c"port",
        |node, out| write!(out, "{}", node.channel.config().port),
        |node, text| set_port(node, text),
    ),
    Attribute::rw(
        c"heartbeat_interval_ms",
        |node, out| write!(out, "{}", node.channel.heartbeat_ms.load(Relaxed)),
        |node, text| {
            let ms = u32::try_from(parse::number("heartbeat_interval_ms", text, 10..=10_000)?)?;
            set_times(node, "heartbeat_interval_ms", text, Some(ms), None)
        },
    ),
    Attribute::rw(
        c"peer_timeout_ms",
        |node, out| write!(out, "{}", node.channel.peer_timeout_ms()),
        |node, text| {
            let ms = u32::try_from(parse::number("peer_timeout_ms", text, 200..=600_000)?)?;
            set_times(node, "peer_timeout_ms", text, None, Some(ms))
        },
    ),
    Attribute::rw(
        c"gather_us",
        |node, out| write!(out, "{}", node.channel.log.gather_us.load(Relaxed)),
        |node, text| {
            let us = parse::number("gather_us", text, 0..=MAX_GATHER_US)?;
            node.channel.log.gather_us.store(us, Relaxed);
            Ok(())
        },
    ),
    Attribute::rw(
        c"enabled",
        |node, out| write!(out, "{}", u8::from(node.channel.is_enabled())),
        |node, text| set_enabled(node, text),
    ),
    Attribute::ro(c"state", |node, out| {
        let state = match (node.channel.is_enabled(), node.channel.session()) {
            (false, _) => "off",
            (true, 0) => "connecting",
            (true, _) => "up",
        };
        out.write_str(state)
    }),
];

fn set_address(
    node: &Arc<Node>,
    file: &str,
    text: &str,
    field: fn(&mut Config) -> &mut Option<Addr>,
) -> Result {
    let addr = parse::address(file, text)?;
    configure(node, file, text, |config| *field(config) = Some(addr))
}

fn set_port(node: &Arc<Node>, text: &str) -> Result {
    let port = u16::try_from(parse::number("port", text, 1..=65535)?)?;
    configure(node, "port", text, |config| config.port = port)
}

fn configure(node: &Arc<Node>, file: &str, text: &str, change: impl FnOnce(&mut Config)) -> Result {
    node.channel
        .configure(|config| {
            change(config);
            Ok(())
        })
        .map_err(|e| refuse(file, text, "the channel is enabled", e))
}

fn set_times(
    node: &Arc<Node>,
    file: &str,
    text: &str,
    heartbeat: Option<u32>,
    peer_timeout: Option<u32>,
) -> Result {
    node.channel
        .set_times(heartbeat, peer_timeout)
        .map_err(|e| {
            let why = "the time-out has to be at least two heartbeats";
            refuse(file, text, why, e)
        })?;
    node.desk.ring();
    Ok(())
}

fn set_enabled(node: &Arc<Node>, text: &str) -> Result {
    match text {
        "0" => {
            node.channel.disable();
            Ok(())
        }
        "1" => {
            node.desk.open(node)?;
            node.channel.enable(node).map_err(|e| {
                let why = match e {
                    EINVAL => "both addresses have to be set, of one family, and to differ",
                    _ => "the threads cannot be started",
                };
                refuse("enabled", text, why, e)
            })
        }
        _ => Err(refuse("enabled", text, "neither 0 nor 1", EINVAL)),
    }
}
