//! Measurements of typed values: each implementation reads the rows as Rust types, and checks lengths and UTF-8.

use anyhow::{Result, bail};
use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use pg_stream_tokio::TokioIo;
use pg_wire::backend::{Backend, DataRow, FieldDescription, RowDescription};
use pg_wire::codec::{List, Values};
use pg_wire::value::{AsText, Columns, FromRow, Sql, SqlRef};
use pg_wire::{Bindable, Connection, Encode, FormatCode, Frame, Inbox, Limits, oid};
use postgres_protocol::message::backend::Message;
use postgres_types::{FromSql, Type};
use tokio::io::AsyncReadExt;

use super::decode::runtime;
use super::hand::{Walk, limit};
use super::source::{Frames, PIECE};
use crate::line::{Line, Target, Who};
use crate::micro::touch::Touch;

/// Returns all measurements of typed values.
pub(crate) fn lines() -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (format, name, target) in [
        (FormatCode::Text, "text", Target::limit(1.15).instructions(0.9)),
        (FormatCode::Binary, "binary", Target::new(1.3, 2.0).instructions(0.95)),
    ] {
        let line = |what: &str, frames: Frames| {
            Line::new(format!("micro: typed row of {what}, {name}"), "row", frames.count, target)
        };
        let four = rows(1, format)?;
        lines.push(
            line("4", four)
                .with(Who::Limit, limit(four, move |walk, touch| hand_rows(walk, touch, 1, format)))
                .with(Who::Ours, ours(four, columns(1, format), add_4))
                .with(Who::Peer("postgres-types"), postgres_types(four, format)),
        );
        lines.push(
            line("4 by recv", four)
                .with(Who::Limit, limit_on_tokio(four, format)?)
                .with(Who::Ours, ours_by_recv(four, columns(1, format))?),
        );
        lines.push(
            line("4 as a struct, by position", four)
                .with(Who::Limit, limit(four, move |walk, touch| hand_rows(walk, touch, 1, format)))
                .with(Who::Ours, ours(four, columns(1, format), add_by_position)),
        );
        let mut prepared = columns(1, format);
        prepared.prepare::<Item<'_>>()?;
        lines.push(
            line("4 as a struct, by name", four)
                .with(Who::Limit, limit(four, move |walk, touch| hand_rows(walk, touch, 1, format)))
                .with(Who::Ours, ours(four, prepared, add_item)),
        );
        if format == FormatCode::Binary {
            let name = "micro: typed row of 4 as postgres-types values, binary";
            lines.push(
                Line::new(name, "row", four.count, Target::default())
                    .with(Who::Limit, limit(four, move |walk, touch| hand_rows(walk, touch, 1, format)))
                    .with(Who::Ours, ours(four, columns(1, format), add_postgres_types))
                    .with(Who::Peer("postgres-types"), postgres_types(four, format)),
            );
        }
        let twelve = rows(3, format)?;
        lines.push(
            line("12", twelve)
                .with(Who::Limit, limit(twelve, move |walk, touch| hand_rows(walk, touch, 3, format)))
                .with(Who::Ours, ours(twelve, columns(3, format), add_12))
                .with(Who::Peer("postgres-types"), postgres_types(twelve, format)),
        );
    }
    Ok(lines)
}

/// The types of four columns. A wider row has these four columns several times.
const TYPES: [u32; 4] = [oid::INT4, oid::TEXT, oid::FLOAT8, oid::TEXT];

/// The values of four columns with the types [`TYPES`]; the last value may be NULL.
pub(crate) type Four<'a> = (i32, &'a str, f64, Option<&'a str>);

fn columns(groups: usize, format: FormatCode) -> Columns {
    let field = |(index, type_oid): (usize, u32)| FieldDescription {
        name: ["id", "name", "price", "note"][index % 4].into(),
        type_oid,
        format,
        ..Default::default()
    };
    let fields: Vec<_> = TYPES.repeat(groups).into_iter().enumerate().map(field).collect();
    Columns::of_portal(&RowDescription { fields: List::from(fields.as_slice()) })
}

