// SPDX-License-Identifier: GPL-2.0

//! Records: the messages inside the frames.
//!
//! ```text
//! +---------------+---------------+---------------+---------------+
//! |     kind      |   reserved    |        length of the body     |
//! +---------------+---------------+---------------+---------------+
//! |  body: one of the structs below; bytes of the client behind a Data
//! ```
//!
//! Which way they go:
//!
//! ```text
//! both ways            Hello, Heartbeat, Service
//! primary -> backup    Open, Data, Place, Close, Handover
//! backup -> primary    Confirm
//! ```
//!
//! Offsets are those of [`super::seq`]: 64 bits, 0 is the SYN.

use super::{
    frame::{
        self,
        WireError,
        MAX_FRAME, //
    },
    key::{
        Endpoint,
        Key, //
    },
};
use zerocopy::{
    byteorder::big_endian::{
        U16,
        U32,
        U64, //
    },
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

/// The most bytes of a client that one [`Data`] may carry.
const MAX_DATA: usize = 16 * 1024;
/// With how many a long run of them is sent: two such records fill a frame.
pub(crate) const FULL_DATA: usize = (MAX_FRAME - frame::HEADER) / 2 - HEADER - size_of::<Data>();
const _: () = assert!(FULL_DATA <= MAX_DATA);

/// The length of what stands in front of a body, in bytes.
pub(crate) const HEADER: usize = size_of::<RawHeader>();

#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    kind: u8,
    reserved: u8,
    length: U16,
}

/// A body with its kind.
pub(crate) trait Body: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned {
    /// What stands in the record's header.
    const KIND: u8;
}

/// Returns whether the peer confirms what a record of this kind says.
pub(crate) const fn is_confirmed<B: Body>() -> bool {
    matches!(B::KIND, Open::KIND | Data::KIND)
}

macro_rules! bodies {
    ($($(#[$meta:meta])* $name:ident = $kind:literal { $($(#[$fmeta:meta])* $field:ident: $ty:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(
                Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout,
                PartialEq, Eq, Unaligned,
            )]
            #[repr(C)]
            pub(crate) struct $name {
                $($(#[$fmeta])* pub(crate) $field: $ty,)*
            }

            impl Body for $name {
                const KIND: u8 = $kind;
            }
        )*
    };
}

bodies! {
    /// The first record of a session, each way.
    Hello = 1 {
        /// A random number that a node draws when its module is loaded: another number is another
        /// life of the node.
        node: U64,
    }

    /// Nothing but a sign of life.
    Heartbeat = 2 {
        /// The sender's monotonic clock, in milliseconds.
        clock_ms: U64,
    }

    /// How a service stands at the sender; with each heartbeat.
    Service = 3 {
        /// Which service.
        service: Endpoint,
        /// One of [`role`].
        role: u8,
        /// 1 if the sender speaks for the service, 0 if not.
        active: u8,
        /// The highest epoch that the sender knows of.
        epoch: U64,
        /// How many connections the sender has that the receiver could not carry on.
        unprotected: U32,
        /// What should be the same on both nodes.
        settings: Settings,
    }

    /// A client's SYN was answered: all that the other node needs to answer it the same way.
    Open = 4 {
        /// Which connection.
        key: Key,
        /// Which of the connections of that name.
        incarnation: U32,
        /// The service's initial sequence number.
        iss: U32,
        /// Bits of [`open`].
        flags: u8,
        /// The client's window scale, 0 to 14; 0 without [`open::WSCALE`].
        client_wscale: u8,
        /// The service's window scale, 0 to 14; 0 without [`open::WSCALE`].
        service_wscale: u8,
        /// 0.
        reserved: u8,
        /// The client's maximum segment size.
        client_mss: U16,
        /// The window that the service offered first, in bytes.
        window: U32,
        /// The client's timestamp; 0 without [`open::TIMESTAMPS`].
        client_tsval: U32,
        /// The service's timestamp; 0 without [`open::TIMESTAMPS`].
        service_tsval: U32,
        /// The sender's clock, as in [`Heartbeat`], when it had `service_tsval`.
        clock_ms: U64,
    }

    /// Bytes of the client follow.
    Data = 5 {
        /// Which connection.
        key: Key,
        /// Which of the connections of that name.
        incarnation: U32,
        /// Bits of [`data`].
        flags: u8,
        /// 0.
        reserved: [u8; 3],
        /// The offset of the first byte, or of the FIN if none follow.
        offset: U64,
        /// The right edge of the window that the service has offered so far, as an offset.
        right_edge: U64,
    }

    /// The connection has ended: forget it.
    Close = 6 {
        /// Which connection.
        key: Key,
        /// Which of the connections of that name.
        incarnation: U32,
    }

    /// What the sender holds of a connection's input.
    Confirm = 7 {
        /// Which connection.
        key: Key,
        /// Which of the connections of that name.
        incarnation: U32,
        /// All offsets below this one are held; 0 if the connection could not be taken in.
        upto: U64,
    }

    /// The sender does not speak for the service any more; the receiver is to.
    Handover = 8 {
        /// Which service.
        service: Endpoint,
    }

    /// How far the service has come on a connection: an acknowledgement of its client says where
    /// that is only modulo 2^32.
    Place = 9 {
        /// Which connection.
        key: Key,
        /// Which of the connections of that name.
        incarnation: U32,
        /// Bits of [`place`].
        flags: u8,
        /// 0.
        reserved: [u8; 3],
        /// The service has sent no offset from here on.
        sent: U64,
        /// With [`place::AT_REST`], the window that the client offers, in bytes; else 0.
        window: U32,
    }
}

/// What an operator has set for a service, and should have set alike on both nodes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    PartialEq,
    Eq,
    Unaligned,
)]
#[repr(C)]
pub(crate) struct Settings {
    /// `safe_points`, as a number.
    pub(crate) safe_points: u8,
    /// `on_peer_loss`, as a number.
    pub(crate) on_peer_loss: u8,
    /// 0.
    pub(crate) reserved: [u8; 2],
    /// `hold_timeout_ms`.
    pub(crate) hold_timeout_ms: U32,
    /// `commit_timeout_ms`.
    pub(crate) commit_timeout_ms: U32,
    /// `limits/max_connections`.
    pub(crate) max_connections: U32,
    /// `limits/max_log_bytes`.
    pub(crate) max_log_bytes: U64,
    /// `limits/max_log_bytes_per_connection`.
    pub(crate) max_log_bytes_per_connection: U64,
}

