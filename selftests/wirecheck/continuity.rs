// SPDX-License-Identifier: GPL-2.0

//! I5, wire continuity: what a server has told the client it must not take back.
//!
//! Packets of one node may overtake each other on their way to the client, for a short time; packets of
//! two nodes may not, since the second one begins when the first is silent.

use std::time::Duration;

use crate::{
    breach::Kind,
    packet::Mac,
    pcap::Time, //
};

/// Something that only grows, and who said its highest value when.
#[derive(Clone, Copy, Debug)]
struct Highest<T> {
    value: T,
    mac: Mac,
    time: Time,
}

/// A packet's place, for judging whether it was overtaken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Who sent it.
    pub(crate) mac: Mac,
    /// When it was seen.
    pub(crate) time: Time,
    /// For how long one packet of a node may overtake another.
    pub(crate) reorder: Duration,
}

impl<T> Highest<T> {
    /// Whether a packet that says less was overtaken by the one that said the highest value.
    fn overtook(&self, place: Place) -> bool {
        self.mac == place.mac && place.time.since(self.time) <= place.reorder
    }
}

/// What the server has told the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Continuity {
    /// The highest acknowledgement.
    ack: Option<Highest<i64>>,
    /// The right edge of the window, where the scale is known.
    edge: Option<Highest<i64>>,
    /// The latest timestamp.
    tsval: Option<Highest<u32>>,
}

impl Continuity {
    /// The highest acknowledgement so far.
    pub(crate) fn ack(&self) -> Option<i64> {
        self.ack.map(|highest| highest.value)
    }

    /// The server acknowledged everything before `ack`.
    pub(crate) fn acknowledged(
        &mut self,
        ack: i64,
        place: Place,
        breach: &mut dyn FnMut(Kind, String),
    ) {
        match self.ack {
            Some(highest) if ack < highest.value => {
                if !highest.overtook(place) {
                    let (lost, from) = (highest.value - ack, highest.value);
                    breach(
                        Kind::AckBackwards,
                        format!("acknowledges {ack} after {from}: {lost} bytes taken back"),
                    );
                }
            }
            _ => self.ack = Some(Highest::new(ack, place)),
        }
    }

    /// The server offered a window up to `edge`, of which it can tell only multiples of `unit`.
    ///
    /// RFC 7323, section 2.4: an edge may seem to move left by less than the unit.
    pub(crate) fn offered(
        &mut self,
        edge: i64,
        unit: i64,
        place: Place,
        breach: &mut dyn FnMut(Kind, String),
    ) {
        match self.edge {
            Some(highest) if edge < highest.value => {
                if edge + unit <= highest.value && !highest.overtook(place) {
                    let (lost, from) = (highest.value - edge, highest.value);
                    breach(
                        Kind::WindowShrunk,
                        format!("window ends at {edge} after {from}: {lost} bytes taken back"),
                    );
                }
            }
            _ => self.edge = Some(Highest::new(edge, place)),
        }
    }

    /// The server put the time at `tsval`.
    pub(crate) fn stamped(
        &mut self,
        tsval: u32,
        place: Place,
        breach: &mut dyn FnMut(Kind, String),
    ) {
        match self.tsval {
            // CAST: timestamps are compared modulo 2^32 (RFC 7323, section 5.2).
            Some(highest) if (tsval.wrapping_sub(highest.value) as i32) < 0 => {
                if !highest.overtook(place) {
                    let (back, from) = (highest.value.wrapping_sub(tsval), highest.value);
                    breach(
                        Kind::TsvalBackwards,
                        format!("TSval {tsval} after {from}: {back} ticks back"),
                    );
                }
            }
            _ => self.tsval = Some(Highest::new(tsval, place)),
        }
    }
}

impl<T> Highest<T> {
    fn new(value: T, place: Place) -> Self {
        Self {
            value,
            mac: place.mac,
            time: place.time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_may_be_rounded_down() {
        let place = Place {
            mac: Mac([0; 6]),
            time: Time::default(),
            reorder: Duration::ZERO,
        };
        let later = Place {
            time: Time::new(1, 0),
            ..place
        };
        for (edge, expected) in [(1000, 0), (873, 0), (872, 1)] {
            let mut breaches = 0;
            let mut continuity = Continuity::default();
            continuity.offered(1000, 128, place, &mut |_, _| breaches += 1);
            continuity.offered(edge, 128, later, &mut |_, _| breaches += 1);
            assert_eq!(breaches, expected, "edge {edge}");
        }
    }
}
