// SPDX-License-Identifier: GPL-2.0

//! Values as the operator writes them.

use crate::{
    kapi::print::warn_ratelimited,
    wire::key::Addr, //
};
use core::{
    net::IpAddr,
    ops::RangeInclusive, //
};
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
/// `EINVAL` if it is not one that a host can have.
pub(super) fn address(file: &str, text: &str) -> Result<Addr> {
    let ip = text
        .parse::<IpAddr>()
        .map_err(|_| refuse(file, text, "not an address", EINVAL))?;
    if matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(refuse(file, text, "write it as an IPv4 address", EINVAL));
    }
    let addr = Addr::from(ip);
    if addr.is_unusable() {
        let why = "no host can have this address, or not without a link";
        return Err(refuse(file, text, why, EINVAL));
    }
    Ok(addr)
}

/// Prints an address, or nothing.
pub(super) fn show_address(
    addr: Option<Addr>,
    out: &mut dyn core::fmt::Write,
) -> core::fmt::Result {
    match addr {
        Some(addr) => write!(out, "{}", addr.ip()),
        None => Ok(()),
    }
}
