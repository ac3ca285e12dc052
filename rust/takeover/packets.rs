// SPDX-License-Identifier: GPL-2.0

//! Packets of connections that are being carried on.

use crate::{
    flow::restore::{
        Child,
        Phase,
        INITIAL_CWND, //
    },
    kapi::{
        net::{
            netfilter::Verdict,
            tcp::{
                Request,
                Sender, //
            }, //
        },
        time, //
    },
    primary::{
        rewrite_ack,
        rewrite_flags,
        rewrite_seq, //
    },
    service::{
        hooks::Segment,
        FlowRef,
        FlowState,
        Service, //
    },
    wire::{
        segment::flags,
        seq::Seq, //
    },
};

/// The congestion window while the client has what is sent already, in segments: what is absorbed
/// here burdens no network.
const FAST_FORWARD_CWND: u32 = 1000;

/// Returns whether a connection is to be carried on, or is being so. Callable from softirq and process
/// context.
pub(crate) fn concerns(flow: &FlowRef) -> bool {
    matches!(
        *flow.state.lock(),
        FlowState::Replica(_) | FlowState::Restoring(_)
    )
}

/// A segment of the client of a connection that is being carried on: it is heard, and goes no
/// further.
///
/// One that is not being carried on any more is given back.
pub(crate) fn inbound<'a>(
    service: &Service,
    flow: &FlowRef,
    mut segment: Segment<'a>,
) -> Result<Verdict, Segment<'a>> {
    let tcp = segment.tcp;
    let options = segment.options();
    // What TCP refuses does not come from the client.
    let intact = segment.packet.tcp_checksum_ok(tcp) && !options.signed;
    let mut state = flow.state.lock();
    let FlowState::Restoring(restoring) = &mut *state else {
        return Err(segment);
    };
    match restoring.machine.phase() {
        Phase::Done => return Ok(segment.packet.accept()),
        // The stack knows no such connection, and says so where the client believes it.
        Phase::Lost => {
            drop(state);
            service.forget(flow);
            return Ok(segment.packet.accept());
        }
        _ => {}
    }
    service.node.stats.held_packets.inc();
    if !intact {
        return Ok(segment.packet.absorb());
    }
    let held = restoring.input.end();
    let (mut header, mut len) = (segment.header, segment.len);
    if restoring.machine.leaves_to_child(&header, len, held) {
        (header.flags, len) = (header.flags & !flags::FIN, 0);
    }
    restoring.is_given_up |= restoring.machine.is_given_up_by(&header, held);
    restoring.machine.hear_reset(&header, held);
    let accepted = restoring.machine.accepts(&header, held);
    let (piece, tell) = restoring
        .machine
        .hear_client(&header, len, options.sack, held);
    if let Some(timestamps) = options.timestamps.filter(|_| accepted) {
        restoring.hear_tsval(timestamps.val);
    }
    if let Some(piece) = piece {
        let part = segment.part(piece.skip, piece.len);
        // Without memory, or over the limit, the client has to send it again.
        let _ = restoring.input.add(piece.offset, &part, piece.fin);
    }
    let injection = tell.map(|tell| restoring.injection(tell.ack, tell.window));
    drop(state);
    if let Some(injection) = injection {
        injection.receive_later(service, &flow.key);
    }
    service.node.desk.ring();
    Ok(segment.packet.absorb())
}

/// A segment of the child of a connection that is being carried on.
pub(crate) fn outbound(service: &Service, flow: &FlowRef, mut segment: Segment<'_>) -> Verdict {
    let timestamps = segment.options().timestamps;
    let mut state = flow.state.lock();
    let restoring = match &mut *state {
        FlowState::Restoring(restoring) => restoring,
        // Whatever still has its name does not speak for it.
        FlowState::Replica(_) => return segment.packet.absorb(),
        _ => return segment.packet.accept(),
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
        Phase::Lost => {
            let question = restoring.machine.question(restoring.input.end());
            drop(state);
            return ask(segment, question);
        }
        Phase::Probe | Phase::CatchUp => {}
    }
    if let Some(timestamps) = timestamps {
        restoring.child_tsval = timestamps.val;
    }
    let held = restoring.input.end();
    let heeds_window = restoring.machine.heeds_window();
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
            if segment.len > 0 && heeds_window {
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
            let rewritten = rewrite_ack(&mut segment, ack, window)
                .and_then(|()| rewrite_seq(&mut segment, seq));
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

/// Makes the stack's answer to a segment of a connection that it does not know into the question where
/// the client is.
fn ask(mut segment: Segment<'_>, (seq, ack, window): (Seq, Seq, u16)) -> Verdict {
    let is_answer = segment.header.has(flags::RST);
    let asked = rewrite_ack(&mut segment, ack, window)
        .and_then(|()| rewrite_seq(&mut segment, seq))
        .and_then(|()| rewrite_flags(&mut segment, flags::ACK));
    if is_answer && asked.is_ok() {
        segment.packet.accept()
    } else {
        segment.packet.absorb()
    }
}

/// The first bytes of the child that the client does not have are about to leave.
fn leave(segment: &mut Segment<'_>) {
    if segment.len > 0 {
        if let Some(sender) = Sender::of(&mut segment.packet) {
            sender.begin_path(INITIAL_CWND);
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
    restoring.child_began = (request.0.tsval, time::now_ms());
    restoring.machine.syn_ack_seen();
    restoring.retry_ms = 0;
    drop(state);
    service.node.desk.ring();
    // Without it connection tracking takes what follows for invalid, if there is any.
    let _ = rewrite_seq(&mut segment, Seq::new(request.0.iss));
    segment.packet.accept()
}
