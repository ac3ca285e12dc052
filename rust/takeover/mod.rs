// SPDX-License-Identifier: GPL-2.0

//! Carrying on the connections of a dead peer.
//!
//! Each connection goes through the handshake of its client once more: the SYN is injected, the
//! listener answers, the connection request behind the SYN-ACK gets the numbers that the client
//! knows, and the client's acknowledgement is injected. What comes out is a socket like any other,
//! accepted by an unmodified server. From there on [`Restore`] says what is to be done; this module
//! does it.
//!
//! The director drives it with [`advance`]; the hooks call [`inbound`] and [`outbound`] for the
//! connections that are on their way.

mod inject;
mod report;

use crate::{
    backup::{
        Input,
        Replica, //
    },
    flow::{
        restore::{
            Child,
            Phase,
            Restore, //
        },
        watch::Watch, //
    },
    kapi::{
        net::{
            netfilter::Verdict,
            tcp::{
                Locked,
                Request,
                RequestFields,
                Sender, //
            }, //
        },
        time, //
    },
    primary::{
        self,
        rewrite_ack, //
    },
    service::{
        hooks::Segment,
        FlowRef,
        FlowState,
        Service, //
    },
    wire::{
        record::{
            open,
            Open, //
        },
        segment::flags, //
    },
};
use core::mem;
use inject::Injection;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Mutex, //
    }, //
};
pub(crate) use report::{
    Report,
    ATTRIBUTES as REPORT_ATTRIBUTES, //
};

/// How many connections make progress at the same time: as few as keep the node busy, so that the
/// first are done early and not all of them late.
const AT_ONCE: usize = 32;
/// After how long without progress a connection, whose client may be gone, makes room for another
/// one, in milliseconds.
const STALLED_MS: u64 = 100;
/// How many segments of input a connection is fed in one turn.
const FEED_SEGMENTS: u32 = 16;
/// How long to wait for an answer to what was injected, in milliseconds.
const RETRY_MS: u64 = 20;
/// How long to wait for the client's answer to the question where it is, in milliseconds.
const ASK_AGAIN_MS: u64 = 100;
/// How long to wait for the child to take what it was fed, in milliseconds.
const FEED_AGAIN_MS: u64 = 300;
/// How far the service's timestamps jump ahead, in milliseconds, so that they surely do not go
/// back: more than any record is under way.
const TIMESTAMP_MARGIN_MS: u64 = 100;
/// The congestion window of a connection that has just been spliced, in segments: the initial one
/// of RFC 6928.
const INITIAL_CWND: u32 = 10;
/// The congestion window while the client has what is sent already, in segments: what is absorbed
/// here burdens no network.
const FAST_FORWARD_CWND: u32 = 1000;
/// How often the handshake is ended with an acknowledgement that has no data.
const PLAIN_ATTEMPTS: u32 = 2;
/// How much data goes with it after that, in bytes: less than any segment may have.
const DEFERRED_BYTES: u64 = 512;
/// The largest window that a SYN-ACK can offer, in bytes: what was offered beyond that at a safe
/// point is offered again when client and child are spliced.
const MAX_FIRST_WINDOW: u32 = 65535;
/// Where the sequence number stands in a TCP header.
const SEQ: usize = 4;

/// A connection that is being carried on.
pub(crate) struct Restoring {
    machine: Restore,
    input: Input,
    open: Open,
    /// The client's last timestamp that is known.
    client_tsval: u32,
    /// The child's last timestamp.
    child_tsval: u32,
    /// When to try again, on the monotonic clock in milliseconds.
    retry_ms: u64,
    /// When it last came further, or the server had reason to keep it waiting.
    alive_ms: u64,
    /// The machine's progress, and when it was last seen to change.
    progress: u64,
    moved_ms: u64,
    /// How long it may stand still, in milliseconds.
    hold_ms: u64,
    /// How often the handshake was ended.
    attempts: u32,
    /// Whether the client has said that it does not know of the connection.
    is_given_up: bool,
}

