// SPDX-License-Identifier: GPL-2.0

//! Connections that this node serves: logged to the backup, and their acknowledgements held back
//! until it has confirmed.

mod safe_point;

use crate::{
    channel::log::Payload,
    flow::{
        tracker::{
            Inbound,
            Outbound,
            Piece,
            Release,
            Tracker, //
        },
        watch::Watch, //
    },
    kapi::{
        net::{
            netfilter::Verdict,
            skbuff::Held,
            tcp::{
                Request,
                RequestFields,
                Sender, //
            }, //
        },
        time, //
    },
    service::{
        hooks::Segment,
        Flow,
        FlowRef,
        FlowState,
        Service, //
    },
    stats::Stats,
    wire::{
        frame::WireError,
        key::Key,
        record::{
            self,
            data,
            open,
            place, //
        },
        segment::flags,
        seq::Seq, //
    },
};
use kernel::prelude::*;

/// A connection that is logged.
pub(crate) struct Tracked {
    tracker: Tracker,
    /// The session in which it was opened: in another one the backup knows nothing of it.
    session: u32,
    /// What waits for the backup: the SYN-ACK, an acknowledgement, or the last segment.
    kept: Option<Held>,
    /// When the SYN was answered, in jiffies.
    began: u64,
    /// Whether the backup knows of the connection.
    is_open: bool,
}

/// Why a connection is not, or no longer, protected.
#[derive(Clone, Copy)]
enum Reason {
    Unlogged,
    NoBackup,
    Special,
    Session,
    Log,
    Refused,
    Late,
    Urgent,
}

impl Reason {
    /// Counts it.
    fn count(self, stats: &Stats) {
        stats.connections_unprotected.inc();
        match self {
            Self::Unlogged => &stats.unprotected_unlogged,
            Self::NoBackup => &stats.unprotected_no_backup,
            Self::Special => &stats.unprotected_special,
            Self::Session => &stats.unprotected_session,
            Self::Log => &stats.unprotected_log,
            Self::Refused => &stats.unprotected_refused,
            Self::Late => &stats.unprotected_late,
            Self::Urgent => &stats.unprotected_urgent,
        }
        .inc();
    }
}

impl Tracked {
    /// Takes what is kept, if it may be sent: the SYN-ACK, or the newest segment.
    fn take_kept(&mut self) -> Option<Held> {
        let fresh = !self.is_open || self.tracker.keeps();
        self.kept.take().filter(|_| fresh)
    }
}

/// Where the acknowledgement number stands in a TCP header.
const ACK: usize = 8;
/// Where the word with the window stands in a TCP header: length, flags, window.
const WINDOW_WORD: usize = 12;

/// Returns the word of a TCP header that has the window in it.
fn window_word(segment: &Segment<'_>) -> Result<[u8; 4]> {
    let at = segment.tcp + WINDOW_WORD;
    let word = segment
        .packet
        .data()
        .get(at..)
        .and_then(<[u8]>::first_chunk);
    word.copied().ok_or(EINVAL)
}

/// Gives a segment other acknowledgement and window than its own.
pub(crate) fn rewrite_ack(segment: &mut Segment<'_>, ack: Seq, window: u16) -> Result {
    let [length, flags, _, _] = window_word(segment)?;
    let [high, low] = window.to_be_bytes();
    let tcp = segment.tcp;
    segment
        .packet
        .rewrite_tcp(tcp, ACK, ack.raw().to_be_bytes())?;
    segment
        .packet
        .rewrite_tcp(tcp, WINDOW_WORD, [length, flags, high, low])
}

/// Gives a segment other flags than its own.
pub(crate) fn rewrite_flags(segment: &mut Segment<'_>, flags: u8) -> Result {
    let [length, _, high, low] = window_word(segment)?;
    let tcp = segment.tcp;
    segment
        .packet
        .rewrite_tcp(tcp, WINDOW_WORD, [length, flags, high, low])
}

