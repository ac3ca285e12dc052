// SPDX-License-Identifier: GPL-2.0

//! wirecheck: reads a capture made at a client and reports every breach of what the client may see.
//!
//! One file per invariant: `speaker.rs` (one speaker), `continuity.rs` (nothing is taken back),
//! `store.rs` (the same bytes), `http.rs` (the end comes at the end), `meter.rs` (how long it waited),
//! `commit.rs` (nothing is acknowledged that the backup lacks, for which `channel.rs` reads a second
//! capture); `connection.rs` puts them together, `check.rs` feeds them, `breach.rs` lists what they
//! can find.
//!
//! It needs nothing but the standard library: `rustc -O main.rs`. Its own tests, on captures with
//! planted breaches, run by `rustc --test main.rs`.

mod breach;
mod channel;
mod check;
mod commit;
#[cfg(test)]
mod commit_tests;
mod connection;
mod continuity;
mod http;
mod meter;
mod packet;
mod pcap;
mod report;
mod speaker;
mod store;
mod stream;
#[cfg(test)]
mod synth;
#[cfg(test)]
mod tests;

use std::{
    env,
    net::SocketAddr,
    process::ExitCode,
    time::Duration, //
};

use crate::connection::Limits;

const USAGE: &str = "\
Usage: wirecheck [OPTION]... CAPTURE
Reports each breach of one speaker, wire continuity and no visible event in a
client's capture (classic pcap, Ethernet), and the longest wait for progress.

  --service ADDR:PORT  look at this service only (may be repeated; IPv6: [ADDR]:PORT)
  --takeovers N        how often a connection may change its node (default 1)
  --reorder-ms N       how long one packet of a node may overtake another (default 2)
  --max-gap-ms N       a longer wait of the client, for what it has asked for or for an
                       acknowledgement, is a breach, too
  --channel FILE       a capture of the channel, made at the backup with the same clock: an
                       acknowledgement of what the backup had not confirmed is a breach, too
  --channel-port N     the channel's port (default 7789)
  --json               write JSON

Exit status: 0 no breach, 1 breaches, 2 the capture cannot be used.";

/// What the command line asks for.
struct Request {
    services: Vec<SocketAddr>,
    limits: Limits,
    channel: Option<String>,
    channel_port: u16,
    json: bool,
    file: String,
}

/// Parses the command line.
fn request(mut arguments: impl Iterator<Item = String>) -> Result<Request, String> {
    let mut request = Request {
        services: Vec::new(),
        limits: Limits::default(),
        channel: None,
        channel_port: 7789,
        json: false,
        file: String::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut number = || {
            arguments
                .next()
                .and_then(|value| value.parse::<u32>().ok())
                .ok_or(format!("{argument} wants a number"))
        };
        let milliseconds = |number: u32| Duration::from_millis(number.into());
        match argument.as_str() {
            "--takeovers" => request.limits.takeovers = number()? as usize,
            "--reorder-ms" => request.limits.reorder = milliseconds(number()?),
            "--max-gap-ms" => request.limits.gap = Some(milliseconds(number()?)),
            "--channel" => request.channel = arguments.next(),
            "--channel-port" => {
                request.channel_port = number()?
                    .try_into()
                    .map_err(|_| "--channel-port wants a port")?
            }
            "--service" => {
                let value = arguments.next().unwrap_or_default();
                let service = value
                    .parse()
                    .map_err(|_| format!("--service wants ADDR:PORT, not '{value}'"))?;
                request.services.push(service);
            }
            "--json" => request.json = true,
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            file if request.file.is_empty() => request.file = file.into(),
            _ => return Err("one capture at a time".into()),
        }
    }
    if request.file.is_empty() {
        return Err("which capture?".into());
    }
    Ok(request)
}

/// Checks and reports; returns whether there was a breach.
fn run(request: Request) -> Result<bool, String> {
    let file = std::fs::read(&request.file).map_err(|error| error.to_string())?;
    let channel = match &request.channel {
        Some(name) => {
            let file = std::fs::read(name).map_err(|error| format!("{name}: {error}"))?;
            channel::read(&file, request.channel_port)?
        }
        None => Vec::new(),
    };
    let findings = check::check(&file, &channel, &request.services, &request.limits)
        .map_err(|error| error.to_string())?;
    // What looked at nothing must not pass for clean.
    if findings.connections.is_empty() {
        return Err(format!(
            "no such connection in {} packets",
            findings.packets
        ));
    }
    if request.channel.is_some() && findings.committed == 0 {
        return Err("the channel tells nothing of these connections".into());
    }
    let write = if request.json {
        report::json
    } else {
        report::text
    };
    print!(
        "{}",
        write(&findings, &request.file).map_err(|error| error.to_string())?
    );
    Ok(!findings.breaches.is_empty())
}

fn main() -> ExitCode {
    if env::args().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let request = match request(env::args().skip(1)) {
        Ok(request) => request,
        Err(error) => {
            eprintln!("wirecheck: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let file = request.file.clone();
    match run(request) {
        Ok(breached) => ExitCode::from(u8::from(breached)),
        Err(error) => {
            eprintln!("wirecheck: {file}: {error}");
            ExitCode::from(2)
        }
    }
}