impl Restoring {
    fn new(replica: Replica, now_ms: u64, hold_ms: u64) -> Self {
        Self {
            machine: Restore::new(&replica.open, replica.right_edge),
            input: replica.input,
            client_tsval: replica.open.client_tsval.get(),
            child_tsval: 0,
            open: replica.open,
            retry_ms: 0,
            progress: 0,
            moved_ms: now_ms,
            alive_ms: now_ms,
            hold_ms,
            attempts: 0,
            is_given_up: false,
        }
    }

    fn has_timestamps(&self) -> bool {
        self.open.flags & open::TIMESTAMPS != 0
    }

    /// Returns the window that the child offers at least, in bytes.
    fn first_window(&self) -> u32 {
        self.open.window.get().min(MAX_FIRST_WINDOW)
    }

    /// Returns what the connection request behind the child has to say.
    fn request(&self, service: &Service) -> RequestFields {
        let elapsed_ms = service
            .node
            .peer_clock_ms()
            .wrapping_sub(self.open.clock_ms.get())
            .wrapping_add(TIMESTAMP_MARGIN_MS);
        let ticks = if self.open.flags & open::TS_USEC != 0 {
            elapsed_ms.wrapping_mul(1000)
        } else {
            elapsed_ms
        };
        RequestFields {
            iss: self.open.iss.get(),
            wscale: self.open.service_wscale,
            window: self.first_window(),
            // CAST: Timestamps wrap.
            tsval: self.open.service_tsval.get().wrapping_add(ticks as u32),
            ..Default::default()
        }
    }
}

/// The takeover of a service.
#[pin_data]
pub(crate) struct Takeover {
    /// The connections that have not come to their end yet. The first [`AT_ONCE`] are under way.
    #[pin]
    queue: Mutex<KVVec<FlowRef>>,
    /// Whether there are any.
    going_on: Atomic<u32>,
}

impl Takeover {
    /// Creates a takeover that does not go on.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            queue <- new_mutex!(KVVec::new(), "Takeover::queue"),
            going_on: Atomic::new(0),
        })
    }

    /// Returns whether connections are being carried on. Callable from any context.
    pub(crate) fn is_going_on(&self) -> bool {
        self.going_on.load(Acquire) != 0
    }

    /// Begins to carry on all connections of `service`. May sleep.
    pub(crate) fn collect(&self, service: &Service) {
        let all = service.collect();
        self.going_on.store(u32::from(!all.is_empty()), Release);
        *self.queue.lock() = all;
    }
}

/// Ends a takeover that is going on: the connections that have not come to their end cannot be
/// carried on any more. Waits for the director to be done with them. May sleep.
pub(crate) fn abandon(service: &Service) {
    let left = mem::take(&mut *service.takeover.queue.lock());
    service.takeover.going_on.store(0, Release);
    for flow in left {
        fail(service, &flow);
    }
}

/// What has become of a connection in its turn.
enum Turn {
    /// It is to have another turn then, on the monotonic clock in milliseconds.
    Again(u64),
    /// The same, but it has not come any further for a while.
    Stalled(u64),
    /// It is spliced.
    Done,
    /// It cannot be carried on.
    Failed,
    /// The client does not know of it.
    Vanished,
}

/// Gives each connection that is under way its turn, and returns when the next one is due. Process
/// context; may sleep.
pub(crate) fn advance(service: &Service) -> u64 {
    if !service.takeover.is_going_on() {
        return u64::MAX;
    }
    let mut next = u64::MAX;
    // Held for the whole round, so that nobody ends the takeover in the midst of it.
    let mut queue = service.takeover.queue.lock();
    let mut under_way = 0;
    queue.retain(|flow| {
        if under_way == AT_ONCE {
            return true;
        }
        match turn(service, flow) {
            Turn::Again(at) => {
                next = next.min(at);
                under_way += 1;
                true
            }
            Turn::Stalled(at) => {
                next = next.min(at);
                true
            }
            Turn::Done => false,
            Turn::Failed => {
                fail(service, flow);
                false
            }
            Turn::Vanished => {
                vanish(service, flow);
                false
            }
        }
    });
    if queue.is_empty() && service.takeover.is_going_on() {
        service.takeover.going_on.store(0, Release);
        service.report.end(service);
    }
    next
}

