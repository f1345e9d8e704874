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

/// An error of a replication stream, with its position. After an error no more data is received, and nothing is confirmed that the caller
/// has not declared before.
#[derive(Debug)]
#[non_exhaustive]
pub struct StreamError {
    /// Position of the data with the error if the error is about data that has a position; otherwise the position up to which the stream
    /// was received.
    pub at: Lsn,
    /// The reason.
    pub kind: StreamErrorKind,
}

/// The reason of a [`StreamError`].
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamErrorKind {
    /// The connection failed, or the server closed it.
    Connection(Error),
    /// The server sent an error, whole. Unless its severity is FATAL or PANIC, [`finish`](super::ReplicationStream::finish) returns the
    /// connection for other commands.
    Server(ServerError),
    /// The server ended the command without the end of the copy: because it shuts down, or because this connection has had a logical stream
    /// before. (A server process of PostgreSQL runs one.)
    EndedByServer,
    /// A malformed message.
    Decode(DecodeError),
    /// A change that does not fit the descriptions of tables before it.
    Relation(RelationError),
    /// A message that has no place in a replication stream.
    Unexpected(MessageCode),
    /// Data of an unknown kind inside CopyData.
    UnknownKind(u8),
    /// The WAL has a gap: physical replication only.
    Gap {
        /// Position of the next byte.
        expected: Lsn,
        /// Position of the data.
        found: Lsn,
    },
    /// Nothing to stream: the timeline of the command ends at its position. Start there on the next one.
    TimelineEnds(NextTimeline),
    /// A malformed row with the next timeline.
    Row(RowError),
    /// The [`Store`](crate::replication::pgoutput::Store) of transactions in progress failed.
    Store(Box<dyn core::error::Error + Send + Sync>),
    /// More transactions are in progress than a server can have.
    TooManyTransactions {
        /// The limit.
        limit: usize,
    },
    /// The store of transactions in progress has returned other bytes of this transaction than it was given.
    Damaged {
        /// The transaction.
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
            Self::Unexpected(code) => write!(f, "message {code:?} has no place in a replication stream"),
            Self::UnknownKind(kind) => write!(f, "data of the unknown kind {kind:#04x}"),
            Self::Gap { expected, found } => {
                write!(f, "the WAL has a gap: expected data from {expected} on, found data from {found} on")
            }
            Self::TimelineEnds(next) => {
                write!(f, "the timeline ends here, and timeline {} begins at {}", next.timeline, next.start)
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

/// A stream that was not started. The connection takes other commands if the error is the server's and not fatal.
pub struct StartError<T> {
    /// The reason, with the position of the command.
    pub error: StreamError,
    /// The connection.
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
