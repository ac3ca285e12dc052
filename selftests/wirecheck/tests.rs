// SPDX-License-Identifier: GPL-2.0

//! A clean takeover passes; each planted breach is found, at its packet, and nothing else is.

use std::time::Duration;

use crate::{
    breach::Kind,
    check::{
        check,
        Findings, //
    },
    connection::Limits,
    packet::Flags,
    report,
    synth::{
        tcp,
        Capture,
        Tcp,
        A,
        B,
        C,
        SCALE,
        SERVICE,
        SERVICE6, //
    }, //
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
const BODY: usize = 10_000;
const SEGMENT: usize = 1000;

/// Position behind the request.
const ASKED: i64 = 1 + REQUEST.len() as i64;

/// The moments of the story at which something can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Node A serves; half the response is out and acknowledged.
    Before,
    /// Node B has sent its first bytes; the client has acknowledged them.
    After,
    /// All is over, FINs included.
    End,
}
use Moment::{
    After,
    Before,
    End, //
};

/// The whole output of the server: a response.
fn response() -> Vec<u8> {
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n").into_bytes();
    response.extend((0..BODY).map(|i| (i * 7 + i / 251) as u8));
    response
}

/// The server's bytes from position `from`, at most a segment.
fn bytes(response: &[u8], from: i64) -> &[u8] {
    let rest = &response[from as usize - 1..];
    &rest[..rest.len().min(SEGMENT)]
}

/// A download over which node A dies. `plant` is told the moments, and how far the response is.
fn story(ipv6: bool, snaplen: usize, plant: &dyn Fn(&mut Capture, Moment, i64)) -> Capture {
    let syn = |segment: Tcp<'static>, flags| Tcp {
        flags: Flags::SYN | flags,
        window: 64240,
        ..segment
    };
    let response = response();
    let mut capture = Capture::new(ipv6, snaplen);
    capture
        .claim(A)
        .tcp(syn(tcp(C, 0, 0, b""), 0))
        .tcp(syn(tcp(A, 0, 1, b""), Flags::ACK))
        .tcp(tcp(C, 1, 1, b""))
        .tcp(tcp(C, 1, 1, REQUEST))
        .tcp(tcp(A, 1, ASKED, b""));
    let mut at = 1;
    let mut node = A;
    while (at as usize) <= response.len() {
        let bytes = bytes(&response, at);
        capture.tcp(tcp(node, at, ASKED, bytes));
        at += bytes.len() as i64;
        capture.tcp(tcp(C, ASKED, at, b""));
        if at == 1 + 5 * SEGMENT as i64 {
            plant(&mut capture, Before, at);
            // The takeover: B claims the address and asks where the client stands.
            capture.after_us(500_000).claim(B).claim(B);
            let probe = tcp(B, at - 1, ASKED, b"");
            capture.tcp(probe).tcp(tcp(C, ASKED, at, b""));
            node = B;
        }
        if at == 1 + 6 * SEGMENT as i64 {
            plant(&mut capture, After, at);
        }
    }
    let fin = |segment| Tcp {
        flags: Flags::ACK | Flags::FIN,
        ..segment
    };
    capture
        .tcp(fin(tcp(B, at, ASKED, b"")))
        .tcp(fin(tcp(C, ASKED, at + 1, b"")))
        .tcp(tcp(B, at + 1, ASKED + 1, b""));
    plant(&mut capture, End, at);
    capture
}

fn checked(capture: &Capture, ipv6: bool, limits: &Limits) -> Findings {
    let service = if ipv6 { SERVICE6 } else { SERVICE };
    check(capture.file(), &[], &[service.parse().unwrap()], limits).unwrap()
}