/// Splices client and child, if they are still level: the connection is an ordinary one of this
/// node from then on. Returns whether it is.
fn splice(service: &Service, flow: &FlowRef) -> bool {
    // A connection that has come to its own end meanwhile has no socket any more.
    let Some(socket) = service.socket_of(&flow.key) else {
        return splice_locked(service, flow, None);
    };
    let spliced = socket.with_lock(|socket| {
        // With the socket locked nothing leaves it in between.
        let spliced = splice_locked(service, flow, Some(socket));
        if spliced {
            // What the client has sent in vain it sends again only when its timer says so, unless
            // it hears how far its node has come.
            socket.send_ack();
        }
        spliced
    });
    spliced.unwrap_or(false)
}

/// Splices if client and child are level, and returns whether they are.
fn splice_locked(service: &Service, flow: &FlowRef, socket: Option<&Locked>) -> bool {
    let mut state = flow.state.lock();
    let FlowState::Restoring(restoring) = &mut *state else {
        return false;
    };
    if !restoring.machine.is_level(restoring.input.end()) {
        return false;
    }
    if let Some(socket) = socket {
        socket.extend_window(restoring.machine.right_edge().raw());
        socket.limit_cwnd(INITIAL_CWND);
    }
    restoring.machine.splice();
    let absorbed = restoring.machine.absorbed();
    // Its log was the peer's: from here on it is a connection like one from before the module.
    *state = FlowState::Unprotected(Watch::default());
    primary::not_logged(service);
    drop(state);
    service.node.stats.bytes_absorbed.add(absorbed);
    service.node.stats.connections_restored.inc();
    service.report.restored(absorbed);
    true
}

/// The connection cannot be carried on: reset it, where the client can see it.
fn fail(service: &Service, flow: &FlowRef) {
    service.node.stats.connections_failed.inc();
    service.report.failed();
    if let Some(stray) = end(service, flow) {
        // The child's own reset would not be believed: it is not where the client is. The stack
        // answers a segment of a connection that it does not know with one that is.
        let _ = stray.receive(service, &flow.key);
    }
}

/// The client does not know of the connection any more, or not yet: it is as if it had never been.
fn vanish(service: &Service, flow: &FlowRef) {
    service.node.stats.connections_closed.inc();
    end(service, flow);
}

/// Ends the restoration and the child, of which the client does not hear. Returns a segment of the
/// client, if it was heard.
fn end(service: &Service, flow: &FlowRef) -> Option<Injection> {
    let mut stray = None;
    if let FlowState::Restoring(restoring) = &mut *flow.state.lock() {
        restoring.machine.end();
        stray = restoring.stray();
    }
    if let Some(socket) = service.socket_of(&flow.key) {
        // If it was closed meanwhile that is as good.
        let _ = socket.abort();
    }
    service.forget(flow);
    stray
}

/// What is to be done outside the lock.
enum Step {
    /// Inject, and see what comes of it.
    Inject(Injection, u64),
    /// Look for the child.
    FindChild(Injection),
    /// Have the child ask the client where it is; and whether it has been asked for a while.
    Ask(u64, bool),
    /// Splice client and child.
    Splice(u64),
    /// Nothing before then; and whether that has been so for a while.
    Wait(u64, bool),
    /// It has come to its end already.
    Over,
    Failed,
    Vanished,
}

/// Does what is due for one connection.
fn turn(service: &Service, flow: &FlowRef) -> Turn {
    let mut fed = 0;
    loop {
        let now_ms = time::now_ms();
        match step(service, flow, now_ms) {
            Step::Inject(injection, again_ms) => {
                let injected = injection.receive(service, &flow.key);
                fed += 1;
                // Out of memory, or the turn is over: later.
                if injected.is_err() || fed > FEED_SEGMENTS {
                    return Turn::Again(again_ms);
                }
            }
            Step::FindChild(injection) => {
                // Nothing comes of it if there is no memory, and it is tried again.
                let _ = injection.receive(service, &flow.key);
                if !find_child(service, flow) {
                    return Turn::Again(now_ms + RETRY_MS);
                }
            }
            Step::Ask(again_ms, stalled) => {
                if let Some(socket) = service.socket_of(&flow.key) {
                    socket.send_ack();
                }
                return if stalled {
                    Turn::Stalled(again_ms)
                } else {
                    Turn::Again(again_ms)
                };
            }
            Step::Over => return Turn::Done,
            Step::Wait(until_ms, false) => return Turn::Again(until_ms),
            Step::Wait(until_ms, true) => return Turn::Stalled(until_ms),
            Step::Splice(again_ms) if !splice(service, flow) => return Turn::Again(again_ms),
            Step::Splice(_) => return Turn::Done,
            Step::Failed => return Turn::Failed,
            Step::Vanished => return Turn::Vanished,
        }
    }
}