/// Creates rows in which the four columns of [`TYPES`] are repeated `groups` times.
fn rows(groups: usize, format: FormatCode) -> Result<Frames> {
    let mut failure = None;
    let frames = Frames::fill(|row, out| {
        let mut values = Vec::new();
        for group in 0..groups {
            let number = (row * 7919 + group * 104_729) % 1_000_003;
            let (id, price) = (number as i32, number as f64 / 100.0);
            let note = (!number.is_multiple_of(4)).then(|| "x".repeat(number % 30));
            match format {
                FormatCode::Text => {
                    values.push(AsText::from(id).bound().as_bytes().map(<[u8]>::to_vec));
                    values.push(Some(format!("name of number {number}").into_bytes()));
                    values.push(Some(format!("{price}").into_bytes()));
                }
                _ => {
                    values.push(Some(id.to_be_bytes().to_vec()));
                    values.push(Some(format!("name of number {number}").into_bytes()));
                    values.push(Some(price.to_be_bytes().to_vec()));
                }
            }
            values.push(note.map(String::into_bytes));
        }
        let values: Vec<_> = values.iter().map(Option::as_deref).collect();
        let row = DataRow { values: Values::from(values.as_slice()) };
        failure = failure.take().or(row.encode(out).err());
    });
    failure.map_or(Ok(frames), |error| Err(error.into()))
}

/// Adds four values to the sum in `touch`.
#[inline(always)]
pub(crate) fn add((id, name, price, note): Four<'_>, touch: &mut Touch) {
    touch.value(Some(&id.to_le_bytes()));
    touch.value(Some(name.as_bytes()));
    touch.value(Some(&price.to_le_bytes()));
    touch.value(note.map(str::as_bytes));
}

/// Reads the buffered rows by hand.
#[inline(always)]
fn hand_rows(walk: &mut Walk, touch: &mut Touch, groups: usize, format: FormatCode) -> u64 {
    match format {
        FormatCode::Text => hand_text_rows(walk, touch, groups),
        _ => hand_binary_rows(walk, touch, groups),
    }
}

/// Reads the length and the bytes of the next value by hand.
#[inline(always)]
fn hand_value<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, values) = rest.split_first_chunk()?;
    match i32::from_be_bytes(*length) {
        length if length < 0 => {
            *rest = values;
            None
        }
        length => {
            let (value, values) = values.split_at_checked(length as usize)?;
            *rest = values;
            Some(value)
        }
    }
}

macro_rules! hand_rows {
    ($name:ident, $four:ident) => {
        #[inline(never)]
        fn $name(walk: &mut Walk, touch: &mut Touch, groups: usize) -> u64 {
            let (mut rows, mut seen) = (0, *touch);
            walk.frames(|code, body| {
                if code == b'D' && hand_row(body, groups, $four, &mut seen).is_some() {
                    rows += 1;
                }
            });
            *touch = seen;
            rows
        }
    };
}

hand_rows!(hand_text_rows, hand_text);
hand_rows!(hand_binary_rows, hand_binary);

/// Reads the body of a DataRow by hand. Returns `None` if the row is malformed.
#[inline(always)]
fn hand_row(
    body: &[u8],
    groups: usize,
    four: impl for<'a> Fn(&mut &'a [u8]) -> Option<Four<'a>>,
    touch: &mut Touch,
) -> Option<()> {
    let (count, mut rest) = body.split_first_chunk()?;
    if usize::from(u16::from_be_bytes(*count)) != 4 * groups {
        return None;
    }
    for _ in 0..groups {
        add(four(&mut rest)?, touch);
    }
    Some(())
}

/// Reads the body of a DataRow in binary format by hand. Returns `None` if the row is malformed.
#[inline(always)]
pub(crate) fn hand_binary_row(body: &[u8], groups: usize, touch: &mut Touch) -> Option<()> {
    hand_row(body, groups, hand_binary, touch)
}

#[inline(always)]
fn hand_text<'a>(rest: &mut &'a [u8]) -> Option<Four<'a>> {
    let text = |value: &'a [u8]| str::from_utf8(value).ok();
    let id = text(hand_value(rest)?)?.parse().ok()?;
    let name = text(hand_value(rest)?)?;
    let price = text(hand_value(rest)?)?.parse().ok()?;
    let note = match hand_value(rest) {
        Some(value) => Some(text(value)?),
        None => None,
    };
    Some((id, name, price, note))
}

