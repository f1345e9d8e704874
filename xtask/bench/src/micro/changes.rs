//! Measurements of decoding changes of logical replication. The bytes arrive in pieces of 64 KB, and each implementation reads every value
//! of every inserted row.
//!
//! The work has two steps: reading messages, and decoding pgoutput. Each of the two compared libraries has public functions for only one
//! step:
//!
//! - `pg_walstream` only decodes pgoutput. So this module cuts the messages out of a buffer, as the private connection of `pg_walstream`
//!   does.
//! - `pgwire-replication` only reads messages. So a function of the hand-written loop reads the values.

use anyhow::{Result, ensure};
use bytes::BytesMut;
use pg_walstream::{BufferReader, LogicalReplicationMessage, LogicalReplicationParser};
use pg_wire::backend::Backend;
use pg_wire::replication::pgoutput::{Change, Decoder, Insert, Tuple, TupleValue};
use pg_wire::replication::{Enclosed, Lsn, PrimaryMessage, Timestamp, XLogData};
use pg_wire::{Encode, Inbox, Limits, codec::Payload};
use pgwire_replication::protocol::framing::MessageReader;
use pgwire_replication::protocol::replication::{ReplicationCopyData, parse_copy_data};
use tokio::io::BufReader;

use super::decode::runtime;
use super::hand::{Walk, limit};
use super::source::{self, Endless, Frames, PIECE};
use super::touch::Touch;
use crate::line::{Line, Target, Who};

/// The number of Insert messages that are made in memory. Longer streams repeat these messages.
const INSERTS: usize = 2500;

/// Returns one measurement: decoding Insert messages of eight columns. Each Insert has its own frame, as from a server.
pub(crate) fn lines() -> Result<Vec<Line>> {
    let frames = inserts()?;
    let name = "micro: replication, decode an insert of 8";
    Ok(vec![contenders(Line::new(name, "insert", frames.count, Target::new(1.25, 1.0)), frames)])
}

/// Returns the measurement of decoding a stream of `count` Insert messages. Precondition: `count` is a multiple of [`INSERTS`].
pub(crate) fn long_stream(count: u64) -> Result<Line> {
    let frames = inserts()?.repeated(count);
    let line = Line::new(
        format!("replication: decode {count} inserts of 8"),
        "insert",
        count,
        Target::new(1.25, 1.0),
    );
    Ok(contenders(line.long(), frames))
}

fn contenders(line: Line, frames: Frames) -> Line {
    line.with(Who::Limit, limit(frames, hand_inserts))
        .with(Who::Ours, ours(frames))
        .with(Who::Peer("pg_walstream"), walstream(frames))
        .prepared(Who::Peer("pgwire-replication"), move || Ok(Box::new(pgwire_replication(frames)?)))
}

fn inserts() -> Result<Frames> {
    let mut frames = Vec::new();
    for row in 0..INSERTS {
        let texts: Vec<Option<String>> = (0..8).map(|column| source::text(row, column)).collect();
        let values: Vec<TupleValue<'_>> = texts
            .iter()
            .map(|text| text.as_ref().map_or(TupleValue::Null, |text| TupleValue::Text(text.as_bytes())))
            .collect();
        let mut data = Vec::new();
        Insert { xid: None, relation: 16_385, new: Tuple::from(values.as_slice()) }.encode(&mut data)?;
        let lsn = Lsn(row as u64);
        let wal = XLogData { start: lsn, end: lsn, time: Timestamp(0), data: Payload(&data) };
        wal.in_copy_data().encode(&mut frames)?;
    }
    Ok(Frames { bytes: source::away(&frames), count: INSERTS as u64 })
}

/// Decodes an Insert in the hand-written loop: checks the kinds of the messages, skips the WAL positions, and reads the values.
#[inline(always)]
fn hand_insert(body: &[u8], touch: &mut Touch) -> u64 {
    // XLogData begins with `w` and three Int64. The Insert inside it begins with `I`, Int32 relation and `N`.
    let Some((head, rest)) = body.split_first_chunk::<31>() else { return 0 };
    if head[0] != b'w' || head[25] != b'I' || head[30] != b'N' {
        return 0;
    }
    hand_tuple(rest, touch)
}

/// Reads the values of a tuple. Returns the number of rows: 1, or 0 if the bytes are not a tuple.
#[inline(always)]
fn hand_tuple(tuple: &[u8], touch: &mut Touch) -> u64 {
    let Some((count, mut rest)) = tuple.split_first_chunk() else { return 0 };
    for _ in 0..u16::from_be_bytes(*count) {
        let Some((form, values)) = rest.split_first() else { return 0 };
        match form {
            b't' | b'b' => {
                let Some((length, values)) = values.split_first_chunk() else { return 0 };
                let (value, values) = values.split_at(u32::from_be_bytes(*length) as usize);
                touch.value(Some(value));
                rest = values;
            }
            _ => {
                touch.value(None);
                rest = values;
            }
        }
    }
    1
}

