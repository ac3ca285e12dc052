// SPDX-License-Identifier: GPL-2.0

//! What the operator sees and sets: `/sys/kernel/tcp_failover/net/`, one for each net namespace.
//!
//! Each file is described in `Documentation/ABI/testing/sysfs-kernel-tcp_failover`. Whatever is
//! refused leaves the old value in place, and one line in the kernel log says what was wrong.

mod channel;
pub(crate) mod definition;
mod limits;
mod parse;
mod services;

use crate::{
    events,
    kapi::{
        kobject::{
            Directory,
            Parent, //
        },
        net::namespace::{
            Net,
            PerNet, //
        }, //
    },
    node::Node,
    stats, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use services::Services;

/// `/sys/kernel/tcp_failover`.
pub(crate) struct Root(Pin<KBox<Directory<()>>>);

impl Root {
    /// Makes the directory. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let nothing = Arc::new((), GFP_KERNEL)?;
        Directory::new(Parent::Kernel, c"tcp_failover", nothing, &[]).map(Self)
    }
}

/// What there is in a net namespace.
///
/// The fields are in the order of their end: first nobody can ask for anything any more, then
/// nothing happens any more, then nothing comes or goes any more, and the node goes with the last of
/// them.
pub(crate) struct Namespace {
    _files: Files,
    _node: Ending,
}

/// A node whose director, and then its channel, end with it. Behind the files: once they are gone nobody can
/// start either any more.
struct Ending(Arc<Node>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.desk.close();
        self.0.channel.disable();
    }
}

/// The directories below `net/`, each before the one it is in.
struct Files {
    #[cfg(tcpfo_test)]
    _test: crate::test_points::Namespace,
    _channel: Pin<KBox<Directory<Node>>>,
    _events: Pin<KBox<Directory<Node>>>,
    _limits: Pin<KBox<Directory<Node>>>,
    _stats: Pin<KBox<Directory<Node>>>,
    services: Arc<Services>,
    _services: Pin<KBox<Directory<Services>>>,
    _net: Pin<KBox<Directory<Node>>>,
}

impl Drop for Files {
    fn drop(&mut self) {
        self.services.remove_all();
    }
}

impl Files {
    fn new(root: &Root, node: &Arc<Node>, services: &Arc<Services>) -> Result<Self> {
        let parent = Parent::Namespace(&*root.0, &node.net);
        let top = Directory::new(parent, c"net", node.clone(), &[])?;
        let below =
            |name, attributes| Directory::new(Parent::Below(&*top), name, node.clone(), attributes);
        let channel = below(c"channel", channel::ATTRIBUTES)?;
        let events = below(c"events", events::ATTRIBUTES)?;
        let limits = below(c"limits", limits::ATTRIBUTES)?;
        let stats = below(c"stats", stats::ATTRIBUTES)?;
        #[cfg(tcpfo_test)]
        let test = {
            let files = below(c"test", crate::test_points::ATTRIBUTES)?;
            crate::test_points::Namespace::new(node, files)?
        };
        let directory = Directory::new(
            Parent::Below(&*top),
            c"services",
            services.clone(),
            services::ATTRIBUTES,
        )?;
        Ok(Self {
            #[cfg(tcpfo_test)]
            _test: test,
            _channel: channel,
            _events: events,
            _limits: limits,
            _stats: stats,
            services: services.clone(),
            _services: directory,
            _net: top,
        })
    }
}

impl PerNet for Namespace {
    type Shared = Root;

    fn new(net: Net, root: &Root) -> Result<Pin<KBox<Self>>> {
        // Also if this fails: a file may have been written to as soon as it was there.
        let node = Ending(Node::new(net)?);
        let services = Services::new(&node.0)?;
        let files = Files::new(root, &node.0, &services)?;
        Ok(KBox::pin(
            Self {
                _files: files,
                _node: node,
            },
            GFP_KERNEL,
        )?)
    }
}
