//! Errors of the connection phase: the server's refusals, invalid data from the peer, violations of the caller's policy, configuration
//! errors.

mod peer;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use pg_wire::backend::ServerError;
use pg_wire::frontend::ProtocolVersion;

use crate::certificate::CertificateError;
pub use crate::config::error::{ConfigError, ServiceError, UnsupportedParameter};
use crate::config::require_auth::AuthMethod;
use crate::link::ClientCertificate;
use crate::oauth::Discovery;

pub use peer::{ClientError, PeerError, ScramFault};

/// The reason why the connection phase failed. No variant contains a password, a key, a token or a connection string.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthError {
    /// As a client: the server refused the login, and this is the reason.
    Server(Refusal),
    /// As a client: the server violated the protocol, or did not prove its identity. As a server: the client sent an invalid SCRAM message.
    Peer(PeerError),
    /// As a server: the client violated the protocol, or asked for a feature that is not offered.
    Client(ClientError),
    /// A received message is malformed, or a message to be sent cannot be encoded.
    Wire(WireError),
    /// The protocol allows the peer's message, but the caller's configuration does not.
    Policy(PolicyError),
    /// The caller's configuration cannot be used.
    Config(ConfigError),
    /// As a server: the client's password, proof, token or principal is wrong. The error is the same if the user does not exist, so that
    /// clients cannot find out which users exist.
    Denied,
    /// The operating system returned no random bytes.
    Entropy,
    /// A certificate cannot be read.
    Certificate(CertificateError),
    /// A plug-in that the caller supplies, such as a token source or a GSSAPI library, failed.
    Plugin(PluginError),
    /// The caller called the methods of a state machine in the wrong order. The string names the missing call.
    Misuse(&'static str),
}

impl AuthError {
    /// The server's ErrorResponse, if the server sent one.
    pub fn server_error(&self) -> Option<&ServerError> {
        match self {
            Self::Server(Refusal::Response(error)) => Some(error),
            Self::Server(Refusal::Token(refusal)) => Some(&refusal.response),
            _ => None,
        }
    }

    /// The server's document that names the issuer of tokens. `Some` only if this attempt ended because the client had no token yet.
    /// Connect again and pass the document to [`Handshake::discovery`](crate::Handshake::discovery).
    pub fn discovery(&self) -> Option<&Discovery> {
        match self {
            Self::Server(Refusal::Token(refusal)) if !refusal.token_sent => Some(&refusal.document),
            _ => None,
        }
    }
}

/// The reason that a server gave for its refusal. Do not trust the text: the server may not have proven its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The server's ErrorResponse, unchanged.
    Response(ServerError),
    /// Text without a message header, which the server sent instead of its first message. A server that cannot start a process for the
    /// client sends such a text. The text is cut to 256 characters; every character outside of printable ASCII is replaced by `?`.
    Text(Box<str>),
    /// The value of the `e=` attribute in the server's SCRAM message, such as `invalid-proof`. The value is cut to 64 characters; every
    /// character outside of printable ASCII is replaced by `?`.
    Scram(Box<str>),
    /// The server rejected the bearer token, or received no token, and named the issuer of tokens.
    Token(Box<TokenRefusal>),
}

/// A server's rejection of a bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRefusal {
    /// Whether the client sent a token. If not, the client asked only for the server's document, which names the issuer of tokens.
    pub token_sent: bool,
    /// The JSON document that names the issuer of tokens, as the server sent it.
    pub document: Discovery,
    /// The server's ErrorResponse, unchanged.
    pub response: ServerError,
}

/// An error of a plug-in that the caller supplies. Two values are equal if they are clones of the same error.
#[derive(Clone, Debug)]
pub struct PluginError {
    /// The plug-in: `token source` or `GSSAPI library`.
    what: &'static str,
    error: Arc<dyn Error + Send + Sync>,
}

impl PluginError {
    pub(crate) fn new(what: &'static str, error: Box<dyn Error + Send + Sync>) -> Self {
        Self { what, error: error.into() }
    }
}

impl PartialEq for PluginError {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.error, &other.error)
    }
}

impl Eq for PluginError {}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} failed", self.what)
    }
}

impl Error for PluginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

/// A demand of the caller's configuration that the connection does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// The server asked for more SCRAM iterations than the maximum. Without a maximum, a hostile server could take minutes of the client's
    /// CPU time.
    TooManyIterations {
        /// The iteration count that the server asked for.
        asked: u32,
        /// The highest iteration count that the configuration accepts.
        max: u32,
    },
    /// The server asked for fewer SCRAM iterations than the minimum. Few iterations make the password cheap to guess for someone who has
    /// recorded the login.
    TooFewIterations {
        /// The iteration count that the server asked for.
        asked: u32,
        /// The lowest iteration count that the configuration accepts.
        min: u32,
    },
    /// The server asked for the password in clear text over TCP without TLS.
    CleartextPassword,
    /// The server uses a method that `require_auth` does not allow.
    Method(AuthMethod),
    /// `channel_binding` is `require`, but the login cannot be bound to a TLS channel.
    ChannelBinding,
    /// `channel_binding` is `require`, but the signature algorithm of the server's certificate (such as Ed25519) defines no hash for
    /// channel binding.
    NoEndPoint,
    /// `sslmode` demands TLS, but the connection has no TLS.
    TlsRequired,
    /// `sslcertmode` demands that the client's certificate is sent, but no certificate was sent.
    ClientCertificate(ClientCertificate),
    /// The server's newest version is older than the oldest accepted version.
    Version {
        /// The server's newest version.
        server: ProtocolVersion,
        /// The oldest accepted version.
        min: ProtocolVersion,
    },
    /// The server asks for a password, but the configuration has no password.
    NoPassword,
    /// The server asks for a bearer token, but the configuration has no source of tokens.
    NoTokens,
    /// The server asks for a bearer token on a connection without TLS.
    TokenInClear,
    /// The server asks for GSSAPI or SSPI, but the configuration contains no library for these methods.
    NoGss,
}

