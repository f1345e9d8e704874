//! Converts values from the text form to the binary form, for `postgres_types::FromSql`, which reads only the binary form.
//!
//! Only the text form that a server sends for a value is converted. Other text forms are errors, even if a server accepts them as input,
//! such as an array with spaces between its elements. The resulting binary form has the same bytes as the binary form that a server sends.
//!
//! The text cannot make the recursion deep. Each level follows a reference from a type to the type of its members, so the type determines
//! the depth. Only the number of dimensions of an array depends on the text, and this number is limited.

mod base;
mod cursor;
mod geometry;
mod network;
mod number;
mod out;
mod search;
mod time;

use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;

use postgres_types::{Field, Kind, Type};

use super::Mismatch;
use super::sound::{MOST_DIMENSIONS, range_flags};
use cursor::Cursor;
use out::{NULL, count, sized};

/// Checks that the text form of the type can be converted.
pub(super) fn check(type_: &Type) -> Result<(), Mismatch> {
    match type_.kind() {
        Kind::Array(member) | Kind::Range(member) | Kind::Multirange(member) | Kind::Domain(member) => {
            check(member)
        }
        Kind::Composite(fields) => fields.iter().try_for_each(|field| check(field.type_())),
        _ => base::converter(type_).map(drop),
    }
}

/// Whether the bytes of a value are the same in text format and in binary format.
pub(super) fn is_same_in_both_formats(type_: &Type) -> bool {
    match type_.kind() {
        Kind::Domain(base) => is_same_in_both_formats(base),
        _ => base::is_text(type_),
    }
}

/// Returns the binary form of a value in text form.
///
/// # Errors
/// - [`Mismatch::Text`] for a type that cannot be converted, and for a text that depends on settings of the session.
/// - [`Mismatch::Malformed`] for any other text that is not a value of the type.
pub(super) fn to_binary(type_: &Type, text: &[u8]) -> Result<Vec<u8>, Mismatch> {
    let mut out = Vec::new();
    value(type_, text, &mut out)?;
    Ok(out)
}

/// Appends the binary form of a value.
fn value(type_: &Type, text: &[u8], out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let mut text = Cursor(text);
    match type_.kind() {
        Kind::Array(member) if matches!(*type_, Type::INT2_VECTOR | Type::OID_VECTOR) => {
            vector(&mut text, member, out)?
        }
        Kind::Array(member) => array(&mut text, member, out)?,
        Kind::Range(member) => range(&mut text, member, out)?,
        Kind::Multirange(member) => multirange(&mut text, member, out)?,
        Kind::Composite(fields) => composite(&mut text, fields, out)?,
        Kind::Domain(base) => return value(base, text.0, out),
        _ => return base::value(type_, text, out),
    }
    text.end()
}

/// Appends the Int32 length and the binary form of a value that is a member of another value.
fn sized_value(type_: &Type, text: &[u8], out: &mut Vec<u8>) -> Result<(), Mismatch> {
    sized(out, |out| value(type_, text, out))
}

/// Converts an array: `{1,NULL}`, `{{a},{"b c"}}`, or with lower bounds `[0:1]={1,2}`.
fn array(text: &mut Cursor<'_>, member: &Type, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    if text.skip(b"{}") {
        let [dimensions, has_null] = [0, 0];
        out.extend([dimensions, has_null, member.oid()].map(u32::to_be_bytes).as_flattened());
        return Ok(());
    }
    let bounds = bounds(text)?;
    let dimensions = text.0.iter().take_while(|byte| **byte == b'{').count();
    if dimensions > MOST_DIMENSIONS.into() || !(bounds.is_empty() || bounds.len() == dimensions) {
        return Err(Mismatch::Malformed);
    }
    let mut lengths = vec![None; dimensions];
    let mut elements = Elements { member, delimiter: delimiter(member), has_null: false, out: Vec::new() };
    elements.list(text, &mut lengths)?;

    out.extend(count(dimensions)?);
    out.extend(u32::from(elements.has_null).to_be_bytes());
    out.extend(member.oid().to_be_bytes());
    for (dimension, length) in lengths.iter().enumerate() {
        let length = i32::try_from(length.unwrap_or_default()).map_err(|_| Mismatch::Malformed)?;
        let (lower, upper) = bounds.get(dimension).copied().unwrap_or((1, length));
        if upper.checked_sub(lower).and_then(|distance| distance.checked_add(1)) != Some(length) {
            return Err(Mismatch::Malformed);
        }
        out.extend([length.to_be_bytes(), lower.to_be_bytes()].as_flattened());
    }
    out.extend(elements.out);
    Ok(())
}

/// Reads the lower and the upper bound of each dimension: `[0:1][-1:5]=`. Returns no bounds if the text does not begin with bounds.
fn bounds(text: &mut Cursor<'_>) -> Result<Vec<(i32, i32)>, Mismatch> {
    let mut bounds = Vec::new();
    while bounds.len() < MOST_DIMENSIONS.into() && text.skip(b"[") {
        let lower = text.integer()?;
        text.expect(b":")?;
        bounds.push((lower, text.integer()?));
        text.expect(b"]")?;
    }
    if !bounds.is_empty() {
        text.expect(b"=")?;
    }
    Ok(bounds)
}

/// Returns the byte between two elements of an array: `typdelim` in `pg_type`. The byte is a comma, except for `box`.
fn delimiter(member: &Type) -> u8 {
    match member.kind() {
        Kind::Domain(base) => delimiter(base),
        // An array of arrays exists only as an array of a domain over an array.
        Kind::Array(member) => delimiter(member),
        _ if *member == Type::BOX => b';',
        _ => b',',
    }
}

