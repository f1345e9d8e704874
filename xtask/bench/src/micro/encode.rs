//! Measurements of encoding a client's messages into a buffer that is reused.
//!
//! After every hundred messages, the buffer is emptied, as in a pipeline. All implementations write the same bytes.

use std::hint::black_box;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use pg_wire::{FormatCode, Outbox, Params, PgProtocol, Portal, Statement, client::PutMessage};
use pgwire::messages::Message as _;
use pgwire::messages::{extendedquery, simplequery};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use postgres_protocol::types;

use super::hand::Pen;
use crate::line::{Line, Target, Who};

/// The number of messages before the buffer is emptied.
const BATCH: u64 = 100;
/// The number of batches in a round.
const BATCHES: u64 = 100;

/// Eight parameters of common types. A measurement with fewer parameters uses the first parameters of this list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values {
    pub(crate) id: i32,
    pub(crate) name: &'static str,
    pub(crate) amount: i64,
    pub(crate) ratio: f64,
    pub(crate) active: bool,
    pub(crate) parent: Option<i64>,
    pub(crate) text: &'static str,
    pub(crate) kind: i16,
}

/// The parameter values that every implementation sends.
pub(crate) const VALUES: Values = Values {
    id: 4711,
    name: "Ada Lovelace",
    amount: 1_234_567_890_123,
    ratio: 0.25,
    active: true,
    parent: None,
    text: "the quick brown fox jumps over",
    kind: 7,
};

/// The format codes of [`VALUES`]: binary (1) for numbers, text (0) for strings and NULL.
pub(crate) const FORMATS: [i16; 8] = [1, 0, 1, 1, 1, 0, 0, 1];

const SQL: &str = "SELECT id, name, amount FROM account WHERE id = $1 AND name = $2 ORDER BY id LIMIT 10";
const TYPES: [u32; 2] = [23, 25];

/// A buffer to which messages are written.
pub(crate) trait Buffer {
    /// The content of the buffer.
    fn bytes(&mut self) -> &[u8];
    /// Empties the buffer, as after sending.
    fn empty(&mut self);
}

impl Buffer for Vec<u8> {
    fn bytes(&mut self) -> &[u8] {
        self
    }
    fn empty(&mut self) {
        self.clear();
    }
}

impl Buffer for BytesMut {
    fn bytes(&mut self) -> &[u8] {
        self
    }
    fn empty(&mut self) {
        self.clear();
    }
}

impl Buffer for Outbox {
    fn bytes(&mut self) -> &[u8] {
        // An error is not checked here. After an error, bytes are missing, so the checksum differs from the checksums of the other
        // libraries, and the measurement fails.
        let _ = self.commit();
        self.pending()
    }
    fn empty(&mut self) {
        let length = self.pending().len();
        self.sent(length);
    }
}

/// The number of messages in a round.
pub(crate) const OPERATIONS: u64 = BATCH * BATCHES;

/// Returns a closure that runs one round of the measurement: `BATCHES` batches of `BATCH` calls of `one`. Each call writes a message, or a
/// group of messages such as Bind, Execute and Sync. The buffer is emptied after each batch. The closure returns a checksum of the first
/// batch.
pub(crate) fn into<B: Buffer>(
    mut out: B,
    mut one: impl FnMut(&mut B) -> Result<()>,
) -> impl FnMut() -> Result<u64> {
    move || {
        let mut sum = 0;
        for batch in 0..BATCHES {
            for _ in 0..BATCH {
                one(&mut out)?;
            }
            let bytes = black_box(out.bytes());
            if batch == 0 {
                // Each byte is multiplied by its position, so that the sum depends on the order of the bytes.
                sum = bytes.iter().zip(1..).map(|(byte, place): (&u8, u64)| u64::from(*byte) * place).sum();
            }
            out.empty();
        }
        Ok(sum)
    }
}

/// An outbox with the same settings as the outbox of a connection.
pub(crate) fn outbox() -> Outbox {
    Outbox::new(pg_wire::Limits::BACKEND.write_retain)
}

