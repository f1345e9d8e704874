//! Reasons why a client's session ends.

use std::fmt;
use std::time::Duration;

use pg_stream_tokio::{ConnectError, ConnectErrorKind};
use pg_wire::backend::{ErrorResponse, ServerError};
use pg_wire::{DecodeError, SqlState};

/// The reason why a client's session ends.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client has disconnected. No error can be sent.
    Gone,
    /// The server has ended its session, and the pooler has forwarded the server's reason to the client.
    ServerEnded,
    /// The connection to the server was lost.
    ServerLost,
    /// No server connection became free within this time.
    NoServer(Duration),
    /// The server could not be reached, or the login failed without an error of the server.
    Unreachable(String),
    /// The server rejected the login, with this SQLSTATE.
    Rejected(SqlState, String),
    /// The server rejected the client's settings, with this SQLSTATE.
    Settings(SqlState, String),
    /// The start-up message asks for something that the pooler does not support.
    Unsupported(String),
    /// The client broke the protocol.
    Protocol(String),
}

impl Failure {
    /// Creates the failure of a login.
    pub(crate) fn login(error: &ConnectError) -> Self {
        let response = match error.kind() {
            ConnectErrorKind::Auth(error) => error.server_error().map(ServerError::fields),
            _ => None,
        };
        match response.and_then(|fields| Some((fields.sqlstate()?, fields.message()?))) {
            Some((state, message)) => Self::Rejected(state, message.to_string_lossy().into_owned()),
            None => Self::Unreachable(error.to_string()),
        }
    }

    /// Creates the failure for an error of the query that sets the client's settings.
    pub(crate) fn settings(error: &ErrorResponse<'_>) -> Self {
        let state = error.fields.sqlstate().unwrap_or(SqlState::CONNECTION_FAILURE);
        let message = error.fields.message().unwrap_or_default().to_string_lossy().into_owned();
        Self::Settings(state, message)
    }

    /// Returns the SQLSTATE of the error that the pooler sends to the client. Returns `None` if the client has disconnected, or has already
    /// received the error of the server.
    pub(crate) fn sqlstate(&self) -> Option<SqlState> {
        Some(match self {
            Self::Gone | Self::ServerEnded => return None,
            Self::ServerLost => SqlState::CONNECTION_FAILURE,
            Self::Rejected(state, _) | Self::Settings(state, _) => *state,
            Self::NoServer(_) => SqlState::TOO_MANY_CONNECTIONS,
            Self::Unreachable(_) => SqlState::SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
            Self::Unsupported(_) => SqlState::FEATURE_NOT_SUPPORTED,
            Self::Protocol(_) => SqlState::PROTOCOL_VIOLATION,
        })
    }

    /// Whether another client can use the server connection after this failure.
    pub(crate) fn spares_server(&self) -> bool {
        matches!(self, Self::Gone | Self::Protocol(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the client has disconnected"),
            Self::ServerEnded => f.write_str("the server has ended the session"),
            Self::ServerLost => f.write_str(
                "the connection to the server was lost: whether the transaction was committed is not known",
            ),
            Self::NoServer(limit) => {
                write!(f, "no server connection became free within {} s", limit.as_secs())
            }
            Self::Unreachable(error) => write!(f, "cannot connect to the server: {error}"),
            Self::Rejected(_, message) | Self::Settings(_, message) => f.write_str(message),
            Self::Unsupported(what) | Self::Protocol(what) => f.write_str(what),
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::Protocol(error.to_string())
    }
}
