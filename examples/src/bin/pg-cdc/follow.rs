//! The stream: from the server's messages to the output, and from the output's position to the server.

use std::time::Duration;

use pg_wire::replication::Lsn;
use pg_wire::replication::pgoutput::Table;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::arguments::Task;
use crate::changes::{BLOCK, Changes, Taken};
use crate::failure::Failure;
use crate::held::Held;
use crate::meter::Meter;
use crate::output::{Output, Piece};
use crate::session::{Stream, look_up};
use crate::signals::Signals;
use crate::snapshot::answered;
use crate::table::lacks;

/// Time between two looks at the positions.
const TICK: Duration = Duration::from_millis(100);

/// Longest wait for the server to end the stream. A server in the middle of a large transaction may take longer; it has the confirmation
/// by then, and if not, the next start asks for the recorded position.
const FAREWELL: Duration = Duration::from_secs(10);

/// A stream, and all that it feeds.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    pub(crate) stream: Stream,
    pub(crate) task: &'a Task,
    pub(crate) changes: &'a mut Changes,
    pub(crate) output: &'a Output,
    pub(crate) signals: &'a mut Signals,
    pub(crate) meter: &'a mut Meter,
    /// The lines of the present transaction, if the output may not have a part of a transaction.
    pub(crate) held: Option<Held>,
    /// The last position that the output has been given.
    pub(crate) given: Option<Lsn>,
}

impl Follow<'_> {
    /// Follows the changes until the position to stop at, or a signal, and confirms them.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let mut durable = self.output.durable.clone();
        let mut tick = ticker();
        loop {
            if !self.changes.is_inside() && (self.signals.is_stopping() || self.is_at_end()) {
                break;
            }
            tokio::select! {
                biased;
                received = self.stream.next() => {
                    let Some(received) = received? else { return Err(Failure::Ended) };
                    match self.changes.take(&received)? {
                        Taken::Next => {}
                        Taken::Described(table) => self.describe(table).await?,
                        Taken::Reached => break,
                    }
                    if self.changes.lines.len() >= BLOCK {
                        self.hand_over().await?;
                    }
                }
                // Nothing more is buffered: the lines need not wait for others.
                _ = std::future::ready(()), if !self.changes.lines.is_empty() => self.hand_over().await?,
                changed = durable.changed() => {
                    changed.map_err(|_| Failure::OutputEnded)?;
                    self.confirm().await?;
                }
                _ = tick.tick() => self.confirm().await?,
                stopped = self.signals.next() => stopped?,
            }
        }
        self.finish().await
    }

    /// Whether everything before the position to stop at has been received.
    fn is_at_end(&self) -> bool {
        self.changes.until.is_some_and(|until| self.stream.status().received() >= until)
    }

    /// Makes the line of a table. Its types may have been created after the connection began.
    async fn describe(&mut self, table: Table) -> Result<(), Failure> {
        if lacks(&table, &self.changes.types) {
            let looked_up = look_up(&self.task.config, &mut self.changes.types, &table);
            self.stream.keep_alive_while(looked_up).await;
        }
        self.changes.describe(table)
    }

    /// Gives the lines so far to the output. Confirms what is durable, too: a stream that always has data leaves no time for the tick.
    async fn hand_over(&mut self) -> Result<(), Failure> {
        let mut lines = std::mem::take(&mut self.changes.lines);
        let boundary = self.changes.boundary.take();
        if let Some(mut held) = self.held.take() {
            let mut rest = lines.split_off(boundary.map_or(0, |(length, _)| length));
            if boundary.is_some() {
                while let Some(part) = held.next()? {
                    self.give(part, None).await?;
                }
            }
            held.add(&mut rest)?;
            self.held = Some(held);
        }
        if boundary.is_none() && lines.is_empty() {
            return Ok(());
        }
        if let Some((_, lsn)) = boundary {
            self.given = Some(lsn);
        }
        self.give(lines, boundary).await?;
        self.confirm().await
    }

    /// Puts lines into the queue of the output. While the queue is full, nothing is received, and status updates keep the connection alive.
    async fn give(&mut self, lines: Vec<u8>, boundary: Option<(usize, Lsn)>) -> Result<(), Failure> {
        let (output, signals) = (self.output, &mut *self.signals);
        let given = async {
            let mut send = std::pin::pin!(output.sender().send(Piece::Lines(lines, boundary)));
            loop {
                tokio::select! {
                    biased;
                    sent = &mut send => return sent.map_err(|_| Failure::OutputEnded),
                    // Only a second signal interrupts a transaction.
                    stopped = signals.next() => stopped?,
                }
            }
        };
        self.stream.keep_alive_while(given).await
    }

    /// Declares the position that is durable, and reports it to the server if it has changed.
    async fn confirm(&mut self) -> Result<(), Failure> {
        let durable = self.output.durable.borrow().clone();
        let received = self.stream.status().received();
        // Between transactions whose lines are all durable, nothing before the received position is missing.
        let is_idle = !self.changes.is_inside() && self.changes.lines.is_empty() && durable.lsn == self.given;
        let confirmed = if is_idle { received } else { durable.lsn.unwrap_or(Lsn::INVALID).min(received) };
        if confirmed > self.stream.status().flushed() {
            // Not after the received position.
            let _ = self.stream.set_flushed(confirmed);
            self.stream.report().await?;
        }
        let end = self.stream.status().server_end().max(received);
        self.meter.show(confirmed, end, self.changes.count, durable.bytes);
        Ok(())
    }

    /// Waits until all lines are durable, confirms them, and ends the stream.
    async fn finish(mut self) -> Result<(), Failure> {
        if !self.changes.lines.is_empty() {
            self.hand_over().await?;
        }
        let (output, signals) = (self.output, &mut *self.signals);
        let settled = async {
            let mut settled = std::pin::pin!(answered(output, Piece::Settle));
            loop {
                tokio::select! {
                    biased;
                    settled = &mut settled => return settled,
                    stopped = signals.next() => stopped?,
                }
            }
        };
        self.stream.keep_alive_while(settled).await?;
        self.confirm().await?;
        // A server that does not answer has not heard of the confirmation, which the next start makes up for.
        let _ = timeout(FAREWELL, self.stream.finish()).await;
        Ok(())
    }
}

fn ticker() -> Interval {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}
