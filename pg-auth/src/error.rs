//! Who is at fault when a connection cannot be made: the server, the peer's bytes, the caller's policy, the configuration.

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

/// Why the connection phase failed. No variant holds a password, a key, a token or a connection string.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthError {
    /// As a client: the server rejected the login with an ErrorResponse.
    Server(Refusal),
    /// As a client: the server sent something that the protocol does not allow, or could not prove what it has to prove. As a server:
    /// the same of a client's SCRAM message.
    Peer(PeerError),
    /// As a server: the client sent something that the protocol does not allow, or that is not offered.
    Client(ClientError),
    /// The bytes are not the protocol's, or ours cannot be sent.
    Wire(WireError),
    /// What the peer asks for is allowed by the protocol and refused by the caller's configuration.
    Policy(PolicyError),
    /// The caller's configuration cannot be used.
    Config(ConfigError),
    /// As a server: the client's password, proof, token or principal is wrong. It is the same error for a user who does not exist.
    Denied,
    /// The operating system gave no random bytes.
    Entropy,
    /// A certificate cannot be read.
    Certificate(CertificateError),
    /// Code that the caller plugged in, such as a token source or a GSSAPI library, failed.
    Plugin(PluginError),
    /// The caller has called the machine out of order: what it should have done first.
    Misuse(&'static str),
}

impl AuthError {
    /// The server's own error, whole, if it sent one.
    pub fn server_error(&self) -> Option<&ServerError> {
        match self {
            Self::Server(Refusal::Response(error)) => Some(error),
            Self::Server(Refusal::Token(refusal)) => Some(&refusal.response),
            _ => None,
        }
    }

    /// The server's document, if this attempt ended because no token was there yet: connect once more, with
    /// [`Handshake::discovery`](crate::Handshake::discovery).
    pub fn discovery(&self) -> Option<&Discovery> {
        match self {
            Self::Server(Refusal::Token(refusal)) if !refusal.token_sent => Some(&refusal.document),
            _ => None,
        }
    }
}

/// What a server gave as its reason. The text comes from a stranger as long as nothing is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Its ErrorResponse, whole.
    Response(ServerError),
    /// Bare text where its first message should be: it is too busy to start a process that would speak the protocol. At most
    /// 256 characters of printable ASCII, others shown as `?`.
    Text(Box<str>),
    /// The `e=` attribute of a SCRAM message, such as `invalid-proof`: at most 64 characters of printable ASCII, others shown as `?`.
    Scram(Box<str>),
    /// It refused a bearer token, or none, and says where to get one.
    Token(Box<TokenRefusal>),
}

/// How a server refused a bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRefusal {
    /// Whether a token was sent. If none was, the document is what the attempt was made for.
    pub token_sent: bool,
    /// The server's JSON document, whole.
    pub document: Discovery,
    /// Its ErrorResponse, whole.
    pub response: ServerError,
}

/// The failure of code that the caller plugged in. Two are equal when they are clones of one.
#[derive(Clone, Debug)]
pub struct PluginError {
    /// The plug-in: `token source` or `GSSAPI`.
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

/// A violation of the caller's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// The server wants the password hashed more often than is allowed; a hostile one can burn minutes of CPU that way.
    TooManyIterations {
        /// The iteration count that the server asked for.
        asked: u32,
        /// The most that is allowed.
        max: u32,
    },
    /// The server wants the password hashed less often than is demanded, which makes it cheap to guess.
    TooFewIterations {
        /// The iteration count that the server asked for.
        asked: u32,
        /// The least that is allowed.
        min: u32,
    },
    /// The server asked for the password in clear text over TCP without TLS.
    CleartextPassword,
    /// The server authenticates in a way that `require_auth` does not allow.
    Method(AuthMethod),
    /// `channel_binding` is required, and the exchange was not bound to a TLS channel.
    ChannelBinding,
    /// `channel_binding` is required, and the server's certificate has a signature that defines no hash to bind by, as Ed25519.
    NoEndPoint,
    /// `sslmode` demands TLS, and the connection has none.
    TlsRequired,
    /// `sslcertmode` demands that the client's certificate is sent, and it was not.
    ClientCertificate(ClientCertificate),
    /// The server's newest version is older than the oldest accepted version.
    Version {
        /// The server's newest version.
        server: ProtocolVersion,
        /// The oldest accepted version.
        min: ProtocolVersion,
    },
    /// The server asks for a password, and there is none.
    NoPassword,
    /// The server asks for a bearer token, and there is no source of tokens.
    NoTokens,
    /// The server asks for a bearer token on a connection without TLS.
    TokenInClear,
    /// The server asks for GSSAPI or SSPI, and nothing is plugged in for it.
    NoGss,
}

/// A fault in the bytes of the connection phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// A message that is malformed.
    Decode(pg_wire::DecodeError),
    /// A frame that cannot be believed, or is longer than a stranger may send.
    Frame(pg_wire::FrameError),
    /// A message of ours that cannot be sent.
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
            Self::Misuse(first) => write!(f, "the connection phase was driven out of order: {first}"),
            Self::Entropy => f.write_str("the operating system gave no random bytes"),
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
                write!(f, "{} (the server refused the bearer token)", refusal.response)
            }
            Self::Token(_) => f.write_str(
                "there is no bearer token yet: the server has said where to get one, connect again with its document",
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
            Self::ChannelBinding => f.write_str("channel binding is required and the server did not do it"),
            Self::TlsRequired => f.write_str(
                "sslmode demands TLS and the connection has none: bring a TLS stream and say that its link is TLS",
            ),
            Self::ClientCertificate(ClientCertificate::NotRequested) => {
                f.write_str("sslcertmode=require, and the server did not ask for the client's certificate")
            }
            Self::ClientCertificate(_) => {
                f.write_str("sslcertmode=require, and no certificate was sent that the server would take")
            }
            Self::Version { server, min } => {
                write!(f, "the server speaks protocol {server} at most, and {min} is demanded")
            }
            Self::NoEndPoint => f.write_str(
                "channel binding is required and the signature of the server's certificate defines no hash to bind by (as Ed25519)",
            ),
            Self::NoPassword => f.write_str("the server asks for a password and none is given"),
            Self::NoTokens => {
                f.write_str("the server asks for a bearer token and the configuration has no source of tokens")
            }
            Self::TokenInClear => f.write_str(
                "the server asks for a bearer token and the connection has no TLS: use sslmode=require or stricter",
            ),
            Self::NoGss => {
                f.write_str("the server asks for GSSAPI or SSPI and the configuration has no library for it")
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

/// A stranger's text, made fit for a terminal and a log, and no longer than this.
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
            "the server sent a bad SCRAM server-first-message, at byte 2: invalid nonce"
        );
        let error = ConfigError::UnknownParameter("sslmod".into());
        assert_eq!(AuthError::from(error).to_string(), "invalid connection parameter \"sslmod\"");
    }

    #[test]
    fn an_error_is_small() {
        assert!(size_of::<AuthError>() <= 64, "{}", size_of::<AuthError>());
    }
}