/// The kinds of breach found in a story with something planted, for every family and snaplen.
///
/// Also checks that the first one is at the first planted packet.
fn found(snaplens: &[usize], plant: &dyn Fn(&mut Capture, Moment, i64)) -> Vec<Kind> {
    let mut all = Vec::new();
    for ipv6 in [false, true] {
        for &snaplen in snaplens {
            let capture = story(ipv6, snaplen, plant);
            let clean = story(ipv6, snaplen, &|_, _, _| {});
            // Behind the file header, the first difference is the planted packet.
            let same = capture
                .file()
                .iter()
                .zip(clean.file())
                .take_while(|(a, b)| a == b)
                .count();
            let packets = |file: &[u8]| crate::pcap::Reader::new(file).unwrap().count();
            let planted = packets(&clean.file()[..same]) + 1;
            let findings = checked(&capture, ipv6, &Limits::default());
            let kinds: Vec<_> = findings.breaches.iter().map(|breach| breach.kind).collect();
            if let Some(breach) = findings.breaches.first() {
                assert_eq!(breach.packet, planted, "{breach:?}");
            }
            if all.is_empty() {
                all = kinds;
            } else {
                assert_eq!(all, kinds, "IPv6 {ipv6}, snaplen {snaplen}");
            }
        }
    }
    all
}

/// Enough for all headers, and for everything.
const ANY: &[usize] = &[200, 65535];
const WHOLE: &[usize] = &[65535];

#[test]
fn a_clean_takeover_passes() {
    assert!(found(ANY, &|_, _, _| {}).is_empty());
    let capture = story(false, 200, &|_, _, _| {});
    let findings = checked(&capture, false, &Limits::default());
    assert!(!findings.cut_off);
    let [connection] = &findings.connections[..] else {
        panic!("{} connections", findings.connections.len());
    };
    let [a, b] = connection.speakers.all() else {
        panic!("{:?}", connection.speakers);
    };
    assert_eq!((a.mac, b.mac), (A, B));
    assert_eq!(a.sent, 5 * SEGMENT as i64);
    assert_eq!(a.sent + b.sent, response().len() as i64);
    assert_eq!((a.acknowledged, b.acknowledged), (ASKED, 1));
    assert_eq!(connection.missed, 0);
    // 500 ms, and the five packets before the first new bytes.
    let gap = connection.payload_gap.longest().unwrap();
    assert_eq!(gap.length(), Duration::from_millis(504));
}

#[test]
fn a_reset_is_found() {
    let reset = |node, segment: Tcp<'static>| Tcp {
        mac: node,
        flags: Flags::RST,
        tsval: None,
        ..segment
    };
    for moment in [Before, After, End] {
        let kinds = found(ANY, &|capture, now, at| {
            if now == moment {
                let node = if now == Before { A } else { B };
                capture.tcp(reset(node, tcp(node, at, 0, b"")));
            }
        });
        // Once both have ended it, and know, it is no connection any more.
        let expected: &[Kind] = if moment == End { &[] } else { &[Kind::Reset] };
        assert_eq!(kinds, expected, "{moment:?}");
    }
    // From the old node it is two breaches at once.
    let kinds = found(ANY, &|capture, now, at| {
        if now == After {
            capture.tcp(reset(A, tcp(A, at, 0, b"")));
        }
    });
    assert_eq!(kinds, [Kind::SecondSpeaker, Kind::Reset]);
}

#[test]
fn a_reset_that_the_client_began_is_none() {
    let kinds = found(ANY, &|capture, now, at| {
        if now == After {
            let reset = |segment| Tcp {
                flags: Flags::RST,
                ..segment
            };
            capture.tcp(reset(tcp(C, ASKED, at, b"")));
            capture.tcp(reset(tcp(B, at, ASKED, b"")));
        }
    });
    assert!(kinds.is_empty());
}

#[test]
fn an_icmp_error_is_found_and_path_mtu_discovery_is_none() {
    for ipv6 in [false, true] {
        let unreachable = if ipv6 { (1, 4) } else { (3, 3) };
        let too_big = if ipv6 { (2, 0) } else { (3, 4) };
        for ((kind, code), expected) in [(unreachable, 1), (too_big, 0)] {
            let capture = story(ipv6, 200, &|capture, now, _| {
                if now == After {
                    capture.icmp_error(B, kind, code);
                }
            });
            let breaches = checked(&capture, ipv6, &Limits::default()).breaches;
            assert_eq!(breaches.len(), expected);
            assert!(breaches.iter().all(|breach| breach.kind == Kind::IcmpError));
        }
    }
}

