// SPDX-License-Identifier: GPL-2.0

//! Values as the operator writes them.

use crate::{
    kapi::print::warn_ratelimited,
    wire::key::Addr, //
};
use core::ops::RangeInclusive;
use kernel::prelude::*;

/// Says in the kernel log that `text` was refused for `file`, and why; returns `error`.
pub(super) fn refuse(file: &str, text: &str, why: &str, error: Error) -> Error {
    // What was written may be long, and may be anything.
    let shown = text.get(..64).unwrap_or(text);
    warn_ratelimited!("{file}: {shown:?} refused: {why}\n");
    error
}

/// Reads a number.
///
/// # Errors
///
/// `EINVAL` if it is not one, `ERANGE` if it is not in `range`.
pub(super) fn number(file: &str, text: &str, range: RangeInclusive<u64>) -> Result<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let value = text.parse().ok().filter(|_| digits);
    let value: u64 = value.ok_or_else(|| refuse(file, text, "not a number", EINVAL))?;
    if !range.contains(&value) {
        return Err(refuse(file, text, "out of range", ERANGE));
    }
    Ok(value)
}

/// Reads an address.
///
/// # Errors
///
/// `EINVAL` if it is not one that a host can have, `EAFNOSUPPORT` if it is an IPv6 one.
pub(super) fn address(file: &str, text: &str) -> Result<Addr> {
    if text.contains(':') {
        return Err(refuse(
            file,
            text,
            "IPv6 is not supported yet",
            EAFNOSUPPORT,
        ));
    }
    let addr = v4(text).ok_or_else(|| refuse(file, text, "not an IPv4 address", EINVAL))?;
    if addr.is_unusable() {
        return Err(refuse(file, text, "no host can have this address", EINVAL));
    }
    Ok(addr)
}

fn v4(text: &str) -> Option<Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        // "+1" and "01" are numbers elsewhere.
        let plain =
            part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        *octet = part.parse().ok().filter(|_| plain)?;
    }
    parts.next().is_none().then_some(Addr::from_v4(octets))
}

/// Prints an address, or nothing.
pub(super) fn show_address(
    addr: Option<Addr>,
    out: &mut dyn core::fmt::Write,
) -> core::fmt::Result {
    match addr.and_then(|addr| addr.v4()) {
        Some([a, b, c, d]) => write!(out, "{a}.{b}.{c}.{d}"),
        None => Ok(()),
    }
}
