// SPDX-License-Identifier: GPL-2.0

//! Writes down what was found: for a person, or as JSON.

use std::{
    collections::BTreeMap,
    fmt::{
        self,
        Write, //
    },
    time::Duration, //
};

use crate::{
    breach::Breach,
    check::Findings,
    connection::Connection,
    meter::{
        Gap,
        Meter, //
    },
    pcap::Time, //
};

/// So many connections, and breaches of a kind, are told one by one.
const AT_LENGTH: usize = 20;

/// The whole of the connections.
struct Total {
    /// Bytes of the servers, and how many of them by another than the first speaker.
    sent: i64,
    sent_after: i64,
    /// Bytes of the clients that were acknowledged, and how many of them by another than the first.
    acknowledged: i64,
    acknowledged_after: i64,
    /// How many connections had more than one speaker.
    moved: usize,
    /// The longest gaps of all.
    payload_gap: Option<Gap>,
    ack_gap: Option<Gap>,
}

/// Sums up the speakers of a connection: what the first one did, and what the others did.
fn by_speaker(connection: &Connection) -> ((i64, i64), (i64, i64)) {
    let mut speakers = connection.speakers.all().iter();
    let first = speakers
        .next()
        .map_or((0, 0), |speaker| (speaker.sent, speaker.acknowledged));
    let others = speakers.fold((0, 0), |sum, speaker| {
        (sum.0 + speaker.sent, sum.1 + speaker.acknowledged)
    });
    (first, others)
}

impl Total {
    fn of(connections: &[Connection]) -> Self {
        let mut total = Self {
            sent: 0,
            sent_after: 0,
            acknowledged: 0,
            acknowledged_after: 0,
            moved: 0,
            payload_gap: None,
            ack_gap: None,
        };
        for connection in connections {
            let (first, others) = by_speaker(connection);
            total.sent += first.0 + others.0;
            total.sent_after += others.0;
            total.acknowledged += first.1 + others.1;
            total.acknowledged_after += others.1;
            total.moved += usize::from(connection.speakers.all().len() > 1);
        }
        let longest = |meter: fn(&Connection) -> Meter| {
            connections
                .iter()
                .filter_map(|connection| meter(connection).longest())
                .max_by_key(Gap::length)
        };
        total.payload_gap = longest(|connection| connection.payload_gap);
        total.ack_gap = longest(|connection| connection.ack_gap);
        total
    }
}

/// Milliseconds with three decimals.
fn ms(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1000.0)
}

/// Seconds since the capture began.
fn at(findings: &Findings, time: Time) -> String {
    format!("{:.6}", time.since(findings.begin).as_secs_f64())
}

/// Writes the report for a person.
pub(crate) fn text(findings: &Findings, name: &str) -> Result<String, fmt::Error> {
    let mut out = String::new();
    let count = findings.connections.len();
    let total = Total::of(&findings.connections);
    writeln!(
        out,
        "{name}: {} packets, {} s, {count} connections, {} of them taken over",
        findings.packets,
        at(findings, findings.end),
        total.moved
    )?;
    if findings.cut_off {
        writeln!(out, "note: the file ends within a packet")?;
    }
    for connection in findings.connections.iter().take(AT_LENGTH) {
        writeln!(out, "{} -> {}", connection.client, connection.server)?;
        for speaker in connection.speakers.all() {
            writeln!(
                out,
                "  {} speaks from {} s (packet {}) to {} s: {} bytes sent, {} acknowledged",
                speaker.mac,
                at(findings, speaker.from),
                speaker.packet,
                at(findings, speaker.to),
                speaker.sent,
                speaker.acknowledged
            )?;
        }
        gap(
            &mut out,
            findings,
            "  ",
            "bytes",
            connection.payload_gap.longest(),
        )?;
        gap(
            &mut out,
            findings,
            "  ",
            "acknowledgements",
            connection.ack_gap.longest(),
        )?;
        if let Some(since) = unanswered(connection) {
            writeln!(out, "  unanswered since {} s", at(findings, since))?;
        }
        if connection.diverged > 0 {
            writeln!(
                out,
                "  note: {} segments repeat acknowledged bytes with other content",
                connection.diverged
            )?;
        }
        if connection.missed > 0 {
            writeln!(
                out,
                "  note: {} bytes that the client acknowledged are not in the capture",
                connection.missed
            )?;
        }
    }
    if count > AT_LENGTH {
        writeln!(out, "and {} more connections", count - AT_LENGTH)?;
    }
    writeln!(
        out,
        "total: {} bytes sent, {} after a switch; {} bytes acknowledged, {} after a switch",
        total.sent, total.sent_after, total.acknowledged, total.acknowledged_after
    )?;
    if findings.committed > 0 {
        writeln!(
            out,
            "held against the channel: {} acknowledgements",
            findings.committed
        )?;
    }
    gap(&mut out, findings, "", "bytes", total.payload_gap)?;
    gap(&mut out, findings, "", "acknowledgements", total.ack_gap)?;
    breaches(&mut out, findings)?;
    Ok(out)
}