/// Says what is to be done next for one connection.
fn step(service: &Service, flow: &FlowRef, now_ms: u64) -> Step {
    let mut state = flow.state.lock();
    if matches!(*state, FlowState::Replica(_)) {
        if let Err(e) = begin(service, &mut state, now_ms) {
            pr_debug!("{}: {e:?} on restoring a connection\n", &*service.name);
            return Step::Failed;
        }
    }
    let FlowState::Restoring(restoring) = &mut *state else {
        return Step::Over;
    };
    if restoring.is_given_up {
        return Step::Vanished;
    }
    restoring.note_progress(now_ms);
    if now_ms - restoring.alive_ms >= restoring.hold_ms {
        return Step::Failed;
    }
    restoring.step(now_ms)
}

/// Turns a replica into a connection that is being carried on.
fn begin(service: &Service, state: &mut FlowState, now_ms: u64) -> Result {
    let room = KBox::<Restoring>::new_uninit(GFP_ATOMIC)?;
    let hold_ms = service.tuning.hold_timeout_ms.load(Relaxed).into();
    if let FlowState::Replica(replica) =
        mem::replace(state, FlowState::Unprotected(Watch::default()))
    {
        let restoring = Restoring::new(KBox::into_inner(replica), now_ms, hold_ms);
        *state = FlowState::Restoring(room.write(restoring));
    }
    Ok(())
}

impl Restoring {
    fn note_progress(&mut self, now_ms: u64) {
        let progress = self.machine.progress();
        if progress != self.progress {
            self.progress = progress;
            self.moved_ms = now_ms;
            self.alive_ms = now_ms;
        }
        if self.machine.waits_for_server(self.input.end()) {
            self.alive_ms = now_ms;
        }
    }

    fn wait(&self, now_ms: u64, until_ms: u64) -> Step {
        Step::Wait(until_ms, now_ms - self.moved_ms >= STALLED_MS)
    }

    fn step(&mut self, now_ms: u64) -> Step {
        match self.machine.phase() {
            Phase::Done => Step::Over,
            Phase::CatchUp => self.catch_up(now_ms),
            _ if now_ms < self.retry_ms => self.wait(now_ms, self.retry_ms),
            Phase::Embryo => {
                self.retry_ms = now_ms + RETRY_MS;
                Step::Inject(Injection::syn(&self.open), self.retry_ms)
            }
            Phase::Handshake => {
                self.retry_ms = now_ms + RETRY_MS;
                Step::FindChild(self.handshake())
            }
            Phase::Probe => {
                self.retry_ms = now_ms + ASK_AGAIN_MS;
                Step::Ask(self.retry_ms, now_ms - self.moved_ms >= STALLED_MS)
            }
        }
    }

    /// Feeds the child, and sees whether it has caught up.
    fn catch_up(&mut self, now_ms: u64) -> Step {
        let held = self.input.end();
        if self.machine.is_level(held) {
            return Step::Splice(now_ms + RETRY_MS);
        }
        if now_ms >= self.moved_ms.max(self.retry_ms) + FEED_AGAIN_MS {
            self.retry_ms = now_ms;
            self.machine.feed_again();
        }
        let Some((offset, room)) = self.machine.appetite(held) else {
            if self.machine.owes_acknowledgement() {
                return Step::Ask(now_ms + RETRY_MS, false);
            }
            return self.wait(now_ms, self.moved_ms.max(self.retry_ms) + FEED_AGAIN_MS);
        };
        let (bytes, fin) = self.input.at(offset, room);
        // CAST: Widening.
        let count = bytes.len() as u64 + u64::from(fin);
        let mut injection = self.injection(self.machine.told(), self.machine.told_window());
        if count == 0
            || injection
                .carry(bytes, fin, self.open.client_mss.get())
                .is_err()
        {
            return self.wait(now_ms, now_ms + RETRY_MS);
        }
        self.machine.feed(count);
        Step::Inject(injection, now_ms)
    }

