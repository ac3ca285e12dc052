// SPDX-License-Identifier: GPL-2.0

//! A node: what one net namespace is to the cluster. It owns the channel, the limits, the counters
//! and the running services, and hands what comes over the channel to whom it concerns.
//!
//! Lock order: `Node::confirmations`, then `Node::services` or a service's takeover queue, then
//! [`Flow::state`](crate::service::Flow), then the log: all of it in `Documentation/locking.rst`. Socket locks are
//! taken with none of the spinlocks held.

use crate::{
    backup::Confirmations,
    channel::Channel,
    director::Desk,
    events::{
        self,
        Events,
        PeerTold,
        Reached, //
    },
    kapi::{
        net::namespace::Net,
        random,
        time, //
    },
    primary,
    service::Service,
    stats::Stats,
    wire::{
        frame::WireError,
        key::Endpoint,
        record::{
            Hello,
            Record, //
        }, //
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};

/// How much a node may hold.
pub(crate) struct Limits {
    /// Connections, tracked or held as replicas.
    pub(crate) max_connections: Atomic<u64>,
    /// Bytes of the log, and of all replicas together.
    pub(crate) max_log_bytes: Atomic<u64>,
    /// Bytes of one replica.
    pub(crate) max_log_bytes_per_connection: Atomic<u64>,
    /// How often they were reached.
    pub(crate) reached: Reached,
}

impl Limits {
    const fn new() -> Self {
        Self {
            max_connections: Atomic::new(65536),
            max_log_bytes: Atomic::new(1 << 30),
            max_log_bytes_per_connection: Atomic::new(256 << 20),
            reached: Reached::new(),
        }
    }

    /// Returns how many bytes may wait in the log.
    pub(crate) fn log_bytes(&self) -> usize {
        usize::try_from(self.max_log_bytes.load(Relaxed)).unwrap_or(usize::MAX)
    }
}

/// One net namespace's part in the cluster.
#[pin_data]
pub(crate) struct Node {
    /// The namespace.
    pub(crate) net: Net,
    /// A random number: another one after each start.
    pub(crate) id: u64,
    /// The counters.
    pub(crate) stats: Stats,
    /// The limits.
    pub(crate) limits: Limits,
    /// The events.
    #[pin]
    pub(crate) events: Events,
    /// What listeners know of the peer.
    #[pin]
    pub(crate) told: Mutex<PeerTold>,
    /// The channel to the peer.
    #[pin]
    pub(crate) channel: Channel,
    /// Where the director is told that there is something to do.
    #[pin]
    pub(crate) desk: Desk,
    /// The running services.
    #[pin]
    services: Mutex<KVec<Arc<Service>>>,
    /// How many connections there are, of all services.
    pub(crate) connections: Atomic<u64>,
    /// How many bytes the replicas hold.
    pub(crate) replica_bytes: Atomic<u64>,
    /// The peer's [`Self::id`].
    peer_id: Atomic<u64>,
    /// The peer's clock less ours, in milliseconds, modulo 2^64.
    peer_clock_ahead_ms: Atomic<u64>,
    /// What is to be confirmed when the present batch has been taken in. Only the receiver's.
    #[pin]
    confirmations: Mutex<Confirmations>,
}

impl Node {
    /// Creates the node of `net`.
    pub(crate) fn new(net: Net) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                net,
                id: random::random_u64(),
                stats: Stats::new(),
                limits: Limits::new(),
                events <- Events::new(net.clone()),
                told <- new_mutex!(PeerTold::new(), "Node::told"),
                channel <- Channel::new(),
                desk <- Desk::new(),
                services <- new_mutex!(KVec::new(), "Node::services"),
                connections: Atomic::new(0),
                replica_bytes: Atomic::new(0),
                peer_id: Atomic::new(0),
                peer_clock_ahead_ms: Atomic::new(0),
                confirmations <- new_mutex!(Confirmations::new(), "Node::confirmations"),
            }),
            GFP_KERNEL,
        )
    }

    /// Adds a service that has begun to run.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE` if there is one at this address and port, `ENOMEM`.
    pub(crate) fn add_service(&self, service: Arc<Service>) -> Result {
        let mut services = self.services.lock();
        if services.iter().any(|s| s.endpoint == service.endpoint) {
            return Err(EADDRINUSE);
        }
        services.push(service, GFP_KERNEL)?;
        Ok(())
    }

    /// Removes a service that has ceased to run.
    pub(crate) fn remove_service(&self, service: &Arc<Service>) {
        self.services.lock().retain(|s| !Arc::ptr_eq(s, service));
    }

    /// Shows each running service to `visit`. May sleep.
    pub(crate) fn each_service(&self, mut visit: impl FnMut(&Arc<Service>)) {
        let mut all = KVec::new();
        for service in self.services.lock().iter() {
            // One that is left out for want of memory has its turn the next time.
            let _ = all.push(service.clone(), GFP_KERNEL);
        }
        for service in &all {
            visit(service);
        }
    }

    /// Returns the running service at `endpoint`.
    pub(crate) fn service(&self, endpoint: &Endpoint) -> Option<Arc<Service>> {
        let services = self.services.lock();
        services.iter().find(|s| s.endpoint == *endpoint).cloned()
    }

    /// Returns how many bytes the largest input of a client takes, of all services. May sleep.
    pub(crate) fn largest_input(&self) -> u64 {
        let mut largest = 0;
        self.each_service(|service| largest = largest.max(service.largest_input()));
        largest
    }

    /// Returns whether the peer comes first where somebody has to; false if it was never heard.
    pub(crate) fn is_outranked(&self) -> bool {
        self.peer_id.load(Relaxed) > self.id
    }

    /// Returns the peer's clock less ours, as far as it is known in this session, in milliseconds,
    /// modulo 2^64.
    pub(crate) fn peer_clock_ahead_ms(&self) -> u64 {
        self.peer_clock_ahead_ms.load(Relaxed)
    }

    /// A session has begun: what was held of the last one's connections is of no use any more.
    pub(crate) fn session_began(&self, hello: &Hello) {
        self.confirmations.lock().forget();
        self.peer_id.store(hello.node.get(), Relaxed);
        self.peer_clock_ahead_ms.store(0, Relaxed);
        self.stats.sessions.inc();
        pr_info!("channel up\n");
        self.each_service(|service| service.session_changed());
        self.tell();
    }

    /// The peer has been silent for too long: nothing waits for it until it is heard again.
    pub(crate) fn peer_silent(&self) {
        if self.channel.degrade() {
            let silence = self.channel.silence_us().unwrap_or(0);
            self.stats.peer_losses.inc();
            pr_info!("peer silent for {} ms\n", silence / 1000);
            self.tell();
        }
    }

    /// This node may have been asleep for so long that the peer has taken over: whatever it speaks
    /// for waits until it is known.
    pub(crate) fn doubt(&self) {
        self.each_service(|service| service.doubt());
        self.desk.ring();
    }

    /// The session has ended. A peer that lives goes on without this node from
    /// here on, so what is held of its connections is stale.
    pub(crate) fn session_ended(&self) {
        self.each_service(|service| service.session_changed());
        self.tell();
        self.desk.ring();
    }

    /// Tells listeners what is new, before it can be undone. May sleep.
    fn tell(&self) {
        events::look_at_peer(self);
        self.each_service(|service| events::look_at_service(service));
    }

    /// Takes in a record of the session.
    pub(crate) fn received(self: &Arc<Self>, record: &Record<'_>) -> Result<(), WireError> {
        match record {
            // A second one does not get here.
            Record::Hello(_) => {}
            Record::Heartbeat(beat) => self.heard_clock(beat.clock_ms.get()),
            Record::Service(status) => {
                if let Some(service) = self.service(&status.service) {
                    service.peer_says(status);
                }
            }
            Record::Open(open) => self.confirmations.lock().open(self, open),
            Record::Data(data, bytes) => self.confirmations.lock().data(self, data, bytes),
            Record::Place(place) => self.confirmations.lock().place(self, place),
            Record::Close(close) => self.confirmations.lock().close(self, close),
            Record::Handover(handover) => {
                if let Some(service) = self.service(&handover.service) {
                    service.handed_over();
                }
            }
            Record::Confirm(confirm) => {
                self.stats.confirmations_received.inc();
                self.channel.latency.confirmed(confirm, &self.stats);
                if let Some(service) = self.service(&confirm.key.service) {
                    primary::confirmed(&service, confirm)?;
                }
            }
        }
        Ok(())
    }

    /// Waits until no record about a connection is being taken in, and has those that come wait until
    /// what is returned is dropped. May sleep.
    pub(crate) fn pause_records(&self) -> impl Drop + '_ {
        self.confirmations.lock()
    }

    /// The receiver has taken in all that was there; `is_answer` is whether it has confirmed something.
    pub(crate) fn batch_received(&self, is_answer: bool) {
        let owes_answer = self.confirmations.lock().finish(self);
        self.channel.batch_received(self, is_answer, owes_answer);
    }

    /// Of the many offsets between the clocks that the heartbeats suggest, the largest is right:
    /// what makes it smaller is the time that a heartbeat was under way.
    fn heard_clock(&self, clock_ms: u64) {
        let ahead = clock_ms.wrapping_sub(time::now_ms());
        let known = self.peer_clock_ahead_ms.load(Relaxed);
        // CAST: Compared as signed numbers.
        if known == 0 || ahead as i64 > known as i64 {
            self.peer_clock_ahead_ms.store(ahead, Relaxed);
        }
    }
}
