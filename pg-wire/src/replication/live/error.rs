//! Errors of a replication stream.

use alloc::boxed::Box;
use core::fmt;

use crate::basic::code::MessageCode;
use crate::basic::error::DecodeError;
use crate::connection::{Connection, Error};
use crate::message::backend::ServerError;
use crate::replication::lsn::Lsn;
use crate::replication::pgoutput::{ChangeError, RelationError, TransactionError};
use crate::replication::reply::NextTimeline;
use crate::value::RowError;

/// An error of a replication stream, with a WAL position. After an error, no more data is received. Only positions that the caller declared
/// as flushed before the error are confirmed.
#[derive(Debug)]
#[non_exhaustive]
pub struct StreamError {
    /// Position of the data that caused the error. If the error is not about data, or the data has no position: the position up to which
    /// the stream was received.
    pub at: Lsn,
    /// Reason of the error.
    pub kind: StreamErrorKind,
}

/// Reason of a [`StreamError`].
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamErrorKind {
    /// The connection failed, or the server closed the connection.
    Connection(Error),
    /// The server sent an ErrorResponse, stored here with all fields. If the severity is neither FATAL nor PANIC,
    /// [`finish`](super::ReplicationStream::finish) returns the connection for other commands.
    Server(ServerError),
    /// The server ended the command without ending the copy. There are two possible reasons. The server shuts down. Or this connection has
    /// already had a logical stream: a server process of PostgreSQL runs at most one logical stream in its life.
    EndedByServer,
    /// The server sent a malformed message.
    Decode(DecodeError),
    /// A change does not match the table description that the server sent earlier.
    Relation(RelationError),
    /// The server sent a message that is not allowed in a replication stream.
    Unexpected(MessageCode),
    /// The server sent CopyData with data of an unknown kind.
    UnknownKind(u8),
    /// The WAL of a physical stream has a gap.
    Gap {
        /// Position that the next data should have.
        expected: Lsn,
        /// Position of the received data.
        found: Lsn,
    },
    /// The requested timeline ends at the requested position, so there is nothing to stream. Start at the same position on the next
    /// timeline.
    TimelineEnds(NextTimeline),
    /// The row with the next timeline is malformed.
    Row(RowError),
    /// The [`Store`](crate::replication::pgoutput::Store) of transactions in progress failed.
    Store(Box<dyn core::error::Error + Send + Sync>),
    /// More transactions are in progress than a server can have.
    TooManyTransactions {
        /// Maximum number of transactions in progress.
        limit: usize,
    },
    /// The store of transactions in progress returned bytes that differ from the stored bytes of this transaction.
    Damaged {
        /// Number of the transaction.
        xid: u32,
    },
    /// An earlier error has ended the stream.
    Over,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, kind } = self;
        write!(f, "replication stream at {at}: {kind}")
    }
}

impl fmt::Display for StreamErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(f),
            Self::Server(error) => error.fmt(f),
            Self::EndedByServer => f.write_str("the server ended the stream: it shuts down, or the connection has had a logical stream before"),
            Self::Decode(error) => error.fmt(f),
            Self::Relation(error) => error.fmt(f),
            Self::Unexpected(code) => write!(f, "message {code:?} is not allowed in a replication stream"),
            Self::UnknownKind(kind) => write!(f, "data of the unknown kind {kind:#04x}"),
            Self::Gap { expected, found } => {
                write!(f, "the WAL has a gap: expected data from {expected} on, found data from {found} on")
            }
            Self::TimelineEnds(next) => {
                write!(f, "the timeline ends at this position, and timeline {} begins at {}", next.timeline, next.start)
            }
            Self::Row(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::TooManyTransactions { limit } => {
                TransactionError::<RelationError>::TooMany { limit: *limit }.fmt(f)
            }
            Self::Damaged { xid } => TransactionError::<RelationError>::Damaged { xid: *xid }.fmt(f),
            Self::Over => f.write_str("an earlier error has ended the stream"),
        }
    }
}

impl core::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.kind {
            StreamErrorKind::Connection(error) => error.source(),
            StreamErrorKind::Store(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Error> for StreamErrorKind {
    fn from(error: Error) -> Self {
        Self::Connection(error)
    }
}

impl From<DecodeError> for StreamErrorKind {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<ChangeError> for StreamErrorKind {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Decode(error) => Self::Decode(error),
            ChangeError::Relation(error) => Self::Relation(error),
        }
    }
}

impl<E: Into<Box<dyn core::error::Error + Send + Sync>>> From<TransactionError<E>> for StreamErrorKind {
    fn from(error: TransactionError<E>) -> Self {
        match error {
            TransactionError::Change(error) => error.into(),
            TransactionError::Store(error) => Self::Store(error.into()),
            TransactionError::TooMany { limit } => Self::TooManyTransactions { limit },
            TransactionError::Damaged { xid } | TransactionError::Replaying { xid } => Self::Damaged { xid },
        }
    }
}

impl From<RowError> for StreamErrorKind {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

/// Error of a stream that could not be started, with the connection. After an ErrorResponse that is not fatal, the connection can be used
/// for other commands.
pub struct StartError<T> {
    /// The error. Its position, `error.at`, is the start position that the command requested.
    pub error: StreamError,
    /// Connection on which the command was sent.
    pub connection: Box<Connection<T>>,
}

impl<T> fmt::Debug for StartError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for StartError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> core::error::Error for StartError<T> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.error.source()
    }
}