/// A segment of the service that belongs to no connection known: a SYN-ACK begins one.
pub(crate) fn outbound_unknown(service: &Service, mut segment: Segment<'_>) -> Verdict {
    let header = &segment.header;
    if header.has(flags::SYN | flags::ACK) {
        return syn_ack(service, segment);
    }
    // A connection that was there before the module, or before there was room for it. It is noted
    // once, so that the backup knows that it could not carry it on.
    if !header.any(flags::RST) && Sender::of(&mut segment.packet).is_some() {
        let key = service.key_of(&segment.client);
        unprotected(service, &key, Reason::Unlogged);
    }
    segment.packet.accept()
}

/// Notes a connection that is not protected.
fn unprotected(service: &Service, key: &Key, reason: Reason) {
    match service.add(key, FlowState::Unprotected(Watch::default())) {
        Ok(_) => reason.count(&service.node.stats),
        Err(_) => service.count_unnoted(),
    }
}

/// A client's SYN is being answered: log that, and have the answer wait until the backup knows.
fn syn_ack(service: &Service, segment: Segment<'_>) -> Verdict {
    let key = service.key_of(&segment.client);
    // A cookie is not a connection yet. If it becomes one, that is noted when it first sends.
    let Some(Request(request)) = Request::of(&segment.packet) else {
        return segment.packet.accept();
    };
    let reason = if request.special || segment.options().signed {
        Some(Reason::Special)
    } else if !service.is_known_to_peer() {
        Some(Reason::NoBackup)
    } else {
        None
    };
    if let Some(reason) = reason {
        unprotected(service, &key, reason);
        return segment.packet.accept();
    }
    let tracked = Tracked {
        tracker: Tracker::new(
            Seq::new(request.irs),
            Seq::new(request.iss),
            request.wscale,
            request.window,
        ),
        session: service.node.channel.session(),
        kept: None,
        began: time::jiffies(),
        is_open: false,
    };
    let Ok(flow) = service.add(&key, FlowState::Tracked(tracked)) else {
        service.count_unnoted();
        return segment.packet.accept();
    };
    // The record goes out under the lock: whoever confirms it finds the packet.
    let mut state = flow.state.lock();
    let opened = open_record(&key, &request);
    if service.node.channel.log.append(&opened, None).is_err() {
        if matches!(&*state, FlowState::Tracked(_)) {
            *state = FlowState::Unprotected(Watch::default());
            end_protection(service, Reason::Log);
        }
        drop(state);
        return segment.packet.accept();
    }
    service.node.stats.connections_protected.inc();
    let FlowState::Tracked(tracked) = &mut *state else {
        return segment.packet.accept();
    };
    if !service.node.channel.is_backed() {
        return segment.packet.accept();
    }
    let (held, verdict) = segment.packet.keep();
    tracked.kept = Some(held);
    service.node.stats.synacks_held.inc();
    verdict
}

fn open_record(key: &Key, request: &RequestFields) -> record::Open {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    record::Open {
        key: *key,
        incarnation: request.irs.into(),
        iss: request.iss.into(),
        flags: flag(request.wscale_ok, open::WSCALE)
            | flag(request.tstamp_ok, open::TIMESTAMPS)
            | flag(request.sack_ok, open::SACK)
            | flag(request.usec_ts, open::TS_USEC)
            | flag(request.ecn_ok, open::ECN),
        client_wscale: request.client_wscale,
        service_wscale: request.wscale,
        reserved: 0,
        client_mss: request.client_mss.into(),
        window: request.window.into(),
        client_tsval: request.client_tsval.into(),
        service_tsval: request.tsval.into(),
        clock_ms: time::now_ms().into(),
    }
}

