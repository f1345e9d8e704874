//! Responses to authentication requests: four messages with one code.

use crate::basic::code::MessageCode;
use crate::basic::error::DecodeError;
use crate::basic::text::Text;
use crate::codec::field::Field;
use crate::codec::field::{Secret, SecretText};
use crate::codec::message::{Decode, Message};
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;
use crate::message::table::message;

message! {
    /// Contains a response to an authentication request. The request determines the fields of the response.
    ///
    /// `p`, length, bytes body. Decode the bytes as [`PasswordMessage`], [`SaslInitialResponse`], [`SaslResponse`]
    /// or [`GssResponse`].
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PASSWORDMESSAGE)
    AUTHENTICATION_RESPONSE => pub struct AuthenticationResponse<'a> {
        /// Body of the response. The body is a secret.
        pub body: Secret<'a>,
    }
}

impl<'a> AuthenticationResponse<'a> {
    /// Decodes the body as `M`: one of the four messages that share this code.
    ///
    /// # Errors
    /// Returns an error if the body does not have the fields of `M`.
    pub fn decode_as<M: Decode<'a>>(&self) -> Result<M, DecodeError> {
        M::decode(self.body.0)
    }
}

message! {
    /// Contains the password, in clear text or hashed with MD5.
    ///
    /// `p`, length, String password.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PASSWORDMESSAGE)
    AUTHENTICATION_RESPONSE => pub struct PasswordMessage<'a> {
        /// The password, or `md5` and 32 hexadecimal digits.
        pub password: SecretText<'a>,
    }
}

/// Begins a SASL exchange: chooses one of the mechanisms that the server has offered. If the mechanism begins with a message of the client,
/// `data` contains this message.
///
/// `p`, length, String mechanism, Int32 length of data or -1 for none, bytes.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SASLINITIALRESPONSE)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SaslInitialResponse<'a> {
    /// Name of the chosen mechanism.
    pub mechanism: Text<'a>,
    /// First message of the exchange; `None` if the server sends the first message. The data is a secret.
    pub data: Option<Secret<'a>>,
}

impl Message for SaslInitialResponse<'_> {
    fn code(&self) -> Option<MessageCode> {
        Self::CODE
    }
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        self.mechanism.write(out);
        match self.data {
            None => out.int32(u32::MAX),
            Some(data) => {
                // If the data is longer than 4 GiB, this length is wrong. But the encoder rejects such a message, because it is too long.
                out.int32(u32::try_from(data.0.len()).unwrap_or(u32::MAX));
                data.write(out);
            }
        }
    }
}

impl<'a> Decode<'a> for SaslInitialResponse<'a> {
    const CODE: Option<MessageCode> = Some(MessageCode::AUTHENTICATION_RESPONSE);
    const NAME: &'static str = "SASLInitialResponse";

    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { mechanism: body.text()?, data: body.value()?.map(Secret) })
    }
}

message! {
    /// Contains the client's next message of a SASL exchange.
    ///
    /// `p`, length, bytes data.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SASLRESPONSE)
    AUTHENTICATION_RESPONSE "SASLResponse" => pub struct SaslResponse<'a> {
        /// Bytes of the SASL message. The bytes are a secret.
        pub data: Secret<'a>,
    }
}

message! {
    /// Contains the client's next GSSAPI or SSPI token.
    ///
    /// `p`, length, bytes data.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-GSSRESPONSE)
    AUTHENTICATION_RESPONSE "GSSResponse" => pub struct GssResponse<'a> {
        /// Bytes of the token. The bytes are a secret.
        pub data: Secret<'a>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden_frontend;

    #[test]
    fn a_password_is_encoded_and_decoded() {
        golden_frontend(
            PasswordMessage { password: SecretText("hunter2".into()) },
            b"p\0\0\0\x0chunter2\0",
            "F\t12\tPasswordMessage\t \"SSSS\"",
        );
    }

    #[test]
    fn a_sasl_response_with_and_without_data_is_encoded_and_decoded() {
        golden_frontend(
            SaslInitialResponse { mechanism: "SCRAM-SHA-256".into(), data: Some(Secret(b"n,,n=,r=x")) },
            b"p\0\0\0\x1fSCRAM-SHA-256\0\0\0\0\x09n,,n=,r=x",
            "F\t31\tSASLInitialResponse\t \"SCRAM-SHA-256\" 9 'BBBB'",
        );
        golden_frontend(
            SaslInitialResponse { mechanism: "X".into(), data: None },
            b"p\0\0\0\x0aX\0\xff\xff\xff\xff",
            "F\t10\tSASLInitialResponse\t \"X\" -1",
        );
    }

    #[test]
    fn later_responses_are_encoded_and_decoded() {
        golden_frontend(
            SaslResponse { data: Secret(b"c=biws") },
            b"p\0\0\0\x0ac=biws",
            "F\t10\tSASLResponse\t 'BBBB'",
        );
        golden_frontend(
            GssResponse { data: Secret(b"\x60") },
            b"p\0\0\0\x05\x60",
            "F\t5\tGSSResponse\t 'BBBB'",
        );
    }

    #[test]
    fn a_response_can_be_forwarded_or_decoded_later() {
        let response = AuthenticationResponse { body: Secret(b"hunter2\0") };
        golden_frontend(response, b"p\0\0\0\x0chunter2\0", "F\t12\tAuthenticationResponse\t 'BBBB'");
        let password: PasswordMessage<'_> = response.decode_as().expect("a PasswordMessage");
        assert_eq!(password.password.0, "hunter2");
        assert_eq!(alloc::format!("{password:?}"), "PasswordMessage { password: SecretText(***) }");
    }

    #[test]
    fn the_next_responses_of_sasl_and_gssapi_are_encoded_and_decoded() {
        golden_frontend(
            SaslResponse { data: Secret(b"c=biws,r=x,p=y") },
            b"p\0\0\0\x12c=biws,r=x,p=y",
            "F\t18\tSASLResponse\t 'BBBB'",
        );
        golden_frontend(
            GssResponse { data: Secret(b"\x60\0") },
            b"p\0\0\0\x06\x60\0",
            "F\t6\tGSSResponse\t 'BBBB'",
        );
    }
}
