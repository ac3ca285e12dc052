// SPDX-License-Identifier: GPL-2.0

//! The log: records that wait to be sent.
//!
//! The hooks append, the sender takes. Records are laid out at once as they will travel, one behind
//! the other in frames of at most [`MAX_FRAME`] bytes; while the sender is busy with what it took,
//! they gather. So do those for which nobody waits yet, for a moment: what costs is not a record, but
//! a packet, and the peer's answer to it. The log is bounded; whoever finds it full has to do without.

use crate::{
    events::Hits,
    flow::assembly::Source,
    kapi::{
        kthread::Stop,
        net::socket::Socket,
        signal::{
            new_signal,
            Signal, //
        },
        sync::{
            new_spinlock_bh,
            SpinLockBh, //
        }, //
    },
    wire::{
        frame::{
            self,
            MAX_FRAME, //
        },
        record::{
            self,
            Body, //
        }, //
    },
};
use core::mem;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The default of `channel/gather_us`: requests and their answers are quicker, and what nobody waits for
/// is acknowledged soon enough.
const GATHER_US: u64 = 4000;

/// Frames that are kept for reuse when they have been sent.
const SPARE: usize = 16;
/// Of these, how many are only for records without bytes of a client: what ends the protection of a
/// connection must find room when there is no room for its bytes.
const RESERVED: usize = 1;
/// How many bytes of such records there is room for beyond the limit.
const RESERVED_BYTES: usize = 1 << 20;

/// How much may gather, in bytes: with more than a few requests there is work enough for a packet.
const GATHERED: usize = 4 << 10;

/// The log.
#[pin_data]
pub(crate) struct Log {
    /// Protects all that waits. Taken in softirq and process context, inside the locks of flows.
    #[pin]
    inner: SpinLockBh<Inner>,
    /// Raised when something is to be sent at once, or has waited for long enough.
    #[pin]
    due: Signal,
    /// Raised when somebody waits for something.
    #[pin]
    haste: Signal,
    /// For how long records that nobody waits for may gather, in microseconds.
    pub(crate) gather_us: Atomic<u64>,
    /// How often there was no room.
    pub(crate) full: Hits,
}

struct Inner {
    /// Where the records go; they are taken only while there is such a place.
    socket: Option<Arc<Socket>>,
    waiting: Waiting,
    spare: KVec<KVec<u8>>,
    /// How much may wait, in bytes.
    limit: usize,
    /// Whether somebody waits for something in a batch that was taken, and not answered yet.
    in_flight: bool,
    sequence: u32,
}

/// The records that wait to be taken.
#[derive(Default)]
struct Waiting {
    /// Each begins with room for a frame's header; the last one is being filled.
    frames: KVec<KVec<u8>>,
    /// What is in `frames`, in bytes.
    bytes: usize,
    records: u64,
    /// Whether somebody waits for one of them.
    awaited: bool,
    /// Whether the peer will answer to one of them.
    answered: bool,
}

/// What the sender has taken.
pub(super) struct Batch {
    /// Where they go.
    pub(super) socket: Arc<Socket>,
    /// Complete frames, in order.
    pub(super) frames: KVec<KVec<u8>>,
    /// How many records are in them.
    pub(super) records: u64,
}

