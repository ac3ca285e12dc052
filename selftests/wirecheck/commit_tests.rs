// SPDX-License-Identifier: GPL-2.0

//! An upload that is committed passes; each acknowledgement, and each confirmation, that comes too
//! early is found.

use crate::{
    breach::Kind,
    channel,
    check::{
        check,
        Findings, //
    },
    connection::Limits,
    packet::Flags,
    synth::{
        tcp,
        Capture,
        Tcp,
        A,
        B,
        C,
        CLIENT_ISN,
        SERVICE, //
    },
};

const PORT: u16 = 7789;
/// How much the client sends at once.
const BYTES: &[u8] = &[7; 100];
const END: u64 = 1 + BYTES.len() as u64;

/// Two captures made with one clock.
struct Both {
    client: Capture,
    channel: Capture,
    /// The next sequence numbers of primary and backup on the channel, close to the wrap.
    next: [u32; 2],
    frames: u32,
}

/// The kind and the body of a record about the connection of `synth`.
fn record(kind: u8, incarnation: u32, rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (host, port) in [(1, 40000_u16), (100, 80)] {
        body.extend([0; 10]);
        body.extend([0xff, 0xff, 10, 77, 0, host]);
        body.extend(port.to_be_bytes());
    }
    body.extend(incarnation.to_be_bytes());
    body.extend(rest);
    let mut record = vec![kind, 0];
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

fn open(incarnation: u32) -> Vec<u8> {
    record(4, incarnation, &[0; 30])
}

fn data(incarnation: u32, offset: u64, bytes: &[u8], fin: bool) -> Vec<u8> {
    let mut rest = vec![u8::from(fin), 0, 0, 0];
    rest.extend(offset.to_be_bytes());
    rest.extend([0; 8]);
    rest.extend(bytes);
    record(5, incarnation, &rest)
}

fn confirm(incarnation: u32, upto: u64) -> Vec<u8> {
    record(7, incarnation, &upto.to_be_bytes())
}

fn fin(segment: Tcp<'_>) -> Tcp<'_> {
    Tcp {
        flags: Flags::ACK | Flags::FIN,
        ..segment
    }
}

impl Both {
    fn new() -> Self {
        let mut both = Self {
            client: Capture::new(false, 200),
            channel: Capture::new(false, 65535),
            next: [u32::MAX - 20, u32::MAX - 300],
            frames: 0,
        };
        // The capture begins within a session, and within a frame.
        both.segment(A, b"and so on");
        both
    }

    /// A segment of the channel, by whom and with what.
    fn segment(&mut self, mac: crate::packet::Mac, payload: &[u8]) -> &mut Self {
        let from_primary = mac == A;
        let next = &mut self.next[usize::from(!from_primary)];
        let seq = *next;
        *next = next.wrapping_add(payload.len() as u32);
        self.segment_at(mac, seq, payload)
    }

    fn segment_at(&mut self, mac: crate::packet::Mac, seq: u32, payload: &[u8]) -> &mut Self {
        let (mut hosts, mut ports) = ([2, 3], [50000, PORT]);
        if mac != A {
            hosts.reverse();
            ports.reverse();
        }
        let mut packet = vec![0x45, 0];
        packet.extend((payload.len() as u16 + 40).to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        for host in hosts {
            packet.extend([10, 78, 0, host]);
        }
        for port in ports {
            packet.extend(port.to_be_bytes());
        }
        packet.extend(seq.to_be_bytes());
        packet.extend(self.next[usize::from(mac == A)].to_be_bytes());
        packet.extend([0x50, Flags::ACK, 2, 0, 0, 0, 0, 0]);
        packet.extend(payload);
        self.tick();
        self.channel.frame(mac, 0x0800, &packet);
        self
    }

    /// A millisecond passes for both, as `synth` lets pass for each segment of the client.
    fn tick(&mut self) {
        self.client.after_us(1000);
        self.channel.after_us(1000);
    }

    fn frame(&mut self, records: &[Vec<u8>]) -> Vec<u8> {
        let records = records.concat();
        let mut frame = b"TCFO\0\x01\0\0".to_vec();
        frame.extend(self.frames.to_be_bytes());
        frame.extend((records.len() as u32).to_be_bytes());
        frame.extend(records);
        self.frames += 1;
        frame
    }

    fn says(&mut self, mac: crate::packet::Mac, records: &[Vec<u8>]) -> &mut Self {
        let frame = self.frame(records);
        self.segment(mac, &frame)
    }

    fn tcp(&mut self, segment: Tcp<'_>) -> &mut Self {
        self.channel.after_us(1000);
        self.client.tcp(segment);
        self
    }

    /// A connection that was opened, and confirmed to be.
    fn opened() -> Self {
        let syn = |segment: Tcp<'static>, flags| Tcp {
            flags: Flags::SYN | flags,
            ..segment
        };
        let mut both = Self::new();
        both.tcp(syn(tcp(C, 0, 0, b""), 0));
        both.says(
            A,
            &[vec![2, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1], open(CLIENT_ISN)],
        );
        both.says(B, &[confirm(CLIENT_ISN, 1)]);
        both.tcp(syn(tcp(A, 0, 1, b""), Flags::ACK));
        both.tcp(tcp(C, 1, 1, BYTES));
        both
    }

    fn findings(&self) -> Findings {
        let events = channel::read(self.channel.file(), PORT).unwrap();
        let services = [SERVICE.parse().unwrap()];
        check(self.client.file(), &events, &services, &Limits::default()).unwrap()
    }

    /// How many breaches of input commit there are; others there must not be.
    fn breaches(&self) -> usize {
        let breaches = self.findings().breaches;
        assert!(
            breaches.iter().all(|b| b.kind == Kind::Uncommitted),
            "{breaches:?}"
        );
        breaches.len()
    }
}

fn ack(upto: u64) -> Tcp<'static> {
    tcp(A, 1, upto as i64, b"")
}

#[test]
fn what_was_confirmed_may_be_acknowledged() {
    let mut both = Both::opened();
    both.says(A, &[data(CLIENT_ISN, 1, BYTES, false)])
        .says(B, &[confirm(CLIENT_ISN, END)])
        .tcp(ack(END))
        .tcp(fin(tcp(C, END as i64, 1, b"")))
        .says(A, &[data(CLIENT_ISN, END, b"", true)])
        .says(B, &[confirm(CLIENT_ISN, END + 1)])
        .tcp(ack(END + 1));
    assert_eq!(both.breaches(), 0);
    assert_eq!(both.findings().committed, 3);
}

#[test]
fn an_acknowledgement_that_is_too_early_is_found() {
    // What was not logged, what has not come, and what was not confirmed.
    let mut never = Both::opened();
    never.tcp(ack(END));
    let mut early = Both::opened();
    early
        .tcp(ack(END))
        .says(A, &[data(CLIENT_ISN, 1, BYTES, false)])
        .says(B, &[confirm(CLIENT_ISN, END)]);
    let mut unconfirmed = Both::opened();
    unconfirmed
        .says(A, &[data(CLIENT_ISN, 1, BYTES, false)])
        .tcp(ack(END));
    for both in [never, early, unconfirmed] {
        let breaches = both.findings().breaches;
        let [breach] = &breaches[..] else {
            panic!("{breaches:?}");
        };
        assert_eq!(breach.kind, Kind::Uncommitted);
        assert_eq!(breach.packet, 4);
        assert!(breach.text.contains("acknowledges 100 more"), "{breach:?}");
    }
}

#[test]
fn one_byte_too_much_is_found() {
    let mut both = Both::opened();
    both.says(A, &[data(CLIENT_ISN, 1, BYTES, false)])
        .says(B, &[confirm(CLIENT_ISN, END - 1)])
        .tcp(ack(END - 1));
    assert_eq!(both.breaches(), 0);
    both.tcp(ack(END));
    assert_eq!(both.breaches(), 1);
}

#[test]
fn an_answer_to_the_syn_that_is_too_early_is_found() {
    let mut both = Both::new();
    both.tcp(Tcp {
        flags: Flags::SYN,
        ..tcp(C, 0, 0, b"")
    });
    both.says(A, &[open(CLIENT_ISN)]);
    both.tcp(Tcp {
        flags: Flags::SYN | Flags::ACK,
        ..tcp(A, 0, 1, b"")
    });
    assert_eq!(both.breaches(), 1);
}

#[test]
fn a_confirmation_of_nothing_is_found() {
    let mut both = Both::opened();
    both.says(B, &[confirm(CLIENT_ISN, END)]).tcp(ack(END));
    assert_eq!(both.breaches(), 1);
    // What came behind a gap does not fill it.
    let mut both = Both::opened();
    both.says(A, &[data(CLIENT_ISN, 51, &BYTES[50..], false)])
        .says(B, &[confirm(CLIENT_ISN, END)])
        .tcp(ack(END));
    assert_eq!(both.breaches(), 1);
    let mut both = Both::opened();
    both.says(A, &[data(CLIENT_ISN, 51, &BYTES[50..], false)])
        .says(A, &[data(CLIENT_ISN, 1, &BYTES[..50], false)])
        .says(B, &[confirm(CLIENT_ISN, END)])
        .tcp(ack(END));
    assert_eq!(both.breaches(), 0);
}

#[test]
fn a_log_that_begins_anew_counts_from_there() {
    let anew = CLIENT_ISN.wrapping_add(BYTES.len() as u32);
    let mut both = Both::opened();
    both.says(A, &[data(CLIENT_ISN, 1, BYTES, false)])
        .says(B, &[confirm(CLIENT_ISN, END)])
        .tcp(ack(END))
        .says(A, &[open(anew)])
        .says(B, &[confirm(anew, 1)])
        .tcp(ack(END))
        .tcp(tcp(C, END as i64, 1, BYTES))
        .says(A, &[data(anew, 1, BYTES, false)]);
    assert_eq!(both.breaches(), 0);
    let mut early = Both { ..both };
    early.tcp(ack(END + 100)).says(B, &[confirm(anew, END)]);
    assert_eq!(early.breaches(), 1);
}

#[test]
fn a_connection_that_the_backup_is_told_of_later_is_protected_once_it_has_caught_up() {
    let mut both = Both::new();
    let syn = |segment: Tcp<'static>, flags| Tcp {
        flags: Flags::SYN | flags,
        ..segment
    };
    both.tcp(syn(tcp(C, 0, 0, b""), 0))
        .tcp(syn(tcp(A, 0, 1, b""), Flags::ACK))
        .tcp(tcp(C, 1, 1, BYTES))
        .says(A, &[open(CLIENT_ISN)])
        .tcp(ack(END))
        .says(B, &[confirm(CLIENT_ISN, 1)])
        .tcp(ack(END));
    assert_eq!(both.breaches(), 0);
    let later = END as i64 + BYTES.len() as i64;
    both.says(A, &[data(CLIENT_ISN, 1, BYTES, false)])
        .says(B, &[confirm(CLIENT_ISN, END)])
        .tcp(tcp(C, END as i64, 1, BYTES))
        .tcp(ack(END));
    assert_eq!(both.breaches(), 0);
    both.tcp(ack(later as u64));
    assert_eq!(both.breaches(), 1);
}