/// Measurements of Bind with Execute and Sync, of Query, and of Parse.
pub(crate) fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for count in [0, 2, 8] {
        let name = format!("micro: bind {count}, tuple");
        let line = Line::new(name, "bind+execute+sync", OPERATIONS, Target::new(1.3, 6.0))
            .with(Who::Limit, limit_bind(count));
        lines.push(peers_bind(
            match count {
                0 => line.with(Who::Ours, ours_bind(outbox(), || ())),
                2 => line.with(Who::Ours, ours_bind(outbox(), two)),
                _ => line.with(Who::Ours, ours_bind(outbox(), eight)),
            },
            count,
        ));
    }
    // Measures Bind, Execute and Sync with three calls instead of one, and with other types of buffers. The target of these measurements is
    // empty: no ratio of CPU times is required.
    let (unit, none) = ("bind+execute+sync", Target::default());
    lines.push(
        Line::new("micro: bind 8, tuple, by three calls", unit, OPERATIONS, none)
            .with(Who::Limit, limit_bind(8))
            .with(Who::Ours, ours_bind_by_three_calls()),
    );
    let name = |buffer| format!("micro: bind 8, tuple, into {buffer}");
    lines.push(
        Line::new(name("Vec"), unit, OPERATIONS, none)
            .with(Who::Limit, limit_bind(8))
            .with(Who::Ours, ours_bind_into(Vec::new())),
    );
    lines.push(
        Line::new(name("BytesMut"), unit, OPERATIONS, none)
            .with(Who::Limit, limit_bind(8))
            .with(Who::Ours, ours_bind_into(BytesMut::new())),
    );
    lines.push(query());
    lines.push(parse());
    lines
}

fn two() -> impl Params {
    let v = black_box(&VALUES);
    (v.id, v.name)
}

fn eight() -> impl Params {
    let v = black_box(&VALUES);
    (v.id, v.name, v.amount, v.ratio, v.active, v.parent, v.text, v.kind)
}

fn ours_bind<B, P, V>(out: B, params: V) -> impl FnMut() -> Result<u64>
where
    B: Buffer + for<'c> PutMessage<Chained<'c> = &'c mut B> + 'static,
    P: Params,
    V: Fn() -> P,
{
    into(out, move |out| {
        out.bind(Statement("s1"), Portal::UNNAMED)
            .result_formats(&[FormatCode::Binary])
            .execute_and_sync(params());
        Ok(())
    })
}

fn ours_bind_by_three_calls() -> impl FnMut() -> Result<u64> {
    into(outbox(), move |out| {
        out.bind(Statement("s1"), Portal::UNNAMED)
            .result_formats(&[FormatCode::Binary])
            .finish(eight())
            .execute(Portal::UNNAMED, 0)
            .sync();
        Ok(())
    })
}

fn ours_bind_into<B: Buffer + bytes::BufMut>(out: B) -> impl FnMut() -> Result<u64> {
    into(out, move |out| {
        let params = eight();
        let formats = &[FormatCode::Binary];
        PgProtocol::bind(out, Statement("s1"), Portal::UNNAMED)
            .result_formats(formats)
            .execute_and_sync(params)?;
        Ok(())
    })
}

/// The bytes of Execute and Sync, which follow every Bind.
pub(crate) const EXECUTE_SYNC: [u8; 15] = *b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";

/// The portal name (empty) and the statement name (`s1`) of every Bind.
pub(crate) const NAMES: [u8; 4] = *b"\0s1\0";

/// The result formats of every Bind: one format, binary.
pub(crate) const RESULTS: [u8; 4] = [0, 1, 0, 1];

