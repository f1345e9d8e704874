//! `FromValue` for the types of the standard library and for UUIDs, from both formats.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Column, FromValue, Mismatch};
use crate::basic::enums::FormatCode;
use crate::basic::oid;
use crate::basic::oid::Oid;
use crate::basic::text;

/// Returns whether the values of a column are text. Returns an error if the column has none of the given types.
///
/// Two other types are also accepted: 0, if the type is not known, and `unknown`, the type of a literal without a cast. The values of the
/// type `unknown` are text in both formats.
fn is_text(column: Column, types: &[Oid], wanted: &'static str) -> Result<bool, Mismatch> {
    if !(types.contains(&column.type_oid) || matches!(column.type_oid, 0 | oid::UNKNOWN)) {
        return Err(Mismatch::Type { wanted });
    }
    match column.format {
        FormatCode::Text => Ok(true),
        FormatCode::Binary => Ok(column.type_oid == oid::UNKNOWN),
        FormatCode::Other(_) => Err(Mismatch::Type { wanted }),
    }
}

/// Returns the bytes of a value, and the result of [`is_text`]: whether the bytes are in text format. Returns an error if the type of the
/// column is not one of `types`.
fn of<'a>(
    value: Option<&'a [u8]>,
    column: Column,
    types: &[Oid],
    wanted: &'static str,
) -> Result<(&'a [u8], bool), Mismatch> {
    let bytes = value.ok_or(Mismatch::Null)?;
    is_text(column, types, wanted).map(|is_text| (bytes, is_text))
}

fn utf8(bytes: &[u8]) -> Result<&str, Mismatch> {
    text::utf8(bytes).map_err(|_| Mismatch::Utf8)
}

/// Types whose values are numbers in both formats. The most frequent types are first, because the list is searched for each value.
const NUMBERS: &[Oid] =
    &[oid::INT4, oid::INT8, oid::INT2, oid::OID, oid::XID, oid::CID, oid::XID8, oid::PG_LSN];

/// Returns the list of accepted types for an integer column: `OBJECTS` if the column has a `reg` type, and otherwise `NUMBERS`.
fn integers_like(type_oid: Oid) -> &'static [Oid] {
    if oid::OBJECTS.contains(&type_oid) { oid::OBJECTS } else { NUMBERS }
}

/// Fast path: reads an integer of at most 18 digits, so that the result cannot overflow. Returns `None` for any other text.
#[inline(always)]
fn short_integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !(1..=18).contains(&digits.len()) {
        return None;
    }
    let mut number = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(if is_negative { -number } else { number })
}

/// Reads a value of any integer type as an `i128`, the smallest type that can represent all `i64` and all `u64`.
fn integer(value: Option<&[u8]>, column: Column, wanted: &'static str) -> Result<i128, Mismatch> {
    let (bytes, is_text) = of(value, column, integers_like(column.type_oid), wanted)?;
    if is_text {
        return text_integer(bytes, column.type_oid, wanted);
    }
    let signed = |bytes| i128::from(i64::from_be_bytes(bytes));
    match (column.type_oid, bytes) {
        (oid::INT4, &[a, b, c, d]) => Ok(i32::from_be_bytes([a, b, c, d]).into()),
        (oid::INT8, _) => bytes.try_into().map(signed).map_err(|_| Mismatch::Malformed),
        (oid::INT2, &[a, b]) => Ok(i16::from_be_bytes([a, b]).into()),
        (oid::INT2 | oid::INT4, _) => Err(Mismatch::Malformed),
        (oid::XID8 | oid::PG_LSN, _) => {
            bytes.try_into().map(|bytes| u64::from_be_bytes(bytes).into()).map_err(|_| Mismatch::Malformed)
        }
        // If the type is unknown (0), the length selects the integer type.
        (0, &[a, b]) => Ok(i16::from_be_bytes([a, b]).into()),
        (0, &[a, b, c, d]) => Ok(i32::from_be_bytes([a, b, c, d]).into()),
        (0, _) => bytes.try_into().map(signed).map_err(|_| Mismatch::Malformed),
        (_, &[a, b, c, d]) => Ok(u32::from_be_bytes([a, b, c, d]).into()),
        _ => Err(Mismatch::Malformed),
    }
}

