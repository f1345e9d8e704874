//! A stream in memory with two ends.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::connection::{Sink, Source};

/// Creates a stream in memory and returns its two ends. Bytes written to one end can be read from the other end, even in another thread.
/// After one end is closed or dropped, the other end reads the remaining bytes and then the end of the stream.
///
/// The buffers have no limit, so a write never waits.
pub fn duplex() -> (End, End) {
    let (there, back) = (Arc::default(), Arc::default());
    (End { reads: Arc::clone(&back), writes: Arc::clone(&there) }, End { reads: there, writes: back })
}

/// One end of a stream that [`duplex`] has created.
#[derive(Debug)]
pub struct End {
    reads: Arc<Mutex<Pipe>>,
    writes: Arc<Mutex<Pipe>>,
}

/// One direction of a stream in memory.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// Whether the writing end has been closed or dropped.
    ended: bool,
    /// Whether the reading end has been dropped.
    broken: bool,
    /// Whether the stream has been reset.
    reset: bool,
    reader: Option<Waker>,
}

impl End {
    /// Resets the stream, like TCP's RST. Bytes that were not yet read are lost. Later operations on both ends return the error
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset).
    pub fn reset(&mut self) {
        for pipe in [&self.reads, &self.writes] {
            let mut pipe = lock(pipe);
            pipe.reset = true;
            wake(pipe);
        }
    }
}

impl Source for End {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.reads);
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.bytes.is_empty() && !pipe.ended {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(io::Read::read(&mut pipe.bytes, space))
    }
}

impl Sink for End {
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.writes);
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.broken || pipe.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        pipe.bytes.extend(bytes);
        wake(pipe);
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        end(&self.writes);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        end(&self.writes);
        lock(&self.reads).broken = true;
    }
}

fn end(pipe: &Mutex<Pipe>) {
    let mut pipe = lock(pipe);
    pipe.ended = true;
    wake(pipe);
}

fn wake(mut pipe: MutexGuard<'_, Pipe>) {
    let reader = pipe.reader.take();
    drop(pipe);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// Locks a pipe. A poisoned lock is accepted, because no panic can leave a pipe half changed.
fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Connection, Error};
    use crate::testing::block_on;
    use crate::{Limits, PgProtocol};

    #[test]
    fn bytes_written_before_the_close_are_read_before_the_end_of_the_stream() {
        let (near, far) = duplex();
        let (mut near, mut far) =
            (Connection::new(near, Limits::BACKEND), Connection::new(far, Limits::FRONTEND));
        block_on(async {
            near.query("select 1").close().await.expect("the other end is open");
            assert_eq!(far.recv().await.expect("the query arrives").body, b"select 1\0");
            assert!(matches!(far.recv().await, Err(Error::Closed { mid_message: false })));
            drop(near);
            far.query("too late");
            assert!(
                matches!(far.flush().await, Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe)
            );
        });
    }
}
