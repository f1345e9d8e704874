//! Certificates, keys and revocation lists of one run: made anew each time, for both servers and their clients.
//!
//! Every name below is a variable of the environment that holds the path of a file. Files are PEM unless noted; the keys
//! are ECDSA P-256 unless noted, have mode 0600, and belong to us, except the servers' key, which belongs to their user.
//!
//! | variable | content |
//! | --- | --- |
//! | `PG_TLS_ROOT`, `PG_TLS_ROOT_KEY` | root certificate that signs everything else unless noted, and its key |
//! | `PG_TLS_CRL` | the root's revocation list for clients (`sslcrl`): revokes `PG_TLS_SERVER_REVOKED_CERT` |
//! | `PG_TLS_OTHER_ROOT`, `PG_TLS_OTHER_ROOT_KEY` | a root certificate that the servers do not know, and its key |
//! | `PG_TLS_SERVER_CERT`, `PG_TLS_SERVER_KEY` | the servers' own, for `localhost` and `127.0.0.1` |
//! | `PG_TLS_SERVER_REVOKED_CERT` | for the same key and names, revoked |
//! | `PG_TLS_SERVER_EXPIRED_CERT` | for the same key and names, expired yesterday |
//! | `PG_TLS_SERVER_ELSEWHERE_CERT` | for the same key, name `elsewhere.example` |
//! | `PG_TLS_SERVER_COMMON_NAME_CERT` | for the same key, common name `localhost` and no alternative name |
//! | `PG_TLS_SERVER_OTHER_CERT` | for the same key and names, signed by `PG_TLS_OTHER_ROOT` |
//! | `PG_CLIENT_CERT` | of the role `cert` |
//! | `PG_CLIENT_KEY` | its key in PKCS#8, which all client certificates but the RSA one share |
//! | `PG_CLIENT_KEY_DER` | the same in PKCS#8, DER |
//! | `PG_CLIENT_KEY_SEC1` | the same in SEC1 (`EC PRIVATE KEY`) |
//! | `PG_CLIENT_KEY_ENCRYPTED` | the same in encrypted PKCS#8; password: `PG_CLIENT_KEY_PASSWORD` |
//! | `PG_CLIENT_KEY_SEC1_ENCRYPTED` | the same in SEC1, encrypted by PEM headers (`Proc-Type`), same password |
//! | `PG_CLIENT_KEY_PASSWORD` | not a path: the password of both encrypted keys |
//! | `PG_CLIENT_RSA_CERT` | of the role `cert`, RSA of 2048 bits |
//! | `PG_CLIENT_RSA_KEY`, `PG_CLIENT_RSA_KEY_PKCS1` | its key in PKCS#8 and in PKCS#1 (`RSA PRIVATE KEY`) |
//! | `PG_CLIENT_CERTSCRAM_CERT` | of the role `certscram` |
//! | `PG_CLIENT_REVOKED_CERT` | of the role `cert`, in the servers' revocation list (`ssl_crl_file`) |
//! | `PG_CLIENT_EXPIRED_CERT` | of the role `cert`, expired yesterday |
//! | `PG_CLIENT_OTHER_CERT` | of the role `cert`, signed by `PG_TLS_OTHER_ROOT` |
//! | `PG_TLS_SIGNATURES` | a directory: one certificate for each way to sign, see below |
//!
//! In `PG_TLS_SIGNATURES` stands `NAME.crt` for each NAME of [`openssl::SIGNATURES`]: a server certificate for
//! `PG_TLS_SERVER_KEY`, `localhost` and `127.0.0.1`, whose signature is of that kind. `roots.crt` holds the roots that made
//! the signatures.

mod issue;
mod openssl;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::user::User;

/// The password of the encrypted client keys.
const PASSWORD: &str = "key-secret";

/// Variables, and the file of each below [`Certificates::dir`].
const FILES: [(&str, &str); 24] = [
    ("PG_TLS_ROOT", "root.crt"),
    ("PG_TLS_ROOT_KEY", "root.key"),
    ("PG_TLS_CRL", "root.crl"),
    ("PG_TLS_OTHER_ROOT", "other-root.crt"),
    ("PG_TLS_OTHER_ROOT_KEY", "other-root.key"),
    ("PG_TLS_SERVER_CERT", "server.crt"),
    ("PG_TLS_SERVER_KEY", SERVER_KEY),
    ("PG_TLS_SERVER_REVOKED_CERT", "server-revoked.crt"),
    ("PG_TLS_SERVER_EXPIRED_CERT", "server-expired.crt"),
    ("PG_TLS_SERVER_ELSEWHERE_CERT", "server-elsewhere.crt"),
    ("PG_TLS_SERVER_COMMON_NAME_CERT", "server-common-name.crt"),
    ("PG_TLS_SERVER_OTHER_CERT", "server-other.crt"),
    ("PG_CLIENT_CERT", "client.crt"),
    ("PG_CLIENT_KEY", CLIENT_KEY),
    ("PG_CLIENT_KEY_DER", "client.der"),
    ("PG_CLIENT_KEY_SEC1", "client-sec1.key"),
    ("PG_CLIENT_KEY_ENCRYPTED", "client-encrypted.key"),
    ("PG_CLIENT_KEY_SEC1_ENCRYPTED", "client-sec1-encrypted.key"),
    ("PG_CLIENT_RSA_CERT", "client-rsa.crt"),
    ("PG_CLIENT_RSA_KEY", RSA_KEY),
    ("PG_CLIENT_RSA_KEY_PKCS1", "client-rsa-pkcs1.key"),
    ("PG_CLIENT_CERTSCRAM_CERT", "client-certscram.crt"),
    ("PG_CLIENT_REVOKED_CERT", "client-revoked.crt"),
    ("PG_CLIENT_EXPIRED_CERT", "client-expired.crt"),
];

