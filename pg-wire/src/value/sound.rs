//! Checks of binary values before another library reads them.
//!
//! `postgres-types` and the types that implement its traits use some lengths and counts without a check, but a server may be hostile. For
//! example, an array of 20 bytes with an element count of 2^31 makes `Vec<String>` reserve 51 GB. This module checks the structure of a
//! value before the value is passed to such a library.
//!
//! [Binary formats, in PostgreSQL's sources](https://github.com/postgres/postgres/tree/master/src/backend/utils/adt)

use core::ops::RangeInclusive;

use postgres_types::{Kind, Type};

use super::Mismatch;

/// Maximum number of dimensions of an array: `MAXDIM` in PostgreSQL's sources.
pub(super) const MOST_DIMENSIONS: u8 = 6;

/// Microseconds in a day. PostgreSQL's `time` includes 24:00:00, which no Rust type for a time of day can represent.
pub(super) const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// Requested Rust type. This module knows only from the name which special values, such as infinity, the type can represent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Name of the Rust type, with its path.
    pub(super) name: &'static str,
}

impl Target {
    pub(super) fn of<T>() -> Self {
        Self { name: core::any::type_name::<T>() }
    }

    /// Whether the type can represent `infinity` and `-infinity`. No trait has this information, so the name of the type decides. If
    /// `postgres-types` renamed its module, infinity would be an error for every type.
    fn holds_infinity(self) -> bool {
        self.name.contains("postgres_types::special::")
    }

    /// Returns the allowed weights of a `numeric`. In a number with the weight w, the first digit is multiplied by 10,000^w. The `FromSql`
    /// of `Decimal` panics if w is above 7.
    fn weights(self) -> RangeInclusive<i16> {
        if self.name.contains("rust_decimal::") { i16::MIN..=7 } else { i16::MIN..=i16::MAX }
    }

    fn cannot_hold(self) -> Mismatch {
        Mismatch::Range { wanted: self.name }
    }
}

/// Checks that the lengths, counts and special values in `bytes` are valid for the type `type_`.
///
/// # Errors
/// - [`Mismatch::Malformed`] for an invalid structure.
/// - [`Mismatch::Range`] for a value that the target cannot represent: infinity, 24:00:00, a `numeric` that is too large.
pub(super) fn check(type_: &Type, bytes: &[u8], target: Target) -> Result<(), Mismatch> {
    let mut rest = Bytes(bytes);
    match type_.kind() {
        Kind::Array(member) => array(&mut rest, member, target)?,
        Kind::Range(member) => range(&mut rest, member, target)?,
        Kind::Multirange(member) => {
            for _ in 0..rest.u32()? {
                let mut range_bytes = Bytes(rest.value()?.ok_or(Mismatch::Malformed)?);
                range(&mut range_bytes, member, target)?;
                range_bytes.end()?;
            }
        }
        Kind::Composite(fields) => {
            if usize::try_from(rest.u32()?) != Ok(fields.len()) {
                return Err(Mismatch::Malformed);
            }
            for field in fields {
                if rest.u32()? != field.type_().oid() {
                    return Err(Mismatch::Malformed);
                }
                if let Some(value) = rest.value()? {
                    check(field.type_(), value, target)?;
                }
            }
        }
        Kind::Domain(base) => return check(base, bytes, target),
        _ => return plain(type_, bytes, target),
    }
    rest.end()
}

/// Checks a value of a type that has no members.
fn plain(type_: &Type, bytes: &[u8], target: Target) -> Result<(), Mismatch> {
    let mut rest = Bytes(bytes);
    match *type_ {
        Type::BOOL | Type::CHAR => rest.skip(1)?,
        Type::INT2 => rest.skip(2)?,
        Type::INT4 | Type::OID | Type::XID | Type::CID | Type::FLOAT4 => rest.skip(4)?,
        Type::INT8 | Type::FLOAT8 | Type::MONEY | Type::PG_LSN | Type::XID8 => rest.skip(8)?,
        Type::TID | Type::MACADDR => rest.skip(6)?,
        Type::MACADDR8 => rest.skip(8)?,
        Type::UUID | Type::INTERVAL | Type::POINT => rest.skip(16)?,
        Type::LINE | Type::CIRCLE => rest.skip(24)?,
        Type::LSEG | Type::BOX => rest.skip(32)?,
        Type::DATE => {
            let days = rest.u32()?.cast_signed();
            if matches!(days, i32::MIN | i32::MAX) && !target.holds_infinity() {
                return Err(target.cannot_hold());
            }
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let microseconds = rest.i64()?;
            if matches!(microseconds, i64::MIN | i64::MAX) && !target.holds_infinity() {
                return Err(target.cannot_hold());
            }
        }
        Type::TIME => time(&mut rest, target)?,
        Type::TIMETZ => {
            time(&mut rest, target)?;
            rest.skip(4)?;
        }
        Type::NUMERIC => numeric(&mut rest, target)?,
        Type::BIT | Type::VARBIT => {
            let bits = i32::try_from(rest.u32()?).map_err(|_| Mismatch::Malformed)?;
            rest.skip(usize::try_from(bits).map_err(|_| Mismatch::Malformed)?.div_ceil(8))?;
        }
        Type::PATH => {
            rest.skip(1)?;
            points(&mut rest)?;
        }
        Type::POLYGON => points(&mut rest)?,
        _ if type_.name() == "hstore" => hstore(&mut rest)?,
        // For text, bytes, and types that this crate does not know, every length is valid.
        _ => return Ok(()),
    }
    rest.end()
}

