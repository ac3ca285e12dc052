// SPDX-License-Identifier: GPL-2.0

//! The kernel's C interfaces that the `kernel` crate does not bind.
//!
//! May not be used outside [`crate::kapi`], which makes them safe.

#![allow(
    clippy::all,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks
)]

mod raw {
    pub use kernel::bindings::*;
    use kernel::ffi;
    use pin_init::MaybeZeroable;

    pub use super::helpers::*;
    include!(concat!(
        env!("TCP_FAILOVER_OBJ"),
        "/rust/bindings/bindings_generated.rs"
    ));
}

mod helpers {
    use super::raw::*;
    use kernel::ffi;
    include!(concat!(
        env!("TCP_FAILOVER_OBJ"),
        "/rust/bindings/helpers_generated.rs"
    ));
}

pub(crate) use raw::*;
