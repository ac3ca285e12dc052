// SPDX-License-Identifier: GPL-2.0

//! What an event says, and as what it travels: the contract with those who listen, of which
//! `Documentation/events.rst` tells the other side.
//!
//! Numbers are never given to anything else. Knows nothing of netlink nor of the kernel.

/// The name of the family.
pub(crate) const FAMILY: &[u8] = b"tcp_failover\0";
/// Its version.
pub(crate) const VERSION: u32 = 1;
/// The command of a message that is an event; there is no other.
pub(crate) const COMMAND: u8 = 1;

/// The attributes. All numbers are of netlink's type `uint`, four bytes or eight.
pub(crate) mod attribute {
    /// The event's number in its net namespace, from 1 on.
    pub(crate) const SEQUENCE: u16 = 1;
    /// When it was sent, on the monotonic clock in microseconds.
    pub(crate) const TIME_US: u16 = 2;
    /// What has happened.
    pub(crate) const KIND: u16 = 3;
    /// A string: the name of the service, if it is about one.
    pub(crate) const SERVICE: u16 = 4;
    /// A string, for people: why.
    pub(crate) const REASON: u16 = 5;
    /// The state of the service.
    pub(crate) const STATE: u16 = 6;
    /// The epoch of the service.
    pub(crate) const EPOCH: u16 = 7;
    /// The number of the channel's session.
    pub(crate) const SESSION: u16 = 8;
    /// For how long nothing was heard of the peer, in milliseconds.
    pub(crate) const SILENCE_MS: u16 = 9;
    /// How many connections go on.
    pub(crate) const RESTORED: u16 = 10;
    /// How many connections could not be carried on.
    pub(crate) const FAILED: u16 = 11;
    /// How many bytes of the service the clients had already.
    pub(crate) const BYTES_ABSORBED: u16 = 12;
    /// How long it took, in milliseconds.
    pub(crate) const DURATION_MS: u16 = 13;
    /// How often it has happened since the last event of this kind.
    pub(crate) const COUNT: u16 = 14;
    /// How many connections are not protected.
    pub(crate) const UNPROTECTED: u16 = 15;
    /// How many connections have become protected.
    pub(crate) const PROTECTED: u16 = 16;
}

/// The state of a service, as its file `state` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It does not run.
    Off = 0,
    /// It is silent.
    Standby = 1,
    /// It is about to speak.
    Probing = 2,
    /// It speaks.
    Active = 3,
    /// It is silent, and waits for its peer to speak.
    Leaving = 4,
}

/// What has become of a takeover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    /// How many connections go on.
    pub(crate) restored: u64,
    /// How many could not be carried on.
    pub(crate) failed: u64,
    /// How many bytes of the service the clients had already.
    pub(crate) bytes_absorbed: u64,
    /// How long it took from when the node had the address, in milliseconds.
    pub(crate) duration_ms: u64,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A session with the peer has begun.
    PeerUp {
        /// Its number.
        session: u32,
    },
    /// The session has ended.
    PeerDown {
        /// For how long nothing was heard of the peer, in milliseconds.
        silence_ms: u64,
    },
    /// The peer has been silent for too long: nothing waits for it.
    PeerSilent {
        /// For how long, in milliseconds.
        silence_ms: u64,
    },
    /// It is heard again, in the same session.
    PeerHeard,
    /// A service has another state.
    State {
        /// The new one.
        state: State,
        /// The epoch then.
        epoch: u64,
        /// Why, where that is not plain.
        reason: Option<&'a str>,
    },
    /// Connections of a service that begin now are protected.
    Protected,
    /// They are not.
    Unprotected {
        /// Why not.
        reason: &'a str,
    },
    /// A takeover begins.
    TakeoverBegan {
        /// For how long nothing was heard of the peer, in milliseconds.
        silence_ms: u64,
    },
    /// It has ended: all connections have come to their end, or it was given up.
    TakeoverEnded(Totals),
    /// Connections that were there before the backup are being given to it.
    ResyncBegan {
        /// How many of the service are not protected.
        unprotected: u32,
    },
    /// All that can be given have been.
    ResyncEnded {
        /// How many are still not protected.
        unprotected: u32,
        /// How many have become so.
        protected: u64,
    },
    /// The peer has something set otherwise.
    Differs {
        /// What, and both values.
        reason: &'a str,
    },
    /// A limit was reached.
    Limit {
        /// The file in `limits/`.
        name: &'static str,
        /// How often since the last event about it.
        count: u32,
    },
}

/// Where an event is written to.
pub(crate) trait Attributes {
    /// What may go wrong.
    type Error;

    /// Writes a number.
    fn number(&mut self, attribute: u16, value: u64) -> Result<(), Self::Error>;

    /// Writes a string, without a NUL.
    fn text(&mut self, attribute: u16, value: &str) -> Result<(), Self::Error>;
}

impl Event<'_> {
    /// Returns the number of its kind.
    fn kind(&self) -> u64 {
        match self {
            Self::PeerUp { .. } => 1,
            Self::PeerDown { .. } => 2,
            Self::PeerSilent { .. } => 3,
            Self::PeerHeard => 4,
            Self::State { .. } => 5,
            Self::Protected => 6,
            Self::Unprotected { .. } => 7,
            Self::TakeoverBegan { .. } => 8,
            Self::TakeoverEnded(_) => 9,
            Self::Limit { .. } => 10,
            Self::ResyncBegan { .. } => 11,
            Self::ResyncEnded { .. } => 12,
            Self::Differs { .. } => 13,
        }
    }

    /// Writes its kind and what it says.
    pub(crate) fn write<A: Attributes>(&self, out: &mut A) -> Result<(), A::Error> {
        out.number(attribute::KIND, self.kind())?;
        match *self {
            Self::PeerHeard | Self::Protected => Ok(()),
            Self::PeerUp { session } => out.number(attribute::SESSION, session.into()),
            Self::PeerDown { silence_ms }
            | Self::PeerSilent { silence_ms }
            | Self::TakeoverBegan { silence_ms } => out.number(attribute::SILENCE_MS, silence_ms),
            Self::State {
                state,
                epoch,
                reason,
            } => {
                // CAST: The numbers of the contract.
                out.number(attribute::STATE, state as u64)?;
                out.number(attribute::EPOCH, epoch)?;
                reason.map_or(Ok(()), |reason| out.text(attribute::REASON, reason))
            }
            Self::Unprotected { reason } | Self::Differs { reason } => {
                out.text(attribute::REASON, reason)
            }
            Self::TakeoverEnded(totals) => {
                out.number(attribute::RESTORED, totals.restored)?;
                out.number(attribute::FAILED, totals.failed)?;
                out.number(attribute::BYTES_ABSORBED, totals.bytes_absorbed)?;
                out.number(attribute::DURATION_MS, totals.duration_ms)
            }
            Self::ResyncBegan { unprotected } => {
                out.number(attribute::UNPROTECTED, unprotected.into())
            }
            Self::ResyncEnded {
                unprotected,
                protected,
            } => {
                out.number(attribute::UNPROTECTED, unprotected.into())?;
                out.number(attribute::PROTECTED, protected)
            }
            Self::Limit { name, count } => {
                out.text(attribute::REASON, name)?;
                out.number(attribute::COUNT, count.into())
            }
        }
    }
}
