//! Certificates, keys and revocation lists in PEM files.

use std::fmt::Display;
use std::io;
use std::path::Path;

use pg_auth::Password;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use zeroize::Zeroizing;

/// An error about a file.
pub(super) fn bad_file(what: &str, path: &Path, problem: impl Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("the {what} {} {problem}", path.display()))
}

fn read(what: &str, path: &Path) -> io::Result<Vec<u8>> {
    let explain = |error: io::Error| {
        io::Error::new(error.kind(), format!("the {what} {} cannot be read: {error}", path.display()))
    };
    std::fs::read(path).map_err(explain)
}

/// Reads the items of a kind in a file; none is an error.
fn items<T: PemObject>(what: &str, path: &Path) -> io::Result<Vec<T>> {
    let text = read(what, path)?;
    let items: Result<Vec<T>, _> = T::pem_slice_iter(&text).collect();
    let items = items.map_err(|error| bad_file(what, path, format_args!("is not PEM: {error}")))?;
    match items.is_empty() {
        true => Err(bad_file(what, path, "holds nothing of this kind in PEM")),
        false => Ok(items),
    }
}

/// Reads certificates.
pub(super) fn certificates(what: &str, path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    items(what, path)
}

/// Reads certificate revocation lists.
pub(super) fn revocation_lists(path: &Path) -> io::Result<Vec<CertificateRevocationListDer<'static>>> {
    items("certificate revocation list", path)
}

/// Reads a private key: PKCS#8, PKCS#1 or SEC1, or PKCS#8 encrypted by a password.
pub(super) fn key(path: &Path, password: Option<&Password>) -> io::Result<PrivateKeyDer<'static>> {
    const WHAT: &str = "private key";
    pg_auth::net::check_key_file(path)?;
    let text = Zeroizing::new(read(WHAT, path)?);
    let readable = std::str::from_utf8(&text).unwrap_or_default();
    if readable.contains("Proc-Type: 4,ENCRYPTED") {
        let problem = "is encrypted in OpenSSL's own format: convert it by `openssl pkcs8 -topk8`";
        return Err(bad_file(WHAT, path, problem));
    }
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => return Ok(key),
        Err(pem::Error::NoItemsFound) => {}
        Err(error) => return Err(bad_file(WHAT, path, format_args!("is not PEM: {error}"))),
    }
    if !readable.contains("ENCRYPTED PRIVATE KEY") {
        return Err(bad_file(WHAT, path, "holds no key in PKCS#8, PKCS#1 or SEC1"));
    }
    let Some(password) = password else {
        return Err(bad_file(WHAT, path, "is encrypted: its password is missing (sslpassword)"));
    };
    decrypt(readable, password).ok_or_else(|| {
        bad_file(
            WHAT,
            path,
            "cannot be decrypted: the password (sslpassword) is wrong, or the cipher unknown",
        )
    })
}

/// Decrypts a key in PKCS#8.
fn decrypt(text: &str, password: &Password) -> Option<PrivateKeyDer<'static>> {
    let (_, document) = pkcs8::SecretDocument::from_pem(text).ok()?;
    let encrypted = pkcs8::EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).ok()?;
    let key = encrypted.decrypt(password.as_bytes()).ok()?;
    Some(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}
