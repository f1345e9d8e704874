//! Measurements of writing and reading the rows of a COPY. A row is an `int4`, a `text` and a `float8`.
//!
//! tokio-postgres writes and reads rows only on a connection. For a comparison with tokio-postgres, some measurements use a whole
//! connection to a server in memory.

use std::hint::black_box;
use std::io::Write;
use std::rc::Rc;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::TryStreamExt;
use pg_stream_tokio::TokioIo;
use pg_wire::backend::{Backend, CopyData};
use pg_wire::codec::Payload;
use pg_wire::copy::{CopyOptions, CopyReader, CopyWriter, RowFormat};
use pg_wire::{Connection, Encode, Inbox, Limits, oid};
use postgres_types::Type;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream};
use tokio_postgres::{Client, Config, NoTls, Statement, config::SslMode};

use super::copy_server::CopyServer;
use super::decode::runtime;
use super::hand::{Pen, Walk, limit};
use super::source::{Frames, PIECE};
use super::touch::Touch;
use crate::line::{Line, Target, Who};

type Row = (i32, String, f64);

/// The number of rows that are written before the buffer is emptied.
const BATCH: usize = 1000;
/// The number of batches in a round.
const BATCHES: usize = 10;
const OPERATIONS: u64 = (BATCH * BATCHES) as u64;

const TYPES: [Type; 3] = [Type::INT4, Type::TEXT, Type::FLOAT8];
const OIDS: [u32; 3] = [oid::INT4, oid::TEXT, oid::FLOAT8];

fn row(number: usize) -> Row {
    let number = number * 7919 % 1_000_003;
    (number as i32 - 500_000, format!("name of number {number}"), number as f64 / 64.0)
}

fn rows() -> Rc<[Row]> {
    (0..BATCH).map(row).collect()
}

/// The number of batches in a round of the measurements with many rows. A batch has 1,000 rows, so a round has 5,000,000 rows.
const MANY_BATCHES: usize = 5_000;

/// Returns all measurements of the rows of a COPY. The number of rows of the measurements with many rows is divided by `part`.
pub(crate) fn lines(part: u64) -> Result<Vec<Line>> {
    let mut lines = few_rows()?;
    lines.extend(many_rows(MANY_BATCHES / part as usize)?);
    Ok(lines)
}

/// Returns the measurements of many rows over a connection to a server in memory. tokio-postgres writes and reads rows in binary format
/// only.
fn many_rows(batches: usize) -> Result<Vec<Line>> {
    let (binary, text) = (CopyOptions::binary, CopyOptions::text);
    let line = |name: &str, target| {
        Line::new(format!("micro: many copy rows, {name}"), "row", (BATCH * batches) as u64, target).long()
    };
    Ok(vec![
        line("send binary", Target::new(1.2, 1.0))
            .with(Who::Limit, sent_by_hand(batches, false)?)
            .with(Who::Ours, sent_by_ours(binary(), batches, By::Batch)?)
            .with(Who::Peer("tokio-postgres"), sent_by_tokio_postgres(batches)?),
        line("send binary, a call for each row", Target::new(1.7, 1.0))
            .with(Who::Limit, sent_by_hand(batches, false)?)
            .with(Who::Ours, sent_by_ours(binary(), batches, By::Row)?)
            .with(Who::Peer("tokio-postgres"), sent_by_tokio_postgres(batches)?),
        line("send text", Target::limit(1.2))
            .with(Who::Limit, sent_by_hand(batches, true)?)
            .with(Who::Ours, sent_by_ours(text(), batches, By::Batch)?),
        line("receive binary", Target::new(1.2, 1.0))
            .with(Who::Limit, received_by_hand(binary(), batches)?)
            .with(Who::Ours, received_by_ours(binary(), batches)?)
            .with(Who::Peer("tokio-postgres"), received_by_tokio_postgres(batches)?),
        line("receive text", Target::limit(1.2))
            .with(Who::Limit, received_by_hand(text(), batches)?)
            .with(Who::Ours, received_by_ours(text(), batches)?),
    ])
}

