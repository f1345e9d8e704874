//! Two things read from an X.509 certificate: its hash for channel binding, and the common name of its subject.
//!
//! Whether a certificate is to be trusted is the business of the TLS library. Nothing here allocates by a length that the certificate
//! claims, and nothing recurses.
//!
//! Without the feature `certificate` both functions return [`CertificateError::NotCompiled`]. The TLS features of the adapters enable
//! `certificate`.

#[cfg(feature = "certificate")]
mod read;

use std::error::Error;
use std::fmt;

/// A certificate that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// The bytes are not one X.509 certificate in DER.
    Malformed,
    /// The crate was compiled without the feature `certificate`.
    NotCompiled,
    /// The common name holds a NUL: another program might read only what stands before it.
    NulInName,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the certificate is not X.509 in DER (PEM has to be decoded first)",
            Self::NotCompiled => "to read the certificate, enable the feature `certificate` of pg-auth",
            Self::NulInName => "the common name of the certificate holds a NUL byte",
        })
    }
}

impl Error for CertificateError {}

/// The hash of a certificate that SCRAM-SHA-256-PLUS binds a TLS channel by, `tls-server-end-point`
/// ([RFC 5929, section 4.1](https://www.rfc-editor.org/rfc/rfc5929#section-4.1)): of the whole certificate in DER, with the hash of its
/// signature algorithm, where MD5 and SHA-1 are replaced by SHA-256. It has 28 to 64 bytes.
///
/// `None` where the signature algorithm names no single hash, as Ed25519 and Ed448, or one that is not known here: such a
/// certificate cannot be bound to.
///
/// # Errors
/// [`CertificateError::Malformed`] and [`CertificateError::NotCompiled`].
pub fn server_end_point(certificate: &[u8]) -> Result<Option<Vec<u8>>, CertificateError> {
    read::signature_hash(certificate)
}

/// The common name of a certificate's subject, the first if there are several, as its bytes stand there: UTF-8 or ASCII in nearly all
/// certificates. PostgreSQL compares it with the user's name where a certificate is the login.
///
/// # Errors
/// [`CertificateError`], also where the name holds a NUL.
pub fn common_name(certificate: &[u8]) -> Result<Option<&[u8]>, CertificateError> {
    let name = read::common_name(certificate)?;
    if name.is_some_and(|name| name.contains(&0)) { Err(CertificateError::NulInName) } else { Ok(name) }
}

/// Both readers, without the feature.
#[cfg(not(feature = "certificate"))]
mod read {
    use super::CertificateError;

    pub(super) fn signature_hash(_: &[u8]) -> Result<Option<Vec<u8>>, CertificateError> {
        Err(CertificateError::NotCompiled)
    }

    pub(super) fn common_name(_: &[u8]) -> Result<Option<&[u8]>, CertificateError> {
        Err(CertificateError::NotCompiled)
    }
}
