//! Text form of values that contain other values: arrays, composite types, ranges, multiranges.
//!
//! The `put` functions return false if this program does not know the binary form of a contained value.

use pg_wire::oid::Oid;

use super::ValueError;
use super::binary::{Bytes, text};
use super::number::put;
use super::types::Types;

/// Largest number of dimensions of an array (`MAXDIM` in the server).
const DIMENSIONS: i32 = 6;

/// Appends an array. Its binary form:
///
/// - Int32 number of dimensions, Int32 flags, Int32 type of the elements;
/// - for each dimension: Int32 length and Int32 first index;
/// - the elements.
pub(super) fn put_array(out: &mut String, bytes: &mut Bytes<'_>, types: &Types) -> Result<bool, ValueError> {
    let (dimensions, _flags, of) = (bytes.i32()?, bytes.i32()?, bytes.u32()?);
    if !(0..=DIMENSIONS).contains(&dimensions) {
        return Err(ValueError::Malformed);
    }
    let mut lengths = Vec::new();
    let mut bounds = String::new();
    let mut usual = true;
    for _ in 0..dimensions {
        let (length, first) = (bytes.i32()?, bytes.i32()?);
        lengths.push(usize::try_from(length).map_err(|_| ValueError::Malformed)?);
        usual &= first == 1;
        put(&mut bounds, format_args!("[{first}:{}]", i64::from(first) + i64::from(length) - 1));
    }
    if lengths.iter().product::<usize>() == 0 || lengths.is_empty() {
        out.push_str("{}");
        return Ok(true);
    }
    if !usual {
        out.push_str(&bounds);
        out.push('=');
    }
    put_dimension(out, bytes, &lengths, of, types)
}

fn put_dimension(
    out: &mut String,
    bytes: &mut Bytes<'_>,
    lengths: &[usize],
    of: Oid,
    types: &Types,
) -> Result<bool, ValueError> {
    let Some((length, inner)) = lengths.split_first() else { return Ok(true) };
    out.push('{');
    for at in 0..*length {
        if at > 0 {
            out.push(',');
        }
        if inner.is_empty() {
            let Some(value) = bytes.value()? else {
                out.push_str("NULL");
                continue;
            };
            let mut element = String::new();
            if !text(&mut element, value, of, types)? {
                return Ok(false);
            }
            let special = |c: char| matches!(c, '"' | '\\' | '{' | '}' | ',') || is_space(c);
            if element.is_empty() || element.eq_ignore_ascii_case("null") || element.contains(special) {
                put_quoted(out, &element, "\\");
            } else {
                out.push_str(&element);
            }
        } else if !put_dimension(out, bytes, inner, of, types)? {
            return Ok(false);
        }
    }
    out.push('}');
    Ok(true)
}

/// Whether the server counts the character as a space when it prints arrays and composite types (`isspace` in the C locale).
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Appends text in quotation marks. Puts `escape` before each quotation mark in the text, and doubles each backslash.
fn put_quoted(out: &mut String, text: &str, escape: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str(escape),
            '\\' => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out.push('"');
}

/// Appends a composite value. Its binary form: Int32 number of columns; for each column, Int32 type, then the value.
pub(super) fn put_composite(
    out: &mut String,
    bytes: &mut Bytes<'_>,
    types: &Types,
) -> Result<bool, ValueError> {
    out.push('(');
    for at in 0..bytes.i32()? {
        if at > 0 {
            out.push(',');
        }
        let of = bytes.u32()?;
        let Some(value) = bytes.value()? else { continue };
        let mut field = String::new();
        if !text(&mut field, value, of, types)? {
            return Ok(false);
        }
        if field.is_empty() || field.contains(|c| matches!(c, '"' | '\\' | '(' | ')' | ',') || is_space(c)) {
            put_quoted(out, &field, "\"");
        } else {
            out.push_str(&field);
        }
    }
    out.push(')');
    Ok(true)
}

