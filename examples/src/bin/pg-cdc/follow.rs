//! Follows the replication stream: passes the changes from the server to the output, and confirms to the server the position up to which
//! the output is durable.

use std::time::Duration;

use pg_wire::replication::Lsn;
use pg_wire::replication::pgoutput::Table;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};

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

/// Interval at which the program compares the durable position with the confirmed position, and updates the progress report.
const TICK: Duration = Duration::from_millis(100);

/// Shortest time between two handovers of lines to the output thread, if the lines do not fill a block. A handover wakes the output thread,
/// which makes the lines durable. Then the program sends a status update. Without this pause, many small transactions would cause thousands
/// of handovers per second.
const PAUSE: Duration = Duration::from_millis(10);

/// Longest wait for the server to end the stream. A server that is sending a large transaction may need more time. After this wait the
/// program ends anyway, and loses nothing: the next start continues from the position that the output or the state file records.
const FAREWELL: Duration = Duration::from_secs(10);

/// The replication stream of one connection, and the parts of the program that process its changes.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    pub(crate) stream: Stream,
    pub(crate) task: &'a Task,
    pub(crate) changes: &'a mut Changes,
    pub(crate) output: &'a Output,
    pub(crate) signals: &'a mut Signals,
    pub(crate) meter: &'a mut Meter,
    /// Lines of the current transaction, held back until the end of the transaction. `None` if the output is a file, because the lines of
    /// an unfinished transaction can be cut from a file.
    pub(crate) held: Option<Held>,
    /// The end position of the last transaction that was handed over to the output thread.
    pub(crate) given: Option<Lsn>,
}

impl Follow<'_> {
    /// Follows the changes until the stop position or a signal. Then confirms the durable position and ends the stream.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let mut durable = self.output.durable.clone();
        let mut tick = ticker();
        let mut pause = std::pin::pin!(sleep(Duration::ZERO));
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
                // The branches are polled in their order (`biased`). So this branch is taken only if no further change has arrived. It
                // hands over lines that do not fill a block, at most once per `PAUSE`.
                () = &mut pause, if !self.changes.lines.is_empty() => {
                    self.hand_over().await?;
                    pause.as_mut().reset(Instant::now() + PAUSE);
                }
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

    /// Whether the program has received all changes before the stop position.
    fn is_at_end(&self) -> bool {
        self.changes.until.is_some_and(|until| self.stream.status().received() >= until)
    }

    /// Makes the line that describes a table. First reads from the catalog the types that the program does not know: they may have been
    /// created after the program connected.
    async fn describe(&mut self, table: Table) -> Result<(), Failure> {
        if lacks(&table, &self.changes.types) {
            let looked_up = look_up(&self.task.config, &mut self.changes.types, &table);
            self.stream.keep_alive_while(looked_up).await;
        }
        self.changes.describe(table)
    }

    /// Passes the collected lines to the output. Also confirms the durable position: while changes keep arriving, `run` does not poll the
    /// timer that confirms the position otherwise. If the output is standard output, holds back the lines of an unfinished transaction.
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

    /// Puts lines into the queue of the output thread. While the queue is full, the program receives no changes. It still sends status
    /// updates, so that the server does not disconnect.
    async fn give(&mut self, lines: Vec<u8>, boundary: Option<(usize, Lsn)>) -> Result<(), Failure> {
        let (output, signals) = (self.output, &mut *self.signals);
        let given = async {
            let mut send = std::pin::pin!(output.sender().send(Piece::Lines(lines, boundary)));
            loop {
                tokio::select! {
                    biased;
                    sent = &mut send => return sent.map_err(|_| Failure::OutputEnded),
                    // The first signal lets the current transaction end, so it does not end this wait. A second signal ends this call with
                    // an error.
                    stopped = signals.next() => stopped?,
                }
            }
        };
        self.stream.keep_alive_while(given).await
    }

    /// Confirms the durable position to the server if it has increased, and updates the progress report.
    async fn confirm(&mut self) -> Result<(), Failure> {
        let durable = self.output.durable.borrow().clone();
        let received = self.stream.status().received();
        // Between transactions, if all lines are durable, the received position can be confirmed.
        let is_idle = !self.changes.is_inside() && self.changes.lines.is_empty() && durable.lsn == self.given;
        let confirmed = if is_idle { received } else { durable.lsn.unwrap_or(Lsn::INVALID).min(received) };
        if confirmed > self.stream.status().flushed() {
            // An error is impossible: `confirmed` is at most the received position.
            let _ = self.stream.set_flushed(confirmed);
            self.stream.report().await?;
        }
        let end = self.stream.status().server_end().max(received);
        self.meter.show(confirmed, end, self.changes.count, durable.bytes);
        Ok(())
    }

    /// Waits until all lines are durable, confirms their position to the server, and ends the stream.
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
        // An error is ignored: the next start continues from the position that the output or the state file records, even if the server has
        // not received the confirmation.
        let _ = timeout(FAREWELL, self.stream.finish()).await;
        Ok(())
    }
}

fn ticker() -> Interval {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}
