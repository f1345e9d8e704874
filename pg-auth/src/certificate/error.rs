//! The error in reading a certificate.

use std::error::Error;
use std::fmt;

/// An error in reading a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// The bytes are not one X.509 certificate in DER.
    Malformed,
    /// The crate was compiled without the feature `certificate`.
    NotCompiled,
    /// The common name contains a NUL byte: another program might read only the part before this byte.
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
