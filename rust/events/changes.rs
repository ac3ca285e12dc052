// SPDX-License-Identifier: GPL-2.0

//! What has to be told: the difference between how things stand and what listeners know of it.
//!
//! Whoever changes something need not know what was told already, and nothing is told twice. A
//! change that is undone before anybody looks is not told. Knows nothing of the kernel; runs in the
//! host's tests, too.

use super::event::{
    Event,
    State,
    Totals, //
};

/// Why a service is unprotected on a node that has ceased to speak for it.
const NOT_ACTIVE: &str = "the service is not active here";

/// How it stands with the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerSeen {
    /// The number of the session, 0 if there is none.
    pub(crate) session: u32,
    /// Whether the peer has been silent for too long, in a session.
    pub(crate) silent: bool,
    /// For how long nothing was heard of it, in milliseconds.
    pub(crate) silence_ms: u64,
}

/// What listeners know of the peer.
pub(crate) struct PeerTold {
    session: u32,
    silent: bool,
}

impl PeerTold {
    /// They know nothing, which is to say that there is no session.
    pub(crate) const fn new() -> Self {
        Self {
            session: 0,
            silent: false,
        }
    }

    /// Returns what they have to be told next, and takes it for told.
    pub(crate) fn next(&mut self, seen: &PeerSeen) -> Option<Event<'static>> {
        let silence_ms = seen.silence_ms;
        if self.session != 0 && self.session != seen.session {
            *self = Self::new();
            return Some(Event::PeerDown { silence_ms });
        }
        if self.session != seen.session {
            self.session = seen.session;
            let session = seen.session;
            return Some(Event::PeerUp { session });
        }
        if self.session == 0 || self.silent == seen.silent {
            return None;
        }
        self.silent = seen.silent;
        Some(if seen.silent {
            Event::PeerSilent { silence_ms }
        } else {
            Event::PeerHeard
        })
    }
}

/// How it stands with a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceSeen<'a> {
    /// Its state.
    pub(crate) state: State,
    /// Its epoch.
    pub(crate) epoch: u64,
    /// Why it has that state, where that is not plain.
    pub(crate) reason: Option<&'a str>,
    /// Why connections that begin now are not protected, unless they are; of no matter while the
    /// service is not active.
    pub(crate) lacks: Option<&'static str>,
    /// What has become of the last takeover, unless it goes on.
    pub(crate) takeover: Option<Totals>,
}

/// What listeners know of a service, from its start to its end.
pub(crate) struct ServiceTold {
    state: Option<State>,
    protected: Option<bool>,
    takeover: bool,
}

impl ServiceTold {
    /// They know nothing.
    pub(crate) const fn new() -> Self {
        Self {
            state: None,
            protected: None,
            takeover: false,
        }
    }

    /// A takeover begins.
    pub(crate) fn takeover_began(&mut self, silence_ms: u64) -> Event<'static> {
        self.takeover = true;
        Event::TakeoverBegan { silence_ms }
    }

    /// Returns what they have to be told next, and takes it for told. Nothing any more once they
    /// have been told that the service is off.
    ///
    /// What a service is while it is active is told after it has become active, and what it ceases
    /// to be before it ceases to be active.
    pub(crate) fn next<'a>(&mut self, seen: &ServiceSeen<'a>) -> Option<Event<'a>> {
        if self.state == Some(State::Off) {
            return None;
        }
        if seen.state == State::Active {
            return self
                .next_state(seen)
                .or_else(|| self.next_protection(seen.lacks))
                .or_else(|| self.next_takeover(seen.takeover?));
        }
        // One that did not come to speak has no takeover any more.
        let given_up = seen.takeover.map(|totals| self.next_takeover(totals));
        given_up
            .flatten()
            .or_else(|| self.end_of_protection())
            .or_else(|| self.next_state(seen))
    }

    fn next_state<'a>(&mut self, seen: &ServiceSeen<'a>) -> Option<Event<'a>> {
        if self.state == Some(seen.state) {
            return None;
        }
        self.state = Some(seen.state);
        Some(Event::State {
            state: seen.state,
            epoch: seen.epoch,
            reason: seen.reason,
        })
    }

    fn next_protection(&mut self, lacks: Option<&'static str>) -> Option<Event<'static>> {
        if self.protected == Some(lacks.is_none()) {
            return None;
        }
        self.protected = Some(lacks.is_none());
        Some(match lacks {
            None => Event::Protected,
            Some(reason) => Event::Unprotected { reason },
        })
    }

    fn end_of_protection(&mut self) -> Option<Event<'static>> {
        let reason = NOT_ACTIVE;
        (self.protected.take() == Some(true)).then_some(Event::Unprotected { reason })
    }

    fn next_takeover(&mut self, totals: Totals) -> Option<Event<'static>> {
        let ended = core::mem::take(&mut self.takeover);
        ended.then_some(Event::TakeoverEnded(totals))
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_events))]
mod tests {
    use super::*;

