// SPDX-License-Identifier: GPL-2.0

//! As much of the `kernel` crate as the module's core uses, for the host: vectors that say so when
//! there is no memory.
//!
//! A test makes allocations fail with [`fail_after`].

#![allow(non_snake_case)]

use std::{
    cell::Cell,
    ops::{
        BitOr,
        Deref,
        DerefMut, //
    },
};

thread_local! {
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Lets this thread's next `count` allocations succeed and all others fail, until it is called
/// again; [`None`]: none fails.
pub fn fail_after(count: Option<u32>) {
    LEFT.set(count);
}

fn allocate() -> Result<(), AllocError> {
    match LEFT.get() {
        Some(0) => Err(AllocError),
        left => {
            LEFT.set(left.map(|n| n - 1));
            Ok(())
        }
    }
}

/// How an allocation may be made.
pub struct Flags;

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, _: Self) -> Self {
        self
    }
}

/// There is no memory.
#[derive(Debug)]
pub struct AllocError;

/// An error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(i32);

impl From<AllocError> for Error {
    fn from(_: AllocError) -> Self {
        prelude::ENOMEM
    }
}

/// A vector whose allocations may fail.
pub struct KVec<T>(Vec<T>);

impl<T> KVec<T> {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn with_capacity(capacity: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut vec = Self::new();
        vec.reserve(capacity, flags)?;
        Ok(vec)
    }

    pub fn reserve(&mut self, additional: usize, _: Flags) -> Result<(), AllocError> {
        if self.0.capacity() - self.0.len() < additional {
            allocate()?;
            self.0.reserve(additional);
        }
        Ok(())
    }

    pub fn insert_within_capacity(&mut self, index: usize, element: T) -> Result<(), T> {
        if index > self.0.len() || self.0.len() == self.0.capacity() {
            return Err(element);
        }
        self.0.insert(index, element);
        Ok(())
    }

    pub fn remove(&mut self, index: usize) -> Result<T, ()> {
        if index >= self.0.len() {
            return Err(());
        }
        Ok(self.0.remove(index))
    }

    pub fn retain(&mut self, keep: impl FnMut(&mut T) -> bool) {
        self.0.retain_mut(keep);
    }
}

impl<T> Default for KVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> KVec<T> {
    pub fn extend_from_slice(&mut self, other: &[T], flags: Flags) -> Result<(), AllocError> {
        self.reserve(other.len(), flags)?;
        self.0.extend_from_slice(other);
        Ok(())
    }
}

impl<T> Deref for KVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for KVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

pub mod prelude {
    pub use super::KVec;
    use super::{
        Error,
        Flags, //
    };

    pub type Result<T = (), E = Error> = core::result::Result<T, E>;

    pub const ENOMEM: Error = Error(-12);
    pub const EFAULT: Error = Error(-14);
    pub const ENOBUFS: Error = Error(-105);
    pub const GFP_ATOMIC: Flags = Flags;
    pub const __GFP_NOWARN: Flags = Flags;
}
