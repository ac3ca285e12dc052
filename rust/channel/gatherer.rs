// SPDX-License-Identifier: GPL-2.0

//! The thread that sends what somebody waits for, when the processor has time for it.
//!
//! Where a processor is idle that is at once. Where it is busy, more gathers meanwhile, which is cheaper,
//! and lets what else runs come further: so this thread waits for its turn behind the others. It does not
//! wait for ever, as the [sender](super::sender) takes what has waited for `gather_us`.

use crate::{
    kapi::kthread::{
        nice,
        Run,
        Stop, //
    },
    node::Node, //
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// How often the thread looks up, in microseconds.
const LOOK_UP_US: u64 = 10_000_000;
/// The nice value while it sends: the sender may wait for it then.
const NICE_SENDING: c_long = -20;

/// The thread's state.
pub(super) struct Gatherer {
    node: Arc<Node>,
}

impl Gatherer {
    pub(super) fn new(node: &Arc<Node>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { node: node.clone() }, GFP_KERNEL)?)
    }
}

impl Run for Gatherer {
    const NAME: &'static CStr = c"tcpfo/gather";
    const NICE: c_long = 19;

    fn run(this: ArcBorrow<'_, Self>, stop: &Stop) {
        let channel = &this.node.channel;
        while !stop.requested() {
            channel.log.wait_for_haste(stop, LOOK_UP_US);
            nice(stop, NICE_SENDING);
            if !channel.outlet.try_send(&this.node) {
                channel.log.wake_sender();
            }
            nice(stop, Self::NICE);
        }
    }
}
