// SPDX-License-Identifier: GPL-2.0

//! What the node that serves a connection keeps of it: all that the backup is told, so that one that
//! comes later, or comes back, can be told it, too.

use super::{
    packets::Passed,
    tell_closed,
    TRY_AGAIN_MS, //
};
use crate::{
    backup::Input,
    flow::{
        tracker::{
            Inbound,
            Outbound,
            Piece,
            Stamp,
            Tracker, //
        },
        watch::Watch, //
    },
    kapi::time,
    node::Node,
    service::{
        hooks::Segment,
        Service, //
    },
    wire::{
        key::Key,
        record::Open,
        segment::flags, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A connection from its beginning, or from its last safe point.
pub(crate) struct Journal {
    /// How it began; the clock is this node's.
    pub(super) open: Open,
    /// What its client has sent since.
    pub(super) input: Input,
}

impl Journal {
    /// Begins a journal; [`None`] if there is no memory. Does not sleep.
    pub(super) fn new(node: &Arc<Node>, open: &Open) -> Option<KBox<Self>> {
        let journal = Self {
            open: *open,
            input: Input::new(node).into_copy(),
        };
        KBox::new(journal, GFP_ATOMIC).ok()
    }

    /// Adds a piece of a segment of the client. Does not sleep.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if there is no room, `ENOMEM`: the journal is not whole then.
    pub(super) fn add(&mut self, segment: &Segment<'_>, piece: &Piece) -> Result {
        let part = segment.part(piece.skip, piece.len);
        self.input.add(piece.offset, &part, piece.fin)
    }
}

/// A connection that is served here and not protected.
pub(crate) struct Unprotected {
    pub(super) watch: Watch,
    /// What a backup can be given of it.
    pub(super) whole: Option<KBox<Whole>>,
}

impl Unprotected {
    /// Returns how much memory the copy of the input takes, in bytes.
    pub(crate) fn input_bytes(&self) -> u64 {
        self.whole
            .as_ref()
            .map_or(0, |whole| whole.journal.input.size())
    }
}

/// An unprotected connection of which nothing is missing.
pub(crate) struct Whole {
    pub(super) tracker: Tracker,
    pub(super) journal: KBox<Journal>,
    /// What the backup was given of it already.
    pub(super) given: Option<Given>,
    /// Not to be given to the backup before then, on the monotonic clock in milliseconds.
    pub(super) not_before_ms: u64,
    /// Whether the client is told no more than the backup has confirmed: it stands still without one.
    pub(super) stalls: bool,
}

impl Whole {
    /// Has the backup forget what it was given of it.
    pub(super) fn withdraw(&mut self, service: &Service, key: &Key) {
        if let Some(given) = self.given.take() {
            tell_closed(service, key, self.tracker.incarnation(), given.session);
        }
    }

    /// The same, and the backup is left alone with it for a while.
    pub(super) fn put_off(&mut self, service: &Service, key: &Key) {
        self.withdraw(service, key);
        self.not_before_ms = time::now_ms() + TRY_AGAIN_MS;
    }
}

/// How much of a connection the backup was given.
pub(super) struct Given {
    /// In which session.
    pub(super) session: u32,
    /// All of the client's offsets below.
    pub(super) upto: u64,
}

impl Unprotected {
    /// Creates what is known of a connection that was found in the midst of its life: nothing.
    pub(crate) const fn unknown() -> Self {
        Self {
            watch: Watch::new(),
            whole: None,
        }
    }

    /// Creates what is known of a connection that had a journal. Does not sleep; without memory it is
    /// not whole any more.
    pub(super) fn whole(mut tracker: Tracker, journal: Option<KBox<Journal>>) -> Self {
        let whole = journal.and_then(|journal| {
            tracker.holds(journal.input.end());
            let whole = Whole {
                tracker,
                journal,
                given: None,
                not_before_ms: 0,
                stalls: false,
            };
            KBox::new(whole, GFP_ATOMIC).ok()
        });
        Self {
            watch: Watch::new(),
            whole,
        }
    }

    /// Creates what is known of a connection that was carried on: all that has made it what it is. The
    /// clock in `open` is this node's.
    ///
    /// `stalls` is whether it is to stand still until there is a backup.
    pub(crate) fn carried_on(tracker: Tracker, open: &Open, input: Input, stalls: bool) -> Self {
        let journal = Journal {
            open: *open,
            input: input.into_copy(),
        };
        let mut this = Self::whole(tracker, KBox::new(journal, GFP_ATOMIC).ok());
        if let Some(whole) = &mut this.whole {
            whole.stalls = stalls;
        }
        this
    }

    /// Returns which of the connections of its name it is, if that is known and it does not stand still.
    pub(super) fn incarnation(&self) -> Option<u32> {
        let whole = self.whole.as_ref().filter(|whole| !whole.stalls)?;
        Some(whole.tracker.incarnation())
    }

    /// The backup does not take the connection of that number that it is being given: it goes on without.
    /// Returns whether the client has to be told something.
    pub(super) fn refused(&mut self, service: &Service, key: &Key, incarnation: u32) -> bool {
        let Some(whole) = &mut self.whole else {
            return false;
        };
        if whole.given.is_none() || whole.tracker.incarnation() != incarnation {
            return false;
        }
        whole.put_off(service, key);
        self.stops_stalling()
    }

    /// Lets the client know all that is known here. Returns whether that is news.
    pub(super) fn stops_stalling(&mut self) -> bool {
        let Some(whole) = self.whole.as_mut().filter(|whole| whole.stalls) else {
            return false;
        };
        whole.stalls = false;
        whole.tracker.let_go();
        true
    }

    /// Looks at a segment of the client. Returns what is to be dropped outside of locks.
    pub(super) fn inbound(
        &mut self,
        segment: &Segment<'_>,
        tsval: Option<Stamp>,
    ) -> Option<KBox<Whole>> {
        let whole = self.whole.as_mut()?;
        let Inbound::Log(piece) = whole.tracker.inbound(&segment.header, segment.len, tsval) else {
            return None;
        };
        let urgent = segment.header.has(flags::URG);
        if urgent || whole.journal.add(segment, &piece).is_err() {
            return self.whole.take();
        }
        let held = whole.journal.input.end();
        whole.tracker.logged(&piece, tsval);
        whole.tracker.holds(held);
        None
    }

    /// Looks at a segment of the service, and says what becomes of it. `stalls` is whether the service is
    /// to stand still without a backup.
    pub(super) fn outbound(&mut self, passed: &Passed, stalls: bool) -> Outbound {
        self.watch.outbound(&passed.header, passed.len);
        let Some(whole) = self.whole.as_mut() else {
            return Outbound::Pass;
        };
        whole.stalls &= stalls;
        if !whole.stalls {
            whole
                .tracker
                .outbound_unprotected(&passed.header, passed.len);
            return Outbound::Pass;
        }
        let tracker = &mut whole.tracker;
        let verdict = tracker.outbound(&passed.header, passed.len, passed.has_sack, passed.now);
        // Nobody knows for how long, so it is not kept: the socket says it again, or is made to.
        tracker.forget_kept();
        verdict
    }
}
