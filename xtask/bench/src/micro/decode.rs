//! Measurements of decoding rows. The bytes arrive in pieces of 64 KB, and each implementation reads every value.

use anyhow::{Result, bail};
use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use pg_stream::{PgConnection, PgMessage};
use pg_stream_tokio::TokioIo;
use pg_wire::backend::Backend;
use pg_wire::{Connection, Frame, Inbox, Limits};
use pgwire::messages::{DecodeContext, PgWireBackendMessage, ProtocolVersion};
use postgres_protocol::message::backend::Message;
use tokio::io::AsyncReadExt;
use tokio::runtime::{Builder, Runtime};

use super::hand::{self, Walk, limit};
use super::source::{self, Endless, Frames, PIECE};
use super::touch::Touch;
use crate::line::{Line, Target, Who};

fn target(columns: usize) -> Target {
    match columns {
        1 => Target::new(1.25, 6.0),
        8 => Target::new(1.2, 2.5),
        _ => Target::new(1.1, 1.3),
    }
}

/// Measures decoding with blocking reads, like those of a program with `std::net`.
pub(crate) fn blocking(columns: usize) -> Result<Line> {
    let frames = source::rows(columns)?;
    let name = format!("micro: decode a row of {columns}, blocking");
    Ok(Line::new(name, "row", frames.count, target(columns))
        .with(Who::Limit, limit(frames, hand_rows))
        .with(Who::Ours, ours(frames))
        .with(Who::Peer("postgres-protocol"), postgres_protocol(frames))
        .with(Who::Peer("pgwire"), pgwire(frames))
        .with(Who::Peer("pg_stream"), pg_stream(frames)))
}

/// Measures decoding with a connection on Tokio, and one call of `recv` for each message.
pub(crate) fn on_tokio(columns: usize) -> Result<Line> {
    let frames = source::rows(columns)?;
    let name = format!("micro: decode a row of {columns}, async");
    Ok(Line::new(name, "row", frames.count, target(columns))
        .with(Who::Limit, limit_on_tokio(frames)?)
        .with(Who::Ours, ours_on_tokio(frames)?)
        .with(Who::Peer("postgres-protocol"), postgres_protocol_on_tokio(frames)?)
        .with(Who::Peer("pgwire"), pgwire_on_tokio(frames)?)
        .with(Who::Peer("pg_stream"), pg_stream_on_tokio(frames)?))
}

/// Measures decoding with a connection on Tokio. After each wait for bytes, a function that is not async takes all buffered messages with
/// `try_recv`.
pub(crate) fn on_tokio_by_piece(columns: usize) -> Result<Line> {
    let frames = source::rows(columns)?;
    let name = format!("micro: decode a row of {columns}, async, try_recv");
    Ok(Line::new(name, "row", frames.count, target(columns))
        .with(Who::Limit, limit_on_tokio(frames)?)
        .with(Who::Ours, ours_by_piece(frames)?)
        .with(Who::Peer("postgres-protocol"), postgres_protocol_on_tokio(frames)?)
        .with(Who::Peer("pgwire"), pgwire_on_tokio(frames)?))
}

/// A runtime like that of `#[tokio::main(flavor = "current_thread")]`.
pub(crate) fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Reads the buffered rows. The function is not inlined, so that the compiler keeps `rows` and `seen` in registers even if the caller is a
/// future (NOTES.md, "Measuring").
#[inline(never)]
fn hand_rows(walk: &mut Walk, touch: &mut Touch) -> u64 {
    let (mut rows, mut seen) = (0, *touch);
    walk.frames(|code, body| {
        if code == b'D' {
            hand::row(body, &mut seen);
            rows += 1;
        }
    });
    *touch = seen;
    rows
}

fn limit_on_tokio(frames: Frames) -> Result<impl FnMut() -> Result<u64>> {
    let (runtime, mut source, mut walk) = (runtime()?, frames.endless(), Walk::new());
    Ok(move || {
        runtime.block_on(async {
            let (mut rows, mut touch) = (0, Touch::default());
            while rows < frames.count {
                let count = source.read(walk.space()).await?;
                walk.filled(count);
                rows += hand_rows(&mut walk, &mut touch);
            }
            Ok(touch.sum())
        })
    })
}

