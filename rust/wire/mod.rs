// SPDX-License-Identifier: GPL-2.0

//! Bytes: what stands in a client's packets and in the frames between the nodes.
//!
//! Nothing here knows the kernel: the modules take bytes and give values, and the same code runs
//! in the host's tests. Nothing here decides anything either.

pub(crate) mod frame;
pub(crate) mod key;
pub(crate) mod packet;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod seq;
