//! What a peer can do wrong: a server, a client, and either in a SCRAM message.

use std::error::Error;
use std::fmt;

use pg_wire::frontend::ProtocolVersion;

use crate::oauth::OAuthFault;

/// An error of the server in the connection phase.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerError {
    /// A message that has no place here.
    Unexpected {
        /// The message, by its name in the manual.
        message: &'static str,
        /// The expected message.
        expected: &'static str,
    },
    /// It spoke before it was spoken to. What came before TLS began must not be read as if it had come through it.
    Early,
    /// The server does not speak PostgreSQL: the beginning of its answer, at most 32 characters of printable ASCII, others shown as `?`.
    Foreign(Box<str>),
    /// The server answers with TLS to a message in clear: the port may be one that begins with TLS (`sslnegotiation=direct`).
    Tls,
    /// AuthenticationOk from a server that has not proven, with its signature, that it knows the password's verifier; or before the
    /// exchange that it began has come to its end.
    Unproven,
    /// The server offers SASL mechanisms, but none that this library supports.
    NoMechanism,
    /// It offers to bind SCRAM to a TLS channel where there is none: somebody between us has taken TLS away. (Or the stream is
    /// the caller's own and has TLS, which has to be said: [`Link::Tls`](crate::Link::Tls).)
    TlsStripped,
    /// It asks for a kind of authentication that is not known here; the number is the one on the wire.
    UnknownAuthentication(u32),
    /// The server negotiates a version that the client did not ask for.
    Version(ProtocolVersion),
    /// The server negotiates a version that does not exist, or a version before 3.
    NoSuchVersion(ProtocolVersion),
    /// The server negotiates the version for a second time.
    VersionTwice,
    /// The server reports an unrecognised option that the client did not send.
    UnknownOption,
    /// A cancel key of a length that the session's protocol version does not have.
    KeyLength(usize),
    /// More notices or parameters than the bound allows.
    Flood,
    /// More GSSAPI tokens than any context takes.
    EndlessGss,
    /// Its answer to a bearer token is no document that could be read: 1 to 16,384 bytes of UTF-8 without control characters.
    Document,
    /// A SCRAM message could not be accepted.
    Scram {
        /// The message's name in RFC 5802, such as `server-first-message`. It says who sent it.
        message: &'static str,
        /// Where the trouble starts, in bytes from the start of the message.
        offset: usize,
        /// The fault.
        fault: ScramFault,
    },
}

/// An error of the client in the connection phase, as a server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// A message that has no place here.
    Unexpected {
        /// The message, by its name in the manual.
        message: &'static str,
        /// The expected message.
        expected: &'static str,
    },
    /// The client begins with TLS, which is not offered.
    DirectTls,
    /// The client speaks an unsupported version of the protocol.
    UnsupportedVersion(ProtocolVersion),
    /// Its first packet claims a length, in bytes, that no first packet has.
    PacketLength(i32),
    /// Its start-up message names no user.
    NoUser,
    /// The client sent an empty password.
    EmptyPassword,
    /// The client chose a SASL mechanism that was not offered.
    NoMechanism,
    /// The client presented no certificate, or the TLS layer has not verified the certificate.
    NoCertificate,
    /// Its user may not log in at all.
    Rejected,
    /// More GSSAPI tokens than any context takes.
    EndlessGss,
    /// An OAUTHBEARER message could not be accepted.
    OAuth(OAuthFault),
}

