// SPDX-License-Identifier: GPL-2.0

//! What the check can find wrong.

use crate::pcap::Time;

/// The kinds of breach, by the invariant that each one hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// I1: the server sent other bytes than before for a part of the stream that the client had not
    /// acknowledged yet.
    AlteredBytes,
    /// I1: the server sent bytes beyond its FIN, or put its FIN elsewhere.
    MovedEnd,
    /// I2: a RST to a client that had not reset the connection itself.
    Reset,
    /// I2: an ICMP error about the connection.
    IcmpError,
    /// I2: a FIN before the end of the response.
    EarlyFin,
    /// I3: a node spoke although another one had taken over.
    SecondSpeaker,
    /// I3: a node claimed the service's address although another one had taken it.
    AddressClaim,
    /// I4: an acknowledgement of something that the backup had not confirmed, or a confirmation of
    /// something that it did not hold.
    Uncommitted,
    /// I5: an acknowledgement was taken back.
    AckBackwards,
    /// I5: the right edge of the offered window moved left.
    WindowShrunk,
    /// I5: the server's timestamp went back.
    TsvalBackwards,
    /// I5: a SYN-ACK repeated with another sequence number or other options.
    ChangedHandshake,
    /// I6: the client waited longer than allowed.
    LongGap,
}

impl Kind {
    /// The name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AlteredBytes => "altered-bytes",
            Self::MovedEnd => "moved-end",
            Self::Reset => "reset",
            Self::IcmpError => "icmp-error",
            Self::EarlyFin => "early-fin",
            Self::SecondSpeaker => "second-speaker",
            Self::AddressClaim => "address-claim",
            Self::Uncommitted => "uncommitted",
            Self::AckBackwards => "ack-backwards",
            Self::WindowShrunk => "window-shrunk",
            Self::TsvalBackwards => "tsval-backwards",
            Self::ChangedHandshake => "changed-handshake",
            Self::LongGap => "long-gap",
        }
    }
}

/// One thing found wrong.
#[derive(Clone, Debug)]
pub(crate) struct Breach {
    /// What it is.
    pub(crate) kind: Kind,
    /// Number of the packet that shows it.
    pub(crate) packet: usize,
    /// When that packet was seen.
    pub(crate) time: Time,
    /// Index of the connection in the report, if it is about one.
    pub(crate) connection: Option<usize>,
    /// The numbers, for a person.
    pub(crate) text: String,
}
