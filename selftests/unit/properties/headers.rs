// SPDX-License-Identifier: GPL-2.0

//! IP and TCP headers: what is written comes back, and no bytes bring a parser down.

use proptest::{
    collection::vec,
    option,
    prelude::*, //
};

use crate::wire::{
    key::Addr,
    packet::Ip,
    segment::{
        Header,
        Options,
        Timestamps,
        MAX_HEADER,
        MIN_HEADER, //
    },
    seq::Seq, //
};

use super::holds;

fn header() -> impl Strategy<Value = Header> {
    (
        any::<[u16; 3]>(),
        any::<[u32; 2]>(),
        any::<u8>(),
        Just(MIN_HEADER),
    )
        .prop_map(|([source, dest, window], [seq, ack], flags, len)| Header {
            source,
            dest,
            seq: Seq::new(seq),
            ack: Seq::new(ack),
            flags,
            window,
            len,
        })
}

/// The options that [`Header::emit`] writes.
fn options() -> impl Strategy<Value = Options> {
    let timestamps = any::<[u32; 2]>().prop_map(|[val, ecr]| Timestamps { val, ecr });
    (
        option::of(any::<u16>()),
        option::of(0..=14_u8),
        any::<bool>(),
        option::of(timestamps),
    )
        .prop_map(|(mss, wscale, sack_permitted, timestamps)| Options {
            mss,
            wscale,
            sack_permitted,
            timestamps,
            ..Options::default()
        })
}

#[test]
fn a_segment_comes_back() {
    holds((header(), options()), |(header, options)| {
        let mut bytes = [0; MAX_HEADER];
        let len = header.emit(&options, &mut bytes);
        prop_assert_eq!(len % 4, 0);
        prop_assert_eq!(Header::parse(&bytes[..len]), Some(Header { len, ..header }));
        prop_assert_eq!(Options::parse(&bytes[MIN_HEADER..len]), options);
        Ok(())
    });
}

#[test]
fn any_bytes_are_a_segment_or_none() {
    holds(vec(any::<u8>(), 0..80), |bytes| {
        if let Some(header) = Header::parse(&bytes) {
            prop_assert!((MIN_HEADER..=MAX_HEADER).contains(&header.len));
            Options::parse(bytes.get(MIN_HEADER..header.len).unwrap_or_default());
        }
        Options::parse(&bytes);
        Ok(())
    });
}

#[test]
fn a_changed_segment_is_a_segment_or_none() {
    let change = (0..MAX_HEADER, any::<u8>());
    holds(
        (header(), options(), vec(change, 1..8)),
        |(header, options, changes)| {
            let mut bytes = [0; MAX_HEADER];
            header.emit(&options, &mut bytes);
            for (at, value) in changes {
                bytes[at] = value;
            }
            if let Some(header) = Header::parse(&bytes) {
                let options = Options::parse(&bytes[MIN_HEADER..header.len]);
                prop_assert!(options.wscale.is_none_or(|wscale| wscale <= 14));
            }
            Ok(())
        },
    );
}

#[test]
fn an_ip_header_comes_back() {
    holds(
        (
            any::<([[u8; 4]; 2], [[u8; 16]; 2], bool)>(),
            0..70_000_usize,
        ),
        |((v4, v6, is_v6), payload)| {
            let ([source, dest], most) = if is_v6 {
                (v6.map(Addr::from_v6), 65535)
            } else {
                (v4.map(Addr::from_v4), 65515)
            };
            match Ip::emit(source, dest, payload) {
                Some(emitted) => {
                    let bytes = emitted.bytes();
                    let ip = Ip::parse(bytes).unwrap();
                    prop_assert_eq!((ip.source, ip.dest, ip.len), (source, dest, bytes.len()));
                }
                None => prop_assert!(payload > most),
            }
            Ok(())
        },
    );
}

#[test]
fn any_bytes_are_a_packet_or_none() {
    // Both versions, and others.
    holds(
        (0..=255_u8, vec(any::<u8>(), 0..80)),
        |(first, mut bytes)| {
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            let Some(ip) = Ip::parse(&bytes) else {
                return Ok(());
            };
            match first >> 4 {
                4 => prop_assert!(matches!(ip.len, 20..=60)),
                // The fixed header and at most eight extension headers.
                6 => prop_assert!(matches!(ip.len, 40..=16424) && ip.len % 8 == 0),
                version => prop_assert!(false, "version {version}"),
            }
            Ok(())
        },
    );
}
