//! Converts values from the text form or the binary form to JSON. The type of the column determines the JSON:
//!
//! | type | JSON |
//! | --- | --- |
//! | NULL | `null` |
//! | `bool` | `true`, `false` |
//! | `int2`, `int4`, `oid` | number |
//! | `int8` | number from -2^53 to 2^53, else string |
//! | `float4`, `float8` | number with the fewest digits that give the same value; string for NaN and infinity |
//! | `numeric` | number if it has at most 15 significant digits, else string |
//! | `bytea` | string `\x00ff` |
//! | domain | as its base type |
//! | all others | string in the text form of the server |
//!
//! So a program that reads numbers as IEEE 754 doubles loses no digit. The text form and the binary form of a value give the same JSON,
//! with one exception: a binary value of a type that this program does not know (geometric types, base types of extensions) becomes a
//! string of the form `\x00ff`.

mod binary;
mod container;
mod network;
mod number;
mod time;
mod types;

use std::fmt;

use pg_wire::oid;
use pg_wire::oid::Oid;
use pg_wire::replication::pgoutput::TupleValue;

use crate::line::{hex, put, string};
pub(crate) use types::Types;

/// Largest number up to which a double represents every integer exactly.
const LARGEST_EXACT: u64 = 1 << 53;

/// Number of significant decimal digits that a double always preserves.
const EXACT_DIGITS: usize = 15;

/// Reason why a value cannot be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueError {
    /// The text form of the value is not UTF-8.
    NotUtf8,
    /// The bytes of the value are not a valid binary form of its type.
    Malformed,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "is not UTF-8, but the output has to be UTF-8",
            Self::Malformed => "is not a valid binary form of its type",
        })
    }
}

/// Appends a value as JSON. For [`TupleValue::Unchanged`], which contains no value, appends `null`.
pub(crate) fn put_value(
    out: &mut Vec<u8>,
    value: TupleValue<'_>,
    type_oid: Oid,
    types: &Types,
) -> Result<(), ValueError> {
    let base = types.base(type_oid);
    match value {
        TupleValue::Null | TupleValue::Unchanged => {
            out.extend_from_slice(b"null");
            Ok(())
        }
        TupleValue::Text(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| ValueError::NotUtf8)?;
            put_text(out, text, base);
            Ok(())
        }
        TupleValue::Binary(bytes) => put_binary(out, bytes, base, types),
    }
}

fn put_text(out: &mut Vec<u8>, text: &str, base: Oid) {
    let is_number = match base {
        oid::BOOL => {
            match text {
                "t" => out.extend_from_slice(b"true"),
                "f" => out.extend_from_slice(b"false"),
                _ => string(out, text),
            }
            return;
        }
        oid::FLOAT4 => return put_float(out, text, text.parse::<f32>().unwrap_or(f32::NAN).into(), false),
        oid::FLOAT8 => return put_float(out, text, text.parse().unwrap_or(f64::NAN), true),
        oid::INT2 | oid::INT4 | oid::OID => text.parse::<i64>().is_ok(),
        oid::INT8 => text.parse::<i64>().is_ok_and(|number| number.unsigned_abs() <= LARGEST_EXACT),
        oid::NUMERIC => is_exact(text),
        _ => false,
    };
    if is_number {
        out.extend_from_slice(text.as_bytes());
    } else {
        string(out, text);
    }
}

/// Appends a finite number with the fewest digits that give the same value. For NaN and infinity, appends `text` as a string.
fn put_float(out: &mut Vec<u8>, text: &str, number: f64, wide: bool) {
    // Writing a finite number to a vector does not fail.
    let _ = match number.is_finite() {
        true if wide => serde_json::to_writer(&mut *out, &number),
        // The conversion to `f32` is exact: the number was a `float4`.
        true => serde_json::to_writer(&mut *out, &(number as f32)),
        false => serde_json::to_writer(&mut *out, text),
    };
}

/// Whether a `numeric` has so few significant digits that a double preserves them.
fn is_exact(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || digits.len() > 200 {
        return false;
    }
    let significant = digits.trim_start_matches(['0', '.']);
    let significant = if digits.contains('.') { significant.trim_end_matches('0') } else { significant };
    let significant = significant.trim_end_matches('.').trim_end_matches('0');
    significant.bytes().filter(u8::is_ascii_digit).count() <= EXACT_DIGITS
}

