//! Measurements of decoding changes of logical replication: each contender reads every value of every inserted row, from pieces of 64 KB.

use anyhow::Result;
use pg_wire::backend::Backend;
use pg_wire::replication::pgoutput::{Change, Decoder, Insert, Tuple, TupleValue};
use pg_wire::replication::{Enclosed, Lsn, PrimaryMessage, Timestamp, XLogData};
use pg_wire::{Encode, Inbox, Limits, codec::Payload};

use super::hand::{Walk, limit};
use super::source::{self, Frames};
use super::touch::Touch;
use crate::line::{Line, Target, Who};

/// Returns one measurement: decoding Insert messages of eight columns. Each Insert has its own frame, as from a server.
pub(crate) fn lines() -> Result<Vec<Line>> {
    let frames = inserts()?;
    Ok(vec![
        Line::new("micro: decode an insert of 8, pgoutput", "insert", frames.count, Target::limit(1.25))
            .with(Who::Limit, limit(frames, hand_inserts))
            .with(Who::Ours, ours(frames)),
    ])
}

fn inserts() -> Result<Frames> {
    let mut failure = None;
    let frames = Frames::fill(|row, out| {
        let texts: Vec<Option<String>> = (0..8).map(|column| source::text(row, column)).collect();
        let values: Vec<TupleValue<'_>> = texts
            .iter()
            .map(|text| text.as_ref().map_or(TupleValue::Null, |text| TupleValue::Text(text.as_bytes())))
            .collect();
        let mut data = Vec::new();
        let insert = Insert { xid: None, relation: 16_385, new: Tuple::from(values.as_slice()) };
        failure = failure.take().or(insert.encode(&mut data).err());
        let lsn = Lsn(row as u64);
        let wal = XLogData { start: lsn, end: lsn, time: Timestamp(0), data: Payload(&data) };
        failure = failure.take().or(wal.in_copy_data().encode(out).err());
    });
    failure.map_or(Ok(frames), |error| Err(error.into()))
}

/// Decodes an Insert in the hand-written loop: compares the kinds of the messages, skips the WAL positions, and reads the values.
#[inline(always)]
fn hand_insert(body: &[u8], touch: &mut Touch) -> u64 {
    // XLogData begins with `w` and three Int64. The Insert inside it begins with `I`, Int32 relation and `N`.
    let Some((head, rest)) = body.split_first_chunk::<31>() else { return 0 };
    if head[0] != b'w' || head[25] != b'I' || head[30] != b'N' {
        return 0;
    }
    let Some((count, mut rest)) = rest.split_first_chunk() else { return 0 };
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
