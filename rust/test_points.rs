// SPDX-License-Identifier: GPL-2.0

//! Points at which a test has a node die, and a switch that breaks the promise that the test is about.
//! Only in test builds (`make TEST=1`): of an ordinary module nothing of this is a part.
//!
//! A test names a step in `test/kill` of the node that is to die. When it is taken the N-th time,
//! the node is dead from that instant on, in the midst of whatever it is doing: no packet leaves
//! its net namespace any more, but the one that it is about to send, and none comes in. No switch of
//! the network could do that between one instruction and the next.
//!
//! One node can be armed or dead at a time, so all namespaces share the state.

use crate::{
    kapi::{
        kobject::{
            Attribute,
            Directory, //
        },
        net::netfilter::{
            Hook,
            Packet,
            Point,
            Registration,
            Verdict, //
        },
        random, //
    },
    node::Node,
    service::hooks::Segment, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        Arc,
        ArcBorrow, //
    }, //
};

/// A node dies here: `kill_point!(node, STEP)`, or `kill_point!(node, STEP if CONDITION)`.
macro_rules! kill_point {
    ($node:expr, $step:ident) => {
        $crate::test_points::take(&$node, $crate::test_points::Step::$step)
    };
    ($node:expr, $step:ident if $condition:expr) => {
        if $condition {
            kill_point!($node, $step);
        }
    };
}

/// A step on the way from a client's byte to its acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A client's SYN or bytes are here, and in no log yet.
    Unlogged = 1,
    /// Their record waits to be sent.
    Queued,
    /// A frame has been taken out of the log, and is lost on its way.
    Sending,
    /// The *other* node has received a record, and has not confirmed it.
    Received,
    /// A confirmation has come, and nothing was released by it yet.
    Confirmed,
    /// What it allows has left.
    Released,
    /// An aggregate leaves whose acknowledgement was set back: its first segments only.
    Aggregate,
    /// A FIN of either side is about to be logged, was logged, or leaves.
    Fin,
}

const STEPS: [(&str, Step); 8] = [
    ("unlogged", Step::Unlogged),
    ("queued", Step::Queued),
    ("sending", Step::Sending),
    ("received", Step::Received),
    ("confirmed", Step::Confirmed),
    ("released", Step::Released),
    ("aggregate", Step::Aggregate),
    ("fin", Step::Fin),
];

/// The number of the node that is to die, its step, and how often that has still to be taken.
static VICTIM: Atomic<u64> = Atomic::new(0);
static STEP: Atomic<u32> = Atomic::new(0);
static LEFT: Atomic<i32> = Atomic::new(0);
/// The number of the node that is dead.
static DEAD: Atomic<u64> = Atomic::new(0);
/// 1 if acknowledgements are not held back.
static UNCLAMPED: Atomic<u32> = Atomic::new(0);

/// Returns whether `node` is dead. Callable from any context.
pub(crate) fn is_dead(node: &Node) -> bool {
    DEAD.load(Acquire) == node.id
}

/// Returns whether acknowledgements are not held back. Callable from any context.
pub(crate) fn is_unclamped() -> bool {
    UNCLAMPED.load(Relaxed) != 0
}

/// `node` takes a step: it, or its peer if the step is one of the other node, may die of it. Returns
/// whether that was now. Callable from any context.
pub(crate) fn take(node: &Node, step: Step) -> bool {
    let victim = VICTIM.load(Acquire);
    // CAST: Small numbers.
    if victim == 0 || STEP.load(Relaxed) != step as u32 {
        return false;
    }
    let is_concerned = (victim == node.id) != (step == Step::Received);
    if !is_concerned || LEFT.fetch_sub(1, Full) != 1 {
        return false;
    }
    DEAD.store(victim, Release);
    true
}

/// An aggregate leaves whose acknowledgement was set back.
pub(crate) fn aggregate(node: &Node, segment: &mut Segment<'_>) {
    let segments = segment.packet.segments();
    if segments > 1 && take(node, Step::Aggregate) {
        // CAST: Less than `segments`.
        let kept = 1 + (random::random_u64() % u64::from(segments - 1)) as u32;
        let tcp = segment.tcp;
        // If there is no memory, it leaves as a whole.
        let _ = segment.packet.keep_segments(tcp, kept);
    }
}

fn arm(node: &Node, text: &str) -> Result {
    let (name, count) = text.split_once(' ').ok_or(EINVAL)?;
    let (_, step) = STEPS.iter().find(|(n, _)| *n == name).ok_or(EINVAL)?;
    let count = count.parse::<i32>().map_err(|_| EINVAL)?;
    disarm();
    // CAST: Small numbers.
    STEP.store(*step as u32, Relaxed);
    LEFT.store(count, Relaxed);
    VICTIM.store(node.id, Release);
    Ok(())
}

fn disarm() {
    VICTIM.store(0, Release);
    DEAD.store(0, Release);
}

/// The files in `test/`.
pub(crate) const ATTRIBUTES: &[Attribute<Node>] = &[
    Attribute::rw(
        c"kill",
        |node, out| {
            let state = match (is_dead(node), VICTIM.load(Relaxed) == node.id) {
                (true, _) => "dead",
                (false, true) => "armed",
                (false, false) => "off",
            };
            out.write_str(state)
        },
        |node, text| match text {
            "off" => {
                disarm();
                Ok(())
            }
            _ => arm(node, text),
        },
    ),
    Attribute::rw(
        c"clamp",
        |_, out| out.write_str(if is_unclamped() { "0" } else { "1" }),
        |_, text| {
            let off = match text {
                "0" => 1,
                "1" => 0,
                _ => return Err(EINVAL),
            };
            UNCLAMPED.store(off, Relaxed);
            Ok(())
        },
    ),
];

/// What tests have of a net namespace.
pub(crate) struct Namespace {
    _files: Pin<KBox<Directory<Node>>>,
    _grave: KVec<Pin<KBox<Registration<Grave>>>>,
}

impl Namespace {
    /// Registers the hooks, beside the directory of [`ATTRIBUTES`]. May sleep.
    pub(crate) fn new(node: &Arc<Node>, files: Pin<KBox<Directory<Node>>>) -> Result<Self> {
        const POINTS: [Point; 6] = [
            Point::Ipv4Arrival,
            Point::Ipv4Out,
            Point::Ipv6Arrival,
            Point::Ipv6Out,
            Point::ArpIn,
            Point::ArpOut,
        ];
        let hook = Arc::new(Grave(node.clone()), GFP_KERNEL)?;
        let mut grave = KVec::with_capacity(POINTS.len(), GFP_KERNEL)?;
        for point in POINTS {
            let registration = Registration::new(&node.net, point, hook.clone());
            grave.push(KBox::pin_init(registration, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(Self {
            _files: files,
            _grave: grave,
        })
    }
}

/// Where the packets of a dead node end.
struct Grave(Arc<Node>);

impl Hook for Grave {
    // In front of all others.
    const PRIORITY: i32 = i32::MIN;

    fn hook(this: ArcBorrow<'_, Self>, _point: Point, packet: Packet<'_>) -> Verdict {
        if is_dead(&this.0) {
            packet.absorb()
        } else {
            packet.accept()
        }
    }
}