    /// Returns the client's acknowledgement that ends the handshake.
    ///
    /// A listener that waits for data (TCP_DEFER_ACCEPT) ignores it unless it has some; it is given
    /// some when the plain one has been of no use. What it is fed later, it has twice.
    fn handshake(&mut self) -> Injection {
        let mut injection = self.injection(1, u16::MAX);
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts > PLAIN_ATTEMPTS {
            let (bytes, fin) = self.input.at(1, DEFERRED_BYTES);
            // Without memory it stays a plain one.
            let _ = injection.carry(bytes, fin, self.open.client_mss.get());
        }
        injection
    }

    /// Takes note of a timestamp of the client, unless it is older than what is known.
    fn hear_tsval(&mut self, tsval: u32) {
        // CAST: The sign of the difference is the order.
        if tsval.wrapping_sub(self.client_tsval) as i32 > 0 {
            self.client_tsval = tsval;
        }
    }

    /// Returns a segment of the client that says nothing but where it is, if that is known.
    fn stray(&self) -> Option<Injection> {
        let (seq, ack) = self.machine.client_place(self.input.end())?;
        let timestamps = self
            .has_timestamps()
            .then_some((self.client_tsval, self.child_tsval));
        Some(Injection::ack(seq, ack, 0, timestamps))
    }

    /// Returns an acknowledgement of the client for `ack`.
    fn injection(&self, ack: u64, window: u16) -> Injection {
        let (seq, ack) = self.machine.numbers(ack);
        let timestamps = self
            .has_timestamps()
            .then_some((self.client_tsval, self.child_tsval));
        Injection::ack(seq, ack, window, timestamps)
    }
}

/// Looks whether the handshake has made a socket.
fn find_child(service: &Service, flow: &FlowRef) -> bool {
    if service.socket_of(&flow.key).is_none() {
        return false;
    }
    if let FlowState::Restoring(restoring) = &mut *flow.state.lock() {
        let window = restoring.first_window();
        restoring.machine.child_found(window);
        restoring.retry_ms = 0;
    }
    service.report.socket();
    true
}

/// A segment of the client of a connection that is being carried on: it is heard, and goes no
/// further.
pub(crate) fn inbound(service: &Service, flow: &FlowRef, mut segment: Segment<'_>) -> Verdict {
    let tcp = segment.tcp;
    let timestamps = segment.options().timestamps;
    let intact = segment.packet.tcp_checksum_ok(tcp);
    let mut state = flow.state.lock();
    let FlowState::Restoring(restoring) = &mut *state else {
        return segment.packet.accept();
    };
    if restoring.machine.phase() == Phase::Done {
        return segment.packet.accept();
    }
    service.node.stats.held_packets.inc();
    if !intact {
        return segment.packet.absorb();
    }
    let held = restoring.input.end();
    restoring.is_given_up |= restoring.machine.is_given_up_by(&segment.header, held);
    let accepted = restoring.machine.accepts(&segment.header, held);
    let (piece, tell) = restoring
        .machine
        .hear_client(&segment.header, segment.len, held);
    if let Some(timestamps) = timestamps.filter(|_| accepted) {
        restoring.hear_tsval(timestamps.val);
    }
    if let Some(piece) = piece {
        let start = segment.payload() + piece.skip;
        let mut bytes = KVec::new();
        // Without memory, or over the limit, the client has to send it again.
        let _ = bytes
            .reserve(piece.len, GFP_ATOMIC)
            .map_err(Error::from)
            .and_then(|()| segment.packet.append_to(start, piece.len, &mut bytes))
            .and_then(|()| restoring.input.add(piece.offset, &bytes, piece.fin));
    }
    let injection = tell.map(|tell| restoring.injection(tell.ack, tell.window));
    drop(state);
    if let Some(injection) = injection {
        injection.receive_later(service, &flow.key);
    }
    service.node.desk.ring();
    segment.packet.absorb()
}

