//! Errors of a connection.

use core::fmt;
use std::io;

use crate::basic::error::{DecodeError, EncodeError, FrameError};
use crate::copy::CopyError;
use crate::message::backend::ServerError;
use crate::session::{Over, QueueFull, Unexpected, Waiting};

/// An error of a connection. [`is_fatal`](Self::is_fatal) returns false if the connection can still be used after the error.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Reading from or writing to the stream failed. Fatal for the direction that failed: after a failed write, the server's last messages
    /// can still be received.
    Io(io::Error),
    /// The peer has closed the stream. Fatal.
    Closed {
        /// Whether the stream ended inside a message.
        mid_message: bool,
    },
    /// The header of a message is invalid, or a body is longer than its limit. Fatal, except for a message over the limit
    /// [`bulk`](crate::Limits::bulk), which the connection skips.
    Frame(FrameError),
    /// The body of a message is malformed. Recoverable: the frame has been consumed.
    Decode(DecodeError),
    /// A queued message cannot be sent. Recoverable: no part of its batch has been sent, and the batch is dropped.
    Encode(EncodeError),
    /// The stream accepts no more bytes, and the inbox is full: it holds [`Limits::read_ahead`](crate::Limits::read_ahead) bytes that the
    /// peer has sent. Perhaps the peer waits until its own messages have been received. Recoverable: call `recv`, which also continues to
    /// send, or call `flush` again later.
    InboxFull,
    /// The server sent an ErrorResponse, which [`until_ready`](crate::Connection::until_ready) returns as this error. Recoverable, except
    /// for the severities FATAL and PANIC, after which the server closes the connection.
    Server(ServerError),
    /// A row of a COPY cannot be written or read, or the statement started no COPY. Recoverable.
    Copy(CopyError),
    /// No reply will arrive, and no message is buffered. Recoverable: the connection is unchanged. Only a
    /// [`TrackedConnection`](crate::TrackedConnection) returns `NoReply`, `Unexpected`, `Over` or `QueueFull`.
    NoReply(Waiting),
    /// The server sent a message that is not a reply to a sent request. Fatal: later messages cannot be assigned to requests.
    Unexpected(Unexpected),
    /// The session has ended. Fatal.
    Over(Over),
    /// Too many requests wait for their replies. Recoverable: no part of the batch has been sent, and the batch stays queued.
    QueueFull(QueueFull),
    /// An earlier fatal error has ended the direction of the connection that the call needs: receiving or sending.
    Poisoned(Fault),
}

/// Reason why a direction of a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Reading from or writing to the stream failed.
    Io(io::ErrorKind),
    /// The peer closed the stream.
    Closed,
    /// A frame header was invalid, so the position of the next message is unknown.
    Frame(FrameError),
    /// A future of [`send_copy_data`](crate::Connection::send_copy_data) was leaked with `mem::forget`, so the rest of its
    /// message cannot be sent.
    Leaked,
}

impl Error {
    /// Whether the error has ended a direction of the connection: receiving or sending. After an error that is not fatal, the connection
    /// can still be used.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Io(_) | Self::Closed { .. } | Self::Poisoned(_) | Self::Unexpected(_) | Self::Over(_) => {
                true
            }
            Self::Frame(error) => error.is_fatal(),
            Self::Server(error) => error.fields().is_fatal(),
            Self::Decode(_)
            | Self::Encode(_)
            | Self::InboxFull
            | Self::Copy(_)
            | Self::NoReply(_)
            | Self::QueueFull(_) => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("reading from or writing to the connection failed"),
            Self::Closed { mid_message: false } => f.write_str("the peer closed the connection"),
            Self::Closed { mid_message: true } => {
                f.write_str("the peer closed the connection in the middle of a message")
            }
            Self::Frame(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
            Self::InboxFull => f.write_str(
                "the inbox is full and the peer does not read: receive messages to continue sending",
            ),
            Self::Server(error) => error.fmt(f),
            Self::Copy(error) => error.fmt(f),
            Self::NoReply(waiting) => write!(f, "no reply will arrive: {waiting}"),
            Self::Unexpected(error) => error.fmt(f),
            Self::Over(over) => over.fmt(f),
            Self::QueueFull(error) => error.fmt(f),
            Self::Poisoned(fault) => write!(f, "the connection has ended: {fault}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(kind) => write!(f, "the stream failed ({kind})"),
            Self::Closed => f.write_str("the peer closed the connection"),
            Self::Frame(error) => error.fmt(f),
            Self::Leaked => {
                f.write_str("a future of send_copy_data was leaked before its message was complete")
            }
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Copy(error) => error.source(),
            _ => None,
        }
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

impl From<CopyError> for Error {
    fn from(error: CopyError) -> Self {
        Self::Copy(error)
    }
}

impl From<Unexpected> for Error {
    fn from(error: Unexpected) -> Self {
        Self::Unexpected(error)
    }
}

impl From<Over> for Error {
    fn from(over: Over) -> Self {
        Self::Over(over)
    }
}

impl From<QueueFull> for Error {
    fn from(error: QueueFull) -> Self {
        Self::QueueFull(error)
    }
}