/// A segment of a client, with bytes or a flag that matters.
pub(crate) fn inbound(service: &Service, flow: &FlowRef, mut segment: Segment<'_>) -> Verdict {
    // A segment with a wrong checksum is dropped by TCP: it must not be logged either.
    let tcp = segment.tcp;
    if !segment.packet.tcp_checksum_ok(tcp) {
        return segment.packet.accept();
    }
    if service.has_safe_points() && segment.len > 0 {
        safe_point::look(service, flow, &segment);
    }
    let tsval = segment.options().timestamps.map(|ts| ts.val);
    let mut state = flow.state.lock();
    let FlowState::Tracked(tracked) = &mut *state else {
        return segment.packet.accept();
    };
    let verdict = tracked.tracker.inbound(&segment.header, segment.len, tsval);
    let Inbound::Log(piece) = verdict else {
        return segment.packet.accept();
    };
    let reason = if segment.header.has(flags::URG) {
        // It is not what it seems in a stream, and the server may not see it where it stands.
        Reason::Urgent
    } else if tracked.session != service.node.channel.session() {
        Reason::Session
    } else if log(service, &flow.key, tracked, &segment, &piece).is_err() {
        Reason::Log
    } else {
        tracked.tracker.logged(&piece, tsval);
        service.node.stats.bytes_logged.add(piece.len as u64);
        return segment.packet.accept();
    };
    // The segment itself is received all the same: only the protection ends.
    let leftover = give_up(service, &flow.key, &mut state, reason);
    drop(state);
    leftover.send(service);
    segment.packet.accept()
}

/// Appends the records of a piece to the log, as many as it takes.
fn log(
    service: &Service,
    key: &Key,
    tracked: &mut Tracked,
    segment: &Segment<'_>,
    piece: &Piece,
) -> Result {
    let right_edge = tracked.tracker.edge_to_tell(piece);
    let mut done = 0;
    loop {
        let len = (piece.len - done).min(record::MAX_DATA);
        let last = done + len == piece.len;
        let body = record::Data {
            key: *key,
            incarnation: tracked.tracker.incarnation().into(),
            flags: if last && piece.fin { data::FIN } else { 0 },
            reserved: [0; 3],
            // CAST: Widening.
            offset: (piece.offset + done as u64).into(),
            right_edge: right_edge.into(),
        };
        let payload = Payload {
            skb: &segment.packet,
            offset: segment.payload() + piece.skip + done,
            len,
        };
        service.node.channel.log.append(&body, Some(payload))?;
        done += len;
        if last {
            return Ok(());
        }
    }
}

/// A segment of the service.
pub(crate) fn outbound(service: &Service, flow: &FlowRef, mut segment: Segment<'_>) -> Verdict {
    if segment.header.has(flags::SYN) {
        return syn_ack_again(service, flow, segment);
    }
    let mut state = flow.state.lock();
    if let FlowState::Unprotected(watch) = &mut *state {
        watch.outbound(&segment.header, segment.len);
    }
    let FlowState::Tracked(tracked) = &mut *state else {
        return segment.packet.accept();
    };
    if tracked.session != service.node.channel.session() {
        tracked
            .tracker
            .outbound_unprotected(&segment.header, segment.len);
        let leftover = give_up(service, &flow.key, &mut state, Reason::Session);
        drop(state);
        leftover.send(service);
        return segment.packet.accept();
    }
    if !service.node.channel.is_backed() {
        tracked
            .tracker
            .outbound_unprotected(&segment.header, segment.len);
        let kept = tracked.kept.take();
        drop(state);
        drop(kept);
        return segment.packet.accept();
    }
    let has_sack = segment.len == 0 && segment.options().sack;
    let now = (time::jiffies(), service.patience());
    let verdict = tracked
        .tracker
        .outbound(&segment.header, segment.len, has_sack, now);
    let reason = match verdict {
        Outbound::GiveUp => Some(Reason::Late),
        _ if tell_place(service, &flow.key, tracked).is_err() => Some(Reason::Log),
        _ => None,
    };
    if let Some(reason) = reason {
        let leftover = give_up(service, &flow.key, &mut state, reason);
        drop(state);
        // What was kept is older than this segment, and says less.
        drop(leftover);
        return segment.packet.accept();
    }
    if verdict == Outbound::Keep {
        service.node.stats.acks_kept.inc();
        let (held, verdict) = segment.packet.keep();
        let replaced = tracked.kept.replace(held);
        drop(state);
        drop(replaced);
        return verdict;
    }
    drop(state);
    match verdict {
        Outbound::Pass | Outbound::GiveUp => segment.packet.accept(),
        Outbound::Keep | Outbound::Absorb => segment.packet.absorb(),
        Outbound::Clamp { ack, window } => {
            // A segment that cannot be rewritten must not leave; TCP sends it again.
            if rewrite_ack(&mut segment, ack, window).is_err() {
                return segment.packet.absorb();
            }
            service.node.stats.acks_clamped.inc();
            segment.packet.accept()
        }
    }
}