impl Log {
    /// Creates a log that is closed.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- new_spinlock_bh!(
                Inner {
                    socket: None,
                    waiting: Waiting::default(),
                    spare: KVec::new(),
                    limit: 0,
                    in_flight: false,
                    sequence: 0,
                },
                "Log::inner"
            ),
            due <- new_signal!("Log::due"),
            haste <- new_signal!("Log::haste"),
            gather_us: Atomic::new(GATHER_US),
            full: Hits::new(),
        })
    }

    /// Takes records for `socket` from now on, up to `limit` bytes, behind `first`, which is in frame number 0.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and the log stays closed.
    pub(crate) fn open<B: Body>(&self, limit: usize, socket: Arc<Socket>, first: &B) -> Result {
        self.close();
        let reserve = KVec::with_capacity(MAX_FRAME, GFP_KERNEL)?;
        let mut inner = self.inner.lock();
        inner.limit = limit;
        inner.sequence = 0;
        if inner.spare.len() < RESERVED {
            inner.spare.push(reserve, GFP_ATOMIC)?;
        }
        inner.socket = Some(socket);
        let opened = inner.add(first, None);
        if opened.is_err() {
            inner.socket = None;
        }
        drop(inner);
        self.due.raise();
        opened.map(|_| ())
    }

    /// Takes no more records, forgets those that wait, and shuts the socket down. May sleep.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        let _drop_outside_lock = mem::take(&mut inner.waiting);
        let socket = inner.socket.take();
        inner.in_flight = false;
        drop(inner);
        self.due.raise();
        if let Some(socket) = socket {
            socket.shut_down();
        }
    }

    /// Appends a record that is to be sent at once. Callable from softirq and process context.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if the log is closed, `ENOBUFS` if it is full, `ENOMEM`, or `EFAULT` if there is less
    /// than `payload` says. Nothing is appended then.
    pub(crate) fn append<B: Body>(&self, body: &B, payload: Option<&dyn Source>) -> Result {
        self.add(body, payload)?;
        self.due.raise();
        Ok(())
    }

    /// The same, if `is_wanted` says so, which is asked while nobody can open or close the log; else
    /// `ENOTCONN`.
    pub(super) fn append_if<B: Body>(&self, body: &B, is_wanted: impl FnOnce() -> bool) -> Result {
        self.add_if(body, None, is_wanted)?;
        self.due.raise();
        Ok(())
    }

    /// The same for one that may gather with others for `gather_us`, or until [`Self::hurry`] is called.
    pub(crate) fn append_idly<B: Body>(&self, body: &B, payload: Option<&dyn Source>) -> Result {
        let (before, after) = self.add(body, payload)?;
        let gather_us = self.gather_us.load(Relaxed);
        if before == 0 {
            self.due.raise_in(gather_us);
        }
        if before < GATHERED && after >= GATHERED {
            self.haste.raise();
        }
        Ok(())
    }

    /// The same for one that somebody waits for.
    pub(crate) fn append_awaited<B: Body>(&self, body: &B) -> Result {
        self.append_idly(body, None)?;
        self.hurry();
        Ok(())
    }

    /// The same for one whose sending the caller sees to, by
    /// [`Channel::batch_received`](super::Channel::batch_received).
    pub(crate) fn append_to_send<B: Body>(&self, body: &B) -> Result {
        self.add(body, None)?;
        Ok(())
    }

    /// Somebody waits for what was appended last: it is sent at once, or with all that gathers until the
    /// last batch is answered (group commit). Callable from softirq and process context.
    pub(crate) fn hurry(&self) {
        let mut inner = self.inner.lock();
        let waiting = &mut inner.waiting;
        let is_first = waiting.records != 0 && !mem::replace(&mut waiting.awaited, true);
        let is_due = is_first && !inner.in_flight;
        drop(inner);
        if is_due {
            self.haste.raise();
        }
    }

    /// The last batch was answered. Returns whether there is another one to be sent. Process context.
    pub(super) fn is_answered(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.in_flight = false;
        inner.waiting.awaited
    }

    /// There is something that could not be sent at once.
    pub(super) fn wake_sender(&self) {
        self.due.raise();
    }

    /// Returns how many bytes waited before, and wait now.
    fn add<B: Body>(&self, body: &B, payload: Option<&dyn Source>) -> Result<(usize, usize)> {
        self.add_if(body, payload, || true)
    }

    fn add_if<B: Body>(
        &self,
        body: &B,
        payload: Option<&dyn Source>,
        is_wanted: impl FnOnce() -> bool,
    ) -> Result<(usize, usize)> {
        let mut inner = self.inner.lock();
        let added = if is_wanted() {
            inner.add(body, payload)
        } else {
            Err(ENOTCONN)
        };
        drop(inner);
        added.inspect_err(|e| {
            if *e == ENOBUFS {
                self.full.note();
            }
        })
    }

    /// Returns how many bytes wait. Callable from softirq and process context.
    pub(crate) fn backlog(&self) -> usize {
        self.inner.lock().waiting.bytes
    }

    /// Waits until something is to be sent, for up to `timeout` microseconds.
    pub(super) fn wait(&self, stop: &Stop, timeout: u64) {
        self.due.wait(stop, timeout);
    }

    /// Waits until somebody waits for something, in the same way.
    pub(super) fn wait_for_haste(&self, stop: &Stop, timeout: u64) {
        self.haste.wait(stop, timeout);
    }

    /// Takes all that there is to be sent. May sleep.
    ///
    /// Returns [`None`] if there is nothing.
    pub(super) fn take(&self) -> Option<Batch> {
        // What is appended from here on has it raised again.
        self.due.put_off();
        let mut inner = self.inner.lock();
        if inner.waiting.records == 0 {
            return None;
        }
        let socket = inner.socket.clone()?;
        let waiting = mem::take(&mut inner.waiting);
        inner.in_flight |= waiting.awaited && waiting.answered;
        let mut batch = Batch {
            socket,
            frames: waiting.frames,
            records: waiting.records,
        };
        for frame in batch.frames.iter_mut() {
            let length = frame.len().saturating_sub(frame::HEADER);
            // CAST: At most `MAX_FRAME`.
            let header = frame::header(inner.sequence, length as u32);
            inner.sequence = inner.sequence.wrapping_add(1);
            if let Some(slot) = frame.get_mut(..frame::HEADER) {
                slot.copy_from_slice(&header);
            }
        }
        Some(batch)
    }

    /// Takes back the frames of a batch that was sent, to be filled again. May sleep.
    pub(super) fn recycle(&self, mut batch: Batch) {
        let mut inner = self.inner.lock();
        while inner.spare.len() < SPARE {
            let Some(mut frame) = batch.frames.pop() else {
                break;
            };
            frame.clear();
            if inner.spare.push(frame, GFP_ATOMIC).is_err() {
                break;
            }
        }
        drop(inner);
    }
}

