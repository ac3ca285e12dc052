// SPDX-License-Identifier: GPL-2.0

//! Looks how things stand, and sends what listeners do not know yet.
//!
//! The director looks in each of its rounds; whoever brings about what may be over by then looks
//! itself. All of it runs in process context and may sleep.

use super::{
    changes::{
        PeerSeen,
        ServiceSeen, //
    },
    event::{
        Event,
        State, //
    }, //
};
use crate::{
    node::Node,
    service::{
        ownership,
        Service, //
    },
};

/// Tells what is new of the peer.
pub(crate) fn look_at_peer(node: &Node) {
    let mut told = node.told.lock();
    let seen = peer(node);
    while let Some(event) = told.next(&seen) {
        node.events.send(None, &event);
    }
}

/// Returns how it stands with the peer.
fn peer(node: &Node) -> PeerSeen {
    let channel = &node.channel;
    loop {
        let session = channel.session();
        let silent = session != 0 && !channel.is_backed();
        // Else it may have been the session's end that was seen, and not the silence.
        if channel.session() == session {
            return PeerSeen {
                session,
                silent,
                silence_ms: silence_ms(node),
            };
        }
    }
}

fn silence_ms(node: &Node) -> u64 {
    node.channel.silence_us().unwrap_or(0) / 1000
}

/// Tells what is new of a service.
pub(crate) fn look_at_service(service: &Service) {
    tell(service, Running::Yes, None);
}

/// Tells that a service has ceased to be active, and why.
pub(crate) fn stands_by(service: &Service, why: &str) {
    tell(service, Running::Yes, Some(why));
}

/// Tells that a service has ended, and nothing of it any more.
pub(crate) fn service_off(service: &Service) {
    tell(service, Running::No, None);
}

/// Tells that a takeover begins. To be called before the service speaks.
pub(crate) fn takeover_began(service: &Service) {
    let mut told = service.told.lock();
    let event = told.takeover_began(silence_ms(&service.node));
    service.node.events.send(Some(&service.name), &event);
}

/// Tells that the peer has something set otherwise.
pub(crate) fn differs(service: &Service, reason: &str) {
    let event = Event::Differs { reason };
    service.node.events.send(Some(&service.name), &event);
}

/// Tells that connections are being given to the peer.
pub(crate) fn resync_began(service: &Service) {
    let unprotected = service.unprotected();
    let event = Event::ResyncBegan { unprotected };
    service.node.events.send(Some(&service.name), &event);
}

/// Tells that all were given that can be.
pub(crate) fn resync_ended(service: &Service) {
    let event = Event::ResyncEnded {
        unprotected: service.unprotected(),
        protected: service.resync.done(),
    };
    service.node.events.send(Some(&service.name), &event);
}

/// Whether a service runs.
enum Running {
    Yes,
    No,
}

fn tell(service: &Service, running: Running, reason: Option<&str>) {
    let mut told = service.told.lock();
    let (state, epoch) = service.state();
    let state = match (running, state) {
        (Running::No, _) => State::Off,
        (Running::Yes, ownership::State::Standby) => State::Standby,
        (Running::Yes, ownership::State::Probing) => State::Probing,
        (Running::Yes, ownership::State::Active) => State::Active,
        (Running::Yes, ownership::State::Leaving) => State::Leaving,
    };
    // It is about to speak; until then its takeover, if it is one, does not look as if it went on.
    if state == State::Active && !service.speaks() {
        return;
    }
    let seen = ServiceSeen {
        state,
        epoch,
        reason,
        lacks: lacks(service),
        takeover: (!service.takeover.is_going_on()).then(|| service.report.totals()),
    };
    while let Some(event) = told.next(&seen) {
        service.node.events.send(Some(&service.name), &event);
    }
}

/// Returns what a service lacks to be protected, if anything.
fn lacks(service: &Service) -> Option<&'static str> {
    let channel = &service.node.channel;
    if service.is_protected() {
        None
    } else if channel.session() == 0 {
        Some("no session with the peer")
    } else if !channel.is_backed() || channel.has_lapsed() {
        Some("the peer is silent")
    } else {
        Some("the peer does not stand by")
    }
}
