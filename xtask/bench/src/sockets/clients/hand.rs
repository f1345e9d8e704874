//! The hand-written client (the limit), on the same runtime as pg-stream-tokio.

use std::io::IoSlice;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use super::scram::Scram;
use super::{Client, ONE, Pieces, Pipeline};
use crate::micro::hand::{self, Walk};
use crate::micro::source::PIECE;
use crate::micro::touch::Touch;
use crate::micro::typed::hand_binary_row;
use crate::sockets::place::{Dial, Place};
use crate::sockets::typed::ReadTyped;

/// A connection of the hand-written client.
pub(crate) struct Hand<S> {
    runtime: Rc<Runtime>,
    session: Session<S>,
    prepared: bool,
}

/// An open session: a stream, an input buffer and an output buffer.
struct Session<S> {
    stream: S,
    walk: Walk,
    out: Vec<u8>,
}

impl<S: Dial> Hand<S> {
    /// Connects and logs in, by SCRAM or without a password.
    pub(crate) fn connect(place: &Place, runtime: Rc<Runtime>) -> Result<Self> {
        let session = runtime.block_on(async {
            let mut session =
                Session { stream: S::dial(place).await?, walk: Walk::new(), out: Vec::with_capacity(PIECE) };
            let body = format!("user\0{}\0database\0{}\0\0", place.user, place.database);
            session.out.extend((body.len() as u32 + 8).to_be_bytes());
            session.out.extend(196_608_u32.to_be_bytes());
            session.out.extend(body.as_bytes());
            session.send().await?;
            session.log_in(place).await?;
            Ok::<_, anyhow::Error>(session)
        })?;
        Ok(Self { runtime, session, prepared: false })
    }

    fn prepare(&mut self) -> Result<()> {
        if !self.prepared {
            self.session.message(b'P', &[b"one\0", ONE.as_bytes(), b"\0\0\x01\0\0\0\x17"]);
            self.session.message(b'S', &[]);
            self.runtime.block_on(async {
                self.session.send().await?;
                self.session.until_ready(1).await
            })?;
            self.prepared = true;
        }
        Ok(())
    }
}

impl<S: Dial> Session<S> {
    /// Runs the login until ReadyForQuery arrives.
    async fn log_in(&mut self, place: &Place) -> Result<()> {
        let mut scram = None;
        loop {
            let count = self.stream.read(self.walk.space()).await?;
            ensure!(count > 0, "the server closed the connection");
            self.walk.filled(count);
            let (mut requests, mut ready, mut failed) = (Vec::new(), false, false);
            self.walk.frames(|code, body| match code {
                b'R' => requests.push(body.to_vec()),
                b'Z' => ready = true,
                b'E' => failed = true,
                _ => {}
            });
            ensure!(!failed, "the server rejected the login");
            for body in requests {
                match body.split_first_chunk::<4>() {
                    Some(([0, 0, 0, 0], _)) => {}
                    Some(([0, 0, 0, 10], _)) => {
                        let begun = scram.insert(Scram::new(place, self.stream.end_point()?)?);
                        let first = begun.first();
                        let length = (first.len() as u32).to_be_bytes();
                        self.message(b'p', &[begun.mechanism(), &length, first.as_bytes()]);
                        self.send().await?;
                    }
                    Some(([0, 0, 0, 11], message)) => {
                        let scram = scram.as_mut().context("SCRAM has not begun")?;
                        let last = scram.last(message)?;
                        self.message(b'p', &[last.as_bytes()]);
                        self.send().await?;
                    }
                    Some(([0, 0, 0, 12], message)) => {
                        scram.as_ref().context("SCRAM has not begun")?.check(message)?;
                    }
                    _ => bail!("the server requests an authentication method other than SCRAM"),
                }
            }
            if ready {
                return Ok(());
            }
        }
    }

    fn message(&mut self, code: u8, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.out.push(code);
        self.out.extend((length as u32 + 4).to_be_bytes());
        for part in parts {
            self.out.extend_from_slice(part);
        }
    }

    async fn send(&mut self) -> Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    /// Sends a CopyData by a vectored write of header and data, so the data is not copied to a buffer.
    async fn send_uncopied(&mut self, data: &[u8]) -> Result<()> {
        let length = (data.len() as u32 + 4).to_be_bytes();
        let head = [b'd', length[0], length[1], length[2], length[3]];
        let mut slices = [IoSlice::new(&head), IoSlice::new(data)];
        let mut slices = &mut slices[..];
        while !slices.is_empty() {
            let count = self.stream.write_vectored(slices).await?;
            ensure!(count > 0, "the server closed the connection");
            IoSlice::advance_slices(&mut slices, count);
        }
        Ok(())
    }

    /// Reads until `syncs` ReadyForQuery messages have arrived. Returns the sum over the values of all rows and over all COPY data.
    async fn until_ready(&mut self, syncs: u64) -> Result<u64> {
        self.until_ready_by(syncs, look).await
    }

    /// Reads until `syncs` ReadyForQuery messages have arrived. `look` reads the buffered messages, and returns the number of ReadyForQuery
    /// messages. Returns the sum that `look` has computed.
    async fn until_ready_by(
        &mut self,
        syncs: u64,
        look: impl Fn(&mut Walk, &mut Touch) -> Result<u64>,
    ) -> Result<u64> {
        let (mut left, mut touch) = (syncs, Touch::default());
        while left > 0 {
            let count = self.stream.read(self.walk.space()).await?;
            ensure!(count > 0, "the server closed the connection");
            self.walk.filled(count);
            left -= look(&mut self.walk, &mut touch)?;
        }
        Ok(touch.sum())
    }

