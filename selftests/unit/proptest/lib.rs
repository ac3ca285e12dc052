// SPDX-License-Identifier: GPL-2.0

//! Only for cargo: an empty crate that depends on proptest.
