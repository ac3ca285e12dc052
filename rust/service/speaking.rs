// SPDX-License-Identifier: GPL-2.0

//! Who speaks for a service: doing what [`Ownership`](super::ownership) decides.

use super::{
    ownership::{
        Action,
        Cause,
        Silence,
        State, //
    },
    settings,
    Service, //
};
use crate::{
    events,
    kapi::{
        net::neighbour,
        print::warn_ratelimited,
        rcu,
        time, //
    },
    primary::{
        self,
        resync, //
    },
    takeover,
    wire::record, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Relaxed,
            Release, //
        },
        Arc,
        CondVarTimeoutResult, //
    },
    time::msecs_to_jiffies, //
};

/// How often the address is announced once it was taken, and how long to wait after each, in
/// milliseconds: switches and hosts forget, and announcements get lost.
pub(super) const ANNOUNCEMENTS: [u64; 6] = [20, 80, 200, 500, 1000, 2000];
/// How much may wait to be sent to the peer before it is asked to speak, in bytes: it has to read all of that
/// before it knows.
const HANDOVER_BACKLOG: usize = 256 << 10;
/// Why a handover is refused.
const UNPROTECTED: &str = "there are connections that are not protected";
/// How much later than its peer one of two nodes asks that have both taken over, in milliseconds: longer than a
/// round of questions.
const RANK_MS: u64 = 250;
/// How long to wait for the end of a handover, in milliseconds: longer than the peer has time, and a
/// round of questions.
const LEAVE_WAIT_MS: u32 = 3000;

impl Service {
    /// Takes in how the service stands at the peer.
    pub(crate) fn peer_says(&self, status: &record::Service) {
        let active = status.active != 0;
        let outranks = self.node.is_outranked();
        let mut ownership = self.ownership.lock();
        if ownership.is_retired() {
            return;
        }
        let action = ownership.peer_says(active, status.epoch.get(), outranks);
        if action == Action::StandDown {
            self.speaks.store(0, Release);
        }
        drop(ownership);
        if matches!(action, Action::StandDown | Action::Left) {
            self.left.notify_all();
        }
        match action {
            Action::StandDown => self.stand_down("the peer speaks in a later epoch"),
            Action::Left => self.has_left(),
            _ => {}
        }
        if active && self.speaks() {
            // It has come back, and may have told others that the address is there, which it was not.
            self.announced.store(0, Relaxed);
            self.announce_at_ms.store(time::now_ms(), Relaxed);
        }
        self.backed.store(u32::from(!active), Relaxed);
        self.status_us.store(time::now_us(), Relaxed);
        self.peer_unprotected
            .store(status.unprotected.get(), Relaxed);
        settings::compare(self, status);
        self.node.desk.ring();
    }

    /// This node may have been asleep while the peer took over.
    pub(crate) fn doubt(&self) {
        let mut ownership = self.ownership.lock();
        if ownership.doubt() {
            self.muted.store(1, Release);
        }
    }

    /// The peer does not speak any more, and wants this node to.
    ///
    /// It speaks again if nobody else does for a while: what is old, as one of the two has slept, is void.
    pub(crate) fn handed_over(&self) {
        if self.node.channel.may_be_old() {
            warn_ratelimited!("{}: a handover came late, ignored\n", &*self.name);
            return;
        }
        self.asked_us.store(time::now_us(), Relaxed);
        self.ownership.lock().handed_over();
        self.node.desk.ring();
    }