impl Inner {
    /// Lays a record out behind the others. Returns how many bytes waited before, and wait now.
    fn add<B: Body>(&mut self, body: &B, payload: Option<&dyn Source>) -> Result<(usize, usize)> {
        let payload_len = payload.map_or(0, |p| p.len());
        let header = record::header::<B>(payload_len).ok_or(E2BIG)?;
        let len = header.len() + size_of::<B>() + payload_len;
        let frame = self.frame_with_room(len, payload.is_some())?;
        let before = frame.len();
        let whole = frame
            .extend_from_slice(&header, GFP_ATOMIC)
            .and_then(|()| frame.extend_from_slice(body.as_bytes(), GFP_ATOMIC))
            .map_err(Error::from)
            .and_then(|()| payload.map_or(Ok(()), |p| p.append_to(0, payload_len, frame)));
        if let Err(e) = whole {
            frame.truncate(before);
            return Err(e);
        }
        let waiting = &mut self.waiting;
        let before = waiting.bytes;
        waiting.bytes += len;
        waiting.records += 1;
        waiting.answered |= record::is_confirmed::<B>();
        Ok((before, waiting.bytes))
    }

    /// Returns the frame that has room for `len` bytes more, of a client or not.
    fn frame_with_room(&mut self, len: usize, is_payload: bool) -> Result<&mut KVec<u8>> {
        if self.socket.is_none() {
            return Err(ENOTCONN);
        }
        let beyond = if is_payload { 0 } else { RESERVED_BYTES };
        if self.waiting.bytes + len > self.limit.saturating_add(beyond) {
            return Err(ENOBUFS);
        }
        let frames = &mut self.waiting.frames;
        let full = frames.last().is_none_or(|f| f.len() + len > MAX_FRAME);
        if full {
            let keep = if is_payload { RESERVED } else { 0 };
            let spare = if self.spare.len() > keep {
                self.spare.pop()
            } else {
                None
            };
            let mut frame = match spare {
                Some(frame) => frame,
                None => KVec::with_capacity(MAX_FRAME, GFP_ATOMIC)?,
            };
            frame.extend_from_slice(&[0; frame::HEADER], GFP_ATOMIC)?;
            frames.push(frame, GFP_ATOMIC)?;
        }
        frames.last_mut().ok_or(ENOMEM)
    }
}
