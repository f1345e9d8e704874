//! Conversion of the types that have no members, such as `int4` and `uuid`.

use alloc::vec::Vec;

use postgres_types::{Kind, Type};

use crate::basic::enums::FormatCode;
use crate::basic::oid::{self, Oid};
use crate::value::convert::cursor::Cursor;
use crate::value::convert::geometry;
use crate::value::convert::network;
use crate::value::convert::number;
use crate::value::convert::out::{NULL, append, count, sized};
use crate::value::convert::search;
use crate::value::convert::time;
use crate::value::scalar::{TEXTS, VERSION};
use crate::value::{Column, FromValue, Mismatch, text};

/// A function that reads a value in text form, and appends its binary form.
pub(super) type Converter = fn(&mut Cursor<'_>, &mut Vec<u8>) -> Result<(), Mismatch>;

/// Converts a value of a type that has no members: reads its text form, and appends its binary form.
pub(super) fn value(type_: &Type, mut text: Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let convert = converter(type_)?;
    convert(&mut text, out).and_then(|()| text.end()).map_err(|error| match ambiguity(type_) {
        Some(reason) => unreadable(type_, reason),
        None => error,
    })
}

fn unreadable(type_: &Type, reason: &'static str) -> Mismatch {
    Mismatch::Text { type_name: type_.name().into(), reason }
}

/// Returns the reason why the conversion of a valid value of the type can fail, such as a session setting that changes the text form.
/// Returns `None` for a type whose valid values are all converted.
fn ambiguity(type_: &Type) -> Option<&'static str> {
    match *type_ {
        Type::DATE | Type::TIMESTAMP | Type::TIMESTAMPTZ => Some("is not in the DateStyle ISO"),
        Type::INTERVAL => Some("is not in the IntervalStyle postgres"),
        _ if oid::OBJECTS.contains(&type_.oid()) => Some("is not a number: a name has no known oid"),
        _ => None,
    }
}

/// Whether the bytes of the binary form and of the text form are the same.
pub(super) fn is_text(type_: &Type) -> bool {
    TEXTS.contains(&type_.oid())
        || *type_ == Type::UNKNOWN
        || matches!(type_.kind(), Kind::Enum(_))
        || is_extension(type_, &["citext"])
}

/// Whether the type belongs to an extension and has one of these names. A type of an extension is identified by its name, because its oid
/// differs between databases.
fn is_extension(type_: &Type, names: &[&str]) -> bool {
    *type_.kind() == Kind::Simple && names.contains(&type_.name()) && Type::from_oid(type_.oid()).is_none()
}

/// Returns the converter of a type.
pub(super) fn converter(type_: &Type) -> Result<Converter, Mismatch> {
    Ok(match *type_ {
        Type::BOOL => |text, out| append(out, [u8::from(read::<bool>(text, oid::BOOL)?)]),
        Type::INT2 => |text, out| append(out, read::<i16>(text, oid::INT2)?.to_be_bytes()),
        Type::INT4 => |text, out| append(out, read::<i32>(text, oid::INT4)?.to_be_bytes()),
        Type::INT8 => |text, out| append(out, read::<i64>(text, oid::INT8)?.to_be_bytes()),
        Type::FLOAT4 => |text, out| append(out, read::<f32>(text, oid::FLOAT4)?.to_be_bytes()),
        Type::FLOAT8 => |text, out| append(out, read::<f64>(text, oid::FLOAT8)?.to_be_bytes()),
        Type::OID | Type::XID | Type::CID => {
            |text, out| append(out, read::<u32>(text, oid::OID)?.to_be_bytes())
        }
        Type::XID8 => |text, out| append(out, read::<u64>(text, oid::XID8)?.to_be_bytes()),
        Type::PG_LSN => |text, out| append(out, read::<u64>(text, oid::PG_LSN)?.to_be_bytes()),
        Type::BYTEA => |text, out| append(out, read::<Vec<u8>>(text, oid::BYTEA)?),
        Type::JSONB | Type::JSONPATH => versioned,
        Type::CHAR => char,
        Type::UUID => uuid,
        Type::TID => tid,
        Type::PG_SNAPSHOT | Type::TXID_SNAPSHOT => snapshot,
        Type::NUMERIC => number::numeric,
        Type::BIT | Type::VARBIT => number::bits,
        Type::DATE => time::date,
        Type::TIME => time::time,
        Type::TIMETZ => time::timetz,
        Type::TIMESTAMP => time::timestamp,
        Type::TIMESTAMPTZ => time::timestamptz,
        Type::INTERVAL => time::interval,
        Type::INET => network::inet,
        Type::CIDR => network::cidr,
        Type::MACADDR => network::mac::<6>,
        Type::MACADDR8 => network::mac::<8>,
        Type::POINT => geometry::point,
        Type::LINE => geometry::line,
        Type::LSEG => geometry::segment,
        Type::BOX => geometry::rectangle,
        Type::PATH => geometry::path,
        Type::POLYGON => geometry::polygon,
        Type::CIRCLE => geometry::circle,
        Type::TS_VECTOR => search::tsvector,
        _ if is_text(type_) => |text, out| append(out, text.rest()),
        _ if oid::OBJECTS.contains(&type_.oid()) => |text, out| {
            // The server writes `-` for the oid 0. An object with the name `-` is written in quotes.
            let number = if text.skip(b"-") { 0 } else { read::<u32>(text, oid::OID)? };
            append(out, number.to_be_bytes())
        },
        _ if is_extension(type_, &["ltree", "lquery", "ltxtquery"]) => versioned,
        _ if is_extension(type_, &["hstore"]) => hstore,
        _ => return Err(unreadable(type_, "cannot be converted to the binary form")),
    })
}