fn text_integer(bytes: &[u8], type_oid: Oid, wanted: &'static str) -> Result<i128, Mismatch> {
    use core::num::IntErrorKind::{NegOverflow, PosOverflow};
    let text = utf8(bytes)?;
    if type_oid == oid::PG_LSN {
        // A WAL position is two halves in hexadecimal: `16/B374D848`.
        let half = |digits: &str| match digits.as_bytes() {
            [b'0'..=b'9' | b'A'..=b'F' | b'a'..=b'f', ..] => u32::from_str_radix(digits, 16).ok(),
            _ => None,
        };
        let halves = text.split_once('/').and_then(|(high, low)| Some((half(high)?, half(low)?)));
        let (high, low) = halves.ok_or(Mismatch::Malformed)?;
        return Ok(i128::from(u64::from(high) << 32 | u64::from(low)));
    }
    text.parse().map_err(|error: core::num::ParseIntError| match error.kind() {
        PosOverflow | NegOverflow => Mismatch::Range { wanted },
        // The text can be the name of an object instead of a number. Such a text is not malformed.
        _ if oid::OBJECTS.contains(&type_oid) => Mismatch::Type { wanted },
        _ => Mismatch::Malformed,
    })
}

macro_rules! integers {
    ($($type:ty, $type_oid:pat, $wanted:literal;)*) => {
        $(impl<'a> FromValue<'a> for $type {
            fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
                let number = integer(value, column, $wanted)?;
                Self::try_from(number).map_err(|_| Mismatch::Range { wanted: $wanted })
            }

            // Reads only values of the PostgreSQL type that has the same range as the Rust type.
            #[inline(always)]
            fn from_value_fast(value: Option<&'a [u8]>, column: Column) -> Option<Self> {
                match column {
                    Column { type_oid: $type_oid, format: FormatCode::Binary } => {
                        value?.try_into().ok().map(<$type>::from_be_bytes)
                    }
                    Column { type_oid: $type_oid, format: FormatCode::Text } => {
                        short_integer(value?)?.try_into().ok()
                    }
                    _ => None,
                }
            }

            fn check(column: Column) -> Result<(), Mismatch> {
                is_text(column, integers_like(column.type_oid), $wanted).map(drop)
            }
        })*
    };
}

integers! {
    i16, oid::INT2 | 0, "an i16";
    i32, oid::INT4 | 0, "an i32";
    i64, oid::INT8 | 0, "an i64";
    u32, oid::OID, "a u32";
    u64, oid::XID8, "a u64";
}

macro_rules! floats {
    ($($type:ty, $type_oid:pat, $types:expr, $wanted:literal, $from_value:path;)*) => {
        $(impl<'a> FromValue<'a> for $type {
            fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
                $from_value(value, column)
            }

            // Reads only values of the PostgreSQL type that has the same range as the Rust type.
            #[inline(always)]
            fn from_value_fast(value: Option<&'a [u8]>, column: Column) -> Option<Self> {
                match column {
                    Column { type_oid: $type_oid, format: FormatCode::Binary } => {
                        value?.try_into().ok().map(<$type>::from_be_bytes)
                    }
                    Column { type_oid: $type_oid, format: FormatCode::Text } => {
                        text::utf8(value?).ok()?.parse().ok()
                    }
                    _ => None,
                }
            }

            fn check(column: Column) -> Result<(), Mismatch> {
                is_text(column, $types, $wanted).map(drop)
            }
        })*
    };
}

floats! {
    f32, oid::FLOAT4 | 0, &[oid::FLOAT4], "an f32", float4;
    f64, oid::FLOAT8 | 0, &[oid::FLOAT8, oid::FLOAT4], "an f64", float8;
}

