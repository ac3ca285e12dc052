// SPDX-License-Identifier: GPL-2.0

//! Follows the responses of an HTTP/1 server, to know where its stream may end.
//!
//! Only lengths given by Content-Length are followed. Where that is not enough (chunks, HEAD, a
//! header that the capture truncated, another protocol) nothing is known, and nothing is judged.

/// Where the server's stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// In a header, `cursor` being the position of its next byte.
    Header { text: Vec<u8>, cursor: i64 },
    /// In a body that ends before the given position.
    Body { end: i64 },
    /// Not to be told.
    Unknown,
}

/// How a header begins. Before all of that is there, it may be something else.
const BEGIN: &[u8] = b"HTTP/1.";
/// A header longer than this is none.
const MAX_HEADER: usize = 64 * 1024;

/// The responses on one connection.
#[derive(Clone, Debug)]
pub(crate) struct Responses {
    state: State,
    /// The end of the last response whose length is known.
    complete: i64,
    /// Position of the first byte.
    begin: i64,
}

impl Responses {
    /// A stream whose first byte is at position `begin`.
    pub(crate) fn new(begin: i64) -> Self {
        Self {
            state: State::Header {
                text: Vec::new(),
                cursor: begin,
            },
            complete: begin,
            begin,
        }
    }

    /// The client sent something: a HEAD request has a response without a body.
    pub(crate) fn request(&mut self, payload: &[u8]) {
        if payload.starts_with(b"HEAD ") {
            self.state = State::Unknown;
        }
    }

    /// The server sent `length` bytes at position `from`, of which `payload` was captured.
    pub(crate) fn response(&mut self, from: i64, length: i64, payload: &[u8]) {
        loop {
            match &mut self.state {
                State::Unknown => return,
                State::Body { end } => {
                    let end = *end;
                    if from + length <= end {
                        return;
                    }
                    self.complete = end;
                    self.state = State::Header {
                        text: Vec::new(),
                        cursor: end,
                    };
                }
                State::Header { text, cursor } => {
                    if from + length <= *cursor {
                        return;
                    }
                    // What of this segment is captured from the cursor on?
                    let new = usize::try_from(*cursor - from)
                        .ok()
                        .and_then(|skip| payload.get(skip..))
                        .unwrap_or(&[]);
                    text.extend(new);
                    *cursor += new.len() as i64;
                    match parse(text) {
                        Header::Complete { header, body } => {
                            let end = *cursor - text.len() as i64 + header + body;
                            self.state = State::Body { end };
                        }
                        Header::Incomplete
                            if *cursor == from + length && text.len() < MAX_HEADER =>
                        {
                            return
                        }
                        _ => self.state = State::Unknown,
                    }
                }
            }
        }
    }

    /// Whether a FIN at position `fin` cuts a response off, the client having sent a request or not.
    pub(crate) fn is_cut_off(&self, fin: i64, asked: bool) -> bool {
        match &self.state {
            State::Unknown => false,
            State::Body { end } => fin < *end,
            State::Header { text, cursor } => {
                fin == *cursor && (text.len() >= BEGIN.len() || (asked && fin == self.begin))
            }
        }
    }

    /// Whether more of a response is to come after what was seen up to position `high`.
    pub(crate) fn is_within(&self, high: i64) -> Option<bool> {
        match &self.state {
            State::Unknown => None,
            State::Body { end } => Some(high < *end),
            State::Header { text, .. } => {
                (text.is_empty() || text.len() >= BEGIN.len()).then_some(!text.is_empty())
            }
        }
    }
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
enum Header {
    /// The beginning of a header.
    Incomplete,
    /// A header and a body, with their lengths.
    Complete { header: i64, body: i64 },
    /// Something else, or a body whose length the header does not tell.
    Unknown,
}

/// Parses a response's header.
fn parse(text: &[u8]) -> Header {
    if !text.starts_with(&BEGIN[..BEGIN.len().min(text.len())]) {
        return Header::Unknown;
    }
    let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Header::Incomplete;
    };
    let header = end as i64 + 4;
    let text = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    if status.is_some_and(|code| code.starts_with('1') || matches!(code, "204" | "304")) {
        return Header::Complete { header, body: 0 };
    }
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| *name == "content-length")
        .and_then(|(_, value)| value.trim().parse::<u32>().ok())
        .map_or(Header::Unknown, |body| Header::Complete {
            header,
            body: i64::from(body),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    fn fed(pieces: &[&[u8]]) -> (Responses, i64) {
        let mut responses = Responses::new(1);
        let mut at = 1;
        for piece in pieces {
            responses.response(at, piece.len() as i64, piece);
            at += piece.len() as i64;
        }
        (responses, at)
    }

    #[test]
    fn a_stream_may_end_only_after_a_whole_response() {
        for cut in BEGIN.len()..RESPONSE.len() {
            let (responses, at) = fed(&[&RESPONSE[..cut]]);
            assert!(responses.is_cut_off(at, true), "cut after {cut}");
            assert_eq!(responses.is_within(at), Some(true));
        }
        let (responses, at) = fed(&[RESPONSE]);
        assert!(!responses.is_cut_off(at, true));
        assert_eq!(responses.is_within(at), Some(false));
    }

    #[test]
    fn pieces_and_repetitions_make_no_difference() {
        for cut in 1..RESPONSE.len() {
            let (mut responses, at) = fed(&[&RESPONSE[..cut], &RESPONSE[cut..], RESPONSE]);
            responses.response(1, RESPONSE.len() as i64, RESPONSE);
            assert!(!responses.is_cut_off(at, true));
            assert!(responses.is_cut_off(at - 1, true));
        }
    }

    #[test]
    fn silence_cuts_off_only_who_had_asked() {
        let responses = Responses::new(1);
        assert!(responses.is_cut_off(1, true));
        assert!(!responses.is_cut_off(1, false));
    }

    #[test]
    fn what_is_not_known_is_not_judged() {
        for stream in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"H",
            b"HTTP/1",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        ] {
            let (responses, at) = fed(&[stream]);
            assert!(!responses.is_cut_off(at, true));
        }
        // The capture kept only the first ten bytes.
        let mut responses = Responses::new(1);
        responses.response(1, 40, &RESPONSE[..10]);
        assert!(!responses.is_cut_off(41, true));
        let mut responses = Responses::new(1);
        responses.request(b"HEAD / HTTP/1.1\r\n\r\n");
        responses.response(1, 38, &RESPONSE[..38]);
        assert!(!responses.is_cut_off(39, true));
    }

    #[test]
    fn interim_responses_have_no_body() {
        let (responses, at) = fed(&[b"HTTP/1.1 100 Continue\r\n\r\n", RESPONSE]);
        assert!(!responses.is_cut_off(at, true));
        assert!(responses.is_cut_off(at - 2, true));
    }
}
