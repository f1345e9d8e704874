//! Certificates that each test creates for its own use.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use pg_stream_tokio::rustls::RustlsAcceptor;
use pg_stream_tokio::rustls::tokio_rustls::TlsConnector;
use pg_stream_tokio::rustls::tokio_rustls::rustls::crypto::ring;
use pg_stream_tokio::rustls::tokio_rustls::rustls::pki_types::PrivateKeyDer;
use pg_stream_tokio::rustls::tokio_rustls::rustls::{ClientConfig, RootCertStore};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

/// A root certificate, the server certificates of the tests, a client certificate, and their files.
pub(crate) struct Certificates {
    dir: TempDir,
    root: Certificate,
    key: KeyPair,
    server: Certificate,
    expired: Certificate,
    revoked: Certificate,
    stranger: Certificate,
    self_signed: Certificate,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, root_key) = (authority("root"), KeyPair::generate().expect("a key"));
        let root_certificate = root.self_signed(&root_key).expect("a certificate");
        let other_key = KeyPair::generate().expect("a key");
        let other = Issuer::new(authority("other"), other_key);
        let issuer = Issuer::new(root, root_key);
        let key = KeyPair::generate().expect("a key");
        let signed = |params: CertificateParams, by: &Issuer<'_, KeyPair>| {
            params.signed_by(&key, by).expect("a certificate")
        };
        let server = signed(for_localhost(1), &issuer);
        let mut old = for_localhost(2);
        old.not_before = date_time_ymd(2001, 1, 1);
        old.not_after = date_time_ymd(2002, 1, 1);
        let expired = signed(old, &issuer);
        let revoked = signed(for_localhost(3), &issuer);
        let stranger = signed(for_localhost(4), &other);
        let mut own = for_localhost(5);
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let self_signed = own.self_signed(&key).expect("a certificate");
        let client = signed(CertificateParams::new(["me".to_owned()]).expect("a name"), &issuer);
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 1),
            next_update: date_time_ymd(2999, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(3_u64),
                revocation_time: date_time_ymd(2025, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&issuer).expect("a list");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("a new file");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let mode = if name == "open" { 0o644 } else { 0o600 };
                fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("this user's file");
            }
        };
        write("root", &root_certificate.pem());
        write("self-signed", &self_signed.pem());
        write("crl", &list.pem().expect("a list"));
        write("client", &client.pem());
        write("pkcs8", &key.serialize_pem());
        write("open", &key.serialize_pem());
        write("certificate", &client.pem());
        let made = Self { dir, root: root_certificate, key, server, expired, revoked, stranger, self_signed };
        made.convert("sec1", &["ec"]);
        made.convert("encrypted", &["pkcs8", "-topk8", "-passout", "pass:letmein"]);
        made.convert("legacy", &["ec", "-aes128", "-passout", "pass:letmein"]);
        made
    }

    /// Converts the key to another file format with the program openssl.
    fn convert(&self, name: &str, arguments: &[&str]) {
        let path = self.dir.path().join(name);
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(arguments).arg("-in").arg(self.dir.path().join("pkcs8")).arg("-out").arg(&path);
        let output = openssl.output().expect("the program openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("this user's file");
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.file("root")
    }

    pub(crate) fn self_signed_file(&self) -> PathBuf {
        self.file("self-signed")
    }

    pub(crate) fn crl(&self) -> PathBuf {
        self.file("crl")
    }

    pub(crate) fn client(&self) -> PathBuf {
        self.file("client")
    }

    pub(crate) fn client_key(&self, form: &str) -> PathBuf {
        self.file(form)
    }

    pub(crate) fn server_der(&self) -> &[u8] {
        self.server.der()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("an authority");
        roots
    }

    fn with(&self, certificate: &Certificate, clients: Option<RootCertStore>) -> RustlsAcceptor {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        RustlsAcceptor::new(vec![certificate.der().clone()], key, clients).expect("the key fits")
    }

    pub(crate) fn acceptor(&self) -> RustlsAcceptor {
        self.with(&self.server, None)
    }

    pub(crate) fn acceptor_for_clients(&self) -> RustlsAcceptor {
        self.with(&self.server, Some(self.roots()))
    }

    pub(crate) fn stranger(&self) -> RustlsAcceptor {
        self.with(&self.stranger, None)
    }

    pub(crate) fn expired(&self) -> RustlsAcceptor {
        self.with(&self.expired, None)
    }

    pub(crate) fn revoked(&self) -> RustlsAcceptor {
        self.with(&self.revoked, None)
    }

    pub(crate) fn self_signed(&self) -> RustlsAcceptor {
        self.with(&self.self_signed, None)
    }

    /// Returns a rustls client that trusts the root certificate.
    pub(crate) fn connector(&self) -> TlsConnector {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("the provider has them");
        TlsConnector::from(Arc::new(builder.with_root_certificates(self.roots()).with_no_client_auth()))
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([]).expect("a valid list of names");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn for_localhost(serial: u64) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.serial_number = Some(SerialNumber::from(serial));
    params
}