/// Tells the backup how far the service has come, if that is due.
fn tell_place(service: &Service, key: &Key, tracked: &mut Tracked) -> Result {
    let Some(sent) = tracked.tracker.place_to_tell() else {
        return Ok(());
    };
    let place = record::Place {
        key: *key,
        incarnation: tracked.tracker.incarnation().into(),
        sent: sent.into(),
        ..Default::default()
    };
    service.node.channel.log.append(&place, None)?;
    tracked.tracker.place_told(false);
    Ok(())
}

/// Returns whether a connection seems to be at rest, as it was when this was last asked.
pub(crate) fn settles(flow: &Flow) -> bool {
    match &mut *flow.state.lock() {
        FlowState::Tracked(tracked) => tracked.tracker.settles(),
        _ => false,
    }
}

/// Tells the backup that nothing is under way on a connection, if that is so. Process context.
pub(crate) fn note_rest(service: &Service, flow: &FlowRef) {
    let Some(socket) = service.socket_of(&flow.key) else {
        return;
    };
    // With the socket locked nothing is sent or taken in.
    socket.if_quiet(|quiet| {
        let mut state = flow.state.lock();
        let FlowState::Tracked(tracked) = &mut *state else {
            return;
        };
        let tracker = &mut tracked.tracker;
        let current = tracked.session == service.node.channel.session();
        if !current || tracker.service_seq() != Seq::new(quiet.snd_nxt) || !tracker.settles() {
            return;
        }
        let place = record::Place {
            key: flow.key,
            incarnation: tracker.incarnation().into(),
            flags: place::AT_REST,
            sent: tracker.place().into(),
            window: quiet.window.into(),
            ..Default::default()
        };
        if service.node.channel.log.append(&place, None).is_ok() {
            tracker.place_told(true);
            service.node.stats.rests.inc();
        }
    });
}

/// A SYN-ACK of a connection that is known: sent again, or for a new connection of the same name.
fn syn_ack_again(service: &Service, flow: &FlowRef, segment: Segment<'_>) -> Verdict {
    let mut state = flow.state.lock();
    if let FlowState::Tracked(tracked) = &*state {
        // The acknowledgement number of a SYN-ACK is that of the SYN, plus 1.
        let same = segment.header.ack == Seq::new(tracked.tracker.incarnation()).add(1);
        let current = tracked.session == service.node.channel.session();
        if same && !tracked.is_open && current && service.node.channel.is_backed() {
            let waited = time::jiffies().saturating_sub(tracked.began);
            if waited <= service.patience() {
                drop(state);
                return segment.packet.absorb();
            }
            drop(give_up(service, &flow.key, &mut state, Reason::Late));
        }
        if same {
            drop(state);
            return segment.packet.accept();
        }
    }
    drop(state);
    closed(service, flow);
    syn_ack(service, segment)
}

/// The backup has confirmed what it holds of a connection.
pub(crate) fn confirmed(service: &Service, confirm: &record::Confirm) -> Result<(), WireError> {
    let Some(flow) = service.find(&confirm.key) else {
        return Ok(());
    };
    let mut state = flow.state.lock();
    let FlowState::Tracked(tracked) = &mut *state else {
        return Ok(());
    };
    if tracked.tracker.incarnation() != confirm.incarnation.get() {
        return Ok(());
    }
    let upto = confirm.upto.get();
    if upto == 0 {
        let leftover = give_up(service, &flow.key, &mut state, Reason::Refused);
        drop(state);
        leftover.finish(service, &flow);
        return Ok(());
    }
    let release = tracked.tracker.confirm(upto).ok_or(WireError::BadValue)?;
    // The SYN-ACK, or what the tracker has just released.
    let sendable = !tracked.is_open || release == Release::Kept;
    let leftover = Leftover {
        kept: tracked.kept.take_if(|_| sendable),
        ack: release == Release::Partly,
    };
    tracked.is_open = true;
    drop(state);
    leftover.finish(service, &flow);
    Ok(())
}

