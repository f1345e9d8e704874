//! Reads two values from an X.509 certificate: the hash for channel binding, and the common name of the subject.
//!
//! The TLS library decides whether a certificate is trusted. Hostile certificates are safe to read: no length in a certificate causes an
//! allocation, and nested structures cause no recursion.
//!
//! Without the feature `certificate`, [`server_end_point`] and [`common_name`] return [`CertificateError::NotCompiled`]. The TLS features
//! of `pg-stream-tokio` and `pg-stream-async-std` enable `certificate`.

mod error;
#[cfg(feature = "certificate")]
mod read;

pub use error::CertificateError;

/// The hash `tls-server-end-point` of a certificate, by which SCRAM-SHA-256-PLUS binds to a TLS channel
/// ([RFC 5929, section 4.1](https://www.rfc-editor.org/rfc/rfc5929#section-4.1)). The whole certificate in DER is hashed, with the hash
/// algorithm of its signature; MD5 and SHA-1 are replaced by SHA-256. The hash has 28 to 64 bytes.
///
/// `None` if the signature algorithm has no single hash algorithm (Ed25519 and Ed448), or an unknown hash algorithm: channel binding is
/// impossible with such a certificate.
///
/// # Errors
/// [`CertificateError::Malformed`] and [`CertificateError::NotCompiled`].
pub fn server_end_point(certificate: &[u8]) -> Result<Option<Vec<u8>>, CertificateError> {
    read::signature_hash(certificate)
}

/// The common name of a certificate's subject, in raw bytes: UTF-8 or ASCII in nearly all certificates. Returns the first of several common
/// names. PostgreSQL compares the common name with the user's name in a login by certificate.
///
/// # Errors
/// The certificate cannot be read, or the name contains a NUL byte.
pub fn common_name(certificate: &[u8]) -> Result<Option<&[u8]>, CertificateError> {
    let name = read::common_name(certificate)?;
    if name.is_some_and(|name| name.contains(&0)) { Err(CertificateError::NulInName) } else { Ok(name) }
}

/// Placeholders for the two functions that read certificates, if the feature `certificate` is off. The placeholders always fail.
#[cfg(not(feature = "certificate"))]
mod read {
    use super::error::CertificateError;

    pub(super) fn signature_hash(_: &[u8]) -> Result<Option<Vec<u8>>, CertificateError> {
        Err(CertificateError::NotCompiled)
    }

    pub(super) fn common_name(_: &[u8]) -> Result<Option<&[u8]>, CertificateError> {
        Err(CertificateError::NotCompiled)
    }
}
