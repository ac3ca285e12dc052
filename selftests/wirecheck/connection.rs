// SPDX-License-Identifier: GPL-2.0

//! One connection, as its client saw it.

use std::{
    net::SocketAddr,
    time::Duration, //
};

use crate::{
    breach::Kind,
    continuity::{
        Continuity,
        Place, //
    },
    http::Responses,
    meter::{
        Meter,
        More, //
    },
    packet::{
        Flags,
        Mac,
        Segment, //
        Seq,
    },
    pcap::Time,
    speaker::{
        Speakers,
        Standing, //
    },
    store::Store,
    stream::Stream, //
};

/// What may vary from test to test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How often the word may pass from one node to another on one connection.
    pub(crate) takeovers: usize,
    /// For how long one packet of a node may overtake another.
    pub(crate) reorder: Duration,
    /// How long the client may have to wait for progress.
    pub(crate) gap: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            takeovers: 1,
            reorder: Duration::from_millis(2),
            gap: None,
        }
    }
}

/// The options of a handshake, once both sides have told theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handshake {
    isn: Seq,
    scale: Option<u8>,
    timestamps: bool,
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Who opened it.
    pub(crate) client: SocketAddr,
    /// The service.
    pub(crate) server: SocketAddr,
    /// What the client sent.
    pub(crate) input: Stream,
    /// What the server sent, once it has sent anything.
    pub(crate) output: Option<Stream>,
    /// One past the last byte that the server sent: what is sent behind a FIN that was lost stands
    /// one further on.
    bytes_end: i64,
    /// Who spoke for the server.
    pub(crate) speakers: Speakers,
    /// The wait for new bytes of the server.
    pub(crate) payload_gap: Meter,
    /// The wait for new acknowledgements of the server.
    pub(crate) ack_gap: Meter,
    /// How many acknowledged bytes of the server the capture does not hold.
    pub(crate) missed: i64,
    /// How many segments repeated, with other content, what the client had acknowledged.
    pub(crate) diverged: usize,
    /// Whether the client reset it.
    pub(crate) reset_by_client: bool,
    /// The SYN, if the capture holds it.
    syn: Option<Handshake>,
    /// The SYN-ACK, if the capture holds it.
    syn_ack: Option<Handshake>,
    continuity: Continuity,
    responses: Responses,
    store: Store,
}

/// A segment, and where it was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) segment: Segment<'a>,
    pub(crate) mac: Mac,
    pub(crate) time: Time,
    pub(crate) packet: usize,
}

impl Seen<'_> {
    /// What of the handshake a SYN tells.
    fn handshake(&self) -> Handshake {
        Handshake {
            isn: self.segment.seq,
            scale: self.segment.options.scale,
            timestamps: self.segment.options.tsval.is_some(),
        }
    }
}

impl Connection {
    /// A connection of which `seen` is the client's first segment.
    pub(crate) fn new(seen: Seen<'_>) -> Self {
        let segment = seen.segment;
        let syn = segment.flags.has(Flags::SYN);
        // Without a SYN the stream begins with the first segment that is seen of it.
        let isn = segment.seq.add(if syn { 0 } else { u32::MAX });
        Self {
            client: segment.source,
            server: segment.destination,
            input: Stream::new(isn),
            output: None,
            bytes_end: 1,
            speakers: Speakers::default(),
            payload_gap: Meter::default(),
            ack_gap: Meter::default(),
            missed: 0,
            diverged: 0,
            reset_by_client: false,
            syn: syn.then(|| seen.handshake()),
            syn_ack: None,
            continuity: Continuity::default(),
            responses: Responses::new(1),
            store: Store::default(),
        }
    }

    /// Whether a SYN opens another connection than this one.
    pub(crate) fn is_other(&self, syn: Segment<'_>) -> bool {
        self.syn.is_none_or(|known| known.isn != syn.seq)
    }

