//! The answer to a rejected client, with PostgreSQL's error texts.

use pg_wire::{Outbox, SqlState};

use super::words::fatal;
use super::{Accept, Method};
use crate::config::AuthMethod;
use crate::error::{AuthError, ClientError, PeerError, ScramFault};
use crate::oauth::OAuthFault;
use crate::scram::CLIENT_FIRST;

impl Accept {
    /// Puts the ErrorResponse for `error` into the outbox. Does nothing if the client's start-up message has not arrived: PostgreSQL then
    /// answers only some errors, and `first_packet` has already put the ErrorResponse for these errors into the outbox.
    pub(super) fn reject(&self, error: &AuthError, outbox: &mut Outbox) {
        let Some(startup) = self.startup() else { return };
        let user = startup.user();
        let failed = |method: &str| format!("{method} authentication failed for user \"{user}\"");
        let (state, message) = match error {
            AuthError::Denied => match self.method {
                Method::Trust | Method::Password(_) => (SqlState::INVALID_PASSWORD, failed("password")),
                Method::Certificate => (SqlState::INVALID_AUTHORIZATION_SPECIFICATION, failed("certificate")),
                Method::Gss => (SqlState::INVALID_AUTHORIZATION_SPECIFICATION, failed("GSSAPI")),
                Method::OAuth => (SqlState::INVALID_AUTHORIZATION_SPECIFICATION, failed("OAuth bearer")),
            },
            AuthError::Certificate(_) => {
                (SqlState::INVALID_AUTHORIZATION_SPECIFICATION, failed("certificate"))
            }
            AuthError::Plugin(_) => (SqlState::INVALID_AUTHORIZATION_SPECIFICATION, failed("GSSAPI")),
            AuthError::Client(ClientError::Rejected) => (
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                format!("no pg_hba.conf entry for user \"{user}\""),
            ),
            AuthError::Client(error) => self.client_words(error),
            AuthError::Peer(PeerError::Scram { message, fault, .. }) => scram_words(message, *fault),
            AuthError::Entropy => (SqlState::INTERNAL_ERROR, "could not generate random salt".into()),
            _ => (SqlState::PROTOCOL_VIOLATION, "invalid message format".into()),
        };
        fatal(state, &message, outbox);
    }

    fn client_words(&self, error: &ClientError) -> (SqlState, String) {
        let violation = |words: &str| (SqlState::PROTOCOL_VIOLATION, words.to_owned());
        match error {
            ClientError::Unexpected { .. } => violation(match self.method {
                Method::Password(AuthMethod::ScramSha256) | Method::OAuth => "expected SASL response",
                Method::Gss => "expected GSS response",
                _ => "expected password response",
            }),
            ClientError::EmptyPassword => {
                (SqlState::INVALID_PASSWORD, "empty password returned by client".into())
            }
            ClientError::NoMechanism => violation("client selected an invalid SASL authentication mechanism"),
            ClientError::NoCertificate => (
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                "connection requires a valid client certificate".into(),
            ),
            ClientError::OAuth(OAuthFault::AuthorizationIdentity) => (
                SqlState::FEATURE_NOT_SUPPORTED,
                "client uses authorization identity, but it is not supported".into(),
            ),
            ClientError::OAuth(_) => violation("malformed OAUTHBEARER message"),
            _ => violation("invalid message format"),
        }
    }
}

fn scram_words(message: &str, fault: ScramFault) -> (SqlState, String) {
    let (state, words) = match fault {
        ScramFault::Extension => {
            (SqlState::FEATURE_NOT_SUPPORTED, "client requires an unsupported SCRAM extension")
        }
        ScramFault::AuthorizationIdentity => {
            (SqlState::FEATURE_NOT_SUPPORTED, "client uses authorization identity, but it is not supported")
        }
        ScramFault::Downgrade => (SqlState::PROTOCOL_VIOLATION, "SCRAM channel binding negotiation error"),
        ScramFault::BindingType => (SqlState::PROTOCOL_VIOLATION, "unsupported SCRAM channel-binding type"),
        ScramFault::OtherChannel => {
            (SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "SCRAM channel binding check failed")
        }
        ScramFault::Nonce if message == CLIENT_FIRST => {
            (SqlState::PROTOCOL_VIOLATION, "non-printable characters in SCRAM nonce")
        }
        ScramFault::Nonce => (SqlState::PROTOCOL_VIOLATION, "invalid SCRAM response"),
        _ => (SqlState::PROTOCOL_VIOLATION, "malformed SCRAM message"),
    };
    (state, words.into())
}