#[inline(always)]
fn hand_binary<'a>(rest: &mut &'a [u8]) -> Option<Four<'a>> {
    let text = |value: &'a [u8]| str::from_utf8(value).ok();
    let id = i32::from_be_bytes(hand_value(rest)?.try_into().ok()?);
    let name = text(hand_value(rest)?)?;
    let price = f64::from_be_bytes(hand_value(rest)?.try_into().ok()?);
    let note = match hand_value(rest) {
        Some(value) => Some(text(value)?),
        None => None,
    };
    Some((id, name, price, note))
}

fn limit_on_tokio(frames: Frames, format: FormatCode) -> Result<impl FnMut() -> Result<u64>> {
    let (runtime, mut source, mut walk) = (runtime()?, frames.endless(), Walk::new());
    Ok(move || {
        runtime.block_on(async {
            let (mut rows, mut touch) = (0, Touch::default());
            while rows < frames.count {
                let count = source.read(walk.space()).await?;
                walk.filled(count);
                rows += hand_rows(&mut walk, &mut touch, 1, format);
            }
            Ok(touch.sum())
        })
    })
}

#[inline(always)]
pub(crate) fn add_4(columns: &Columns, row: &DataRow<'_>, touch: &mut Touch) -> Result<()> {
    add(columns.decode::<Four<'_>>(row)?, touch);
    Ok(())
}

/// The four columns of [`TYPES`] as a struct.
#[derive(FromRow)]
struct Item<'a> {
    id: i32,
    name: &'a str,
    price: f64,
    note: Option<&'a str>,
}

#[inline(always)]
fn add_item(columns: &Columns, row: &DataRow<'_>, touch: &mut Touch) -> Result<()> {
    let Item { id, name, price, note } = columns.decode(row)?;
    add((id, name, price, note), touch);
    Ok(())
}

/// The four columns of [`TYPES`] as a struct that is read by position.
#[derive(FromRow)]
#[from_row(by_position)]
struct ByPosition<'a> {
    id: i32,
    name: &'a str,
    price: f64,
    note: Option<&'a str>,
}

#[inline(always)]
fn add_by_position(columns: &Columns, row: &DataRow<'_>, touch: &mut Touch) -> Result<()> {
    let ByPosition { id, name, price, note } = columns.decode(row)?;
    add((id, name, price, note), touch);
    Ok(())
}

/// The four columns of [`TYPES`], read by `FromSql` of postgres-types.
type PostgresTypes<'a> = (Sql<i32>, SqlRef<&'a str>, Sql<f64>, Option<SqlRef<&'a str>>);

#[inline(always)]
fn add_postgres_types(columns: &Columns, row: &DataRow<'_>, touch: &mut Touch) -> Result<()> {
    let (Sql(id), SqlRef(name), Sql(price), note) = columns.decode::<PostgresTypes<'_>>(row)?;
    add((id, name, price, note.map(|SqlRef(note)| note)), touch);
    Ok(())
}

/// The values of a row that has the four columns of [`TYPES`] three times.
type Twelve<'a> = (
    i32,
    &'a str,
    f64,
    Option<&'a str>,
    i32,
    &'a str,
    f64,
    Option<&'a str>,
    i32,
    &'a str,
    f64,
    Option<&'a str>,
);

#[inline(always)]
pub(crate) fn add_12(columns: &Columns, row: &DataRow<'_>, touch: &mut Touch) -> Result<()> {
    let (a, b, c, d, e, f, g, h, i, j, k, l) = columns.decode::<Twelve<'_>>(row)?;
    add((a, b, c, d), touch);
    add((e, f, g, h), touch);
    add((i, j, k, l), touch);
    Ok(())
}