/// Values of [`Service::role`].
pub(crate) mod role {
    /// The node is to speak for the service from the start.
    pub(crate) const PRIMARY: u8 = 1;
    /// The node stands by.
    pub(crate) const BACKUP: u8 = 2;
}

/// Bits of [`Open::flags`].
pub(crate) mod open {
    /// Window scales were negotiated.
    pub(crate) const WSCALE: u8 = 0x01;
    /// Timestamps were negotiated.
    pub(crate) const TIMESTAMPS: u8 = 0x02;
    /// Selective acknowledgements were negotiated.
    pub(crate) const SACK: u8 = 0x04;
    /// The service's timestamps tick in microseconds, not milliseconds.
    pub(crate) const TS_USEC: u8 = 0x08;
    /// ECN was negotiated.
    pub(crate) const ECN: u8 = 0x10;
}

/// Bits of [`Data::flags`].
pub(crate) mod data {
    /// The client's FIN follows the bytes.
    pub(crate) const FIN: u8 = 0x01;
}

/// Bits of [`Place::flags`].
pub(crate) mod place {
    /// Nothing is under way: the client has all that the service has sent, and the service has read
    /// all that the client has sent. So it stays until the next [`Data`](super::Data) or
    /// [`Place`](super::Place).
    pub(crate) const AT_REST: u8 = 0x01;
}

