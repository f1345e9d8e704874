//! Text form of network addresses and hardware addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::ValueError;
use super::binary::Bytes;
use super::number::put;

/// Appends an `inet` or a `cidr`. Its binary form: four bytes (the family, the number of bits of the mask, 1 for a `cidr`, the length of
/// the address), then the address.
pub(super) fn put_address(out: &mut String, bytes: &mut Bytes<'_>) -> Result<(), ValueError> {
    let (family, bits, is_cidr) = (bytes.u8()?, bytes.u8()?, bytes.u8()? != 0);
    let most = match (family, bytes.u8()?) {
        (2, 4) => {
            put(out, Ipv4Addr::from(bytes.array::<4>()?));
            32
        }
        (3, 16) => {
            put(out, Ipv6Addr::from(bytes.array::<16>()?));
            128
        }
        _ => return Err(ValueError::Malformed),
    };
    if is_cidr || bits != most {
        put(out, format_args!("/{bits}"));
    }
    Ok(())
}

/// Appends a `macaddr` (6 bytes) or a `macaddr8` (8 bytes).
pub(super) fn put_mac(out: &mut String, address: &[u8]) {
    for (at, byte) in address.iter().enumerate() {
        put(out, format_args!("{}{byte:02x}", if at == 0 { "" } else { ":" }));
    }
}
