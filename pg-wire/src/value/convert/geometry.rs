//! Conversion of the geometric types.

use alloc::vec::Vec;

use crate::value::Mismatch;
use crate::value::convert::cursor::{Cursor, parse};
use crate::value::convert::out::count;

fn number(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let number: f64 = parse(text.take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)))?;
    out.extend(number.to_be_bytes());
    Ok(())
}

/// Converts a `point`: `(1.5,-2)`.
pub(super) fn point(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    text.expect(b"(")?;
    number(text, out)?;
    text.expect(b",")?;
    number(text, out)?;
    text.expect(b")")
}

/// Converts a `line`: `{1,-1,0}`.
pub(super) fn line(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    text.expect(b"{")?;
    number(text, out)?;
    text.expect(b",")?;
    number(text, out)?;
    text.expect(b",")?;
    number(text, out)?;
    text.expect(b"}")
}

/// Converts an `lseg`: `[(0,0),(1,1)]`.
pub(super) fn segment(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    text.expect(b"[")?;
    rectangle(text, out)?;
    text.expect(b"]")
}

/// Converts a `box`: `(1,1),(0,0)`.
pub(super) fn rectangle(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    point(text, out)?;
    text.expect(b",")?;
    point(text, out)
}

/// Converts a `path`: `[(0,0),(1,1)]` if it is open, `((0,0),(1,1))` if it is closed.
pub(super) fn path(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let is_closed = text.either(b'(', b'[')?;
    out.push(u8::from(is_closed));
    points(text, out)?;
    text.expect(if is_closed { b")" } else { b"]" })
}

/// Converts a `polygon`: `((0,0),(1,1),(2,0))`.
pub(super) fn polygon(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    text.expect(b"(")?;
    points(text, out)?;
    text.expect(b")")
}

/// Converts one or more points. In the binary form, the number of points precedes the points.
fn points(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let mut points = Vec::new();
    let mut length = 0;
    loop {
        point(text, &mut points)?;
        length += 1;
        if !text.skip(b",") {
            break;
        }
    }
    out.extend(count(length)?);
    out.extend(points);
    Ok(())
}

/// Converts a `circle`: `<(1,2),3>`.
pub(super) fn circle(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    text.expect(b"<")?;
    point(text, out)?;
    text.expect(b",")?;
    number(text, out)?;
    text.expect(b">")
}
