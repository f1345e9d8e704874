//! Conversion of a connection's settings to a configuration of rustls.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pg_auth::config::{RootCert, SslCertMode, TlsSettings, TlsVerification, TlsVersion};
use pg_auth::pem;
use pg_auth::tls::ALPN;
use pg_auth::{Config, Host};
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion};

use crate::rustls::key_log::KeyLogFile;
use crate::rustls::verify::{AnyCertificate, TrustedCertificate};

/// Owned form of [`TlsVerification`], which borrows from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verification {
    None,
    Chain(RootCert),
    Full(RootCert),
}

impl Verification {
    /// Returns the verification that the configuration demands.
    pub(super) fn new(config: &Config) -> io::Result<Self> {
        Ok(match config.tls_verification().map_err(io::Error::other)? {
            TlsVerification::None => Self::None,
            TlsVerification::Chain(root) => Self::Chain(root.clone()),
            TlsVerification::Full(root) => Self::Full(root.clone()),
        })
    }
}

/// Returns the server's name, which rustls needs for SNI and for the check of the server's certificate.
pub(super) fn server_name(host: &Host, verification: &Verification) -> io::Result<ServerName<'static>> {
    let (name, address) = match host {
        Host::Tcp { host, address, .. } => (host.as_str(), *address),
        _ => ("", None),
    };
    if let Ok(name) = ServerName::try_from(name.to_owned()) {
        return Ok(name);
    }
    match (address, verification) {
        (Some(address), _) if name.is_empty() => Ok(ServerName::from(address)),
        (_, Verification::Full(_)) => {
            let message = format!(
                "\"{name}\" is not a valid host name: the name in the certificate cannot be verified"
            );
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        }
        // Only `Verification::Full` checks the name. rustls needs a name nevertheless: use an IP address, which is never sent as SNI.
        _ => Ok(ServerName::from(address.unwrap_or(IpAddr::from([0, 0, 0, 0])))),
    }
}

/// Builds a configuration of rustls. Reads the certificate files.
pub(super) fn config(
    settings: &TlsSettings,
    verification: &Verification,
    provider: &Arc<CryptoProvider>,
) -> io::Result<ClientConfig> {
    let versions = versions(settings)?;
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(&versions).map_err(io::Error::other)?;
    let builder =
        builder.dangerous().with_custom_certificate_verifier(verifier(settings, verification, provider)?);
    let mut config = match &settings.cert {
        Some(cert) if settings.cert_mode != SslCertMode::Disable => {
            let chain = pem::certificates("client certificate", cert)?;
            let file = settings.key.as_ref().ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "sslcert is given, and its key (sslkey) is not")
            })?;
            let key = pem::private_key(file, settings.key_password.as_ref())?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                pem::bad_file("private key", file, format_args!("cannot be used: {error}"))
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_sni = settings.sni;
    if let Some(file) = &settings.key_log {
        config.key_log = Arc::new(KeyLogFile::open(file)?);
    }
    Ok(config)
}

/// Returns the allowed versions of TLS that rustls supports, the oldest first.
fn versions(settings: &TlsSettings) -> io::Result<Vec<&'static SupportedProtocolVersion>> {
    let oldest = settings.min_version.unwrap_or(TlsVersion::V1_2);
    let newest = settings.max_version.unwrap_or(TlsVersion::V1_3);
    let known = [(TlsVersion::V1_2, &TLS12), (TlsVersion::V1_3, &TLS13)];
    let allowed = known.into_iter().filter(|(version, _)| (oldest..=newest).contains(version));
    let versions: Vec<_> = allowed.map(|(_, version)| version).collect();
    match versions.is_empty() {
        true => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "{oldest} to {newest} contains no version of TLS that rustls supports: TLSv1.2 and TLSv1.3"
            ),
        )),
        false => Ok(versions),
    }
}

fn verifier(
    settings: &TlsSettings,
    verification: &Verification,
    provider: &Arc<CryptoProvider>,
) -> io::Result<Arc<dyn ServerCertVerifier>> {
    let (root, names) = match verification {
        Verification::None => return Ok(Arc::new(AnyCertificate(provider.clone()))),
        Verification::Chain(root) => (root, false),
        Verification::Full(root) => (root, true),
    };
    let trusted = match root {
        RootCert::System => system_certificates()?,
        RootCert::File(file) => pem::certificates("root certificate", file)?,
        other => return Err(io::Error::other(format!("sslrootcert cannot be {other:?}"))),
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(trusted.iter().cloned());
    if added == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no trusted root certificate can be read"));
    }
    let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let lists = revocation_lists(settings)?;
    if !lists.is_empty() {
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    let inner = builder.build().map_err(io::Error::other)?;
    Ok(Arc::new(TrustedCertificate { inner, trusted, names }))
}

/// Returns the certificates that the operating system trusts.
fn system_certificates() -> io::Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    match (found.certs.is_empty(), found.errors.first()) {
        (true, Some(error)) => {
            Err(io::Error::other(format!("the system's certificates cannot be read: {error}")))
        }
        (true, None) => {
            Err(io::Error::other("the system trusts no certificate: install its ca-certificates"))
        }
        (false, _) => Ok(found.certs),
    }
}

type RevocationList = tokio_rustls::rustls::pki_types::CertificateRevocationListDer<'static>;

fn revocation_lists(settings: &TlsSettings) -> io::Result<Vec<RevocationList>> {
    let mut lists = Vec::new();
    if let Some(file) = &settings.crl {
        lists.extend(pem::revocation_lists(file)?);
    }
    if let Some(dir) = &settings.crl_dir {
        let explain =
            |error: io::Error| pem::bad_file("directory", dir, format_args!("cannot be read: {error}"));
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(explain)? {
            let path = entry.map_err(explain)?.path();
            if path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        for file in files {
            lists.extend(pem::revocation_lists(&file)?);
        }
    }
    Ok(lists)
}

/// Records whether the server has requested a client certificate, for `sslcertmode=require`.
#[derive(Debug)]
pub(super) struct Asked {
    inner: Arc<dyn ResolvesClientCert>,
    asked: AtomicBool,
}

impl Asked {
    /// Copies a configuration for one connection. The second result is the `Asked` of this connection. Session resumption is disabled,
    /// because a server requests no certificate when it resumes a session.
    pub(super) fn watch(config: &ClientConfig) -> (Arc<ClientConfig>, Arc<Self>) {
        let asked = Arc::new(Self { inner: config.client_auth_cert_resolver.clone(), asked: false.into() });
        let mut config = config.clone();
        config.client_auth_cert_resolver = asked.clone();
        config.resumption = Resumption::disabled();
        (Arc::new(config), asked)
    }

    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.inner.resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}
