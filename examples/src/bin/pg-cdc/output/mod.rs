//! The output: a thread that writes lines, makes them durable, and reports the position that may be confirmed.
//!
//! After the lines of one or more transactions, the thread does these steps in this order:
//!
//! 1. append the lines to `--out`,
//! 2. `fdatasync` of `--out`,
//! 3. write the new state to a temporary file, `fdatasync`, rename to `--state`, `fsync` of the directory,
//! 4. report the position to the connection, which confirms it to the server.
//!
//! | killed | the next start |
//! | --- | --- |
//! | in 1, or before 3 | cuts `--out` to the recorded length; the server sends the transactions again |
//! | in 3 | sees the former or the new state, each of which fits: the server skips what is before the recorded position |
//! | before 4 | asks the server to start at the recorded position, which is later than the confirmed position |
//!
//! Without `--state`, the last line of a complete transaction in `--out` is the record: its position, and the length up to there. After
//! SIGKILL a file has all bytes that were written, in their order. After a loss of power it may lack bytes before its end, so a state
//! file is required there.
//!
//! Standard output cannot be cut. A transaction is written there after its end only, and is confirmed when the write has returned.

mod file;
mod scan;
mod state;

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pg_wire::replication::Lsn;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{oneshot, watch};

use crate::failure::Failure;
use crate::line::Format;
use file::Sink;
pub(crate) use state::Progress;
use state::StateFile;

/// Blocks of lines that may wait for the thread.
const WAITING: usize = 4;

/// Longest time between a transaction and its confirmation while more transactions arrive.
const LATEST: Duration = Duration::from_millis(200);

/// Bytes between two confirmations at the most, while more transactions arrive.
const MOST: u64 = 32 << 20;

/// Work for the thread, done in the order in which it is given.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Lines, and the last end of a transaction among them: number of bytes up to there, and the position from which to continue.
    Lines(Vec<u8>, Option<(usize, Lsn)>),
    /// Drop the lines after the last end of a transaction.
    Forget,
    /// Make everything durable, and answer.
    Settle(oneshot::Sender<()>),
    /// Record that a snapshot begins, with this line. Answers once that is durable.
    BeginSnapshot(Vec<u8>, oneshot::Sender<()>),
    /// Record that there is no snapshot, and drop its lines. Answers once that is durable.
    DropSnapshot(oneshot::Sender<()>),
    /// Record the server and its timeline.
    System(String, u32),
}

/// The state of the thread, seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durable {
    /// Position up to which everything is durable.
    pub(crate) lsn: Option<Lsn>,
    /// Bytes written.
    pub(crate) bytes: u64,
}

/// The end of the queue that lines are put into.
#[derive(Debug)]
pub(crate) struct Output {
    sender: Sender<Piece>,
    /// The position that may be confirmed.
    pub(crate) durable: watch::Receiver<Durable>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Output {
    /// Opens the output, cuts it to its last complete transaction, and starts the thread. Returns the progress found.
    pub(crate) fn open(
        out: Option<&Path>,
        state: Option<PathBuf>,
        slot: &str,
        format: Format,
    ) -> Result<(Self, Progress), Failure> {
        let state = state.map(|path| StateFile::new(path, slot));
        let recorded = state.as_ref().map(StateFile::load).transpose()?.flatten();
        let (sink, progress) = Sink::open(out, recorded, format)?;
        if let Some(state) = &state {
            state.save(&progress)?;
        }
        let (sender, receiver) = channel(WAITING);
        let (report, durable) = watch::channel(Durable { lsn: progress.lsn, bytes: 0 });
        let found = progress.clone();
        let writer = Writer { sink, state, progress, report, pending: None, unsynced: 0, bytes: 0 };
        let thread = std::thread::spawn(move || writer.run(receiver));
        Ok((Self { sender, durable, thread }, found))
    }

    /// Puts a piece into the queue; waits while the queue is full. Cancel safe: a piece is either in the queue or dropped.
    pub(crate) fn sender(&self) -> &Sender<Piece> {
        &self.sender
    }

    /// Waits until everything is written and durable, and ends the thread.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        drop(self.sender);
        match self.thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// The thread's own data.
#[derive(Debug)]
struct Writer {
    sink: Sink,
    state: Option<StateFile>,
    /// The progress that is durable, or will be with the next [`sync`](Self::sync).
    progress: Progress,
    report: watch::Sender<Durable>,
    /// Time of the first transaction that is not durable yet.
    pending: Option<Instant>,
    /// Bytes that are not durable yet.
    unsynced: u64,
    bytes: u64,
}

impl Writer {
    fn run(mut self, mut queue: Receiver<Piece>) -> Result<(), Failure> {
        while let Some(piece) = queue.blocking_recv() {
            self.take(piece)?;
            // While more is waiting, one synchronisation is enough for many transactions.
            while let Ok(piece) = queue.try_recv() {
                self.take(piece)?;
                if self.unsynced > MOST || self.pending.is_some_and(|since| since.elapsed() > LATEST) {
                    self.sync()?;
                }
            }
            self.sync()?;
        }
        Ok(())
    }

    fn take(&mut self, piece: Piece) -> Result<(), Failure> {
        match piece {
            Piece::Lines(lines, boundary) => {
                let before = self.sink.append(&lines)?;
                self.bytes += lines.len() as u64;
                self.unsynced += lines.len() as u64;
                if let Some((length, lsn)) = boundary {
                    self.progress.length = before.map(|before| before + length as u64);
                    self.progress.lsn = Some(lsn);
                    (self.progress.in_snapshot, self.progress.marker) = (false, None);
                    self.pending.get_or_insert_with(Instant::now);
                }
                // The bar shows bytes of a transaction that has not ended, too.
                self.report.send_modify(|durable| durable.bytes = self.bytes);
            }
            Piece::Forget => self.sink.cut(self.progress.marker.or(self.progress.length))?,
            Piece::Settle(done) => {
                self.sync()?;
                // The receiver may have stopped waiting.
                let _ = done.send(());
            }
            Piece::BeginSnapshot(lines, done) => {
                self.progress.in_snapshot = true;
                // The line of an earlier begin stays, because it is the record.
                if self.progress.marker.is_none() {
                    let before = self.sink.append(&lines)?;
                    self.progress.marker = before.map(|before| before + lines.len() as u64);
                }
                self.record()?;
                let _ = done.send(());
            }
            Piece::DropSnapshot(done) => {
                (self.progress.in_snapshot, self.progress.marker) = (false, None);
                self.sink.cut(self.progress.length)?;
                self.record()?;
                let _ = done.send(());
            }
            Piece::System(system, timeline) => {
                if self.progress.system != system || self.progress.timeline != timeline {
                    (self.progress.system, self.progress.timeline) = (system, timeline);
                    self.record()?;
                }
            }
        }
        Ok(())
    }

    /// Makes the transactions so far durable, if there are any.
    fn sync(&mut self) -> Result<(), Failure> {
        if self.pending.take().is_some() {
            self.record()?;
            self.report.send_modify(|durable| durable.lsn = self.progress.lsn);
        }
        Ok(())
    }

    fn record(&mut self) -> Result<(), Failure> {
        self.sink.sync()?;
        self.unsynced = 0;
        self.state.as_ref().map_or(Ok(()), |state| state.save(&self.progress))
    }
}

#[cfg(test)]
mod tests;
