// SPDX-License-Identifier: GPL-2.0

//! What a service sees of the packets: the hooks, and to whom each packet is handed.
//!
//! ```text
//!              this node speaks                     it does not
//! client  ->   primary: log                         drop (hold), no answer to who has the address
//!              takeover: hold, hear
//! service ->   primary: clamp, wait                 drop (mute), no claim of the address
//!              takeover: absorb, pass
//! ```
//!
//! Packets of other addresses and ports, and what is not TCP, go on unseen.

use super::{
    FlowState,
    Service, //
};
use crate::{
    kapi::net::{
        neighbour::Message,
        netfilter::{
            Hook,
            Packet,
            Point,
            Registration,
            Verdict, //
        }, //
    },
    primary, takeover,
    wire::{
        key::{
            Endpoint,
            Key, //
        },
        packet::{
            Ip,
            MAX_PARSED,
            USUALLY_PARSED, //
        },
        segment::{
            self,
            flags,
            Header,
            Options, //
        }, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc,
        ArcBorrow, //
    }, //
};

/// The hooks of a service. Dropping them waits for those that are running.
pub(crate) struct Hooks {
    _registrations: KVec<Pin<KBox<Registration<Service>>>>,
}

impl Hooks {
    /// Registers the hooks of `service`. May sleep.
    pub(crate) fn new(service: &Arc<Service>) -> Result<Self> {
        const V4: &[Point] = &[Point::Ipv4In, Point::Ipv4Out, Point::ArpIn, Point::ArpOut];
        const V6: &[Point] = &[Point::Ipv6In, Point::Ipv6Out];
        let points = if service.address.is_ipv4() { V4 } else { V6 };
        let mut registrations = KVec::with_capacity(points.len(), GFP_KERNEL)?;
        for &point in points {
            let hook = Registration::new(service.node.net, point, service.clone());
            registrations.push(KBox::pin_init(hook, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(Self {
            _registrations: registrations,
        })
    }
}

/// A TCP segment on its way through a hook.
pub(crate) struct Segment<'a> {
    /// The packet.
    pub(crate) packet: Packet<'a>,
    /// Where TCP begins, in bytes.
    pub(crate) tcp: usize,
    /// The TCP header.
    pub(crate) header: Header,
    /// The length of the payload, in bytes.
    pub(crate) len: usize,
    /// The client's end.
    pub(crate) client: Endpoint,
}

impl Segment<'_> {
    /// Returns the options.
    pub(crate) fn options(&self) -> Options {
        let start = self.tcp + segment::MIN_HEADER;
        let end = self.tcp + self.header.len;
        Options::parse(self.packet.data().get(start..end).unwrap_or_default())
    }

    /// Returns where the payload begins, in bytes.
    pub(crate) fn payload(&self) -> usize {
        self.tcp + self.header.len
    }
}

/// Reads the IP headers of `packet`, as many as there are.
fn ip_of(packet: &mut Packet<'_>) -> Option<Ip> {
    for want in [USUALLY_PARSED, MAX_PARSED] {
        let want = packet.len().min(want);
        if packet.data().len() < want && !packet.pull(want) {
            return None;
        }
        let ip = Ip::parse(packet.data());
        if ip.is_some() || !Ip::may_be_longer(packet.data()) {
            return ip;
        }
    }
    None
}

/// Which end of a packet is the service's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Dest,
}

