//! Reasons for which a task fails.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use pg_stream_tokio::ConnectError;
use pg_wire::backend::ServerError;
use pg_wire::replication::{Lsn, NotReceived, StreamError, StreamErrorKind};
use pg_wire::value::RowError;
use pg_wire::{DecodeError, Error};

use crate::report::escaped;

/// The reason for which a task failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Connecting or logging in failed.
    Connect(ConnectError),
    /// The connection failed.
    Connection(Error),
    /// The server reported an error.
    Server(ServerError),
    /// The replication stream failed.
    Stream(StreamError),
    /// The server ended the replication stream at this position.
    Ended(Lsn),
    /// A row in the server's answer cannot be decoded.
    Row(RowError),
    /// The server sent an answer that the protocol does not allow at this point. The string describes the answer.
    Answer(String),
    /// A file cannot be read or written.
    File { doing: &'static str, path: PathBuf, error: io::Error },
    /// The arguments or existing files do not allow the task. The string is the reason.
    Local(String),
    /// A signal has ended the backup before it was complete.
    Interrupted,
}

impl Failure {
    pub(crate) fn file(doing: &'static str, path: &Path, error: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), error }
    }

    /// Whether the task may succeed if the program connects again.
    pub(crate) fn is_worth_a_retry(&self) -> bool {
        matches!(
            self,
            Self::Connect(_) | Self::Connection(_) | Self::Server(_) | Self::Stream(_) | Self::Ended(_)
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => {
                for (number, error) in error.earlier().iter().chain([error]).enumerate() {
                    let separator = if number == 0 { "" } else { "; " };
                    let place = error.place().map(|place| format!("{place}: ")).unwrap_or_default();
                    f.write_str(&escaped(&format!("{separator}{place}{}", error.kind())))?;
                }
                Ok(())
            }
            Self::Connection(Error::Io(error)) => write!(f, "the connection failed: {error}"),
            Self::Connection(error) => error.fmt(f),
            Self::Server(error) => f.write_str(&escaped(&error.to_string())),
            Self::Stream(StreamError { at, kind: StreamErrorKind::Connection(Error::Io(error)), .. }) => {
                write!(f, "replication stream at {at}: the connection failed: {error}")
            }
            Self::Stream(error) => f.write_str(&escaped(&error.to_string())),
            Self::Ended(at) => write!(f, "the server ended the replication stream at {at}"),
            Self::Row(error) => error.fmt(f),
            Self::Answer(text) => f.write_str(&escaped(text)),
            Self::File { doing, path, error } => {
                write!(f, "{doing} {}: {error}", escaped(&path.display().to_string()))
            }
            Self::Local(text) => f.write_str(&escaped(text)),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Connection(error)
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::Connection(error.into())
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl From<RowError> for Failure {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

impl From<NotReceived> for Failure {
    fn from(error: NotReceived) -> Self {
        Self::Answer(error.to_string())
    }
}