    /// Writes the messages that run a statement by the extended protocol, with results in binary format.
    fn run_binary(&mut self, sql: &str) {
        self.message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"]);
        self.message(b'B', &[b"\0\0\0\0\0\0\0\x01\0\x01"]);
        self.message(b'E', &[b"\0\0\0\0\0"]);
        self.message(b'S', &[]);
    }

    /// Reads until the server is ready for the data of a COPY.
    async fn until_copy_in(&mut self) -> Result<()> {
        let mut ready = false;
        while !ready {
            let count = self.stream.read(self.walk.space()).await?;
            ensure!(count > 0, "the server closed the connection");
            self.walk.filled(count);
            self.walk.frames(|code, _| ready |= code == b'G');
        }
        Ok(())
    }

    #[inline]
    fn bind_execute(&mut self, value: u32) {
        // A Bind with portal, statement, one format, one value, one result format; then an Execute.
        let mut bytes =
            *b"B\0\0\0\x1b\0one\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\0\0\x01\0\x01E\0\0\0\x09\0\0\0\0\0";
        bytes[20..24].copy_from_slice(&value.to_be_bytes());
        self.out.extend_from_slice(&bytes);
    }

    #[inline]
    fn sync(&mut self) {
        self.out.extend_from_slice(b"S\0\0\0\x04");
    }
}

/// Reads the buffered messages. Returns the number of ReadyForQuery messages.
#[inline(never)]
fn look(walk: &mut Walk, touch: &mut Touch) -> Result<u64> {
    let (mut ready, mut seen, mut failed) = (0, *touch, false);
    walk.frames(|code, body| match code {
        b'D' => hand::row(body, &mut seen),
        b'd' => seen.value(Some(body)),
        b'Z' => ready += 1,
        b'E' => failed = true,
        _ => {}
    });
    *touch = seen;
    ensure!(!failed, "the server reports an error");
    Ok(ready)
}

/// Reads the buffered messages, with rows of `4 * groups` typed values. Returns the number of ReadyForQuery messages.
#[inline(never)]
fn look_typed(walk: &mut Walk, touch: &mut Touch, groups: usize) -> Result<u64> {
    let (mut ready, mut seen, mut failed) = (0, *touch, false);
    walk.frames(|code, body| match code {
        b'D' => failed |= hand_binary_row(body, groups, &mut seen).is_none(),
        b'Z' => ready += 1,
        b'E' => failed = true,
        _ => {}
    });
    *touch = seen;
    ensure!(!failed, "the server reports an error, or a row is malformed");
    Ok(ready)
}

impl<S: Dial> Hand<S> {
    fn read_typed(&mut self, sql: &str, groups: usize) -> Result<u64> {
        self.session.run_binary(sql);
        self.runtime.block_on(async {
            self.session.send().await?;
            self.session.until_ready_by(1, |walk, touch| look_typed(walk, touch, groups)).await
        })
    }
}

impl<S: Dial> ReadTyped for Hand<S> {
    fn read_four(&mut self, sql: &str) -> Result<u64> {
        self.read_typed(sql, 1)
    }

    fn read_twelve(&mut self, sql: &str) -> Result<u64> {
        self.read_typed(sql, 3)
    }
}

impl<S: Dial> Client for Hand<S> {
    fn read_text(&mut self, sql: &str) -> Result<u64> {
        self.session.message(b'Q', &[sql.as_bytes(), b"\0"]);
        self.runtime.block_on(async {
            self.session.send().await?;
            self.session.until_ready(1).await
        })
    }

    fn read_binary(&mut self, sql: &str) -> Result<u64> {
        self.session.run_binary(sql);
        self.runtime.block_on(async {
            self.session.send().await?;
            self.session.until_ready(1).await
        })
    }

    fn copy_out(&mut self, sql: &str) -> Result<u64> {
        self.read_text(sql)
    }

    fn copy_in(&mut self, sql: &str, pieces: Pieces) -> Result<u64> {
        self.session.message(b'Q', &[sql.as_bytes(), b"\0"]);
        self.runtime.block_on(async {
            self.session.send().await?;
            self.session.until_copy_in().await?;
            for _ in 0..pieces.times {
                if pieces.piece.len() >= PIECE {
                    self.session.send_uncopied(pieces.piece).await?;
                    continue;
                }
                self.session.out.push(b'd');
                self.session.out.extend_from_slice(&(pieces.piece.len() as u32 + 4).to_be_bytes());
                self.session.out.extend_from_slice(pieces.piece);
                if self.session.out.len() >= PIECE {
                    self.session.send().await?;
                }
            }
            self.session.message(b'c', &[]);
            self.session.send().await?;
            self.session.until_ready(1).await
        })
    }

    fn pipeline(&mut self, pipeline: Pipeline) -> Result<u64> {
        self.prepare()?;
        let session = &mut self.session;
        self.runtime.block_on(async {
            let mut sum = 0_u64;
            for batch in 0..pipeline.batches {
                for place in 0..pipeline.depth {
                    session.bind_execute((batch + place) as u32);
                    if pipeline.sync_each {
                        session.sync();
                    }
                }
                if !pipeline.sync_each {
                    session.sync();
                }
                session.send().await?;
                let syncs = if pipeline.sync_each { pipeline.depth } else { 1 };
                sum = sum.wrapping_add(session.until_ready(syncs).await?);
            }
            Ok(sum)
        })
    }

    fn round_trips(&mut self, count: u64) -> Result<u64> {
        self.pipeline(Pipeline { depth: 1, batches: count, sync_each: true })
    }
}
