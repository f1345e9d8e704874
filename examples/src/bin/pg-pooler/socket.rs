//! The socket of a server connection. While a long result arrives, the socket is read seldom and in large pieces.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pg_stream_tokio::TokioIo;
use pg_wire::{Sink, Source};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// Largest number of bytes that one read returns.
pub(crate) const READ_SIZE: usize = 256 * 1024;

/// Number of consecutive reads that must end with a row before a result counts as long.
const LONG: u32 = 16;

/// The first pause and the longest pause between two reads of a long result. The pause doubles until a read fills half of the buffer.
///
/// A server sends rows in pieces of 8 kB. Without pauses, each piece costs one read and one write. During a pause several pieces arrive,
/// and one read returns all of them. For a million rows, the CPU time with pauses is a quarter of the time without pauses.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(8)];

/// The socket of a server connection.
pub(crate) struct Socket {
    state: State,
    /// Number of consecutive reads that ended with a row.
    rows: u32,
    pause: Duration,
}

enum State {
    Open(TokioIo<TcpStream>),
    /// The socket during a pause. It is not registered with the runtime: otherwise each piece that arrives would wake the task.
    Paused(std::net::TcpStream, Pin<Box<Sleep>>),
    /// The connection is lost, because the stream could not be registered with the runtime again.
    Lost,
}

impl Socket {
    pub(crate) fn new(stream: TokioIo<TcpStream>) -> Self {
        Self { state: State::Open(stream), rows: 0, pause: PAUSES[0] }
    }

    /// Reads into `space`. If reading is paused, first waits for the end of the pause.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if let State::Paused(stream, end) = &mut self.state {
            ready!(end.as_mut().poll(cx));
            match stream.read(space) {
                // Nothing has arrived during the pause.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
        self.open()?.poll_read(cx, space)
    }

    /// Writes bytes. If reading is paused, first ends the pause.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, bytes)
    }

    /// Records that a read returned `count` bytes. Begins a pause if a long result arrives in small pieces.
    pub(crate) fn note_read(&mut self, count: usize, ends_with_row: bool) -> io::Result<()> {
        if !ends_with_row {
            (self.rows, self.pause) = (0, PAUSES[0]);
            return self.open().map(drop);
        }
        if self.rows < LONG {
            self.rows += 1;
            return Ok(());
        }
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Open(TokioIo(stream)) => {
                self.state = State::Paused(stream.into_std()?, Box::pin(sleep(self.pause)));
            }
            State::Paused(stream, mut end) => {
                // After a full read, more data is probably waiting. So the timer `end` is not reset. It has already expired, so the next
                // read follows at once.
                if count < READ_SIZE {
                    let grown = if count < READ_SIZE / 2 { 2 * self.pause } else { self.pause };
                    self.pause = grown.min(PAUSES[1]);
                    end.as_mut().reset(Instant::now() + self.pause);
                }
                self.state = State::Paused(stream, end);
            }
            State::Lost => {}
        }
        Ok(())
    }

    /// Returns the stream. If the socket is paused, registers the stream with the runtime again, which ends the pause.
    fn open(&mut self) -> io::Result<&mut TokioIo<TcpStream>> {
        if matches!(self.state, State::Paused(..))
            && let State::Paused(stream, _) = std::mem::replace(&mut self.state, State::Lost)
        {
            self.state = State::Open(TokioIo(TcpStream::from_std(stream)?));
        }
        match &mut self.state {
            State::Open(stream) => Ok(stream),
            State::Paused(..) | State::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
