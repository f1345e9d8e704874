//! Why a connection is ended before its time, and what its client is told.

use std::fmt;
use std::io;

use pg_wire::backend::{ErrorField, ErrorResponse};
use pg_wire::frontend::{Frontend, ProtocolVersion};
use pg_wire::{DecodeError, Direction, Encode, FrameError, SqlState, Text};

use crate::trace::Trace;

/// Why a connection is ended.
#[derive(Debug)]
pub(crate) enum Failure {
    /// One side is gone, which is nothing to make words about.
    Gone(Party),
    /// A body that is not what its code promises.
    Malformed(Party, DecodeError),
    /// A header that cannot be believed.
    OutOfStep(Party, FrameError),
    /// A first packet of a length that cannot be believed.
    Length(FrameError),
    /// A start-up message whose parameters do not end where they should.
    StartupLayout(DecodeError),
    /// A request of the time before the session that is not what its code promises.
    Request(DecodeError),
    /// A version that nobody speaks.
    Unsupported(ProtocolVersion),
    /// Bytes came in clear behind a request for encryption, before it was answered.
    Unencrypted(&'static str),
    /// The request for encryption was answered by something else than yes or no.
    StrangeAnswer(u8),
    /// The server cannot be reached.
    Unreachable(io::Error),
    /// The client was not let in in time.
    Timeout,
}

/// One of the two that talk through us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Client,
    Server,
}

impl Party {
    /// Who speaks in this direction.
    pub(crate) fn speaking(direction: Direction) -> Self {
        match direction {
            Direction::Frontend => Self::Client,
            Direction::Backend => Self::Server,
        }
    }

    /// Who is spoken to in this direction.
    pub(crate) fn spoken_to(direction: Direction) -> Self {
        match direction {
            Direction::Frontend => Self::Server,
            Direction::Backend => Self::Client,
        }
    }
}

impl Failure {
    /// What the client is told: what PostgreSQL would say to it. Nothing, where PostgreSQL or, for a server's fault, libpq just
    /// closes.
    pub(crate) fn answer(&self, trace: &Trace) -> Option<Vec<u8>> {
        let (state, message) = match self {
            Self::Malformed(Party::Client, error) => (SqlState::PROTOCOL_VIOLATION, error.to_string()),
            // PostgreSQL looks at the code before it looks at the length.
            Self::OutOfStep(Party::Client, FrameError { code, .. }) if !Frontend::CODES.contains(&code) => {
                (SqlState::PROTOCOL_VIOLATION, format!("invalid frontend message type {}", code.0))
            }
            Self::StartupLayout(_) => (
                SqlState::PROTOCOL_VIOLATION,
                "invalid startup packet layout: expected terminator as last byte".into(),
            ),
            Self::Unsupported(version) => (
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("unsupported frontend protocol {version}: server supports 3.0 to 3.2"),
            ),
            Self::Unencrypted(request) => {
                (SqlState::PROTOCOL_VIOLATION, format!("received unencrypted data after {request} request"))
            }
            Self::Unreachable(error) => {
                (SqlState::CONNECTION_FAILURE, format!("could not connect to server: {error}"))
            }
            _ => return None,
        };
        let field = |code, value| ErrorField { code, value: Text::from(value) };
        let fields =
            [field(b'S', "FATAL"), field(b'V', "FATAL"), field(b'C', state.as_str()), field(b'M', &message)];
        let error = ErrorResponse { fields: (&fields).into() };
        trace.message(Direction::Backend, &error);
        let mut bytes = Vec::new();
        error.encode(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Whether it is worth a line.
    pub(crate) fn is_worth_telling(&self) -> bool {
        !matches!(self, Self::Gone(_))
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
            Self::Gone(party) => write!(f, "{party} is gone"),
            Self::Malformed(party, error) => write!(f, "from {party}: {error}"),
            Self::OutOfStep(party, error) => write!(f, "from {party}: {error}"),
            Self::Length(error) => write!(f, "from the client, as its first packet: {error}"),
            Self::StartupLayout(error) | Self::Request(error) => write!(f, "from the client: {error}"),
            Self::Unsupported(version) => write!(f, "from the client: version {version} of the protocol"),
            Self::Unencrypted(request) => {
                write!(f, "from the client: unencrypted data after its {request} request")
            }
            Self::StrangeAnswer(answer) => write!(
                f,
                "from the server: '{}' in answer to a request for encryption",
                answer.escape_ascii()
            ),
            Self::Unreachable(error) => write!(f, "the server cannot be reached: {error}"),
            Self::Timeout => f.write_str("it was not let in in time"),
        }
    }
}
