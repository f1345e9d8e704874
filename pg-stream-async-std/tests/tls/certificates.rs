//! Certificate files that are created for one test.

use std::fs;
use std::path::{Path, PathBuf};

use pg_stream_async_std::native_tls::NativeTlsAcceptor;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// A root certificate, several server certificates, and a client certificate. All server certificates and the client certificate use one
/// private key, in the file "pkcs8".
pub(crate) struct Certificates {
    dir: TempDir,
    server: Certificate,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, root_key) = (authority("root"), KeyPair::generate().expect("a key"));
        let root_certificate = root.self_signed(&root_key).expect("a certificate");
        let other = Issuer::new(authority("other"), KeyPair::generate().expect("a key"));
        let issuer = Issuer::new(root, root_key);
        let key = KeyPair::generate().expect("a key");
        let signed = |params: CertificateParams, by: &Issuer<'_, KeyPair>| {
            params.signed_by(&key, by).expect("a certificate")
        };
        let server = signed(for_localhost(), &issuer);
        let mut old = for_localhost();
        old.not_before = date_time_ymd(2001, 1, 1);
        old.not_after = date_time_ymd(2002, 1, 1);
        let client = CertificateParams::new(["me".to_owned()]).expect("a name");
        let mut own = for_localhost();
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        for (name, text) in [
            ("root", root_certificate.pem()),
            ("server", server.pem()),
            ("expired", signed(old, &issuer).pem()),
            ("stranger", signed(for_localhost(), &other).pem()),
            ("self-signed", own.self_signed(&key).expect("a certificate").pem()),
            ("client", signed(client, &issuer).pem()),
            ("pkcs8", key.serialize_pem()),
            ("open", key.serialize_pem()),
            ("other-key", KeyPair::generate().expect("a key").serialize_pem()),
            ("nonsense", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".into()),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("a new file");
            permit(&path, if name == "open" { 0o644 } else { 0o600 });
        }
        let made = Self { dir, server };
        made.convert("sec1", "pkcs8", &["ec"]);
        made.convert("encrypted", "pkcs8", &["pkcs8", "-topk8", "-passout", "pass:letmein"]);
        made.convert("legacy", "pkcs8", &["ec", "-aes128", "-passout", "pass:letmein"]);
        made
    }

    /// Converts a key to another form with the program openssl.
    fn convert(&self, name: &str, from: &str, arguments: &[&str]) {
        let path = self.file(name);
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(arguments).arg("-in").arg(self.file(from)).arg("-out").arg(&path);
        let output = openssl.output().expect("the program openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        permit(&path, 0o600);
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the certificate "server" in DER.
    pub(crate) fn server_der(&self) -> &[u8] {
        self.server.der()
    }

    /// Returns a TLS acceptor with the certificate `certificate`.
    pub(crate) fn acceptor(&self, certificate: &str) -> NativeTlsAcceptor {
        let acceptor = NativeTlsAcceptor::from_pem_files(self.file(certificate), self.file("pkcs8"));
        acceptor.unwrap_or_else(|error| panic!("{error}"))
    }
}

#[cfg(unix)]
fn permit(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("this user's file");
}

#[cfg(not(unix))]
fn permit(_: &Path, _: u32) {}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([]).expect("an empty list of names is valid");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn for_localhost() -> CertificateParams {
    CertificateParams::new(["localhost".to_owned()]).expect("a name")
}