fn ours<F>(frames: Frames, columns: Columns, add: F) -> impl FnMut() -> Result<u64>
where
    F: Fn(&Columns, &DataRow<'_>, &mut Touch) -> Result<()>,
{
    let (mut source, mut inbox) = (frames.endless(), Inbox::new(Limits::BACKEND));
    move || {
        let (mut rows, mut touch) = (0, Touch::default());
        while rows < frames.count {
            let count = source.give(inbox.space());
            inbox.filled(count);
            rows += our_rows(&mut inbox, &columns, &add, &mut touch)?;
        }
        Ok(touch.sum())
    }
}

#[inline(never)]
fn our_rows<F>(inbox: &mut Inbox, columns: &Columns, add: &F, touch: &mut Touch) -> Result<u64>
where
    F: Fn(&Columns, &DataRow<'_>, &mut Touch) -> Result<()>,
{
    let (mut rows, mut seen) = (0, *touch);
    while let Some(frame) = inbox.next()? {
        if let Backend::DataRow(row) = frame.backend()? {
            add(columns, &row, &mut seen)?;
            rows += 1;
        }
    }
    *touch = seen;
    Ok(rows)
}

/// Reads each row with a separate call of `recv`, as the programs in the README do.
fn ours_by_recv(frames: Frames, columns: Columns) -> Result<impl FnMut() -> Result<u64>> {
    let runtime = runtime()?;
    let mut conn = Connection::new(TokioIo(frames.endless()), Limits::BACKEND);
    Ok(move || {
        runtime.block_on(async {
            let (mut rows, mut touch) = (0, Touch::default());
            while rows < frames.count {
                rows += our_row(conn.recv().await?, &columns, &mut touch)?;
            }
            Ok(touch.sum())
        })
    })
}

#[inline(always)]
fn our_row(frame: Frame<'_>, columns: &Columns, touch: &mut Touch) -> Result<u64> {
    let Backend::DataRow(row) = frame.backend()? else { return Ok(0) };
    let mut seen = *touch;
    add(columns.decode::<Four<'_>>(&row)?, &mut seen);
    *touch = seen;
    Ok(1)
}

/// Reads rows like `Row::get` of tokio-postgres: the ranges of all values first, then each value with a check of its type.
fn postgres_types(frames: Frames, format: FormatCode) -> impl FnMut() -> Result<u64> {
    let (mut source, mut buffer) = (frames.endless(), BytesMut::with_capacity(2 * PIECE));
    let mut piece = vec![0; PIECE];
    move || {
        let (mut rows, mut touch) = (0, Touch::default());
        while rows < frames.count {
            let count = source.give(&mut piece);
            buffer.extend_from_slice(&piece[..count]);
            rows += postgres_types_rows(&mut buffer, format, &mut touch)?;
        }
        Ok(touch.sum())
    }
}

#[inline(never)]
fn postgres_types_rows(buffer: &mut BytesMut, format: FormatCode, touch: &mut Touch) -> Result<u64> {
    let (mut rows, mut seen) = (0, *touch);
    while let Some(message) = Message::parse(buffer)? {
        let Message::DataRow(row) = message else { continue };
        let ranges: Vec<_> = row.ranges().collect()?;
        for group in 0..ranges.len() / 4 {
            let value = |index: usize| ranges[4 * group + index].clone().map(|range| &row.buffer()[range]);
            let text = |index| read::<Option<&str>>(&Type::TEXT, value(index));
            let (id, price) = match format {
                // tokio-postgres cannot read a number in text format. So this code reads each number as a string, and calls `str::parse`.
                FormatCode::Text => match (text(0)?, text(2)?) {
                    (Some(id), Some(price)) => (id.parse()?, price.parse()?),
                    _ => bail!("NULL"),
                },
                _ => (read(&Type::INT4, value(0))?, read(&Type::FLOAT8, value(2))?),
            };
            add((id, read(&Type::TEXT, value(1))?, price, text(3)?), &mut seen);
        }
        rows += 1;
    }
    *touch = seen;
    Ok(rows)
}

#[inline(always)]
fn read<'a, T: FromSql<'a>>(type_: &Type, value: Option<&'a [u8]>) -> Result<T> {
    if !T::accepts(type_) {
        bail!("the type does not fit");
    }
    T::from_sql_nullable(type_, value).map_err(|error| anyhow::anyhow!(error))
}