#[test]
fn a_fin_within_the_response_is_found() {
    let kinds = found(ANY, &|capture, now, at| {
        if now == After {
            capture.tcp(Tcp {
                flags: Flags::ACK | Flags::FIN,
                ..tcp(B, at, ASKED, b"")
            });
        }
    });
    assert_eq!(kinds[0], Kind::EarlyFin);
    // The rest of the response then comes after the end.
    assert!(kinds[1..].iter().all(|kind| *kind == Kind::MovedEnd));
    assert!(kinds.len() > 1);
}

#[test]
fn a_client_that_only_leaves_has_asked_nothing() {
    for (asked, wanted) in [(&b""[..], vec![]), (b"x", vec![Kind::EarlyFin])] {
        let mut capture = Capture::new(false, 100);
        let syn = |segment, flags| Tcp {
            flags: Flags::SYN | flags,
            ..segment
        };
        let fin = |segment| Tcp {
            flags: Flags::ACK | Flags::FIN,
            ..segment
        };
        let end = 1 + asked.len() as i64;
        capture
            .tcp(syn(tcp(C, 0, 0, b""), 0))
            .tcp(syn(tcp(A, 0, 1, b""), Flags::ACK))
            .tcp(fin(tcp(C, 1, 1, asked)))
            .tcp(fin(tcp(A, 1, end + 1, b"")))
            .tcp(tcp(C, end + 1, 2, b""));
        let findings = checked(&capture, false, &Limits::default());
        let kinds: Vec<_> = findings.breaches.iter().map(|breach| breach.kind).collect();
        assert_eq!(kinds, wanted);
    }
}

#[test]
fn two_speakers_are_found() {
    let response = response();
    for mac in [A, C] {
        // New bytes from who had the word before, and from a third one.
        let mac = if mac == C {
            crate::packet::Mac([2; 6])
        } else {
            mac
        };
        let kinds = found(WHOLE, &|capture, now, at| {
            if now == After {
                capture.tcp(tcp(mac, at, ASKED, bytes(&response, at)));
            }
        });
        assert_eq!(kinds, [Kind::SecondSpeaker]);
    }
    let kinds = found(ANY, &|capture, now, at| {
        if now == After {
            let fin = Flags::ACK | Flags::FIN;
            capture.tcp(Tcp {
                flags: fin,
                ..tcp(A, at, ASKED, b"")
            });
        }
    });
    assert_eq!(kinds, [Kind::SecondSpeaker]);
    // An acknowledgement that nobody else gave is a promise.
    let kinds = found(ANY, &|capture, now, at| {
        if now == After {
            capture.tcp(tcp(A, at, ASKED + 1, b""));
        }
    });
    assert_eq!(kinds, [Kind::SecondSpeaker]);
}

#[test]
fn old_duplicates_are_harmless() {
    let response = response();
    let kinds = found(ANY, &|capture, now, at| {
        if now == After {
            let old = at - 2 * SEGMENT as i64;
            // Its timestamp, acknowledgement and window are old ones, too.
            capture.tcp(Tcp {
                tsval: Some(u32::MAX - 600),
                window: 1,
                ..tcp(A, old, 1, bytes(&response, old))
            });
        }
    });
    assert!(kinds.is_empty());
}

#[test]
fn a_second_takeover_has_to_be_asked_for() {
    let response = response();
    let capture = story(false, 65535, &|capture, now, at| {
        if now == After {
            capture.tcp(tcp(A, at, ASKED, bytes(&response, at)));
        }
    });
    for (takeovers, breaches) in [(0, true), (1, true), (2, true), (3, false)] {
        // A, B, planted A, and B again: three takeovers.
        let limits = Limits {
            takeovers,
            ..Limits::default()
        };
        let found = checked(&capture, false, &limits).breaches;
        assert_eq!(!found.is_empty(), breaches, "{takeovers}: {found:?}");
    }
}