    const TOTALS: Totals = Totals {
        restored: 3,
        failed: 1,
        bytes_absorbed: 7,
        duration_ms: 9,
    };

    fn peer(session: u32, silent: bool) -> PeerSeen {
        PeerSeen {
            session,
            silent,
            silence_ms: 5,
        }
    }

    fn service(state: State, lacks: Option<&'static str>) -> ServiceSeen<'static> {
        ServiceSeen {
            state,
            epoch: 2,
            reason: None,
            lacks,
            takeover: Some(TOTALS),
        }
    }

    fn state(state: State) -> Option<Event<'static>> {
        Some(Event::State {
            state,
            epoch: 2,
            reason: None,
        })
    }

    #[test]
    fn a_peer_is_told_once() {
        let mut told = PeerTold::new();
        assert_eq!(told.next(&peer(0, false)), None);
        let up = peer(1, false);
        assert_eq!(told.next(&up), Some(Event::PeerUp { session: 1 }));
        assert_eq!(told.next(&up), None);
        let silent = peer(1, true);
        assert_eq!(
            told.next(&silent),
            Some(Event::PeerSilent { silence_ms: 5 })
        );
        assert_eq!(told.next(&silent), None);
        assert_eq!(told.next(&up), Some(Event::PeerHeard));
        assert_eq!(told.next(&up), None);
    }

    #[test]
    fn a_session_that_follows_at_once_has_an_end_before_its_beginning() {
        let mut told = PeerTold::new();
        told.next(&peer(1, false));
        told.next(&peer(1, true));
        let next = peer(2, false);
        assert_eq!(told.next(&next), Some(Event::PeerDown { silence_ms: 5 }));
        assert_eq!(told.next(&next), Some(Event::PeerUp { session: 2 }));
        assert_eq!(told.next(&next), None);
        assert_eq!(
            told.next(&peer(0, false)),
            Some(Event::PeerDown { silence_ms: 5 })
        );
        assert_eq!(told.next(&peer(0, false)), None);
    }

    #[test]
    fn protection_is_told_of_while_the_service_is_active() {
        let mut told = ServiceTold::new();
        let standby = service(State::Standby, Some("why"));
        assert_eq!(told.next(&standby), state(State::Standby));
        assert_eq!(told.next(&standby), None);
        let alone = service(State::Active, Some("why"));
        assert_eq!(told.next(&alone), state(State::Active));
        assert_eq!(
            told.next(&alone),
            Some(Event::Unprotected { reason: "why" })
        );
        assert_eq!(told.next(&alone), None);
        let backed = service(State::Active, None);
        assert_eq!(told.next(&backed), Some(Event::Protected));
        assert_eq!(told.next(&backed), None);
        assert_eq!(
            told.next(&standby),
            Some(Event::Unprotected { reason: NOT_ACTIVE })
        );
        assert_eq!(told.next(&standby), state(State::Standby));
        assert_eq!(told.next(&standby), None);
    }

    #[test]
    fn a_takeover_ends_after_the_service_has_become_active() {
        let mut told = ServiceTold::new();
        told.next(&service(State::Standby, None));
        assert_eq!(
            told.takeover_began(4),
            Event::TakeoverBegan { silence_ms: 4 }
        );
        let mut seen = service(State::Active, Some("why"));
        seen.takeover = None;
        assert_eq!(told.next(&seen), state(State::Active));
        assert_eq!(told.next(&seen), Some(Event::Unprotected { reason: "why" }));
        assert_eq!(told.next(&seen), None);
        seen.takeover = Some(TOTALS);
        assert_eq!(told.next(&seen), Some(Event::TakeoverEnded(TOTALS)));
        assert_eq!(told.next(&seen), None);
    }

    #[test]
    fn a_takeover_that_came_to_nothing_ends() {
        let mut told = ServiceTold::new();
        told.next(&service(State::Standby, None));
        told.takeover_began(4);
        let standby = service(State::Standby, None);
        assert_eq!(told.next(&standby), Some(Event::TakeoverEnded(TOTALS)));
        assert_eq!(told.next(&standby), None);
    }

    #[test]
    fn nothing_is_told_of_a_service_that_is_off() {
        let mut told = ServiceTold::new();
        let active = service(State::Active, None);
        while told.next(&active).is_some() {}
        told.takeover_began(4);
        let off = service(State::Off, None);
        assert_eq!(told.next(&off), Some(Event::TakeoverEnded(TOTALS)));
        assert_eq!(
            told.next(&off),
            Some(Event::Unprotected { reason: NOT_ACTIVE })
        );
        assert_eq!(told.next(&off), state(State::Off));
        assert_eq!(told.next(&active), None);
        assert_eq!(told.next(&off), None);
    }
}
