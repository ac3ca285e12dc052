// SPDX-License-Identifier: GPL-2.0

//! The channel: one TCP connection to the peer, over a network of its own.
//!
//! The node with the lower address connects, the other one listens. Three threads serve it: the
//! [`receiver`] makes the connection, reads, and sends what answers that; the [`gatherer`] sends what
//! somebody waits for, and the [`sender`] what has waited for long enough, and the heartbeats. All of it
//! is what the [`log`] has, and leaves through the [`outlet`]. None of them knows what the records mean;
//! the [`Node`](crate::node::Node) does.

mod gatherer;
pub(crate) mod latency;
pub(crate) mod log;
mod outlet;
mod receiver;
mod sender;

use crate::{
    director::Desk,
    kapi::{
        kthread::Thread,
        net::socket::Socket,
        time, //
    },
    node::Node,
    wire::{
        key::Addr,
        record::{
            Body,
            Hello, //
        }, //
    },
};
use core::net::SocketAddr;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc,
        Mutex, //
    },
};
use latency::Latency;
use log::Log;
use outlet::Outlet;

/// Where the channel goes, and how long silence may last.
#[derive(Clone, Copy)]
pub(crate) struct Config {
    /// This node's address.
    pub(crate) local: Option<Addr>,
    /// The peer's address.
    pub(crate) peer: Option<Addr>,
    /// The port, the same on both nodes.
    pub(crate) port: u16,
}

/// The ends of the channel, once both are known.
#[derive(Clone, Copy)]
struct Ends {
    local: SocketAddr,
    peer: SocketAddr,
}

impl Ends {
    fn of(config: &Config) -> Result<Self> {
        let end = |addr: Option<Addr>| -> Result<SocketAddr> {
            Ok((addr.ok_or(EINVAL)?.ip(), config.port).into())
        };
        Ok(Self {
            local: end(config.local)?,
            peer: end(config.peer)?,
        })
    }

    /// Whether this node is the one that connects.
    fn connects(&self) -> bool {
        self.local.ip() < self.peer.ip()
    }
}

/// The channel of one net namespace.
#[pin_data]
pub(crate) struct Channel {
    /// The log of what is to be sent.
    #[pin]
    pub(crate) log: Log,
    /// Where it leaves.
    #[pin]
    outlet: Outlet,
    /// How long the peer takes to confirm.
    #[pin]
    pub(crate) latency: Latency,
    /// Protects the addresses. Outermost of the channel's locks.
    #[pin]
    config: Mutex<Config>,
    /// The threads, while the channel is enabled.
    #[pin]
    threads: Mutex<Option<Threads>>,
    /// The number of the session, from the peer's Hello on; 0 while there is none.
    session: Atomic<u32>,
    last_session: Atomic<u32>,
    /// 1 if a record without which the session is worth nothing could not be appended.
    failed: Atomic<u32>,
    /// 1 from when the peer has been silent for too long until it is heard again: nothing waits for
    /// it then, but what it has not heard of yet is still on its way to it.
    degraded: Atomic<u32>,
    /// When the peer was last heard, on the clock that goes on while the system is suspended: a silence that
    /// this node has slept through is one, too. 0: it never was.
    heard_us: Atomic<u64>,
    /// Until when what comes may be old, on the same clock: it may have waited for this node to wake up.
    old_until_us: Atomic<u64>,
    /// How often a heartbeat is sent, in milliseconds.
    pub(crate) heartbeat_ms: Atomic<u32>,
    peer_timeout_ms: Atomic<u32>,
}

struct Threads {
    _sender: Thread,
    _gatherer: Thread,
    _receiver: Thread,
}

/// The default of `channel/heartbeat_interval_ms`.
const HEARTBEAT_MS: u32 = 100;
/// The default of `channel/peer_timeout_ms`.
const PEER_TIMEOUT_MS: u32 = 500;
/// The default of `channel/port`.
const PORT: u16 = 7789;
/// After how much silence what comes may be old, in microseconds, and for how long: until all that has waited
/// is taken in, by far.
const LONG_US: u64 = 500_000;
const OLD_US: u64 = 2_000_000;