/// Appends a range. Its binary form: a byte of flags, then the lower bound, then the upper bound. A bound is absent if the flags mark it as
/// infinite, or mark the range as empty.
pub(super) fn put_range(
    out: &mut String,
    bytes: &mut Bytes<'_>,
    of: Oid,
    types: &Types,
) -> Result<bool, ValueError> {
    let flags = bytes.u8()?;
    let has = |flag: u8| flags & flag != 0;
    const EMPTY: u8 = 1;
    const LOWER_INCLUSIVE: u8 = 2;
    const UPPER_INCLUSIVE: u8 = 4;
    const LOWER_INFINITE: u8 = 8;
    const UPPER_INFINITE: u8 = 16;
    if has(EMPTY) {
        out.push_str("empty");
        return Ok(true);
    }
    out.push(if has(LOWER_INCLUSIVE) { '[' } else { '(' });
    if !has(LOWER_INFINITE) && !put_bound(out, bytes, of, types)? {
        return Ok(false);
    }
    out.push(',');
    if !has(UPPER_INFINITE) && !put_bound(out, bytes, of, types)? {
        return Ok(false);
    }
    out.push(if has(UPPER_INCLUSIVE) { ']' } else { ')' });
    Ok(true)
}

fn put_bound(out: &mut String, bytes: &mut Bytes<'_>, of: Oid, types: &Types) -> Result<bool, ValueError> {
    let value = bytes.value()?.ok_or(ValueError::Malformed)?;
    let mut bound = String::new();
    if !text(&mut bound, value, of, types)? {
        return Ok(false);
    }
    let special = |c: char| matches!(c, '"' | '\\' | '(' | ')' | '[' | ']' | ',') || is_space(c);
    if bound.is_empty() || bound.contains(special) {
        put_quoted(out, &bound, "\"");
    } else {
        out.push_str(&bound);
    }
    Ok(true)
}

/// Appends a multirange. Its binary form: Int32 number of ranges, then each range as a value with its length.
pub(super) fn put_multirange(
    out: &mut String,
    bytes: &mut Bytes<'_>,
    of: Oid,
    types: &Types,
) -> Result<bool, ValueError> {
    out.push('{');
    for at in 0..bytes.i32()? {
        if at > 0 {
            out.push(',');
        }
        let mut range = Bytes(bytes.value()?.ok_or(ValueError::Malformed)?);
        if !put_range(out, &mut range, of, types)? {
            return Ok(false);
        }
        range.finish()?;
    }
    out.push('}');
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pg_wire::oid;

    fn value(bytes: &[u8]) -> Vec<u8> {
        let length = i32::try_from(bytes.len()).expect("short");
        [&length.to_be_bytes()[..], bytes].concat()
    }

    fn int(number: i32) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    fn shown(parts: &[Vec<u8>], type_oid: Oid) -> String {
        let mut out = String::new();
        assert!(text(&mut out, &parts.concat(), type_oid, &Types::default()).expect("well-formed"));
        out
    }

    #[test]
    fn arrays_are_quoted_as_the_server_quotes_them() {
        let text_oid = int(25);
        let array = [
            int(1),
            int(1),
            text_oid,
            int(5),
            int(1),
            value(b"a"),
            int(-1),
            value(b""),
            value(b"null"),
            value(b"\" \\"),
        ];
        assert_eq!(shown(&array, oid::TEXT_ARRAY), r#"{a,NULL,"","null","\" \\"}"#);
        let array = [int(2), int(0), int(23), int(1), int(0), int(2), int(1), value(&int(1)), value(&int(2))];
        assert_eq!(shown(&array, oid::INT4_ARRAY), "[0:0][1:2]={{1,2}}");
        assert_eq!(shown(&[int(0), int(0), int(23)], oid::INT4_ARRAY), "{}");
    }

    #[test]
    fn composite_values_are_quoted_as_the_server_quotes_them() {
        let row = [
            int(4),
            int(23),
            value(&int(1)),
            int(25),
            int(-1),
            int(25),
            value(b""),
            int(25),
            value(b"a \"b\""),
        ];
        assert_eq!(shown(&row, oid::RECORD), r#"(1,,"","a ""b""")"#);
    }

    #[test]
    fn ranges_have_the_text_form_of_the_server() {
        assert_eq!(shown(&[vec![1]], oid::INT4RANGE), "empty");
        assert_eq!(shown(&[vec![2], value(&int(1)), value(&int(5))], oid::INT4RANGE), "[1,5)");
        assert_eq!(shown(&[vec![8 | 4], value(&int(5))], oid::INT4RANGE), "(,5]");
        let timestamps = [vec![2 | 16], value(&[0; 8])];
        assert_eq!(shown(&timestamps, oid::TSRANGE), "[\"2000-01-01 00:00:00\",)");
        let range = [vec![2], value(&int(1)), value(&int(5))].concat();
        assert_eq!(shown(&[int(2), value(&range), value(&[1])], oid::INT4MULTIRANGE), "{[1,5),empty}");
    }
}
