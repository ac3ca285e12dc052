// SPDX-License-Identifier: GPL-2.0

//! Putting a stream together: whatever the order, the overlaps and the failures, it is the stream
//! that was sent.

use proptest::{
    collection::vec,
    option,
    prelude::*, //
};

use crate::flow::assembly::Assembly;

use super::holds;

/// How long the stream is; the FIN stands behind it.
const LENGTH: u64 = 100;

/// The byte at an offset.
fn byte(offset: u64) -> u8 {
    (offset * 37 % 251) as u8
}

/// Reads what is there without a gap, in steps of at most `step`.
fn read(assembly: &Assembly, begin: u64, step: u64) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    loop {
        let (bytes, fin) = assembly.at(begin + all.len() as u64, step);
        all.extend_from_slice(bytes);
        if fin || bytes.is_empty() {
            return (all, fin);
        }
    }
}

#[test]
fn pieces_in_any_order_make_the_same_stream() {
    let piece = (0..LENGTH, 0..30_u64, option::weighted(0.1, 0..3_u32));
    holds(
        (0..20_u64, 1..40_u64, vec(piece, 0..60)),
        |(begin, step, pieces)| {
            let mut assembly = Assembly::new(begin);
            let mut there = [false; LENGTH as usize + 1];
            there[..begin as usize].fill(true);
            for (start, length, failure) in pieces {
                let end = (start + length).min(LENGTH);
                let fin = start + length > LENGTH;
                let bytes: Vec<u8> = (start..end).map(byte).collect();
                kernel::fail_after(failure);
                let added = assembly.add(start, &&bytes[..], fin, u64::MAX);
                kernel::fail_after(None);
                if added.is_ok() {
                    there[start as usize..(end + u64::from(fin)) as usize].fill(true);
                } else {
                    prop_assert!(failure.is_some());
                }
                let missing = there.iter().position(|there| !there);
                let next = missing.unwrap_or(there.len()) as u64;
                prop_assert_eq!(assembly.next(), next.max(begin));
                let (bytes, fin) = read(&assembly, begin, step);
                prop_assert_eq!(fin, next > LENGTH);
                let expected: Vec<u8> = (begin..next.min(LENGTH)).map(byte).collect();
                prop_assert_eq!(bytes, expected);
            }
            Ok(())
        },
    );
}

#[test]
fn the_size_is_bounded() {
    holds(
        (0..5000_u64, vec((0..LENGTH, 1..30_u64), 0..60)),
        |(room, pieces)| {
            let mut assembly = Assembly::new(0);
            for (start, length) in pieces {
                let bytes: Vec<u8> = (start..start + length).map(byte).collect();
                let left = room - assembly.size();
                let _ = assembly.add(start, &&bytes[..], false, left);
                prop_assert!(assembly.size() <= room);
            }
            Ok(())
        },
    );
}
