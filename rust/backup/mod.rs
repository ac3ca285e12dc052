// SPDX-License-Identifier: GPL-2.0

//! Connections that the peer serves: what this node holds of them, and what it confirms.

mod awake;
mod input;

use crate::{
    flow::restore::Place,
    node::Node,
    service::{
        FlowRef,
        FlowState,
        Service, //
    },
    wire::{
        key::Key,
        record::{
            self,
            data,
            place, //
        }, //
    },
};
pub(crate) use awake::Awake;
use core::mem;
pub(crate) use input::Input;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use zerocopy::byteorder::big_endian::U32;

/// What is held of one connection.
pub(crate) struct Replica {
    /// How it began.
    pub(crate) open: record::Open,
    /// What its client has sent since.
    pub(crate) input: Input,
    /// The right edge of the window that the client was offered, as an offset.
    pub(crate) right_edge: u64,
    /// How far the service has come.
    pub(crate) place: Place,
}

// There is one for each connection of the peer: a byte more, and the next larger slab has it.
const _: () = assert!(size_of::<Replica>() <= 192);

/// Takes in the peer's records, and gathers what is to be confirmed.
///
/// One record after another is usually about the same connection; it is confirmed once, when
/// another one's turn comes or the batch ends.
pub(crate) struct Confirmations {
    pending: Option<record::Confirm>,
    /// Whether the log has some of the present batch.
    are_logged: bool,
}

impl Confirmations {
    /// Creates a gatherer that has nothing.
    pub(crate) const fn new() -> Self {
        Self {
            pending: None,
            are_logged: false,
        }
    }

    /// A connection has been opened at the peer.
    pub(crate) fn open(&mut self, node: &Arc<Node>, open: &record::Open) {
        let taken = standby_for(node, &open.key).and_then(|service| {
            let replica = Replica {
                open: *open,
                input: Input::new(node),
                right_edge: 0,
                place: Place::START,
            };
            let flow = service.add(
                &open.key,
                FlowState::Replica(KBox::new(replica, GFP_KERNEL)?),
            )?;
            // Who does not know that it is awake must not take it for one of a takeover's.
            service
                .awake
                .add(&flow)
                .inspect_err(|_| service.forget(&flow))
        });
        if taken.is_err() {
            node.stats.replicas_refused.inc();
        }
        kill_point!(node, Received);
        let upto = u64::from(taken.is_ok());
        self.confirm(node, &open.key, open.incarnation.get(), upto);
    }

    /// The client of a connection has sent something.
    pub(crate) fn data(&mut self, node: &Arc<Node>, data: &record::Data, bytes: &[u8]) {
        let upto = standby_for(node, &data.key).and_then(|service| {
            let flow = service.find(&data.key).ok_or(ENOENT)?;
            let upto = add_input(&flow, data, bytes).inspect_err(|_| {
                // Another connection's replica of the same name is none of its business.
                if is_replica_of(&flow, data.incarnation) {
                    node.stats.replicas_refused.inc();
                    service.forget(&flow);
                }
            })?;
            service.awake.rouse(&flow);
            Ok(upto)
        });
        kill_point!(node, Received);
        self.confirm(node, &data.key, data.incarnation.get(), upto.unwrap_or(0));
    }

    /// The service has come further on a connection. Nothing is confirmed: nobody waits for that.
    pub(crate) fn place(&mut self, node: &Arc<Node>, place: &record::Place) {
        let Ok(service) = standby_for(node, &place.key) else {
            return;
        };
        if let Some(flow) = service.find(&place.key) {
            if let Ok(replica) = replica_of(&mut flow.state.lock(), place.incarnation) {
                replica.place = Place {
                    sent: place.sent.get(),
                    at_rest: (place.flags & place::AT_REST != 0).then_some(place.window.get()),
                };
            }
            if place.flags & place::AT_REST == 0 {
                service.awake.rouse(&flow);
            } else {
                service.awake.left();
            }
        }
    }

    /// A connection has ended.
    pub(crate) fn close(&mut self, node: &Arc<Node>, close: &record::Close) {
        let Ok(service) = standby_for(node, &close.key) else {
            return;
        };
        if let Some(flow) = service.find(&close.key) {
            if is_replica_of(&flow, close.incarnation) {
                service.forget(&flow);
                service.awake.left();
            }
        }
    }

    /// Another session has begun: what was to be confirmed in the last one is not.
    pub(crate) fn forget(&mut self) {
        *self = Self::new();
    }

    /// The batch has ended: logs what is to be confirmed last, and returns whether there was anything.
    pub(crate) fn finish(&mut self, node: &Node) -> bool {
        self.log(node);
        mem::take(&mut self.are_logged)
    }

    fn log(&mut self, node: &Node) {
        if let Some(confirm) = self.pending.take() {
            let appended = node.channel.log.append_to_send(&confirm);
            node.channel.depend_on(appended, &node.desk);
            node.stats.confirmations_sent.inc();
            self.are_logged = true;
        }
    }

    fn confirm(&mut self, node: &Node, key: &Key, incarnation: u32, upto: u64) {
        let same = |p: &record::Confirm| p.key == *key && p.incarnation.get() == incarnation;
        // A refusal must not be hidden by what follows it.
        if !self
            .pending
            .as_ref()
            .is_some_and(|p| same(p) && p.upto.get() != 0)
        {
            self.log(node);
        }
        self.pending = Some(record::Confirm {
            key: *key,
            incarnation: incarnation.into(),
            upto: upto.into(),
        });
    }
}

/// Forgets what is held of the peer's connections, which ends their protection: the peer is told, as it would
/// believe in it otherwise. The caller has paused its records. May sleep.
pub(crate) fn dismiss(service: &Service) {
    let node = &service.node;
    service.flows.for_each(|flow| {
        let refused = match &*flow.state.lock() {
            FlowState::Replica(replica) => record::Confirm {
                key: flow.key,
                incarnation: replica.open.incarnation,
                upto: 0.into(),
            },
            _ => return true,
        };
        let appended = node.channel.log.append_idly(&refused, None);
        node.channel.depend_on(appended, &node.desk);
        service.forget(&flow);
        true
    });
}

/// Returns the service of a connection, if this node stands by for it.
fn standby_for(node: &Node, key: &Key) -> Result<Arc<Service>> {
    let service = node.service(&key.service).ok_or(ENOENT)?;
    if service.speaks() {
        return Err(EBUSY);
    }
    Ok(service)
}

fn is_replica_of(flow: &FlowRef, incarnation: U32) -> bool {
    replica_of(&mut flow.state.lock(), incarnation).is_ok()
}

/// Returns the replica of a connection.
///
/// # Errors
///
/// `ESTALE` if it is another connection's of that name, or none.
fn replica_of(state: &mut FlowState, incarnation: U32) -> Result<&mut Replica> {
    match state {
        FlowState::Replica(replica) if replica.open.incarnation == incarnation => Ok(replica),
        _ => Err(ESTALE),
    }
}

/// Adds bytes to a replica, and returns the end of what it holds without a gap.
///
/// # Errors
///
/// `ESTALE` if it is another connection's replica, `ENOBUFS` if it is over its limit, `ENOMEM`.
fn add_input(flow: &FlowRef, data: &record::Data, bytes: &[u8]) -> Result<u64> {
    let mut state = flow.state.lock();
    let replica = replica_of(&mut state, data.incarnation)?;
    let fin = data.flags & data::FIN != 0;
    replica.input.add(data.offset.get(), &bytes, fin)?;
    replica.right_edge = replica.right_edge.max(data.right_edge.get());
    replica.place.at_rest = None;
    Ok(replica.input.end())
}
