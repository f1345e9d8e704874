//! Reasons for which a task fails, each with its text and exit status.

use pg_stream_tokio::ConnectError;
use pg_wire::backend::ServerError;
use pg_wire::value::RowError;
use pg_wire::{DecodeError, Error};

use crate::arguments::Task;
use crate::interrupts::Interrupted;
use crate::report;

/// A reason for which a task fails.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server reported an error.
    Server(ServerError),
    /// The server reported an error and ended the session.
    Ended(ServerError),
    /// Connecting or logging in failed.
    Connect(ConnectError),
    /// The connection failed during the session.
    Connection(Error),
    /// The server sent a message that cannot be part of the answer to a Query.
    Misplaced(&'static str),
    /// A row does not match its RowDescription.
    Row(RowError),
    /// The server sent ReadyForQuery without a complete answer before it.
    Unanswered,
    /// A COPY FROM STDIN had no data, because the SQL was read from standard input. The error is the server's error for this COPY.
    NoInput(ServerError),
    /// The user ended the program with Ctrl-C.
    Interrupted,
}

impl Failure {
    /// Returns the text to print on standard error. The text may have several lines.
    pub(crate) fn text(&self, task: &Task) -> String {
        match self {
            Self::Server(error) | Self::Ended(error) => report::error(error.fields(), &task.sql),
            Self::Connect(error) => report::attempts(error),
            Self::Connection(Error::Io(error)) => format!("pg-query: the connection failed: {error}"),
            Self::Connection(error) => format!("pg-query: {error}"),
            Self::Misplaced(message) => {
                format!("pg-query: the server sent {message}, which is no part of the answer to a Query")
            }
            Self::Row(error) => format!("pg-query: {error}"),
            Self::Unanswered => {
                "pg-query: the server sent ReadyForQuery without CommandComplete, EmptyQueryResponse \
                                 or ErrorResponse before it: the statements may not have run"
                    .into()
            }
            Self::NoInput(error) => format!(
                "{}\npg-query: COPY FROM STDIN cannot read standard input, which held the SQL: use --file FILE",
                report::error(error.fields(), &task.sql)
            ),
            Self::Interrupted => "pg-query: interrupted".into(),
        }
    }

    /// Returns the exit status of the program, which the help text describes.
    pub(crate) fn code(&self) -> i32 {
        match self {
            Self::Connect(_) | Self::Ended(_) | Self::Connection(Error::Io(_) | Error::Closed { .. }) => 2,
            _ => 1,
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

impl From<RowError> for Failure {
    fn from(error: RowError) -> Self {
        Self::Row(error)
    }
}

impl From<Interrupted> for Failure {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}
