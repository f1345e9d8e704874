//! The packets that a client can send first. These packets have no message code. The layout is Int32 length, Int32 request code or version,
//! body.

use core::fmt;

use crate::basic::code::MessageCode;
use crate::basic::error::{DecodeError, DecodeErrorKind, EncodeErrorKind};
use crate::basic::text::Text;
use crate::codec::field::Field;
use crate::codec::field::Secret;
use crate::codec::list::Terminated;
use crate::codec::message::{Decode, Message};
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;

/// A version of the protocol: an Int32 with the major version in the upper 16 bits and the minor version in the lower 16 bits.
///
/// ```
/// use pg_wire::frontend::ProtocolVersion;
///
/// assert_eq!(ProtocolVersion::V3_2.to_string(), "3.2");
/// assert!(ProtocolVersion::V3_0 < ProtocolVersion::V3_2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion(pub u32);

impl ProtocolVersion {
    /// Version 3.0, for PostgreSQL 7.4 and later.
    pub const V3_0: Self = Self::new(3, 0);
    /// Version 3.2, for PostgreSQL 18 and later. (3.1 is reserved and was never used.)
    pub const V3_2: Self = Self::new(3, 2);

    /// Creates the version `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self(((major as u32) << 16) | minor as u32)
    }

    /// Returns the major version, the number before the point.
    pub const fn major(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Returns the minor version, the number after the point.
    pub const fn minor(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

impl fmt::Debug for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'a> Field<'a> for ProtocolVersion {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.u32().map(Self)
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.int32(self.0);
    }
}

/// Writes a version or a request code as two Int16 instead of one Int32, because libpq's trace prints two numbers.
fn write_code<P: Writer + ?Sized>(code: ProtocolVersion, out: &mut P) {
    out.int16(code.major());
    out.int16(code.minor());
}

/// Begins a session.
///
/// Length, Int32 version, (String, String) for each of parameters, Byte1 0. PostgreSQL accepts at most 10,000 bytes after the length.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-STARTUPMESSAGE)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartupMessage<'a> {
    /// Newest version that the client supports.
    pub version: ProtocolVersion,
    /// Parameters of the session: `user` (required), `database`, `options`, `replication`, any run-time parameter, and options of the
    /// protocol itself, whose names begin with `_pq_.`.
    pub parameters: Terminated<'a, (Text<'a>, Text<'a>)>,
}

impl<'a> StartupMessage<'a> {
    /// Returns the value of the last parameter with this name. PostgreSQL also uses the last value if a name is repeated.
    pub fn get(&self, name: &str) -> Option<Text<'a>> {
        self.parameters.iter().filter(|(given, _)| given == name).last().map(|(_, value)| value)
    }
}

impl Message for StartupMessage<'_> {
    fn code(&self) -> Option<MessageCode> {
        None
    }
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        write_code(self.version, out);
        self.parameters.write(out);
    }
}

impl<'a> Decode<'a> for StartupMessage<'a> {
    const CODE: Option<MessageCode> = None;
    const NAME: &'static str = "StartupMessage";

    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { version: Field::read(body)?, parameters: Field::read(body)? })
    }
}

/// Requests that the server cancels the running statement of another session. The client sends this packet over a new connection. The
/// server closes this connection without an answer.
///
/// Length, Int32 80877102, Int32 pid, bytes key. The key comes from the BackendKeyData of the other session.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-CANCELREQUEST)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CancelRequest<'a> {
    /// Process id of the session whose statement is cancelled.
    pub pid: i32,
    /// Key of the session whose statement is cancelled. The key is a secret.
    pub key: Secret<'a>,
}

impl CancelRequest<'_> {
    /// The request code 1234.5678, which is sent instead of a version.
    pub const REQUEST: ProtocolVersion = ProtocolVersion::new(1234, 5678);
}

