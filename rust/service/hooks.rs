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
    FlowRef,
    FlowState,
    Service, //
};
use crate::{
    flow::assembly::Source,
    kapi::net::{
        neighbour::Message,
        netfilter::{
            Hook,
            Packet,
            Point,
            Registration,
            Verdict, //
        },
        skbuff::SkBuff, //
    },
    primary, takeover,
    wire::{
        key::{
            Endpoint,
            Key, //
        },
        packet::{
            ip_header_of_usual_length,
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
    _late: KVec<Pin<KBox<Registration<Service>>>>,
}

/// The hooks that a service has only while it may have to take over: others have the packets of a node
/// that is active pass through one place less.
pub(crate) enum EarlyHooks {
    Absent,
    Present {
        _hooks: KVec<Pin<KBox<Registration<Early>>>>,
    },
    /// The service has ended.
    Over,
}

impl EarlyHooks {
    fn new(service: &Arc<Service>) -> Result<Self> {
        const V4: &[Point] = &[Point::Ipv4Arrival, Point::Ipv4Out];
        const V6: &[Point] = &[Point::Ipv6Arrival, Point::Ipv6Out];
        let points = if service.address.is_ipv4() { V4 } else { V6 };
        let early = Arc::new(Early(service.clone()), GFP_KERNEL)?;
        Ok(Self::Present {
            _hooks: register(service, points, &early)?,
        })
    }
}

impl Hooks {
    /// Registers the hooks of `service`. May sleep.
    pub(crate) fn new(service: &Arc<Service>) -> Result<Self> {
        const V4: &[Point] = &[Point::Ipv4In, Point::Ipv4Out, Point::ArpIn, Point::ArpOut];
        const V6: &[Point] = &[Point::Ipv6In, Point::Ipv6Out];
        let points = if service.address.is_ipv4() { V4 } else { V6 };
        Ok(Self {
            _late: register(service, points, service)?,
        })
    }
}

fn register<T: Hook>(
    service: &Service,
    points: &[Point],
    hook: &Arc<T>,
) -> Result<KVec<Pin<KBox<Registration<T>>>>> {
    let mut registrations = KVec::with_capacity(points.len(), GFP_KERNEL)?;
    for &point in points {
        let registration = Registration::new(&service.node.net, point, hook.clone());
        registrations.push(KBox::pin_init(registration, GFP_KERNEL)?, GFP_KERNEL)?;
    }
    Ok(registrations)
}

/// A service as it sees packets before connection tracking does, while it takes over.
///
/// Connection tracking has to see one connection: the client's, from its beginning. So it is shown
/// the SYN-ACK with the numbers that the client knows, and not what the client sends in the meantime,
/// which lies beyond all that it has seen, and which rules would drop as invalid.
pub(crate) struct Early(Arc<Service>);

impl Hook for Early {
    // Behind defragmentation, in front of connection tracking.
    const PRIORITY: i32 = -250;

    fn hook(this: ArcBorrow<'_, Self>, point: Point, packet: Packet<'_>) -> Verdict {
        let service = &this.0;
        if !service.takeover.is_going_on() || packet.is_injected() {
            return packet.accept();
        }
        match point {
            // Elsewhere the sender's address may be forged: that is seen when it is routed.
            Point::Ipv4Arrival | Point::Ipv6Arrival if packet.ifindex() == service.ifindex() => {
                service.arrival(packet)
            }
            Point::Ipv4Out | Point::Ipv6Out => service.early_output(packet),
            _ => packet.accept(),
        }
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

    /// Returns `len` bytes of the payload, from number `skip` on.
    pub(crate) fn part(&self, skip: usize, len: usize) -> Part<'_> {
        Part {
            skb: &self.packet,
            offset: self.tcp + self.header.len + skip,
            len,
        }
    }
}

/// A part of a packet.
pub(crate) struct Part<'a> {
    skb: &'a SkBuff,
    /// Where it begins, in bytes from the start of the packet.
    offset: usize,
    len: usize,
}

impl Source for Part<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn append_to(&self, from: usize, len: usize, out: &mut KVec<u8>) -> Result {
        self.skb.append_to(self.offset + from, len, out)
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

    /// Returns whether the `side` of `packet` is surely not this service, by a short look at where its port
    /// usually stands: what is of other ports is the most of what there is on many hosts.
    fn is_elsewhere(&self, packet: &Packet<'_>, side: Side) -> bool {
        let data = packet.data();
        // What is not TCP, or a fragment, may have anything there, and is not this service either.
        let ports = ip_header_of_usual_length(data).and_then(|len| data.get(len..)?.first_chunk());
        let Some([s0, s1, d0, d1]) = ports else {
            return false;
        };
        let port = match side {
            Side::Source => [*s0, *s1],
            Side::Dest => [*d0, *d1],
        };
        u16::from_be_bytes(port) != self.endpoint.port.get()
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

    /// Sees to it that the early hooks are there as long as they may be of use, and no longer. Returns
    /// whether they were removed, which takes a while. May sleep.
    ///
    /// Without memory for them connection tracking may drop what clients say during a takeover; it is
    /// tried again the next time.
    pub(crate) fn see_to_early_hooks(self: &Arc<Self>) -> bool {
        let may_take_over = !self.speaks() || self.takeover.is_going_on();
        let mut early = self.early.lock();
        match &*early {
            EarlyHooks::Absent if may_take_over => {
                *early = EarlyHooks::new(self).unwrap_or(EarlyHooks::Absent);
            }
            EarlyHooks::Present { .. } if !may_take_over => {
                *early = EarlyHooks::Absent;
                return true;
            }
            _ => {}
        }
        false
    }

    /// Removes the early hooks for ever. May sleep.
    pub(crate) fn remove_early_hooks(&self) {
        *self.early.lock() = EarlyHooks::Over;
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
            FlowState::Tracked(_) | FlowState::Unprotected(_) => {
                drop(state);
                self.served(&flow, segment)
            }
            FlowState::Gone => segment.packet.accept(),
            FlowState::Replica(_) | FlowState::Restoring(_) => {
                drop(state);
                match self.hear(&flow, segment) {
                    Ok(verdict) => verdict,
                    // It was spliced just now.
                    Err(segment) => self.served(&flow, segment),
                }
            }
        }
    }

    /// A client speaks whose connection is served here.
    fn served(&self, flow: &FlowRef, segment: Segment<'_>) -> Verdict {
        let verdict = primary::inbound(self, flow, segment);
        self.recent.push(flow);
        verdict
    }

    /// A client speaks whose connection is carried on, or will be; or was, then the segment is given back.
    fn hear<'a>(&self, flow: &FlowRef, segment: Segment<'a>) -> Result<Verdict, Segment<'a>> {
        if takeover::wake(self, flow) {
            return takeover::inbound(self, flow, segment);
        }
        self.node.stats.held_packets.inc();
        Ok(segment.packet.absorb())
    }

    /// A packet has come in while this service takes over.
    fn arrival(&self, packet: Packet<'_>) -> Verdict {
        let segment = match self.segment(packet, Side::Dest) {
            Ok(segment) => segment,
            Err(packet) => return packet.accept(),
        };
        let flow = self.find(&self.key_of(&segment.client));
        match flow.filter(takeover::concerns) {
            Some(flow) => match self.hear(&flow, segment) {
                Ok(verdict) => verdict,
                Err(segment) => segment.packet.accept(),
            },
            None => segment.packet.accept(),
        }
    }

    /// A packet leaves while this service takes over.
    fn early_output(&self, packet: Packet<'_>) -> Verdict {
        let segment = match self.segment(packet, Side::Source) {
            Ok(segment) => segment,
            Err(packet) => return packet.accept(),
        };
        if !segment.header.has(flags::SYN) {
            return segment.packet.accept();
        }
        match self.find(&self.key_of(&segment.client)) {
            Some(flow) => takeover::syn_ack(self, &flow, segment),
            None => segment.packet.accept(),
        }
    }

    fn output(self: ArcBorrow<'_, Self>, packet: Packet<'_>) -> Verdict {
        let segment = match self.segment(packet, Side::Source) {
            Ok(segment) => segment,
            Err(packet) => return packet.accept(),
        };
        if !self.speaks() || self.is_muted() {
            self.node.stats.muted_packets.inc();
            if let Some(flow) = self.find(&self.key_of(&segment.client)) {
                flow.muted.store(true, Relaxed);
            }
            return segment.packet.absorb();
        }
        let Some(flow) = self.find(&self.key_of(&segment.client)) else {
            return primary::outbound_unknown(&self, segment);
        };
        if segment.header.any(flags::FIN | flags::RST) {
            flow.ending.store(true, Relaxed);
        }
        let verdict = primary::outbound(&self, &flow, segment)
            .unwrap_or_else(|segment| takeover::outbound(&self, &flow, segment));
        self.recent.push(&flow);
        verdict
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
        let side = match point {
            Point::Ipv4In | Point::Ipv6In => Some(Side::Dest),
            Point::Ipv4Out | Point::Ipv6Out => Some(Side::Source),
            _ => None,
        };
        if side.is_some_and(|side| this.is_elsewhere(&packet, side)) {
            return packet.accept();
        }
        let is_neighbour = match point {
            Point::ArpIn | Point::ArpOut => Message::parse_arp(&packet),
            Point::Ipv6In | Point::Ipv6Out => Message::parse_nd(&mut packet),
            _ => None,
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
