// SPDX-License-Identifier: GPL-2.0

//! A connection that is being carried on: what is due next, and what is injected for it.

use super::inject::Injection;
use crate::{
    backup::{
        Input,
        Replica, //
    },
    flow::restore::{
        Phase,
        Restore, //
    },
    kapi::{
        net::tcp::RequestFields,
        time, //
    },
    primary::{
        stamp,
        Unprotected, //
    },
    service::Service,
    wire::record::{
        open,
        Open, //
    },
};

/// After how long without progress a connection, whose client may be gone, makes room for another
/// one, in milliseconds.
pub(super) const STALLED_MS: u64 = 100;
/// The same of one for which this node has to do something: it may be too busy for that, and then more
/// to do is of no help.
const SERVER_STALLED_MS: u64 = 1000;
/// For how long a connection that is under way may have had no turn, in milliseconds: the director
/// looks after all of them more often than that.
const MISSED_TURN_MS: u64 = 2_000;
/// How long to wait for an answer to what was injected, in milliseconds.
pub(super) const RETRY_MS: u64 = 20;
/// How long to wait for the client's answer to the question where it is, in milliseconds.
const ASK_AGAIN_MS: u64 = 100;
/// How long a client that was at rest has time to say that it is elsewhere, in milliseconds.
const BELIEVED_ANSWER_MS: u64 = 300;
/// How much the child is fed at once, in bytes.
const FEED_BYTES: u64 = 16 << 10;
/// How long a client's timer may be that has it send again what it has sent to the old node, in
/// milliseconds: as long as TCP lets it grow (`TCP_RTO_MAX`).
const CLIENT_TIMER_MS: u64 = 120_000;
/// How long to wait for the child to take what it was fed, in milliseconds.
const FEED_AGAIN_MS: u64 = 300;
/// How often a client whose connection cannot be carried on is asked where it is, so that it can be
/// reset there, and how long the first answer may take, in milliseconds; each further one twice as long.
const LOST_QUESTIONS: u32 = 4;
const LOST_ANSWER_MS: u64 = 250;
/// How far the service's timestamps jump ahead, in milliseconds, so that they surely do not go
/// back: more than any record is under way.
const TIMESTAMP_MARGIN_MS: u64 = 100;
/// How often the handshake is ended with an acknowledgement that has no data.
const PLAIN_ATTEMPTS: u32 = 2;
/// How much data goes with it after that, in bytes: less than any segment may have.
const DEFERRED_BYTES: u64 = 512;
/// The largest window that a SYN-ACK can offer, in bytes: what was offered beyond that at a safe
/// point is offered again when client and child are spliced.
const MAX_FIRST_WINDOW: u32 = 65535;

/// A connection that is being carried on.
pub(crate) struct Restoring {
    pub(super) machine: Restore,
    pub(super) input: Input,
    pub(super) open: Open,
    /// The client's last timestamp that is known.
    pub(super) client_tsval: u32,
    /// The child's last timestamp.
    pub(super) child_tsval: u32,
    /// Its first one, and when that was, on the monotonic clock in milliseconds.
    pub(super) child_began: (u32, u64),
    /// When it was begun with, on the monotonic clock in microseconds.
    pub(super) begun_us: u64,
    /// When to try again, on the monotonic clock in milliseconds.
    pub(super) retry_ms: u64,
    /// When it last had a turn, or 0.
    turn_ms: u64,
    /// When it last came further, or the server had reason to keep it waiting.
    pub(super) alive_ms: u64,
    /// The machine's furthest progress, and when it was last seen to grow.
    pub(super) progress: u64,
    pub(super) moved_ms: u64,
    /// How long it may stand still, in milliseconds.
    pub(super) hold_ms: u64,
    /// When a client that was at rest was asked whether it still is, or 0.
    asked_ms: u64,
    /// Whether a timestamp of the client was heard.
    has_heard_tsval: bool,
    /// How often the handshake was ended.
    pub(super) attempts: u32,
    /// Whether the client has said that it does not know of the connection.
    pub(super) is_given_up: bool,
}

impl Restoring {
    pub(super) fn new(replica: Replica, now_ms: u64, hold_ms: u64) -> Self {
        Self {
            machine: Restore::new(&replica.open, replica.right_edge, replica.place),
            input: replica.input,
            client_tsval: replica.open.client_tsval.get(),
            child_tsval: 0,
            child_began: (0, 0),
            open: replica.open,
            begun_us: time::now_us(),
            retry_ms: 0,
            turn_ms: 0,
            progress: 0,
            moved_ms: now_ms,
            alive_ms: now_ms,
            hold_ms,
            attempts: 0,
            asked_ms: 0,
            has_heard_tsval: false,
            is_given_up: false,
        }
    }

