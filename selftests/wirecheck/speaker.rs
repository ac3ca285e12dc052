// SPDX-License-Identifier: GPL-2.0

//! I3, one speaker: who has the word on a connection.
//!
//! Does not say what counts as speaking; the connection does.

use crate::{
    packet::Mac,
    pcap::Time, //
};

/// A node that has, or had, the word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speaker {
    /// Who it is.
    pub(crate) mac: Mac,
    /// Its first packet with the word, and when that was seen.
    pub(crate) packet: usize,
    pub(crate) from: Time,
    /// When its last packet with the word was seen.
    pub(crate) to: Time,
    /// How many bytes it sent that nobody had sent before.
    pub(crate) sent: i64,
    /// How many of the client's bytes it was the first to acknowledge.
    pub(crate) acknowledged: i64,
}

/// What a packet means for who has the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its sender has the word, or takes it with this packet.
    Speaks,
    /// Its sender never had the word and does not take it: it asks for the client's position, say.
    Newcomer,
    /// Its sender had the word before, and says nothing new: a harmless old duplicate.
    Stale,
    /// Its sender had the word before and goes on speaking, or one more takes it than may.
    Intrudes,
}

/// Who had the word, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Speakers {
    list: Vec<Speaker>,
}

impl Speakers {
    /// Judges a packet of `mac`; `speech` says whether only who has the word may send it.
    ///
    /// The word may pass on `takeovers` times.
    pub(crate) fn heard(
        &mut self,
        mac: Mac,
        speech: bool,
        takeovers: usize,
        now: Time,
        packet: usize,
    ) -> Standing {
        if let Some(last) = self.list.last_mut() {
            if last.mac == mac {
                last.to = now;
                return Standing::Speaks;
            }
        }
        if !speech {
            return if self.list.iter().any(|speaker| speaker.mac == mac) {
                Standing::Stale
            } else {
                Standing::Newcomer
            };
        }
        if self.list.len() > takeovers {
            return Standing::Intrudes;
        }
        self.list.push(Speaker {
            mac,
            packet,
            from: now,
            to: now,
            sent: 0,
            acknowledged: 0,
        });
        Standing::Speaks
    }

    /// Who has the word.
    pub(crate) fn current(&mut self) -> Option<&mut Speaker> {
        self.list.last_mut()
    }

    /// All who had it, in order.
    pub(crate) fn all(&self) -> &[Speaker] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
    const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);
    const C: Mac = Mac([2, 0, 0, 0, 0, 0xc]);

    #[test]
    fn the_word_passes_on_once_a_takeover() {
        let mut speakers = Speakers::default();
        let mut heard = |mac, speech| speakers.heard(mac, speech, 1, Time::default(), 1);
        assert_eq!(heard(A, true), Standing::Speaks);
        assert_eq!(heard(B, false), Standing::Newcomer);
        assert_eq!(heard(A, true), Standing::Speaks);
        assert_eq!(heard(B, true), Standing::Speaks);
        assert_eq!(heard(A, false), Standing::Stale);
        assert_eq!(heard(A, true), Standing::Intrudes);
        assert_eq!(heard(C, true), Standing::Intrudes);
        assert_eq!(heard(B, true), Standing::Speaks);
    }

    #[test]
    fn a_second_takeover_may_lead_back() {
        let mut speakers = Speakers::default();
        for (mac, standing) in [
            (A, Standing::Speaks),
            (B, Standing::Speaks),
            (A, Standing::Speaks),
            (B, Standing::Intrudes),
        ] {
            assert_eq!(speakers.heard(mac, true, 2, Time::default(), 1), standing);
        }
    }
}
