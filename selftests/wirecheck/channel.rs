// SPDX-License-Identifier: GPL-2.0

//! Reads a capture of the channel, made at the backup: what the primary told it of connections, and
//! what it confirmed, with the times at which that came and went.
//!
//! Puts the two streams of each of the channel's TCP connections together and takes their frames and
//! records apart (Documentation/protocol.rst). A capture that begins within a session is read from
//! the first segment on that begins with a frame. Packets have to be captured as a whole.

use std::{
    collections::{
        BTreeMap,
        HashMap, //
    },
    net::{
        IpAddr,
        Ipv6Addr,
        SocketAddr, //
    }, //
};

use crate::{
    packet::{
        Content,
        Flags,
        Frame,
        Segment,
        Seq, //
    },
    pcap::{
        Reader,
        Time, //
    }, //
};

/// The first four bytes of a frame.
const MAGIC: &[u8] = b"TCFO";
/// The length of a frame's header, and of a record's.
const FRAME_HEADER: usize = 16;
const RECORD_HEADER: usize = 4;

/// The kinds of records that matter here.
const HELLO: u8 = 1;
const OPEN: u8 = 4;
const DATA: u8 = 5;
const CLOSE: u8 = 6;
const CONFIRM: u8 = 7;

/// A connection: its client and its service.
pub(crate) type Name = (SocketAddr, SocketAddr);

/// What a record says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It has begun, or begins anew.
    Open,
    /// Its client has sent what lies between these offsets; a FIN counts as one.
    Data(u64, u64),
    /// It has ended, or is not protected any more.
    Close,
    /// The backup holds all offsets below this one; 0 if it holds nothing.
    Confirm(u64),
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A session begins: of what was before, the backup knows nothing any more.
    Hello,
    /// It is about a connection, of that incarnation.
    About(Name, Seq, Said),
}

/// A record, and when its last byte was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) time: Time,
    /// The number of the packet in the channel's capture.
    pub(crate) packet: usize,
    /// Which node says it.
    pub(crate) sender: IpAddr,
    pub(crate) record: Record,
}

/// One direction of a connection of the channel.
#[derive(Debug, Default)]
struct Direction {
    /// The sequence number of the next byte; nothing before a frame was found.
    next: Option<Seq>,
    /// What came too early, by how far it is beyond the first number that was seen.
    early: BTreeMap<i64, Vec<u8>>,
    origin: Option<Seq>,
    /// The bytes that are there without a gap, from the beginning of a frame on.
    bytes: Vec<u8>,
}

/// Reads the channel's capture: connections from or to TCP port `port`.
///
/// # Errors
///
/// Says what cannot be read.
pub(crate) fn read(file: &[u8], port: u16) -> Result<Vec<Event>, String> {
    let reader = Reader::new(file).map_err(|error| error.to_string())?;
    let mut directions: HashMap<(SocketAddr, SocketAddr), Direction> = HashMap::new();
    let mut events = Vec::new();
    for captured in reader {
        let Some(Frame {
            content: Content::Tcp(segment),
            ..
        }) = Frame::parse(captured.bytes, captured.length)
        else {
            continue;
        };
        if segment.source.port() != port && segment.destination.port() != port {
            continue;
        }
        let mut hear = |direction: &mut Direction, sender: SocketAddr| {
            direction
                .records(&mut |record| {
                    events.push(Event {
                        time: captured.time,
                        packet: captured.number,
                        sender: sender.ip(),
                        record,
                    })
                })
                .map_err(|what| format!("packet {} of the channel: {what}", captured.number))
        };
        let (from, to) = (segment.source, segment.destination);
        if let (Some(other), Some(ack)) = (directions.get_mut(&(to, from)), segment.ack) {
            other.skip_missed(ack);
            hear(other, to)?;
        }
        let direction = directions.entry((from, to)).or_default();
        direction
            .take(segment)
            .map_err(|what| format!("packet {} of the channel: {what}", captured.number))?;
        hear(direction, from)?;
    }
    Ok(events)
}

impl Direction {
    /// Takes in a segment.
    fn take(&mut self, segment: Segment<'_>) -> Result<(), String> {
        if segment.flags.has(Flags::SYN) {
            *self = Self {
                next: Some(segment.seq.add(1)),
                origin: Some(segment.seq.add(1)),
                ..Self::default()
            };
            return Ok(());
        }
        if segment.length as usize != segment.payload.len() {
            return Err("not captured as a whole".into());
        }
        if self.next.is_none() && segment.payload.starts_with(MAGIC) {
            self.next = Some(segment.seq);
            self.origin = Some(segment.seq);
        }
        let (Some(next), Some(origin)) = (self.next, self.origin) else {
            return Ok(());
        };
        // Behind a gap, or not.
        if segment.seq.beyond(next) > 0 {
            let place = segment.seq.beyond(origin);
            self.early.insert(place, segment.payload.to_vec());
            return Ok(());
        }
        self.append(segment.seq, segment.payload);
        self.append_early(origin);
        Ok(())
    }

