// SPDX-License-Identifier: GPL-2.0

//! Runs a capture through the checks.

use std::{
    collections::HashMap,
    net::{
        IpAddr,
        SocketAddr, //
    }, //
};

use crate::{
    breach::{
        Breach,
        Kind, //
    },
    channel::Event,
    commit::Commit,
    connection::{
        Connection,
        Limits,
        Seen, //
    },
    packet::{
        Content,
        Flags,
        Frame,
        Mac,
        Segment, //
    },
    pcap::{
        Captured,
        Reader,
        Time,
        Unreadable, //
    },
    speaker::{
        Speakers,
        Standing, //
    }, //
};

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// How many packets the capture holds.
    pub(crate) packets: usize,
    /// When the first and the last of them were seen.
    pub(crate) begin: Time,
    pub(crate) end: Time,
    /// Whether the file ends within a packet.
    pub(crate) cut_off: bool,
    /// How many segments were held against what the backup had confirmed.
    pub(crate) committed: usize,
    /// The connections, in the order of their first packets.
    pub(crate) connections: Vec<Connection>,
    /// What is wrong, in the order of the packets.
    pub(crate) breaches: Vec<Breach>,
}

/// Which of two endpoints is the client.
enum Side {
    FromClient,
    FromServer,
}

/// The checks in progress.
struct Checker<'a> {
    /// The services to look at; all when empty.
    services: &'a [SocketAddr],
    limits: &'a Limits,
    findings: Findings,
    /// The latest connection of a client and a server.
    index: HashMap<(SocketAddr, SocketAddr), usize>,
    /// Who claimed a service's address.
    claims: HashMap<IpAddr, Speakers>,
    /// What the backup has.
    commit: Commit<'a>,
}

/// Checks the capture in `file`: connections to `services`, or all when there are none. `channel` is
/// what was said on the channel meanwhile, as far as it is known.
pub(crate) fn check(
    file: &[u8],
    channel: &[Event],
    services: &[SocketAddr],
    limits: &Limits,
) -> Result<Findings, Unreadable> {
    let mut reader = Reader::new(file)?;
    let mut checker = Checker {
        services,
        limits,
        findings: Findings::default(),
        index: HashMap::new(),
        claims: HashMap::new(),
        commit: Commit::new(channel),
    };
    for captured in &mut reader {
        checker.packet(captured);
    }
    checker.findings.cut_off = reader.is_cut_off();
    checker.findings.committed = checker.commit.checked;
    checker.finish();
    Ok(checker.findings)
}

