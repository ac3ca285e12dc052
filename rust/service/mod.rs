// SPDX-License-Identifier: GPL-2.0

//! A running service: its state on this node, and its connections.

pub(crate) mod hooks;
pub(crate) mod ownership;
mod settings;

use crate::{
    backup::{
        Awake,
        Replica, //
    },
    events,
    kapi::{
        net::{
            neighbour,
            tcp::{
                Ends,
                Sock, //
            }, //
        },
        print::warn_ratelimited,
        rcu,
        rhashtable::{
            self,
            Table, //
        },
        sync::{
            new_spinlock_bh,
            SpinLockBh, //
        },
        time, //
    },
    node::Node,
    primary::{
        self,
        resync::{
            self,
            Resync, //
        },
        Tracked,
        Unprotected, //
    },
    takeover::{
        self,
        Report,
        Restoring,
        Takeover, //
    },
    wire::{
        key::{
            Endpoint,
            Key, //
        },
        record, //
    },
};
use core::{
    mem,
    net::IpAddr, //
};
use hooks::EarlyHooks;
use kernel::{
    new_condvar,
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        CondVar,
        CondVarTimeoutResult,
        Mutex, //
    },
    time::msecs_to_jiffies, //
};
use ownership::{
    Action,
    Cause,
    Ownership,
    Role,
    Silence,
    State, //
};
use settings::Compared;

/// How often the address is announced once it was taken, and how long to wait after each, in
/// milliseconds: switches and hosts forget, and announcements get lost.
const ANNOUNCEMENTS: [u64; 6] = [20, 80, 200, 500, 1000, 2000];
/// After how much silence a handover is too late, in microseconds: well before the peer speaks again.
const LATE_HANDOVER_US: u64 = 500_000;
/// How long to wait for the end of a handover, in milliseconds: longer than the peer has time, and a
/// round of questions.
const LEAVE_WAIT_MS: u32 = 3000;
/// How many connections are looked at in one sweep because they seem to be at rest.
const RESTS_A_SWEEP: usize = 4096;
/// Every which sweep looks at connections that have shown no sign of their end.
const SWEEP_ALL: u32 = 30;

/// One connection of a service.
#[pin_data]
pub(crate) struct Flow {
    /// Its name.
    pub(crate) key: Key,
    /// What it is to this node. Taken in softirq and process context.
    #[pin]
    pub(crate) state: SpinLockBh<FlowState>,
    /// A FIN or RST was seen: the end is near.
    pub(crate) ending: Atomic<bool>,
    /// It is a replica that is not at rest: one of [`Service::awake`], or of what was that when a takeover
    /// began.
    pub(crate) awake: Atomic<bool>,
    /// Something that its socket has sent was dropped as this node was in doubt.
    pub(crate) muted: Atomic<bool>,
}

/// What a connection is to this node. What is large is elsewhere, so that each costs only what it needs.
pub(crate) enum FlowState {
    /// It is served here and logged to the backup.
    Tracked(KBox<Tracked>),
    /// It is served here, and would be lost with this node.
    Unprotected(Unprotected),
    /// It is served by the peer; what is needed to carry it on is held here.
    Replica(KBox<Replica>),
    /// It was served by the peer, and is being carried on.
    Restoring(KBox<Restoring>),
    /// It was forgotten: it is in no table any more, and who still has it leaves it alone.
    Gone,
}

impl FlowState {
    /// Returns how many bytes the client's input takes that is held of it.
    fn input_bytes(&self) -> u64 {
        match self {
            Self::Tracked(tracked) => tracked.input_bytes(),
            Self::Unprotected(unprotected) => unprotected.input_bytes(),
            Self::Replica(replica) => replica.input.size(),
            Self::Restoring(restoring) => restoring.input_bytes(),
            Self::Gone => 0,
        }
    }
}

/// A connection in its service's table.
pub(crate) type FlowRef = Arc<rhashtable::Node<Flow>>;

