// SPDX-License-Identifier: GPL-2.0

//! Giving a backup that has come, or has come back, the connections that are there already: one after
//! the other, in the background, each from its beginning or its last safe point.
//!
//! Those that have a journal, that is; others have to wait for their next safe point.

use super::{
    journal::{
        Given,
        Unprotected,
        Whole, //
    },
    Tracked, //
};
use crate::{
    events,
    kapi::time,
    service::{
        FlowRef,
        FlowState,
        Service, //
    },
    wire::{
        key::Key,
        record::{
            self,
            data, //
        },
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    }, //
};

/// How much may wait in the log, in bytes, while connections are given: what clients send now must not
/// wait for long.
const BACKLOG: usize = 256 << 10;
/// How long to wait when that much does, in milliseconds.
const PAUSE_MS: u64 = 5;
/// How long until it is looked again for connections that can be given, in milliseconds.
const LOOK_AGAIN_MS: u64 = 1000;
/// How many are looked for at once.
const AT_ONCE: usize = 1024;
/// How many pieces are given in one turn of the director, who has other things to do.
const PIECES: u32 = 64;

/// What is being given of a service.
#[pin_data]
pub(crate) struct Resync {
    /// The connections whose turn is yet to come.
    #[pin]
    queue: Mutex<KVec<FlowRef>>,
    /// Whether listeners have been told that it goes on. The director's.
    is_told: Atomic<bool>,
    /// When to look for more, on the monotonic clock in milliseconds. The director's.
    look_at_ms: Atomic<u64>,
    /// How many were found, in this session, and how many of them have become protected.
    found: Atomic<u64>,
    done: Atomic<u64>,
}

impl Resync {
    /// Creates the state of a service of which nothing is being given.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            queue <- new_mutex!(KVec::new(), "Resync::queue"),
            is_told: Atomic::new(false),
            look_at_ms: Atomic::new(0),
            found: Atomic::new(0),
            done: Atomic::new(0),
        })
    }

    /// Returns how many connections were found in this session. Callable from any context.
    pub(crate) fn found(&self) -> u64 {
        self.found.load(Relaxed)
    }

    /// Returns how many of them have become protected. Callable from any context.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }
}

/// A session has begun or ended: what was given is of no use. May sleep.
pub(crate) fn start_over(service: &Service) {
    let resync = &service.resync;
    *resync.queue.lock() = KVec::new();
    resync.look_at_ms.store(0, Relaxed);
    resync.is_told.store(false, Relaxed);
    resync.found.store(0, Relaxed);
    resync.done.store(0, Relaxed);
}

/// What has become of a connection in its turn.
enum Turn {
    /// There is more to be given.
    More,
    /// It is protected from now on.
    Protected,
    /// It cannot be given now, or needs not.
    Over,
    /// Nothing can: the session has ended.
    Stop,
}

/// Gives the backup some of what it lacks, and returns when it is to be called again, on the monotonic
/// clock in milliseconds. The director's; may sleep.
pub(crate) fn advance(service: &Service, now_ms: u64) -> u64 {
    if !service.is_protected() {
        return u64::MAX;
    }
    // After a takeover come first those who wait for it.
    if let Some(at_ms) = service.takeover.has_precedence_until() {
        if now_ms < at_ms {
            return at_ms;
        }
    }
    let resync = &service.resync;
    let mut queue = resync.queue.lock();
    if queue.is_empty() {
        let at = resync.look_at_ms.load(Relaxed);
        if now_ms < at {
            return at;
        }
        *queue = candidates(service, now_ms);
        if queue.is_empty() {
            resync.look_at_ms.store(now_ms + LOOK_AGAIN_MS, Relaxed);
            if resync.is_told.load(Relaxed) {
                resync.is_told.store(false, Relaxed);
                events::resync_ended(service);
            }
            return now_ms + LOOK_AGAIN_MS;
        }
        // CAST: Widening.
        resync.found.add(queue.len() as u64, Relaxed);
        if !resync.is_told.load(Relaxed) {
            resync.is_told.store(true, Relaxed);
            events::resync_began(service);
        }
    }
    for _ in 0..PIECES {
        let Some(flow) = queue.last() else {
            break;
        };
        if service.node.channel.log.backlog() >= BACKLOG {
            return time::now_ms() + PAUSE_MS;
        }
        match give(service, flow) {
            Turn::More => continue,
            Turn::Stop => return u64::MAX,
            Turn::Protected => resync.done.add(1, Relaxed),
            Turn::Over => {}
        }
        drop(queue.pop());
    }
    now_ms
}

/// Returns connections that can be given.
fn candidates(service: &Service, now_ms: u64) -> KVec<FlowRef> {
    let mut found = KVec::new();
    if service.unprotected() != 0 {
        service.flows.for_each(|flow| {
            // One that is left out for want of memory has its turn the next time.
            if can_be_given(&flow, now_ms) {
                let _ = found.push(flow, GFP_ATOMIC);
            }
            found.len() < AT_ONCE
        });
    }
    found
}

