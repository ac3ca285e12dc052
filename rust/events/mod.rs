// SPDX-License-Identifier: GPL-2.0

//! Events: what operators and their programs hear of a node, in order, over generic netlink.
//!
//! They hear what happened to the peer, the services and the limits, not to single connections. All
//! is sent from process context, without spinlocks. `Documentation/events.rst` is for listeners.

mod changes;
mod event;
mod limits;
mod watch;

use crate::{
    kapi::{
        kobject::Attribute,
        net::{
            genetlink::Message,
            namespace::Net, //
        },
        time, //
    },
    node::Node,
};
pub(crate) use changes::{
    PeerTold,
    ServiceTold, //
};
pub(crate) use event::Totals;
use event::{
    attribute,
    Attributes,
    Event, //
};
use kernel::{
    net::netlink::{
        Family,
        MulticastGroup,
        Registration, //
    },
    new_mutex,
    prelude::*,
    str::CStr,
    sync::Mutex, //
};
pub(crate) use limits::{
    look as look_at_limits,
    Hits,
    Reached, //
};
pub(crate) use watch::{
    differs,
    look_at_peer,
    look_at_service,
    resync_began,
    resync_ended,
    service_off,
    stands_by,
    takeover_began, //
};

/// The groups; their places in it are their numbers.
static GROUPS: [MulticastGroup; 1] = [MulticastGroup::const_new(c"events")];
/// Where `events` is among them.
const EVENTS: u32 = 0;

static FAMILY: Family = Family::const_new(
    kernel::module::this_module::<crate::LocalModule>(),
    event::FAMILY,
    event::VERSION,
    &GROUPS,
);

/// How much room the attributes of an event need, in bytes: more than 12 for each of 16 numbers,
/// and two strings.
const ROOM: usize = 512;

/// The files of `events/`.
pub(crate) const ATTRIBUTES: &[Attribute<Node>] = &[Attribute::ro(c"sequence", |node, out| {
    write!(out, "{}", node.events.sequence())
})];

/// Makes the family known, until what is returned is dropped. May sleep.
///
/// # Errors
///
/// `EEXIST` if there is one of the name, `ENOMEM`.
pub(crate) fn register() -> Result<Registration> {
    FAMILY.register()
}

/// The events of a node.
#[pin_data]
pub(crate) struct Events {
    /// Whose listeners hear them.
    net: Net,
    /// The number of the last one. Held while one is sent, so that they come in order, and whoever
    /// reads it finds all up to this number in its queue.
    #[pin]
    sequence: Mutex<u64>,
}

impl Events {
    /// Creates a node's events, of which none was sent.
    pub(crate) fn new(net: Net) -> impl PinInit<Self> {
        pin_init!(Self {
            net,
            sequence <- new_mutex!(0, "Events::sequence"),
        })
    }

    /// Returns the number of the last event, 0 if there was none. Waits for one that is being sent.
    fn sequence(&self) -> u64 {
        *self.sequence.lock()
    }

    /// Numbers an event and sends it to whoever listens in the node's net namespace. May sleep.
    ///
    /// Without memory nobody hears of it, but for the gap in the numbers.
    fn send(&self, service: Option<&CStr>, event: &Event<'_>) {
        let mut sequence = self.sequence.lock();
        *sequence = sequence.wrapping_add(1);
        // That nobody listens is no error, and the rest shows as a gap.
        let _ = self.send_numbered(*sequence, service, event);
    }

    fn send_numbered(&self, number: u64, service: Option<&CStr>, event: &Event<'_>) -> Result {
        let mut message = Message::new(&FAMILY, event::COMMAND, ROOM)?;
        message.put_uint(attribute::SEQUENCE, number)?;
        message.put_uint(attribute::TIME_US, time::now_us())?;
        if let Some(name) = service {
            message.put_string(attribute::SERVICE, name.to_bytes())?;
        }
        event.write(&mut message)?;
        message.multicast(&self.net, EVENTS)
    }
}

impl Attributes for Message {
    type Error = Error;

    fn number(&mut self, attribute: u16, value: u64) -> Result {
        self.put_uint(attribute, value)
    }

    fn text(&mut self, attribute: u16, value: &str) -> Result {
        self.put_string(attribute, value.as_bytes())
    }
}