fn array(rest: &mut Bytes<'_>, member: &Type, target: Target) -> Result<(), Mismatch> {
    let dimensions = rest.u32()?;
    let has_null = rest.u32()?;
    if dimensions > MOST_DIMENSIONS.into() || has_null > 1 || rest.u32()? != member.oid() {
        return Err(Mismatch::Malformed);
    }
    let mut elements = u32::from(dimensions > 0);
    for _ in 0..dimensions {
        elements = elements.checked_mul(rest.u32()?).ok_or(Mismatch::Malformed)?;
        let _lower_bound = rest.u32()?;
    }
    // A large count is harmless: each element has at least four bytes, so the loop ends with an error when the bytes end.
    for _ in 0..elements {
        if let Some(value) = rest.value()? {
            check(member, value, target)?;
        }
    }
    Ok(())
}

/// Flags of a range. The inclusive flags do not change the layout.
pub(super) mod range_flags {
    pub(in crate::value) const EMPTY: u8 = 1;
    pub(in crate::value) const LOWER_INCLUSIVE: u8 = 2;
    pub(in crate::value) const UPPER_INCLUSIVE: u8 = 4;
    pub(in crate::value) const LOWER_INFINITE: u8 = 8;
    pub(in crate::value) const UPPER_INFINITE: u8 = 16;
}

fn range(rest: &mut Bytes<'_>, member: &Type, target: Target) -> Result<(), Mismatch> {
    use range_flags::{EMPTY, LOWER_INFINITE, UPPER_INFINITE};
    let flags = rest.u8()?;
    if flags & EMPTY != 0 {
        return Ok(());
    }
    for infinite in [LOWER_INFINITE, UPPER_INFINITE] {
        if flags & infinite == 0 {
            check(member, rest.value()?.ok_or(Mismatch::Malformed)?, target)?;
        }
    }
    Ok(())
}

fn time(rest: &mut Bytes<'_>, target: Target) -> Result<(), Mismatch> {
    match rest.i64()? {
        0..DAY => Ok(()),
        DAY => Err(target.cannot_hold()),
        _ => Err(Mismatch::Malformed),
    }
}

/// Values of the sign of a `numeric`; 0 is positive.
pub(super) mod numeric_sign {
    pub(in crate::value) const NEGATIVE: u16 = 0x4000;
    pub(in crate::value) const NAN: u16 = 0xc000;
    pub(in crate::value) const INFINITY: u16 = 0xd000;
    pub(in crate::value) const NEGATIVE_INFINITY: u16 = 0xf000;
}

/// Checks a `numeric`: Int16 count of digits, Int16 weight, Int16 sign, Int16 scale, and the digits, each an Int16 below 10,000.
fn numeric(rest: &mut Bytes<'_>, target: Target) -> Result<(), Mismatch> {
    use numeric_sign::{INFINITY, NAN, NEGATIVE, NEGATIVE_INFINITY};
    const MOST_SCALE: u16 = 0x3fff;

    let digits = rest.u16()?;
    let weight = rest.u16()?.cast_signed();
    let (sign, scale) = (rest.u16()?, rest.u16()?);
    let is_special = matches!(sign, NAN | INFINITY | NEGATIVE_INFINITY);
    if !(is_special || sign == 0 || sign == NEGATIVE) || scale > MOST_SCALE {
        return Err(Mismatch::Malformed);
    }
    // A `numeric` without digits must have the weight 0. NaN and infinity must have no digits.
    if digits == 0 && weight != 0 || is_special && digits != 0 {
        return Err(Mismatch::Malformed);
    }
    for _ in 0..digits {
        if rest.u16()? >= 10_000 {
            return Err(Mismatch::Malformed);
        }
    }
    if digits > 0 && !target.weights().contains(&weight) {
        return Err(target.cannot_hold());
    }
    Ok(())
}

