// SPDX-License-Identifier: GPL-2.0

//! Giving segments that leave other numbers than their own.

use crate::{
    service::hooks::Segment,
    wire::seq::Seq, //
};
use kernel::prelude::*;

/// Where the sequence number stands in a TCP header.
const SEQ: usize = 4;
/// Where the acknowledgement number stands in a TCP header.
const ACK: usize = 8;
/// Where the word with the window stands in a TCP header: length, flags, window.
const WINDOW_WORD: usize = 12;

/// Returns the word of a TCP header that has the window in it.
fn window_word(segment: &Segment<'_>) -> Result<[u8; 4]> {
    let at = segment.tcp + WINDOW_WORD;
    let word = segment
        .packet
        .data()
        .get(at..)
        .and_then(<[u8]>::first_chunk);
    word.copied().ok_or(EINVAL)
}

/// Gives a segment another sequence number than its own.
pub(crate) fn rewrite_seq(segment: &mut Segment<'_>, seq: Seq) -> Result {
    let tcp = segment.tcp;
    segment
        .packet
        .rewrite_tcp(tcp, SEQ, seq.raw().to_be_bytes())
}

/// Gives a segment other acknowledgement and window than its own.
pub(crate) fn rewrite_ack(segment: &mut Segment<'_>, ack: Seq, window: u16) -> Result {
    let [length, flags, _, _] = window_word(segment)?;
    let [high, low] = window.to_be_bytes();
    let tcp = segment.tcp;
    segment
        .packet
        .rewrite_tcp(tcp, ACK, ack.raw().to_be_bytes())?;
    segment
        .packet
        .rewrite_tcp(tcp, WINDOW_WORD, [length, flags, high, low])
}

/// Gives a segment other flags than its own.
pub(crate) fn rewrite_flags(segment: &mut Segment<'_>, flags: u8) -> Result {
    let [length, _, high, low] = window_word(segment)?;
    let tcp = segment.tcp;
    segment
        .packet
        .rewrite_tcp(tcp, WINDOW_WORD, [length, flags, high, low])
}
