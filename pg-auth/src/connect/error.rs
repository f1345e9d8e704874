//! The error of a failed connection: the server, the step that failed, and the errors of earlier attempts.

use std::fmt;
use std::io;
use std::time::Duration;

use pg_wire::backend::ServerError;

use crate::address::Address;
use crate::config::{Host, TargetSessionAttrs};
use crate::error::{AuthError, ConfigError, PolicyError, Refusal};
use crate::link::Link;
use crate::tls::TlsError;

/// The error of a failed connection.
///
/// [`kind`](Self::kind) is the step that failed last, with its cause. The error of a dialled connection also names the host, and contains
/// the error of every earlier attempt. `Display` writes one line for each attempt.
pub struct ConnectError(Box<Failure>);

struct Failure {
    kind: ConnectErrorKind,
    place: Option<Place>,
    earlier: Vec<ConnectError>,
    /// Whether the server answered the start-up message with an error, before AuthenticationOk.
    rejected: bool,
}

/// A server to which the client tried to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The host as the configuration names it.
    pub host: Host,
    /// The address of the host; `None` while the name is being resolved.
    pub address: Option<Address>,
    /// The kind of stream; `None` before the kind has been chosen.
    pub link: Option<Link>,
}

impl Place {
    pub(super) fn new(host: &Host) -> Self {
        Self { host: host.clone(), address: None, link: None }
    }
}

/// The step of the connection phase that failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// The name of the host could not be resolved to an address.
    Resolve(io::Error),
    /// The server cannot be reached.
    Unreachable(io::Error),
    /// The step took longer than this limit: `connect_timeout`, or the time limit of an `Acceptor`.
    Timeout(Duration),
    /// TLS did not begin.
    Tls(TlsError),
    /// The stream failed, or the peer closed it, during the login.
    Connection(pg_wire::Error),
    /// The login failed.
    Auth(AuthError),
    /// The session is not of the kind that `target_session_attrs` demands.
    Target(TargetSessionAttrs),
    /// The job given to the runtime was not run, because the runtime is shutting down.
    Offload(io::Error),
}

impl ConnectError {
    /// The step that failed last, with its cause.
    pub fn kind(&self) -> &ConnectErrorKind {
        &self.0.kind
    }

    /// The server that was tried last; `None` over a stream that the caller provided.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// The errors of the attempts before the last, in the order in which they were made.
    pub fn earlier(&self) -> &[ConnectError] {
        &self.0.earlier
    }

    /// The server's own error, if the server rejected the login.
    pub fn server_error(&self) -> Option<&ServerError> {
        self.0.kind.server_error()
    }

    /// The error of the connection phase, if the connection phase failed.
    pub fn auth_error(&self) -> Option<&AuthError> {
        match &self.0.kind {
            ConnectErrorKind::Auth(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the server rejected the login with an ErrorResponse, before AuthenticationOk.
    pub(super) fn is_rejected_login(&self) -> bool {
        self.0.rejected && matches!(self.auth_error(), Some(AuthError::Server(Refusal::Response(_))))
    }

    /// Whether a password or a token was not sent because the connection has no TLS.
    pub(super) fn lacks_tls(&self) -> bool {
        use PolicyError::{CleartextPassword, TokenInClear};
        matches!(self.auth_error(), Some(AuthError::Policy(CleartextPassword | TokenInClear)))
    }

    pub(super) fn rejected(mut self, rejected: bool) -> Self {
        self.0.rejected = rejected;
        self
    }

    pub(super) fn at(mut self, place: Place) -> Self {
        self.0.place.get_or_insert(place);
        self
    }

    pub(super) fn after(mut self, mut earlier: Vec<ConnectError>) -> Self {
        earlier.append(&mut self.0.earlier);
        self.0.earlier = earlier;
        self
    }
}

impl ConnectErrorKind {
    fn server_error(&self) -> Option<&ServerError> {
        match self {
            Self::Auth(error) => error.server_error(),
            _ => None,
        }
    }
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { kind, place, earlier, rejected: _ } = &*self.0;
        let mut shown = f.debug_struct("ConnectError");
        shown.field("kind", kind);
        if let Some(place) = place {
            shown.field("place", place);
        }
        if !earlier.is_empty() {
            shown.field("earlier", earlier);
        }
        shown.finish()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.0.earlier {
            writeln!(f, "{error}")?;
        }
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        self.0.kind.fmt(f)
    }
}

/// The host, then in brackets its address and the kind of stream, if known: `db.example:5432 (192.0.2.7, TLS)`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        let address = match &self.address {
            Some(Address::Tcp(address)) => Some(address.ip().to_string()),
            _ => None,
        };
        let address = address.filter(|address| !self.host.to_string().contains(address.as_str()));
        let tls = (self.link == Some(Link::Tls)).then(|| String::from("TLS"));
        let known: Vec<String> = address.into_iter().chain(tls).collect();
        if known.is_empty() { Ok(()) } else { write!(f, " ({})", known.join(", ")) }
    }
}

impl fmt::Display for ConnectErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(error) => write!(f, "the name of the host cannot be resolved: {error}"),
            Self::Unreachable(error) => write!(f, "cannot connect: {error}"),
            Self::Timeout(limit) => {
                write!(f, "no session within the time limit of {} s", limit.as_secs_f32())
            }
            Self::Tls(error) => error.fmt(f),
            Self::Connection(pg_wire::Error::Io(error)) => {
                write!(f, "the connection failed during the login: {error}")
            }
            Self::Connection(pg_wire::Error::Closed { .. }) => {
                f.write_str("the peer closed the connection during the login")
            }
            Self::Connection(error) => error.fmt(f),
            Self::Auth(error) => error.fmt(f),
            Self::Target(target) => f.write_str(match target {
                TargetSessionAttrs::ReadWrite => "the session is read-only",
                TargetSessionAttrs::ReadOnly => "the session is not read-only",
                TargetSessionAttrs::Primary => "the server is in hot standby mode",
                _ => "the server is not in hot standby mode",
            }),
            Self::Offload(error) => write!(f, "a job could not be run outside the executor: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<ConnectErrorKind> for ConnectError {
    fn from(kind: ConnectErrorKind) -> Self {
        Self(Box::new(Failure { kind, place: None, earlier: Vec::new(), rejected: false }))
    }
}

impl From<pg_wire::Error> for ConnectError {
    fn from(error: pg_wire::Error) -> Self {
        ConnectErrorKind::Connection(error).into()
    }
}

impl From<AuthError> for ConnectError {
    fn from(error: AuthError) -> Self {
        ConnectErrorKind::Auth(error).into()
    }
}

impl From<ConfigError> for ConnectError {
    fn from(error: ConfigError) -> Self {
        AuthError::from(error).into()
    }
}

impl From<TlsError> for ConnectError {
    fn from(error: TlsError) -> Self {
        ConnectErrorKind::Tls(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TokenRefusal;
    use crate::oauth::Discovery;
    use pg_wire::Decode;
    use pg_wire::backend::ErrorResponse;

    #[test]
    fn a_rejected_token_has_the_servers_error_too() {
        let response =
            ErrorResponse::decode(b"SFATAL\0C28000\0Mgo away\0\0").expect("well-formed").to_owned();
        let document = Discovery::from_server(b"{}").expect("a document");
        let refusal = TokenRefusal { token_sent: true, document, response };
        let error = ConnectError::from(AuthError::from(Refusal::Token(refusal.into())));
        let shown = error.server_error().map(ToString::to_string);
        assert_eq!(shown.as_deref(), Some("FATAL 28000: go away"));
    }
}