impl Checker<'_> {
    /// Looks at one packet.
    fn packet(&mut self, captured: Captured<'_>) {
        if self.findings.packets == 0 {
            self.findings.begin = captured.time;
        }
        self.findings.packets += 1;
        self.findings.end = captured.time;
        self.follow_channel(captured);
        let Some(frame) = Frame::parse(captured.bytes, captured.length) else {
            return;
        };
        match frame.content {
            Content::Tcp(segment) => self.segment(Seen {
                segment,
                mac: frame.source,
                time: captured.time,
                packet: captured.number,
            }),
            Content::Claim(address) => self.claim(captured, frame.source, address),
            Content::IcmpError {
                source,
                destination,
                kind,
                code,
            } => self.icmp_error(captured, frame.source, (source, destination), (kind, code)),
        }
    }

    /// What was said on the channel until a packet of the client was seen.
    fn follow_channel(&mut self, captured: Captured<'_>) {
        let Self {
            index,
            findings,
            commit,
            ..
        } = self;
        commit.advance(captured.time, &mut |name, text| {
            findings.breaches.push(Breach {
                kind: Kind::Uncommitted,
                packet: captured.number,
                time: captured.time,
                connection: index.get(&name).copied(),
                text,
            })
        });
    }

    /// Looks at a TCP segment.
    fn segment(&mut self, seen: Seen<'_>) {
        let segment = seen.segment;
        let Some(side) = self.side(segment) else {
            return;
        };
        let key = match side {
            Side::FromClient => (segment.source, segment.destination),
            Side::FromServer => (segment.destination, segment.source),
        };
        let known = self.index.get(&key).copied();
        match side {
            Side::FromClient => {
                let opens = segment.flags.has(Flags::SYN);
                let connections = &mut self.findings.connections;
                match known.and_then(|index| connections.get_mut(index)) {
                    Some(connection) if !opens || !connection.is_other(segment) => {
                        connection.client_sent(seen)
                    }
                    // A RST or an ACK after all is over opens nothing.
                    None if segment.flags.has(Flags::RST) => {}
                    _ => {
                        self.commit.begins(key);
                        let mut connection = Connection::new(seen);
                        connection.client_sent(seen);
                        self.index.insert(key, connections.len());
                        connections.push(connection);
                    }
                }
            }
            Side::FromServer => {
                let Findings {
                    connections,
                    breaches,
                    ..
                } = &mut self.findings;
                let mut breach = |kind, text| {
                    breaches.push(Breach {
                        kind,
                        packet: seen.packet,
                        time: seen.time,
                        connection: known,
                        text,
                    })
                };
                if let Some(text) = self.commit.server_sent(key, seen.mac, segment) {
                    breach(Kind::Uncommitted, text);
                }
                match known.and_then(|index| connections.get_mut(index)) {
                    Some(connection) => connection.server_sent(seen, self.limits, &mut breach),
                    None if segment.flags.has(Flags::RST) => breach(
                        Kind::Reset,
                        format!("RST from {} to {} out of the blue", seen.mac, key.0),
                    ),
                    None => {}
                }
            }
        }
    }

    /// Which side sent the segment; nothing when it is not of a service that is looked at.
    fn side(&self, segment: Segment<'_>) -> Option<Side> {
        let (source, destination) = (segment.source, segment.destination);
        if !self.services.is_empty() {
            return if self.services.contains(&destination) {
                Some(Side::FromClient)
            } else if self.services.contains(&source) {
                Some(Side::FromServer)
            } else {
                None
            };
        }
        let syn = segment.flags.has(Flags::SYN);
        let from_client = if syn {
            !segment.flags.has(Flags::ACK)
        } else if self.index.contains_key(&(source, destination)) {
            true
        } else if self.index.contains_key(&(destination, source)) {
            false
        } else {
            // It ran before the capture began: services have the lower ports.
            destination.port() < source.port()
        };
        Some(if from_client {
            Side::FromClient
        } else {
            Side::FromServer
        })
    }

    /// Somebody says that `address` is at its hardware address.
    fn claim(&mut self, captured: Captured<'_>, mac: Mac, address: IpAddr) {
        if !self.services.iter().any(|service| service.ip() == address) {
            return;
        }
        let standing = self.claims.entry(address).or_default().heard(
            mac,
            true,
            self.limits.takeovers,
            captured.time,
            captured.number,
        );
        if standing == Standing::Intrudes {
            self.breach(
                captured,
                Kind::AddressClaim,
                None,
                format!("{mac} claims {address} although another node had taken it"),
            );
        }
    }

    /// An ICMP error about a segment from `way.0` to `way.1`.
    fn icmp_error(
        &mut self,
        captured: Captured<'_>,
        mac: Mac,
        way: (SocketAddr, SocketAddr),
        what: (u8, u8),
    ) {
        let connection = self.index.get(&way).copied();
        if connection.is_none() && !self.services.contains(&way.1) {
            return;
        }
        let text = format!("ICMP type {} code {} from {mac}", what.0, what.1);
        self.breach(captured, Kind::IcmpError, connection, text);
    }

    /// Judges what can be judged only at the end.
    fn finish(&mut self) {
        let Some(limit) = self.limits.gap else { return };
        let Findings {
            connections,
            breaches,
            ..
        } = &mut self.findings;
        for (index, connection) in connections.iter().enumerate() {
            for (meter, what) in [
                (connection.payload_gap, "bytes"),
                (connection.ack_gap, "acknowledgements"),
            ] {
                let Some(gap) = meter.longest().filter(|gap| gap.length() > limit) else {
                    continue;
                };
                breaches.push(Breach {
                    kind: Kind::LongGap,
                    packet: gap.packet,
                    time: gap.to,
                    connection: Some(index),
                    text: format!("no new {what} for {} ms", gap.length().as_millis()),
                });
            }
        }
        breaches.sort_by_key(|breach| breach.packet);
    }

    fn breach(
        &mut self,
        captured: Captured<'_>,
        kind: Kind,
        connection: Option<usize>,
        text: String,
    ) {
        self.findings.breaches.push(Breach {
            kind,
            packet: captured.number,
            time: captured.time,
            connection,
            text,
        });
    }
}