fn float8(value: Option<&[u8]>, column: Column) -> Result<f64, Mismatch> {
    let (bytes, is_text) = of(value, column, &[oid::FLOAT8, oid::FLOAT4], "an f64")?;
    match *bytes {
        // The text is parsed as f32 first, so that a `float4` of 0.1 becomes the same f64 from text as from binary.
        _ if is_text && column.type_oid == oid::FLOAT4 => f32::from_value(value, column).map(f64::from),
        _ if is_text => utf8(bytes)?.parse().map_err(|_| Mismatch::Malformed),
        [a, b, c, d] if column.type_oid != oid::FLOAT8 => Ok(f32::from_be_bytes([a, b, c, d]).into()),
        _ if column.type_oid != oid::FLOAT4 => {
            bytes.try_into().map(f64::from_be_bytes).map_err(|_| Mismatch::Malformed)
        }
        _ => Err(Mismatch::Malformed),
    }
}

fn float4(value: Option<&[u8]>, column: Column) -> Result<f32, Mismatch> {
    let (bytes, is_text) = of(value, column, &[oid::FLOAT4], "an f32")?;
    if is_text {
        return utf8(bytes)?.parse().map_err(|_| Mismatch::Malformed);
    }
    bytes.try_into().map(f32::from_be_bytes).map_err(|_| Mismatch::Malformed)
}

impl<'a> FromValue<'a> for bool {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        match of(value, column, &[oid::BOOL], "a bool")? {
            (b"t", true) | ([1], false) => Ok(true),
            (b"f", true) | ([0], false) => Ok(false),
            _ => Err(Mismatch::Malformed),
        }
    }

    fn check(column: Column) -> Result<(), Mismatch> {
        is_text(column, &[oid::BOOL], "a bool").map(drop)
    }
}

/// Types whose values are text in both formats.
pub(super) const TEXTS: &[Oid] = &[
    oid::TEXT,
    oid::VARCHAR,
    oid::NAME,
    oid::BPCHAR,
    oid::JSON,
    oid::XML,
    oid::CSTRING,
    oid::REFCURSOR,
    // A value of type `void` has no bytes, so it is read as an empty string.
    oid::VOID,
];

/// The first byte of a binary `jsonb` or `jsonpath`: a version, followed by the text.
pub(super) const VERSION: u8 = 1;

const STRING: &str = "a string";

impl<'a> FromValue<'a> for &'a str {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        let bytes = value.ok_or(Mismatch::Null)?;
        match (column.format, column.type_oid) {
            // The type is not checked, because the text form of every type is a string.
            (FormatCode::Text, _) => utf8(bytes),
            (FormatCode::Binary, oid::JSONB | oid::JSONPATH) => match bytes {
                [VERSION, text @ ..] => utf8(text),
                _ => Err(Mismatch::Malformed),
            },
            // A value of type `"char"` has one byte. In text format PostgreSQL writes byte 0 as an empty string.
            (FormatCode::Binary, oid::CHAR) => match bytes {
                [0] => Ok(""),
                [_] => utf8(bytes),
                _ => Err(Mismatch::Malformed),
            },
            _ => {
                is_text(column, TEXTS, STRING)?;
                utf8(bytes)
            }
        }
    }

    #[inline(always)]
    fn from_value_fast(value: Option<&'a [u8]>, column: Column) -> Option<Self> {
        match column {
            Column { format: FormatCode::Text, .. }
            | Column { type_oid: oid::TEXT | oid::VARCHAR | 0, format: FormatCode::Binary } => {
                text::utf8(value?).ok()
            }
            _ => None,
        }
    }

    fn check(column: Column) -> Result<(), Mismatch> {
        match (column.format, column.type_oid) {
            (FormatCode::Text, _) | (FormatCode::Binary, oid::JSONB | oid::JSONPATH | oid::CHAR) => Ok(()),
            _ => is_text(column, TEXTS, STRING).map(drop),
        }
    }
}

impl<'a> FromValue<'a> for String {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        <&str>::from_value(value, column).map(Self::from)
    }

    #[inline]
    fn from_value_fast(value: Option<&'a [u8]>, column: Column) -> Option<Self> {
        <&str>::from_value_fast(value, column).map(Self::from)
    }

    fn check(column: Column) -> Result<(), Mismatch> {
        <&str>::check(column)
    }
}

