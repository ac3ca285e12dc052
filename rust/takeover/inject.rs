// SPDX-License-Identifier: GPL-2.0

//! Segments in a client's name.

use crate::{
    kapi::net::skbuff::Injected,
    service::Service,
    wire::{
        key::Key,
        packet::Ip,
        record::{
            open,
            Open, //
        },
        segment::{
            flags,
            Header,
            Options,
            Timestamps,
            MAX_HEADER, //
        },
        seq::Seq, //
    },
};
use kernel::prelude::*;

/// How many bytes the timestamps option takes with its padding.
const TIMESTAMPS_LEN: u16 = 12;

/// A segment that is to be received from a client.
pub(super) struct Injection {
    header: Header,
    options: Options,
    payload: KVec<u8>,
    /// How much of the payload each segment of the client may have had.
    segment: u16,
}

impl Injection {
    /// Returns the SYN that the client sent once, as far as it was listened to.
    pub(super) fn syn(open: &Open) -> Self {
        let has = |flag: u8| open.flags & flag != 0;
        Self {
            header: Header {
                seq: Seq::new(open.incarnation.get()),
                flags: if has(open::ECN) {
                    flags::SYN | flags::ECE | flags::CWR
                } else {
                    flags::SYN
                },
                window: u16::MAX,
                ..Header::default()
            },
            options: Options {
                mss: Some(open.client_mss.get()),
                wscale: has(open::WSCALE).then_some(open.client_wscale),
                sack_permitted: has(open::SACK),
                timestamps: has(open::TIMESTAMPS).then_some(Timestamps {
                    val: open.client_tsval.get(),
                    ecr: 0,
                }),
                ..Options::default()
            },
            payload: KVec::new(),
            segment: 0,
        }
    }

    /// Returns an acknowledgement; `timestamps` are the client's, and the one that it echoes.
    pub(super) fn ack(seq: Seq, ack: Seq, window: u16, timestamps: Option<(u32, u32)>) -> Self {
        Self {
            header: Header {
                seq,
                ack,
                flags: flags::ACK,
                window,
                ..Header::default()
            },
            options: Options {
                timestamps: timestamps.map(|(val, ecr)| Timestamps { val, ecr }),
                ..Options::default()
            },
            payload: KVec::new(),
            segment: 0,
        }
    }

    /// Adds a payload, as if it had come in segments of at most `mss` bytes, options included. Does
    /// not sleep.
    pub(super) fn carry(&mut self, bytes: &[u8], fin: bool, mss: u16) -> Result {
        // As RFC 9293, section 3.7.1, has it: the options go off the size.
        let segment = mss.saturating_sub(TIMESTAMPS_LEN).max(1);
        self.segment = if bytes.len() > usize::from(segment) {
            segment
        } else {
            0
        };
        self.payload.extend_from_slice(bytes, GFP_ATOMIC)?;
        self.header.flags |= flags::PSH;
        if fin {
            self.header.flags |= flags::FIN;
        }
        Ok(())
    }

    /// Has the segment received now. Process context, without locks.
    pub(super) fn receive(self, service: &Service, key: &Key) -> Result {
        self.packet(key)?
            .receive(&service.node.net, service.ifindex())
    }

    /// Has the segment received soon, if there is memory for it; if not, the child asks again.
    /// Callable from softirq and process context.
    pub(super) fn receive_later(self, service: &Service, key: &Key) {
        if let Ok(packet) = self.packet(key) {
            // Without its device the service has no clients.
            let _ = packet.receive_later(&service.node.net, service.ifindex());
        }
    }

    fn packet(mut self, key: &Key) -> Result<Injected> {
        self.header.source = key.client.port.get();
        self.header.dest = key.service.port.get();
        let mut header = [0; MAX_HEADER];
        let len = self.header.emit(&self.options, &mut header);
        let header = header.get(..len).ok_or(EINVAL)?;
        let ip = Ip::emit(key.client.addr, key.service.addr, len + self.payload.len());
        let ip = ip.ok_or(EINVAL)?;
        Injected::new(ip.bytes(), header, &self.payload, self.segment)
    }
}
