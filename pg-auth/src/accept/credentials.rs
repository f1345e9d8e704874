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
    /// Not at all.
    Trust,
    /// By the client's certificate, which the TLS layer must have verified and reported ([`Accept::tls`](super::Accept::tls)).
    Certificate(CertificateUser),
    /// By the password in clear, checked against what is stored. Refuse this where others may listen.
    Cleartext(StoredPassword),
    /// By the password, hashed with MD5.
    Md5(md5::Verifier),
    /// By SCRAM-SHA-256, or SCRAM-SHA-256-PLUS if the client chooses that: it is offered if the server's certificate was named
    /// ([`Accept::server_certificate`](super::Accept::server_certificate)).
    Scram(Verifier),
    /// By a bearer token. Refuse this without TLS.
    OAuth(OAuthLogin),
    /// By GSSAPI.
    Gss(GssLogin),
    /// Not at all, with the words of PostgreSQL for a user whom no line of `pg_hba.conf` lets in.
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

/// Whose certificate lets a client in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateUser {
    /// One whose common name is the user of the start-up message, as PostgreSQL does without a map.
    Same,
    /// One with this common name, from a map of the caller's.
    CommonName(String),
    /// Any that is verified: the caller has compared what stands in it with the user.
    Any,
}

/// A password as a server may store it.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoredPassword {
    /// As it is.
    Plain(Password),
    /// Hashed with MD5.
    Md5(md5::Verifier),
    /// As a SCRAM verifier. To check a password against it takes a derivation.
    Scram(Verifier),
}
