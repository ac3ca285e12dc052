// SPDX-License-Identifier: GPL-2.0

//! The thread that sends: the log, and the heartbeats.

use crate::{
    kapi::{
        kthread::{
            Run,
            Stop, //
        },
        time, //
    },
    node::Node,
    wire::record::Heartbeat, //
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::{
        atomic::Relaxed,
        Arc,
        ArcBorrow, //
    }, //
};

/// The thread's state.
pub(super) struct Sender {
    node: Arc<Node>,
}

impl Sender {
    pub(super) fn new(node: &Arc<Node>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { node: node.clone() }, GFP_KERNEL)?)
    }

    /// Appends a heartbeat, and how each service stands.
    fn beat(&self) {
        // A log that is closed or full has no use for a heartbeat: what waits in it is one.
        let _ = self.node.channel.log.append(
            &Heartbeat {
                clock_ms: time::now_ms().into(),
            },
            None,
        );
        self.node.each_service(|service| {
            let _ = self.node.channel.log.append(&service.status(), None);
        });
    }
}

impl Run for Sender {
    const NAME: &'static CStr = c"tcpfo/send";
    // Peers that are heard too late are taken for dead.
    const NICE: c_long = -20;

    fn run(this: ArcBorrow<'_, Self>, stop: &Stop) {
        let mut last_beat = 0;
        while !stop.requested() {
            let now = time::now_ms();
            let interval = u64::from(this.node.channel.heartbeat_ms.load(Relaxed));
            if now.saturating_sub(last_beat) >= interval {
                this.beat();
                last_beat = now;
            }
            let channel = &this.node.channel;
            let left_ms = interval.saturating_sub(now.saturating_sub(last_beat));
            channel.log.wait(stop, left_ms * 1000);
            channel.outlet.send(&this.node);
        }
    }
}
