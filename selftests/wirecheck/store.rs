// SPDX-License-Identifier: GPL-2.0

//! Keeps the captured bytes of a stream, to compare what is sent again.

use std::collections::BTreeMap;

/// The bytes of one stream, by their position; ranges do not overlap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    ranges: BTreeMap<i64, Vec<u8>>,
}

impl Store {
    /// Adds `bytes` at position `from`.
    ///
    /// Returns the position of the first byte that was another one before. What was there first stays.
    pub(crate) fn add(&mut self, mut from: i64, mut bytes: &[u8]) -> Option<i64> {
        let mut differs = None;
        while !bytes.is_empty() {
            let end = from + bytes.len() as i64;
            let before = self.ranges.range(..=from).next_back();
            let known = before.and_then(|(start, known)| {
                let skip = usize::try_from(from - start).ok()?;
                known.get(skip..).filter(|known| !known.is_empty())
            });
            let step = if let Some(known) = known {
                let same = known.iter().zip(bytes).take_while(|(a, b)| a == b).count();
                let step = known.len().min(bytes.len());
                if same < step {
                    differs.get_or_insert(from + same as i64);
                }
                step
            } else {
                let next = self.ranges.range(from..end).next();
                let step = match next {
                    // CAST: shorter than `bytes`.
                    Some((next, _)) => (next - from) as usize,
                    None => bytes.len(),
                };
                self.ranges.insert(from, bytes[..step].to_vec());
                step
            };
            bytes = &bytes[step..];
            from += step as i64;
        }
        differs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_sent_again_are_compared() {
        let mut store = Store::default();
        assert_eq!(store.add(10, b"klmno"), None);
        assert_eq!(store.add(20, b"uvw"), None);
        // Over both ranges and the holes around them.
        assert_eq!(store.add(8, b"ijklmnopqrstuvwxyz"), None);
        assert_eq!(store.add(8, b"ijklmnopqrstuvwxyz"), None);
        assert_eq!(store.add(15, b"pqrSTu"), Some(18));
        assert_eq!(store.add(25, b"zZ"), None);
        assert_eq!(store.add(25, b"zz"), Some(26));
    }

    #[test]
    fn every_cut_of_a_stream_is_the_same_stream() {
        let stream: Vec<u8> = (0..40).collect();
        for a in 0..40 {
            for b in a..40 {
                let mut store = Store::default();
                store.add(a, &stream[a as usize..b as usize]);
                assert_eq!(store.add(0, &stream), None);
                let mut other = stream.clone();
                other[20] = 0;
                assert_eq!(store.add(0, &other), Some(20));
            }
        }
    }
}
