// SPDX-License-Identifier: GPL-2.0

//! Frames and records: what one node writes the other one reads, and nothing else is read.

use proptest::{
    collection::vec,
    prelude::*, //
};
use zerocopy::IntoBytes;

use crate::wire::{
    frame,
    record::{
        self,
        Body,
        Close,
        Confirm,
        Data,
        Handover,
        Heartbeat,
        Hello,
        Open,
        Place,
        Record,
        Service, //
    },
};

use super::holds;

/// A record of kind `B` made from the front of `bytes`, with `payload` behind its body.
fn encoded<B: Body>(bytes: &[u8], payload: &[u8]) -> (B, Vec<u8>) {
    let (body, _) = B::read_from_prefix(bytes).unwrap();
    let mut record = record::header::<B>(payload.len()).unwrap().to_vec();
    record.extend(body.as_bytes());
    record.extend(payload);
    (body, record)
}

/// Checks that a record of kind `B` comes back as `expected` says, or is refused.
fn comes_back<B: Body + PartialEq>(
    bytes: &[u8],
    payload: &[u8],
    behind: &[u8],
    expected: impl Fn(&Record<'_>, &B) -> bool,
) -> Result<(), TestCaseError> {
    let (body, mut stream) = encoded::<B>(bytes, payload);
    stream.extend(behind);
    if let Ok((record, rest)) = record::split_first(&stream) {
        prop_assert!(expected(&record, &body));
        prop_assert_eq!(rest, behind);
    }
    Ok(())
}

/// Longer than each of the bodies.
fn body() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 200)
}

#[test]
fn every_record_comes_back() {
    holds(
        (body(), vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..100)),
        |(body, payload, behind)| {
            comes_back::<Hello>(&body, &[], &behind, |record, sent| {
                *record == Record::Hello(sent)
            })?;
            comes_back::<Heartbeat>(&body, &[], &behind, |record, sent| {
                *record == Record::Heartbeat(sent)
            })?;
            comes_back::<Service>(&body, &[], &behind, |record, sent| {
                *record == Record::Service(sent)
            })?;
            comes_back::<Open>(&body, &[], &behind, |record, sent| {
                *record == Record::Open(sent)
            })?;
            comes_back::<Close>(&body, &[], &behind, |record, sent| {
                *record == Record::Close(sent)
            })?;
            comes_back::<Confirm>(&body, &[], &behind, |record, sent| {
                *record == Record::Confirm(sent)
            })?;
            comes_back::<Handover>(&body, &[], &behind, |record, sent| {
                *record == Record::Handover(sent)
            })?;
            comes_back::<Place>(&body, &[], &behind, |record, sent| {
                *record == Record::Place(sent)
            })?;
            comes_back::<Data>(&body, &payload, &behind, |record, sent| {
                *record == Record::Data(sent, &payload)
            })
        },
    );
}

/// Records whose bodies cannot be wrong are always taken.
#[test]
fn a_good_record_is_taken() {
    holds(
        (body(), vec(any::<u8>(), 1..300), 1..1_u64 << 62),
        |(body, payload, offset)| {
            let (_, heartbeat) = encoded::<Heartbeat>(&body, &[]);
            prop_assert!(record::split_first(&heartbeat).is_ok());
            let (mut data, _) = encoded::<Data>(&body, &payload);
            data.flags = 0;
            data.offset = offset.into();
            let (_, record) = encoded::<Data>(data.as_bytes(), &payload);
            prop_assert!(record::split_first(&record).is_ok());
            Ok(())
        },
    );
}

#[test]
fn any_bytes_are_records_or_refused() {
    holds(
        (0..11_u8, 0..200_u8, vec(any::<u8>(), 0..400)),
        |(kind, length, mut bytes)| {
            // A header that has a chance, and then anything.
            if let [first, _, upper, lower, ..] = &mut bytes[..] {
                (*first, *upper, *lower) = (kind, 0, length);
            }
            let mut rest = &bytes[..];
            while let Ok((_, behind)) = record::split_first(rest) {
                prop_assert!(behind.len() < rest.len());
                rest = behind;
            }
            Ok(())
        },
    );
}

#[test]
fn a_cut_off_record_is_refused() {
    holds(
        (
            body(),
            vec(any::<u8>(), 1..50),
            any::<prop::sample::Index>(),
        ),
        |(body, payload, cut)| {
            let (_, record) = encoded::<Data>(&body, &payload);
            let cut = cut.index(record.len());
            prop_assert!(record::split_first(&record[..cut]).is_err());
            Ok(())
        },
    );
}

#[test]
fn a_frame_header_is_taken_only_as_it_was_written() {
    let most = (frame::MAX_FRAME - frame::HEADER) as u32;
    holds(
        (any::<u32>(), 0..=most, 0..frame::HEADER, any::<u8>()),
        |(sequence, length, at, value)| {
            let good = frame::header(sequence, length);
            prop_assert_eq!(frame::check_header(&good, sequence), Ok(length as usize));
            let mut bad = good;
            bad[at] = value;
            // The reserved field and another length may be.
            if bad != good && !(6..8).contains(&at) && at < 12 {
                prop_assert!(frame::check_header(&bad, sequence).is_err());
            }
            if let Ok(length) = frame::check_header(&bad, sequence) {
                prop_assert!(length <= most as usize);
            }
            prop_assert!(frame::check_header(&good, sequence.wrapping_add(1)).is_err());
            Ok(())
        },
    );
}