    /// Returns how much memory the input takes, in bytes.
    pub(crate) fn input_bytes(&self) -> u64 {
        self.input.size()
    }

    fn has_timestamps(&self) -> bool {
        self.open.flags & open::TIMESTAMPS != 0
    }

    /// Returns the window that the child offers at least, in bytes.
    pub(super) fn first_window(&self) -> u32 {
        self.open.window.get().min(MAX_FIRST_WINDOW)
    }

    /// Returns what the connection request behind the child has to say.
    pub(super) fn request(&self, service: &Service) -> RequestFields {
        let elapsed_ms = service
            .takeover
            .peer_clock_ms()
            .wrapping_sub(self.open.clock_ms.get())
            .wrapping_add(TIMESTAMP_MARGIN_MS);
        let ticks = if self.open.flags & open::TS_USEC != 0 {
            elapsed_ms.wrapping_mul(1000)
        } else {
            elapsed_ms
        };
        RequestFields {
            iss: self.open.iss.get(),
            wscale: self.open.service_wscale,
            window: self.first_window(),
            // CAST: Timestamps wrap.
            tsval: self.open.service_tsval.get().wrapping_add(ticks as u32),
            ..Default::default()
        }
    }
}

/// What is to be done outside the lock.
pub(super) enum Step {
    /// Inject, and see what comes of it.
    Inject(Injection, u64),
    /// Look for the child.
    FindChild(Injection),
    /// Have the child ask the client where it is; and whether it has been asked for a while.
    Ask(u64, bool),
    /// Splice client and child.
    Splice(u64),
    /// Nothing before then; and whether that has been so for a while.
    Wait(u64, bool),
    /// It has come to its end already.
    Over,
    Failed,
    Vanished,
}

impl Restoring {
    /// Returns what the connection is once client and child are spliced. `stalls` is whether it is to
    /// stand still until there is a backup.
    pub(super) fn finish(self, stalls: bool) -> Unprotected {
        let tsval = stamp(self.client_tsval).filter(|_| self.has_timestamps());
        let held = self.input.end();
        let tracker = self.machine.tracker(held, self.input.has_ended(), tsval);
        let (service_tsval, clock_ms) = self.child_began;
        let open = Open {
            client_tsval: self.client_tsval.into(),
            service_tsval: service_tsval.into(),
            clock_ms: clock_ms.into(),
            ..self.open
        };
        Unprotected::carried_on(tracker, &open, self.input, stalls)
    }

    /// Takes note of a turn. What had none, as others were before it, did not stand still: its time
    /// begins anew. So does that of a connection whose client has spoken long before its first turn.
    pub(super) fn note_turn(&mut self, now_ms: u64) {
        if now_ms - self.turn_ms > MISSED_TURN_MS {
            self.moved_ms = now_ms;
            self.alive_ms = now_ms;
        }
        self.turn_ms = now_ms;
    }

    /// Returns whether it has come further than it had been: to begin anew is no progress, or a listener
    /// that keeps refusing would keep it alive.
    pub(super) fn note_progress(&mut self, now_ms: u64) -> bool {
        let progress = self.machine.progress();
        let moved = progress > self.progress;
        if moved {
            self.progress = progress;
            self.moved_ms = now_ms;
            self.alive_ms = now_ms;
        }
        let held = self.input.end();
        let is_client_slow =
            self.machine.waits_for_client(held) && now_ms - self.moved_ms < CLIENT_TIMER_MS;
        if self.machine.waits_for_server(held) || is_client_slow {
            self.alive_ms = now_ms;
        }
        moved
    }

    /// Returns whether it has stood still for so long that there is room for another one. Not before it has
    /// a child: if the listener takes nothing, another one would fare no better.
    fn is_stalled(&self, now_ms: u64) -> bool {
        if self.machine.phase() < Phase::Probe {
            return false;
        }
        let waits_for_client = matches!(self.machine.phase(), Phase::Probe | Phase::Lost)
            || self.machine.waits_for_client(self.input.end());
        let patience_ms = if waits_for_client {
            STALLED_MS
        } else {
            SERVER_STALLED_MS
        };
        now_ms - self.moved_ms >= patience_ms
    }

    fn wait(&self, now_ms: u64, until_ms: u64) -> Step {
        Step::Wait(until_ms, self.is_stalled(now_ms))
    }