    /// The client sent a segment.
    pub(crate) fn client_sent(&mut self, seen: Seen<'_>) {
        let segment = seen.segment;
        self.reset_by_client |= segment.flags.has(Flags::RST);
        if segment.flags.has(Flags::SYN) {
            return;
        }
        let from = self.input.position(segment.seq);
        let end = from + i64::from(segment.length);
        if segment.flags.has(Flags::FIN) {
            self.input.fin = Some(end);
        }
        let fin = i64::from(segment.flags.has(Flags::FIN));
        if self.input.sent(end + fin) > 0 {
            self.ack_gap.wait(seen.time);
            if segment.length > 0 {
                let high = self.output.map_or(1, |output| output.high);
                // An upload lasts as long as it lasts; what stands still in it are acknowledgements.
                if self.responses.is_within(high) == Some(false) {
                    self.payload_gap.ask(seen.time);
                } else {
                    self.payload_gap.wait(seen.time);
                }
                self.responses.request(segment.payload);
            }
        }
        let Some(ack) = segment.ack else { return };
        // A connection that was running when the capture began: what was acknowledged is behind it.
        let output = self
            .output
            .get_or_insert_with(|| Stream::new(ack.add(u32::MAX)));
        let position = output.position(ack);
        output.acknowledged(position);
        self.missed += output.sent(position);
    }

    /// The server, or whoever speaks for it, sent a segment.
    pub(crate) fn server_sent(
        &mut self,
        seen: Seen<'_>,
        limits: &Limits,
        breach: &mut dyn FnMut(Kind, String),
    ) {
        let segment = seen.segment;
        if segment.flags.has(Flags::RST) {
            self.reset(seen, limits, breach);
            return;
        }
        let syn = segment.flags.has(Flags::SYN);
        if syn {
            self.shake(seen.handshake(), breach);
        }
        let isn = segment.seq.add(if syn { 0 } else { u32::MAX });
        let output = self.output.get_or_insert_with(|| Stream::new(isn));
        let from = output.position(segment.seq) + i64::from(syn);
        let end = from + i64::from(segment.length);
        let fin = segment.flags.has(Flags::FIN);
        let acked = output.acked;
        let ack = segment.ack.map(|ack| self.input.position(ack));

        // Bytes that the client has are a harmless duplicate, and so is an old acknowledgement.
        let speech = (segment.length > 0 && end > acked)
            || (fin && end + 1 > acked)
            || ack > self.continuity.ack();
        let takeovers = limits.takeovers;
        let standing = self
            .speakers
            .heard(seen.mac, speech, takeovers, seen.time, seen.packet);
        if standing == Standing::Intrudes {
            breach(
                Kind::SecondSpeaker,
                format!(
                    "{} speaks (bytes {from} to {end}, acknowledged by the client: {acked}) after {}",
                    seen.mac,
                    self.speakers.current().map_or(seen.mac, |last| last.mac)
                ),
            );
        }

        // A keepalive or a question for the client's position: its byte is garbage by right.
        let probe = segment.length == 1 && end <= acked;
        if !probe {
            self.compare(from, acked, segment.payload, breach);
        }
        if matches!(standing, Standing::Speaks | Standing::Newcomer) {
            // What lies before the client's place as a whole is dropped by it, and so offers nothing
            // (RFC 9293, section 3.10.7.4).
            let offers = syn || from >= acked || end > acked;
            self.continue_from(seen, ack, offers, limits, breach);
        }
        if standing == Standing::Speaks && !probe && !syn {
            self.progress(seen, from, end, breach);
        }
    }

    /// Compares bytes at position `from` with what was sent there before.
    ///
    /// What the client has acknowledged it will not take again: other bytes there are only counted.
    fn compare(
        &mut self,
        from: i64,
        acked: i64,
        payload: &[u8],
        breach: &mut dyn FnMut(Kind, String),
    ) {
        let known = usize::try_from(acked - from).unwrap_or(0);
        let (known, new) = payload.split_at(known.min(payload.len()));
        if self.store.add(from, known).is_some() {
            self.diverged += 1;
        }
        // CAST: a segment is shorter than 2^31.
        if let Some(position) = self.store.add(from + known.len() as i64, new) {
            breach(
                Kind::AlteredBytes,
                format!("byte {position} is another one than before"),
            );
        }
    }

    /// A SYN-ACK: the first one, or one that has to equal it.
    fn shake(&mut self, handshake: Handshake, breach: &mut dyn FnMut(Kind, String)) {
        let first = *self.syn_ack.get_or_insert(handshake);
        if first != handshake {
            breach(
                Kind::ChangedHandshake,
                format!("SYN-ACK {handshake:?} after {first:?}"),
            );
        }
    }