/// Reads the rest of the text with the `FromValue` of `T`.
fn read<'t, T: FromValue<'t>>(text: &mut Cursor<'t>, type_oid: Oid) -> Result<T, Mismatch> {
    let column = Column { type_oid, format: FormatCode::Text };
    T::from_value(Some(text.rest()), column).map_err(|_| Mismatch::Malformed)
}

/// Converts a type whose binary form is a version byte and then the text.
fn versioned(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    out.push(VERSION);
    append(out, text.rest())
}

/// Converts a `"char"`, which is one byte. A server writes byte 0 as an empty string. PostgreSQL 16 and later write a byte above 127 as an
/// octal escape, such as `\377`.
fn char(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let text = text.rest();
    match (text, text::bytea(text).as_deref()) {
        ([], _) => append(out, [0]),
        ([byte], _) | ([b'\\', b'0'..=b'3', _, _], Some([byte])) => append(out, [*byte]),
        _ => Err(Mismatch::Malformed),
    }
}

/// Converts a `uuid`: `a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11`. The parser of the `uuid` crate is not used, because the feature `uuid` may be
/// disabled.
fn uuid(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    for index in 0..16 {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.expect(b"-")?;
        }
        out.push(text.hex_byte()?);
    }
    Ok(())
}

/// Converts a `tid`, which is the number of a block and the number of an item in the block: `(0,1)`.
fn tid(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    text.expect(b"(")?;
    out.extend(text.integer::<u32>()?.to_be_bytes());
    text.expect(b",")?;
    out.extend(text.integer::<u16>()?.to_be_bytes());
    text.expect(b")")
}

/// Converts a snapshot such as `10:20:10,14,15`. Its three parts are the lowest transaction, the highest transaction, and the list of the
/// running transactions between the two.
fn snapshot(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let lowest: i64 = text.integer()?;
    text.expect(b":")?;
    let highest: i64 = text.integer()?;
    text.expect(b":")?;
    let mut running = Vec::new();
    while !text.0.is_empty() {
        if !running.is_empty() {
            text.expect(b",")?;
        }
        running.push(text.integer::<i64>()?.to_be_bytes());
    }
    out.extend(count(running.len())?);
    out.extend([lowest, highest].map(i64::to_be_bytes).as_flattened());
    append(out, running.as_flattened())
}

/// Converts an `hstore`: `"key"=>"value", "other"=>NULL`.
fn hstore(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let mut pairs = Vec::new();
    let mut length = 0;
    while !text.0.is_empty() {
        if length > 0 {
            text.expect(b", ")?;
        }
        let key = text.quoted(b'"', false)?;
        sized(&mut pairs, |out| append(out, key))?;
        text.expect(b"=>")?;
        if text.skip(b"NULL") {
            pairs.extend(NULL);
        } else {
            let value = text.quoted(b'"', false)?;
            sized(&mut pairs, |out| append(out, value))?;
        }
        length += 1;
    }
    out.extend(count(length)?);
    append(out, pairs)
}
