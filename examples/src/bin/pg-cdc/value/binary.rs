//! Converts values from the binary form to the text form of the server.

use pg_wire::oid;
use pg_wire::oid::Oid;

use super::types::{Kind, Types};
use super::{ValueError, container, network, number, time};
use crate::line::hex;

/// The bytes of a value that have not been read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], ValueError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ValueError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        self.take(N)?.try_into().map_err(|_| ValueError::Malformed)
    }

    pub(super) fn u8(&mut self) -> Result<u8, ValueError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, ValueError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, ValueError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ValueError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, ValueError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Reads a contained value, for example an element of an array: Int32 length, then that number of bytes. Returns `None` for the length
    /// -1, which stands for NULL.
    pub(super) fn value(&mut self) -> Result<Option<&'a [u8]>, ValueError> {
        match self.i32()? {
            -1 => Ok(None),
            length => self.take(usize::try_from(length).map_err(|_| ValueError::Malformed)?).map(Some),
        }
    }

    pub(super) fn finish(self) -> Result<(), ValueError> {
        if self.0.is_empty() { Ok(()) } else { Err(ValueError::Malformed) }
    }
}

/// Appends the text form of a value. Returns false if this program does not know the binary form of the type. In this case `out` may
/// already contain a part of the text.
pub(super) fn text(out: &mut String, value: &[u8], type_oid: Oid, types: &Types) -> Result<bool, ValueError> {
    let mut bytes = Bytes(value);
    let type_oid = types.base(type_oid);
    match type_oid {
        oid::BOOL => out.push(if bytes.u8()? == 0 { 'f' } else { 't' }),
        oid::INT2 => number::put(out, bytes.i16()?),
        oid::INT4 => number::put(out, bytes.i32()?),
        oid::INT8 => number::put(out, bytes.i64()?),
        oid::OID | oid::XID | oid::CID => number::put(out, bytes.u32()?),
        oid::XID8 => number::put(out, u64::from_be_bytes(bytes.array()?)),
        oid::FLOAT4 | oid::FLOAT8 => {
            let wide = type_oid == oid::FLOAT8;
            number::put_float(out, number::float(bytes.0, wide)?, wide);
            bytes.0 = &[];
        }
        oid::NUMERIC => number::put_numeric(out, &mut bytes)?,
        oid::BYTEA => {
            out.push_str(&hex(bytes.0));
            bytes.0 = &[];
        }
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::JSON | oid::XML | oid::UNKNOWN => {
            put_text(out, &mut bytes)?;
        }
        oid::CHAR => match bytes.u8()? {
            0 => {}
            ascii @ 1..=127 => out.push(char::from(ascii)),
            other => out.push_str(&format!("\\{other:03o}")),
        },
        oid::JSONB | oid::JSONPATH => {
            if bytes.u8()? != 1 {
                return Ok(false);
            }
            put_text(out, &mut bytes)?;
        }
        oid::UUID => put_uuid(out, bytes.array()?),
        oid::PG_LSN => {
            let lsn = pg_wire::replication::Lsn(u64::from_be_bytes(bytes.array()?));
            number::put(out, lsn);
        }
        oid::TID => {
            let block = bytes.u32()?;
            number::put(out, format_args!("({block},{})", u16::from_be_bytes(bytes.array()?)));
        }
        oid::BIT | oid::VARBIT => put_bits(out, &mut bytes)?,
        oid::DATE => time::put_date(out, bytes.i32()?),
        oid::TIME => time::put_time(out, bytes.i64()?),
        oid::TIMETZ => {
            time::put_time(out, bytes.i64()?);
            time::put_zone(out, bytes.i32()?);
        }
        oid::TIMESTAMP => time::put_timestamp(out, bytes.i64()?, ""),
        // The program sets the session's time zone to UTC.
        oid::TIMESTAMPTZ => time::put_timestamp(out, bytes.i64()?, "+00"),
        oid::INTERVAL => time::put_interval(out, &mut bytes)?,
        oid::INET | oid::CIDR => network::put_address(out, &mut bytes)?,
        oid::MACADDR => network::put_mac(out, &bytes.array::<6>()?),
        oid::MACADDR8 => network::put_mac(out, &bytes.array::<8>()?),
        _ => match types.kind(type_oid) {
            Kind::Text => put_text(out, &mut bytes)?,
            Kind::Array => {
                if !container::put_array(out, &mut bytes, types)? {
                    return Ok(false);
                }
            }
            Kind::Composite => {
                if !container::put_composite(out, &mut bytes, types)? {
                    return Ok(false);
                }
            }
            Kind::Range(of) => {
                if !container::put_range(out, &mut bytes, of, types)? {
                    return Ok(false);
                }
            }
            Kind::Multirange(of) => {
                if !container::put_multirange(out, &mut bytes, of, types)? {
                    return Ok(false);
                }
            }
            Kind::Domain(_) | Kind::Unknown => return Ok(false),
        },
    }
    bytes.finish()?;
    Ok(true)
}

