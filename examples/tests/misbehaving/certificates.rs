//! Certificates that are created for one run of the tests. They are available as files and as configurations of rustls.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pg_stream_tokio::rustls::RustlsAcceptor;
use pg_stream_tokio::rustls::tokio_rustls::rustls;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;

static KEPT: Mutex<Weak<Certificates>> = Mutex::new(Weak::new());

/// Returns the certificates. Tests that run at the same time share the same certificates. A test must hold the `Arc` until the test ends.
/// When the last `Arc` is dropped, the files are removed, and the next call creates new certificates.
pub(crate) fn made() -> Arc<Certificates> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.upgrade().unwrap_or_else(|| {
        let made = Arc::new(Certificates::new());
        *kept = Arc::downgrade(&made);
        made
    })
}

/// A root certificate, and server certificates that share one key. All server certificates except `elsewhere` are for the name `localhost`.
pub(crate) struct Certificates {
    dir: TempDir,
    root: Certificate,
    key: KeyPair,
    pub(crate) server: Certificate,
    pub(crate) expired: Certificate,
    pub(crate) early: Certificate,
    pub(crate) elsewhere: Certificate,
    /// A certificate of an authority that the client does not trust.
    pub(crate) stranger: Certificate,
    pub(crate) self_signed: Certificate,
}

impl Certificates {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, root_key) = (authority("root"), KeyPair::generate().expect("a key"));
        let root_certificate = root.self_signed(&root_key).expect("a certificate");
        let other = Issuer::new(authority("other"), KeyPair::generate().expect("a key"));
        let issuer = Issuer::new(root, root_key);
        let key = KeyPair::generate().expect("a key");
        let named = |name: &str| CertificateParams::new([name.to_owned()]).expect("a name");
        let signed = |params: CertificateParams, by: &Issuer<'_, KeyPair>| {
            params.signed_by(&key, by).expect("a certificate")
        };
        let valid = |from, to| {
            let mut params = named("localhost");
            (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
            params
        };
        let server = signed(named("localhost"), &issuer);
        let client = signed(named("alice"), &issuer);
        let foreign_client = signed(named("alice"), &other);
        let made = Self {
            root: root_certificate,
            expired: signed(valid(2001, 2002), &issuer),
            early: signed(valid(2998, 2999), &issuer),
            elsewhere: signed(named("elsewhere.example"), &issuer),
            stranger: signed(named("localhost"), &other),
            self_signed: named("localhost").self_signed(&key).expect("a certificate"),
            server,
            key,
            dir,
        };
        made.write("root", &made.root.pem());
        made.write("server", &made.server.pem());
        made.write("client", &client.pem());
        made.write("foreign-client", &foreign_client.pem());
        made.write("key", &made.key.serialize_pem());
        made
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        fs::write(&path, text).expect("a new file");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("this user's file");
        }
    }

    /// Returns the path of the file with this name.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key")
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("an authority");
        roots
    }

    /// Returns the configuration of a TLS server with this certificate, these ALPN protocols and these TLS versions. With an empty list of
    /// protocols, the server does not use ALPN.
    pub(crate) fn serving(
        &self,
        certificate: &Certificate,
        alpn: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("the provider has them");
        let chain = vec![certificate.der().clone()];
        let made = builder.with_no_client_auth().with_single_cert(chain, self.private_key());
        let mut config = made.expect("the key fits");
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// Returns the configuration of a TLS server that presents this certificate, and is correct in all other respects.
    pub(crate) fn presenting(&self, certificate: &Certificate) -> Arc<ServerConfig> {
        self.serving(certificate, &[b"postgresql"], rustls::ALL_VERSIONS)
    }

    /// Returns an acceptor that presents the valid certificate and requests a client certificate.
    pub(crate) fn acceptor(&self) -> RustlsAcceptor {
        let chain = vec![self.server.der().clone()];
        RustlsAcceptor::new(chain, self.private_key(), Some(self.roots())).expect("the key fits")
    }

    /// Returns the configuration of a TLS client. If `trusting` is true, the client trusts the root certificate of the tests. If
    /// `certificate` is given, the client presents the certificate in the file with this name.
    pub(crate) fn client(
        &self,
        trusting: bool,
        alpn: &[&[u8]],
        certificate: Option<&str>,
    ) -> Arc<ClientConfig> {
        let roots = if trusting {
            self.roots()
        } else {
            let mut others = RootCertStore::empty();
            others.add(self.self_signed.der().clone()).expect("a certificate");
            others
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("the provider has them");
        let builder = builder.with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let pem = fs::read_to_string(self.file(name)).expect("a file of ours");
                let chain = chain_of(&pem);
                builder.with_client_auth_cert(chain, self.private_key()).expect("the key fits")
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// Returns the configuration for the TLS connection from the man in the middle to the honest server. As a client, the man in the middle
    /// trusts the root certificate.
    pub(crate) fn trusting_client(&self) -> Arc<ClientConfig> {
        self.client(true, &[b"postgresql"], None)
    }
}

fn chain_of(pem: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|found| found.expect("a certificate"))
        .collect()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([]).expect("no name can be invalid");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}