/// The elements of an array, in binary form.
struct Elements<'m> {
    member: &'m Type,
    delimiter: u8,
    has_null: bool,
    out: Vec<u8>,
}

impl Elements<'_> {
    /// Converts the list of one dimension. `lengths` are the lengths of this dimension and of the dimensions within it. A length is `None`
    /// until the first list of the dimension has ended; all lists of a dimension must have the same length.
    fn list(&mut self, text: &mut Cursor<'_>, lengths: &mut [Option<usize>]) -> Result<(), Mismatch> {
        let Some((expected, inner)) = lengths.split_first_mut() else { return Err(Mismatch::Malformed) };
        text.expect(b"{")?;
        let mut length = 0;
        loop {
            if inner.is_empty() {
                self.element(text)?
            } else {
                self.list(text, inner)?
            }
            length += 1;
            if !text.skip(&[self.delimiter]) {
                break;
            }
        }
        text.expect(b"}")?;
        if *expected.get_or_insert(length) == length { Ok(()) } else { Err(Mismatch::Malformed) }
    }

    fn element(&mut self, text: &mut Cursor<'_>) -> Result<(), Mismatch> {
        if text.peek() == Some(b'"') {
            return sized_value(self.member, &text.quoted(b'"', false)?, &mut self.out);
        }
        let delimiter = self.delimiter;
        let word = text.take_while(|byte| byte != delimiter && !is_special(byte, b"{}"));
        if word.is_empty() {
            return Err(Mismatch::Malformed);
        }
        if word.eq_ignore_ascii_case(b"NULL") {
            self.has_null = true;
            self.out.extend(NULL);
            return Ok(());
        }
        sized_value(self.member, word, &mut self.out)
    }
}

/// Whether this byte makes a server enclose a text in quotes: white space, quotes, backslashes, and the bytes in `syntax`.
fn is_special(byte: u8, syntax: &[u8]) -> bool {
    matches!(byte, b'"' | b'\\' | b' ' | b'\t'..=b'\r') || syntax.contains(&byte)
}

/// Converts an `int2vector` or an `oidvector`: `1 2 3`. Both types are arrays whose text form has no braces and whose lower bound is 0.
fn vector(text: &mut Cursor<'_>, member: &Type, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let mut elements = Vec::new();
    let mut length = 0;
    while !text.0.is_empty() {
        if length > 0 {
            text.expect(b" ")?;
        }
        sized_value(member, text.take_while(|byte| byte != b' '), &mut elements)?;
        length += 1;
    }
    let [dimensions, has_null] = [1, 0];
    out.extend([dimensions, has_null, member.oid()].map(u32::to_be_bytes).as_flattened());
    out.extend([count(length)?, 0u32.to_be_bytes()].as_flattened());
    out.extend(elements);
    Ok(())
}

/// Converts a composite: `(1,"a ""b""",)`.
fn composite(text: &mut Cursor<'_>, fields: &[Field], out: &mut Vec<u8>) -> Result<(), Mismatch> {
    text.expect(b"(")?;
    out.extend(count(fields.len())?);
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            text.expect(b",")?;
        }
        out.extend(field.type_().oid().to_be_bytes());
        match part(text, b"(),")? {
            Some(value) => sized_value(field.type_(), &value, out)?,
            None => out.extend(NULL),
        }
    }
    text.expect(b")")
}

/// Reads a field of a composite, or a bound of a range, up to a byte in `syntax`. Returns `None` if there is no text, not even quotes. Such
/// a field is NULL, and such a bound is infinite.
fn part<'t>(text: &mut Cursor<'t>, syntax: &[u8]) -> Result<Option<Cow<'t, [u8]>>, Mismatch> {
    if text.peek() == Some(b'"') {
        return text.quoted(b'"', true).map(Some);
    }
    let word = text.take_while(|byte| !is_special(byte, syntax));
    Ok((!word.is_empty()).then_some(Cow::Borrowed(word)))
}

/// Converts a range: `[1,5)`, `(,"a b"]`, `empty`.
fn range(text: &mut Cursor<'_>, member: &Type, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    const SYNTAX: &[u8] = b"()[],";
    if text.skip(b"empty") {
        out.push(range_flags::EMPTY);
        return Ok(());
    }
    let includes_lower = text.either(b'[', b'(')?;
    let lower = part(text, SYNTAX)?;
    text.expect(b",")?;
    let upper = part(text, SYNTAX)?;
    let includes_upper = text.either(b']', b')')?;
    let flag = |bound: &Option<_>, is_included, included, infinite| match bound {
        None => infinite,
        Some(_) if is_included => included,
        Some(_) => 0,
    };
    out.push(
        flag(&lower, includes_lower, range_flags::LOWER_INCLUSIVE, range_flags::LOWER_INFINITE)
            | flag(&upper, includes_upper, range_flags::UPPER_INCLUSIVE, range_flags::UPPER_INFINITE),
    );
    [lower, upper].into_iter().flatten().try_for_each(|bound| sized_value(member, &bound, out))
}

/// Converts a multirange: `{[1,2),[5,9)}`.
fn multirange(text: &mut Cursor<'_>, member: &Type, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let mut ranges = Vec::new();
    let mut length = 0;
    text.expect(b"{")?;
    while !text.skip(b"}") {
        if length > 0 {
            text.expect(b",")?;
        }
        sized(&mut ranges, |out| range(text, member, out))?;
        length += 1;
    }
    out.extend(count(length)?);
    out.extend(ranges);
    Ok(())
}

#[cfg(test)]
mod tests;
