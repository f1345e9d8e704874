//! Decoding of the built-in types, in both formats.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Column, FromValue, Mismatch};
use crate::basic::enums::FormatCode;
use crate::basic::oid;
use crate::basic::oid::Oid;

/// The bytes of a value, and whether they are text. An error unless the column has one of these types.
///
/// A column with unknown type (0) is accepted, and so is `unknown`, the type of an untyped literal.
fn of<'a>(
    value: Option<&'a [u8]>,
    column: Column,
    types: &[Oid],
    wanted: &'static str,
) -> Result<(&'a [u8], bool), Mismatch> {
    let bytes = value.ok_or(Mismatch::Null)?;
    if !(types.contains(&column.type_oid) || matches!(column.type_oid, 0 | oid::UNKNOWN)) {
        return Err(Mismatch::Type { wanted });
    }
    match column.format {
        FormatCode::Text => Ok((bytes, true)),
        FormatCode::Binary => Ok((bytes, false)),
        FormatCode::Other(_) => Err(Mismatch::Type { wanted }),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Mismatch> {
    core::str::from_utf8(bytes).map_err(|_| Mismatch::Utf8)
}

/// A value of any integer type, as an `i64`.
fn integer(value: Option<&[u8]>, column: Column, wanted: &'static str) -> Result<i64, Mismatch> {
    let (bytes, is_text) = of(value, column, &[oid::INT4, oid::INT8, oid::INT2, oid::OID], wanted)?;
    if is_text {
        let text = utf8(bytes)?;
        return text.parse().map_err(|error: core::num::ParseIntError| match error.kind() {
            core::num::IntErrorKind::PosOverflow | core::num::IntErrorKind::NegOverflow => {
                Mismatch::Range { wanted }
            }
            _ => Mismatch::Malformed,
        });
    }
    let length = match column.type_oid {
        oid::INT2 => 2,
        oid::INT4 | oid::OID => 4,
        oid::INT8 => 8,
        _ => bytes.len(),
    };
    match *bytes {
        [a, b] if length == 2 => Ok(i16::from_be_bytes([a, b]).into()),
        [a, b, c, d] if column.type_oid == oid::OID => Ok(u32::from_be_bytes([a, b, c, d]).into()),
        [a, b, c, d] if length == 4 => Ok(i32::from_be_bytes([a, b, c, d]).into()),
        _ if length == 8 => bytes.try_into().map(i64::from_be_bytes).map_err(|_| Mismatch::Malformed),
        _ => Err(Mismatch::Malformed),
    }
}

macro_rules! integers {
    ($($type:ty, $wanted:literal;)*) => {
        $(impl<'a> FromValue<'a> for $type {
            #[inline]
            fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
                let number = integer(value, column, $wanted)?;
                Self::try_from(number).map_err(|_| Mismatch::Range { wanted: $wanted })
            }
        })*
    };
}

integers! {
    i16, "an i16";
    i32, "an i32";
    i64, "an i64";
    u32, "a u32";
}

impl<'a> FromValue<'a> for f64 {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        let (bytes, is_text) = of(value, column, &[oid::FLOAT8, oid::FLOAT4], "an f64")?;
        match *bytes {
            _ if is_text => utf8(bytes)?.parse().map_err(|_| Mismatch::Malformed),
            [a, b, c, d] if column.type_oid != oid::FLOAT8 => Ok(f32::from_be_bytes([a, b, c, d]).into()),
            _ if column.type_oid != oid::FLOAT4 => {
                bytes.try_into().map(Self::from_be_bytes).map_err(|_| Mismatch::Malformed)
            }
            _ => Err(Mismatch::Malformed),
        }
    }
}

impl<'a> FromValue<'a> for f32 {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        let (bytes, is_text) = of(value, column, &[oid::FLOAT4], "an f32")?;
        if is_text {
            return utf8(bytes)?.parse().map_err(|_| Mismatch::Malformed);
        }
        bytes.try_into().map(Self::from_be_bytes).map_err(|_| Mismatch::Malformed)
    }
}

impl<'a> FromValue<'a> for bool {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        match of(value, column, &[oid::BOOL], "a bool")? {
            (b"t", true) | ([1], false) => Ok(true),
            (b"f", true) | ([0], false) => Ok(false),
            _ => Err(Mismatch::Malformed),
        }
    }
}

