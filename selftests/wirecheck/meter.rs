// SPDX-License-Identifier: GPL-2.0

//! Measures how long the client had to wait for progress.

use std::time::Duration;

use crate::pcap::Time;

/// A time without progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// When the wait began.
    pub(crate) from: Time,
    /// When progress was seen again.
    pub(crate) to: Time,
    /// The packet that was the progress.
    pub(crate) packet: usize,
}

impl Gap {
    /// How long it was.
    pub(crate) fn length(&self) -> Duration {
        self.to.since(self.from)
    }
}

/// Whether more is to come after some progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// No: what was asked for is complete.
    No,
    /// Yes.
    Yes,
    /// Not known: yes, unless the next thing seen is a question.
    Perhaps,
}

/// Finds the longest gap.
///
/// Nobody waits before [`Meter::wait`] or [`Meter::ask`]: a connection that lies idle between two
/// requests has no gap.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// Since when progress is waited for, and whether that is certain.
    waiting: Option<(Time, More)>,
    /// The longest gap so far.
    longest: Option<Gap>,
}

impl Meter {
    /// Somebody waits for progress from `now` on, if not already before.
    pub(crate) fn wait(&mut self, now: Time) {
        if !matches!(self.waiting, Some((_, More::Yes))) {
            self.waiting = Some((now, More::Yes));
        }
    }

    /// Somebody asks for something, and may not have asked to the end before: the wait begins anew.
    pub(crate) fn ask(&mut self, now: Time) {
        self.waiting = Some((now, More::Yes));
    }

    /// Progress was made; `more` says whether yet more is waited for.
    pub(crate) fn progress(&mut self, now: Time, packet: usize, more: More) {
        if let Some((from, _)) = self.waiting {
            let to = now;
            let gap = Gap { from, to, packet };
            if self
                .longest
                .is_none_or(|longest| gap.length() > longest.length())
            {
                self.longest = Some(gap);
            }
        }
        self.waiting = (more != More::No).then_some((now, more));
    }

    /// Since when progress is certainly waited for.
    pub(crate) fn open(&self) -> Option<Time> {
        match self.waiting {
            Some((since, More::Yes)) => Some(since),
            _ => None,
        }
    }

    /// The longest gap.
    pub(crate) fn longest(&self) -> Option<Gap> {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u32) -> Time {
        Time::new(milliseconds / 1000, milliseconds % 1000 * 1_000_000)
    }

    #[test]
    fn the_longest_wait_is_kept() {
        let mut meter = Meter::default();
        meter.wait(at(100));
        meter.wait(at(150));
        meter.progress(at(200), 1, More::Yes);
        meter.wait(at(800));
        meter.progress(at(900), 2, More::Yes);
        meter.progress(at(1000), 3, More::No);
        let gap = meter.longest().unwrap();
        assert_eq!((gap.from, gap.to, gap.packet), (at(200), at(900), 2));
        assert_eq!(gap.length(), Duration::from_millis(700));
    }

    #[test]
    fn who_still_asks_does_not_wait() {
        let mut meter = Meter::default();
        for moment in [0, 1000, 2000] {
            meter.ask(at(moment));
        }
        meter.progress(at(2300), 1, More::No);
        assert_eq!(meter.longest().unwrap().from, at(2000));
    }

    #[test]
    fn idle_time_is_no_gap() {
        let mut meter = Meter::default();
        meter.wait(at(0));
        meter.progress(at(1), 1, More::No);
        meter.progress(at(5000), 2, More::Perhaps);
        meter.wait(at(9000));
        meter.progress(at(9002), 3, More::Perhaps);
        assert_eq!(meter.longest().unwrap().length(), Duration::from_millis(2));
        // Nobody asked: the server itself was late.
        meter.progress(at(9502), 4, More::Perhaps);
        assert_eq!(
            meter.longest().unwrap().length(),
            Duration::from_millis(500)
        );
    }
}
