//! CopyData, read piece by piece.

use anyhow::Result;
use bytes::BytesMut;
use pg_wire::backend::Backend;
use pg_wire::{CopyData, Inbox, Limits, Message, Payload};
use pgwire::messages::PgWireBackendMessage;
use postgres_protocol::message::backend::Message as TheirMessage;

use super::decode::pgwire_context;
use super::hand::Walk;
use super::source::{Frames, PIECE};
use super::touch::Touch;
use crate::line::{Line, Target, Who};

/// Small ones and large ones.
pub(crate) fn lines() -> Result<Vec<Line>> {
    Ok(vec![line(64, "64 B", Target::new(1.3, 5.0))?, line(8192, "8 KB", Target::new(1.1, 1.1))?])
}

/// Pieces of a COPY, of this many bytes each.
pub(crate) fn frames(length: usize) -> Result<Frames> {
    let data = vec![b'x'; length];
    let mut refused = None;
    let frames = Frames::fill(|_, out| {
        refused = refused.take().or(CopyData { data: Payload(&data) }.encode(out).err());
    });
    refused.map_or(Ok(frames), |error| Err(error.into()))
}

fn line(length: usize, size: &str, target: Target) -> Result<Line> {
    let frames = frames(length)?;
    let name = format!("micro: decode CopyData of {size}");
    Ok(Line::new(name, "CopyData", frames.count, target)
        .with(Who::Limit, limit(frames))
        .with(Who::Ours, ours(frames))
        .with(Who::Peer("postgres-protocol"), postgres_protocol(frames))
        .with(Who::Peer("pgwire"), pgwire(frames))
        .with(Who::Peer("pg_stream"), pg_stream(frames)))
}

fn limit(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut walk) = (frames.endless(), Walk::new());
    move || {
        let (mut seen, mut touch) = (0, Touch::default());
        while seen < frames.count {
            let count = source.give(walk.space());
            walk.filled(count);
            walk.frames(|code, body| {
                if code == b'd' {
                    touch.value(Some(body));
                    seen += 1;
                }
            });
        }
        Ok(touch.sum())
    }
}

fn ours(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut inbox) = (frames.endless(), Inbox::new(Limits::BACKEND));
    move || {
        let (mut seen, mut touch) = (0, Touch::default());
        while seen < frames.count {
            let count = source.give(inbox.space());
            inbox.filled(count);
            while let Some(frame) = inbox.next()? {
                if let Backend::CopyData(copy) = frame.backend()? {
                    touch.value(Some(copy.data.0));
                    seen += 1;
                }
            }
        }
        Ok(touch.sum())
    }
}

fn postgres_protocol(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut buffer) = (frames.endless(), BytesMut::with_capacity(2 * PIECE));
    let mut piece = vec![0; PIECE];
    move || {
        let (mut seen, mut touch) = (0, Touch::default());
        while seen < frames.count {
            let count = source.give(&mut piece);
            buffer.extend_from_slice(&piece[..count]);
            while let Some(message) = TheirMessage::parse(&mut buffer)? {
                if let TheirMessage::CopyData(copy) = message {
                    touch.value(Some(copy.data()));
                    seen += 1;
                }
            }
        }
        Ok(touch.sum())
    }
}

fn pgwire(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut buffer) = (frames.endless(), BytesMut::with_capacity(2 * PIECE));
    let (mut piece, context) = (vec![0; PIECE], pgwire_context());
    move || {
        let (mut seen, mut touch) = (0, Touch::default());
        while seen < frames.count {
            let count = source.give(&mut piece);
            buffer.extend_from_slice(&piece[..count]);
            while let Some(message) = PgWireBackendMessage::decode(&mut buffer, &context)? {
                if let PgWireBackendMessage::CopyData(copy) = message {
                    touch.value(Some(&copy.data));
                    seen += 1;
                }
            }
        }
        Ok(touch.sum())
    }
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