pub(crate) fn limit_bind(count: usize) -> Box<dyn FnMut() -> Result<u64>> {
    match count {
        0 => Box::new(into(Vec::new(), |out| {
            // The body has 4 bytes of names, two counts of 2 bytes each (0 formats and 0 values), and 4 bytes for the result format.
            let body = 4 + 2 + 2 + 4;
            Pen::write(out, 5 + body + 15, |pen| {
                pen.put([b'B']);
                pen.put((4 + body as u32).to_be_bytes());
                pen.put(NAMES);
                pen.put([0; 4]);
                pen.put(RESULTS);
                pen.put(EXECUTE_SYNC);
            });
            Ok(())
        })),
        2 => Box::new(into(Vec::new(), |out| {
            let v = black_box(&VALUES);
            let body = 4 + (2 + 2 * 2) + 2 + (4 + 4) + (4 + v.name.len()) + 4;
            Pen::write(out, 5 + body + 15, |pen| {
                pen.put([b'B']);
                pen.put((4 + body as u32).to_be_bytes());
                pen.put(NAMES);
                pen.put([0, 2, 0, 1, 0, 0, 0, 2]);
                pen.put([0, 0, 0, 4]);
                pen.put(v.id.to_be_bytes());
                pen.value(v.name.as_bytes());
                pen.put(RESULTS);
                pen.put(EXECUTE_SYNC);
            });
            Ok(())
        })),
        _ => Box::new(into(Vec::new(), |out| {
            let v = black_box(&VALUES);
            let parent = v.parent.map_or(0, |_| 8);
            let values = 8 + (4 + v.name.len()) + 12 + 12 + 5 + (4 + parent) + (4 + v.text.len()) + 6;
            let body = 4 + (2 + 8 * 2) + 2 + values + 4;
            Pen::write(out, 5 + body + 15, |pen| {
                pen.put([b'B']);
                pen.put((4 + body as u32).to_be_bytes());
                pen.put(NAMES);
                let parent = u8::from(v.parent.is_some());
                pen.put([0, 8, 0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, parent, 0, 0, 0, 1, 0, 8]);
                pen.put([0, 0, 0, 4]);
                pen.put(v.id.to_be_bytes());
                pen.value(v.name.as_bytes());
                pen.put([0, 0, 0, 8]);
                pen.put(v.amount.to_be_bytes());
                pen.put([0, 0, 0, 8]);
                pen.put(v.ratio.to_be_bytes());
                pen.put([0, 0, 0, 1, u8::from(v.active)]);
                match v.parent {
                    None => pen.put([0xff; 4]),
                    Some(parent) => {
                        pen.put([0, 0, 0, 8]);
                        pen.put(parent.to_be_bytes());
                    }
                }
                pen.value(v.text.as_bytes());
                pen.put([0, 0, 0, 2]);
                pen.put(v.kind.to_be_bytes());
                pen.put(RESULTS);
                pen.put(EXECUTE_SYNC);
            });
            Ok(())
        })),
    }
}

fn peers_bind(line: Line, count: usize) -> Line {
    line.with(Who::Peer("postgres-protocol"), postgres_protocol_bind(count))
        .with(Who::Peer("pgwire"), pgwire_bind(count))
        .with(Who::Peer("pg_stream"), super::dynamic::pg_stream::bind(count))
}

/// Binds with postgres-protocol. The closure `write` selects each value by its index, so that values of several types are encoded without
/// `dyn`.
fn postgres_protocol_bind(count: usize) -> impl FnMut() -> Result<u64> {
    // postgres-protocol writes only to a `BytesMut`.
    into(BytesMut::new(), move |out| {
        let v = black_box(&VALUES);
        let write = |place: usize, out: &mut BytesMut| {
            match place {
                0 => types::int4_to_sql(v.id, out),
                1 => types::text_to_sql(v.name, out),
                2 => types::int8_to_sql(v.amount, out),
                3 => types::float8_to_sql(v.ratio, out),
                4 => types::bool_to_sql(v.active, out),
                5 => match v.parent {
                    None => return Ok(IsNull::Yes),
                    Some(parent) => types::int8_to_sql(parent, out),
                },
                6 => types::text_to_sql(v.text, out),
                _ => types::int2_to_sql(v.kind, out),
            }
            Ok(IsNull::No)
        };
        let formats = FORMATS[..count].iter().copied();
        if frontend::bind("", "s1", formats, 0..count, write, [1], out).is_err() {
            anyhow::bail!("postgres-protocol rejected a bind");
        }
        frontend::execute("", 0, out)?;
        frontend::sync(out);
        Ok(())
    })
}

/// Binds with pgwire. The messages are created once, and only their parameters are replaced. pgwire needs owned bytes for each parameter,
/// so the parameters are split off one buffer.
fn pgwire_bind(count: usize) -> impl FnMut() -> Result<u64> {
    let mut bind = extendedquery::Bind::new(
        None,
        Some("s1".to_owned()),
        FORMATS[..count].to_vec(),
        vec![None; count],
        vec![1],
    );
    let (execute, sync) = (extendedquery::Execute::new(None, 0), extendedquery::Sync::new());
    let mut scratch = BytesMut::new();
    into(BytesMut::new(), move |out| {
        let v = black_box(&VALUES);
        for (place, parameter) in bind.parameters.iter_mut().enumerate() {
            match place {
                0 => types::int4_to_sql(v.id, &mut scratch),
                1 => types::text_to_sql(v.name, &mut scratch),
                2 => types::int8_to_sql(v.amount, &mut scratch),
                3 => types::float8_to_sql(v.ratio, &mut scratch),
                4 => types::bool_to_sql(v.active, &mut scratch),
                5 => match v.parent {
                    None => {
                        *parameter = None;
                        continue;
                    }
                    Some(parent) => types::int8_to_sql(parent, &mut scratch),
                },
                6 => types::text_to_sql(v.text, &mut scratch),
                _ => types::int2_to_sql(v.kind, &mut scratch),
            }
            *parameter = Some(Bytes::from(scratch.split()));
        }
        bind.encode(out)?;
        execute.encode(out)?;
        sync.encode(out)?;
        Ok(())
    })
}

