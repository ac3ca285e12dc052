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
        print::warn_ratelimited, //
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
/// How many look-ups the peer has time for its Hello.
const HELLO_LOOK_UPS: i32 = 10;
/// How long to wait after an attempt that failed at once, in milliseconds.
const RETRY_MS: i64 = 50;

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
            let Ok((socket, peer)) = listener.accept(self.timeouts()) else {
                continue;
            };
            if peer.ip() == self.ends.peer.ip() {
                return Ok(socket);
            }
            self.node.stats.channel_refused.inc();
        }
        Err(EINTR)
    }

    /// Serves one connection until it ends.
    fn serve(&self, socket: Socket, stop: &Stop) -> Result {
        let channel = &self.node.channel;
        let socket = Arc::new(socket, GFP_KERNEL)?;
        channel.begin(&self.node, &socket)?;
        let mut input = Input {
            bytes: KVec::with_capacity(2 * MAX_FRAME, GFP_KERNEL)?,
            sequence: 0,
            session: 0,
        };
        let mut patience = HELLO_LOOK_UPS;
        while !stop.requested() {
            match socket.receive(&mut input.bytes) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e == EAGAIN && (input.session != 0 || patience > 0) => {
                    patience = patience.saturating_sub(1);
                    continue;
                }
                Err(_) => break,
            }
            if channel.has_lapsed() {
                self.node.doubt();
            }
            channel.heard();
            let confirmed = self.node.stats.confirmations_received.get();
            if let Err(reason) = self.take_frames(&mut input) {
                self.node.stats.malformed_records.inc();
                warn_ratelimited!("channel: {reason:?} from the peer, starting anew\n");
                break;
            }
            let is_answer = self.node.stats.confirmations_received.get() != confirmed;
            self.node.batch_received(is_answer);
        }
        Ok(())
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
            match this.connect(stop) {
                Ok(socket) => {
                    if let Err(e) = this.serve(socket, stop) {
                        warn_ratelimited!("channel: {e:?}\n");
                    }
                    // Not by our doing: the peer may have taken over, and hung up.
                    if this.node.channel.is_backed() && !stop.requested() {
                        this.node.doubt();
                    }
                    this.node.channel.hang_up();
                    this.node.session_ended();
                }
                // Refused at once, for instance.
                Err(_) => fsleep(Delta::from_millis(RETRY_MS)),
            }
        }
    }
}
