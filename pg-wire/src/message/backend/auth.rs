//! The authentication requests.

use crate::basic::code::MessageCode;
use crate::basic::error::DecodeError;
use crate::basic::text::Text;
use crate::codec::field::Field;
use crate::codec::field::Secret;
use crate::codec::list::Terminated;
use crate::codec::message::{Decode, Message};
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;

/// Requests authentication, continues the exchange of an authentication method, or reports success.
///
/// `R`, length, Int32 kind, then the fields of the kind. An unknown kind is decoded as `Unknown`.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-AUTHENTICATIONOK)
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Authentication<'a> {
    /// 0: the server accepts the client. This does not prove the identity of the server.
    Ok,
    /// 2: requests Kerberos V5. No supported server sends this kind.
    KerberosV5,
    /// 3: requests the password in clear text.
    CleartextPassword,
    /// 5: requests the MD5 hash of the password. The client includes the salt in the hash.
    Md5Password {
        /// Four random bytes that the hash includes.
        salt: [u8; 4],
    },
    /// 6: requests credentials over a Unix socket. No supported server sends this kind.
    ScmCredential,
    /// 7: begins a GSSAPI exchange.
    Gss,
    /// 8: contains the server's next GSSAPI or SSPI token.
    GssContinue(Secret<'a>),
    /// 9: begins an SSPI exchange.
    Sspi,
    /// 10: begins a SASL exchange, with the mechanisms that the server offers, in order of preference.
    Sasl(Terminated<'a, Text<'a>>),
    /// 11: contains the server's next SASL challenge.
    SaslContinue(Secret<'a>),
    /// 12: contains the server's last message of a SASL exchange. This message proves the identity of the server.
    SaslFinal(Secret<'a>),
    /// A request of a kind that this crate does not know. `kind` and `data` contain the bytes of the request unchanged.
    Unknown {
        /// Number of the kind.
        kind: u32,
        /// The bytes that follow the kind in the request. These bytes are treated as a secret.
        data: Secret<'a>,
    },
}

impl Authentication<'_> {
    /// Returns the number of the kind on the wire.
    pub fn kind(&self) -> u32 {
        match self {
            Self::Ok => 0,
            Self::KerberosV5 => 2,
            Self::CleartextPassword => 3,
            Self::Md5Password { .. } => 5,
            Self::ScmCredential => 6,
            Self::Gss => 7,
            Self::GssContinue(_) => 8,
            Self::Sspi => 9,
            Self::Sasl(_) => 10,
            Self::SaslContinue(_) => 11,
            Self::SaslFinal(_) => 12,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Returns the name of the kind in libpq's trace; `None` if libpq has no name for the kind.
    fn trace_name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Ok => "AuthenticationOk",
            Self::CleartextPassword => "AuthenticationCleartextPassword",
            Self::Md5Password { .. } => "AuthenticationMD5Password",
            Self::Gss => "AuthenticationGSS",
            Self::GssContinue(_) => "AuthenticationGSSContinue",
            Self::Sspi => "AuthenticationSSPI",
            Self::Sasl(_) => "AuthenticationSASL",
            Self::SaslContinue(_) => "AuthenticationSASLContinue",
            Self::SaslFinal(_) => "AuthenticationSASLFinal",
            Self::KerberosV5 | Self::ScmCredential | Self::Unknown { .. } => return None,
        })
    }
}

impl Message for Authentication<'_> {
    fn code(&self) -> Option<MessageCode> {
        Some(MessageCode::AUTHENTICATION)
    }
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        match self.trace_name() {
            Some(name) => out.rename(format_args!("{name}")),
            None => out.rename(format_args!("Unknown authentication message {}", self.kind())),
        }
        out.unprinted(&self.kind().to_be_bytes());
        match self {
            Self::Md5Password { salt } => out.unprinted(salt),
            Self::Sasl(mechanisms) => mechanisms.write(out),
            Self::GssContinue(data) | Self::SaslContinue(data) | Self::SaslFinal(data) => data.write(out),
            Self::Unknown { data, .. } => out.unprinted(data.0),
            Self::Ok
            | Self::KerberosV5
            | Self::CleartextPassword
            | Self::ScmCredential
            | Self::Gss
            | Self::Sspi => {}
        }
    }
}

impl<'a> Decode<'a> for Authentication<'a> {
    const CODE: Option<MessageCode> = Some(MessageCode::AUTHENTICATION);
    const NAME: &'static str = "Authentication";

    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match body.u32()? {
            0 => Self::Ok,
            2 => Self::KerberosV5,
            3 => Self::CleartextPassword,
            5 => Self::Md5Password { salt: body.array()? },
            6 => Self::ScmCredential,
            7 => Self::Gss,
            8 => Self::GssContinue(Field::read(body)?),
            9 => Self::Sspi,
            10 => Self::Sasl(Field::read(body)?),
            11 => Self::SaslContinue(Field::read(body)?),
            12 => Self::SaslFinal(Field::read(body)?),
            kind => Self::Unknown { kind, data: Field::read(body)? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden;

    #[test]
    fn every_kind_is_encoded_and_decoded() {
        golden(Authentication::Ok, b"R\0\0\0\x08\0\0\0\0", "B\t8\tAuthenticationOk");
        golden(
            Authentication::KerberosV5,
            b"R\0\0\0\x08\0\0\0\x02",
            "B\t8\tUnknown authentication message 2",
        );
        golden(
            Authentication::CleartextPassword,
            b"R\0\0\0\x08\0\0\0\x03",
            "B\t8\tAuthenticationCleartextPassword",
        );
        golden(
            Authentication::Md5Password { salt: *b"salt" },
            b"R\0\0\0\x0c\0\0\0\x05salt",
            "B\t12\tAuthenticationMD5Password",
        );
        golden(
            Authentication::ScmCredential,
            b"R\0\0\0\x08\0\0\0\x06",
            "B\t8\tUnknown authentication message 6",
        );
        golden(Authentication::Gss, b"R\0\0\0\x08\0\0\0\x07", "B\t8\tAuthenticationGSS");
        golden(
            Authentication::GssContinue(Secret(b"token")),
            b"R\0\0\0\x0d\0\0\0\x08token",
            "B\t13\tAuthenticationGSSContinue\t 'BBBB'",
        );
        golden(Authentication::Sspi, b"R\0\0\0\x08\0\0\0\x09", "B\t8\tAuthenticationSSPI");
        golden(
            Authentication::Sasl(Terminated::from(&["SCRAM-SHA-256-PLUS".into(), "SCRAM-SHA-256".into()])),
            b"R\0\0\0\x2a\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0",
            "B\t42\tAuthenticationSASL\t \"SCRAM-SHA-256-PLUS\" \"SCRAM-SHA-256\" \"\"",
        );
        golden(
            Authentication::SaslContinue(Secret(b"r=1")),
            b"R\0\0\0\x0b\0\0\0\x0br=1",
            "B\t11\tAuthenticationSASLContinue\t 'BBBB'",
        );
        golden(
            Authentication::SaslFinal(Secret(b"v=1")),
            b"R\0\0\0\x0b\0\0\0\x0cv=1",
            "B\t11\tAuthenticationSASLFinal\t 'BBBB'",
        );
    }

    #[test]
    fn an_unknown_kind_is_preserved() {
        golden(
            Authentication::Unknown { kind: 99, data: Secret(b"?") },
            b"R\0\0\0\x09\0\0\0\x63?",
            "B\t9\tUnknown authentication message 99",
        );
    }
}