/// A running service.
#[pin_data]
pub(crate) struct Service {
    /// The node that it runs on.
    pub(crate) node: Arc<Node>,
    /// What the operator calls it.
    pub(crate) name: CString,
    /// The address and port.
    pub(crate) endpoint: Endpoint,
    /// The same address, in the form of its family.
    pub(crate) address: IpAddr,
    /// The device behind which the clients are.
    pub(crate) ifindex: c_int,
    /// The connections.
    #[pin]
    pub(crate) flows: Table<Flow>,
    /// How many there are.
    connections: Atomic<u32>,
    /// How many of them are [`FlowState::Unprotected`].
    unprotected: Atomic<u32>,
    /// Sightings since the last sweep of connections for which there was no room.
    unnoted: Atomic<u32>,
    /// Who speaks. Taken in softirq and process context, innermost.
    #[pin]
    ownership: SpinLockBh<Ownership>,
    /// A copy of the state, for the hooks: 1 while this node speaks.
    speaks: Atomic<u32>,
    /// 1 while it is not known whether the peer has taken over.
    muted: Atomic<u32>,
    /// Whether the peer was heard, in this session, to stand by for the service.
    backed: Atomic<u32>,
    /// When the peer last said how the service stands there, on the monotonic clock in microseconds.
    status_us: Atomic<u64>,
    /// How many connections the peer said it has that this node could not carry on; `u32::MAX`
    /// before it has said so in this session.
    peer_unprotected: Atomic<u32>,
    /// What the nodes had set when that was last compared, and in how much they differed.
    #[pin]
    compared: Mutex<Option<Compared>>,
    differences: Atomic<u32>,
    /// The hooks that a takeover needs. Outermost of the service's locks.
    #[pin]
    early: Mutex<EarlyHooks>,
    /// The replicas with which a takeover would begin.
    #[pin]
    pub(crate) awake: Mutex<Awake>,
    /// The takeover that is going on.
    #[pin]
    pub(crate) takeover: Takeover,
    /// How the last takeover went.
    pub(crate) report: Report,
    /// What the peer is being given.
    #[pin]
    pub(crate) resync: Resync,
    /// What the operator may change at any time.
    pub(crate) tuning: Arc<Tuning>,
    /// Notified when a node that was to leave has left, or speaks again.
    #[pin]
    left: CondVar,
    /// When the peer has asked this node to speak, on the monotonic clock in microseconds.
    asked_us: Atomic<u64>,
    /// What listeners know of it.
    #[pin]
    pub(crate) told: Mutex<events::ServiceTold>,
    /// The announcements that have been made, and when the next one is due. The director's.
    announced: Atomic<u32>,
    announce_at_ms: Atomic<u64>,
    sweeps: Atomic<u32>,
}

/// What the operator has said of a service.
pub(crate) struct Definition {
    /// What it is called.
    pub(crate) name: CString,
    /// Its address and port.
    pub(crate) endpoint: Endpoint,
    /// The device behind which the clients are.
    pub(crate) ifindex: c_int,
    /// What this node is to be.
    pub(crate) role: Role,
    /// What the operator may change at any time.
    pub(crate) tuning: Arc<Tuning>,
}

/// What the operator may change at any time.
pub(crate) struct Tuning {
    /// For how long a connection may be held while it is being restored, in milliseconds.
    pub(crate) hold_timeout_ms: Atomic<u32>,
    /// For how long something may wait for the backup, in milliseconds.
    pub(crate) commit_timeout_ms: Atomic<u32>,
    /// Where the log of a connection may begin anew: one of `SAFE_POINTS_*`.
    pub(crate) safe_points: Atomic<u32>,
    /// What becomes of the connections when the peer is lost: one of `ON_PEER_LOSS_*`.
    pub(crate) on_peer_loss: Atomic<u32>,
}

/// They go on without protection.
pub(crate) const ON_PEER_LOSS_DEGRADE: u32 = 0;
/// They stand still: their clients are told nothing that would be lost with this node.
pub(crate) const ON_PEER_LOSS_STALL: u32 = 1;

/// Nowhere: the log is whole.
pub(crate) const SAFE_POINTS_WHOLE: u32 = 0;
/// After each request that was answered.
pub(crate) const SAFE_POINTS_REQUEST: u32 = 1;

impl Tuning {
    /// Creates the defaults.
    pub(crate) const fn new() -> Self {
        Self {
            hold_timeout_ms: Atomic::new(10_000),
            commit_timeout_ms: Atomic::new(2_000),
            safe_points: Atomic::new(SAFE_POINTS_WHOLE),
            on_peer_loss: Atomic::new(ON_PEER_LOSS_DEGRADE),
        }
    }
}