/// Since when the client waits in vain, if the connection is still up at the end of the capture.
fn unanswered(connection: &Connection) -> Option<Time> {
    if connection.reset_by_client {
        return None;
    }
    connection
        .payload_gap
        .open()
        .or_else(|| connection.ack_gap.open())
}

fn gap(
    out: &mut String,
    findings: &Findings,
    indent: &str,
    what: &str,
    gap: Option<Gap>,
) -> fmt::Result {
    let Some(gap) = gap else { return Ok(()) };
    writeln!(
        out,
        "{indent}longest wait for new {what}: {} ms, from {} s to {} s (packet {})",
        ms(gap.length()),
        at(findings, gap.from),
        at(findings, gap.to),
        gap.packet
    )
}

fn breaches(out: &mut String, findings: &Findings) -> fmt::Result {
    let mut count = BTreeMap::new();
    for Breach {
        kind,
        packet,
        time,
        connection,
        text,
    } in &findings.breaches
    {
        let count = count.entry(kind.name()).or_insert(0_usize);
        *count += 1;
        if *count > AT_LENGTH {
            continue;
        }
        write!(
            out,
            "breach: packet {packet}, {} s: {}: {text}",
            at(findings, *time),
            kind.name()
        )?;
        match connection.and_then(|index| findings.connections.get(index)) {
            Some(connection) => writeln!(out, " ({} -> {})", connection.client, connection.server)?,
            None => writeln!(out)?,
        }
    }
    if count.is_empty() {
        return writeln!(out, "no breach");
    }
    let all: Vec<_> = count
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    writeln!(out, "breaches: {}", all.join(", "))
}

/// Writes the report as one JSON object. Times are nanoseconds since the epoch.
pub(crate) fn json(findings: &Findings, name: &str) -> Result<String, fmt::Error> {
    let mut out = String::new();
    let total = Total::of(&findings.connections);
    write!(
        out,
        "{{\"file\":{},\"packets\":{},\"begin_ns\":{},\"end_ns\":{},\"cut_off\":{},\"committed\":{},\"connections\":[",
        quoted(name),
        findings.packets,
        findings.begin.as_nanos(),
        findings.end.as_nanos(),
        findings.cut_off,
        findings.committed
    )?;
    for (index, connection) in findings.connections.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(
            out,
            "{comma}\n{{\"client\":\"{}\",\"server\":\"{}\",\"speakers\":[",
            connection.client, connection.server
        )?;
        for (index, speaker) in connection.speakers.all().iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(
                out,
                "{comma}{{\"mac\":\"{}\",\"packet\":{},\"from_ns\":{},\"to_ns\":{},\"sent\":{},\"acknowledged\":{}}}",
                speaker.mac,
                speaker.packet,
                speaker.from.as_nanos(),
                speaker.to.as_nanos(),
                speaker.sent,
                speaker.acknowledged
            )?;
        }
        write!(
            out,
            "],\"payload_gap\":{},\"ack_gap\":{},\"unanswered_since_ns\":{},\"missed\":{},\"diverged\":{}}}",
            json_gap(connection.payload_gap.longest()),
            json_gap(connection.ack_gap.longest()),
            unanswered(connection).map_or("null".into(), |time| time.as_nanos().to_string()),
            connection.missed,
            connection.diverged
        )?;
    }
    write!(
        out,
        "],\n\"total\":{{\"connections\":{},\"taken_over\":{},\"sent\":{},\"sent_after\":{},\
         \"acknowledged\":{},\"acknowledged_after\":{},\"payload_gap\":{},\"ack_gap\":{}}},\n\"breaches\":[",
        findings.connections.len(),
        total.moved,
        total.sent,
        total.sent_after,
        total.acknowledged,
        total.acknowledged_after,
        json_gap(total.payload_gap),
        json_gap(total.ack_gap)
    )?;
    for (index, breach) in findings.breaches.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(
            out,
            "{comma}\n{{\"kind\":\"{}\",\"packet\":{},\"time_ns\":{},\"connection\":{},\"text\":{}}}",
            breach.kind.name(),
            breach.packet,
            breach.time.as_nanos(),
            breach
                .connection
                .map_or("null".into(), |index| index.to_string()),
            quoted(&breach.text)
        )?;
    }
    writeln!(out, "]}}")?;
    Ok(out)
}

fn json_gap(gap: Option<Gap>) -> String {
    gap.map_or("null".into(), |gap| {
        format!(
            "{{\"ms\":{},\"from_ns\":{},\"to_ns\":{},\"packet\":{}}}",
            ms(gap.length()),
            gap.from.as_nanos(),
            gap.to.as_nanos(),
            gap.packet
        )
    })
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
    }
}