/// The types whose binary form is their text.
const TEXTS: &[Oid] = &[oid::TEXT, oid::VARCHAR, oid::NAME, oid::BPCHAR, oid::JSON, oid::XML];

impl<'a> FromValue<'a> for &'a str {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        match column.format {
            // Any type is accepted in its text form.
            FormatCode::Text => utf8(value.ok_or(Mismatch::Null)?),
            _ => utf8(of(value, column, TEXTS, "a string")?.0),
        }
    }
}

impl<'a> FromValue<'a> for String {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        <&str>::from_value(value, column).map(Self::from)
    }
}

impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        match of(value, column, &[oid::BYTEA], "a byte slice")? {
            (bytes, false) => Ok(bytes),
            // The text form is hexadecimal: decoding it needs a `Vec`.
            (_, true) => {
                Err(Mismatch::Type { wanted: "a byte slice, because its format is text: request a Vec<u8>" })
            }
        }
    }
}

impl<'a> FromValue<'a> for Vec<u8> {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        match of(value, column, &[oid::BYTEA], "bytes")? {
            (bytes, false) => Ok(bytes.into()),
            (text, true) => super::text::bytea(text).ok_or(Mismatch::Malformed),
        }
    }
}

#[cfg(feature = "uuid")]
impl<'a> FromValue<'a> for uuid::Uuid {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        match of(value, column, &[oid::UUID], "a uuid")? {
            (bytes, false) => Self::from_slice(bytes).map_err(|_| Mismatch::Malformed),
            (text, true) => Self::try_parse_ascii(text).map_err(|_| Mismatch::Malformed),
        }
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        value.map(|value| T::from_value(Some(value), column)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::param::bindable::Bindable;
    use crate::value::AsText;
    use core::fmt::Debug;

    fn column(type_oid: Oid, format: FormatCode) -> Column {
        Column { type_oid, format }
    }

    /// Encodes a value and decodes it again, in both formats.
    #[track_caller]
    fn both_ways<T>(type_oid: Oid, value: T, binary: &[u8], text: &str)
    where
        T: Bindable + AsTextForm + for<'a> FromValue<'a> + PartialEq + Debug,
    {
        assert_eq!(value.bound().as_bytes(), Some(binary));
        let back = T::from_value(Some(binary), column(type_oid, FormatCode::Binary));
        assert_eq!(back.expect("it reads its own binary form"), value);
        let written = value.as_text();
        assert_eq!(written.bound().as_bytes(), Some(text.as_bytes()));
        assert_eq!(written.bound().format(), Some(FormatCode::Text));
        let back = T::from_value(Some(text.as_bytes()), column(type_oid, FormatCode::Text));
        assert_eq!(back.expect("it reads its own text form"), value);
    }

    trait AsTextForm {
        fn as_text(&self) -> AsText;
    }
    impl<T: Clone> AsTextForm for T
    where
        AsText: From<T>,
    {
        fn as_text(&self) -> AsText {
            AsText::from(self.clone())
        }
    }

    #[test]
    fn every_type_is_encoded_and_decoded_in_both_formats() {
        both_ways(oid::BOOL, true, b"\x01", "t");
        both_ways(oid::BOOL, false, b"\0", "f");
        both_ways(oid::INT2, -2i16, b"\xff\xfe", "-2");
        both_ways(oid::INT4, i32::MIN, b"\x80\0\0\0", "-2147483648");
        both_ways(oid::INT8, 1i64 << 40, b"\0\0\x01\0\0\0\0\0", "1099511627776");
        both_ways(oid::OID, u32::MAX, b"\xff\xff\xff\xff", "4294967295");
        both_ways(oid::FLOAT4, 1.5f32, b"\x3f\xc0\0\0", "1.5e0");
        both_ways(oid::FLOAT8, -0.1f64, b"\xbf\xb9\x99\x99\x99\x99\x99\x9a", "-1e-1");
        both_ways(oid::TEXT, String::from("caf\u{e9}"), b"caf\xc3\xa9", "caf\u{e9}");
        both_ways(oid::BYTEA, Vec::from(*b"\0\xff\\"), b"\0\xff\\", "\\x00ff5c");
        #[cfg(feature = "uuid")]
        both_ways(
            oid::UUID,
            uuid::Uuid::from_u128(0xa0ee_bc99_9c0b_4ef8_bb6d_6bb9_bd38_0a11),
            &0xa0ee_bc99_9c0b_4ef8_bb6d_6bb9_bd38_0a11_u128.to_be_bytes(),
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        );
    }

    #[test]
    fn infinities_and_nan_are_encoded_and_decoded_as_text() {
        for (value, text) in [(f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf"), (f64::NAN, "NaN")] {
            assert_eq!(AsText::from(value).as_str(), text);
        }
        let text = column(oid::FLOAT8, FormatCode::Text);
        // The text form of PostgreSQL.
        assert_eq!(f64::from_value(Some(b"Infinity"), text).expect("a float"), f64::INFINITY);
        assert_eq!(f64::from_value(Some(b"-Infinity"), text).expect("a float"), f64::NEG_INFINITY);
        assert!(f64::from_value(Some(b"NaN"), text).expect("a float").is_nan());
    }

    #[test]
    fn a_number_is_widened_but_never_truncated() {
        let int8 = column(oid::INT8, FormatCode::Binary);
        let big = (1i64 << 40).to_be_bytes();
        assert!(matches!(i32::from_value(Some(&big), int8), Err(Mismatch::Range { wanted: "an i32" })));
        assert_eq!(i16::from_value(Some(&7i64.to_be_bytes()), int8).expect("7 fits"), 7);
        let int2 = column(oid::INT2, FormatCode::Binary);
        assert_eq!(i64::from_value(Some(b"\xff\xff"), int2).expect("it widens"), -1);
        let oid = column(oid::OID, FormatCode::Binary);
        assert_eq!(i64::from_value(Some(b"\xff\xff\xff\xff"), oid).expect("it widens"), 4_294_967_295);
        assert!(matches!(i32::from_value(Some(b"\xff\xff\xff\xff"), oid), Err(Mismatch::Range { .. })));
        let text = column(oid::INT8, FormatCode::Text);
        assert!(matches!(i64::from_value(Some(b"9223372036854775808"), text), Err(Mismatch::Range { .. })));
        let float8 = column(oid::FLOAT8, FormatCode::Binary);
        assert!(matches!(f32::from_value(Some(&1f64.to_be_bytes()), float8), Err(Mismatch::Type { .. })));
    }

    #[test]
    fn the_wrong_type_and_the_wrong_length_are_errors() {
        let text = column(oid::TEXT, FormatCode::Binary);
        assert!(matches!(i32::from_value(Some(b"1234"), text), Err(Mismatch::Type { wanted: "an i32" })));
        let int4 = column(oid::INT4, FormatCode::Binary);
        for wrong in [&b""[..], b"1", b"123", b"12345678"] {
            assert!(matches!(i32::from_value(Some(wrong), int4), Err(Mismatch::Malformed)), "{wrong:?}");
        }
        assert!(matches!(<&str>::from_value(Some(b"\0\0\0\x01"), int4), Err(Mismatch::Type { .. })));
        assert!(matches!(
            bool::from_value(Some(b"\x02"), column(oid::BOOL, FormatCode::Binary)),
            Err(Mismatch::Malformed)
        ));
        assert!(matches!(i32::from_value(None, int4), Err(Mismatch::Null)));
        assert_eq!(Option::<i32>::from_value(None, int4).expect("NULL is None"), None);
        assert!(matches!(<&str>::from_value(Some(b"\xff"), text), Err(Mismatch::Utf8)));
    }

    #[test]
    fn a_value_of_unknown_type_is_decoded_by_its_length() {
        let unknown = column(0, FormatCode::Binary);
        assert_eq!(i64::from_value(Some(b"\0\x01"), unknown).expect("two bytes"), 1);
        assert_eq!(i64::from_value(Some(b"\0\0\0\0\0\0\0\x01"), unknown).expect("eight bytes"), 1);
        assert!(matches!(i64::from_value(Some(b"abc"), unknown), Err(Mismatch::Malformed)));
    }
}
