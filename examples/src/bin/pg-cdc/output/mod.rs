//! The output: a thread that writes lines, makes them durable, and reports the position that the program may confirm to the server.
//!
//! For one or more complete transactions, the thread does these steps in this order:
//!
//! 1. append the lines to `--out`,
//! 2. `fdatasync` of `--out`,
//! 3. write the new state to a temporary file, `fdatasync`, rename to `--state`, `fsync` of the directory,
//! 4. report the position to the connection, which confirms it to the server.
//!
//! | the program is killed | action of the next start |
//! | --- | --- |
//! | during step 1 or 2 | cuts `--out` to the recorded length; the server sends the transactions again |
//! | during step 3 | continues from the old or the new state: with either state, the server sends all changes after the recorded position |
//! | before step 4 | asks the server to start at the recorded position, which is later than the confirmed position |
//!
//! Without `--state`, the last line of a complete transaction in `--out` serves as the record: the line contains the position, and the end
//! of the line is the recorded length. This is safe after SIGKILL, because the file then has all bytes that were written. After a power
//! failure, bytes before the end of the file may be missing, so a system that may lose power needs `--state`.
//!
//! Standard output cannot be cut. A transaction is written there only after its end has arrived, and is confirmed when the write has
//! returned.

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

/// Capacity of the queue of the output thread, in pieces of work. While the queue is full, the program receives no changes, so a slow disk
/// cannot fill the memory.
const WAITING: usize = 4;

/// Longest time for which a complete transaction waits for `fdatasync` while the queue has more lines. The wait lets one `fdatasync` make
/// many transactions durable.
const LATEST: Duration = Duration::from_millis(200);

/// Number of written bytes above which the thread makes complete transactions durable at once, even if the queue has more lines.
const MOST: u64 = 32 << 20;

/// A piece of work for the output thread, which does the pieces in the order of the queue.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Append these lines. If the lines contain ends of transactions, the second field describes the last end: the number of bytes before
    /// it, and the position from which to continue after a restart.
    Lines(Vec<u8>, Option<(usize, Lsn)>),
    /// Remove the lines after the last complete transaction.
    Forget,
    /// Make all complete transactions durable, then send the answer.
    Settle(oneshot::Sender<()>),
    /// Write this line, which begins a snapshot, and store that the snapshot is unfinished. Send the answer when this is durable.
    BeginSnapshot(Vec<u8>, oneshot::Sender<()>),
    /// Store that no snapshot is in progress, and remove the lines of the snapshot. Send the answer when this is durable.
    DropSnapshot(oneshot::Sender<()>),
    /// Record the system identifier and the timeline of the server.
    System(String, u32),
}

/// Progress that the output thread reports to the rest of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durable {
    /// Position up to which all transactions are durable; `None` before the first transaction.
    pub(crate) lsn: Option<Lsn>,
    /// Number of bytes that this process has written to the output.
    pub(crate) bytes: u64,
}

/// Handle of the output thread: the sender of its queue, and its reported progress.
#[derive(Debug)]
pub(crate) struct Output {
    sender: Sender<Piece>,
    /// The reported progress, with the position that the program may confirm to the server.
    pub(crate) durable: watch::Receiver<Durable>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Output {
    /// Opens the output, cuts it to the end of its last complete transaction, and starts the thread. Returns the progress up to this end.
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

    /// Returns the sender of the queue. Sending waits while the queue is full. If a send is cancelled, its piece of work is dropped and
    /// never reaches the queue.
    pub(crate) fn sender(&self) -> &Sender<Piece> {
        &self.sender
    }

    /// Waits until the thread has done all pieces in the queue, then ends the thread. Returns the error of the thread if it failed.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        drop(self.sender);
        match self.thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// State of the output thread: the destination, the state file, and the progress.
#[derive(Debug)]
struct Writer {
    sink: Sink,
    state: Option<StateFile>,
    /// Progress up to the last complete transaction that was written. It becomes durable with the next call of [`sync`](Self::sync).
    progress: Progress,
    report: watch::Sender<Durable>,
    /// Time since which a written transaction waits to be made durable; `None` if all written transactions are durable.
    pending: Option<Instant>,
    /// Number of written bytes that are not durable yet.
    unsynced: u64,
    bytes: u64,
}

impl Writer {
    fn run(mut self, mut queue: Receiver<Piece>) -> Result<(), Failure> {
        while let Some(piece) = queue.blocking_recv() {
            self.take(piece)?;
            // While the queue has more pieces, the thread delays `fdatasync`, up to the limits `MOST` and `LATEST`. So one `fdatasync`
            // makes many transactions durable.
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
                // The progress report counts the bytes of an unfinished transaction as well.
                self.report.send_modify(|durable| durable.bytes = self.bytes);
            }
            Piece::Forget => self.sink.cut(self.progress.marker.or(self.progress.length))?,
            Piece::Settle(done) => {
                self.sync()?;
                // An error is ignored: the receiver may have stopped waiting.
                let _ = done.send(());
            }
            Piece::BeginSnapshot(lines, done) => {
                self.progress.in_snapshot = true;
                // After an interrupted snapshot, its first line may still be in the file. Then this line serves for the new snapshot too.
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

    /// Makes the written transactions durable and reports the position. Does nothing if all of them are durable already.
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
