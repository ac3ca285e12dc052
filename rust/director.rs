// SPDX-License-Identifier: GPL-2.0

//! The thread that sees to it that things happen in time: it watches the peer's silence, moves
//! services from state to state, carries takeovers on, and sweeps out what has ended.

use crate::{
    events,
    kapi::{
        kthread::{
            Run,
            Stop,
            Thread, //
        },
        signal::{
            new_signal,
            Signal, //
        },
        time, //
    },
    node::Node,
    primary::resync,
    service::Service,
    takeover, //
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CStr,
    sync::{
        Arc,
        ArcBorrow,
        Mutex, //
    }, //
};

/// How often what has ended is swept out, and the longest the director sleeps, in milliseconds.
const SWEEP_MS: u64 = 1000;

/// After how many time-outs of silence a session is ended. Until then the peer may come back and
/// hear all that it has missed.
const HANG_UP_AFTER: u64 = 8;

/// Where the director is told that there is something to do.
#[pin_data]
pub(crate) struct Desk {
    /// Rung, or not since the director last looked.
    #[pin]
    bell: Signal,
    /// The director, from when there may be something to do for the first time. Held while it starts.
    #[pin]
    director: Mutex<Option<Thread>>,
}

impl Desk {
    /// Creates a desk that is closed, and whose bell was not rung.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            bell <- new_signal!("Desk::bell"),
            director <- new_mutex!(None, "Desk::director"),
        })
    }

    /// Has the director come, unless it is there. To be called before anything of `node`, whose desk it is,
    /// is set going: where nothing ever is, there is no thread that looks for it. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EINTR` if the caller was killed meanwhile.
    pub(crate) fn open(&self, node: &Arc<Node>) -> Result {
        let mut director = self.director.lock();
        if director.is_none() {
            *director = Some(Thread::spawn(Director::new(node)?)?);
        }
        Ok(())
    }

    /// Stops the director, if there is one. Until then it has a reference to its node. May sleep.
    pub(crate) fn close(&self) {
        let _drop_outside_lock = self.director.lock().take();
    }

    /// Tells the director to look. Callable from any context.
    pub(crate) fn ring(&self) {
        self.bell.raise();
    }

    /// Waits for the bell, for at most `ms` milliseconds. What the director does in time it should not do
    /// some ticks late: a takeover has several waits, one behind the other.
    fn wait(&self, stop: &Stop, ms: u64) {
        self.bell.wait(stop, ms * 1000);
    }
}

/// The thread's state.
struct Director {
    node: Arc<Node>,
}

impl Director {
    /// Creates the director of a node.
    fn new(node: &Arc<Node>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { node: node.clone() }, GFP_KERNEL)?)
    }

    /// Returns the running services.
    fn services(&self) -> KVec<Arc<Service>> {
        let mut services = KVec::new();
        self.node.each_service(|service| {
            // As above: the next time.
            let _ = services.push(service.clone(), GFP_KERNEL);
        });
        services
    }

    /// Gives up a peer that has been silent for too long.
    ///
    /// A service that speaks has asked for its address before nothing waits for the peer any more;
    /// here it is only seen to it that the silence is noticed where no service speaks.
    fn watch_channel(&self, services: &[Arc<Service>]) {
        let channel = &self.node.channel;
        let limit_us = u64::from(channel.peer_timeout_ms()) * 1000;
        let silence_us = channel.silence_us().unwrap_or(0);
        if silence_us >= limit_us && !services.iter().any(|s| s.speaks()) {
            self.node.peer_silent();
        }
        let dead = silence_us >= HANG_UP_AFTER * limit_us;
        if channel.session() != 0 && (dead || channel.has_failed()) {
            channel.hang_up();
        }
    }
}

/// Sees to the hooks that services need for takeovers, but not while there is one: to remove them is to
/// wait for all processors, and then one at a time is enough.
fn see_to_early_hooks(services: &[Arc<Service>]) {
    if services.iter().any(|s| s.takeover.is_going_on()) {
        return;
    }
    for service in services {
        if service.see_to_early_hooks() {
            return;
        }
    }
}

impl Run for Director {
    const NAME: &'static CStr = c"tcpfo/director";
    // Peers that are heard too late are taken for dead.
    const NICE: c_long = -20;

    fn run(this: ArcBorrow<'_, Self>, stop: &Stop) {
        let mut next_sweep = 0;
        while !stop.requested() {
            let now = time::now_ms();
            let mut next = now + SWEEP_MS;
            let services = this.services();
            for service in &services {
                next = next.min(service.decide(now));
            }
            this.watch_channel(&services);
            for service in &services {
                next = next.min(takeover::advance(service));
                next = next.min(resync::advance(service, now));
            }
            events::look_at_peer(&this.node);
            for service in &services {
                events::look_at_service(service);
            }
            if now >= next_sweep {
                for service in &services {
                    service.sweep();
                }
                see_to_early_hooks(&services);
                events::look_at_limits(&this.node);
                next_sweep = now + SWEEP_MS;
            }
            let left = next.saturating_sub(time::now_ms());
            this.node.desk.wait(stop, left);
        }
    }
}