fn can_be_given(flow: &FlowRef, now_ms: u64) -> bool {
    let FlowState::Unprotected(unprotected) = &*flow.state.lock() else {
        return false;
    };
    unprotected
        .whole
        .as_ref()
        .is_some_and(|whole| whole.not_before_ms <= now_ms && whole.tracker.is_whole())
}

/// Gives the backup a piece of a connection.
fn give(service: &Service, flow: &FlowRef) -> Turn {
    let mut state = flow.state.lock();
    let FlowState::Unprotected(Unprotected {
        whole: Some(whole), ..
    }) = &mut *state
    else {
        return Turn::Over;
    };
    match whole.give(service, &flow.key) {
        Ok(true) => return Turn::More,
        Ok(false) => {}
        Err(e) if e == ENOTCONN => return Turn::Stop,
        Err(_) => {
            whole.put_off(service, &flow.key);
            return Turn::Over;
        }
    }
    // It can be given when the gap in its input has closed.
    if !whole.tracker.is_whole() {
        return Turn::Over;
    }
    let became = become_tracked(service, flow, &mut state);
    drop(state);
    if became {
        service.recent.push(flow);
        service.count_resumed();
        return Turn::Protected;
    }
    Turn::Over
}

/// Makes a connection, all of which the backup was given, a protected one. Returns whether it is.
fn become_tracked(service: &Service, flow: &FlowRef, state: &mut FlowState) -> bool {
    let FlowState::Unprotected(unprotected) = state else {
        return false;
    };
    let Ok(room) = KBox::<Tracked>::new_uninit(GFP_ATOMIC) else {
        return false;
    };
    let Some(mut whole) = unprotected.whole.take() else {
        return false;
    };
    if whole.give_last(service, &flow.key).is_err() {
        whole.put_off(service, &flow.key);
        unprotected.whole = Some(whole);
        return false;
    }
    let whole = KBox::into_inner(whole);
    let tracked = Tracked {
        tracker: whole.tracker,
        // Of another one than the present it is found to be when something passes.
        session: whole.given.map_or(0, |given| given.session),
        kept: None,
        began: time::jiffies(),
        is_answered: true,
        journal: Some(whole.journal),
    };
    *state = FlowState::Tracked(room.write(tracked));
    true
}

impl Whole {
    /// Gives the backup the next piece, and returns whether there was one.
    fn give(&mut self, service: &Service, key: &Key) -> Result<bool> {
        let session = service.node.channel.session();
        let upto = match &self.given {
            Some(given) if given.session == session => given.upto,
            _ => {
                self.give_open(service)?;
                self.given = Some(Given { session, upto: 1 });
                1
            }
        };
        // CAST: Widening.
        let (bytes, fin) = self.journal.input.at(upto, record::FULL_DATA as u64);
        // CAST: Widening.
        let count = bytes.len() as u64 + u64::from(fin);
        if count == 0 {
            return Ok(false);
        }
        self.give_data(service, key, upto, (bytes, fin), 0)?;
        self.given = Some(Given {
            session,
            upto: upto + count,
        });
        Ok(true)
    }

    /// Tells the backup how the connection began.
    fn give_open(&self, service: &Service) -> Result {
        let open = &self.journal.open;
        let opened = record::Open {
            window: self.first_window().into(),
            client_tsval: self.tracker.tsval().map_or(open.client_tsval, Into::into),
            ..*open
        };
        service.node.channel.log.append(&opened, None)
    }

    fn first_window(&self) -> u32 {
        self.tracker.first_window(self.journal.open.window.get())
    }

    /// Tells the backup what it has to know beside the input: how far the service is, and what the client
    /// was offered. From here on the tracker waits for it to confirm.
    fn give_last(&mut self, service: &Service, key: &Key) -> Result {
        let place = record::Place {
            key: *key,
            incarnation: self.tracker.incarnation().into(),
            sent: self.tracker.place().into(),
            ..Default::default()
        };
        service.node.channel.log.append(&place, None)?;
        let edge = self.tracker.begin_again(self.first_window());
        let end = self.journal.input.end();
        if end > 1 {
            // The last offset once more: a record about nothing is none.
            let last = self.journal.input.at(end - 1, 1);
            self.give_data(service, key, end - 1, last, edge)?;
        }
        self.tracker.place_told(false);
        Ok(())
    }

    fn give_data(
        &self,
        service: &Service,
        key: &Key,
        offset: u64,
        (bytes, fin): (&[u8], bool),
        right_edge: u64,
    ) -> Result {
        let body = record::Data {
            key: *key,
            incarnation: self.tracker.incarnation().into(),
            flags: if fin { data::FIN } else { 0 },
            reserved: [0; 3],
            offset: offset.into(),
            right_edge: right_edge.into(),
        };
        service.node.channel.log.append(&body, Some(&bytes))
    }
}
