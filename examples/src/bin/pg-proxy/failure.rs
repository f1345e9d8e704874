//! Reasons for which the proxy ends a connection, each with the error message that the client receives.

use std::fmt;
use std::io;

use pg_auth::accept::unsupported;
use pg_wire::backend::{ErrorField, ErrorResponse};
use pg_wire::frontend::{Frontend, ProtocolVersion};
use pg_wire::{Direction, Encode, FrameError, SqlState, error::FrameErrorKind};

use crate::trace::Trace;

/// A reason for which the proxy ends a connection.
///
/// The content of a complete message is never such a reason: the proxy passes the message on, and its receiver may reject it. An invalid
/// header is a reason, because the proxy cannot find the beginning of the next message.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This party has closed or reset its connection.
    Gone(Party),
    /// A peer sent a message with an impossible length, or with a length over the limit for its kind.
    Header(Party, FrameError),
    /// The client sent a first packet with an impossible length. A first packet has no code.
    PacketLength(FrameError),
    /// The client repeated a request for encryption that was declined. PostgreSQL treats the code of the repeated request as a protocol
    /// version that it does not support.
    Unsupported(ProtocolVersion),
    /// The client requested encryption, and then sent bytes in clear without waiting for the answer. The string is the name of the
    /// encryption.
    Unencrypted(&'static str),
    /// The server answered a request for encryption with this byte, which the protocol does not define.
    StrangeAnswer(u8),
    /// The server cannot be reached.
    Unreachable(io::Error),
    /// The TLS handshake with the client failed.
    NoTls(io::Error),
    /// The opening phase, from the first packet to the end of authentication, took too long.
    Timeout,
    /// The client was silent in the opening phase. The number of connections in this phase has reached its limit, and another client waits.
    Displaced,
    /// The proxy is stopping.
    Stopping,
}

/// The client or the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Client,
    Server,
}

impl Party {
    /// Returns the party that sends the messages of this direction.
    pub(crate) fn sender(direction: Direction) -> Self {
        match direction {
            Direction::Frontend => Self::Client,
            Direction::Backend => Self::Server,
        }
    }

    /// Returns the party that receives the messages of this direction.
    pub(crate) fn receiver(direction: Direction) -> Self {
        match direction {
            Direction::Frontend => Self::Server,
            Direction::Backend => Self::Client,
        }
    }
}

impl Failure {
    /// Returns the ErrorResponse for the client, with the text that PostgreSQL would send. `asked` is true if the client has sent its
    /// start-up message: before that, a client expects no messages.
    ///
    /// Returns `None` for failures of the server, and for failures after which PostgreSQL closes the connection without a message.
    pub(crate) fn answer(&self, asked: bool, trace: &Trace) -> Option<Vec<u8>> {
        let (state, message) = match self {
            // Like PostgreSQL, the proxy reports an unknown code even if the length is invalid too.
            Self::Header(Party::Client, FrameError { code, .. }) if !Frontend::CODES.contains(code) => {
                (SqlState::PROTOCOL_VIOLATION, format!("invalid frontend message type {}", code.0))
            }
            Self::Unsupported(version) => (SqlState::FEATURE_NOT_SUPPORTED, unsupported(*version)),
            Self::Unencrypted(request) => {
                (SqlState::PROTOCOL_VIOLATION, format!("received unencrypted data after {request} request"))
            }
            Self::Unreachable(error) if asked => {
                (SqlState::CONNECTION_FAILURE, format!("could not connect to server: {error}"))
            }
            Self::Timeout if asked => {
                (SqlState::QUERY_CANCELED, "canceling authentication due to timeout".into())
            }
            Self::Displaced if asked => (
                SqlState::TOO_MANY_CONNECTIONS,
                "too many connections are waiting for authentication, and this one waited longest".into(),
            ),
            Self::Stopping if asked => {
                (SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command".into())
            }
            _ => return None,
        };
        let fields = ErrorField::four("FATAL", &state, &message);
        let error = ErrorResponse { fields: (&fields).into() };
        trace.message(Direction::Backend, &error);
        let mut bytes = Vec::new();
        error.encode(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Whether the failure is reported on standard error. A closed connection and the stop of the proxy are not reported.
    pub(crate) fn is_worth_a_line(&self) -> bool {
        !matches!(self, Self::Gone(_) | Self::Stopping)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "the client",
            Self::Server => "the server",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(party) => write!(f, "{party} has closed its connection"),
            Self::Header(party, error) => write!(f, "from {party}: {error}"),
            Self::PacketLength(error) => {
                write!(f, "from the client: invalid length of startup packet: {}", length_of(error))
            }
            Self::Unsupported(version) => {
                write!(f, "from the client: version {version} of the protocol is not supported")
            }
            Self::Unencrypted(request) => {
                write!(f, "from the client: unencrypted data after its {request} request")
            }
            Self::StrangeAnswer(answer) => write!(
                f,
                "from the server: '{}' in answer to a request for encryption",
                answer.escape_ascii()
            ),
            Self::Unreachable(error) => write!(f, "the server cannot be reached: {error}"),
            Self::NoTls(error) => write!(f, "TLS with the client did not begin: {error}"),
            Self::Timeout => f.write_str("the client was not authenticated within --opening-timeout"),
            Self::Displaced => {
                f.write_str("the client was silent, and another client needed its place (--opening-limit)")
            }
            Self::Stopping => f.write_str("the proxy is stopping"),
        }
    }
}

/// Returns the value of the length field of a packet that was rejected.
fn length_of(error: &FrameError) -> i64 {
    match error.kind {
        FrameErrorKind::BadLength { length } => length.into(),
        FrameErrorKind::TooLong { length, .. } => i64::try_from(length).unwrap_or(i64::MAX),
        _ => 0,
    }
}