impl Message for CancelRequest<'_> {
    fn code(&self) -> Option<MessageCode> {
        None
    }
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        if !(4..=256).contains(&self.key.0.len()) {
            // PostgreSQL reports no error for a key of an invalid length, so the message is rejected here.
            out.refuse(EncodeErrorKind::OutOfRange);
        }
        write_code(Self::REQUEST, out);
        self.pid.write(out);
        self.key.write(out);
    }
}

impl<'a> Decode<'a> for CancelRequest<'a> {
    const CODE: Option<MessageCode> = None;
    const NAME: &'static str = "CancelRequest";

    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect(body, Self::REQUEST)?;
        let pid = Field::read(body)?;
        let inconsistent = body.error(DecodeErrorKind::Inconsistent);
        let key: Secret<'a> = Field::read(body)?;
        if (4..=256).contains(&key.0.len()) { Ok(Self { pid, key }) } else { Err(inconsistent) }
    }
}

macro_rules! request {
    ($(#[$doc:meta])* $name:ident $wire:literal $minor:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {}

        impl $name {
            #[doc = concat!("The request code, which is sent instead of a version: 1234.", stringify!($minor), ".")]
            pub const REQUEST: ProtocolVersion = ProtocolVersion::new(1234, $minor);
        }

        impl Message for $name {
            fn code(&self) -> Option<MessageCode> {
                None
            }
            fn name(&self) -> &'static str {
                Self::NAME
            }
            fn write<P: Writer + ?Sized>(&self, out: &mut P) {
                write_code(Self::REQUEST, out);
            }
        }

        impl<'a> Decode<'a> for $name {
            const CODE: Option<MessageCode> = None;
            const NAME: &'static str = $wire;

            fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
                expect(body, Self::REQUEST).map(|()| Self {})
            }
        }
    };
}

request! {
    /// Requests TLS. The server answers with one byte: `S` for yes or `N` for no. Very old servers, and servers that have no free
    /// connection slot, send an ErrorResponse instead of this byte. The first byte of an ErrorResponse is `E`.
    ///
    /// Length, Int32 80877103.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST)
    SslRequest "SSLRequest" 5679
}

request! {
    /// Requests GSSAPI encryption. The server answers with one byte: `G` for yes or `N` for no. A server may send an ErrorResponse instead
    /// of this byte. The first byte of an ErrorResponse is `E`.
    ///
    /// Length, Int32 80877104.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-GSSENCREQUEST)
    GssEncRequest "GSSENCRequest" 5680
}

fn expect(body: &mut Reader<'_>, code: ProtocolVersion) -> Result<(), DecodeError> {
    let wrong = body.error(DecodeErrorKind::WrongCode);
    if ProtocolVersion::read(body)? == code { Ok(()) } else { Err(wrong) }
}

/// The first packet of a client, as a server decodes it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Initial<'a> {
    /// Begins a session.
    Startup(StartupMessage<'a>),
    /// Requests TLS.
    Ssl(SslRequest),
    /// Requests GSSAPI encryption.
    GssEnc(GssEncRequest),
    /// Requests that the server cancels the running statement of another session.
    Cancel(CancelRequest<'a>),
}

impl<'a> Initial<'a> {
    /// Maximum length of a first packet in bytes, including its length field. PostgreSQL accepts 10,000 bytes after the length field
    /// (`MAX_STARTUP_PACKET_LENGTH`).
    pub const MAX_LENGTH: usize = 10_004;

    /// Decodes the body of a packet: the bytes after the length field. The first number is one of the three request codes, or
    /// the version in a StartupMessage.
    ///
    /// ```
    /// use pg_wire::frontend::Initial;
    ///
    /// assert!(matches!(Initial::decode(b"\x04\xd2\x16\x2f")?, Initial::Ssl(_)));
    /// # Ok::<_, pg_wire::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if the body is malformed.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        match ProtocolVersion::read(&mut Reader::new("first packet", body))? {
            SslRequest::REQUEST => SslRequest::decode(body).map(Self::Ssl),
            GssEncRequest::REQUEST => GssEncRequest::decode(body).map(Self::GssEnc),
            CancelRequest::REQUEST => CancelRequest::decode(body).map(Self::Cancel),
            _ => StartupMessage::decode(body).map(Self::Startup),
        }
    }
}