fn few_rows() -> Result<Vec<Line>> {
    let (binary, text) = (frames(&CopyOptions::binary())?, frames(&CopyOptions::text())?);
    let unit = "row";
    Ok(vec![
        Line::new("micro: copy rows, write binary", unit, OPERATIONS, Target::limit(1.2))
            .with(Who::Limit, written(hand_tuple))
            .with(Who::Ours, written_by_ours(CopyOptions::binary())?),
        Line::new("micro: copy rows, write text", unit, OPERATIONS, Target::limit(1.2))
            .with(Who::Limit, written(hand_line))
            .with(Who::Ours, written_by_ours(CopyOptions::text())?),
        Line::new("micro: copy rows, read binary", unit, binary.count, Target::limit(1.2))
            .with(Who::Limit, limit(binary, hand_tuples))
            .with(Who::Ours, read_by_ours(binary, CopyOptions::binary())),
        Line::new("micro: copy rows, read text", unit, text.count, Target::limit(1.2))
            .with(Who::Limit, limit(text, hand_lines))
            .with(Who::Ours, read_by_ours(text, CopyOptions::text())),
        Line::new(
            "micro: copy rows, send binary",
            unit,
            OPERATIONS,
            Target { peer: Some(2.0), ..Target::default() },
        )
        .with(Who::Ours, sent_by_ours(CopyOptions::binary(), BATCHES, By::Row)?)
        .with(Who::Peer("tokio-postgres"), sent_by_tokio_postgres(BATCHES)?),
        Line::new(
            "micro: copy rows, receive binary",
            unit,
            OPERATIONS,
            Target { peer: Some(2.0), ..Target::default() },
        )
        .with(Who::Ours, received_by_ours(CopyOptions::binary(), BATCHES)?)
        .with(Who::Peer("tokio-postgres"), received_by_tokio_postgres(BATCHES)?),
    ])
}

// ---- Writing --------------------------------------------------------------------------------------------------------

