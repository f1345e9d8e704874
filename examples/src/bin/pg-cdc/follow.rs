//! The stream: from the server's messages to the output, and from the output's position to the server.

use std::time::Duration;

use pg_stream_tokio::ReplicationStream;
use pg_wire::replication::pgoutput::{Change, Decoder, Scope};
use pg_wire::replication::{Lsn, XLogData};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::arguments::Task;
use crate::changes::{BLOCK, Changes, Taken};
use crate::failure::Failure;
use crate::meter::Meter;
use crate::output::{Output, Piece};
use crate::session::look_up;
use crate::signals::Signals;
use crate::snapshot::answered;
use crate::table::Table;

/// Time between two looks at the positions.
const TICK: Duration = Duration::from_millis(100);

/// Longest wait for the server to end the stream. A server in the middle of a large transaction may take longer; it has the confirmation
/// by then, and if not, the next start asks for the recorded position.
const FAREWELL: Duration = Duration::from_secs(10);

/// A stream, and all that it feeds.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    pub(crate) stream: ReplicationStream,
    pub(crate) task: &'a Task,
    pub(crate) until: Option<Lsn>,
    pub(crate) changes: &'a mut Changes,
    pub(crate) output: &'a Output,
    pub(crate) signals: &'a mut Signals,
    pub(crate) meter: &'a mut Meter,
    decoder: Decoder,
    /// The last position that the output has been given.
    given: Option<Lsn>,
}

/// The consequence of a message, for the code that no longer has its bytes.
#[derive(Debug)]
enum Step {
    Taken(Taken),
    /// A Relation message with types that the catalog has to be asked for first: its position, data and scope.
    Lacking(Table, Lsn, Vec<u8>, Scope),
}

impl<'a> Follow<'a> {
    pub(crate) fn new(
        stream: ReplicationStream,
        task: &'a Task,
        until: Option<Lsn>,
        changes: &'a mut Changes,
        output: &'a Output,
        signals: &'a mut Signals,
        meter: &'a mut Meter,
    ) -> Self {
        let given = output.durable.borrow().lsn;
        Self { stream, task, until, changes, output, signals, meter, decoder: Decoder::default(), given }
    }

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
                    let Some(wal) = received? else { return Err(Failure::Ended) };
                    let taken = match step(self.changes, &mut self.decoder, &wal)? {
                        Step::Taken(taken) => taken,
                        Step::Lacking(table, lsn, data, scope) => {
                            let looked_up = look_up(&self.task.config, &mut self.changes.types, &table);
                            self.stream.keep_alive_while(looked_up).await;
                            self.changes.take(lsn, &data, &Change::decode(&data, scope)?)?
                        }
                    };
                    match taken {
                        Taken::Next => {}
                        Taken::Reached => break,
                        Taken::Replay => self.replay().await?,
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
        self.until.is_some_and(|until| self.stream.status().received() >= until)
    }

    /// Makes and hands over the lines of a transaction that was held.
    async fn replay(&mut self) -> Result<(), Failure> {
        while self.changes.replay()? {
            self.hand_over().await?;
        }
        Ok(())
    }

    /// Gives the lines so far to the output. While the output does not take them, nothing is received, and status updates keep the
    /// connection alive.
    async fn hand_over(&mut self) -> Result<(), Failure> {
        let lines = std::mem::take(&mut self.changes.lines);
        let boundary = self.changes.boundary.take();
        if let Some((_, lsn)) = boundary {
            self.given = Some(lsn);
        }
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

/// Decodes a message, and makes its lines.
fn step(changes: &mut Changes, decoder: &mut Decoder, wal: &XLogData<'_>) -> Result<Step, Failure> {
    let change = decoder.decode(wal.data.0)?;
    if let Some(table) = changes.lacking(&change)? {
        return Ok(Step::Lacking(table, wal.start, wal.data.0.into(), decoder.scope()));
    }
    changes.take(wal.start, wal.data.0, &change).map(Step::Taken)
}

fn ticker() -> Interval {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}
