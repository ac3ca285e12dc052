// SPDX-License-Identifier: GPL-2.0

//! The way out: what was taken from the log and is going into the socket.
//!
//! The [sender](super::sender) waits for the socket as long as it takes. Whoever else has appended
//! something may send it without waking the sender, as far as the socket takes it at once.

use super::log::{
    Batch,
    Log, //
};
use crate::{
    kapi::net::socket::Wait,
    node::Node, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// The way out.
#[pin_data]
pub(super) struct Outlet {
    /// What is being sent. Records leave in their order, so whoever sends holds this.
    #[pin]
    current: Mutex<Option<Outgoing>>,
}

/// A batch that is on its way into the socket.
struct Outgoing {
    batch: Batch,
    /// How many of its frames are there.
    frames: usize,
    /// And how many bytes of the next one.
    bytes: usize,
}

impl Outlet {
    /// Creates an outlet that has nothing.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            current <- new_mutex!(None, "Outlet::current"),
        })
    }

    /// Forgets what is on its way, and the socket with it. May sleep.
    pub(super) fn clear(&self) {
        let _drop_outside_lock = self.current.lock().take();
    }

    /// Sends what waits now. Sleeps until the socket has taken it.
    pub(super) fn send(&self, node: &Node) {
        send(&mut self.current.lock(), node, Wait::Yes);
    }

    /// Sends what waits now, as far as that is possible at once. May sleep, but not for the peer.
    ///
    /// Returns whether nothing of it is left that another thread has to send.
    pub(super) fn try_send(&self, node: &Node) -> bool {
        self.current
            .try_lock()
            .is_some_and(|mut current| send(&mut current, node, Wait::No))
    }
}

/// Sends `current`, and then what the log has; not what comes meanwhile, as that might go on for ever, and
/// the caller has other things to do. Returns whether nothing is left of it.
fn send(current: &mut Option<Outgoing>, node: &Node, wait: Wait) -> bool {
    if let Some(rest) = current.take() {
        if !send_one(rest, current, node, wait) {
            return false;
        }
    }
    take(&node.channel.log).is_none_or(|next| send_one(next, current, node, wait))
}

/// Sends `outgoing`, or leaves the rest of it in `current`. Returns whether there is none.
fn send_one(outgoing: Outgoing, current: &mut Option<Outgoing>, node: &Node, wait: Wait) -> bool {
    match outgoing.send(node, wait) {
        Ok(batch) => {
            node.stats.records_sent.add(batch.records);
            node.channel.log.recycle(batch);
        }
        // A peer that is silent may be dead: its session, and what is held of its connections, is needed
        // until that is decided.
        Err((e, rest)) if e == EAGAIN && (wait == Wait::No || node.channel.is_silent()) => {
            *current = Some(rest);
            return false;
        }
        // The receiver notices, and begins anew.
        Err((_, rest)) => rest.batch.socket.shut_down(),
    }
    true
}

fn take(log: &Log) -> Option<Outgoing> {
    Some(Outgoing {
        batch: log.take()?,
        frames: 0,
        bytes: 0,
    })
}

impl Outgoing {
    /// Sends what has not been sent yet. Returns the batch, or why that was not all, and itself.
    fn send(mut self, node: &Node, wait: Wait) -> Result<Batch, (Error, Self)> {
        while let Some(frame) = self.batch.frames.get(self.frames) {
            kill_point!(node, Sending);
            let rest = frame.get(self.bytes..).unwrap_or_default();
            match self.batch.socket.send(rest, wait) {
                Ok(sent) if sent < rest.len() => self.bytes += sent,
                Ok(_) => {
                    self.frames += 1;
                    self.bytes = 0;
                }
                Err(e) => return Err((e, self)),
            }
        }
        Ok(self.batch)
    }
}
