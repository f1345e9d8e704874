//! Reasons why a client's session ends.

use std::fmt;
use std::time::Duration;

use pg_wire::{DecodeError, SqlState};

/// The reason why a client's session ends.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client has disconnected. No error can be sent.
    Gone,
    /// The server has ended its session, and the client has been sent the reason.
    ServerEnded,
    /// The connection to the server was lost.
    ServerLost,
    /// No server connection became free within this time.
    NoServer(Duration),
    /// The server could not be reached, or rejected the login.
    Unreachable(String),
    /// The client's settings could not be set on the server connection.
    Settings,
    /// The start-up message asks for something that the pooler does not support.
    Unsupported(String),
    /// The client broke the protocol.
    Protocol(String),
}

impl Failure {
    /// Returns the SQLSTATE of the error that the pooler sends to the client. Returns `None` if no error is to be sent: the client has
    /// disconnected, or has already received the error of the server.
    pub(crate) fn sqlstate(&self) -> Option<SqlState> {
        Some(match self {
            Self::Gone | Self::ServerEnded => return None,
            Self::ServerLost | Self::Settings => SqlState::CONNECTION_FAILURE,
            Self::NoServer(_) => SqlState::TOO_MANY_CONNECTIONS,
            Self::Unreachable(_) => SqlState::SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
            Self::Unsupported(_) => SqlState::FEATURE_NOT_SUPPORTED,
            Self::Protocol(_) => SqlState::PROTOCOL_VIOLATION,
        })
    }

    /// Whether the server connection can be used for another client after this failure of the current client.
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
            Self::Settings => f.write_str("the server rejected the settings of the session"),
            Self::Unsupported(what) | Self::Protocol(what) => f.write_str(what),
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::Protocol(error.to_string())
    }
}
