//! Makes the certificates, keys and revocation lists of one run of xtask, for the servers and their clients.
//!
//! Each environment variable in this table is the path of a file. Unless noted otherwise, a file is in PEM and a key is ECDSA P-256. Keys
//! have mode 0600. The servers' key belongs to the servers' user. All other keys belong to the user that runs xtask.
//!
//! | variable | content |
//! | --- | --- |
//! | `PG_TLS_ROOT`, `PG_TLS_ROOT_KEY` | root certificate, which signs all other certificates unless noted, and its key |
//! | `PG_TLS_CRL` | the root's revocation list for clients (`sslcrl`), which revokes `PG_TLS_SERVER_REVOKED_CERT` |
//! | `PG_TLS_OTHER_ROOT`, `PG_TLS_OTHER_ROOT_KEY` | a root certificate that the servers do not trust, and its key |
//! | `PG_TLS_SERVER_CERT`, `PG_TLS_SERVER_KEY` | certificate and key of the servers, for `localhost` and `127.0.0.1` |
//! | `PG_TLS_SERVER_REVOKED_CERT` | certificate for the same key and names, revoked |
//! | `PG_TLS_SERVER_EXPIRED_CERT` | certificate for the same key and names, expired yesterday |
//! | `PG_TLS_SERVER_ELSEWHERE_CERT` | certificate for the same key, for the name `elsewhere.example` |
//! | `PG_TLS_SERVER_COMMON_NAME_CERT` | certificate for the same key, with the common name `localhost` and no alternative name |
//! | `PG_TLS_SERVER_OTHER_CERT` | certificate for the same key and names, signed by `PG_TLS_OTHER_ROOT` |
//! | `PG_CLIENT_CERT` | client certificate of the role `cert` |
//! | `PG_CLIENT_KEY` | key of all client certificates except `PG_CLIENT_RSA_CERT`, in PKCS#8 |
//! | `PG_CLIENT_KEY_DER` | the same key in PKCS#8, DER |
//! | `PG_CLIENT_KEY_SEC1` | the same key in SEC1 (`EC PRIVATE KEY`) |
//! | `PG_CLIENT_KEY_ENCRYPTED` | the same key in encrypted PKCS#8; the password is `PG_CLIENT_KEY_PASSWORD` |
//! | `PG_CLIENT_KEY_SEC1_ENCRYPTED` | the same key in SEC1, encrypted by PEM headers (`Proc-Type`), with the same password |
//! | `PG_CLIENT_KEY_PASSWORD` | not a path: the password of both encrypted keys |
//! | `PG_CLIENT_RSA_CERT` | client certificate of the role `cert`, RSA with 2048 bits |
//! | `PG_CLIENT_RSA_KEY`, `PG_CLIENT_RSA_KEY_PKCS1` | key of `PG_CLIENT_RSA_CERT` in PKCS#8 and in PKCS#1 (`RSA PRIVATE KEY`) |
//! | `PG_CLIENT_CERTSCRAM_CERT` | client certificate of the role `certscram` |
//! | `PG_CLIENT_REVOKED_CERT` | client certificate of the role `cert`, revoked in the servers' list (`ssl_crl_file`) |
//! | `PG_CLIENT_EXPIRED_CERT` | client certificate of the role `cert`, expired yesterday |
//! | `PG_CLIENT_OTHER_CERT` | client certificate of the role `cert`, signed by `PG_TLS_OTHER_ROOT` |
//! | `PG_TLS_SIGNATURES` | a directory with one certificate for each kind of signature |
//!
//! The directory `PG_TLS_SIGNATURES` contains a file `NAME.crt` for each NAME in [`openssl::SIGNATURES`]: a server certificate for
//! `PG_TLS_SERVER_KEY`, `localhost` and `127.0.0.1` with this kind of signature. The file `roots.crt` in this directory contains the
//! issuers of these certificates.

mod files;
mod issue;
mod openssl;

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::servers::user::{User, open_to_all};
use files::{CLIENT_KEY, Files, PASSWORD, RSA_KEY, SERVER_KEY};

/// The environment variables, each with the name of its file in the directory.
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

