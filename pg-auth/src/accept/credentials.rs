//! The types by which the caller of [`Accept`](super::Accept) decides how a user is authenticated.

use std::num::NonZeroU32;

use crate::gss::GssLogin;
use crate::md5;
use crate::oauth::OAuthLogin;
use crate::scram::{DEFAULT_ITERATIONS, DEFAULT_SALT_LENGTH, Verifier};
use crate::secret::Password;

/// The method by which to authenticate a user, with the data that the method needs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// No authentication: the user is accepted.
    Trust,
    /// The client's certificate. The TLS layer must have verified and reported the certificate ([`Accept::tls`](super::Accept::tls)).
    Certificate(CertificateUser),
    /// A password that the client sends in clear text. The state machine compares the password with the stored password. Do not use this
    /// method on a connection that others can read.
    Cleartext(StoredPassword),
    /// A password that the client sends hashed with MD5.
    Md5(md5::Verifier),
    /// SCRAM-SHA-256, or SCRAM-SHA-256-PLUS if the client chooses SCRAM-SHA-256-PLUS. The state machine offers SCRAM-SHA-256-PLUS only if
    /// the server's certificate is set ([`Accept::server_certificate`](super::Accept::server_certificate)).
    Scram(Verifier),
    /// A bearer token that the client sends. Do not use this method without TLS.
    OAuth(OAuthLogin),
    /// GSSAPI: the client and the server exchange tokens until the client is authenticated.
    Gss(GssLogin),
    /// Rejects the user, with PostgreSQL's error for a user whom no line of `pg_hba.conf` accepts.
    Reject,
}

impl Credentials {
    /// Credentials for a user who does not exist: a SCRAM exchange that looks like any other exchange, and fails at its end.
    ///
    /// `secret` must be random bytes that are created once and stored. With the same secret, a user name always gets the same salt, as the
    /// name of an existing user does. Salt length and iteration count are PostgreSQL's defaults, 16 bytes and 4,096. If your users have
    /// other values, call [`unknown_like`](Self::unknown_like); otherwise an attacker can distinguish existing users from unknown users.
    pub fn unknown(secret: &[u8], user: &[u8]) -> Self {
        Self::unknown_like(secret, user, DEFAULT_SALT_LENGTH, DEFAULT_ITERATIONS)
    }

    /// Like [`unknown`](Self::unknown), but with the salt length (at most 32 bytes) and the iteration count of your users.
    pub fn unknown_like(secret: &[u8], user: &[u8], salt_length: usize, iterations: NonZeroU32) -> Self {
        Self::Scram(Verifier::mock(secret, user, salt_length, iterations))
    }
}

/// Selects which verified certificates authenticate a user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateUser {
    /// A certificate whose common name is the user of the start-up message, as in PostgreSQL without a user name map.
    Same,
    /// A certificate with this common name. The caller has found the name in a user name map.
    CommonName(String),
    /// Any verified certificate. Precondition: the caller has checked that the certificate belongs to the user.
    Any,
}

/// A server's stored form of a password.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoredPassword {
    /// The password in clear text.
    Plain(Password),
    /// The password, hashed with MD5.
    Md5(md5::Verifier),
    /// A SCRAM verifier. The check of a password needs keys that are derived from the password, so the state machine returns
    /// [`AcceptStep::Derive`](super::AcceptStep::Derive) before the check.
    Scram(Verifier),
}
