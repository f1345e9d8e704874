//! Errors of the peer: errors of a server ([`PeerError`]), errors of a client ([`ClientError`]), and faults in the SCRAM messages of a
//! server or a client ([`ScramFault`]).

use std::error::Error;
use std::fmt;

use pg_wire::frontend::ProtocolVersion;

use crate::oauth::OAuthFault;

/// An error of the server in the connection phase.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerError {
    /// The server sent a message that is not expected in this state.
    Unexpected {
        /// The message that arrived, by its name in the manual.
        message: &'static str,
        /// The name of the message that was expected.
        expected: &'static str,
    },
    /// The server sent data before the client's first message, or before TLS began. Such data must not be taken for data received through
    /// TLS.
    Early,
    /// The server does not use the PostgreSQL protocol. Holds the beginning of the server's answer: at most 32 characters; every character
    /// outside of printable ASCII is replaced by `?`.
    Foreign(Box<str>),
    /// The server answers an unencrypted message with TLS: the port may expect TLS from the first byte (`sslnegotiation=direct`).
    Tls,
    /// AuthenticationOk arrived too early. In SCRAM, the server has not yet proven that it has the password's verifier. In any other
    /// method, the server has not finished the exchange that it began.
    Unproven,
    /// The server offers SASL mechanisms, but none that this library supports.
    NoMechanism,
    /// The server offers channel binding, but the client's connection has no TLS: a man in the middle may have removed TLS. (If the caller
    /// supplied a TLS stream, the caller must declare this by [`Link::Tls`](crate::Link::Tls).)
    TlsStripped,
    /// The server asks for an unknown kind of authentication. The number is the code on the wire.
    UnknownAuthentication(u32),
    /// The server negotiates a version that the client did not ask for.
    Version(ProtocolVersion),
    /// The server negotiates a version that does not exist, or a version before 3.
    NoSuchVersion(ProtocolVersion),
    /// The server negotiates the version for a second time.
    VersionTwice,
    /// The server reports an unrecognised option that the client did not send.
    UnknownOption,
    /// The server sent a cancel key with an invalid length: the session's protocol version does not allow this number of bytes.
    KeyLength(usize),
    /// The server sent more notices, notifications or parameters than a [`Handshake`](crate::Handshake) keeps.
    Flood,
    /// The server sent more than 16 GSSAPI tokens in one exchange. No mechanism needs so many.
    EndlessGss,
    /// The server's answer to a bearer token is not a valid document. A valid document has 1 to 16,384 bytes of UTF-8, and no control
    /// characters except JSON's white space.
    Document,
    /// The peer sent an invalid SCRAM message.
    Scram {
        /// The message's name in RFC 5802, such as `server-first-message`. The name contains the sender's role.
        message: &'static str,
        /// The place of the fault, in bytes from the start of the message.
        offset: usize,
        /// The kind of fault.
        fault: ScramFault,
    },
}

/// An error of the client in the connection phase, as a server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// The client sent a message that is not expected in this state.
    Unexpected {
        /// The message that arrived, by its name in the manual.
        message: &'static str,
        /// The name of the message that was expected.
        expected: &'static str,
    },
    /// The client begins with TLS, which is not offered.
    DirectTls,
    /// The client uses an unsupported version of the protocol.
    UnsupportedVersion(ProtocolVersion),
    /// The length field of the first packet has this value, in bytes. The value is invalid for a first packet.
    PacketLength(i32),
    /// The start-up message names no user.
    NoUser,
    /// The client sent an empty password.
    EmptyPassword,
    /// The client chose a SASL mechanism that was not offered.
    NoMechanism,
    /// The client presented no certificate, or the TLS layer has not verified the certificate.
    NoCertificate,
    /// The caller's decision: the user may not log in.
    Rejected,
    /// The client sent more than 16 GSSAPI tokens in one exchange. No mechanism needs so many.
    EndlessGss,
    /// The client sent an invalid OAUTHBEARER message.
    OAuth(OAuthFault),
}