/// Checks an Int32 count and that number of points. A point is two Float8.
fn points(rest: &mut Bytes<'_>) -> Result<(), Mismatch> {
    let count = usize::try_from(rest.u32()?).map_err(|_| Mismatch::Malformed)?;
    rest.skip(count.checked_mul(16).ok_or(Mismatch::Malformed)?)
}

/// Checks an `hstore`: an Int32 count and that number of pairs. A pair is a key, which must not be NULL, and a value, which may be NULL.
fn hstore(rest: &mut Bytes<'_>) -> Result<(), Mismatch> {
    for _ in 0..rest.u32()? {
        rest.value()?.ok_or(Mismatch::Malformed)?;
        rest.value()?;
    }
    Ok(())
}

/// Bytes that are not yet checked. Each read returns an error if too few bytes are left.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Mismatch> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Mismatch::Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn u8(&mut self) -> Result<u8, Mismatch> {
        self.take().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Mismatch> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Mismatch> {
        self.take().map(u32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, Mismatch> {
        self.take().map(i64::from_be_bytes)
    }

    fn slice(&mut self, count: usize) -> Result<&'a [u8], Mismatch> {
        let (first, rest) = self.0.split_at_checked(count).ok_or(Mismatch::Malformed)?;
        self.0 = rest;
        Ok(first)
    }

    fn skip(&mut self, count: usize) -> Result<(), Mismatch> {
        self.slice(count).map(drop)
    }

    /// Reads an Int32 length and that number of bytes. Returns `None` for length -1, which means NULL.
    fn value(&mut self) -> Result<Option<&'a [u8]>, Mismatch> {
        match self.u32()?.cast_signed() {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| Mismatch::Malformed)?;
                self.slice(length).map(Some)
            }
        }
    }

    fn end(&self) -> Result<(), Mismatch> {
        if self.0.is_empty() { Ok(()) } else { Err(Mismatch::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postgres_types::Field;
    use std::string::String;
    use std::time::SystemTime;
    use std::vec;
    use std::vec::Vec;

    #[track_caller]
    fn sound(type_: &Type, bytes: &[u8]) {
        assert!(check(type_, bytes, Target::of::<String>()).is_ok(), "{type_} {bytes:?}");
    }

    /// Checks that these bytes are rejected as malformed.
    #[track_caller]
    fn damaged(type_: &Type, bytes: &[u8]) {
        let outcome = check(type_, bytes, Target::of::<String>());
        assert!(matches!(outcome, Err(Mismatch::Malformed)), "{type_} {bytes:?}");
    }

    /// Checks that these bytes are accepted, and that every shorter or longer version is rejected.
    #[track_caller]
    fn whole(type_: &Type, bytes: &[u8]) {
        sound(type_, bytes);
        for end in 0..bytes.len() {
            damaged(type_, &bytes[..end]);
        }
        damaged(type_, &[bytes, b"x"].concat());
    }

    #[test]
    fn arrays_must_have_the_elements_that_their_header_counts() {
        let int4s = Type::INT4_ARRAY;
        whole(&int4s, b"\0\0\0\0\0\0\0\0\0\0\0\x17");
        let two = b"\0\0\0\x01\0\0\0\x01\0\0\0\x17\0\0\0\x02\0\0\0\x01\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff";
        whole(&int4s, two);
        damaged(&Type::INT8_ARRAY, two);
        let claims = |dimensions: &[i32]| {
            let mut bytes = vec![0, 0, 0, dimensions.len() as u8, 0, 0, 0, 0, 0, 0, 0, 0x17];
            for length in dimensions {
                bytes.extend(length.to_be_bytes());
                bytes.extend(1i32.to_be_bytes());
            }
            bytes
        };
        damaged(&int4s, &claims(&[i32::MAX]));
        damaged(&int4s, &claims(&[-1]));
        damaged(&int4s, &claims(&[1 << 16, 1 << 16]));
        damaged(&int4s, &claims(&[0; 7]));
        sound(&int4s, &claims(&[0, i32::MAX]));
    }

    #[test]
    fn ranges_and_multiranges_must_have_the_bounds_of_their_flags() {
        let bound = b"\0\0\0\x04\0\0\0\x07";
        whole(&Type::INT4_RANGE, b"\x01");
        whole(&Type::INT4_RANGE, b"\x18");
        whole(&Type::INT4_RANGE, &[b"\x08", &bound[..]].concat());
        let both = [b"\x02", &bound[..], bound].concat();
        whole(&Type::INT4_RANGE, &both);
        damaged(&Type::INT4_RANGE, b"\x08\xff\xff\xff\xff");
        whole(&Type::INT4MULTI_RANGE, b"\0\0\0\0");
        whole(&Type::INT4MULTI_RANGE, &[&b"\0\0\0\x01\0\0\0\x11"[..], &both].concat());
        damaged(&Type::INT4MULTI_RANGE, b"\xff\xff\xff\xff");
    }

    #[test]
    fn composites_must_have_the_fields_of_their_definition() {
        let fields = vec![Field::new("a".into(), Type::INT4), Field::new("b".into(), Type::TEXT)];
        let composite = Type::new("pair".into(), 16_400, Kind::Composite(fields), "public".into());
        let value = b"\0\0\0\x02\0\0\0\x17\0\0\0\x04\0\0\0\x07\0\0\0\x19\xff\xff\xff\xff";
        whole(&composite, value);
        let domain = Type::new("d".into(), 16_401, Kind::Domain(composite), "public".into());
        whole(&domain, value);
        let array = Type::new("_d".into(), 16_402, Kind::Array(domain.clone()), "public".into());
        let header =
            [&[0, 0, 0, 1, 0, 0, 0, 0][..], &16_401u32.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 24]];
        whole(&array, &[&header.concat(), &value[..]].concat());
        damaged(&domain, b"\0\0\0\x01\0\0\0\x17\0\0\0\x04\0\0\0\x07");
        let swapped = b"\0\0\0\x02\0\0\0\x19\0\0\0\x04\0\0\0\x07\0\0\0\x17\xff\xff\xff\xff";
        damaged(&domain, swapped);
    }

    #[test]
    fn numbers_points_and_bits_must_have_the_lengths_of_their_headers() {
        let numeric = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        whole(&Type::NUMERIC, &numeric(&[0, 0, 0, 0]));
        whole(&Type::NUMERIC, &numeric(&[2, 0, 0x4000, 2, 1, 9999]));
        whole(&Type::NUMERIC, &numeric(&[0, 0, 0xc000, 0]));
        for wrong in [
            &[0, 7, 0, 0][..],
            &[1, 0, 0, 0, 10_000],
            &[1, 0, 0x2000, 0, 1],
            &[1, 0, 0, 0x4000, 1],
            &[1, 0, 0xc000, 0, 1],
            &[0xffff, 0, 0, 0],
        ] {
            damaged(&Type::NUMERIC, &numeric(wrong));
        }
        whole(&Type::PATH, &[&b"\x01\0\0\0\x01"[..], &[0; 16]].concat());
        whole(&Type::POLYGON, b"\0\0\0\0");
        damaged(&Type::PATH, b"\x01\xff\xff\xff\xff");
        damaged(&Type::POLYGON, b"\x7f\xff\xff\xff");
        whole(&Type::VARBIT, b"\0\0\0\x09\xff\x80");
        damaged(&Type::VARBIT, b"\xff\xff\xff\xff");
    }

    #[test]
    fn a_value_that_the_target_cannot_represent_is_a_range_error() {
        let (infinity, day) = (i64::MAX.to_be_bytes(), DAY.to_be_bytes());
        let out_of_range = |type_: &Type, bytes: &[u8], target| matches!(check(type_, bytes, target), Err(Mismatch::Range { wanted }) if wanted == target.name);
        let plain = Target::of::<SystemTime>();
        let wide = Target::of::<postgres_types::Timestamp<SystemTime>>();
        for type_ in [Type::TIMESTAMP, Type::TIMESTAMPTZ] {
            for bytes in [infinity, i64::MIN.to_be_bytes()] {
                assert!(out_of_range(&type_, &bytes, plain));
                assert!(check(&type_, &bytes, wide).is_ok());
            }
        }
        for days in [i32::MIN, i32::MAX] {
            assert!(out_of_range(&Type::DATE, &days.to_be_bytes(), plain));
            assert!(check(&Type::DATE, &days.to_be_bytes(), wide).is_ok());
        }
        assert!(out_of_range(&Type::TIME, &day, plain));
        assert!(out_of_range(&Type::TIMETZ, &[&day[..], &[0; 4]].concat(), plain));
        whole(&Type::TIME, &(DAY - 1).to_be_bytes());
        damaged(&Type::TIME, &(DAY + 1).to_be_bytes());
        damaged(&Type::TIME, &(-1i64).to_be_bytes());
    }
}
