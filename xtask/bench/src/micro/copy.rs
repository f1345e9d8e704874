//! Measurements of decoding CopyData messages. The bytes arrive in pieces of 64 KB.

use anyhow::Result;
use bytes::BytesMut;
use pg_wire::backend::Backend;
use pg_wire::{Encode, Inbox, Limits, backend::CopyData, codec::Payload};
use pgwire::messages::{DecodeContext, PgWireBackendMessage};
use postgres_protocol::message::backend::Message as TheirMessage;

use super::decode::pgwire_context;
use super::hand::{Walk, limit};
use super::source::{Frames, PIECE};
use super::touch::Touch;
use crate::line::{Line, Target, Who};

/// Returns two measurements: one with messages of 64 bytes, and one with messages of 8 KB.
pub(crate) fn lines() -> Result<Vec<Line>> {
    Ok(vec![line(64, "64 B", Target::new(1.3, 5.0))?, line(8192, "8 KB", Target::new(1.1, 1.1))?])
}

/// CopyData messages with `length` bytes of data each.
pub(crate) fn frames(length: usize) -> Result<Frames> {
    let data = vec![b'x'; length];
    let mut failure = None;
    let frames = Frames::fill(|_, out| {
        failure = failure.take().or(CopyData { data: Payload(&data) }.encode(out).err());
    });
    failure.map_or(Ok(frames), |error| Err(error.into()))
}

fn line(length: usize, size: &str, target: Target) -> Result<Line> {
    let frames = frames(length)?;
    let name = format!("micro: decode CopyData of {size}");
    Ok(Line::new(name, "CopyData", frames.count, target)
        .with(Who::Limit, limit(frames, hand_pieces))
        .with(Who::Ours, ours(frames))
        .with(Who::Peer("postgres-protocol"), postgres_protocol(frames))
        .with(Who::Peer("pgwire"), pgwire(frames))
        .with(Who::Peer("pg_stream"), pg_stream(frames)))
}

/// Reads the buffered messages. Not inlined, so that the compiler keeps the counters in registers (NOTES.md, "Measuring").
#[inline(never)]
fn hand_pieces(walk: &mut Walk, touch: &mut Touch) -> u64 {
    let (mut pieces, mut seen) = (0, *touch);
    walk.frames(|code, body| {
        if code == b'd' {
            seen.value(Some(body));
            pieces += 1;
        }
    });
    *touch = seen;
    pieces
}

fn ours(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut inbox) = (frames.endless(), Inbox::new(Limits::BACKEND));
    move || {
        let (mut seen, mut touch) = (0, Touch::default());
        while seen < frames.count {
            let count = source.give(inbox.space());
            inbox.filled(count);
            seen += ours_in(&mut inbox, &mut touch)?;
        }
        Ok(touch.sum())
    }
}

#[inline(never)]
fn ours_in(inbox: &mut Inbox, touch: &mut Touch) -> Result<u64> {
    let (mut pieces, mut seen) = (0, *touch);
    while let Some(frame) = inbox.next()? {
        if let Backend::CopyData(copy) = frame.backend()? {
            seen.value(Some(copy.data.0));
            pieces += 1;
        }
    }
    *touch = seen;
    Ok(pieces)
}

fn postgres_protocol(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut buffer) = (frames.endless(), BytesMut::with_capacity(2 * PIECE));
    let mut piece = vec![0; PIECE];
    move || {
        let (mut seen, mut touch) = (0, Touch::default());
        while seen < frames.count {
            let count = source.give(&mut piece);
            buffer.extend_from_slice(&piece[..count]);
            seen += postgres_protocol_in(&mut buffer, &mut touch)?;
        }
        Ok(touch.sum())
    }
}

#[inline(never)]
fn postgres_protocol_in(buffer: &mut BytesMut, touch: &mut Touch) -> Result<u64> {
    let (mut pieces, mut seen) = (0, *touch);
    while let Some(message) = TheirMessage::parse(buffer)? {
        if let TheirMessage::CopyData(copy) = message {
            seen.value(Some(copy.data()));
            pieces += 1;
        }
    }
    *touch = seen;
    Ok(pieces)
}

fn pgwire(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut buffer) = (frames.endless(), BytesMut::with_capacity(2 * PIECE));
    let (mut piece, context) = (vec![0; PIECE], pgwire_context());
    move || {
        let (mut seen, mut touch) = (0, Touch::default());
        while seen < frames.count {
            let count = source.give(&mut piece);
            buffer.extend_from_slice(&piece[..count]);
            seen += pgwire_in(&mut buffer, &context, &mut touch)?;
        }
        Ok(touch.sum())
    }
}

#[inline(never)]
fn pgwire_in(buffer: &mut BytesMut, context: &DecodeContext, touch: &mut Touch) -> Result<u64> {
    let (mut pieces, mut seen) = (0, *touch);
    while let Some(message) = PgWireBackendMessage::decode(buffer, context)? {
        if let PgWireBackendMessage::CopyData(copy) = message {
            seen.value(Some(&copy.data));
            pieces += 1;
        }
    }
    *touch = seen;
    Ok(pieces)
}

fn pg_stream(frames: Frames) -> impl FnMut() -> Result<u64> {
    let reader = std::io::BufReader::with_capacity(PIECE, frames.endless());
    let mut conn = pg_stream::PgConnection::new(reader);
    move || {
        let (mut seen, mut touch) = (0, Touch::default());
        while seen < frames.count {
            if let pg_stream::PgMessage::CopyData(data) = conn.recv_sync()? {
                touch.value(Some(&data));
                seen += 1;
            }
        }
        Ok(touch.sum())
    }
}