const SERVER_KEY: &str = "server.key";
const CLIENT_KEY: &str = "client.key";
const RSA_KEY: &str = "client-rsa.key";

/// The directory of a run's certificates.
#[derive(Debug)]
pub(crate) struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Where [`Self::create`] makes them below a run's directory.
    pub(super) fn below(home: &Path) -> Self {
        Self { dir: home.join("tls") }
    }

    /// Finds the program `openssl`, getting it where that takes no choice of the user's.
    pub(super) fn prepare() -> Result<()> {
        openssl::find()
    }

    /// Makes all files. Takes 0.2 s beside an RSA key's time, so it runs while `initdb` does.
    pub(super) fn create(&self, user: &User) -> Result<()> {
        fs::create_dir(&self.dir)?;
        super::open_to_all(&self.dir)?;
        openssl::keys(self)?;
        issue::all(self)?;
        openssl::signatures(self)?;
        user.own(&self.dir.join(SERVER_KEY))
    }

    /// The environment that names the files.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let files = FILES.iter().map(|(variable, name)| ((*variable).to_owned(), path(name)));
        let others = [
            ("PG_CLIENT_OTHER_CERT".to_owned(), path("client-other.crt")),
            ("PG_CLIENT_KEY_PASSWORD".to_owned(), PASSWORD.to_owned()),
            ("PG_TLS_SIGNATURES".to_owned(), path(openssl::DIRECTORY)),
        ];
        files.chain(others).collect()
    }

    /// The TLS settings of a server, as lines of `postgresql.conf`.
    pub(super) fn configuration(&self) -> String {
        let dir = self.dir.display();
        format!(
            "
# Every method is reached in clear and by TLS 1.2 and 1.3.
ssl = on
ssl_min_protocol_version = 'TLSv1.2'
ssl_cert_file = '{dir}/server.crt'
ssl_key_file = '{dir}/{SERVER_KEY}'
ssl_ca_file = '{dir}/root.crt'
ssl_crl_file = '{dir}/server.crl'
"
        )
    }

    /// The TLS settings of PgBouncer towards its clients, as lines of `pgbouncer.ini`.
    pub(super) fn pgbouncer(&self) -> String {
        let dir = self.dir.display();
        format!(
            "client_tls_sslmode = allow
client_tls_cert_file = {dir}/server.crt
client_tls_key_file = {dir}/{SERVER_KEY}
client_tls_ca_file = {dir}/root.crt
"
        )
    }

    /// Writes a file that everybody may read.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes a file that only its owner may read. libpq and PostgreSQL demand it of keys.
    fn write_secret(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(content.as_ref()))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Certificates, PASSWORD, RSA_KEY, openssl};
    use crate::servers::user::User;
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn every_file_that_is_named_is_made_and_every_key_is_closed() {
        let home = tempfile::tempdir().expect("a directory");
        Certificates::prepare().expect("openssl");
        let made = Certificates::below(home.path());
        made.create(&User::Ourselves).expect("made");
        let environment = made.environment();
        let mut seen = HashSet::new();
        for (variable, value) in &environment {
            assert!(seen.insert(value.clone()), "{variable} is not the only one for {value}");
            if value == PASSWORD {
                continue;
            }
            let mode = fs::metadata(value)
                .unwrap_or_else(|error| panic!("{variable}: {error}"))
                .permissions()
                .mode();
            let secret = value.ends_with(".key") || value.ends_with(".der");
            assert_eq!(secret, mode & 0o077 == 0, "{variable}: {mode:o}");
        }
        for (name, ..) in openssl::SIGNATURES {
            assert!(made.dir.join(openssl::DIRECTORY).join(format!("{name}.crt")).exists(), "{name}");
        }
        let begins = |name: &str, line: &str| {
            let text = fs::read_to_string(made.dir.join(name)).expect("a file");
            assert!(text.starts_with(line), "{name}: {text}");
        };
        begins("client.key", "-----BEGIN PRIVATE KEY-----\n");
        begins("client-sec1.key", "-----BEGIN EC PRIVATE KEY-----\n");
        begins("client-encrypted.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
        begins("client-sec1-encrypted.key", "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n");
        begins(RSA_KEY, "-----BEGIN PRIVATE KEY-----\n");
        begins("client-rsa-pkcs1.key", "-----BEGIN RSA PRIVATE KEY-----\n");
        begins("root.crl", "-----BEGIN X509 CRL-----\n");
    }
}