/// What a connection has held back.
struct Leftover {
    kept: Option<Held>,
    /// Whether an acknowledgement is owed.
    ack: bool,
}

impl Leftover {
    /// Sends what may be sent from within a hook. The owed acknowledgement goes with whatever the
    /// socket sends next, and at the latest when the client asks for it by sending again.
    fn send(self, service: &Service) {
        // It is past the hooks, which would not let it leave from a node that is silent.
        let may_speak = service.speaks() && !service.is_muted();
        if let Some(kept) = self.kept.filter(|_| may_speak) {
            kept.send(&service.node.net);
        }
    }

    /// Sends everything. May sleep.
    fn finish(self, service: &Service, flow: &Flow) {
        service
            .node
            .stats
            .acks_released
            .add(u64::from(self.ack || self.kept.is_some()));
        if self.ack {
            if let Some(socket) = service.socket_of(&flow.key) {
                socket.send_ack();
            }
        }
        self.send(service);
    }
}

/// Has the backup forget a connection, if it knows of it.
fn tell_closed(service: &Service, key: &Key, tracked: &Tracked) {
    if tracked.session == service.node.channel.session() {
        let close = record::Close {
            key: *key,
            incarnation: tracked.tracker.incarnation().into(),
        };
        let node = &service.node;
        node.channel.append_or_fail(&close, &node.desk);
    }
}

/// Counts a connection that was protected until now.
fn end_protection(service: &Service, reason: Reason) {
    service.count_unprotected();
    reason.count(&service.node.stats);
}

/// A connection is served here that was not logged. The caller has made it an unprotected one.
pub(crate) fn not_logged(service: &Service) {
    end_protection(service, Reason::Unlogged);
}

/// Ends the protection of a connection, and returns what it has held back.
fn give_up(service: &Service, key: &Key, state: &mut FlowState, reason: Reason) -> Leftover {
    let mut leftover = Leftover {
        kept: None,
        ack: false,
    };
    if let FlowState::Tracked(tracked) = state {
        tell_closed(service, key, tracked);
        leftover.kept = tracked.take_kept();
        leftover.ack = leftover.kept.is_none() && tracked.tracker.holds_back();
        *state = FlowState::Unprotected(Watch::default());
        end_protection(service, reason);
    }
    leftover
}

/// The backup is silent: what waits for it need not wait any longer. May sleep.
pub(crate) fn let_go(service: &Service, flow: &FlowRef) {
    let mut state = flow.state.lock();
    let FlowState::Tracked(tracked) = &mut *state else {
        return;
    };
    let kept = tracked.take_kept();
    let leftover = Leftover {
        ack: kept.is_none() && tracked.tracker.holds_back(),
        kept,
    };
    drop(state);
    leftover.finish(service, flow);
}

/// Ends the protection of a connection that was logged in another session than the present one. May
/// sleep.
pub(crate) fn release_stale(service: &Service, flow: &FlowRef) {
    let session = service.node.channel.session();
    let mut state = flow.state.lock();
    if matches!(&*state, FlowState::Tracked(tracked) if tracked.session != session) {
        let leftover = give_up(service, &flow.key, &mut state, Reason::Session);
        drop(state);
        leftover.finish(service, flow);
    }
}

/// Ends the protection of a connection because nobody logs it any more. May sleep.
pub(crate) fn release(service: &Service, flow: &FlowRef) {
    let leftover = give_up(service, &flow.key, &mut flow.state.lock(), Reason::NoBackup);
    leftover.finish(service, flow);
}

/// Returns whether a connection is one that ends when its socket does.
pub(crate) fn is_served_here(flow: &Flow) -> bool {
    matches!(
        &*flow.state.lock(),
        FlowState::Tracked(_) | FlowState::Unprotected(_)
    )
}

/// A connection has ended: forget it, and have the backup forget it.
pub(crate) fn closed(service: &Service, flow: &FlowRef) {
    let state = flow.state.lock();
    if let FlowState::Tracked(tracked) = &*state {
        tell_closed(service, &flow.key, tracked);
    }
    drop(state);
    service.node.stats.connections_closed.inc();
    service.forget(flow);
}
