//! Measurements of forwarding frames from an inbox to an outbox without decoding the frames. Other libraries are not measured, because they
//! have no such function.

use std::hint::black_box;

use anyhow::Result;
use pg_wire::{Inbox, Limits};

use super::hand::Walk;
use super::source::{self, Frames};
use crate::line::{Line, Target, Who};

/// Returns two measurements: one with rows, and one with larger frames.
pub(crate) fn lines() -> Result<Vec<Line>> {
    let line = |name: &str, frames: Frames| {
        Line::new(format!("micro: forward {name}"), "frame", frames.count, Target::limit(1.3))
            .with(Who::Limit, limit(frames))
            .with(Who::Ours, ours(frames))
    };
    Ok(vec![line("a row of 8", source::rows(8)?), line("CopyData of 8 KB", super::copy::frames(8192)?)])
}

/// Forwards frames in the hand-written loop: reads the headers of all whole frames in the buffer, then copies these frames with one call.
fn limit(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut walk, mut out) = (frames.endless(), Walk::new(), Vec::new());
    move || {
        let mut bytes = 0;
        while bytes < frames.bytes.len() {
            let count = source.give(walk.space());
            walk.filled(count);
            out.extend_from_slice(walk.run());
            bytes += black_box(&out).len();
            out.clear();
        }
        Ok(bytes as u64)
    }
}

fn ours(frames: Frames) -> impl FnMut() -> Result<u64> {
    let (mut source, mut inbox) = (frames.endless(), Inbox::new(Limits::BACKEND));
    let mut outbox = super::encode::outbox();
    move || {
        let mut bytes = 0;
        while bytes < frames.bytes.len() {
            let count = source.give(inbox.space());
            inbox.filled(count);
            while let Some(frame) = inbox.next()? {
                outbox.put(&frame);
            }
            outbox.commit()?;
            let sent = black_box(outbox.pending()).len();
            outbox.sent(sent);
            bytes += sent;
        }
        Ok(bytes as u64)
    }
}
