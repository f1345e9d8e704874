//! Writes standard output and standard error on a separate thread. So a slow reader of the output delays neither Ctrl-C nor the cancel
//! request.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pg_stream_tokio::{CancelTarget, Config, cancel};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::interrupts::{Interrupted, Interrupts};
use crate::report;

/// Size of a block in bytes. A block is written to standard output with one call.
pub(crate) const BLOCK: usize = 64 * 1024;

/// Largest number of pieces of output in the queue of the output thread. While the queue is full, the program receives no messages from the
/// server. So a slow reader of the output cannot fill the memory.
const WAITING: usize = 4;

/// A piece of output. The output thread writes the pieces in the order in which they were queued.
#[derive(Debug)]
enum Piece {
    /// Bytes for standard output.
    Rows(Vec<u8>),
    /// Lines for standard error.
    Said(String),
}

/// Handle of the output thread: the sender of its queue, and the block of output that is being filled.
#[derive(Debug)]
pub(crate) struct Output {
    sender: mpsc::Sender<Piece>,
    /// Bytes for standard output that are not in the queue yet.
    block: Vec<u8>,
    /// Whether a write to standard output has failed.
    is_closed: Arc<AtomicBool>,
    /// Whether rows were dropped after Ctrl-C.
    was_cut: bool,
    writer: JoinHandle<Option<io::Error>>,
    pub(crate) interrupts: Interrupts,
}

impl Output {
    /// Starts the thread that writes the output.
    pub(crate) fn start(interrupts: Interrupts) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = is_closed.clone();
        let writer = tokio::task::spawn_blocking(move || write(receiver, &closed));
        Self { sender, block: Vec::with_capacity(BLOCK), is_closed, was_cut: false, writer, interrupts }
    }

    /// Adds bytes for standard output.
    #[inline]
    pub(crate) async fn put(&mut self, bytes: &[u8]) -> Result<(), Interrupted> {
        if self.block.len() + bytes.len() <= BLOCK {
            self.block.extend_from_slice(bytes);
            return Ok(());
        }
        self.put_in_pieces(bytes).await
    }

    async fn put_in_pieces(&mut self, mut bytes: &[u8]) -> Result<(), Interrupted> {
        loop {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if bytes.is_empty() {
                return Ok(());
            }
            self.flush().await?;
        }
    }

    /// Queues the collected bytes for the output thread.
    pub(crate) async fn flush(&mut self) -> Result<(), Interrupted> {
        if self.block.is_empty() {
            return Ok(());
        }
        if self.interrupts.has_given_up() {
            self.block.clear();
            self.was_cut = true;
            return Ok(());
        }
        if self.is_closed.load(Ordering::Relaxed) {
            self.block.clear();
            return Ok(());
        }
        let block = mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        self.send(Piece::Rows(block)).await
    }

    /// Queues lines for standard error. The output thread prints them after the bytes for standard output that were added earlier.
    pub(crate) async fn say(&mut self, mut lines: String) -> Result<(), Interrupted> {
        self.flush().await?;
        lines.push('\n');
        self.send(Piece::Said(lines)).await
    }

    /// Waits for Ctrl-C, then sends the cancel request.
    pub(crate) async fn heard(&mut self) -> Result<(), Interrupted> {
        let target = self.interrupts.heard().await?;
        self.cancel(target);
        Ok(())
    }

    async fn send(&mut self, piece: Piece) -> Result<(), Interrupted> {
        loop {
            tokio::select! {
                biased;
                heard = self.interrupts.heard() => {
                    self.cancel(heard?);
                    if matches!(piece, Piece::Rows(_)) {
                        self.was_cut = true;
                        return Ok(());
                    }
                }
                space = self.sender.reserve() => {
                    // An error means that the output thread has panicked. The piece is then dropped.
                    if let Ok(space) = space {
                        space.send(piece);
                    }
                    return Ok(());
                }
            }
        }
    }

    fn cancel(&self, (config, target): (Config, CancelTarget)) {
        // The cancel request holds a weak sender, which does not keep the queue open. So `finish` does not wait for the cancel request.
        let sender = self.sender.downgrade();
        tokio::spawn(async move {
            let Err(error) = cancel(&config, &target).await else { return };
            let lines = format!("pg-query: the cancel request failed\n{}\n", report::attempts(&error));
            if let Some(sender) = sender.upgrade() {
                let _ = sender.send(Piece::Said(lines)).await;
            }
        });
    }

    /// Whether rows were dropped after Ctrl-C.
    pub(crate) fn was_cut(&self) -> bool {
        self.was_cut
    }

    /// Waits until the output thread has written everything. Returns the error of a failed write to standard output, unless it is a broken
    /// pipe.
    pub(crate) async fn finish(mut self) -> Result<Option<io::Error>, Interrupted> {
        self.flush().await?;
        let Self { sender, mut writer, mut interrupts, .. } = self;
        drop(sender);
        tokio::select! {
            biased;
            // All statements are complete, so Ctrl-C ends the program without a cancel request.
            _ = interrupts.heard() => Err(Interrupted),
            written = &mut writer => Ok(written.unwrap_or_else(|error| Some(io::Error::other(error)))),
        }
    }
}

/// Writes the queued pieces of output, until all senders of the queue are dropped. Runs on the output thread. Returns the error of a failed
/// write to standard output, unless it is a broken pipe.
fn write(mut queue: mpsc::Receiver<Piece>, is_closed: &AtomicBool) -> Option<io::Error> {
    let mut failure = None;
    while let Some(piece) = queue.blocking_recv() {
        match piece {
            Piece::Said(lines) => {
                // An error is ignored: if standard error cannot be written, the program cannot report the error.
                let _ = io::stderr().write_all(lines.as_bytes());
            }
            Piece::Rows(block) if failure.is_none() => {
                let mut stdout = io::stdout().lock();
                if let Err(error) = stdout.write_all(&block).and_then(|()| stdout.flush()) {
                    is_closed.store(true, Ordering::Relaxed);
                    failure = Some(error);
                }
            }
            Piece::Rows(_) => {}
        }
    }
    failure.filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
}