/// The fault of a SCRAM message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScramFault {
    /// The message does not follow the grammar of RFC 5802, section 7.
    Syntax,
    /// It names a mandatory extension (`m=`); there is none that we know.
    Extension,
    /// The client wants to act as somebody else (`a=`), which PostgreSQL does not know.
    AuthorizationIdentity,
    /// A value is not base64, or not of the length it must have.
    Base64,
    /// The nonce is not printable, or is not the one of this exchange with something added.
    Nonce,
    /// The iteration count is zero, or too large to be a number.
    Iterations,
    /// Channel binding: missing or unexpected.
    Binding,
    /// The client binds by another type than `tls-server-end-point`.
    BindingType,
    /// The client is bound to another channel: the certificate that it saw is not the server's.
    OtherChannel,
    /// The client believes that the server offers no channel binding, but it does: somebody in the middle may have cut the offer.
    Downgrade,
    /// The server's signature is wrong: the server does not know the password's verifier.
    Signature,
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected { message, expected } => {
                write!(f, "the server sent {message} where {expected} was expected")
            }
            Self::Early => f.write_str("the server spoke before it was spoken to"),
            Self::Foreign(start) => {
                write!(f, "the server does not speak PostgreSQL: its answer begins with \"{start}\"")
            }
            Self::Tls => f.write_str(
                "the server answers with TLS where PostgreSQL was expected: try sslnegotiation=direct, or another port",
            ),
            Self::Unproven => f.write_str("the server says that all is well without having proven who it is"),
            Self::NoMechanism => f.write_str("the server offers no SASL mechanism that is known here"),
            Self::TlsStripped => {
                f.write_str("the server sees TLS on this connection, and there is none at this end")
            }
            Self::UnknownAuthentication(kind) => {
                write!(f, "the server asks for authentication of kind {kind}, which is not known here")
            }
            Self::Version(version) => {
                write!(f, "the server wants to speak protocol {version}, which was not asked for")
            }
            Self::NoSuchVersion(version) => {
                write!(f, "the server wants to speak protocol {version}, which does not exist in version 3")
            }
            Self::VersionTwice => f.write_str("the server negotiates the protocol version a second time"),
            Self::UnknownOption => f.write_str("the server refuses a protocol option that was not sent"),
            Self::KeyLength(length) => write!(f, "the server sent a cancel key of {length} bytes"),
            Self::Flood => f.write_str("the server sends notices or parameters without end"),
            Self::EndlessGss => f.write_str("the server's GSSAPI exchange has no end"),
            Self::Document => f.write_str("the server refused the bearer token with a document that is too long or no text"),
            Self::Scram { message, offset, fault } => {
                let side = if message.starts_with("client") { "client" } else { "server" };
                write!(f, "the {side} sent a bad SCRAM {message}, at byte {offset}: {fault}")
            }
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected { message, expected } => {
                write!(f, "the client sent {message} where {expected} was expected")
            }
            Self::DirectTls => f.write_str("the client begins with TLS, which is not offered"),
            Self::UnsupportedVersion(version) => {
                write!(f, "the client speaks protocol {version}, which is not supported")
            }
            Self::PacketLength(length) => {
                write!(f, "the client's first packet claims {length} bytes: it is not PostgreSQL's, or cut")
            }
            Self::NoUser => f.write_str("the client names no user"),
            Self::EmptyPassword => f.write_str("the client sent an empty password"),
            Self::NoMechanism => f.write_str("the client chose a SASL mechanism that was not offered"),
            Self::NoCertificate => f.write_str("the client presented no certificate that TLS has verified"),
            Self::Rejected => f.write_str("the client's user may not log in"),
            Self::EndlessGss => f.write_str("the client's GSSAPI exchange has no end"),
            Self::OAuth(fault) => write!(f, "the client sent a bad OAUTHBEARER message: {fault}"),
        }
    }
}

impl fmt::Display for ScramFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "malformed",
            Self::Extension => "unknown mandatory extension",
            Self::AuthorizationIdentity => "authorization identities are not supported",
            Self::Base64 => "invalid base64 or length",
            Self::Nonce => "invalid nonce",
            Self::Iterations => "invalid iteration count",
            Self::Binding => "channel binding does not fit the mechanism",
            Self::BindingType => "unknown type of channel binding",
            Self::OtherChannel => "bound to another channel",
            Self::Downgrade => "the client did not see that channel binding was offered",
            Self::Signature => "wrong server signature",
        })
    }
}

impl Error for PeerError {}
impl Error for ClientError {}
