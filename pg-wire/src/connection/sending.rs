//! The sending direction of a connection. The stream is not a part of this state: the caller passes the stream to each function
//! that writes.

use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use crate::buffer::outbox::Outbox;
use crate::connection::error::{Error, Fault};
use crate::connection::stream::Sink;

/// State of the sending direction: the buffer for outgoing bytes, and the error that ended the direction.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) outbox: Outbox,
    pub(super) fault: Option<Fault>,
    /// The error that caused `fault`. Removed when a call that sends returns the error.
    unreported: Option<Error>,
    /// Whether written bytes may still be in a buffer of the stream itself.
    unflushed: bool,
}

impl Outgoing {
    pub(super) fn new(retain: usize) -> Self {
        Self { outbox: Outbox::new(retain), fault: None, unreported: None, unflushed: false }
    }

    /// Creates a direction that has already ended, for a stream without a writing side.
    pub(super) fn ended() -> Self {
        Self { fault: Some(Fault::Closed), ..Self::new(0) }
    }

    /// Whether an earlier flush has begun to send and has not finished.
    pub(super) fn is_sending(&self) -> bool {
        self.fault.is_none() && (self.unflushed || !self.outbox.pending().is_empty())
    }

    /// Stores an error, which the next call that sends will return.
    pub(super) fn keep(&mut self, error: Error) {
        self.unreported = Some(error);
    }

    /// Writes the committed bytes and then `more`, and removes written bytes from the beginning of `more`. Returns `Ready` once all bytes
    /// are written and flushed.
    pub(super) fn poll_send<W: Sink + ?Sized>(
        &mut self,
        sink: &mut W,
        cx: &mut Context<'_>,
        more: &mut &[u8],
    ) -> Poll<Result<(), Error>> {
        if let Some(fault) = self.fault {
            // Drops messages that were queued after the fault: otherwise such messages would accumulate in the outbox.
            self.outbox.clear();
            return Poll::Ready(Err(self.unreported.take().unwrap_or(Error::Poisoned(fault))));
        }
        loop {
            let own = self.outbox.pending();
            let written = match (own, *more) {
                ([], []) => break,
                (own, []) => sink.poll_write(cx, own),
                ([], more) => sink.poll_write(cx, more),
                (own, more) => sink.poll_write_vectored(cx, &[IoSlice::new(own), IoSlice::new(more)]),
            };
            match ready!(written) {
                Ok(0) => return Poll::Ready(Err(self.fail(io::ErrorKind::WriteZero.into()))),
                Ok(count) => {
                    let (own, beyond) = (count.min(own.len()), count.saturating_sub(own.len()));
                    self.outbox.sent(own);
                    *more = more.get(beyond..).unwrap_or_default();
                    self.unflushed = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        }
        while self.unflushed {
            match ready!(sink.poll_flush(cx)) {
                Ok(()) => self.unflushed = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Closes the stream for writing. Precondition: all bytes have been sent.
    pub(super) fn poll_close<W: Sink + ?Sized>(
        &mut self,
        sink: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            match ready!(sink.poll_close(cx)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The peer has already closed the stream, as a server does after Terminate. This is no error.
                Err(error) if is_gone(error.kind()) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        }
    }

    fn fail(&mut self, error: io::Error) -> Error {
        self.fault = Some(Fault::Io(error.kind()));
        self.outbox.clear();
        Error::Io(error)
    }
}

/// Whether an error from closing the stream means that the peer has already closed the stream.
fn is_gone(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(kind, BrokenPipe | ConnectionReset | NotConnected)
}
