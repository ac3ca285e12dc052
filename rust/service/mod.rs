// SPDX-License-Identifier: GPL-2.0

//! A running service: what it consists of, and how it stands on this node.

mod connections;
pub(crate) mod hooks;
pub(crate) mod ownership;
mod settings;
mod speaking;
mod tuning;

use crate::{
    backup::Awake,
    events,
    kapi::{
        llist::Stack,
        net::netdevice,
        rhashtable::Table,
        sync::{
            new_spinlock_bh,
            SpinLockBh, //
        },
        time, //
    },
    node::Node,
    primary::resync::Resync,
    takeover::{
        Report,
        Takeover, //
    },
    wire::{
        key::Endpoint,
        record, //
    },
};
pub(crate) use connections::{
    is_replica,
    Flow,
    FlowRef,
    FlowState, //
};
use core::net::IpAddr;
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
            Relaxed, //
        },
        Arc,
        CondVar,
        Mutex, //
    }, //
};
use ownership::{
    Ownership,
    Role,
    State, //
};
use settings::Compared;
use speaking::ANNOUNCEMENTS;
pub(crate) use tuning::{
    Tuning,
    ON_PEER_LOSS_DEGRADE,
    ON_PEER_LOSS_STALL,
    SAFE_POINTS_REQUEST,
    SAFE_POINTS_WHOLE, //
};

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
    device: CString,
    /// Its number when it was last looked for; 0: there is none.
    ifindex: Atomic<c_int>,
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
    pub(crate) awake: Awake,
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
    /// The sweeps until now. The director's.
    sweeps: Atomic<u32>,
    /// Whether the peer stood by at the last one. The director's.
    was_backed: Atomic<bool>,
    /// The connections at which the next sweep has to look: something has passed on them since the last one,
    /// or it was not done with them.
    pub(crate) recent: Stack<Flow>,
}

/// What the operator has said of a service.
pub(crate) struct Definition {
    /// What it is called.
    pub(crate) name: CString,
    /// Its address and port.
    pub(crate) endpoint: Endpoint,
    /// The device behind which the clients are, and its number.
    pub(crate) device: (CString, c_int),
    /// What this node is to be.
    pub(crate) role: Role,
    /// What the operator may change at any time.
    pub(crate) tuning: Arc<Tuning>,
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
        let (device, ifindex) = definition.device;
        Arc::pin_init(
            try_pin_init!(Self {
                node,
                name: definition.name,
                endpoint: definition.endpoint,
                address,
                device,
                ifindex: Atomic::new(ifindex),
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
                awake <- Awake::new(),
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
                was_backed: Atomic::new(false),
                recent: Stack::new(),
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Returns the number of the device behind which the clients are, 0 if there is none. Callable from any
    /// context.
    pub(crate) fn ifindex(&self) -> c_int {
        self.ifindex.load(Relaxed)
    }

    /// Looks for the device: one that was made anew has another number. One that is there stays the one that
    /// it was, whatever it is called by now. May sleep.
    pub(crate) fn find_device(&self) {
        if !netdevice::exists(&self.node.net, self.ifindex()) {
            let found = netdevice::index_of(&self.node.net, &self.device);
            self.ifindex.store(found.unwrap_or(0), Relaxed);
        }
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
            && netdevice::has_link(&self.node.net, self.ifindex())
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
}