#[test]
fn a_claim_of_the_old_node_is_found() {
    let kinds = found(ANY, &|capture, now, _| {
        if now == After {
            capture.claim(A);
        }
    });
    assert_eq!(kinds, [Kind::AddressClaim]);
}

#[test]
fn altered_bytes_are_found() {
    let response = response();
    let other = |at| {
        let mut other = bytes(&response, at).to_vec();
        other[SEGMENT / 2] ^= 1;
        other
    };
    let capture = story(false, 65535, &|capture, now, at| {
        if now == After {
            // Not acknowledged yet, and then sent as it should be.
            capture.tcp(tcp(B, at, ASKED, &other(at)));
        }
    });
    let breaches = checked(&capture, false, &Limits::default()).breaches;
    let kinds: Vec<_> = breaches.iter().map(|breach| breach.kind).collect();
    assert_eq!(kinds, [Kind::AlteredBytes]);
}

#[test]
fn altered_bytes_that_the_client_has_already_are_told_apart() {
    let response = response();
    let capture = story(false, 65535, &|capture, now, at| {
        if now == After {
            let from = at - SEGMENT as i64;
            let mut other = bytes(&response, from).to_vec();
            other[SEGMENT / 2] ^= 1;
            capture.tcp(tcp(B, from, ASKED, &other));
        }
    });
    let findings = checked(&capture, false, &Limits::default());
    assert!(findings.breaches.is_empty());
    assert_eq!(findings.connections[0].diverged, 1);
}

#[test]
fn a_keepalive_may_carry_any_byte() {
    let kinds = found(WHOLE, &|capture, now, at| {
        if now == After {
            capture.tcp(tcp(B, at - 1, ASKED, b"\0"));
            capture.tcp(tcp(B, at - 1, ASKED, b"\xff"));
        }
    });
    assert!(kinds.is_empty());
}

#[test]
fn a_fin_that_moves_is_found() {
    let kinds = found(ANY, &|capture, now, at| {
        if now == End {
            capture.tcp(Tcp {
                flags: Flags::ACK | Flags::FIN,
                ..tcp(B, at - 10, ASKED + 1, b"")
            });
            // The right one may be repeated.
            capture.tcp(Tcp {
                flags: Flags::ACK | Flags::FIN,
                ..tcp(B, at, ASKED + 1, b"")
            });
        }
    });
    assert_eq!(kinds, [Kind::MovedEnd]);
}

#[test]
fn a_fin_that_was_lost_may_come_after_what_stands_behind_it() {
    for (behind, payload, expected) in [
        (1, &b""[..], &[][..]),
        (2, b"", &[Kind::MovedEnd]),
        (0, b"x", &[Kind::MovedEnd]),
    ] {
        let mut capture = Capture::new(false, 200);
        let syn = |segment: Tcp<'static>, flags| Tcp {
            flags: Flags::SYN | flags,
            ..segment
        };
        capture
            .tcp(syn(tcp(C, 0, 0, b""), 0))
            .tcp(syn(tcp(A, 0, 1, b""), Flags::ACK))
            .tcp(tcp(A, 1, 1, b"answer"))
            .tcp(tcp(A, 7 + behind, 1, payload))
            .tcp(Tcp {
                flags: Flags::ACK | Flags::FIN,
                ..tcp(A, 7, 1, b"")
            });
        let breaches = checked(&capture, false, &Limits::default()).breaches;
        let kinds: Vec<_> = breaches.iter().map(|breach| breach.kind).collect();
        assert_eq!(kinds, expected, "{behind}");
    }
}