fn put_text(out: &mut String, bytes: &mut Bytes<'_>) -> Result<(), ValueError> {
    out.push_str(std::str::from_utf8(bytes.0).map_err(|_| ValueError::NotUtf8)?);
    bytes.0 = &[];
    Ok(())
}

fn put_uuid(out: &mut String, uuid: [u8; 16]) {
    for (at, byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        number::put(out, format_args!("{byte:02x}"));
    }
}

fn put_bits(out: &mut String, bytes: &mut Bytes<'_>) -> Result<(), ValueError> {
    let count = usize::try_from(bytes.i32()?).map_err(|_| ValueError::Malformed)?;
    let packed = bytes.take(count.div_ceil(8))?;
    let bits = packed.iter().flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1 == 1));
    out.extend(bits.take(count).map(|bit| if bit { '1' } else { '0' }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8], type_oid: Oid) -> String {
        let mut out = String::new();
        assert!(text(&mut out, bytes, type_oid, &Types::default()).expect("well-formed"), "{type_oid}");
        out
    }

    #[test]
    fn scalars_have_the_text_form_of_the_server() {
        for (bytes, type_oid, expected) in [
            (
                &b"\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11"[..],
                oid::UUID,
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            ),
            (b"\0\0\0\x16\xb3\x74\xd8\x48", oid::PG_LSN, "16/B374D848"),
            (b"\0\0\0\x01\0\x02", oid::TID, "(1,2)"),
            (b"\0\0\0\x0a\xa5\x40", oid::VARBIT, "1010010101"),
            (b"A", oid::CHAR, "A"),
            (b"\0\0\0\0\0\0\0\x07", oid::XID8, "7"),
            (b"\x02\x18\0\x04\x0a\0\0\0", oid::INET, "10.0.0.0/24"),
            (b"\x08\0\x2b\x01\x02\x03", oid::MACADDR, "08:00:2b:01:02:03"),
        ] {
            assert_eq!(shown(bytes, type_oid), expected);
        }
    }

    #[test]
    fn a_truncated_value_is_an_error() {
        let mut out = String::new();
        for (bytes, type_oid) in [
            (&b"\0\0\0\x07"[..], oid::INT4),
            (b"\0\x01\0\0\0\0\0\0\0\x07", oid::NUMERIC),
            (b"\0\0\0\0\0\0\0\x07\0\0\0\x01\0\0\0\x02", oid::INTERVAL),
            (b"\0\0\0\x01\0\0\0\0\0\0\0\x17\0\0\0\x01\0\0\0\x01\0\0\0\x04\0\0\0\x07", oid::INT4_ARRAY),
            (b"\x02\0\0\0\x04\0\0\0\x01\0\0\0\x04\0\0\0\x05", oid::INT4RANGE),
        ] {
            text(&mut out, bytes, type_oid, &Types::default()).expect("well-formed");
            for end in 0..bytes.len() {
                let part = text(&mut out, &bytes[..end], type_oid, &Types::default());
                assert_eq!(part, Err(ValueError::Malformed), "{end} of {bytes:?}");
            }
        }
    }
}