/// Returns a closure that writes all rows in batches. The result of the closure is a checksum of the bytes of the first batch.
fn written(write: impl Fn(&Row, &mut Vec<u8>)) -> impl FnMut() -> Result<u64> {
    let (rows, mut out) = (rows(), Vec::new());
    move || {
        let mut sum = 0;
        for batch in 0..BATCHES {
            black_box(&rows).iter().for_each(|row| write(row, &mut out));
            let bytes = black_box(&out[..]);
            if batch == 0 {
                sum = checksum(bytes);
            }
            out.clear();
        }
        Ok(sum)
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().zip(1..).map(|(byte, place): (&u8, u64)| u64::from(*byte) * place).sum()
}

fn written_by_ours(options: CopyOptions) -> Result<impl FnMut() -> Result<u64>> {
    // The header is written once, before the measurement: the hand-written loops write rows only.
    let (rows, mut writer) = (rows(), CopyWriter::new(&options)?);
    writer.row(&(0i32, "", 0f64))?;
    writer.clear();
    Ok(move || {
        let mut sum = 0;
        for batch in 0..BATCHES {
            for (id, name, size) in black_box(&rows).iter() {
                writer.row(&(*id, &name[..], *size))?;
            }
            let bytes = black_box(writer.data());
            if batch == 0 {
                sum = checksum(bytes);
            }
            writer.clear();
        }
        Ok(sum)
    })
}

#[inline(always)]
fn hand_tuple((id, name, size): &Row, out: &mut Vec<u8>) {
    Pen::write(out, 26 + name.len(), |pen| {
        pen.put(3u16.to_be_bytes());
        pen.put(4u32.to_be_bytes());
        pen.put(id.to_be_bytes());
        pen.value(name.as_bytes());
        pen.put(8u32.to_be_bytes());
        pen.put(size.to_be_bytes());
    });
}

/// Writes a row in text format by hand. As in pg-wire, the standard library formats the float.
#[inline(always)]
fn hand_line((id, name, size): &Row, out: &mut Vec<u8>) {
    let (mut digits, mut at, mut rest) = ([b'-'; 12], 12, id.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at - usize::from(*id < 0)..]);
    out.push(b'\t');
    for byte in name.bytes() {
        match byte {
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x0b => out.extend_from_slice(b"\\v"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            byte => out.push(byte),
        }
    }
    out.push(b'\t');
    // Writing to a `Vec` cannot fail.
    let _ = writeln!(out, "{size}");
}

// ---- Reading --------------------------------------------------------------------------------------------------------

/// The rows of a COPY as a server sends them, without the header: one CopyData for each row.
fn frames(options: &CopyOptions) -> Result<Frames> {
    let mut writer = CopyWriter::new(options)?;
    writer.row(&row(0))?;
    let mut failure = None;
    let frames = Frames::fill(|number, out| {
        writer.clear();
        failure = failure.take().or(writer.row(&row(number)).err());
        // The error is ignored: it would mean that the data is too long for a message, but the data is one short row.
        let _ = CopyData { data: Payload(writer.data()) }.encode(out);
    });
    failure.map_or(Ok(frames), |error| Err(error.into()))
}

#[inline(always)]
fn touch_row(touch: &mut Touch, id: i32, name: &str, size: f64) {
    touch.value(Some(&id.to_be_bytes()));
    touch.value(Some(name.as_bytes()));
    touch.value(Some(&size.to_be_bytes()));
}

#[inline(never)]
fn hand_tuples(walk: &mut Walk, touch: &mut Touch) -> u64 {
    let (mut rows, mut seen) = (0, *touch);
    walk.frames(|code, body| {
        if code == b'd' {
            rows += u64::from(hand_read_tuple(body, &mut seen).is_some());
        }
    });
    *touch = seen;
    rows
}

#[inline(always)]
fn hand_read_tuple(body: &[u8], touch: &mut Touch) -> Option<()> {
    let (count, rest) = body.split_first_chunk()?;
    if u16::from_be_bytes(*count) != 3 {
        return None;
    }
    let (id, rest) = hand_field(rest)?;
    let (name, rest) = hand_field(rest)?;
    let (size, rest) = hand_field(rest)?;
    let id = i32::from_be_bytes(id.try_into().ok()?);
    let size = f64::from_be_bytes(size.try_into().ok()?);
    touch_row(touch, id, std::str::from_utf8(name).ok()?, size);
    rest.is_empty().then_some(())
}

#[inline(always)]
fn hand_field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

#[inline(never)]
fn hand_lines(walk: &mut Walk, touch: &mut Touch) -> u64 {
    let (mut rows, mut seen) = (0, *touch);
    walk.frames(|code, body| {
        if code == b'd' {
            rows += u64::from(hand_read_line(body, &mut seen).is_some());
        }
    });
    *touch = seen;
    rows
}

/// Reads by hand a row in text format that contains neither escapes nor NULL.
#[inline(always)]
fn hand_read_line(body: &[u8], touch: &mut Touch) -> Option<()> {
    let mut ends = [0; 3];
    let mut fields = 0;
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'\t' | b'\n' => {
                *ends.get_mut(fields)? = at;
                fields += 1;
            }
            b'\\' | b'\r' => return None,
            _ => {}
        }
    }
    let field = |start: usize, end: usize| std::str::from_utf8(body.get(start..end)?).ok();
    let id = field(0, ends[0])?.parse().ok()?;
    let size = field(ends[1] + 1, ends[2])?.parse().ok()?;
    touch_row(touch, id, field(ends[0] + 1, ends[1])?, size);
    Some(())
}

fn read_by_ours(frames: Frames, options: CopyOptions) -> impl FnMut() -> Result<u64> {
    let (mut source, mut inbox) = (frames.endless(), Inbox::new(Limits::BACKEND));
    let mut reader = ready_reader(&options);
    move || {
        let (mut seen, mut touch) = (0, Touch::default());
        let reader = reader.as_mut().map_err(|error| anyhow::anyhow!("{error}"))?;
        while seen < frames.count {
            let count = source.give(inbox.space());
            inbox.filled(count);
            seen += read_in(&mut inbox, reader, &mut touch)?;
        }
        Ok(touch.sum())
    }
}

/// Creates a reader that has already read the header.
fn ready_reader(options: &CopyOptions) -> Result<CopyReader> {
    let mut writer = CopyWriter::new(options)?;
    writer.row(&row(0))?;
    let mut reader = CopyReader::new(options)?.types(&OIDS);
    reader.row(&mut writer.data())?.context("a row")?;
    Ok(reader)
}

#[inline(never)]
fn read_in(inbox: &mut Inbox, reader: &mut CopyReader, touch: &mut Touch) -> Result<u64> {
    let (mut rows, mut seen) = (0, *touch);
    while let Some(frame) = inbox.next()? {
        if let Backend::CopyData(copy) = frame.backend()? {
            let mut piece = copy.data.0;
            while let Some((id, name, size)) = reader.decode::<(i32, &str, f64)>(&mut piece)? {
                touch_row(&mut seen, id, name, size);
                rows += 1;
            }
        }
    }
    *touch = seen;
    Ok(rows)
}

