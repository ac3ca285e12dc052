// SPDX-License-Identifier: GPL-2.0

//! Sequence numbers: a stream's offsets come back, wherever it begins and however long it is.

use proptest::prelude::*;

use crate::wire::seq::Seq;

use super::holds;

/// Half of the sequence space: what lies within is ordered.
const HALF: u64 = 1 << 31;

#[test]
fn an_offset_comes_back_from_any_place_nearby() {
    holds(
        (any::<u32>(), 0..1_u64 << 62, 0..HALF - 1, any::<bool>()),
        |(isn, offset, distance, above)| {
            let isn = Seq::new(isn);
            let near = if above {
                offset + distance
            } else {
                offset.saturating_sub(distance)
            };
            prop_assert_eq!(isn.at(offset).offset(isn, near), Some(offset));
            Ok(())
        },
    );
}

#[test]
fn no_number_has_an_offset_before_the_stream() {
    holds(
        (any::<u32>(), any::<u32>(), any::<u64>()),
        |(isn, seq, near)| {
            let (isn, seq) = (Seq::new(isn), Seq::new(seq));
            if let Some(offset) = seq.offset(isn, near) {
                prop_assert_eq!(isn.at(offset), seq);
                prop_assert!(offset.abs_diff(near) <= HALF);
            } else {
                prop_assert!(near < HALF || near > u64::MAX - HALF);
            }
            Ok(())
        },
    );
}