fn ours(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut inbox) = (frames.endless(), Inbox::new(Limits::BACKEND));
    move || {
        let (mut rows, mut touch) = (0, Touch::default());
        while rows < frames.count {
            let count = source.give(inbox.space());
            inbox.filled(count);
            rows += ours_in(&mut inbox, &mut touch)?;
        }
        Ok(touch.sum())
    }
}

/// Reads the buffered rows. The function is not inlined, so that the compiler keeps `rows` and `seen` in registers even if the caller is a
/// future.
#[inline(never)]
fn ours_in(inbox: &mut Inbox, touch: &mut Touch) -> Result<u64> {
    let (mut rows, mut seen) = (0, *touch);
    while let Some(frame) = inbox.next()? {
        if let Backend::DataRow(row) = frame.backend()? {
            for value in row.values {
                seen.value(value?);
            }
            rows += 1;
        }
    }
    *touch = seen;
    Ok(rows)
}

/// If `frame` is a row, adds its values to the sum in `touch`. Returns the number of rows (0 or 1). The sum is copied to a local variable,
/// so that the compiler keeps the sum in a register.
#[inline(always)]
fn ours_one(frame: Frame<'_>, touch: &mut Touch) -> Result<u64> {
    let Backend::DataRow(row) = frame.backend()? else { return Ok(0) };
    let mut seen = *touch;
    for value in row.values {
        seen.value(value?);
    }
    *touch = seen;
    Ok(1)
}

fn ours_on_tokio(frames: Frames) -> Result<impl FnMut() -> Result<u64>> {
    let runtime = runtime()?;
    let mut conn = Connection::new(TokioIo(frames.endless()), Limits::BACKEND);
    Ok(move || {
        runtime.block_on(async {
            let (mut rows, mut touch) = (0, Touch::default());
            while rows < frames.count {
                rows += ours_one(conn.recv().await?, &mut touch)?;
            }
            Ok(touch.sum())
        })
    })
}

fn ours_by_piece(frames: Frames) -> Result<impl FnMut() -> Result<u64>> {
    let runtime = runtime()?;
    let mut conn = Connection::new(TokioIo(frames.endless()), Limits::BACKEND);
    Ok(move || {
        runtime.block_on(async {
            let (mut rows, mut touch) = (0, Touch::default());
            while rows < frames.count {
                conn.fill().await?;
                rows += ours_buffered(&mut conn, &mut touch)?;
            }
            Ok(touch.sum())
        })
    })
}

#[inline(never)]
fn ours_buffered(conn: &mut Connection<TokioIo<Endless>>, touch: &mut Touch) -> Result<u64> {
    let (mut rows, mut seen) = (0, *touch);
    while let Some(frame) = conn.try_recv()? {
        if let Backend::DataRow(row) = frame.backend()? {
            for value in row.values {
                seen.value(value?);
            }
            rows += 1;
        }
    }
    *touch = seen;
    Ok(rows)
}

#[inline(never)]
fn postgres_protocol_rows(buffer: &mut BytesMut, touch: &mut Touch) -> Result<u64> {
    let (mut rows, mut seen) = (0, *touch);
    while let Some(message) = Message::parse(buffer)? {
        if let Message::DataRow(row) = message {
            // postgres-protocol returns only the ranges of the values; the caller has to slice the buffer.
            let mut ranges = row.ranges();
            while let Some(range) = ranges.next()? {
                seen.value(range.map(|range| &row.buffer()[range]));
            }
            rows += 1;
        }
    }
    *touch = seen;
    Ok(rows)
}

fn postgres_protocol(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut buffer) = (frames.endless(), BytesMut::with_capacity(2 * PIECE));
    let mut piece = vec![0; PIECE];
    move || {
        let (mut rows, mut touch) = (0, Touch::default());
        while rows < frames.count {
            // A blocking read needs initialised memory, but the free space of a `BytesMut` is not initialised. So the bytes are read into
            // `piece` first.
            let count = source.give(&mut piece);
            buffer.extend_from_slice(&piece[..count]);
            rows += postgres_protocol_rows(&mut buffer, &mut touch)?;
        }
        Ok(touch.sum())
    }
}