// ---- A whole connection ---------------------------------------------------------------------------------------------

/// Creates a server that accepts rows.
fn receiving_server(is_text: bool) -> CopyServer {
    let server = CopyServer::new(&[]);
    if is_text { server.text() } else { server }
}

/// Sends each batch with one call, or each row with one call.
fn sent_by_ours(options: CopyOptions, batches: usize, by: By) -> Result<impl FnMut() -> Result<u64>> {
    let is_text = options.format() == RowFormat::Text;
    let (runtime, rows, server) = (runtime()?, rows(), receiving_server(is_text));
    let copied = server.copied();
    let mut conn = Connection::new(TokioIo(server.after_login()), Limits::BACKEND);
    Ok(move || {
        runtime.block_on(async {
            let mut copy = conn.copy_in("copy t from stdin", CopyWriter::new(&options)?).await?;
            for _ in 0..batches {
                let rows = rows.iter().map(|(id, name, size)| (*id, &name[..], *size));
                match by {
                    By::Batch => copy.extend(rows).await?,
                    By::Row => {
                        for row in rows {
                            copy.row(&row).await?;
                        }
                    }
                }
            }
            copy.finish().await?;
            Ok(copied.take())
        })
    })
}

/// Whether one call sends a batch or a row.
#[derive(Clone, Copy)]
enum By {
    Batch,
    Row,
}

fn sent_by_hand(batches: usize, is_text: bool) -> Result<impl FnMut() -> Result<u64>> {
    let (runtime, rows, server) = (runtime()?, rows(), receiving_server(is_text));
    let (copied, mut server) = (server.copied(), server.after_login());
    let (mut walk, mut out) = (Walk::new(), Vec::with_capacity(2 * PIECE));
    Ok(move || {
        runtime.block_on(async {
            server.write_all(STATEMENT).await?;
            wait_for(&mut server, &mut walk, b'G').await?;
            if !is_text {
                out.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
            }
            for _ in 0..batches {
                for row in &*rows {
                    if is_text {
                        hand_line(row, &mut out)
                    } else {
                        hand_tuple(row, &mut out)
                    }
                    if out.len() >= PIECE {
                        send_data(&mut server, &mut out).await?;
                    }
                }
            }
            if !is_text {
                out.extend_from_slice(b"\xff\xff");
            }
            send_data(&mut server, &mut out).await?;
            server.write_all(b"c\0\0\0\x04").await?;
            wait_for(&mut server, &mut walk, b'Z').await?;
            Ok(copied.take())
        })
    })
}

/// A Query; the server in memory ignores the text.
const STATEMENT: &[u8] = b"Q\0\0\0\x09copy\0";

/// Sends the rows in `out` as one CopyData.
async fn send_data(server: &mut CopyServer, out: &mut Vec<u8>) -> Result<()> {
    let length = (out.len() as u32 + 4).to_be_bytes();
    server.write_all(&[b'd', length[0], length[1], length[2], length[3]]).await?;
    server.write_all(out).await?;
    out.clear();
    Ok(())
}

/// Reads messages up to a message with this code.
async fn wait_for(server: &mut CopyServer, walk: &mut Walk, wanted: u8) -> Result<()> {
    let mut is_found = false;
    while !is_found {
        let count = server.read(walk.space()).await?;
        walk.filled(count);
        walk.frames(|code, _| is_found |= code == wanted);
    }
    Ok(())
}

/// A session of tokio-postgres with the server in memory.
fn tokio_postgres(server: CopyServer) -> Result<(Runtime, Client, Statement)> {
    let runtime = runtime()?;
    let (client, statement) = runtime.block_on(async {
        let mut config = Config::new();
        config.user("test").ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect_raw(server, NoTls).await?;
        tokio::spawn(connection);
        let statement = client.prepare("copy").await?;
        Ok::<_, anyhow::Error>((client, statement))
    })?;
    Ok((runtime, client, statement))
}