impl Service {
    /// Creates a service that does nothing yet: it takes hooks and the director to make it run.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(node: &Arc<Node>, definition: Definition) -> Result<Arc<Self>> {
        let address = definition.endpoint.addr.ip();
        let node = node.clone();
        Arc::pin_init(
            try_pin_init!(Self {
                node,
                name: definition.name,
                endpoint: definition.endpoint,
                address,
                ifindex: definition.ifindex,
                flows <- Table::new(),
                connections: Atomic::new(0),
                unprotected: Atomic::new(0),
                unnoted: Atomic::new(0),
                ownership <- new_spinlock_bh!(
                    Ownership::new(definition.role),
                    "Service::ownership"
                ),
                speaks: Atomic::new(0),
                muted: Atomic::new(0),
                backed: Atomic::new(0),
                status_us: Atomic::new(0),
                peer_unprotected: Atomic::new(u32::MAX),
                compared <- new_mutex!(None, "Service::compared"),
                differences: Atomic::new(0),
                early <- new_mutex!(EarlyHooks::Absent, "Service::early"),
                awake <- new_mutex!(Awake::new(), "Service::awake"),
                takeover <- Takeover::new(),
                report: Report::new(),
                resync <- Resync::new(),
                left <- new_condvar!("Service::left"),
                asked_us: Atomic::new(0),
                tuning: definition.tuning,
                told <- new_mutex!(events::ServiceTold::new(), "Service::told"),
                announced: Atomic::new(ANNOUNCEMENTS.len() as u32),
                announce_at_ms: Atomic::new(u64::MAX),
                sweeps: Atomic::new(0),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Returns whether this node speaks for the service. Callable from any context.
    pub(crate) fn speaks(&self) -> bool {
        self.speaks.load(Acquire) != 0
    }

    /// Returns whether this node has to be silent although it speaks for the service: it may not be
    /// the only one. Callable from any context.
    pub(crate) fn is_muted(&self) -> bool {
        self.muted.load(Acquire) != 0 || self.node.channel.has_lapsed()
    }

    /// This node may have been asleep while the peer took over.
    pub(crate) fn doubt(&self) {
        let mut ownership = self.ownership.lock();
        if ownership.doubt() {
            self.muted.store(1, Release);
        }
    }

    /// Returns what this node is, and the highest epoch it knows of.
    pub(crate) fn state(&self) -> (State, u64) {
        let ownership = self.ownership.lock();
        (ownership.state(), ownership.epoch())
    }

    /// Returns whether connections that begin now are logged and backed. Callable from any context.
    pub(crate) fn is_protected(&self) -> bool {
        self.speaks() && self.node.channel.is_backed() && self.is_known_to_peer()
    }

    /// Returns whether the peer stands by for the service, as far as it has said so in this session.
    /// Callable from any context.
    pub(crate) fn is_known_to_peer(&self) -> bool {
        self.backed.load(Relaxed) != 0 && self.knows_status()
    }

    /// Returns whether the peer has said lately how the service stands there: it stops to do so when
    /// the service's role is off there.
    fn knows_status(&self) -> bool {
        let channel = &self.node.channel;
        let ago_us = time::now_us().saturating_sub(self.status_us.load(Relaxed));
        channel.session() != 0 && (channel.status_holds(ago_us) || !channel.is_backed())
    }

    /// Returns whether a takeover now would carry on all connections of the peer.
    pub(crate) fn is_takeover_ready(&self) -> bool {
        let ownership = *self.ownership.lock();
        ownership.state() == State::Standby
            && ownership.peer_active()
            && self.node.channel.is_backed()
            && self.knows_status()
            && self.peer_unprotected.load(Relaxed) == 0
    }

    /// Returns what the operator wants this node to be.
    fn role(&self) -> Role {
        self.ownership.lock().role()
    }

    /// Returns in how many settings the peer was last heard to differ.
    pub(crate) fn differences(&self) -> u32 {
        self.differences.load(Relaxed)
    }

    /// Returns how many connections there are.
    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Relaxed)
    }

    /// Returns how the service stands here, for the peer.
    pub(crate) fn status(&self) -> record::Service {
        let ownership = *self.ownership.lock();
        record::Service {
            service: self.endpoint,
            role: settings::role_number(ownership.role()),
            // One that leaves still answers for what it has not been relieved of.
            active: u8::from(matches!(ownership.state(), State::Active | State::Leaving)),
            epoch: ownership.epoch().into(),
            unprotected: self
                .unprotected
                .load(Relaxed)
                .saturating_add(self.unnoted.load(Relaxed))
                // Nobody holds what is still on its way.
                .saturating_add(u32::from(self.takeover.is_going_on()))
                .into(),
            settings: settings::own(self),
        }
    }

    /// Takes in how the service stands at the peer.
    pub(crate) fn peer_says(&self, status: &record::Service, peer: u64) {
        let active = status.active != 0;
        let outranks = peer > self.node.id;
        let mut ownership = self.ownership.lock();
        let action = ownership.peer_says(active, status.epoch.get(), outranks);
        if action == Action::StandDown {
            self.speaks.store(0, Release);
        }
        drop(ownership);
        if action == Action::StandDown {
            self.left.notify_all();
            self.stand_down("the peer speaks in a later epoch");
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

    /// The peer does not speak any more, and wants this node to.
    ///
    /// One that comes after a silence may be old: the peer speaks again if nobody else does.
    pub(crate) fn handed_over(&self) {
        if self.node.channel.gap_us() > LATE_HANDOVER_US {
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
        let refused = if self.state().0 != State::Active {
            "this node is not active"
        } else if !self.is_protected() {
            "the peer does not stand by"
        } else if self.takeover.is_going_on() {
            "a takeover is going on"
        } else if (self.unprotected.load(Relaxed) | self.unnoted.load(Relaxed)) != 0 {
            "there are connections that are not protected"
        } else {
            ""
        };
        if !refused.is_empty() {
            return Err((EBUSY, refused));
        }
        self.leave().map_err(|e| (e, "the peer cannot be told"))?;
        self.wait_until_left()
    }

    /// Falls silent, and tells the peer to speak.
    fn leave(&self) -> Result {
        let mut ownership = self.ownership.lock();
        if !ownership.leave(time::now_ms()) {
            return Err(EBUSY);
        }
        self.speaks.store(0, Release);
        drop(ownership);
        // What is in the hooks now may still speak, or be logged: it has to be through before.
        rcu::synchronize_expedited();
        let handover = record::Handover {
            service: self.endpoint,
        };
        let told = self.node.channel.log.append(&handover, None);
        if told.is_err() {
            let mut ownership = self.ownership.lock();
            if ownership.stay() {
                self.speaks.store(1, Release);
            }
        }
        self.node.desk.ring();
        told
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
        let mut ownership = self.ownership.lock();
        ownership.answered();
        // That the one who speaks has the address is no conflict to one who stands by.
        if ownership.state() != State::Standby {
            self.node.stats.address_conflicts.inc();
        }
    }

    /// A session has begun or ended: what belongs to another one has no sequel. May sleep.
    pub(crate) fn session_changed(&self) {
        self.backed.store(0, Relaxed);
        self.peer_unprotected.store(u32::MAX, Relaxed);
        self.ownership.lock().session_changed();
        resync::start_over(self);
        match self.state().0 {
            State::Active => {}
            // Its own connections, which the next packet of each finds to be of another session.
            State::Leaving => return,
            State::Standby | State::Probing => return self.forget_all(),
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
            Action::Wait => {}
            Action::Reassured => self.speak_again(),
            Action::Probe => {
                // Without its device nobody can be asked, and nobody answers.
                let _ = neighbour::probe(&self.node.net, self.ifindex, self.address);
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
                self.report.begin(self.node.channel.heard_us());
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
    /// Returns false if the peer has spoken up in the meantime.
    fn begin_to_speak(self: &Arc<Self>, takeover: bool) -> bool {
        if takeover {
            self.see_to_early_hooks();
        }
        // Nothing may be added to the replicas, nor a new one, while they become something else.
        let _records = self.node.pause_records();
        if takeover {
            self.takeover.begin(self);
        } else {
            // What is held of the peer's connections has no sequel.
            self.forget_all();
        }
        let ownership = self.ownership.lock();
        let active = ownership.state() == State::Active;
        if active {
            self.muted.store(0, Release);
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
                let _ = neighbour::announce(&self.node.net, self.ifindex, self.address);
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
    fn speak_again(&self) {
        for flow in self.collect() {
            if flow.muted.xchg(false, Relaxed) {
                if let Some(socket) = self.socket_of(&flow.key) {
                    socket.send_ack();
                }
            }
        }
    }

    /// Another node speaks: this one has to be silent, and what it knows is of no use any more.
    fn stand_down(&self, why: &str) {
        self.node.stats.stand_downs.inc();
        pr_warn!("{}: standing down: {}\n", &*self.name, why);
        takeover::abandon(self);
        events::stood_down(self, why);
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
            self.forget(&flow);
        }
    }

    /// Returns all connections; those for which there is no memory are left out.
    pub(crate) fn collect(&self) -> KVVec<FlowRef> {
        // Some may come while the room is being made, or be shown twice.
        let mut room = self.connections() as usize + 256;
        loop {
            let Ok(mut all) = KVVec::with_capacity(room, GFP_KERNEL) else {
                pr_err!("{}: no memory for a list of connections\n", &*self.name);
                return KVVec::new();
            };
            let mut fits = true;
            self.flows.for_each(|flow| {
                fits = all.push_within_capacity(flow).is_ok();
                fits
            });
            if fits {
                return all;
            }
            room = room.saturating_mul(2);
        }
    }

    /// Adds a connection in place of any of the same name. Callable from softirq and process
    /// context.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if there are too many, or whatever [`Table::insert`] returns.
    pub(crate) fn add(&self, key: &Key, state: FlowState) -> Result<FlowRef> {
        if let Some(old) = self.find(key) {
            self.forget(&old);
        }
        let limit = self.node.limits.max_connections.load(Relaxed);
        if self.node.connections.load(Relaxed) >= limit {
            self.node.limits.reached.connections.note();
            return Err(ENOBUFS);
        }
        let unprotected = matches!(state, FlowState::Unprotected(_));
        let key = *key;
        let flow = rhashtable::Node::new(
            key_bytes(&key),
            try_pin_init!(Flow {
                key,
                state <- new_spinlock_bh!(state, "Flow::state"),
                ending: Atomic::new(false),
                awake: Atomic::new(false),
                muted: Atomic::new(false),
            }),
            GFP_ATOMIC,
        )?;
        // Counted first: it may be forgotten as soon as it is there.
        self.count(1, unprotected);
        self.flows
            .insert(flow.clone())
            .inspect_err(|_| self.count(-1, unprotected))?;
        Ok(flow)
    }

    /// Counts a connection in, or out.
    fn count(&self, change: i32, unprotected: bool) {
        // CAST: Two's complement: adding -1 modulo 2^n.
        self.node.connections.add(i64::from(change) as u64, Relaxed);
        self.connections.add(change as u32, Relaxed);
        if unprotected {
            self.unprotected.add(change as u32, Relaxed);
        }
    }

    /// Returns how many bytes the largest input of a client takes. Looks at all connections.
    pub(crate) fn largest_input(&self) -> u64 {
        let mut largest = 0;
        self.flows.for_each(|flow| {
            largest = largest.max(flow.state.lock().input_bytes());
            true
        });
        largest
    }

    /// Finds a connection. Callable from softirq and process context.
    pub(crate) fn find(&self, key: &Key) -> Option<FlowRef> {
        self.flows.get(key_bytes(key))
    }

    /// Forgets a connection. Callable from softirq and process context.
    pub(crate) fn forget(&self, flow: &FlowRef) {
        if !self.flows.remove(flow) {
            return;
        }
        let mut state = flow.state.lock();
        let was = mem::replace(&mut *state, FlowState::Gone);
        drop(state);
        self.count(-1, matches!(was, FlowState::Unprotected(_)));
    }

    /// Returns whether the connections are to stand still rather than to go on without protection.
    /// Callable from any context.
    pub(crate) fn stalls(&self) -> bool {
        self.tuning.on_peer_loss.load(Relaxed) == ON_PEER_LOSS_STALL
    }

    /// The connections are not to stand still any more. May sleep.
    pub(crate) fn stop_stalling(&self) {
        for flow in self.collect() {
            primary::stop_stalling(self, &flow);
        }
    }

    /// Returns whether something may wait for the backup. Callable from any context.
    pub(crate) fn waits_for_backup(&self) -> bool {
        self.node.channel.is_backed() || self.stalls()
    }

    /// Returns for how long something may wait for the backup, in jiffies.
    pub(crate) fn patience(&self) -> u64 {
        if self.stalls() {
            return u64::MAX;
        }
        // CAST: Widening.
        msecs_to_jiffies(self.tuning.commit_timeout_ms.load(Relaxed)) as u64
    }

    /// A connection that was protected is not any more. The caller has changed its state.
    pub(crate) fn count_unprotected(&self) {
        self.unprotected.add(1, Relaxed);
    }

    /// A connection that was not protected is so again. The caller has changed its state.
    pub(crate) fn count_resumed(&self) {
        // CAST: Two's complement: adding -1 modulo 2^32.
        self.unprotected.add(-1i32 as u32, Relaxed);
        self.node.stats.connections_resumed.inc();
    }

    /// Returns how many connections are not protected.
    pub(crate) fn unprotected(&self) -> u32 {
        self.unprotected.load(Relaxed)
    }

    /// Returns whether the log of a connection may begin anew after each answered request.
    pub(crate) fn has_safe_points(&self) -> bool {
        self.tuning.safe_points.load(Relaxed) == SAFE_POINTS_REQUEST
    }

    /// A connection was seen that is not protected, and for which there is no room.
    pub(crate) fn count_unnoted(&self) {
        self.unnoted.store(1, Relaxed);
        self.node.stats.connections_unnoted.inc();
    }

    fn forget_all(&self) {
        self.awake.lock().take();
        for flow in self.collect() {
            self.forget(&flow);
        }
    }

    /// Forgets the connections that have ended, and tells the peer of those that have come to rest.
    pub(crate) fn sweep(&self) {
        let sweeps = self.sweeps.load(Relaxed).wrapping_add(1);
        self.sweeps.store(sweeps, Relaxed);
        self.unnoted.store(0, Relaxed);
        let all = sweeps % SWEEP_ALL == 0;
        if !self.speaks() {
            if all {
                self.awake.lock().leave_out_resting();
            }
            return;
        }
        let backed = self.is_protected();
        let mut ended = KVec::new();
        let mut resting = KVec::new();
        // One that is left out for want of memory has its turn the next time.
        self.flows.for_each(|flow| {
            let looks_ended = all || flow.ending.load(Relaxed);
            if looks_ended && primary::is_served_here(&flow) && self.has_ended(&flow.key) {
                let _ = ended.push(flow, GFP_ATOMIC);
            } else if backed && resting.len() < RESTS_A_SWEEP && primary::settles(&flow) {
                let _ = resting.push(flow, GFP_ATOMIC);
            }
            true
        });
        for flow in ended {
            primary::closed(self, &flow);
        }
        for flow in resting {
            primary::note_rest(self, &flow);
        }
    }

    /// Returns whether a connection has neither a socket nor a request any more, or its socket is
    /// closed, but for what TIME_WAIT remembers.
    fn has_ended(&self, key: &Key) -> bool {
        self.find_socket(key).is_none_or(|socket| socket.is_over())
    }

    /// Finds the socket of a connection. Callable from softirq and process context.
    pub(crate) fn socket_of(&self, key: &Key) -> Option<Sock> {
        self.find_socket(key).filter(Sock::is_connected)
    }

    fn find_socket(&self, key: &Key) -> Option<Sock> {
        let ends = Ends {
            remote: key.client.addr.ip(),
            remote_port: key.client.port.get(),
            local: self.address,
            local_port: self.endpoint.port.get(),
        };
        Sock::find(&self.node.net, &ends, self.ifindex)
    }

    /// Ends all that goes on for the service, which has no hooks any more: what is held back is
    /// sent, and the sockets go on as ordinary ones. May sleep.
    pub(crate) fn stop(&self) {
        for flow in self.collect() {
            primary::release(self, &flow);
            self.forget(&flow);
        }
    }
}

/// Returns the bytes by which a connection is found.
fn key_bytes(key: &Key) -> &[u8; rhashtable::KEY_LEN] {
    zerocopy::transmute_ref!(key)
}
