// SPDX-License-Identifier: GPL-2.0

//! Safe points: where the log of a connection begins anew, or begins at all.
//!
//! Where a server answers one request after another, its state between two of them is that of a
//! fresh connection. What came before need not be replayed then: the connection is logged as if it
//! had just been opened there, and the backup forgets what it had. That ends the log of a connection
//! that lives long, and lets one that is not protected become so.

use super::{
    first_stamp,
    open_record,
    Tracked, //
};
use crate::{
    flow::tracker::Tracker,
    kapi::net::tcp::RequestFields,
    service::{
        hooks::Segment,
        FlowRef,
        FlowState,
        Service, //
    },
    wire::seq::Seq, //
};
use core::mem;
use kernel::prelude::*;

/// Looks whether a segment of the client with a payload is the first one of a request at a safe
/// point, and begins the log anew there. To be called before the segment is logged; in softirq
/// context, without locks.
pub(super) fn look(service: &Service, flow: &FlowRef, segment: &Segment<'_>) {
    let may = match &mut *flow.state.lock() {
        FlowState::Tracked(tracked) => tracked.tracker.may_begin_anew(&segment.header),
        FlowState::Unprotected(unprotected) => unprotected.watch.inbound(&segment.header),
        _ => false,
    };
    if !may || !service.is_protected() {
        return;
    }
    let Some(socket) = service.socket_of(&flow.key) else {
        return;
    };
    let (seq, ack) = (segment.header.seq.raw(), segment.header.ack.raw());
    // With the socket locked nothing is sent or taken in, so it stays what it was looked at.
    socket.at_rest(seq, ack, |fields| begin_anew(service, flow, fields));
}

fn begin_anew(service: &Service, flow: &FlowRef, fields: &RequestFields) {
    let mut state = flow.state.lock();
    let was_unprotected = match &*state {
        FlowState::Tracked(_) => false,
        FlowState::Unprotected(_) => true,
        _ => return,
    };
    let opened = open_record(&flow.key, fields);
    let Ok(room) = KBox::<Tracked>::new_uninit(GFP_ATOMIC) else {
        // It stays what it was.
        return;
    };
    if service.node.channel.log.append(&opened, None).is_err() {
        return;
    }
    let tracker = Tracker::resumed(
        Seq::new(fields.irs),
        Seq::new(fields.iss),
        fields.wscale,
        fields.window,
    )
    .with_client(fields.client_wscale, first_stamp(fields));
    let tracked = FlowState::Tracked(room.write(Tracked {
        is_answered: true,
        ..Tracked::new(service, tracker, &opened)
    }));
    let _drop_outside_lock = mem::replace(&mut *state, tracked);
    drop(state);
    if was_unprotected {
        service.count_resumed();
    } else {
        service.node.stats.safe_points.inc();
    }
}
