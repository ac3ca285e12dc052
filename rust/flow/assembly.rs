// SPDX-License-Identifier: GPL-2.0

//! Which parts of a stream are there, when they do not come in order.

/// How many separate runs a stream may have beyond its first gap.
const MAX_RUNS: usize = 32;

/// A run of offsets, from the first up to, not including, the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    start: u64,
    end: u64,
}

/// The runs of offsets that are there.
///
/// # Invariants
///
/// The first `count` of `runs` are in order, none is empty, none touches another, and all lie
/// beyond `next`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assembly {
    next: u64,
    count: usize,
    runs: [Run; MAX_RUNS],
}

/// The stream has more gaps than can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyGaps;

impl Assembly {
    /// Creates the assembly of a stream of which all offsets below `next` are there.
    pub(crate) const fn new(next: u64) -> Self {
        Self {
            next,
            count: 0,
            runs: [Run { start: 0, end: 0 }; MAX_RUNS],
        }
    }

    /// Returns the first offset that is not there.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Returns whether all offsets from `start` up to, not including, `end` are there.
    pub(crate) fn has(&self, start: u64, end: u64) -> bool {
        let mut runs = self.runs.iter().take(self.count);
        end <= self.next || runs.any(|run| run.start <= start && end <= run.end)
    }

    /// Adds the offsets from `start` up to, not including, `end`.
    ///
    /// # Errors
    ///
    /// [`TooManyGaps`], and nothing is added, if they would make one run more than there is room
    /// for.
    pub(crate) fn add(&mut self, start: u64, end: u64) -> Result<(), TooManyGaps> {
        let mut new = Run {
            start: start.max(self.next),
            end,
        };
        if new.start >= new.end {
            return Ok(());
        }
        let mut kept = [Run::default(); MAX_RUNS];
        let mut count = 0;
        let mut placed = false;
        for &run in self.runs.iter().take(self.count) {
            if run.end < new.start {
                push(&mut kept, &mut count, run)?;
            } else if run.start > new.end {
                if !placed {
                    push(&mut kept, &mut count, new)?;
                    placed = true;
                }
                push(&mut kept, &mut count, run)?;
            } else {
                new.start = new.start.min(run.start);
                new.end = new.end.max(run.end);
            }
        }
        if !placed {
            push(&mut kept, &mut count, new)?;
        }
        self.runs = kept;
        self.count = count;
        self.advance();
        Ok(())
    }

    /// Moves the first run into `next` if it begins there.
    fn advance(&mut self) {
        let [first, ..] = self.runs;
        if self.count > 0 && first.start <= self.next {
            self.next = first.end;
            self.runs.copy_within(1.., 0);
            self.count -= 1;
        }
    }
}

fn push(runs: &mut [Run; MAX_RUNS], count: &mut usize, run: Run) -> Result<(), TooManyGaps> {
    *runs.get_mut(*count).ok_or(TooManyGaps)? = run;
    *count += 1;
    Ok(())
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_assembly))]
mod tests {
    use super::*;

    #[test]
    fn in_order_is_in_order() {
        let mut a = Assembly::new(1);
        for (start, end) in [(1, 100), (100, 101), (101, 5000)] {
            a.add(start, end).unwrap();
            assert_eq!((a.next(), a.count), (end, 0));
        }
        a.add(50, 200).unwrap();
        assert_eq!(a.next(), 5000);
    }

    #[test]
    fn a_gap_closes_from_either_side() {
        let mut a = Assembly::new(1);
        a.add(11, 21).unwrap();
        a.add(31, 41).unwrap();
        assert_eq!((a.next(), a.count), (1, 2));
        assert!(a.has(11, 21) && a.has(12, 20) && a.has(0, 1));
        assert!(!a.has(10, 21) && !a.has(20, 32) && !a.has(1, 2));
        a.add(21, 31).unwrap();
        assert_eq!((a.next(), a.count), (1, 1));
        a.add(1, 12).unwrap();
        assert_eq!((a.next(), a.count), (41, 0));
    }

    #[test]
    fn a_run_may_swallow_others() {
        let mut a = Assembly::new(1);
        for start in [10, 20, 30, 40] {
            a.add(start, start + 5).unwrap();
        }
        a.add(12, 33).unwrap();
        assert_eq!((a.next(), a.count), (1, 2));
        a.add(1, 50).unwrap();
        assert_eq!((a.next(), a.count), (50, 0));
    }

    #[test]
    fn too_many_gaps_are_refused_and_nothing_changes() {
        let mut a = Assembly::new(1);
        for i in 1..=MAX_RUNS as u64 {
            a.add(i * 10, i * 10 + 5).unwrap();
        }
        assert_eq!(a.add(5, 6), Err(TooManyGaps));
        assert_eq!((a.next(), a.count), (1, MAX_RUNS));
        a.add(1, 10).unwrap();
        assert_eq!((a.next(), a.count), (15, MAX_RUNS - 1));
    }
}