#[inline(never)]
fn hand_inserts(walk: &mut Walk, touch: &mut Touch) -> u64 {
    let (mut rows, mut seen) = (0, *touch);
    walk.frames(|code, body| {
        if code == b'd' {
            rows += hand_insert(body, &mut seen);
        }
    });
    *touch = seen;
    rows
}

#[inline(never)]
fn our_inserts(inbox: &mut Inbox, decoder: &mut Decoder, touch: &mut Touch) -> Result<u64> {
    let (mut rows, mut seen) = (0, *touch);
    while let Some(frame) = inbox.next()? {
        let Backend::CopyData(copy) = frame.backend()? else { continue };
        let PrimaryMessage::XLogData(wal) = PrimaryMessage::decode(copy.data.0)? else { continue };
        if let Change::Insert(insert) = decoder.decode(wal.data.0)? {
            for value in insert.new {
                seen.value(value?.as_bytes());
            }
            rows += 1;
        }
    }
    *touch = seen;
    Ok(rows)
}

fn ours(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut inbox) = (frames.endless(), Inbox::new(Limits::BACKEND));
    let mut decoder = Decoder::default();
    move || {
        let (mut rows, mut touch) = (0, Touch::default());
        while rows < frames.count {
            let count = source.give(inbox.space());
            inbox.filled(count);
            rows += our_inserts(&mut inbox, &mut decoder, &mut touch)?;
        }
        Ok(touch.sum())
    }
}

/// Cuts a frame out of the buffer as the connection of pg_walstream does: the bytes are shared, not copied.
#[inline(always)]
fn cut(buffer: &mut BytesMut) -> Option<bytes::Bytes> {
    let (head, _) = buffer.split_first_chunk::<5>()?;
    let length = 1 + u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    (buffer.len() >= length).then(|| buffer.split_to(length).freeze().slice(5..))
}

#[inline(never)]
fn walstream_inserts(
    buffer: &mut BytesMut,
    parser: &mut LogicalReplicationParser,
    touch: &mut Touch,
) -> Result<u64> {
    let (mut rows, mut seen) = (0, *touch);
    while let Some(body) = cut(buffer) {
        let mut reader = BufferReader::from_bytes(body);
        ensure!(reader.read_u8()? == b'w', "a message is not XLogData");
        reader.skip(24)?;
        let data = reader.read_bytes_buf(reader.remaining())?;
        if let LogicalReplicationMessage::Insert { tuple, .. } = parser.parse_wal_message_bytes(data)?.message
        {
            for value in &tuple.columns {
                seen.value((!value.is_null()).then(|| value.as_bytes()));
            }
            rows += 1;
        }
    }
    *touch = seen;
    Ok(rows)
}

fn walstream(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut buffer) = (frames.endless(), BytesMut::new());
    let mut parser = LogicalReplicationParser::with_protocol_version(1);
    move || {
        let (mut rows, mut touch) = (0, Touch::default());
        while rows < frames.count {
            // Like the connection of pg_walstream: as soon as less than 64 KB is free, reserves 256 KB.
            if buffer.capacity() - buffer.len() < PIECE {
                buffer.reserve(4 * PIECE);
            }
            buffer.extend_from_slice(source.piece(PIECE));
            rows += walstream_inserts(&mut buffer, &mut parser, &mut touch)?;
        }
        Ok(touch.sum())
    }
}

/// Reads messages with pgwire-replication, which returns the bytes of each pgoutput message. Reads the values with the hand-written loop.
#[inline(never)]
async fn pgwire_inserts(
    reader: &mut MessageReader,
    source: &mut BufReader<Endless>,
    count: u64,
) -> Result<u64> {
    let (mut rows, mut touch) = (0, Touch::default());
    while rows < count {
        let message = reader.read(source).await?;
        if let ReplicationCopyData::XLogData { data, .. } = parse_copy_data(message.payload)?
            && let Some((&[b'I', _, _, _, _, b'N'], tuple)) = data.split_first_chunk()
        {
            rows += hand_tuple(tuple, &mut touch);
        }
    }
    Ok(touch.sum())
}

fn pgwire_replication(frames: Frames) -> Result<impl FnMut() -> Result<u64>> {
    // The buffer has the same size as the buffer in the worker of pgwire-replication.
    let mut source = BufReader::with_capacity(128 * 1024, frames.endless());
    let (mut reader, runtime) = (MessageReader::new(), runtime()?);
    Ok(move || runtime.block_on(pgwire_inserts(&mut reader, &mut source, frames.count)))
}