/// Returns an error if a string contains a NUL, which would end the string in the message. The hand-written loop needs this check for a
/// fair comparison: pg-wire and postgres-protocol check for NUL, pgwire and pg_stream do not.
#[inline(always)]
fn check_string(text: &[u8]) -> Result<()> {
    anyhow::ensure!(memchr::memchr(0, text).is_none(), "a string contains a NUL");
    Ok(())
}

fn query() -> Line {
    Line::new("micro: query", "query", OPERATIONS, Target::new(1.3, 2.0))
        .with(
            Who::Limit,
            into(Vec::new(), |out| {
                let sql = black_box(SQL).as_bytes();
                check_string(sql)?;
                Pen::write(out, 6 + sql.len(), |pen| {
                    pen.put([b'Q']);
                    pen.put((5 + sql.len() as u32).to_be_bytes());
                    pen.bytes(sql);
                    pen.put([0]);
                });
                Ok(())
            }),
        )
        .with(
            Who::Ours,
            into(outbox(), |out| {
                PgProtocol::query(out, black_box(SQL));
                Ok(())
            }),
        )
        .with(
            Who::Peer("postgres-protocol"),
            into(BytesMut::new(), |out| Ok(frontend::query(black_box(SQL), out)?)),
        )
        .with(Who::Peer("pgwire"), {
            // pgwire needs an owned text, so the text is copied into the same `String` each time.
            let mut query = simplequery::Query::new(String::new());
            into(BytesMut::new(), move |out| {
                query.query.clear();
                query.query.push_str(black_box(SQL));
                Ok(query.encode(out)?)
            })
        })
        .with(
            Who::Peer("pg_stream"),
            into(Vec::new(), |out: &mut Vec<u8>| {
                pg_stream::PgProtocol::query(out, black_box(SQL));
                Ok(())
            }),
        )
}

fn parse() -> Line {
    Line::new("micro: parse", "parse", OPERATIONS, Target::new(1.3, 2.0))
        .with(
            Who::Limit,
            into(Vec::new(), |out| {
                let (name, sql, types) = (black_box("s1"), black_box(SQL), black_box(TYPES));
                check_string(name.as_bytes())?;
                check_string(sql.as_bytes())?;
                let body = name.len() + 1 + sql.len() + 1 + 2 + 4 * types.len();
                Pen::write(out, 5 + body, |pen| {
                    pen.put([b'P']);
                    pen.put((4 + body as u32).to_be_bytes());
                    pen.bytes(name.as_bytes());
                    pen.put([0]);
                    pen.bytes(sql.as_bytes());
                    pen.put([0, 0, types.len() as u8]);
                    for oid in types {
                        pen.put(oid.to_be_bytes());
                    }
                });
                Ok(())
            }),
        )
        .with(
            Who::Ours,
            into(outbox(), |out| {
                let (name, sql, types) = (black_box("s1"), black_box(SQL), black_box(TYPES));
                PgProtocol::parse(out, Statement(name)).query(sql).param_types(&types).finish();
                Ok(())
            }),
        )
        .with(
            Who::Peer("postgres-protocol"),
            into(BytesMut::new(), |out| {
                let (name, sql, types) = (black_box("s1"), black_box(SQL), black_box(TYPES));
                Ok(frontend::parse(name, sql, types, out)?)
            }),
        )
        .with(Who::Peer("pgwire"), {
            let mut parse = extendedquery::Parse::new(Some("s1".to_owned()), String::new(), TYPES.to_vec());
            into(BytesMut::new(), move |out| {
                parse.query.clear();
                parse.query.push_str(black_box(SQL));
                Ok(parse.encode(out)?)
            })
        })
        .with(
            Who::Peer("pg_stream"),
            into(Vec::new(), |out: &mut Vec<u8>| {
                let (name, sql, types) = (black_box("s1"), black_box(SQL), black_box(TYPES));
                pg_stream::PgProtocol::parse(out, Some(name)).query(sql).param_types(&types).finish();
                Ok(())
            }),
        )
}