/// A fault in the bytes of the connection phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// A malformed message.
    Decode(pg_wire::DecodeError),
    /// A frame with an invalid length, or a frame that is longer than an unauthenticated peer may send.
    Frame(pg_wire::FrameError),
    /// A message to the peer that cannot be encoded.
    Encode(pg_wire::EncodeError),
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Peer(error) => error.fmt(f),
            Self::Wire(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Client(error) => error.fmt(f),
            Self::Denied => f.write_str("authentication failed"),
            Self::Certificate(error) => error.fmt(f),
            Self::Plugin(error) => error.fmt(f),
            Self::Misuse(first) => {
                write!(f, "methods of the connection phase were called in the wrong order: {first}")
            }
            Self::Entropy => f.write_str("the operating system returned no random bytes"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(response) => response.fmt(f),
            Self::Text(text) => write!(f, "the server refused the connection: {text}"),
            Self::Scram(reason) => write!(f, "the server refused the SCRAM exchange: {reason}"),
            Self::Token(refusal) if refusal.token_sent => {
                write!(f, "{} (the server rejected the bearer token)", refusal.response)
            }
            Self::Token(_) => f.write_str(
                "no bearer token was available; the server has named the issuer of tokens: connect again with its document",
            ),
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::Frame(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(method) => {
                write!(f, "the server authenticates by method \"{method}\", which require_auth does not allow")
            }
            Self::ChannelBinding => f.write_str("channel binding is required, but the login cannot be bound to a TLS channel"),
            Self::TlsRequired => f.write_str(
                "sslmode demands TLS, but the stream has no TLS: use a TLS stream and declare it as Link::Tls",
            ),
            Self::ClientCertificate(ClientCertificate::NotRequested) => {
                f.write_str("sslcertmode=require, but the server did not ask for the client's certificate")
            }
            Self::ClientCertificate(_) => {
                f.write_str("sslcertmode=require, but the client has sent no certificate: none fits the server's request")
            }
            Self::Version { server, min } => {
                write!(f, "the server supports protocol {server} at most, but min_protocol_version is {min}")
            }
            Self::NoEndPoint => f.write_str(
                "channel binding is required, but the server's certificate has a signature algorithm without a hash, such as Ed25519",
            ),
            Self::NoPassword => f.write_str("the server asks for a password, but no password is given"),
            Self::NoTokens => {
                f.write_str("the server asks for a bearer token, but the configuration has no source of tokens")
            }
            Self::TokenInClear => f.write_str(
                "the server asks for a bearer token, but the connection has no TLS: use sslmode=require or stricter",
            ),
            Self::NoGss => {
                f.write_str("the server asks for GSSAPI or SSPI, but the configuration has no library for GSSAPI")
            }
            Self::TooManyIterations { asked, max } => {
                write!(f, "the server asked for {asked} SCRAM iterations, more than the {max} that scram_iterations_max allows")
            }
            Self::TooFewIterations { asked, min } => {
                write!(f, "the server asked for {asked} SCRAM iterations, fewer than the {min} that scram_iterations_min demands")
            }
            Self::CleartextPassword => {
                f.write_str("the server asked for a clear-text password over TCP without TLS, which only sslmode=disable allows")
            }
        }
    }
}

impl Error for AuthError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Plugin(error) => error.source(),
            _ => None,
        }
    }
}
impl Error for WireError {}
impl Error for Refusal {}
impl Error for PolicyError {}

impl From<Refusal> for AuthError {
    fn from(error: Refusal) -> Self {
        Self::Server(error)
    }
}

impl From<pg_wire::DecodeError> for AuthError {
    fn from(error: pg_wire::DecodeError) -> Self {
        Self::Wire(WireError::Decode(error))
    }
}

impl From<pg_wire::FrameError> for AuthError {
    fn from(error: pg_wire::FrameError) -> Self {
        Self::Wire(WireError::Frame(error))
    }
}

impl From<pg_wire::EncodeError> for AuthError {
    fn from(error: pg_wire::EncodeError) -> Self {
        Self::Wire(WireError::Encode(error))
    }
}

impl From<PeerError> for AuthError {
    fn from(error: PeerError) -> Self {
        Self::Peer(error)
    }
}

impl From<ClientError> for AuthError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<CertificateError> for AuthError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl From<PluginError> for AuthError {
    fn from(error: PluginError) -> Self {
        Self::Plugin(error)
    }
}

impl From<PolicyError> for AuthError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

impl From<ConfigError> for AuthError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// Makes a peer's text safe for a terminal and a log: keeps at most `most` bytes, and replaces every byte outside of printable ASCII by
/// `?`.
pub(crate) fn printable(text: &[u8], most: usize) -> Box<str> {
    let shown = |&byte: &u8| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' };
    text.iter().take(most).map(shown).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_lower_case_sentences() {
        let error = PeerError::Scram { message: "server-first-message", offset: 2, fault: ScramFault::Nonce };
        assert_eq!(
            AuthError::from(error).to_string(),
            "the server sent an invalid SCRAM server-first-message, at byte 2: invalid nonce"
        );
        let error = ConfigError::UnknownParameter("sslmod".into());
        assert_eq!(AuthError::from(error).to_string(), "invalid connection parameter \"sslmod\"");
    }

    #[test]
    fn an_error_has_at_most_64_bytes() {
        assert!(size_of::<AuthError>() <= 64, "{}", size_of::<AuthError>());
    }
}