/// A segment of the child of a connection that is being carried on.
pub(crate) fn outbound(service: &Service, flow: &FlowRef, mut segment: Segment<'_>) -> Verdict {
    let timestamps = segment.options().timestamps;
    let mut state = flow.state.lock();
    let FlowState::Restoring(restoring) = &mut *state else {
        return segment.packet.accept();
    };
    match restoring.machine.phase() {
        // The end of a child that nobody needs.
        Phase::Done => return segment.packet.absorb(),
        // A reset because nobody listens, or the request is gone: it is tried again from the start.
        Phase::Embryo | Phase::Handshake => {
            if segment.header.has(flags::RST) {
                restoring.machine.start_over();
            }
            return segment.packet.absorb();
        }
        Phase::Probe | Phase::CatchUp => {}
    }
    if let Some(timestamps) = timestamps {
        restoring.child_tsval = timestamps.val;
    }
    let held = restoring.input.end();
    let (verdict, tell) = restoring
        .machine
        .hear_child(&segment.header, segment.len, held);
    let injection = tell.map(|tell| restoring.injection(tell.ack, tell.window));
    let busy = restoring.machine.is_level(held) || restoring.machine.appetite(held).is_some();
    drop(state);
    if let Some(injection) = injection {
        injection.receive_later(service, &flow.key);
    }
    if busy {
        service.node.desk.ring();
    }
    match verdict {
        Child::Absorb => {
            service.node.stats.absorbed_segments.inc();
            if segment.len > 0 {
                if let Some(sender) = Sender::of(&mut segment.packet) {
                    sender.raise_cwnd(FAST_FORWARD_CWND);
                }
            }
            segment.packet.absorb()
        }
        Child::Pass => {
            leave(&mut segment);
            segment.packet.accept()
        }
        Child::Rewrite { seq, ack, window } => {
            let tcp = segment.tcp;
            let rewritten = rewrite_ack(&mut segment, ack, window).and_then(|()| {
                segment
                    .packet
                    .rewrite_tcp(tcp, SEQ, seq.raw().to_be_bytes())
            });
            // What cannot be rewritten must not leave.
            if rewritten.is_err() {
                return segment.packet.absorb();
            }
            leave(&mut segment);
            segment.packet.accept()
        }
        Child::Gone => {
            drop_gone(service, flow);
            segment.packet.accept()
        }
    }
}

/// The first bytes of the child that the client does not have are about to leave.
fn leave(segment: &mut Segment<'_>) {
    if segment.len > 0 {
        if let Some(sender) = Sender::of(&mut segment.packet) {
            sender.limit_cwnd(INITIAL_CWND);
        }
    }
}

/// The server has reset the connection itself.
fn drop_gone(service: &Service, flow: &FlowRef) {
    if let FlowState::Restoring(restoring) = &mut *flow.state.lock() {
        restoring.hold_ms = 0;
    }
    service.node.desk.ring();
}

/// The listener answers the injected SYN: its request, and what connection tracking sees of it, get
/// the numbers that the client knows. To be called before connection tracking has seen it; it goes
/// as far as [`outbound`].
pub(crate) fn syn_ack(service: &Service, flow: &FlowRef, mut segment: Segment<'_>) -> Verdict {
    let mut state = flow.state.lock();
    let FlowState::Restoring(restoring) = &mut *state else {
        return segment.packet.accept();
    };
    let request = Request(restoring.request(service));
    if restoring.machine.phase() != Phase::Embryo || !request.write_to(&mut segment.packet) {
        drop(state);
        return segment.packet.absorb();
    }
    restoring.child_tsval = request.0.tsval;
    restoring.machine.syn_ack_seen();
    restoring.retry_ms = 0;
    drop(state);
    service.node.desk.ring();
    let tcp = segment.tcp;
    // Without it connection tracking takes what follows for invalid, if there is any.
    let _ = segment
        .packet
        .rewrite_tcp(tcp, SEQ, request.0.iss.to_be_bytes());
    segment.packet.accept()
}
