//! Reads certificates, private keys and revocation lists from files, for the TLS settings of a connection.

use std::fmt::Display;
use std::io;
use std::path::Path;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::net::check_key_file;
use crate::secret::Password;

pub use rustls_pki_types;

/// Makes the error for a bad file, for example "the root certificate /etc/db/ca.pem is not PEM".
pub fn bad_file(what: &str, path: &Path, problem: impl Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("the {what} {} {problem}", path.display()))
}

/// Reads certificates in PEM. `what` names the kind of file in errors: "root certificate".
///
/// # Errors
/// The file cannot be read, is not PEM, or contains no certificate.
pub fn certificates(what: &str, path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    items(what, path)
}

/// Reads certificate revocation lists in PEM.
///
/// # Errors
/// The file cannot be read, is not PEM, or contains no list.
pub fn revocation_lists(path: &Path) -> io::Result<Vec<CertificateRevocationListDer<'static>>> {
    items("certificate revocation list", path)
}

/// Reads a private key in PKCS#8, PKCS#1 or SEC1. The file is in PEM or DER, as in libpq. Only a key in PKCS#8 and PEM may be encrypted by
/// a password.
///
/// # Errors
/// The file cannot be read, other users can access the file ([`check_key_file`]), the file contains no key in these formats, or the key
/// cannot be decrypted.
pub fn private_key(path: &Path, password: Option<&Password>) -> io::Result<PrivateKeyDer<'static>> {
    const WHAT: &str = "private key";
    check_key_file(path)?;
    let content = Zeroizing::new(read(WHAT, path)?);
    let Some(text) = std::str::from_utf8(&content).ok().filter(|text| text.contains("-----BEGIN ")) else {
        let key = PrivateKeyDer::try_from(content.as_slice());
        return key.map(|key| key.clone_key()).map_err(|_| bad_file(WHAT, path, "is neither PEM nor DER"));
    };
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        let problem = "is encrypted in OpenSSL's own format: convert it by `openssl pkcs8 -topk8`";
        return Err(bad_file(WHAT, path, problem));
    }
    match PrivateKeyDer::from_pem_slice(&content) {
        Ok(key) => return Ok(key),
        Err(pem::Error::NoItemsFound) => {}
        Err(error) => return Err(bad_file(WHAT, path, format_args!("is not PEM: {error}"))),
    }
    if !text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return Err(bad_file(WHAT, path, "holds no key in PKCS#8, PKCS#1 or SEC1"));
    }
    let Some(password) = password else {
        return Err(bad_file(WHAT, path, "is encrypted: its password is missing (sslpassword)"));
    };
    decrypt(text, password).ok_or_else(|| {
        bad_file(
            WHAT,
            path,
            "cannot be decrypted: the password (sslpassword) is wrong, or the cipher is not supported",
        )
    })
}