fn sent_by_tokio_postgres(batches: usize) -> Result<impl FnMut() -> Result<u64>> {
    let (rows, server) = (rows(), CopyServer::new(&[]));
    let copied = server.copied();
    let (runtime, client, statement) = tokio_postgres(server)?;
    Ok(move || {
        runtime.block_on(async {
            let sink = client.copy_in::<_, Bytes>(&statement).await?;
            let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, &TYPES));
            for _ in 0..batches {
                for (id, name, size) in &*rows {
                    writer.as_mut().write(&[id, name, size]).await?;
                }
            }
            writer.finish().await?;
            Ok(copied.take())
        })
    })
}

/// Creates a server that sends all rows of a round, one CopyData for each row.
fn sending_server(options: &CopyOptions, batches: usize) -> Result<CopyServer> {
    let mut writer = CopyWriter::new(options)?;
    let mut batch = |first: usize, count: usize| {
        let mut out = Vec::with_capacity(2 * PIECE);
        for number in first..first + count {
            writer.row(&row(number))?;
            CopyData { data: Payload(writer.data()) }.encode(&mut out)?;
            writer.clear();
        }
        Ok::<_, anyhow::Error>(out)
    };
    // In binary format, the header and the first row are one message.
    let mut first = batch(0, 1)?;
    first.extend(batch(1, BATCH - 1)?);
    let again = batch(0, BATCH)?;
    writer.finish()?;
    let mut last = Vec::new();
    CopyData { data: Payload(writer.data()) }.encode(&mut last)?;
    let server = CopyServer::repeating(&first, &again, batches - 1, &last);
    Ok(if options.format() == RowFormat::Text { server.text() } else { server })
}

fn received_by_hand(options: CopyOptions, batches: usize) -> Result<impl FnMut() -> Result<u64>> {
    let is_text = options.format() == RowFormat::Text;
    let (runtime, mut server) = (runtime()?, sending_server(&options, batches)?.after_login());
    let mut walk = Walk::new();
    Ok(move || {
        runtime.block_on(async {
            server.write_all(STATEMENT).await?;
            let (mut touch, mut is_ready, mut is_first) = (Touch::default(), false, !is_text);
            while !is_ready {
                let count = server.read(walk.space()).await?;
                walk.filled(count);
                is_ready = hand_read(&mut walk, &mut touch, is_text, &mut is_first);
            }
            Ok(touch.sum())
        })
    })
}

/// Reads the buffered rows. Returns whether ReadyForQuery has arrived. Before the first row in binary format, skips the header.
#[inline(never)]
fn hand_read(walk: &mut Walk, touch: &mut Touch, is_text: bool, is_first: &mut bool) -> bool {
    let (mut is_ready, mut seen) = (false, *touch);
    walk.frames(|code, body| match code {
        b'd' if is_text => {
            black_box(hand_read_line(body, &mut seen));
        }
        b'd' => {
            let header = if std::mem::take(is_first) { 19 } else { 0 };
            black_box(hand_read_tuple(&body[header..], &mut seen));
        }
        b'Z' => is_ready = true,
        _ => {}
    });
    *touch = seen;
    is_ready
}

fn received_by_ours(options: CopyOptions, batches: usize) -> Result<impl FnMut() -> Result<u64>> {
    let (runtime, server) = (runtime()?, sending_server(&options, batches)?);
    let mut conn = Connection::new(TokioIo(server.after_login()), Limits::BACKEND);
    Ok(move || {
        runtime.block_on(async {
            let reader = CopyReader::new(&options)?.types(&OIDS);
            let mut copy = conn.copy_out("copy t to stdout", reader).await?;
            let mut touch = Touch::default();
            while let Some((id, name, size)) = copy.decode::<(i32, &str, f64)>().await? {
                touch_row(&mut touch, id, name, size);
            }
            Ok(touch.sum())
        })
    })
}

fn received_by_tokio_postgres(batches: usize) -> Result<impl FnMut() -> Result<u64>> {
    let (runtime, client, statement) = tokio_postgres(sending_server(&CopyOptions::binary(), batches)?)?;
    Ok(move || {
        runtime.block_on(async {
            let stream = client.copy_out(&statement).await?;
            let mut stream = std::pin::pin!(BinaryCopyOutStream::new(stream, &TYPES));
            let mut touch = Touch::default();
            while let Some(row) = stream.try_next().await? {
                touch_row(&mut touch, row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            }
            Ok(touch.sum())
        })
    })
}
