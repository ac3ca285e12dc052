// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers of what the `kernel` crate does not have yet: all `unsafe` code of the module.
//!
//! A staging place: each file is named after the one that it would be in `rust/kernel`, and knows
//! nothing of failover.

pub(crate) mod kobject;
pub(crate) mod kthread;
pub(crate) mod llist;
pub(crate) mod net;
pub(crate) mod print;
pub(crate) mod random;
pub(crate) mod rcu;
pub(crate) mod rhashtable;
pub(crate) mod signal;
pub(crate) mod sync;
pub(crate) mod time;