#[test]
fn nothing_is_asked_of_what_is_not_protected() {
    // Another node has taken over, the connection was closed on the channel, or refused there, or a
    // session began.
    let mut over = Both::opened();
    over.tcp(tcp(B, 1, END as i64, b""));
    let mut closed = Both::opened();
    closed.says(A, &[record(6, CLIENT_ISN, b"")]).tcp(ack(END));
    let mut refused = Both::opened();
    refused.says(B, &[confirm(CLIENT_ISN, 0)]).tcp(ack(END));
    let mut session = Both::opened();
    session
        .says(A, &[vec![1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]])
        .tcp(ack(END));
    for both in [over, closed, refused, session] {
        assert_eq!(both.breaches(), 0);
    }
    // The primary has died before it could answer a SYN, and the other node answers it.
    let mut died = Both::opened();
    let anew = CLIENT_ISN ^ 1;
    died.says(A, &[open(anew)])
        .says(B, &[confirm(anew, 1)])
        .tcp(tcp(B, 1, END as i64, b""));
    assert_eq!(died.breaches(), 0);
    // Records of another connection of the same name say nothing.
    let mut other = Both::opened();
    other
        .says(A, &[record(6, CLIENT_ISN ^ 1, b"")])
        .says(B, &[confirm(CLIENT_ISN ^ 1, 0)])
        .tcp(ack(END));
    assert_eq!(other.breaches(), 1);
}

