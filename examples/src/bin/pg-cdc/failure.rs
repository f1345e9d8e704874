//! [`Failure`]: a reason why the program ends or connects again, with its text and its exit status.

use std::fmt;
use std::io;

use pg_stream_tokio::pg_auth::config::TargetSessionAttrs;
use pg_stream_tokio::{ConnectError, ConnectErrorKind, SqlState};
use pg_wire::backend::ServerError;
use pg_wire::replication::{Lsn, StreamError, StreamErrorKind};
use pg_wire::value::RowError;
use pg_wire::{DecodeError, Error};

use crate::report::{self, escaped};
use crate::value::ValueError;

/// A reason why the program ends or connects again.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The program could not connect to the server.
    Connect(ConnectError),
    /// The connection failed, or the server violated the protocol.
    Connection(Error),
    /// The server reported an error.
    Server(ServerError),
    /// The server ended the stream of changes.
    Ended,
    /// The server sent a message at a point where the protocol does not allow it. The string is the name of the message.
    Misplaced(&'static str),
    /// The server sent a change of a table that no Relation message has described. The number is the OID of the table.
    UnknownTable(u32),
    /// A value of a column cannot be printed.
    Value { table: String, column: String, error: ValueError },
    /// A row of a reply does not have the expected columns.
    Row(RowError),
    /// An operation on the output, the state file or a temporary file failed.
    File { name: String, error: io::Error },
    /// The program cannot continue with these files, this slot or this server. The string is the reason.
    Refused(String),
    /// The output contains changes up to the position `recorded`, but this server has these changes only up to the position `server`.
    Behind { recorded: Lsn, server: Lsn },
    /// The output thread has ended early. `Output::finish` returns its error.
    OutputEnded,
    /// An error of the replication stream that no other variant describes.
    Stream(StreamError),
    /// A signal interrupted a transaction or the snapshot. The string follows `interrupted` in the text of the error.
    Interrupted(&'static str),
}

impl Failure {
    /// Whether the failure may be temporary. If so, the program connects again.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Connection(Error::Io(_) | Error::Closed { .. } | Error::Poisoned(_)) | Self::Ended => true,
            Self::Server(error) => is_temporary(error),
            Self::Connect(error) => error.earlier().iter().chain([error]).any(|error| match error.kind() {
                ConnectErrorKind::Resolve(_)
                | ConnectErrorKind::Unreachable(_)
                | ConnectErrorKind::Timeout(_)
                | ConnectErrorKind::Connection(_) => true,
                ConnectErrorKind::Target(
                    TargetSessionAttrs::ReadWrite | TargetSessionAttrs::Primary | TargetSessionAttrs::Standby,
                ) => true,
                _ => error.server_error().is_some_and(is_temporary),
            }),
            _ => false,
        }
    }

    /// Whether the server is still starting, or the slot is still in use by an earlier connection. Until the program has connected once, it
    /// tries again only after such a failure.
    pub(crate) fn is_not_yet(&self) -> bool {
        let is_not_yet = |error: &ServerError| {
            matches!(error.sqlstate(), Some(SqlState::CANNOT_CONNECT_NOW | SqlState::OBJECT_IN_USE))
        };
        match self {
            Self::Server(error) => is_not_yet(error),
            Self::Connect(error) => error.server_error().is_some_and(is_not_yet),
            _ => false,
        }
    }

    /// Whether the failure is an error of the server with this SQLSTATE.
    pub(crate) fn has_state(&self, state: SqlState) -> bool {
        matches!(self, Self::Server(error) if error.sqlstate() == Some(state))
    }

    /// Returns the exit status of the program, which the help text describes.
    pub(crate) fn code(&self) -> i32 {
        match self {
            Self::Connect(_) | Self::Connection(Error::Io(_) | Error::Closed { .. }) | Self::Ended => 2,
            _ => 1,
        }
    }

    pub(crate) fn file(name: impl Into<String>, error: io::Error) -> Self {
        Self::File { name: name.into(), error }
    }
}

/// Whether the error may be temporary: shutdown, crash or start of the server, a lost connection, a lack of connections or other resources,
/// a slot in use.
fn is_temporary(error: &ServerError) -> bool {
    let Some(state) = error.sqlstate() else { return false };
    matches!(
        state,
        SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::OBJECT_IN_USE
    ) || matches!(state.class(), "08" | "53")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => f.write_str(&report::attempts(error)),
            Self::Connection(Error::Io(error)) => write!(f, "the connection failed: {error}"),
            Self::Connection(error) => error.fmt(f),
            Self::Server(error) => f.write_str(&report::server_error(error.fields())),
            Self::Ended => f.write_str("the server ended the stream of changes"),
            Self::Misplaced(message) => write!(f, "the server sent an unexpected {message}"),
            Self::UnknownTable(relation) => {
                write!(
                    f,
                    "the server sent a change of the table with OID {relation}, but no Relation message before it"
                )
            }
            Self::Value { table, column, error } => {
                write!(f, "a value of column {} of table {} {error}", escaped(column), escaped(table))
            }
            Self::Row(error) => error.fmt(f),
            Self::File { name, error } => write!(f, "{}: {error}", escaped(name)),
            Self::Refused(reason) => f.write_str(&escaped(reason)),
            Self::Behind { recorded, server } => write!(
                f,
                "the server has the WAL of the recorded lines only up to {server}, but the recorded position is {recorded}: changes were \
                 lost in a failover, or this is another server. The lines may contain transactions that the server does not have. To accept \
                 this, start with new --out and --state files"
            ),
            Self::OutputEnded => f.write_str("the thread that writes the output has ended"),
            Self::Stream(error) => error.fmt(f),
            Self::Interrupted(during) => write!(f, "interrupted {during}"),
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

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        match error.kind {
            StreamErrorKind::Connection(error) => Self::Connection(error),
            StreamErrorKind::Server(error) => Self::Server(error),
            StreamErrorKind::EndedByServer => Self::Ended,
            _ => Self::Stream(error),
        }
    }
}
