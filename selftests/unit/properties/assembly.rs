// SPDX-License-Identifier: GPL-2.0

//! Putting a stream together: equals a set of offsets, however its pieces come.

use proptest::{
    collection::vec,
    prelude::*, //
};

use crate::flow::assembly::Assembly;

use super::holds;

#[test]
fn pieces_in_any_order_make_the_same_stream() {
    holds(
        (0..20_u64, vec((0..100_u64, 0..20_u64), 0..40)),
        |(begin, pieces)| {
            let mut assembly = Assembly::new(begin);
            let mut there = [false; 120];
            there[..begin as usize].fill(true);
            for (start, length) in pieces {
                prop_assert!(assembly.add(start, start + length).is_ok());
                there[start as usize..(start + length) as usize].fill(true);
                let missing = there.iter().position(|there| !there);
                prop_assert_eq!(Some(assembly.next() as usize), missing.or(Some(120)));
            }
            Ok(())
        },
    );
}