    /// The other side has all before `ack`. If it was not seen to come, the capture has missed a packet,
    /// which happens when it has just begun: then it is read on from the next frame that begins a
    /// packet. What was missed will seem not to have been said.
    fn skip_missed(&mut self, ack: Seq) {
        let (Some(next), Some(origin)) = (self.next, self.origin) else {
            return;
        };
        let Some((&place, payload)) = self.early.first_key_value() else {
            return;
        };
        // CAST: as below.
        let seq = origin.add(place as u32);
        if ack.beyond(next) > 0 && ack.beyond(seq) > 0 && payload.starts_with(MAGIC) {
            self.bytes.clear();
            self.next = Some(seq);
            self.append_early(origin);
        }
    }

    /// Appends what came too early and is not behind a gap any more.
    fn append_early(&mut self, origin: Seq) {
        while let Some((&place, _)) = self.early.first_key_value() {
            // CAST: a channel's capture is shorter than 2^31 bytes, or its origin wraps.
            let seq = origin.add(place as u32);
            if self.next.is_some_and(|next| seq.beyond(next) > 0) {
                break;
            }
            if let Some((_, payload)) = self.early.pop_first() {
                self.append(seq, &payload);
            }
        }
    }

    /// Appends what of `payload` is new; it begins at `seq`, not behind a gap.
    fn append(&mut self, seq: Seq, payload: &[u8]) {
        let Some(next) = self.next else { return };
        let known = usize::try_from(next.beyond(seq)).unwrap_or(0);
        let new = payload.get(known..).unwrap_or(&[]);
        self.bytes.extend(new);
        // CAST: a segment is shorter than 2^31.
        self.next = Some(next.add(new.len() as u32));
    }

    /// Takes off all frames that are complete.
    fn records(&mut self, say: &mut dyn FnMut(Record)) -> Result<(), String> {
        let mut used = 0;
        while let Some(header) = self.bytes.get(used..used + FRAME_HEADER) {
            if !header.starts_with(MAGIC) {
                return Err("no frame where one should begin".into());
            }
            let length = number(&header[12..16]) as usize;
            let start = used + FRAME_HEADER;
            let Some(records) = self.bytes.get(start..start + length) else {
                break;
            };
            take_records(records, say)?;
            used = start + length;
        }
        self.bytes.drain(..used);
        Ok(())
    }
}

/// Takes the records of a frame apart.
fn take_records(mut records: &[u8], say: &mut dyn FnMut(Record)) -> Result<(), String> {
    const SHORT: &str = "a record is cut short";

    while !records.is_empty() {
        let (header, rest) = records.split_at_checked(RECORD_HEADER).ok_or(SHORT)?;
        let length = number(&header[2..4]) as usize;
        let (body, rest) = rest.split_at_checked(length).ok_or(SHORT)?;
        if header[0] == HELLO {
            say(Record::Hello);
        }
        if matches!(header[0], OPEN | DATA | CLOSE | CONFIRM) {
            say(about(header[0], body).ok_or(SHORT)?);
        }
        records = rest;
    }
    Ok(())
}

/// Reads a record about a connection.
fn about(kind: u8, body: &[u8]) -> Option<Record> {
    const CLIENT: usize = 0;
    const SERVICE: usize = 18;
    const INCARNATION: usize = 36;
    const DATA_FLAGS: usize = 40;
    const DATA_OFFSET: usize = 44;
    const DATA_BYTES: usize = 60;
    const CONFIRM_UPTO: usize = 40;

    let name = (endpoint(body, CLIENT)?, endpoint(body, SERVICE)?);
    // CAST: four bytes.
    let incarnation = Seq(number(body.get(INCARNATION..INCARNATION + 4)?) as u32);
    let wide = |at: usize| Some(number(body.get(at..at + 8)?));
    let said = match kind {
        OPEN => Said::Open,
        DATA => {
            let offset = wide(DATA_OFFSET)?;
            let bytes = body.len().checked_sub(DATA_BYTES)? as u64;
            let fin = u64::from(body.get(DATA_FLAGS)? & 1);
            Said::Data(offset, offset.checked_add(bytes + fin)?)
        }
        CONFIRM => Said::Confirm(wide(CONFIRM_UPTO)?),
        _ => Said::Close,
    };
    Some(Record::About(name, incarnation, said))
}

/// Reads an address, in its IPv6 form, and a port.
fn endpoint(body: &[u8], at: usize) -> Option<SocketAddr> {
    let address: [u8; 16] = body.get(at..at + 16)?.try_into().ok()?;
    let v6 = Ipv6Addr::from(address);
    let ip = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4);
    // CAST: two bytes.
    Some(SocketAddr::new(
        ip,
        number(body.get(at + 16..at + 18)?) as u16,
    ))
}

/// Reads a big-endian number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}