/// The directory of a run's certificates.
#[derive(Debug)]
pub(crate) struct Certificates(Files);

impl Certificates {
    /// The certificates of the run whose directory is `home`. The files need not exist yet: [`Self::create`] makes the files.
    pub(super) fn below(home: &Path) -> Self {
        Self(Files::new(home.join("tls")))
    }

    /// Finds or installs the program `openssl`.
    pub(super) fn prepare() -> Result<()> {
        openssl::find()
    }

    /// Makes all files. This takes about half a second, because `openssl` runs thirty times. So the caller runs `initdb` at the same time.
    pub(super) fn create(&self, user: &User) -> Result<()> {
        let files = &self.0;
        fs::create_dir(files.dir())?;
        open_to_all(files.dir())?;
        openssl::keys(files)?;
        issue::all(files)?;
        openssl::signatures(files)?;
        user.own(&files.path(SERVER_KEY))
    }

    /// The environment variables with the paths of the files.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let path = |name: &str| self.0.path(name).display().to_string();
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
        let dir = self.0.dir().display();
        format!(
            "
# Clients may connect without TLS and with TLS 1.2 and 1.3.
ssl = on
ssl_min_protocol_version = 'TLSv1.2'
ssl_cert_file = '{dir}/server.crt'
ssl_key_file = '{dir}/{SERVER_KEY}'
ssl_ca_file = '{dir}/root.crt'
ssl_crl_file = '{dir}/server.crl'
"
        )
    }

    /// The settings for TLS between PgBouncer and its clients, as lines of `pgbouncer.ini`.
    pub(super) fn pgbouncer(&self) -> String {
        let dir = self.0.dir().display();
        format!(
            "client_tls_sslmode = allow
client_tls_cert_file = {dir}/server.crt
client_tls_key_file = {dir}/{SERVER_KEY}
client_tls_ca_file = {dir}/root.crt
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Certificates, PASSWORD, RSA_KEY, openssl};
    use crate::process;
    use crate::servers::user::User;
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    /// Makes all files. Returns the temporary directory, which must not be dropped before the end of the test, and the files.
    fn made() -> (tempfile::TempDir, Certificates) {
        let home = tempfile::tempdir().expect("a directory");
        Certificates::prepare().expect("openssl");
        let files = Certificates::below(home.path());
        files.create(&User::Ourselves).expect("made");
        (home, files)
    }

    #[test]
    fn every_file_of_the_environment_exists_and_only_its_owner_can_read_a_key() {
        let (_home, files) = made();
        let mut seen = HashSet::new();
        for (variable, value) in files.environment() {
            assert!(seen.insert(value.clone()), "{variable} and another variable have the value {value}");
            if value == PASSWORD {
                continue;
            }
            let metadata = fs::metadata(&value).unwrap_or_else(|error| panic!("{variable}: {error}"));
            let is_private = metadata.permissions().mode() & 0o077 == 0;
            assert_eq!(is_private, value.ends_with(".key") || value.ends_with(".der"), "{variable}");
        }
        for (name, first_lines) in [
            ("client.key", "-----BEGIN PRIVATE KEY-----\n"),
            ("client-sec1.key", "-----BEGIN EC PRIVATE KEY-----\n"),
            ("client-encrypted.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
            ("client-sec1-encrypted.key", "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"),
            (RSA_KEY, "-----BEGIN PRIVATE KEY-----\n"),
            ("client-rsa-pkcs1.key", "-----BEGIN RSA PRIVATE KEY-----\n"),
            ("root.crl", "-----BEGIN X509 CRL-----\n"),
        ] {
            let text = fs::read_to_string(files.0.path(name)).expect(name);
            assert!(text.starts_with(first_lines), "{name}: {text}");
        }
    }

    #[test]
    fn openssl_accepts_and_rejects_each_certificate_as_its_name_says() {
        let (_home, files) = made();
        let openssl = |arguments: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(arguments.split(' ')).current_dir(files.0.dir());
            process::capture(&mut openssl, "").expect("openssl runs")
        };
        // The error text of `openssl verify`. `None` if the certificate is valid.
        let verify = |arguments: &str| {
            let output = openssl(&format!("verify -x509_strict {arguments}"));
            (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let server = "-CAfile root.crt -purpose sslserver";
        let client = "-CAfile root.crt -purpose sslclient";
        for (arguments, error) in [
            (format!("{server} -verify_hostname localhost server.crt"), None),
            (format!("{server} -verify_ip 127.0.0.1 -CRLfile root.crl -crl_check server.crt"), None),
            (format!("{server} -verify_hostname localhost server-common-name.crt"), None),
            (format!("{server} -verify_hostname elsewhere.example server-elsewhere.crt"), None),
            (format!("{server} -verify_hostname localhost server-elsewhere.crt"), Some("hostname mismatch")),
            (format!("{server} server-expired.crt"), Some("certificate has expired")),
            (format!("{server} server-other.crt"), Some("unable to get local issuer certificate")),
            ("-CAfile other-root.crt -purpose sslserver server-other.crt".into(), None),
            (format!("{server} server-revoked.crt"), None),
            (
                format!("{server} -CRLfile root.crl -crl_check server-revoked.crt"),
                Some("certificate revoked"),
            ),
            (format!("{server} client.crt"), Some("unsuitable certificate purpose")),
            (format!("{client} -CRLfile server.crl -crl_check client.crt"), None),
            (format!("{client} -CRLfile server.crl -crl_check client-rsa.crt"), None),
            (format!("{client} client-certscram.crt"), None),
            (format!("{client} client-expired.crt"), Some("certificate has expired")),
            (format!("{client} client-other.crt"), Some("unable to get local issuer certificate")),
            (
                format!("{client} -CRLfile server.crl -crl_check client-revoked.crt"),
                Some("certificate revoked"),
            ),
            (format!("{client} server.crt"), Some("unsuitable certificate purpose")),
        ] {
            match (verify(&arguments), error) {
                (None, None) => {}
                (Some(found), Some(error)) => assert!(found.contains(error), "{arguments}: {found}"),
                (found, _) => panic!("{arguments}: {found:?}"),
            }
        }
    }

    #[test]
    fn each_certificate_has_the_kind_of_signature_in_its_name() {
        let (_home, files) = made();
        for (name, algorithm, pss) in [
            ("rsa-md5", "md5WithRSAEncryption", None),
            ("rsa-sha1", "sha1WithRSAEncryption", None),
            ("rsa-sha224", "sha224WithRSAEncryption", None),
            ("rsa-sha256", "sha256WithRSAEncryption", None),
            ("rsa-sha384", "sha384WithRSAEncryption", None),
            ("rsa-sha512", "sha512WithRSAEncryption", None),
            ("pss-sha256", "rsassaPss", Some(("sha256", "0x20"))),
            ("pss-sha384", "rsassaPss", Some(("sha384", "0x30"))),
            ("pss-sha512", "rsassaPss", Some(("sha512", "0x40"))),
            ("p256-sha256", "ecdsa-with-SHA256", None),
            ("p256-sha512", "ecdsa-with-SHA512", None),
            ("p384-sha384", "ecdsa-with-SHA384", None),
            ("p384-sha256", "ecdsa-with-SHA256", None),
            ("p521-sha512", "ecdsa-with-SHA512", None),
            ("ed25519", "ED25519", None),
        ] {
            assert!(openssl::SIGNATURES.iter().any(|(listed, ..)| *listed == name), "{name}");
            let mut show = Command::new("openssl");
            show.args(["x509", "-noout", "-text", "-in", &format!("{name}.crt")]);
            let text = process::read(show.current_dir(files.0.path(openssl::DIRECTORY))).expect(name);
            assert!(text.contains(&format!("Signature Algorithm: {algorithm}\n")), "{name}: {text}");
            if let Some((hash, salt)) = pss {
                for line in [
                    format!("Hash Algorithm: {hash}\n"),
                    format!("Mask Algorithm: mgf1 with {hash}\n"),
                    format!("Salt Length: {salt}\n"),
                ] {
                    assert!(text.contains(&line), "{name}: {text}");
                }
            }
            assert!(text.contains("DNS:localhost, IP Address:127.0.0.1"), "{name}: {text}");
        }
    }
}