impl Channel {
    /// Creates a channel that is not enabled.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            log <- Log::new(),
            outlet <- Outlet::new(),
            latency <- Latency::new(),
            config <- new_mutex!(
                Config {
                    local: None,
                    peer: None,
                    port: PORT,
                },
                "Channel::config"
            ),
            threads <- new_mutex!(None, "Channel::threads"),
            session: Atomic::new(0),
            last_session: Atomic::new(0),
            failed: Atomic::new(0),
            degraded: Atomic::new(0),
            heard_us: Atomic::new(0),
            old_until_us: Atomic::new(0),
            heartbeat_ms: Atomic::new(HEARTBEAT_MS),
            peer_timeout_ms: Atomic::new(PEER_TIMEOUT_MS),
        })
    }

    /// Returns where the channel goes.
    pub(crate) fn config(&self) -> Config {
        *self.config.lock()
    }

    /// Changes where the channel goes.
    ///
    /// # Errors
    ///
    /// `EBUSY` while the channel is enabled, or whatever `change` returns.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Config) -> Result) -> Result {
        let mut config = self.config.lock();
        if self.is_enabled() {
            return Err(EBUSY);
        }
        change(&mut config)
    }

    /// Returns whether the channel is enabled.
    pub(crate) fn is_enabled(&self) -> bool {
        self.threads.lock().is_some()
    }

    /// Starts the threads. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if an address is missing, or both are the same or of different families, `ENOMEM`.
    pub(crate) fn enable(&self, node: &Arc<Node>) -> Result {
        let config = self.config.lock();
        let ends = Ends::of(&config)?;
        if ends.local.ip() == ends.peer.ip() || ends.local.is_ipv4() != ends.peer.is_ipv4() {
            return Err(EINVAL);
        }
        let mut threads = self.threads.lock();
        if threads.is_none() {
            self.heard_us.store(0, Relaxed);
            *threads = Some(Threads {
                _sender: Thread::spawn(sender::Sender::new(node)?)?,
                _gatherer: Thread::spawn(gatherer::Gatherer::new(node)?)?,
                _receiver: Thread::spawn(receiver::Receiver::new(node, ends)?)?,
            });
        }
        Ok(())
    }

    /// Stops the threads and ends the session. May sleep.
    pub(crate) fn disable(&self) {
        // Nobody enables it anew before all of this session is gone.
        let _config = self.config.lock();
        let threads = self.threads.lock().take();
        self.hang_up();
        drop(threads);
        self.outlet.clear();
        self.heard_us.store(0, Relaxed);
    }

    /// Returns the number of the session, 0 if there is none. Callable from any context.
    pub(crate) fn session(&self) -> u32 {
        self.session.load(Acquire)
    }

    /// Appends a record that means something in this session only, to be sent at once. Callable from softirq
    /// and process context.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`]; `ENOTCONN` also if the session has ended.
    pub(crate) fn append_in<B: Body>(&self, session: u32, body: &B) -> Result {
        // It ends before its log is closed, so no later one's is open while it lasts.
        self.log
            .append_if(body, || session != 0 && self.session() == session)
    }

    /// A record was appended, or not, without which what the peer holds is worth nothing: if not, the
    /// director ends the session. Callable from softirq and process context.
    pub(crate) fn depend_on(&self, appended: Result, desk: &Desk) {
        match appended {
            // Without a session the peer holds nothing.
            Ok(()) => {}
            Err(e) if e == ENOTCONN => {}
            Err(_) => {
                self.failed.store(1, Relaxed);
                desk.ring();
            }
        }
    }

    /// All of a batch from the peer was taken in: `is_answer` is whether it has confirmed something,
    /// `owes_answer` whether it is to be confirmed itself. Sends what that calls for, without waking the
    /// sender if that can be. May sleep, but does not wait for the peer.
    pub(crate) fn batch_received(&self, node: &Node, is_answer: bool, owes_answer: bool) {
        let more = is_answer && self.log.is_answered();
        if (more || owes_answer) && !self.outlet.try_send(node) {
            self.log.wake_sender();
        }
    }

    /// Returns whether the session has to end.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed) != 0
    }

    /// Ends the session, if there is one; a new one begins when the peer is back. May sleep.
    pub(crate) fn hang_up(&self) {
        self.session.store(0, Release);
        self.log.close();
    }

    /// Returns for how long nothing has been heard of the peer, in microseconds; [`None`] if nothing
    /// ever was.
    pub(crate) fn silence_us(&self) -> Option<u64> {
        // Before the clock, so that what is heard in between makes it no longer.
        match self.heard_us.load(Acquire) {
            0 => None,
            heard => Some(time::boot_us().saturating_sub(heard)),
        }
    }

    /// Returns whether the peer was silent for half of what makes it count as lost: several heartbeats have not
    /// come.
    fn is_silent(&self) -> bool {
        self.silence_us()
            .is_some_and(|us| us > self.peer_timeout_us() / 2)
    }

    /// Returns whether what comes now may have been sent long ago.
    pub(crate) fn may_be_old(&self) -> bool {
        time::boot_us() < self.old_until_us.load(Relaxed)
    }

    /// Returns whether a session exists only because nobody has noticed yet that the peer has been
    /// silent for too long, as after this node was paused. Callable from any context.
    pub(crate) fn has_lapsed(&self) -> bool {
        // Not in jiffies: after a pause packets are seen before they have caught up.
        self.is_backed()
            && self
                .silence_us()
                .is_some_and(|us| us > self.peer_timeout_us())
    }

    /// Returns whether there is a session with a peer that is not silent. Callable from any context.
    pub(crate) fn is_backed(&self) -> bool {
        self.session() != 0 && self.degraded.load(Acquire) == 0
    }

    /// Returns whether what the peer said `ago_us` microseconds ago may still be so: it would have
    /// said something else by now, or nothing of the kind any more.
    pub(crate) fn status_holds(&self, ago_us: u64) -> bool {
        ago_us <= self.peer_timeout_us()
    }

    fn peer_timeout_us(&self) -> u64 {
        u64::from(self.peer_timeout_ms()) * 1000
    }

    /// Has nothing wait for the peer until it is heard again. Returns whether that is news.
    pub(crate) fn degrade(&self) -> bool {
        self.degraded.xchg(1, Full) == 0 && self.session() != 0
    }

    /// Returns after how much silence the peer counts as lost, in milliseconds.
    pub(crate) fn peer_timeout_ms(&self) -> u32 {
        self.peer_timeout_ms.load(Relaxed)
    }

    /// Sets the interval of heartbeats and the silence after which the peer counts as lost, either
    /// of them if the other is [`None`]. In milliseconds.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the time-out is not at least twice the interval.
    pub(crate) fn set_times(&self, heartbeat: Option<u32>, peer_timeout: Option<u32>) -> Result {
        let _config = self.config.lock();
        let heartbeat = heartbeat.unwrap_or(self.heartbeat_ms.load(Relaxed));
        let peer_timeout = peer_timeout.unwrap_or(self.peer_timeout_ms());
        if peer_timeout < 2 * heartbeat {
            return Err(EINVAL);
        }
        self.heartbeat_ms.store(heartbeat, Relaxed);
        self.peer_timeout_ms.store(peer_timeout, Relaxed);
        // It waits for when the next heartbeat was due.
        self.log.wake_sender();
        Ok(())
    }

    /// A connection stands: records may be sent.
    fn begin(&self, node: &Node, socket: &Arc<Socket>) -> Result {
        self.failed.store(0, Relaxed);
        let hello = Hello {
            node: node.id.into(),
        };
        self.log
            .open(node.limits.log_bytes(), socket.clone(), &hello)
    }

    /// The peer has said Hello.
    fn establish(&self) -> u32 {
        let number = self.last_session.load(Relaxed).wrapping_add(1).max(1);
        self.last_session.store(number, Relaxed);
        self.heard();
        // Nothing of this one has been sent before.
        self.old_until_us.store(0, Relaxed);
        self.session.store(number, Release);
        number
    }

    /// Takes note that the peer was heard, and returns whether nothing has waited for it any more. If that
    /// comes so late that it may have taken over, without this node having noticed the silence, the node has
    /// to be in doubt before.
    fn heard(&self) -> bool {
        let now_us = time::boot_us();
        if self.silence_us().is_some_and(|us| us > LONG_US) {
            self.old_until_us.store(now_us + OLD_US, Relaxed);
        }
        self.heard_us.store(now_us, Release);
        let was_degraded = self.degraded.load(Relaxed) != 0;
        if was_degraded {
            self.degraded.store(0, Release);
        }
        was_degraded
    }
}