#[test]
fn an_acknowledgement_taken_back_is_found() {
    // The right edge of the window moves by less than the unit of its scale.
    let less = |mac, at| tcp(mac, at, ASKED - 1, b"");
    let kinds = found(ANY, &|capture, now, at| {
        if now == After {
            capture.after_us(10_000).tcp(less(B, at));
        }
    });
    assert_eq!(kinds, [Kind::AckBackwards]);
    // The new node's very first packet, before it has the word, gets no time to be overtaken.
    let kinds = found(ANY, &|capture, now, at| {
        if now == Before {
            capture.tcp(less(B, at - 1));
        }
    });
    assert_eq!(kinds, [Kind::AckBackwards]);
}

#[test]
fn a_window_taken_back_is_found() {
    for window in [511, 510, 0] {
        let kinds = found(ANY, &|capture, now, at| {
            if now == After {
                capture.after_us(10_000).tcp(Tcp {
                    window,
                    ..tcp(B, at, ASKED, b"")
                });
            }
        });
        assert_eq!(kinds, [Kind::WindowShrunk], "window {window} << {SCALE}");
    }
}

#[test]
fn a_question_from_before_the_clients_place_offers_no_window() {
    let kinds = found(ANY, &|capture, now, at| {
        if now == After {
            capture.after_us(10_000).tcp(Tcp {
                window: 2000,
                ..tcp(B, at - 1, ASKED, b"")
            });
        }
    });
    assert_eq!(kinds, []);
}

#[test]
fn a_timestamp_that_goes_back_is_found() {
    let kinds = found(ANY, &|capture, now, at| {
        if now == After {
            capture.after_us(10_000).tcp(Tcp {
                tsval: Some(u32::MAX - 100),
                ..tcp(B, at, ASKED, b"")
            });
        }
    });
    assert_eq!(kinds, [Kind::TsvalBackwards]);
}

#[test]
fn packets_of_one_node_may_overtake_each_other_shortly() {
    for (wait, expected) in [
        (0, &[][..]),
        (5000, &[Kind::WindowShrunk, Kind::TsvalBackwards]),
    ] {
        let capture = story(false, 200, &|capture, now, at| {
            if now == After {
                // The newer one, then the older one.
                capture.tcp(tcp(B, at, ASKED, b"")).after_us(wait).tcp(Tcp {
                    tsval: Some(u32::MAX - 7),
                    window: 500,
                    ..tcp(B, at, ASKED, b"")
                });
            }
        });
        let breaches = checked(&capture, false, &Limits::default()).breaches;
        let kinds: Vec<_> = breaches.iter().map(|breach| breach.kind).collect();
        assert_eq!(kinds, expected);
    }
}

#[test]
fn a_changed_handshake_is_found() {
    let kinds = found(ANY, &|capture, now, _| {
        if now == Before {
            capture.tcp(Tcp {
                flags: Flags::SYN | Flags::ACK,
                window: 64240,
                ..tcp(A, 77, 1, b"")
            });
        }
    });
    assert!(kinds.contains(&Kind::ChangedHandshake), "{kinds:?}");
}

#[test]
fn a_long_wait_is_found_when_asked_for() {
    let capture = story(false, 200, &|_, _, _| {});
    for (limit, breach) in [(503, true), (504, false)] {
        let limits = Limits {
            gap: Some(Duration::from_millis(limit)),
            ..Limits::default()
        };
        let kinds: Vec<_> = checked(&capture, false, &limits)
            .breaches
            .iter()
            .map(|breach| breach.kind)
            .collect();
        let expected: &[Kind] = if breach { &[Kind::LongGap] } else { &[] };
        assert_eq!(kinds, expected);
    }
}