fn put_binary(out: &mut Vec<u8>, bytes: &[u8], base: Oid, types: &Types) -> Result<(), ValueError> {
    let mut text = String::new();
    match base {
        oid::BOOL | oid::INT2 | oid::INT4 | oid::INT8 | oid::OID | oid::NUMERIC => {
            binary::text(&mut text, bytes, base, types)?;
            put_text(out, &text, base);
        }
        oid::FLOAT4 | oid::FLOAT8 => {
            let wide = base == oid::FLOAT8;
            let number = number::float(bytes, wide)?;
            number::put_float(&mut text, number, wide);
            put_float(out, &text, number, wide);
        }
        // Fast path for `\x00ff`: only the backslash needs an escape in JSON.
        oid::BYTEA => put(out, format_args!("\"\\{}\"", hex(bytes))),
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::JSON | oid::XML => {
            string(out, std::str::from_utf8(bytes).map_err(|_| ValueError::NotUtf8)?);
        }
        _ => {
            if !binary::text(&mut text, bytes, base, types)? {
                text.clear();
                text.push_str(&hex(bytes));
            }
            string(out, &text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: TupleValue<'_>, type_oid: Oid) -> String {
        let mut out = Vec::new();
        put_value(&mut out, value, type_oid, &Types::default()).expect("it can be printed");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn text_values_are_typed() {
        for (text, type_oid, expected) in [
            ("t", oid::BOOL, "true"),
            ("f", oid::BOOL, "false"),
            ("-7", oid::INT2, "-7"),
            ("4294967295", oid::OID, "4294967295"),
            ("9007199254740992", oid::INT8, "9007199254740992"),
            ("9007199254740993", oid::INT8, "\"9007199254740993\""),
            ("-9223372036854775808", oid::INT8, "\"-9223372036854775808\""),
            ("0.1", oid::FLOAT4, "0.1"),
            ("1e+20", oid::FLOAT8, "1e+20"),
            ("-0", oid::FLOAT8, "-0.0"),
            ("NaN", oid::FLOAT8, "\"NaN\""),
            ("-Infinity", oid::FLOAT4, "\"-Infinity\""),
            ("1.50", oid::NUMERIC, "1.50"),
            ("0.000000000000000000001", oid::NUMERIC, "0.000000000000000000001"),
            ("100000000000000000000", oid::NUMERIC, "100000000000000000000"),
            ("123456789012345", oid::NUMERIC, "123456789012345"),
            ("1234567890123456", oid::NUMERIC, "\"1234567890123456\""),
            ("123456789.0123456", oid::NUMERIC, "\"123456789.0123456\""),
            ("NaN", oid::NUMERIC, "\"NaN\""),
            ("\\x00ff", oid::BYTEA, "\"\\\\x00ff\""),
            ("caf\u{e9}\t\"", oid::TEXT, "\"caf\u{e9}\\t\\\"\""),
            ("{1,2}", oid::INT4_ARRAY, "\"{1,2}\""),
            ("{\"a\": 1}", oid::JSONB, "\"{\\\"a\\\": 1}\""),
        ] {
            assert_eq!(json(TupleValue::Text(text.as_bytes()), type_oid), expected, "{text}");
        }
        assert_eq!(json(TupleValue::Null, oid::INT4), "null");
    }

    #[test]
    fn binary_values_have_the_same_json_as_text_values() {
        for (bytes, type_oid, expected) in [
            (&b"\x01"[..], oid::BOOL, "true"),
            (b"\xff\xf9", oid::INT2, "-7"),
            (b"\xff\xff\xff\xff", oid::OID, "4294967295"),
            (b"\0\x20\0\0\0\0\0\x01", oid::INT8, "\"9007199254740993\""),
            (&0.1f32.to_be_bytes(), oid::FLOAT4, "0.1"),
            (&1e20f64.to_be_bytes(), oid::FLOAT8, "1e+20"),
            (&f64::NAN.to_be_bytes(), oid::FLOAT8, "\"NaN\""),
            (&f32::NEG_INFINITY.to_be_bytes(), oid::FLOAT4, "\"-Infinity\""),
            (b"\0\xff", oid::BYTEA, "\"\\\\x00ff\""),
            (b"caf\xc3\xa9", oid::TEXT, "\"caf\u{e9}\""),
            (b"\x01{}", oid::JSONB, "\"{}\""),
            (b"\0\x01", oid::POINT, "\"\\\\x0001\""),
        ] {
            assert_eq!(json(TupleValue::Binary(bytes), type_oid), expected, "{bytes:?}");
        }
    }

    #[test]
    fn values_that_cannot_be_printed_are_errors() {
        let error = |value, type_oid| put_value(&mut Vec::new(), value, type_oid, &Types::default());
        assert_eq!(error(TupleValue::Text(b"\xff"), oid::TEXT), Err(ValueError::NotUtf8));
        assert_eq!(error(TupleValue::Binary(b"\xff"), oid::TEXT), Err(ValueError::NotUtf8));
        assert_eq!(error(TupleValue::Binary(b"\0"), oid::INT4), Err(ValueError::Malformed));
        assert_eq!(error(TupleValue::Binary(b"\0"), oid::NUMERIC), Err(ValueError::Malformed));
    }
}
