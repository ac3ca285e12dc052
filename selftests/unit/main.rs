// SPDX-License-Identifier: GPL-2.0

//! Runs the tests of the modules that know nothing of the kernel but its vectors, in userspace.
//!
//! The modules are those of the kernel module, file for file; their tests stand in them and also
//! run as KUnit (`selftests/kunit`). What is here in addition needs more than a kernel offers:
//! properties checked with random input.

#[allow(dead_code)]
#[path = "../../rust/events"]
mod events {
    mod changes;
    mod event;
}
#[allow(dead_code)]
#[path = "../../rust/flow/mod.rs"]
mod flow;
#[allow(dead_code)]
#[path = "../../rust/service"]
mod service {
    mod ownership;
}
#[allow(dead_code)]
#[path = "../../rust/wire/mod.rs"]
mod wire;

#[cfg(test)]
mod properties;
