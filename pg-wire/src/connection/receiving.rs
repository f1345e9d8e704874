//! The receiving direction of a connection. The stream is not a part of this state: the caller passes the stream to each function
//! that reads.

use core::task::{Context, Poll};
use std::io;

use crate::basic::error::FrameError;
use crate::buffer::inbox::{Head, Inbox};
use crate::buffer::limits::Limits;
use crate::codec::frame::Frame;
use crate::connection::error::{Error, Fault};
use crate::connection::stream::Source;

/// State of the receiving direction: the buffer for incoming bytes, and the error that ended the direction.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) inbox: Inbox,
    pub(super) fault: Option<Fault>,
    /// The error that caused `fault`. Removed when a call that receives returns the error.
    unreported: Option<Error>,
}

impl Incoming {
    pub(super) fn new(limits: Limits) -> Self {
        Self { inbox: Inbox::new(limits), fault: None, unreported: None }
    }

    /// Creates a direction that has already ended, for a stream without a reading side.
    pub(super) fn ended() -> Self {
        Self { fault: Some(Fault::Closed), ..Self::new(Limits::BACKEND) }
    }

    /// Reads once. Returns `Ready` after bytes have been read, or an error when no more bytes can be read.
    pub(super) fn poll_fill<R: Source + ?Sized>(
        &mut self,
        source: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        if let Some(fault) = self.fault {
            return Poll::Ready(Err(self.unreported.take().unwrap_or(Error::Poisoned(fault))));
        }
        let Poll::Ready(read) = source.poll_read(cx, self.inbox.space()) else {
            self.inbox.waiting();
            return Poll::Pending;
        };
        let count = match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // A TLS library returns this error when the peer closes the stream without close_notify, as a PostgreSQL server process does
            // when it exits. The check of `is_mid_frame` below detects an incomplete last message.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            count => count,
        };
        Poll::Ready(match count {
            Ok(0) => {
                self.fault = Some(Fault::Closed);
                Err(Error::Closed { mid_message: self.inbox.is_mid_frame() })
            }
            Ok(count) => {
                self.inbox.filled(count);
                Ok(())
            }
            Err(error) => {
                self.fault = Some(Fault::Io(error.kind()));
                Err(Error::Io(error))
            }
        })
    }

    /// Reads the bytes that have arrived, and returns whether a whole message is buffered. Called after a write has failed,
    /// because the peer's last message may explain the failure.
    ///
    /// Never waits for the peer. Returns `Pending` only after a read, and then wakes the task at once, so that other tasks can run between
    /// two reads. Stops when the inbox holds [`Limits::read_ahead`] bytes.
    pub(super) fn poll_last_message<R: Source + ?Sized>(
        &mut self,
        source: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        if self.inbox.has_head() {
            return Poll::Ready(true);
        }
        if self.inbox.buffered() >= self.inbox.limits().read_ahead {
            return Poll::Ready(false);
        }
        match self.poll_fill(source, cx) {
            Poll::Ready(Ok(())) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Ready(false),
            Poll::Ready(Err(error)) => {
                self.keep(error);
                Poll::Ready(false)
            }
        }
    }

    /// Stores an error, which the next call that receives will return.
    pub(super) fn keep(&mut self, error: Error) {
        if !matches!(error, Error::Poisoned(_)) {
            self.unreported = Some(error);
        }
    }

    /// Returns the head of the first frame, as [`Inbox::head`] does.
    #[inline]
    pub(super) fn head(&mut self) -> Result<Option<Head>, Error> {
        let Self { inbox, fault, unreported } = self;
        inbox.head().map_err(|error| poison(error, fault, unreported))
    }

    /// Lends the next frame, as [`Inbox::next`] does.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, Error> {
        let Self { inbox, fault, unreported } = self;
        inbox.next().map_err(|error| poison(error, fault, unreported))
    }
}

/// Ends the receiving direction if the error is fatal. Returns the error; returns `Poisoned` if the same error was returned before.
#[cold]
fn poison(error: FrameError, fault: &mut Option<Fault>, unreported: &mut Option<Error>) -> Error {
    let again = *fault == Some(Fault::Frame(error));
    if error.is_fatal() {
        *fault = Some(Fault::Frame(error));
        *unreported = None;
    }
    if again { Error::Poisoned(Fault::Frame(error)) } else { Error::Frame(error) }
}