/// A fault in a SCRAM message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScramFault {
    /// The message does not follow the grammar of RFC 5802, section 7.
    Syntax,
    /// The message requires an extension (`m=`). No extension is supported.
    Extension,
    /// The client asks to act as another user (`a=`), which PostgreSQL does not support.
    AuthorizationIdentity,
    /// A value is not base64, or has the wrong length.
    Base64,
    /// The nonce is not printable, or is not the nonce of this exchange: the server must extend the client's nonce, and the client must
    /// repeat the extended nonce.
    Nonce,
    /// The iteration count is zero, malformed, or does not fit into 32 bits.
    Iterations,
    /// Channel binding is missing, or is not expected.
    Binding,
    /// The client uses a type of channel binding other than `tls-server-end-point`.
    BindingType,
    /// The client is bound to a different TLS channel: the certificate that the client has received is not this server's certificate.
    OtherChannel,
    /// The client reports that it received no offer of channel binding, but the server sent this offer: a man in the middle may have
    /// removed the offer.
    Downgrade,
    /// The server's signature is wrong: the server does not have the password's verifier.
    Signature,
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected { message, expected } => {
                write!(f, "the server sent {message} where {expected} was expected")
            }
            Self::Early => f.write_str("the server sent data before the client's first message"),
            Self::Foreign(start) => {
                write!(f, "the server does not use the PostgreSQL protocol: its answer begins with \"{start}\"")
            }
            Self::Tls => f.write_str(
                "the server answers with TLS where PostgreSQL was expected: try sslnegotiation=direct, or another port",
            ),
            Self::Unproven => f.write_str("the server sent AuthenticationOk without having proven its identity"),
            Self::NoMechanism => f.write_str("the server offers no supported SASL mechanism"),
            Self::TlsStripped => {
                f.write_str("the server offers channel binding, but this end of the connection has no TLS")
            }
            Self::UnknownAuthentication(kind) => {
                write!(f, "the server asks for authentication of kind {kind}, which is not supported")
            }
            Self::Version(version) => {
                write!(f, "the server negotiates protocol {version}, which the client did not ask for")
            }
            Self::NoSuchVersion(version) => {
                write!(f, "the server negotiates protocol {version}, which does not exist within protocol 3")
            }
            Self::VersionTwice => f.write_str("the server negotiates the protocol version a second time"),
            Self::UnknownOption => f.write_str("the server rejects a protocol option that was not sent"),
            Self::KeyLength(length) => write!(
                f,
                "the server sent a cancel key of {length} bytes: expected 4 bytes in protocol 3.0, and 4 to 256 bytes in later versions"
            ),
            Self::Flood => f.write_str("the server sent too many notices or parameters"),
            Self::EndlessGss => f.write_str("the server sent too many GSSAPI tokens"),
            Self::Document => f.write_str("the server rejected the bearer token with an invalid document: too long, or not text"),
            Self::Scram { message, offset, fault } => {
                let side = if message.starts_with("client") { "client" } else { "server" };
                write!(f, "the {side} sent an invalid SCRAM {message}, at byte {offset}: {fault}")
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
                write!(f, "the client uses protocol {version}, which is not supported")
            }
            Self::PacketLength(length) => {
                write!(
                    f,
                    "the client's first packet claims {length} bytes: the client does not use the PostgreSQL protocol"
                )
            }
            Self::NoUser => f.write_str("the client names no user"),
            Self::EmptyPassword => f.write_str("the client sent an empty password"),
            Self::NoMechanism => f.write_str("the client chose a SASL mechanism that was not offered"),
            Self::NoCertificate => f.write_str("the client presented no certificate that TLS has verified"),
            Self::Rejected => f.write_str("the client's user may not log in"),
            Self::EndlessGss => f.write_str("the client sent too many GSSAPI tokens"),
            Self::OAuth(fault) => write!(f, "the client sent an invalid OAUTHBEARER message: {fault}"),
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