    /// Has the peer speak in this node's place, and carry on all connections. Returns when it does.
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` with the reason if that cannot be now: nothing has changed then. `ETIMEDOUT` if the peer
    /// does not say that it speaks; the node speaks again if it does not, after it has asked for the
    /// address. `EINTR`, while it is being done.
    pub(crate) fn hand_over(&self) -> Result<(), (Error, &'static str)> {
        // What the peer is known to hold, it holds in this one.
        let session = self.node.channel.session();
        let refused = if self.state().0 != State::Active {
            "this node is not active"
        } else if !self.is_protected() {
            "the peer does not stand by"
        } else if self.takeover.is_going_on() {
            "a takeover is going on"
        } else if self.node.channel.log.backlog() > HANDOVER_BACKLOG {
            "too much waits to be sent to the peer"
        } else {
            ""
        };
        if !refused.is_empty() {
            return Err((EBUSY, refused));
        }
        self.release_stale()
            .map_err(|e| (e, "there is no memory"))?;
        if self.has_unprotected() {
            return Err((EBUSY, UNPROTECTED));
        }
        self.leave(session)?;
        self.wait_until_left()
    }

    /// Falls silent, and tells the peer to speak, if that is in `session`.
    fn leave(&self, session: u32) -> Result<(), (Error, &'static str)> {
        let mut ownership = self.ownership.lock();
        if !ownership.leave(time::now_ms()) {
            return Err((EBUSY, "this node is not active"));
        }
        self.speaks.store(0, Release);
        drop(ownership);
        // What is in the hooks now may still speak, or be logged: it has to be through before.
        rcu::synchronize_expedited();
        let handover = record::Handover {
            service: self.endpoint,
        };
        let told = if self.has_unprotected() {
            Err((EBUSY, UNPROTECTED))
        } else {
            let told = self.node.channel.append_in(session, &handover);
            told.map_err(|e| (e, "the peer cannot be told"))
        };
        if told.is_err() {
            self.stay();
        }
        self.node.desk.ring();
        told
    }

    /// Returns whether there are connections that the peer could not carry on.
    fn has_unprotected(&self) -> bool {
        (self.unprotected.load(Relaxed) | self.unnoted.load(Relaxed)) != 0
    }

    /// What was logged in another session than the present one is not protected any more. May sleep.
    fn release_stale(&self) -> Result {
        for flow in self.try_collect()? {
            primary::release_stale(self, &flow);
        }
        Ok(())
    }

    /// The peer could not be told.
    fn stay(&self) {
        let mut ownership = self.ownership.lock();
        let stays = ownership.stay();
        if stays {
            self.muted.store(u32::from(ownership.in_doubt()), Release);
            self.speaks.store(1, Release);
        }
        drop(ownership);
        if stays {
            self.speak_again();
        }
    }

    fn wait_until_left(&self) -> Result<(), (Error, &'static str)> {
        let mut ownership = self.ownership.lock();
        let mut left = msecs_to_jiffies(LEAVE_WAIT_MS);
        loop {
            match ownership.state() {
                State::Standby => return Ok(()),
                State::Active if !ownership.in_doubt() => {
                    return Err((ETIMEDOUT, "the peer does not speak"))
                }
                _ => {}
            }
            left = match self.left.wait_interruptible_timeout(&mut ownership, left) {
                CondVarTimeoutResult::Woken { jiffies } => jiffies,
                CondVarTimeoutResult::Timeout => {
                    return Err((ETIMEDOUT, "the peer does not speak"))
                }
                CondVarTimeoutResult::Signal { .. } => return Err((EINTR, "interrupted")),
            };
        }
    }

    /// Somebody else has answered for the address.
    pub(crate) fn address_answered(&self) {
        let rank_ms = if self.node.is_outranked() { RANK_MS } else { 0 };
        let mut ownership = self.ownership.lock();
        ownership.answered(time::now_ms(), rank_ms);
        // That the one who speaks has the address is no conflict to one who stands by, or has asked for it.
        if matches!(ownership.state(), State::Active | State::Probing) {
            self.node.stats.address_conflicts.inc();
            // It may have to ask.
            self.node.desk.ring();
        }
    }

    /// A session has begun or ended: what belongs to another one has no sequel. May sleep.
    pub(crate) fn session_changed(&self) {
        self.backed.store(0, Relaxed);
        self.peer_unprotected.store(u32::MAX, Relaxed);
        self.ownership.lock().session_changed();
        resync::start_over(self);
        // Nor may a takeover of these connections begin while they are being forgotten.
        let records = self.node.pause_records();
        match self.state().0 {
            State::Active => drop(records),
            // Its own connections: it may speak for them again.
            State::Leaving => return,
            State::Standby | State::Probing => return self.forget_replicas(),
        }
        for flow in self.collect() {
            primary::release_stale(self, &flow);
        }
    }

    /// Does what is due at `now_ms`, and returns when it wants to be called again.
    pub(crate) fn decide(self: &Arc<Self>, now_ms: u64) -> u64 {
        let channel = &self.node.channel;
        let silence = Silence {
            for_ms: channel.silence_us().map(|us| us / 1000),
            limit_ms: channel.peer_timeout_ms().into(),
        };
        let mut ownership = self.ownership.lock();
        let (action, next) = ownership.poll(now_ms, silence);
        match action {
            Action::StandDown => self.speaks.store(0, Release),
            Action::Reassured | Action::Alone => {
                self.muted.store(0, Release);
                // If it was about to leave.
                self.speaks.store(1, Release);
            }
            _ => {}
        }
        drop(ownership);
        if matches!(action, Action::StandDown | Action::Reassured) {
            self.left.notify_all();
        }
        match action {
            // Only the peer's word is that this node has left.
            Action::Wait | Action::Left => {}
            Action::Reassured => self.speak_again(),
            Action::Probe => {
                self.find_device();
                let asked = neighbour::probe(&self.node.net, self.ifindex(), self.address);
                // That nobody answers who could not be asked means nothing.
                if asked.is_err() {
                    self.ownership.lock().not_asked(now_ms);
                }
            }
            Action::Occupied => {
                warn_ratelimited!("{}: another node has the address, waiting\n", &*self.name);
            }
            Action::Activate(cause) => self.activate(now_ms, cause),
            Action::Alone => self.go_on_alone(),
            Action::StandDown => self.stand_down("another node answers for the address"),
            Action::PeerLives => {
                pr_info!("{}: the peer is silent but has the address\n", &*self.name);
            }
        }
        next.min(self.announce(now_ms))
    }

    fn activate(self: &Arc<Self>, now_ms: u64, cause: Cause) {
        match cause {
            Cause::Vacancy => {}
            Cause::Takeover => {
                let silence = self.node.channel.silence_us().unwrap_or(0);
                pr_info!("{}: peer silent for {} ms\n", &*self.name, silence / 1000);
                self.report.begin(time::now_us().saturating_sub(silence));
                self.node.stats.takeovers.inc();
                self.node.peer_silent();
                events::takeover_began(self);
            }
            Cause::Handover => {
                pr_info!("{}: the peer hands over\n", &*self.name);
                self.report.begin(self.asked_us.load(Relaxed));
                self.node.stats.handovers.inc();
                events::takeover_began(self);
            }
        }
        let takeover = cause != Cause::Vacancy;
        if !self.begin_to_speak(takeover) {
            return;
        }
        self.announced.store(0, Relaxed);
        self.announce_at_ms.store(now_ms, Relaxed);
        self.announce(now_ms);
        let epoch = self.state().1;
        if takeover {
            self.report.address_taken();
            pr_info!("{}: address taken, epoch {}\n", &*self.name, epoch);
        } else {
            pr_info!("{}: active, epoch {}\n", &*self.name, epoch);
        }
    }

    /// Has the hooks know that this node speaks, and begins to carry on the peer's connections.
    /// Returns false if the peer has spoken up in the meantime, or the role is off.
    fn begin_to_speak(self: &Arc<Self>, takeover: bool) -> bool {
        if self.ownership.lock().is_retired() {
            return false;
        }
        if takeover {
            self.see_to_early_hooks();
        }
        // Nothing may be added to the replicas, nor a new one, while they become something else.
        let _records = self.node.pause_records();
        if takeover {
            self.takeover.begin(self);
        } else {
            // What is held of the peer's connections has no sequel.
            self.forget_replicas();
        }
        let ownership = self.ownership.lock();
        let active = ownership.state() == State::Active && !ownership.is_retired();
        if active {
            self.muted.store(u32::from(ownership.in_doubt()), Release);
            self.speaks.store(1, Release);
        }
        drop(ownership);
        if !active {
            takeover::abandon(self);
        }
        active
    }

    /// Announces the address if that is due, and returns when it is due next.
    fn announce(&self, now_ms: u64) -> u64 {
        if !self.speaks() {
            return u64::MAX;
        }
        let at = self.announce_at_ms.load(Relaxed);
        if now_ms < at {
            return at;
        }
        let made = self.announced.load(Relaxed);
        let next = match ANNOUNCEMENTS.get(made as usize) {
            Some(pause) => {
                let _ = neighbour::announce(&self.node.net, self.ifindex(), self.address);
                now_ms + pause
            }
            None => u64::MAX,
        };
        self.announced.store(made.saturating_add(1), Relaxed);
        self.announce_at_ms.store(next, Relaxed);
        next
    }

    /// The peer is gone: what waits for it need not wait any longer.
    fn go_on_alone(&self) {
        pr_info!("{}: the peer is gone, going on without it\n", &*self.name);
        self.node.peer_silent();
        for flow in self.collect() {
            primary::let_go(self, &flow);
        }
        self.speak_again();
    }

    /// This node speaks again: what it has said into the void and does not repeat by itself, an
    /// acknowledgement, it says once more. Else the client would send everything again, and that
    /// only when its timer says so.
    ///
    /// If a session has ended while it was about to leave, nobody has seen to what was logged in it.
    fn speak_again(&self) {
        for flow in self.collect() {
            primary::release_stale(self, &flow);
            if flow.muted.xchg(false, Relaxed) {
                if let Some(socket) = self.socket_of(&flow.key) {
                    socket.send_ack();
                }
            }
        }
    }

    /// Another node speaks without having been asked to.
    fn stand_down(&self, why: &str) {
        self.node.stats.stand_downs.inc();
        pr_warn!("{}: standing down: {}\n", &*self.name, why);
        self.stand_by(why);
    }

    /// The peer speaks, as this node has asked it to.
    fn has_left(&self) {
        pr_info!("{}: handed over to the peer\n", &*self.name);
        self.stand_by("handed over to the peer");
    }

    /// Another node speaks: this one is silent already, and what it knows is of no use any more.
    fn stand_by(&self, why: &str) {
        takeover::abandon(self);
        events::stands_by(self, why);
        // What is in the hooks now may still add one.
        rcu::synchronize_expedited();
        self.end_connections();
    }

    /// Another node speaks for the connections of this one: their sockets are nobody's any more, and
    /// would be in the way if they came back. What they send in the end goes nowhere. May sleep.
    fn end_connections(&self) {
        for flow in self.collect() {
            // What the peer has logged here meanwhile is another matter.
            if !primary::is_served_here(&flow) {
                continue;
            }
            if let Some(socket) = self.socket_of(&flow.key) {
                // If it was closed meanwhile that is as good.
                let _ = socket.abort();
            }
            // Only now: who finds none of them knows that their sockets are reset.
            self.forget(&flow);
        }
    }

    /// The role is off, and nobody may begin to speak any more. What another node speaks for is ended, while
    /// nobody hears it, if nobody has come so far yet. May sleep.
    pub(crate) fn retire(&self) {
        let mut ownership = self.ownership.lock();
        ownership.retire();
        let is_silent = ownership.state() == State::Standby;
        drop(ownership);
        takeover::abandon(self);
        if is_silent {
            rcu::synchronize_expedited();
            self.end_connections();
        }
    }
}