impl Service {
    /// Returns the segment in `packet` if its `side` is this service, else the packet.
    fn segment<'a>(&self, mut packet: Packet<'a>, side: Side) -> Result<Segment<'a>, Packet<'a>> {
        let Some((ip, header)) = self.headers(&mut packet, side) else {
            return Err(packet);
        };
        let (addr, port) = match side {
            Side::Source => (ip.dest, header.dest),
            Side::Dest => (ip.source, header.source),
        };
        let Some(len) = packet.len().checked_sub(ip.len + header.len) else {
            return Err(packet);
        };
        Ok(Segment {
            packet,
            tcp: ip.len,
            header,
            len,
            client: Endpoint {
                addr,
                port: port.into(),
            },
        })
    }

    /// Reads the headers of `packet` if its `side` is this service.
    fn headers(&self, packet: &mut Packet<'_>, side: Side) -> Option<(Ip, Header)> {
        let ip = ip_of(packet)?;
        let ours = match side {
            Side::Source => ip.source,
            Side::Dest => ip.dest,
        };
        if ours != self.endpoint.addr {
            return None;
        }
        let want = ip.len + segment::MIN_HEADER;
        if packet.data().len() < want && !packet.pull(want) {
            return None;
        }
        let header = Header::parse(packet.data().get(ip.len..)?)?;
        let port = match side {
            Side::Source => header.source,
            Side::Dest => header.dest,
        };
        let want = ip.len + header.len;
        if port != self.endpoint.port.get() || (packet.data().len() < want && !packet.pull(want)) {
            return None;
        }
        Some((ip, header))
    }

    /// The name of the connection that a segment belongs to.
    pub(crate) fn key_of(&self, client: &Endpoint) -> Key {
        Key {
            client: *client,
            service: self.endpoint,
        }
    }

    fn input(self: ArcBorrow<'_, Self>, packet: Packet<'_>) -> Verdict {
        if packet.is_injected() {
            return packet.accept();
        }
        let segment = match self.segment(packet, Side::Dest) {
            Ok(segment) => segment,
            Err(packet) => return packet.accept(),
        };
        if !self.speaks() {
            self.node.stats.held_packets.inc();
            return segment.packet.absorb();
        }
        let restoring = self.takeover.is_going_on();
        let bare = segment.len == 0 && !segment.header.any(flags::FIN | flags::RST | flags::SYN);
        // Most of what a client sends while it downloads: nothing to be logged.
        if bare && !restoring {
            return segment.packet.accept();
        }
        let Some(flow) = self.find(&self.key_of(&segment.client)) else {
            return segment.packet.accept();
        };
        if segment.header.any(flags::FIN | flags::RST) {
            flow.ending.store(true, Relaxed);
        }
        let state = flow.state.lock();
        match &*state {
            FlowState::Tracked(_) => {
                drop(state);
                primary::inbound(&self, &flow, segment)
            }
            FlowState::Unprotected | FlowState::Gone => segment.packet.accept(),
            FlowState::Replica(_) => {
                drop(state);
                self.node.stats.held_packets.inc();
                segment.packet.absorb()
            }
            FlowState::Restoring(_) => {
                drop(state);
                takeover::inbound(&self, &flow, segment)
            }
        }
    }

    fn output(self: ArcBorrow<'_, Self>, packet: Packet<'_>) -> Verdict {
        let segment = match self.segment(packet, Side::Source) {
            Ok(segment) => segment,
            Err(packet) => return packet.accept(),
        };
        if !self.speaks() || self.is_muted() {
            self.node.stats.muted_packets.inc();
            return segment.packet.absorb();
        }
        let Some(flow) = self.find(&self.key_of(&segment.client)) else {
            return primary::outbound_unknown(&self, segment);
        };
        if segment.header.any(flags::FIN | flags::RST) {
            flow.ending.store(true, Relaxed);
        }
        let state = flow.state.lock();
        match &*state {
            FlowState::Restoring(_) => {
                drop(state);
                takeover::outbound(&self, &flow, segment)
            }
            FlowState::Replica(_) => {
                drop(state);
                segment.packet.absorb()
            }
            FlowState::Tracked(_) | FlowState::Unprotected | FlowState::Gone => {
                drop(state);
                primary::outbound(&self, &flow, segment)
            }
        }
    }

    /// A standby does not answer for the address; whoever else claims it is heard of.
    fn neighbour_input(&self, packet: Packet<'_>, message: Message) -> Verdict {
        let claimed = message.claims == Some(self.address);
        if claimed {
            self.address_answered();
        }
        // What only claims the address would be a conflict to a host that has it, too.
        let concerns = message.asks == Some(self.address) || (claimed && message.asks.is_none());
        if concerns && !self.speaks() {
            return packet.absorb();
        }
        packet.accept()
    }

    /// A standby does not claim the address either, in whatever it asks for, nor does it ask whether
    /// somebody else has it: IPv6 would give it up. What this module asks is asked.
    fn neighbour_output(&self, packet: Packet<'_>, message: Message) -> Verdict {
        let claimed = message.claims == Some(self.address);
        let doubted = message.claims.is_none()
            && message.asks == Some(self.address)
            && self.address.is_ipv6();
        if (claimed || doubted) && !self.speaks() && !packet.is_injected() {
            return packet.absorb();
        }
        packet.accept()
    }
}

impl Hook for Service {
    // Behind connection tracking and the filters, in front of nothing: what was dropped by a rule
    // was not received.
    const PRIORITY: i32 = 150;

    fn hook(this: ArcBorrow<'_, Self>, point: Point, packet: Packet<'_>) -> Verdict {
        let mut packet = packet;
        let is_neighbour = match point {
            Point::ArpIn | Point::ArpOut => Message::parse_arp(&packet),
            Point::Ipv6In | Point::Ipv6Out => Message::parse_nd(&mut packet),
            Point::Ipv4In | Point::Ipv4Out => None,
        };
        match (point, is_neighbour) {
            (Point::ArpIn | Point::Ipv6In, Some(message)) => this.neighbour_input(packet, message),
            (Point::ArpOut | Point::Ipv6Out, Some(message)) => {
                this.neighbour_output(packet, message)
            }
            (Point::Ipv4In | Point::Ipv6In, None) => this.input(packet),
            (Point::Ipv4Out | Point::Ipv6Out, None) => this.output(packet),
            _ => packet.accept(),
        }
    }
}