fn postgres_protocol_on_tokio(frames: Frames) -> Result<impl FnMut() -> Result<u64>> {
    let (runtime, mut source) = (runtime()?, frames.endless());
    let mut buffer = BytesMut::with_capacity(2 * PIECE);
    Ok(move || {
        runtime.block_on(async {
            let (mut rows, mut touch) = (0, Touch::default());
            while rows < frames.count {
                buffer.reserve(PIECE);
                source.read_buf(&mut buffer).await?;
                rows += postgres_protocol_rows(&mut buffer, &mut touch)?;
            }
            Ok(touch.sum())
        })
    })
}

/// A decoding context of pgwire for the messages after the start-up.
pub(crate) fn pgwire_context() -> DecodeContext {
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    context
}

#[inline(never)]
fn pgwire_rows(buffer: &mut BytesMut, context: &DecodeContext, touch: &mut Touch) -> Result<u64> {
    let (mut rows, mut seen) = (0, *touch);
    while let Some(message) = PgWireBackendMessage::decode(buffer, context)? {
        if let PgWireBackendMessage::DataRow(row) = message {
            // pgwire does not decode the columns of a row, so this code decodes them, as a user of pgwire has to.
            let mut rest = &row.data[..];
            for _ in 0..row.field_count {
                let Some((length, values)) = rest.split_first_chunk() else {
                    bail!("a row ends before its last value")
                };
                rest = values;
                match usize::try_from(i32::from_be_bytes(*length)) {
                    Err(_) => seen.value(None),
                    Ok(length) => {
                        let Some((value, values)) = rest.split_at_checked(length) else {
                            bail!("a row ends before its last value")
                        };
                        seen.value(Some(value));
                        rest = values;
                    }
                }
            }
            rows += 1;
        }
    }
    *touch = seen;
    Ok(rows)
}

fn pgwire(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut buffer) = (frames.endless(), BytesMut::with_capacity(2 * PIECE));
    let (mut piece, context) = (vec![0; PIECE], pgwire_context());
    move || {
        let (mut rows, mut touch) = (0, Touch::default());
        while rows < frames.count {
            let count = source.give(&mut piece);
            buffer.extend_from_slice(&piece[..count]);
            rows += pgwire_rows(&mut buffer, &context, &mut touch)?;
        }
        Ok(touch.sum())
    }
}

fn pgwire_on_tokio(frames: Frames) -> Result<impl FnMut() -> Result<u64>> {
    let (runtime, mut source) = (runtime()?, frames.endless());
    let (mut buffer, context) = (BytesMut::with_capacity(2 * PIECE), pgwire_context());
    Ok(move || {
        runtime.block_on(async {
            let (mut rows, mut touch) = (0, Touch::default());
            while rows < frames.count {
                buffer.reserve(PIECE);
                source.read_buf(&mut buffer).await?;
                rows += pgwire_rows(&mut buffer, &context, &mut touch)?;
            }
            Ok(touch.sum())
        })
    })
}

/// If `message` is a row, adds its values to the sum in `touch`. Returns the number of rows (0 or 1).
#[inline(always)]
fn pg_stream_row(message: &PgMessage, touch: &mut Touch) -> u64 {
    let PgMessage::DataRow(row) = message else { return 0 };
    // pg_stream has no iterator over columns: each call of `column` starts at the first column again.
    for column in 0..row.column_count().into() {
        touch.value(row.column(column));
    }
    1
}

fn pg_stream(frames: Frames) -> impl FnMut() -> Result<u64> {
    // For each message, pg_stream calls `read` three times: for one byte, for four bytes, and for the body. So a user of pg_stream has to
    // add a buffered reader.
    let mut conn = PgConnection::new(std::io::BufReader::with_capacity(PIECE, frames.endless()));
    move || {
        let (mut rows, mut touch) = (0, Touch::default());
        while rows < frames.count {
            rows += pg_stream_row(&conn.recv_sync()?, &mut touch);
        }
        Ok(touch.sum())
    }
}

fn pg_stream_on_tokio(frames: Frames) -> Result<impl FnMut() -> Result<u64>> {
    let runtime = runtime()?;
    let source = tokio::io::BufReader::with_capacity(PIECE, frames.endless());
    let mut conn = PgConnection::new(source);
    Ok(move || {
        runtime.block_on(async {
            let (mut rows, mut touch) = (0, Touch::default());
            while rows < frames.count {
                rows += pg_stream_row(&conn.recv().await?, &mut touch);
            }
            Ok(touch.sum())
        })
    })
}