/// An upload of two seconds, in which one acknowledgement is so late, and so is the answer.
fn upload(acknowledgement_us: u32, answer_us: u32) -> Capture {
    const PIECE: &[u8] = &[7; 500];
    let mut capture = Capture::new(false, 200);
    capture
        .tcp(Tcp {
            flags: Flags::SYN,
            ..tcp(C, 0, 0, b"")
        })
        .tcp(Tcp {
            flags: Flags::SYN | Flags::ACK,
            ..tcp(A, 0, 1, b"")
        })
        .tcp(tcp(C, 1, 1, REQUEST))
        .tcp(tcp(A, 1, ASKED, b""));
    let mut at = ASKED;
    for piece in 0..20 {
        capture.after_us(100_000).tcp(tcp(C, at, 1, PIECE));
        at += PIECE.len() as i64;
        if piece == 10 {
            capture.after_us(acknowledgement_us);
        }
        capture.tcp(tcp(A, 1, at, b""));
    }
    capture.after_us(answer_us).tcp(tcp(A, 1, at, &response()));
    capture
}

#[test]
fn an_upload_is_no_wait_for_its_answer() {
    for (acknowledgement, answer, expected) in [
        (0, 0, ""),
        (250_000, 0, "no new acknowledgements for 251 ms"),
        (0, 250_000, "no new bytes for 252 ms"),
    ] {
        let capture = upload(acknowledgement, answer);
        let limits = Limits {
            gap: Some(Duration::from_millis(200)),
            ..Limits::default()
        };
        let breaches = checked(&capture, false, &limits).breaches;
        let texts: Vec<_> = breaches.iter().map(|breach| breach.text.clone()).collect();
        assert_eq!(texts.join("; "), expected);
    }
}

#[test]
fn other_services_are_not_looked_at() {
    let capture = story(false, 200, &|capture, now, at| {
        if now == After {
            capture.tcp(tcp(A, at, ASKED, b"x"));
        }
    });
    let other = ["10.77.0.100:81".parse().unwrap()];
    let findings = check(capture.file(), &[], &other, &Limits::default()).unwrap();
    assert!(findings.connections.is_empty() && findings.breaches.is_empty());
    // Without a service, all are: the planted byte is found.
    let findings = check(capture.file(), &[], &[], &Limits::default()).unwrap();
    assert_eq!(findings.connections.len(), 1);
    assert!(!findings.breaches.is_empty());
}

#[test]
fn no_cut_of_a_capture_brings_it_down() {
    let capture = story(true, 120, &|_, _, _| {});
    for length in 0..capture.file().len() {
        if let Ok(findings) = check(&capture.file()[..length], &[], &[], &Limits::default()) {
            assert!(findings.breaches.is_empty(), "cut at {length}");
            report::json(&findings, "x").unwrap();
        }
    }
}

#[test]
fn any_bytes_in_a_capture_do_not_bring_it_down() {
    // The seed makes a failure repeatable: SEED=n rustc-made-binary.
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(u64::from(std::process::id()));
    println!("SEED={seed}");
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut random = |below: usize| {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    };
    for ipv6 in [false, true] {
        let clean = story(ipv6, 150, &|_, _, _| {});
        for _ in 0..300 {
            let mut file = clean.file().to_vec();
            for _ in 0..random(20) + 1 {
                let at = 24 + random(file.len() - 24);
                file[at] = random(256) as u8;
            }
            if let Ok(findings) = check(&file, &[], &[], &Limits::default()) {
                report::text(&findings, "x").unwrap();
            }
        }
    }
}

#[test]
fn reports_tell_the_breach_and_the_gap() {
    let capture = story(false, 200, &|capture, now, _| {
        if now == After {
            capture.claim(A);
        }
    });
    let findings = checked(&capture, false, &Limits::default());
    let text = report::text(&findings, "a.pcap").unwrap();
    let number = findings.breaches[0].packet;
    assert!(
        text.contains(&format!("breach: packet {number}, ")),
        "{text}"
    );
    assert!(text.contains("breaches: 1 address-claim"), "{text}");
    assert!(
        text.contains("longest wait for new bytes: 504.000 ms"),
        "{text}"
    );
    let json = report::json(&findings, "a.pcap").unwrap();
    assert!(json.contains("\"kind\":\"address-claim\""), "{json}");
    assert!(json.contains("\"payload_gap\":{\"ms\":504.000,"), "{json}");
    assert_eq!(json.matches('{').count(), json.matches('}').count());
}
