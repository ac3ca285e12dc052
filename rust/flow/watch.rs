// SPDX-License-Identifier: GPL-2.0

//! A connection that is not protected, on the node that serves it: when it may become so.

use super::tracker::NO_ANSWER;
use crate::wire::{
    segment::{
        flags,
        Header, //
    },
    seq::Seq, //
};

/// What is known of an unprotected connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// The end of what the service was seen to send.
    sent: Option<Seq>,
    /// The same, when the client was last heard to say something.
    asked: Option<Seq>,
}

impl Watch {
    /// Nothing is known.
    pub(crate) const fn new() -> Self {
        Self {
            sent: None,
            asked: None,
        }
    }

    /// Looks at a segment of the service with `len` bytes of payload.
    pub(crate) fn outbound(&mut self, header: &Header, len: usize) {
        if len == 0 || header.any(flags::SYN | flags::RST) {
            return;
        }
        // CAST: A packet is shorter than 2^32 bytes.
        let end = header.seq.add(len as u32);
        if self.sent.is_none_or(|sent| end.is_after(sent)) {
            self.sent = Some(end);
        }
    }

    /// Looks at a segment of the client with a payload, and returns whether it may be the next
    /// request: the client has all that the service has sent, which was an answer to what the client
    /// has sent before.
    pub(crate) fn inbound(&mut self, header: &Header) -> bool {
        let answered = match (self.sent, self.asked) {
            (Some(sent), Some(asked)) => asked.add(NO_ANSWER as u32).is_before(sent),
            _ => false,
        };
        let has_all = header.has(flags::ACK) && self.sent == Some(header.ack);
        self.asked = Some(self.sent.unwrap_or(header.ack));
        answered && has_all
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_watch))]
mod tests {
    use super::*;

    fn from_service(seq: u32) -> Header {
        Header {
            seq: Seq::new(seq),
            flags: flags::ACK,
            ..Header::default()
        }
    }

    fn from_client(ack: u32) -> Header {
        Header {
            ack: Seq::new(ack),
            flags: flags::ACK,
            ..Header::default()
        }
    }

    #[test]
    fn a_request_that_follows_an_answer_is_a_safe_point() {
        let start = u32::MAX - 50;
        let mut watch = Watch::new();
        // Nobody knows what the first one that is seen follows.
        watch.outbound(&from_service(start), 30);
        assert!(!watch.inbound(&from_client(start.wrapping_add(30))));
        watch.outbound(&from_service(start.wrapping_add(30)), 40);
        watch.outbound(&from_service(start.wrapping_add(30)), 40);
        assert!(watch.inbound(&from_client(start.wrapping_add(70))));
        // Its second segment is not.
        assert!(!watch.inbound(&from_client(start.wrapping_add(70))));
    }

    #[test]
    fn an_answer_that_is_short_or_has_not_arrived_is_none() {
        let mut watch = Watch::new();
        assert!(!watch.inbound(&from_client(100)));
        watch.outbound(&from_service(100), NO_ANSWER as usize);
        assert!(!watch.inbound(&from_client(100 + NO_ANSWER as u32)));
        watch.outbound(&from_service(125), 1000);
        assert!(!watch.inbound(&from_client(1000)));
    }
}
