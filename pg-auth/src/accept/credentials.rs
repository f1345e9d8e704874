//! How a user is authenticated: what the caller of the machine decides.

use std::num::NonZeroU32;

use crate::gss::GssLogin;
use crate::md5;
use crate::oauth::OAuthLogin;
use crate::scram::{DEFAULT_ITERATIONS, DEFAULT_SALT_LENGTH, Verifier};
use crate::secret::Password;

/// How a user is authenticated.
#[derive(Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// No authentication: the user is accepted.
    Trust,
    /// By the client's certificate, which the TLS layer must have verified and reported ([`Accept::tls`](super::Accept::tls)).
    Certificate(CertificateUser),
    /// By the password in clear, checked against the stored password. Do not use this where others may listen.
    Cleartext(StoredPassword),
    /// By the password, hashed with MD5.
    Md5(md5::Verifier),
    /// By SCRAM-SHA-256, or SCRAM-SHA-256-PLUS if the client chooses that: it is offered if the server's certificate was named
    /// ([`Accept::server_certificate`](super::Accept::server_certificate)).
    Scram(Verifier),
    /// By a bearer token. Do not use this without TLS.
    OAuth(OAuthLogin),
    /// By GSSAPI.
    Gss(GssLogin),
    /// Rejects the user, with PostgreSQL's error for a user whom no line of `pg_hba.conf` accepts.
    Reject,
}

impl Credentials {
    /// For a user who does not exist: a SCRAM exchange that is like any other and fails at its end.
    ///
    /// `secret` is random, made once and kept: the same user then has the same salt each time. Salt length and iteration count are
    /// PostgreSQL's defaults, 16 bytes and 4,096; if your users have others, take [`unknown_like`](Self::unknown_like), or the ones
    /// who exist can be told from the ones who do not.
    pub fn unknown(secret: &[u8], user: &[u8]) -> Self {
        Self::unknown_like(secret, user, DEFAULT_SALT_LENGTH, DEFAULT_ITERATIONS)
    }

    /// As [`unknown`](Self::unknown), with the salt length, at most 32 bytes, and the iteration count that your users have.
    pub fn unknown_like(secret: &[u8], user: &[u8], salt_length: usize, iterations: NonZeroU32) -> Self {
        Self::Scram(Verifier::mock(secret, user, salt_length, iterations))
    }
}

/// The certificates that authenticate a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateUser {
    /// A certificate whose common name is the user of the start-up message, as in PostgreSQL without a map.
    Same,
    /// A certificate with this common name, which the caller took from a map.
    CommonName(String),
    /// Any verified certificate: the caller has compared its contents with the user.
    Any,
}

/// A password as a server may store it.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoredPassword {
    /// The password itself.
    Plain(Password),
    /// Hashed with MD5.
    Md5(md5::Verifier),
    /// As a SCRAM verifier. Checking a password against the verifier takes a derivation.
    Scram(Verifier),
}
