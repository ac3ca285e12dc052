// SPDX-License-Identifier: GPL-2.0

//! One connection, as arithmetic: what to do with a segment, given all that came before it.
//!
//! Like [`crate::wire`] these modules know nothing of the kernel but its vectors, never sleep, and
//! also run in the host's tests. They take headers, lengths and times, and return what is to
//! be done; [`crate::primary`] and [`crate::takeover`] do it.

pub(crate) mod assembly;
pub(crate) mod restore;
pub(crate) mod tracker;
pub(crate) mod watch;