impl Message for Initial<'_> {
    fn code(&self) -> Option<MessageCode> {
        None
    }
    fn name(&self) -> &'static str {
        match self {
            Self::Startup(message) => message.name(),
            Self::Ssl(message) => message.name(),
            Self::GssEnc(message) => message.name(),
            Self::Cancel(message) => message.name(),
        }
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        match self {
            Self::Startup(message) => message.write(out),
            Self::Ssl(message) => message.write(out),
            Self::GssEnc(message) => message.write(out),
            Self::Cancel(message) => message.write(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::messages::Encode;
    use crate::testing::golden_frontend;
    use alloc::vec::Vec;

    #[test]
    fn every_packet_is_encoded_and_decoded() {
        golden_frontend(
            StartupMessage {
                version: ProtocolVersion::V3_2,
                parameters: Terminated::from(&[("user".into(), "me".into()), ("_pq_.x".into(), "".into())]),
            },
            b"\0\0\0\x19\0\x03\0\x02user\0me\0_pq_.x\0\0\0",
            "F\t25\tStartupMessage\t 3 2 \"user\" \"me\" \"_pq_.x\" \"\"",
        );
        golden_frontend(SslRequest {}, b"\0\0\0\x08\x04\xd2\x16\x2f", "F\t8\tSSLRequest\t 1234 5679");
        golden_frontend(GssEncRequest {}, b"\0\0\0\x08\x04\xd2\x16\x30", "F\t8\tGSSENCRequest\t 1234 5680");
        golden_frontend(
            CancelRequest { pid: 7, key: Secret(b"\x01\x02\x03\x04") },
            b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04",
            "F\t16\tCancelRequest\t 1234 5678 7 'BBBB'",
        );
    }

    #[test]
    fn the_first_number_selects_the_kind_of_the_packet() {
        assert_eq!(Initial::decode(b"\x04\xd2\x16\x30"), Ok(Initial::GssEnc(GssEncRequest {})));
        let greased =
            Initial::decode(b"\0\x03\x27\x0fuser\0me\0\0").expect("3.9999 is a version, not a request code");
        let Initial::Startup(startup) = greased else { panic!("{greased:?}") };
        assert_eq!(startup.version, ProtocolVersion::new(3, 9999));
        assert_eq!(startup.get("user"), Some("me".into()));
        assert!(Initial::decode(b"\x04\xd2\x16\x2f\0").is_err(), "an SSLRequest has no further bytes");
        assert!(Initial::decode(b"\0\x03").is_err());
    }

    #[test]
    fn a_key_has_4_to_256_bytes() {
        let mut out = Vec::new();
        for (length, good) in [(0, false), (3, false), (4, true), (256, true), (257, false)] {
            let key = alloc::vec![1; length];
            let cancel = CancelRequest { pid: 1, key: Secret(&key) };
            assert_eq!(cancel.encode(&mut out).is_ok(), good, "{length}");
            let mut body = b"\x04\xd2\x16\x2e\0\0\0\x01".to_vec();
            body.extend(&key);
            assert_eq!(CancelRequest::decode(&body).is_ok(), good, "{length}");
        }
    }

    #[test]
    fn a_parameter_cannot_inject_another_parameter() {
        let startup = |parameters| StartupMessage { version: ProtocolVersion::V3_0, parameters };
        let mut out = Vec::new();
        let injected = [("application_name".into(), "x\0user\0admin".into())];
        let error = startup(Terminated::from(&injected)).encode(&mut out).expect_err("a NUL");
        assert_eq!(error.kind, EncodeErrorKind::Nul);
        let nameless = [("".into(), "x".into())];
        let error = startup(Terminated::from(&nameless))
            .encode(&mut out)
            .expect_err("an empty name would end the list");
        assert_eq!(error.kind, EncodeErrorKind::Empty);
        assert_eq!(out, b"");
    }
}
