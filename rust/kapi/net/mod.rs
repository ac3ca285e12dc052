// SPDX-License-Identifier: GPL-2.0

//! Networking.

pub(crate) mod genetlink;
pub(crate) mod namespace;
pub(crate) mod neighbour;
pub(crate) mod netdevice;
pub(crate) mod netfilter;
pub(crate) mod skbuff;
pub(crate) mod socket;
pub(crate) mod tcp;
