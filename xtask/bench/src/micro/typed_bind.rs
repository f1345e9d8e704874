//! Measurements of binding four typed values: int4, text, float8, and a text that is NULL.
//!
//! All implementations of a measurement write the same bytes: a Bind, an Execute and a Sync.

use std::hint::black_box;

use anyhow::Result;
use bytes::BytesMut;
use pg_wire::value::SqlParams;
use pg_wire::{FormatCode, PgProtocol, Portal, Statement};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use postgres_types::{ToSql, Type};

use super::encode::{EXECUTE_SYNC, NAMES, OPERATIONS, RESULTS, VALUES, into, outbox};
use super::hand::Pen;
use crate::line::{Line, Target, Who};

/// The types of the values, which postgres-types needs to encode the values.
const TYPES: [Type; 4] = [Type::INT4, Type::TEXT, Type::FLOAT8, Type::TEXT];

/// Returns the measurements: values of Rust types, and values that postgres-types encodes.
pub(crate) fn lines() -> Vec<Line> {
    let line = |what: &str, target| {
        Line::new(format!("micro: typed bind of 4{what}"), "bind+execute+sync", OPERATIONS, target)
    };
    vec![
        line("", Target::new(1.3, 2.0).instructions(1.2))
            .with(Who::Limit, limit(EACH))
            .with(Who::Ours, ours())
            .with(Who::Peer("postgres-types"), peer([1, 0, 1, 0])),
        line(" as postgres-types values", Target::default())
            .with(Who::Limit, limit(ALL))
            .with(Who::Ours, ours_by_postgres_types())
            .with(Who::Peer("postgres-types"), peer([1])),
    ]
}

/// The four values. The last value is NULL.
type Four = (i32, &'static str, f64, Option<&'static str>);

#[inline(always)]
fn values() -> Four {
    let v = black_box(&VALUES);
    (v.id, v.name, v.ratio, None)
}

/// The formats in a Bind: the count 4, then the format of each value, which is binary (1) for numbers, and text (0) for strings and NULL.
const EACH: [u8; 10] = [0, 4, 0, 1, 0, 0, 0, 1, 0, 0];

/// The formats in a Bind: the count 1, then one format for all values, which is binary (1).
const ALL: [u8; 4] = [0, 1, 0, 1];

fn limit<const N: usize>(formats: [u8; N]) -> impl FnMut() -> Result<u64> {
    into(Vec::new(), move |out| {
        let (id, name, ratio, note) = values();
        let note = note.map_or(&b""[..], str::as_bytes);
        let body = NAMES.len() + N + 2 + 8 + (4 + name.len()) + 12 + (4 + note.len()) + RESULTS.len();
        Pen::write(out, 5 + body + EXECUTE_SYNC.len(), |pen| {
            pen.put([b'B']);
            pen.put((4 + body as u32).to_be_bytes());
            pen.put(NAMES);
            pen.put(formats);
            pen.put([0, 4, 0, 0, 0, 4]);
            pen.put(id.to_be_bytes());
            pen.value(name.as_bytes());
            pen.put([0, 0, 0, 8]);
            pen.put(ratio.to_be_bytes());
            pen.put([0xff; 4]);
            pen.put(RESULTS);
            pen.put(EXECUTE_SYNC);
        });
        Ok(())
    })
}

fn ours() -> impl FnMut() -> Result<u64> {
    into(outbox(), |out| {
        let bind = out.bind(Statement("s1"), Portal::UNNAMED).result_formats(&[FormatCode::Binary]);
        bind.execute_and_sync(values());
        Ok(())
    })
}

/// Encodes the values by `ToSql` into a list that is reused, then binds the list.
fn ours_by_postgres_types() -> impl FnMut() -> Result<u64> {
    let mut params = SqlParams::new();
    into(outbox(), move |out| {
        let (id, name, ratio, note) = values();
        let [int4, text, float8, last] = &TYPES;
        params.clear();
        params.push(&id, int4)?.push(&name, text)?.push(&ratio, float8)?.push(&note, last)?;
        let bind = out.bind(Statement("s1"), Portal::UNNAMED).result_formats(&[FormatCode::Binary]);
        bind.execute_and_sync(&params);
        Ok(())
    })
}

/// Encodes the values as tokio-postgres does: a list of `&dyn ToSql`, whose types are checked while the message is written.
fn peer<const N: usize>(formats: [i16; N]) -> impl FnMut() -> Result<u64> {
    into(BytesMut::new(), move |out| {
        let (id, name, ratio, note) = values();
        let values: [&dyn ToSql; 4] = [&id, &name, &ratio, &note];
        let encode = |(value, type_): (&dyn ToSql, &Type), out: &mut BytesMut| {
            Ok(match value.to_sql_checked(type_, out)? {
                postgres_types::IsNull::Yes => IsNull::Yes,
                postgres_types::IsNull::No => IsNull::No,
            })
        };
        if frontend::bind("", "s1", formats, values.into_iter().zip(&TYPES), encode, [1], out).is_err() {
            anyhow::bail!("postgres-protocol rejected a bind");
        }
        frontend::execute("", 0, out)?;
        frontend::sync(out);
        Ok(())
    })
}
