//! Requests authentication: sends the Authentication message of the method that the caller has chosen.

use pg_wire::backend::Authentication;
use pg_wire::{Inbox, Outbox, Text, codec::Terminated};

use super::credentials::{CertificateUser, Credentials};
use super::{Accept, Context, Method, PasswordCheck, State};
use crate::certificate::common_name;
use crate::config::AuthMethod;
use crate::error::{AuthError, ClientError};
use crate::md5;
use crate::oauth::OAUTHBEARER;
use crate::scram::{Nonce, SCRAM_SHA_256, SCRAM_SHA_256_PLUS};

/// Maximum length of the body of a message with a password, in bytes. Bounds the memory that a client can use before its login.
const LONGEST_PASSWORD: usize = 30_000;

/// Maximum length of the body of a SCRAM message, in bytes. PostgreSQL's limit is 1,024 bytes including the length field.
const LONGEST_SCRAM: usize = 1020;

/// Maximum length of the body of a message with a bearer token or a GSSAPI token, in bytes. PostgreSQL's limit is 65,535 bytes including
/// the length field.
const LONGEST_TOKEN: usize = 65_531;

impl Accept {
    pub(super) fn ask(
        &mut self,
        credentials: Credentials,
        inbox: &mut Inbox,
        outbox: &mut Outbox,
    ) -> Result<State, AuthError> {
        let mut bound = |bytes: usize| {
            let limits = inbox.limits().before_authentication();
            inbox.set_limits(limits.authentication(bytes));
        };
        Ok(match credentials {
            Credentials::Trust => self.let_in(outbox),
            Credentials::Certificate(user) => {
                self.method = Method::Certificate;
                self.check_certificate(&user)?;
                self.let_in(outbox)
            }
            Credentials::Cleartext(stored) => {
                self.method = Method::Password(AuthMethod::Password);
                bound(LONGEST_PASSWORD);
                outbox.put(&Authentication::CleartextPassword);
                State::AwaitPassword(PasswordCheck::Clear(stored))
            }
            Credentials::Md5(stored) => {
                self.method = Method::Password(AuthMethod::Md5);
                bound(LONGEST_PASSWORD);
                let salt = self.salt.take().map_or_else(md5::fresh_salt, Ok)?;
                outbox.put(&Authentication::Md5Password { salt });
                State::AwaitPassword(PasswordCheck::Md5(stored, salt))
            }
            Credentials::Scram(verifier) => {
                self.method = Method::Password(AuthMethod::ScramSha256);
                bound(LONGEST_SCRAM);
                let nonce = self.nonce.take().map_or_else(Nonce::fresh, Ok)?;
                let mechanisms: &[Text<'_>] = match &self.end_point {
                    Some(_) => &[SCRAM_SHA_256_PLUS.into(), SCRAM_SHA_256.into()],
                    None => &[SCRAM_SHA_256.into()],
                };
                outbox.put(&Authentication::Sasl(Terminated::from(mechanisms)));
                State::ScramFirst { verifier, nonce, chosen: None }
            }
            Credentials::OAuth(login) => {
                self.method = Method::OAuth;
                bound(LONGEST_TOKEN);
                outbox.put(&Authentication::Sasl(Terminated::from(&[OAUTHBEARER.into()])));
                State::OAuthFirst { login, chosen: false }
            }
            Credentials::Gss(login) => {
                self.method = Method::Gss;
                bound(LONGEST_TOKEN);
                outbox.put(&Authentication::Gss);
                let (context, principals) = login.into_parts();
                State::GssAwait(Context(context), principals)
            }
            Credentials::Reject => return Err(ClientError::Rejected.into()),
        })
    }

    /// Checks the client's certificate: the TLS layer must have verified the certificate, and the certificate must belong to this user.
    fn check_certificate(&self, user: &CertificateUser) -> Result<(), AuthError> {
        let tls = self.tls.as_ref().filter(|tls| tls.verified);
        let certificate = tls.and_then(|tls| tls.certificate.as_deref()).ok_or(ClientError::NoCertificate)?;
        let expected = match user {
            CertificateUser::Same => self.startup().map_or(&b""[..], |startup| startup.user().as_bytes()),
            CertificateUser::CommonName(name) => name.as_bytes(),
            CertificateUser::Any => return Ok(()),
        };
        let name = common_name(certificate)?.filter(|name| !name.is_empty());
        if name == Some(expected) { Ok(()) } else { Err(AuthError::Denied) }
    }
}
