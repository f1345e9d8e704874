//! Conversion of the addresses of networks and of network interfaces.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::value::Mismatch;
use crate::value::convert::cursor::{Cursor, parse};
use crate::value::convert::out::append;

/// Converts an `inet`: `10.0.0.1`, `::1/64`. Without a prefix length, the value is a single address.
pub(super) fn inet(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    address(text, false, out)
}

/// Converts a `cidr`: `10.1.0.0/16`.
pub(super) fn cidr(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    address(text, true, out)
}

fn address(text: &mut Cursor<'_>, is_cidr: bool, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    // Address families in the binary form. For IPv6 PostgreSQL sends `AF_INET + 1`, because the number of `AF_INET6` depends on the
    // platform.
    const IPV4: u8 = 2;
    const IPV6: u8 = 3;
    let (ipv4, ipv6);
    let (family, octets): (u8, &[u8]) = match parse(text.take_while(|byte| byte != b'/'))? {
        IpAddr::V4(address) => {
            ipv4 = address.octets();
            (IPV4, &ipv4)
        }
        IpAddr::V6(address) => {
            ipv6 = address.octets();
            (IPV6, &ipv6)
        }
    };
    let most = if family == IPV4 { 32 } else { 128 };
    let prefix: u8 = if text.skip(b"/") { text.integer()? } else { most };
    let (true, Ok(length)) = (prefix <= most, u8::try_from(octets.len())) else {
        return Err(Mismatch::Malformed);
    };
    out.extend([family, prefix, u8::from(is_cidr), length]);
    append(out, octets)
}

/// Converts a `macaddr` or a `macaddr8` of `BYTES` bytes: `08:00:2b:01:02:03`.
pub(super) fn mac<const BYTES: usize>(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    for index in 0..BYTES {
        if index > 0 {
            text.expect(b":")?;
        }
        out.push(text.hex_byte()?);
    }
    Ok(())
}
