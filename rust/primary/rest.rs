// SPDX-License-Identifier: GPL-2.0

//! What the backup is told of the service's place: how far it has come, and when a connection has come
//! to rest.

use super::Tracked;
use crate::{
    service::{
        Flow,
        FlowRef,
        FlowState,
        Service, //
    },
    wire::{
        key::Key,
        record::{
            self,
            place, //
        },
        seq::Seq, //
    },
};
use kernel::prelude::*;

/// Tells the backup how far the service has come, if that is due.
///
/// # Errors
///
/// Those of [`Log::append`](crate::channel::log::Log::append).
pub(super) fn tell_place(service: &Service, key: &Key, tracked: &mut Tracked) -> Result {
    let Some(sent) = tracked.tracker.place_to_tell() else {
        return Ok(());
    };
    let place = record::Place {
        key: *key,
        incarnation: tracked.tracker.incarnation().into(),
        sent: sent.into(),
        ..Default::default()
    };
    service.node.channel.log.append_idly(&place, None)?;
    tracked.tracker.place_told(false);
    Ok(())
}

/// What a look at a connection has shown.
pub(crate) enum Look {
    /// Something has happened since the last one, or is under way: it is worth another one.
    Moves,
    /// It seems to be at rest, and the backup does not know.
    Settles,
    /// Nothing happens, and there is nothing to be told.
    Stands,
}

/// Looks at a connection, as is done every now and then.
pub(crate) fn look(service: &Service, flow: &Flow) -> Look {
    let FlowState::Tracked(tracked) = &mut *flow.state.lock() else {
        return Look::Stands;
    };
    // One of another session waits for its next packet.
    if tracked.session != service.node.channel.session() {
        Look::Stands
    } else if !tracked.tracker.stands() {
        Look::Moves
    } else if tracked.tracker.is_news_that_it_rests() {
        Look::Settles
    } else {
        Look::Stands
    }
}

/// Tells the backup that nothing is under way on a connection, and returns whether that is so. Process
/// context.
pub(crate) fn note_rest(service: &Service, flow: &FlowRef) -> bool {
    let Some(socket) = service.socket_of(&flow.key) else {
        return false;
    };
    let mut told = false;
    // With the socket locked nothing is sent or taken in.
    socket.if_quiet(|quiet| {
        let mut state = flow.state.lock();
        let FlowState::Tracked(tracked) = &mut *state else {
            return;
        };
        let current = tracked.session == service.node.channel.session();
        let tracker = &mut tracked.tracker;
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
        if service.node.channel.log.append_idly(&place, None).is_ok() {
            tracker.place_told(true);
            service.node.stats.rests.inc();
            told = true;
        }
    });
    told
}