/// Decrypts a private key in PKCS#8 and PEM.
fn decrypt(text: &str, password: &Password) -> Option<PrivateKeyDer<'static>> {
    let (_, document) = pkcs8::SecretDocument::from_pem(text).ok()?;
    let encrypted = pkcs8::EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).ok()?;
    let key = encrypted.decrypt(password.as_bytes()).ok()?;
    Some(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

fn read(what: &str, path: &Path) -> io::Result<Vec<u8>> {
    let explain = |error: io::Error| {
        io::Error::new(error.kind(), format!("the {what} {} cannot be read: {error}", path.display()))
    };
    std::fs::read(path).map_err(explain)
}

/// Reads all items of one kind in a file. Returns an error if the file has no item of this kind.
fn items<T: PemObject>(what: &str, path: &Path) -> io::Result<Vec<T>> {
    let text = read(what, path)?;
    let items: Result<Vec<T>, _> = T::pem_slice_iter(&text).collect();
    let items = items.map_err(|error| bad_file(what, path, format_args!("is not PEM: {error}")))?;
    match items.is_empty() {
        true => Err(bad_file(what, path, "contains no item of this kind in PEM")),
        false => Ok(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    // The same private key in three forms, made for these tests. The password is "key-secret".
    const SEC1: &str = "\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIJXIInal7rhv6vEYDDkt4NaSUXUJ8Vt3+zhRjtqNK4yBoAoGCCqGSM49
AwEHoUQDQgAE/CuiH+koReusyceeukjlPe8MO9z5YlwimVBWhsfQVpIMkFiFAwaf
3YOwE5fEP/ohFaqNLcK75o7kWnRnDdKBkA==
-----END EC PRIVATE KEY-----
";
    const PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQglcgidqXuuG/q8RgM
OS3g1pJRdQnxW3f7OFGO2o0rjIGhRANCAAT8K6If6ShF66zJx566SOU97ww73Pli
XCKZUFaGx9BWkgyQWIUDBp/dg7ATl8Q/+iEVqo0twrvmjuRadGcN0oGQ
-----END PRIVATE KEY-----
";
    const ENCRYPTED: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgtuKu6QnVsJQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEJ0prUhsSGLKl7oSUPlMnOkEgZAX
ODoo8qveARWGsr+vHMEJHcR6JnAzD5jeT9qMyXzCTh8T0kPNBRjNANF52n9+ihDk
R1owm1IDm89B073PRyqR1wlzynvMF6uq4Ny4FxmjRSwcLg57btugrAc6IClAdFIL
GnNO8cJ6eXOr+MbKs/jvsRyi3s9192x+Jgp27zXfd60cy1mX/1ql5EKJ0MppekE=
-----END ENCRYPTED PRIVATE KEY-----
";

    /// Writes a key file with this content and reads the key.
    fn key(content: impl AsRef<[u8]>, password: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("client.key");
        fs::write(&path, content).expect("a new file");
        close_to_others(&path);
        let password = password.map(Password::from);
        let shown = path.display().to_string();
        private_key(&path, password.as_ref()).map_err(|error| error.to_string().replace(&shown, "FILE"))
    }

    #[cfg(unix)]
    fn close_to_others(path: &Path) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    }

    #[cfg(not(unix))]
    fn close_to_others(_: &Path) {}

    #[test]
    fn a_key_is_read_in_each_of_its_forms() {
        let pkcs8 = key(PKCS8, None).expect("PKCS#8");
        assert!(matches!(pkcs8, PrivateKeyDer::Pkcs8(_)));
        assert_eq!(key(pkcs8.secret_der(), None).as_ref(), Ok(&pkcs8), "DER");
        let sec1 = key(SEC1, None).expect("SEC1");
        assert!(matches!(sec1, PrivateKeyDer::Sec1(_)));
        assert_eq!(key(sec1.secret_der(), None).as_ref(), Ok(&sec1), "DER");
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        assert_eq!(key([parameters, SEC1].concat(), None).as_ref(), Ok(&sec1), "after its parameters");
        assert_eq!(key(ENCRYPTED, Some("key-secret")).as_ref(), Ok(&pkcs8), "decrypted");
        assert_eq!(key(PKCS8, Some("not needed")).as_ref(), Ok(&pkcs8), "a password that is not needed");
    }

    #[test]
    fn the_error_says_why_a_key_cannot_be_used() {
        for (content, password, expected) in [
            ("", None, "is neither PEM nor DER"),
            ("nonsense", None, "is neither PEM nor DER"),
            (ENCRYPTED, None, "is encrypted: its password is missing (sslpassword)"),
            (
                ENCRYPTED,
                Some("another"),
                "cannot be decrypted: the password (sslpassword) is wrong, or the cipher is not supported",
            ),
            (
                "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n",
                Some("key-secret"),
                "is encrypted in OpenSSL's own format: convert it by `openssl pkcs8 -topk8`",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
                None,
                "holds no key in PKCS#8, PKCS#1 or SEC1",
            ),
        ] {
            let error = key(content, password).expect_err(expected);
            assert_eq!(error, format!("the private key FILE {expected}"));
        }
    }

    #[test]
    fn a_file_without_certificates_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        let error = certificates("root certificate", &path).expect_err("no such file");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("the root certificate "), "{error}");
        fs::write(&path, PKCS8).expect("a new file");
        let error = certificates("root certificate", &path).expect_err("a key").to_string();
        assert!(error.ends_with("ca.pem contains no item of this kind in PEM"), "{error}");
        fs::write(&path, "-----BEGIN CERTIFICATE-----\nMAA=\n").expect("our file");
        let error = certificates("root certificate", &path).expect_err("cut off").to_string();
        assert!(error.contains("ca.pem is not PEM: "), "{error}");
    }
}