const SLICE_OF_TEXT: Mismatch =
    Mismatch::Type { wanted: "a byte slice, because it is in text format: use Vec<u8>" };

impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        match of(value, column, &[oid::BYTEA], "a byte slice")? {
            (bytes, false) => Ok(bytes),
            // A `bytea` in text format must be decoded into new memory, so a slice cannot be returned.
            (_, true) => Err(SLICE_OF_TEXT),
        }
    }

    fn check(column: Column) -> Result<(), Mismatch> {
        if is_text(column, &[oid::BYTEA], "a byte slice")? { Err(SLICE_OF_TEXT) } else { Ok(()) }
    }
}

impl<'a> FromValue<'a> for Vec<u8> {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        match of(value, column, &[oid::BYTEA], "bytes")? {
            (bytes, false) => Ok(bytes.into()),
            (text, true) => super::text::bytea(text).ok_or(Mismatch::Malformed),
        }
    }

    fn check(column: Column) -> Result<(), Mismatch> {
        is_text(column, &[oid::BYTEA], "bytes").map(drop)
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

    fn check(column: Column) -> Result<(), Mismatch> {
        is_text(column, &[oid::UUID], "a uuid").map(drop)
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        match value {
            Some(_) => T::from_value(value, column).map(Some),
            None => Ok(None),
        }
    }

    #[inline(always)]
    fn from_value_fast(value: Option<&'a [u8]>, column: Column) -> Option<Self> {
        match value {
            Some(_) => T::from_value_fast(value, column).map(Some),
            None => Some(None),
        }
    }

    fn check(column: Column) -> Result<(), Mismatch> {
        T::check(column)
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

    /// Checks that `value` is encoded as `binary` and as `text`, and that both are decoded as `value`.
    #[track_caller]
    fn both_ways<T>(type_oid: Oid, value: T, binary: &[u8], text: &str)
    where
        T: Bindable + AsTextForm + for<'a> FromValue<'a> + PartialEq + Debug,
    {
        assert_eq!(value.bound().as_bytes(), Some(binary));
        let back = T::from_value(Some(binary), column(type_oid, FormatCode::Binary));
        assert_eq!(back.expect("the binary form is valid"), value);
        let written = value.as_text();
        assert_eq!(written.bound().as_bytes(), Some(text.as_bytes()));
        assert_eq!(written.bound().format(), Some(FormatCode::Text));
        let back = T::from_value(Some(text.as_bytes()), column(type_oid, FormatCode::Text));
        assert_eq!(back.expect("the text form is valid"), value);
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

    /// Checks that the fast path returns the value of `from_value`, or leaves the value to `from_value`. Returns whether the fast path
    /// returned a value.
    fn fast_path_agrees<'a, T: FromValue<'a> + Debug>(value: Option<&'a [u8]>, column: Column) -> bool {
        let Some(fast) = T::from_value_fast(value, column) else { return false };
        let slow = T::from_value(value, column).expect("the fast path has returned a value");
        // `Debug` is compared, because NaN is not equal to NaN.
        assert_eq!(std::format!("{fast:?}"), std::format!("{slow:?}"), "{value:?} {column:?}");
        true
    }

    #[test]
    fn the_fast_path_returns_the_same_values_as_the_slow_path() {
        let texts = [
            "0",
            "-0",
            "-",
            "",
            "+7",
            "42",
            "-32769",
            "2147483648",
            "999999999999999999",
            "1000000000000000000",
        ];
        let more = ["4294967295", "-1.5e0", "NaN", "inf", "1e400", "4 ", "caf\u{e9}"];
        let binary: [&[u8]; 8] = [
            b"\xff",
            b"\xff\xfe",
            b"\xff\xff",
            b"\0\0\0\x07",
            b"\xff\xff\xff\xff",
            &[0xff; 8],
            &[0; 8],
            b"\x7f\xc0\0\0",
        ];
        let values = texts.iter().chain(&more).map(|text| text.as_bytes()).chain(binary);
        let types = [
            0,
            oid::INT2,
            oid::INT4,
            oid::INT8,
            oid::OID,
            oid::XID8,
            oid::FLOAT4,
            oid::FLOAT8,
            oid::TEXT,
            oid::VARCHAR,
            oid::JSONB,
        ];
        let mut fast = 0;
        for value in values.map(Some).chain([None]) {
            for type_oid in types.into_iter().chain([oid::UNKNOWN, oid::REGCLASS, 16_384]) {
                for format in [FormatCode::Text, FormatCode::Binary, FormatCode::Other(2)] {
                    let column = column(type_oid, format);
                    fast += u32::from(fast_path_agrees::<i16>(value, column));
                    fast += u32::from(fast_path_agrees::<i32>(value, column));
                    fast += u32::from(fast_path_agrees::<i64>(value, column));
                    fast += u32::from(fast_path_agrees::<u32>(value, column));
                    fast += u32::from(fast_path_agrees::<u64>(value, column));
                    fast += u32::from(fast_path_agrees::<f32>(value, column));
                    fast += u32::from(fast_path_agrees::<f64>(value, column));
                    fast += u32::from(fast_path_agrees::<&str>(value, column));
                    fast += u32::from(fast_path_agrees::<Option<String>>(value, column));
                }
            }
        }
        assert!(fast > 500, "the fast path returned {fast} values");
    }

    #[test]
    fn infinities_and_nan_are_encoded_and_decoded_as_text() {
        for (value, text) in [(f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf"), (f64::NAN, "NaN")] {
            assert_eq!(AsText::from(value).as_str(), text);
        }
        let text = column(oid::FLOAT8, FormatCode::Text);
        // Checks that the texts that PostgreSQL writes for infinity and NaN are read. (Rust itself writes `inf` instead of `Infinity`.)
        assert_eq!(f64::from_value(Some(b"Infinity"), text).expect("a float"), f64::INFINITY);
        assert_eq!(f64::from_value(Some(b"-Infinity"), text).expect("a float"), f64::NEG_INFINITY);
        assert!(f64::from_value(Some(b"NaN"), text).expect("a float").is_nan());
    }

    #[test]
    fn a_number_is_read_as_a_wider_type_but_never_truncated() {
        let int8 = column(oid::INT8, FormatCode::Binary);
        let big = (1i64 << 40).to_be_bytes();
        assert!(matches!(i32::from_value(Some(&big), int8), Err(Mismatch::Range { wanted: "an i32" })));
        assert_eq!(i16::from_value(Some(&7i64.to_be_bytes()), int8).expect("7 fits"), 7);
        let int2 = column(oid::INT2, FormatCode::Binary);
        assert_eq!(i64::from_value(Some(b"\xff\xff"), int2).expect("the wider type can hold the number"), -1);
        let oid = column(oid::OID, FormatCode::Binary);
        assert_eq!(
            i64::from_value(Some(b"\xff\xff\xff\xff"), oid).expect("the wider type can hold the number"),
            4_294_967_295
        );
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
    fn a_float4_is_the_same_number_in_both_formats() {
        let binary = f64::from_value(Some(&0.1f32.to_be_bytes()), column(oid::FLOAT4, FormatCode::Binary));
        let text = f64::from_value(Some(b"0.1"), column(oid::FLOAT4, FormatCode::Text));
        assert_eq!(text.expect("a number").to_bits(), binary.expect("a number").to_bits());
        let wide = f64::from_value(Some(b"0.1"), column(oid::FLOAT8, FormatCode::Text));
        assert_eq!(wide.expect("a number").to_bits(), 0.1f64.to_bits());
    }

    #[test]
    fn system_types_such_as_xid_and_pg_lsn_are_read_as_numbers_in_both_formats() {
        let reads = |type_oid, binary: &[u8], text: &str, number: u64| {
            for (format, bytes) in [(FormatCode::Binary, binary), (FormatCode::Text, text.as_bytes())] {
                let read = u64::from_value(Some(bytes), column(type_oid, format));
                assert_eq!(read.expect("a number"), number, "{text} {format:?}");
            }
        };
        reads(oid::XID, b"\xff\xff\xff\xff", "4294967295", 0xffff_ffff);
        reads(oid::CID, b"\0\0\0\x7b", "123", 123);
        reads(oid::XID8, &u64::MAX.to_be_bytes(), "18446744073709551615", u64::MAX);
        reads(oid::PG_LSN, b"\0\0\0\x16\xb3\x74\xd8\x48", "16/B374D848", 0x16_b374_d848);
        // PostgreSQL writes a `regclass` in text format as a number if no table has this oid.
        reads(oid::REGCLASS, b"\0\0\x04\xeb", "1259", 1259);
        let lsn = |text: &[u8]| i64::from_value(Some(text), column(oid::PG_LSN, FormatCode::Text));
        assert_eq!(lsn(b"0/0").expect("a position"), 0);
        assert!(matches!(lsn(b"FFFFFFFF/FFFFFFFF"), Err(Mismatch::Range { wanted: "an i64" })));
        for wrong in [&b""[..], b"/", b"1", b"1/", b"/1", b"1/2/3", b"+1/2", b"-1/2", b"100000000/0", b"g/0"]
        {
            assert!(matches!(lsn(wrong), Err(Mismatch::Malformed)), "{wrong:?}");
        }
        let class = |bytes, format| u32::from_value(Some(bytes), column(oid::REGCLASS, format));
        assert!(matches!(class(b"pg_class", FormatCode::Text), Err(Mismatch::Type { wanted: "a u32" })));
        assert!(matches!(class(b"\0\0\0", FormatCode::Binary), Err(Mismatch::Malformed)));
        for type_oid in oid::OBJECTS {
            let read = u32::from_value(Some(b"\0\0\0\x0a"), column(*type_oid, FormatCode::Binary));
            assert_eq!(read.expect("an oid"), 10, "{type_oid}");
        }
    }

    #[test]
    fn types_whose_binary_form_is_text_are_strings() {
        let read = |type_oid, bytes| <&str>::from_value(Some(bytes), column(type_oid, FormatCode::Binary));
        for (type_oid, bytes, text) in [
            (oid::CHAR, &b"r"[..], "r"),
            (oid::CHAR, b"\0", ""),
            (oid::REFCURSOR, b"c1", "c1"),
            (oid::CSTRING, b"x", "x"),
            (oid::VOID, b"", ""),
            (oid::UNKNOWN, b"1234", "1234"),
            (oid::JSON, b"{}", "{}"),
            (oid::JSONB, b"\x01{}", "{}"),
            (oid::JSONPATH, b"\x01$", "$"),
        ] {
            assert_eq!(read(type_oid, bytes).expect("text"), text, "{type_oid}");
        }
        for (type_oid, bytes) in
            [(oid::CHAR, &b""[..]), (oid::CHAR, b"ab"), (oid::JSONB, b"{}"), (oid::JSONB, b"")]
        {
            assert!(matches!(read(type_oid, bytes), Err(Mismatch::Malformed)), "{type_oid} {bytes:?}");
        }
        assert!(matches!(read(oid::CHAR, b"\xff"), Err(Mismatch::Utf8)));
        // A literal without a cast has the type `unknown`, which is text in both formats.
        let literal = i32::from_value(Some(b"1234"), column(oid::UNKNOWN, FormatCode::Binary));
        assert_eq!(literal.expect("a number"), 1234);
    }

    #[test]
    fn a_value_of_unknown_type_is_read_by_its_length() {
        let unknown = column(0, FormatCode::Binary);
        assert_eq!(i64::from_value(Some(b"\0\x01"), unknown).expect("two bytes"), 1);
        assert_eq!(i64::from_value(Some(b"\0\0\0\0\0\0\0\x01"), unknown).expect("eight bytes"), 1);
        assert!(matches!(i64::from_value(Some(b"abc"), unknown), Err(Mismatch::Malformed)));
    }
}
