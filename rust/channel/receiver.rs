// SPDX-License-Identifier: GPL-2.0

//! The thread that connects and receives.

use super::Ends;
use crate::{
    kapi::{
        kthread::{
            Run,
            Stop, //
        },
        net::socket::{
            Socket,
            Timeouts, //
        },
        print::warn_ratelimited,
        time, //
    },
    node::Node,
    wire::{
        frame::{
            self,
            WireError,
            MAX_FRAME, //
        },
        record::{
            self,
            Record, //
        }, //
    },
};
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    str::CStr,
    sync::{
        Arc,
        ArcBorrow, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// How often a blocked call looks up, in milliseconds.
const LOOK_UP_MS: u32 = 200;
/// How much time the peer has for its Hello, in milliseconds.
const HELLO_MS: u64 = 2000;
/// How long to wait before the next attempt, in milliseconds; and after a session that ended soon, as each end
/// of one has work done for all that is served.
const RETRY_MS: u64 = 50;
const SHORT_RETRY_MS: u64 = 4 * RETRY_MS;
/// A session that lasts for longer than that, in milliseconds, has not ended soon.
const SHORT_MS: u64 = 5000;

/// The thread's state.
pub(super) struct Receiver {
    node: Arc<Node>,
    ends: Ends,
}

/// Bytes as they come, and the number of the next frame.
struct Input {
    bytes: KVec<u8>,
    sequence: u32,
    session: u32,
}

impl Receiver {
    pub(super) fn new(node: &Arc<Node>, ends: Ends) -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                node: node.clone(),
                ends,
            },
            GFP_KERNEL,
        )?)
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts {
            receive: LOOK_UP_MS,
            send: self.node.channel.peer_timeout_ms(),
        }
    }

    /// Makes the connection, or waits for it.
    fn connect(&self, stop: &Stop) -> Result<Socket> {
        if self.ends.connects() {
            let from = SocketAddr::new(self.ends.local.ip(), 0);
            let socket = Socket::bound(&self.node.net, from, self.timeouts())?;
            socket.connect(self.ends.peer)?;
            return Ok(socket);
        }
        let listener = Socket::bound(&self.node.net, self.ends.local, self.timeouts())?;
        listener.listen()?;
        while !stop.requested() {
            match listener.accept(self.timeouts()) {
                Ok((socket, peer)) if peer.ip() == self.ends.peer.ip() => return Ok(socket),
                Ok(_) => self.node.stats.channel_refused.inc(),
                Err(e) if e == EAGAIN => {}
                // Somebody has closed the listener, for one: with another one.
                Err(e) => return Err(e),
            }
        }
        Err(EINTR)
    }

    /// Serves one connection until it ends. Returns whether the peer has said Hello.
    fn serve(&self, socket: Socket, stop: &Stop) -> Result<bool> {
        let channel = &self.node.channel;
        let socket = Arc::new(socket, GFP_KERNEL)?;
        channel.begin(&self.node, &socket)?;
        let mut input = Input {
            bytes: KVec::with_capacity(2 * MAX_FRAME, GFP_KERNEL)?,
            sequence: 0,
            session: 0,
        };
        let patience_ends_ms = time::now_ms() + HELLO_MS;
        while !stop.requested() {
            let received = socket.receive(&mut input.bytes);
            if input.session == 0 && time::now_ms() > patience_ends_ms {
                break;
            }
            match received {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e == EAGAIN => continue,
                Err(_) => break,
            }
            // Whoever has not said Hello may not be the peer.
            if input.session != 0 {
                self.heard();
            }
            let confirmed = self.node.stats.confirmations_received.get();
            if let Err(reason) = self.take_frames(&mut input) {
                self.node.stats.malformed_records.inc();
                warn_ratelimited!("channel: {reason:?} from the peer, starting anew\n");
                break;
            }
            let is_answer = self.node.stats.confirmations_received.get() != confirmed;
            self.node.batch_received(is_answer);
        }
        Ok(input.session != 0)
    }

    /// The peer is heard. The director has to know if nothing has waited for it until now; and if that was so
    /// without anybody having noticed, it may have taken over.
    fn heard(&self) {
        if self.node.channel.has_lapsed() {
            self.node.doubt();
        }
        if self.node.channel.heard() {
            self.node.desk.ring();
        }
    }

    /// Serves the next connection, if one is to be had. Returns how long to wait before the one behind it, in
    /// milliseconds.
    fn serve_next(&self, stop: &Stop) -> u64 {
        let Ok(socket) = self.connect(stop) else {
            return RETRY_MS;
        };
        let began = time::now_ms();
        let served = self.serve(socket, stop);
        if let Err(e) = served {
            warn_ratelimited!("channel: {e:?}\n");
        }
        // Not by our doing: the peer may have taken over, and hung up.
        if self.node.channel.is_backed() && !stop.requested() {
            self.node.doubt();
        }
        self.node.channel.hang_up();
        // Without a Hello there was no session that could end.
        if !served.unwrap_or(false) {
            return RETRY_MS;
        }
        self.node.session_ended();
        if time::now_ms() - began < SHORT_MS {
            SHORT_RETRY_MS
        } else {
            RETRY_MS
        }
    }

    /// Takes in all frames that are complete.
    fn take_frames(&self, input: &mut Input) -> Result<(), WireError> {
        let mut used = 0;
        while let Some(header) = input.bytes.get(used..).and_then(|b| b.first_chunk()) {
            let length = frame::check_header(header, input.sequence)?;
            let start = used + frame::HEADER;
            let Some(records) = input.bytes.get(start..start + length) else {
                break;
            };
            take_records(&self.node, &mut input.session, records)?;
            used = start + length;
            input.sequence = input.sequence.wrapping_add(1);
        }
        let left = input.bytes.len() - used;
        input.bytes.copy_within(used.., 0);
        input.bytes.truncate(left);
        Ok(())
    }
}

/// Takes in the records of one frame; `session` is 0 until the peer has said Hello.
fn take_records(node: &Arc<Node>, session: &mut u32, mut records: &[u8]) -> Result<(), WireError> {
    while !records.is_empty() {
        let (record, rest) = record::split_first(records)?;
        node.stats.records_received.inc();
        match record {
            Record::Hello(hello) if *session == 0 => {
                *session = node.channel.establish();
                node.session_began(hello);
            }
            // Everything begins with a Hello, and there is one only.
            Record::Hello(_) => return Err(WireError::BadValue),
            _ if *session == 0 => return Err(WireError::BadValue),
            record => node.received(&record)?,
        }
        records = rest;
    }
    Ok(())
}

impl Run for Receiver {
    const NAME: &'static CStr = c"tcpfo/receive";
    // Peers that are heard too late are taken for dead.
    const NICE: c_long = -20;

    fn run(this: ArcBorrow<'_, Self>, stop: &Stop) {
        while !stop.requested() {
            let pause_ms = this.serve_next(stop);
            for _ in 0..pause_ms / RETRY_MS {
                if !stop.requested() {
                    // CAST: A small number.
                    fsleep(Delta::from_millis(RETRY_MS as i64));
                }
            }
        }
    }
}