    pub(super) fn step(&mut self, now_ms: u64) -> Step {
        match self.machine.phase() {
            Phase::Done => Step::Over,
            Phase::CatchUp => self.catch_up(now_ms),
            _ if now_ms < self.retry_ms => self.wait(now_ms, self.retry_ms),
            Phase::Embryo => {
                self.retry_ms = now_ms + RETRY_MS;
                Step::Inject(Injection::syn(&self.open), self.retry_ms)
            }
            Phase::Handshake => {
                self.retry_ms = now_ms + RETRY_MS;
                Step::FindChild(self.handshake())
            }
            // It has not answered.
            Phase::Lost if self.attempts == LOST_QUESTIONS => Step::Vanished,
            Phase::Lost => {
                self.retry_ms = now_ms + (LOST_ANSWER_MS << self.attempts);
                self.attempts += 1;
                Step::Inject(self.lost_question(), self.retry_ms)
            }
            Phase::Probe => {
                self.retry_ms = now_ms + ASK_AGAIN_MS;
                Step::Ask(self.retry_ms, self.is_stalled(now_ms))
            }
        }
    }

    /// Feeds the child, and sees whether it has caught up.
    fn catch_up(&mut self, now_ms: u64) -> Step {
        let held = self.input.end();
        if self.machine.is_level(held) {
            return self.level(now_ms);
        }
        if now_ms >= self.moved_ms.max(self.retry_ms) + FEED_AGAIN_MS {
            self.retry_ms = now_ms;
            self.machine.feed_again();
        }
        let Some((offset, room)) = self.machine.appetite(held) else {
            if self.machine.owes_acknowledgement() {
                return Step::Ask(now_ms + RETRY_MS, false);
            }
            return self.wait(now_ms, self.moved_ms.max(self.retry_ms) + FEED_AGAIN_MS);
        };
        let (bytes, fin) = self.input.at(offset, room.min(FEED_BYTES));
        // CAST: Widening.
        let count = bytes.len() as u64 + u64::from(fin);
        let mut injection = self.injection(self.machine.told(), self.machine.told_window());
        if count == 0
            || injection
                .carry(bytes, fin, self.open.client_mss.get())
                .is_err()
        {
            return self.wait(now_ms, now_ms + RETRY_MS);
        }
        self.machine.feed(count);
        Step::Inject(injection, now_ms)
    }

    /// Client and child are level. One that is only believed to be where it is, as it was at rest, is
    /// asked all the same, since its node may have said more with its last breath; that it does not answer
    /// is no reason to wait for long.
    fn level(&mut self, now_ms: u64) -> Step {
        if !self.machine.is_believed() {
            return Step::Splice(now_ms + RETRY_MS);
        }
        match self.asked_ms {
            0 => {
                self.asked_ms = now_ms;
                Step::Ask(now_ms + BELIEVED_ANSWER_MS, true)
            }
            asked if now_ms < asked + BELIEVED_ANSWER_MS => {
                Step::Wait(asked + BELIEVED_ANSWER_MS, true)
            }
            _ => Step::Splice(now_ms + RETRY_MS),
        }
    }

    /// Returns the client's acknowledgement that ends the handshake.
    ///
    /// A listener that waits for data (TCP_DEFER_ACCEPT) ignores it unless it has some; it is given
    /// some when the plain one has been of no use. What it is fed later, it has twice.
    fn handshake(&mut self) -> Injection {
        let mut injection = self.injection(1, self.machine.told_window());
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts > PLAIN_ATTEMPTS {
            let (bytes, fin) = self.input.at(1, DEFERRED_BYTES);
            // Without memory it stays a plain one.
            let _ = injection.carry(bytes, fin, self.open.client_mss.get());
        }
        injection
    }

    /// Takes note of a timestamp of the client, unless it is older than another one that was heard. What
    /// the old node knew may be so old that it seems to be newer.
    pub(super) fn hear_tsval(&mut self, tsval: u32) {
        // CAST: The sign of the difference is the order.
        if !self.has_heard_tsval || tsval.wrapping_sub(self.client_tsval) as i32 > 0 {
            self.client_tsval = tsval;
            self.has_heard_tsval = true;
        }
    }

    /// Returns a segment of the client that the stack answers, as it knows no such connection: of that
    /// answer [`outbound`] makes the question where the client is.
    fn lost_question(&self) -> Injection {
        let (seq, ack, _) = self.machine.question(self.input.end());
        Injection::ack(ack, seq, 0, None)
    }

    /// Returns a segment of the client that says nothing but where it is, if that is known.
    pub(super) fn stray(&self) -> Option<Injection> {
        let (seq, ack) = self.machine.client_place(self.input.end())?;
        let timestamps = self
            .has_timestamps()
            .then_some((self.client_tsval, self.child_tsval));
        Some(Injection::ack(seq, ack, 0, timestamps))
    }

    /// Returns an acknowledgement of the client for `ack`.
    pub(super) fn injection(&self, ack: u64, window: u16) -> Injection {
        let (seq, ack) = self.machine.numbers(ack);
        let timestamps = self
            .has_timestamps()
            .then_some((self.client_tsval, self.child_tsval));
        Injection::ack(seq, ack, window, timestamps)
    }
}