    /// A RST to the client: only one who was reset himself may send it.
    fn reset(&mut self, seen: Seen<'_>, limits: &Limits, breach: &mut dyn FnMut(Kind, String)) {
        let standing =
            self.speakers
                .heard(seen.mac, true, limits.takeovers, seen.time, seen.packet);
        if standing == Standing::Intrudes {
            breach(
                Kind::SecondSpeaker,
                format!("{} resets the connection after another took over", seen.mac),
            );
        }
        // What comes late for a connection that both have ended, and know it, earns a reset anywhere.
        let heard = self
            .input
            .fin
            .is_some_and(|fin| self.continuity.ack() > Some(fin));
        let is_over = heard && self.output.as_ref().is_some_and(Stream::is_over);
        if !self.reset_by_client && !is_over {
            breach(
                Kind::Reset,
                format!(
                    "RST from {}, sequence number {}",
                    seen.mac, seen.segment.seq.0
                ),
            );
        }
    }

    /// Compares what the server says of itself with what it said before.
    fn continue_from(
        &mut self,
        seen: Seen<'_>,
        ack: Option<i64>,
        offers: bool,
        limits: &Limits,
        breach: &mut dyn FnMut(Kind, String),
    ) {
        let place = Place {
            mac: seen.mac,
            time: seen.time,
            reorder: limits.reorder,
        };
        if let Some(ack) = ack {
            self.continuity.acknowledged(ack, place, breach);
            if let Some(scale) = self.scale(seen.segment.flags).filter(|_| offers) {
                let edge = ack + (i64::from(seen.segment.window) << scale);
                self.continuity.offered(edge, 1 << scale, place, breach);
            }
        }
        if let Some(tsval) = seen.segment.options.tsval {
            self.continuity.stamped(tsval, place, breach);
        }
    }

    /// How the server scales its window, if that is known.
    fn scale(&self, flags: Flags) -> Option<u8> {
        if flags.has(Flags::SYN) {
            return Some(0);
        }
        match (self.syn?.scale, self.syn_ack?.scale) {
            (Some(_), Some(scale)) => Some(scale),
            _ => Some(0),
        }
    }

    /// Notes how far the server has come with a segment from position `from` to `end`.
    fn progress(
        &mut self,
        seen: Seen<'_>,
        from: i64,
        end: i64,
        breach: &mut dyn FnMut(Kind, String),
    ) {
        let Some(output) = self.output.as_mut() else {
            return;
        };
        let segment = seen.segment;
        if segment.length > 0 && output.fin.is_some_and(|fin| end > fin) {
            breach(
                Kind::MovedEnd,
                format!(
                    "bytes up to {end} after a FIN at {}",
                    output.fin.unwrap_or(0)
                ),
            );
        }
        let new = output.sent(end);
        if segment.length > 0 {
            self.bytes_end = self.bytes_end.max(end);
        }
        self.responses
            .response(from, i64::from(segment.length), segment.payload);
        if segment.flags.has(Flags::FIN) {
            let asked = self.input.high > 1 && self.input.fin != Some(1);
            if output.fin.is_none() && self.responses.is_cut_off(end, asked) {
                breach(Kind::EarlyFin, format!("FIN at {end}, within a response"));
            }
            let goes_on = end < self.bytes_end || end + 1 < output.high;
            if output.fin.map_or(goes_on, |fin| end < fin) {
                breach(
                    Kind::MovedEnd,
                    format!("FIN at {end}, where the stream goes on"),
                );
            }
            output.fin.get_or_insert(end);
            output.sent(end + 1);
        }
        let more = match self.responses.is_within(output.high) {
            _ if output.fin.is_some() => More::No,
            Some(true) => More::Yes,
            Some(false) => More::No,
            None => More::Perhaps,
        };
        if new > 0 {
            self.payload_gap.progress(seen.time, seen.packet, more);
        }
        let acknowledged = segment.ack.map_or(0, |ack| {
            let position = self.input.position(ack);
            self.input.acknowledged(position)
        });
        if acknowledged > 0 {
            let more = if self.input.acked < self.input.high {
                More::Yes
            } else {
                More::No
            };
            self.ack_gap.progress(seen.time, seen.packet, more);
        }
        if let Some(speaker) = self.speakers.current() {
            speaker.sent += new;
            speaker.acknowledged += acknowledged;
        }
    }
}