/// A record as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// See [`Hello`].
    Hello(&'a Hello),
    /// See [`Heartbeat`].
    Heartbeat(&'a Heartbeat),
    /// See [`Service`].
    Service(&'a Service),
    /// See [`Open`].
    Open(&'a Open),
    /// See [`Data`]; with the client's bytes.
    Data(&'a Data, &'a [u8]),
    /// See [`Close`].
    Close(&'a Close),
    /// See [`Confirm`].
    Confirm(&'a Confirm),
    /// See [`Handover`].
    Handover(&'a Handover),
    /// See [`Place`].
    Place(&'a Place),
}

/// Returns the header of a record of kind `B` with `payload` bytes behind its body, or [`None`] if
/// no record can be that long.
pub(crate) fn header<B: Body>(payload: usize) -> Option<[u8; HEADER]> {
    let length = u16::try_from(size_of::<B>().checked_add(payload)?).ok()?;
    let raw = RawHeader {
        kind: B::KIND,
        reserved: 0,
        length: length.into(),
    };
    let mut bytes = [0; HEADER];
    // Cannot fail: the buffer has the length of the header.
    let _ = raw.write_to(&mut bytes);
    Some(bytes)
}

/// Takes the first record off `bytes` and returns it with what follows it.
pub(crate) fn split_first(bytes: &[u8]) -> Result<(Record<'_>, &[u8]), WireError> {
    let (header, rest) = RawHeader::ref_from_prefix(bytes).map_err(|_| WireError::Truncated)?;
    let length = usize::from(header.length.get());
    let (body, rest) = rest.split_at_checked(length).ok_or(WireError::Truncated)?;
    Ok((parse(header.kind, body)?, rest))
}

fn parse(kind: u8, body: &[u8]) -> Result<Record<'_>, WireError> {
    match kind {
        Hello::KIND => whole(body).map(Record::Hello),
        Heartbeat::KIND => whole(body).map(Record::Heartbeat),
        Service::KIND => whole(body).and_then(check_service).map(Record::Service),
        Open::KIND => whole(body).and_then(check_open).map(Record::Open),
        Data::KIND => parse_data(body),
        Close::KIND => whole(body).map(Record::Close),
        Confirm::KIND => whole(body).map(Record::Confirm),
        Handover::KIND => whole(body).map(Record::Handover),
        Place::KIND => whole(body).and_then(check_place).map(Record::Place),
        _ => Err(WireError::UnknownKind),
    }
}

/// Reads a body that nothing follows.
fn whole<B: Body>(body: &[u8]) -> Result<&B, WireError> {
    B::ref_from_bytes(body).map_err(|_| WireError::BadLength)
}

fn check_service(service: &Service) -> Result<&Service, WireError> {
    // One epoch a second for longer than any machine runs.
    let sane = service.epoch.get() < 1 << 62;
    match (service.role, service.active) {
        (role::PRIMARY | role::BACKUP, 0 | 1) if sane => Ok(service),
        _ => Err(WireError::BadValue),
    }
}

fn check_open(open: &Open) -> Result<&Open, WireError> {
    const KNOWN: u8 = open::WSCALE | open::TIMESTAMPS | open::SACK | open::TS_USEC | open::ECN;
    let scales = [open.client_wscale, open.service_wscale];
    let scales_fit = if open.flags & open::WSCALE != 0 {
        scales.iter().all(|&s| s <= super::segment::MAX_WSCALE)
    } else {
        scales == [0, 0]
    };
    if scales_fit && open.flags & !KNOWN == 0 {
        Ok(open)
    } else {
        Err(WireError::BadValue)
    }
}

fn check_place(place: &Place) -> Result<&Place, WireError> {
    let at_rest = place.flags == place::AT_REST;
    let flags_fit = at_rest || (place.flags == 0 && place.window.get() == 0);
    if flags_fit && is_offset(place.sent.get()) {
        Ok(place)
    } else {
        Err(WireError::BadValue)
    }
}

/// Returns whether an offset is one of what follows the SYN; none ever comes near 2^64.
fn is_offset(offset: u64) -> bool {
    (1..1 << 62).contains(&offset)
}

fn parse_data(body: &[u8]) -> Result<Record<'_>, WireError> {
    let (data, bytes) = Data::ref_from_prefix(body).map_err(|_| WireError::BadLength)?;
    let fin = data.flags == data::FIN;
    if bytes.len() > MAX_DATA {
        return Err(WireError::BadLength);
    }
    // The SYN is not data, and a record without bytes or FIN says nothing.
    if !is_offset(data.offset.get()) || (!fin && (data.flags != 0 || bytes.is_empty())) {
        return Err(WireError::BadValue);
    }
    Ok(Record::Data(data, bytes))
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_record))]
mod tests {
    use super::*;

    /// A record laid out in a buffer that is large enough for the tests.
    fn encode<B: Body>(body: &B, payload: &[u8]) -> ([u8; 256], usize) {
        let mut bytes = [0; 256];
        let mut len = 0;
        for part in [
            &header::<B>(payload.len()).unwrap()[..],
            body.as_bytes(),
            payload,
        ] {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        (bytes, len)
    }

    fn data() -> Data {
        Data {
            incarnation: 7.into(),
            offset: 1.into(),
            ..Data::default()
        }
    }

    #[test]
    fn bodies_have_the_lengths_of_the_contract() {
        assert_eq!(HEADER, 4);
        assert_eq!(size_of::<Hello>(), 8);
        assert_eq!(size_of::<Heartbeat>(), 8);
        assert_eq!(size_of::<Service>(), 64);
        assert_eq!(size_of::<Open>(), 70);
        assert_eq!(size_of::<Data>(), 60);
        assert_eq!(size_of::<Close>(), 40);
        assert_eq!(size_of::<Confirm>(), 48);
        assert_eq!(size_of::<Place>(), 56);
    }

    #[test]
    fn records_come_back_one_after_another() {
        let (mut bytes, first) = encode(&data(), b"abc");
        let (close, second) = encode(&Close::default(), &[]);
        bytes[first..first + second].copy_from_slice(&close[..second]);

        let (record, rest) = split_first(&bytes[..first + second]).unwrap();
        assert_eq!(record, Record::Data(&data(), b"abc"));
        let (record, rest) = split_first(rest).unwrap();
        assert_eq!(record, Record::Close(&Close::default()));
        assert!(rest.is_empty());
    }

    #[test]
    fn a_record_cut_short_is_refused_wherever_it_is_cut() {
        let (bytes, len) = encode(&Confirm::default(), &[]);
        for cut in 0..len {
            assert_eq!(split_first(&bytes[..cut]), Err(WireError::Truncated));
        }
    }

    #[test]
    fn a_length_that_is_not_the_kinds_is_refused() {
        let (mut bytes, len) = encode(&Confirm::default(), &[]);
        bytes[3] -= 1;
        assert_eq!(split_first(&bytes[..len]), Err(WireError::BadLength));
        bytes[3] += 2;
        assert_eq!(split_first(&bytes[..len + 1]), Err(WireError::BadLength));
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        for kind in [0, 10, 255] {
            let (mut bytes, len) = encode(&Hello::default(), &[]);
            bytes[0] = kind;
            assert_eq!(split_first(&bytes[..len]), Err(WireError::UnknownKind));
        }
    }

    #[test]
    fn data_without_bytes_or_place_is_refused() {
        let none = encode(&data(), &[]);
        assert_eq!(split_first(&none.0[..none.1]), Err(WireError::BadValue));
        for offset in [0, 1 << 62, u64::MAX] {
            let body = Data {
                offset: offset.into(),
                ..data()
            };
            let (bytes, len) = encode(&body, b"x");
            assert_eq!(split_first(&bytes[..len]), Err(WireError::BadValue));
        }
        let fin = Data {
            flags: data::FIN,
            ..data()
        };
        let (bytes, len) = encode(&fin, &[]);
        assert_eq!(
            split_first(&bytes[..len]),
            Ok((Record::Data(&fin, &[]), &[][..]))
        );
    }

    #[test]
    fn an_open_that_cannot_be_is_refused() {
        let good = Open {
            flags: open::WSCALE,
            client_wscale: 14,
            ..Open::default()
        };
        let mut too_large = good;
        too_large.service_wscale = 15;
        let mut scale_without_option = good;
        scale_without_option.flags = 0;
        let mut unknown_flag = good;
        unknown_flag.flags |= 0x80;
        let (bytes, len) = encode(&good, &[]);
        assert!(split_first(&bytes[..len]).is_ok());
        for bad in [too_large, scale_without_option, unknown_flag] {
            let (bytes, len) = encode(&bad, &[]);
            assert_eq!(split_first(&bytes[..len]), Err(WireError::BadValue));
        }
    }

    #[test]
    fn a_place_that_cannot_be_is_refused() {
        let resting = place::AT_REST;
        for (flags, sent, window, good) in [
            (0, 1, 0, true),
            (resting, (1 << 62) - 1, u32::MAX, true),
            (0, 1, 1, false),
            (2, 1, 0, false),
            (0, 0, 0, false),
            (resting, 1 << 62, 0, false),
        ] {
            let body = Place {
                flags,
                sent: sent.into(),
                window: window.into(),
                ..Place::default()
            };
            let (bytes, len) = encode(&body, &[]);
            assert_eq!(split_first(&bytes[..len]).is_ok(), good);
        }
    }

    #[test]
    fn a_service_with_an_unknown_role_is_refused() {
        for (role, active, good) in [(1, 1, true), (2, 0, true), (0, 0, false), (1, 2, false)] {
            let body = Service {
                role,
                active,
                ..Service::default()
            };
            let (bytes, len) = encode(&body, &[]);
            assert_eq!(split_first(&bytes[..len]).is_ok(), good);
        }
    }

    #[test]
    fn an_epoch_that_leaves_no_room_for_the_next_is_refused() {
        for (epoch, good) in [
            (0, true),
            ((1 << 62) - 1, true),
            (1 << 62, false),
            (u64::MAX, false),
        ] {
            let body = Service {
                role: role::PRIMARY,
                epoch: epoch.into(),
                ..Service::default()
            };
            let (bytes, len) = encode(&body, &[]);
            assert_eq!(split_first(&bytes[..len]).is_ok(), good);
        }
    }
}