#[test]
fn frames_are_put_together_from_segments_in_any_order() {
    let mut both = Both::opened();
    let frame = both.frame(&[data(CLIENT_ISN, 1, BYTES, false)]);
    let seq = both.next[0];
    both.next[0] = seq.wrapping_add(frame.len() as u32);
    let at = |n: usize| seq.wrapping_add(n as u32);
    both.segment_at(A, at(40), &frame[40..90])
        .segment_at(A, at(10), &frame[10..60])
        .segment_at(A, at(0), &frame[..15]);
    let incomplete = Both {
        client: both.client.clone(),
        channel: both.channel.clone(),
        ..both
    };
    // The last byte makes it complete.
    both.segment_at(A, at(0), &frame)
        .says(B, &[confirm(CLIENT_ISN, END)])
        .tcp(ack(END));
    assert_eq!(both.breaches(), 0);
    let mut both = incomplete;
    both.segment_at(A, at(90), &frame[90..frame.len() - 1])
        .says(B, &[confirm(CLIENT_ISN, END)])
        .tcp(ack(END));
    assert_eq!(both.breaches(), 1);
}

#[test]
fn what_cannot_be_read_is_said() {
    let mut both = Both::opened();
    both.segment(A, b"this is no frame, or is it");
    assert!(channel::read(both.channel.file(), PORT).is_err());
    let mut short = Both {
        channel: Capture::new(false, 100),
        ..Both::new()
    };
    short.says(A, &[data(CLIENT_ISN, 1, BYTES, false)]);
    assert!(channel::read(short.channel.file(), PORT).is_err());
    // Another port is nothing of the channel's.
    assert!(channel::read(short.channel.file(), 80).unwrap().is_empty());
    assert!(channel::read(b"", PORT).is_err());
}

#[test]
fn a_packet_that_the_channels_capture_has_missed_is_not_waited_for() {
    let heartbeat = vec![2, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut both = Both::opened();
    both.says(A, &[data(CLIENT_ISN, 1, BYTES, false)]);
    let missed = both.frame(&[heartbeat]);
    both.next[1] = both.next[1].wrapping_add(missed.len() as u32);
    both.says(B, &[confirm(CLIENT_ISN, END)]);
    // The other side has all of it, so it did come.
    both.segment(A, b"").tcp(ack(END));
    assert_eq!(both.breaches(), 0);
}

#[test]
fn no_cut_of_the_channels_capture_brings_it_down() {
    let mut both = Both::opened();
    both.says(A, &[data(CLIENT_ISN, 1, BYTES, true)]);
    let file = both.channel.file();
    for length in 0..file.len() {
        let _ = channel::read(&file[..length], PORT);
    }
}
