//! TLS with rustls.
//!
//! [`Rustls`] is for clients: [`ConnectionBuilder::dial`](crate::ConnectionBuilder) uses it with the TLS settings of a
//! [`Config`](crate::Config). [`RustlsAcceptor`] is for servers: it performs the handshake in
//! [`Acceptor::accept_with_tls`](pg_auth::connect::Acceptor::accept_with_tls).

mod acceptor;
mod client;
mod explain;
mod info;
mod key_log;
mod verify;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use pg_auth::config::{SslCertMode, TlsSettings};
use pg_auth::tls::{TlsConnect, TlsRequest, Upgraded};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, crypto};

pub use acceptor::RustlsAcceptor;
pub use info::info;
pub use tokio_rustls;

use crate::TokioIo;
use client::{Verification, server_name};
use explain::explained;

/// Maximum number of configurations that a [`Rustls`] caches. Most programs use one or two configurations.
const KEPT: usize = 16;

/// Performs TLS handshakes as a client, with rustls.
///
/// The certificate files of a [`Config`](crate::Config) are read once, for the first connection that needs the files, and cached. A
/// separate thread reads the files, so no task of the executor waits for the disk. After a change of a file, create a new `Rustls`. Clones
/// share the cache and the TLS sessions that can be resumed.
///
/// `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `sslpassword`, `sslcertmode`, `sslcrl`, `sslcrldir`, `sslsni`,
/// `ssl_min_protocol_version`, `ssl_max_protocol_version` and `sslkeylogfile` have the same meaning as in libpq, with three differences:
/// - The oldest version is TLS 1.2.
/// - A certificate needs the host name as a subject alternative name; the common name is ignored.
/// - A file in the settings that does not exist is an error.
#[derive(Clone, Debug)]
pub struct Rustls {
    source: Source,
    provider: Arc<CryptoProvider>,
}

/// Source of the configurations of rustls.
#[derive(Clone, Debug)]
enum Source {
    /// Configurations that were built from connection settings. Each is cached with its settings.
    Settings(Arc<Mutex<Vec<Kept>>>),
    /// Configuration that the caller provided.
    Given(Arc<ClientConfig>),
}

/// A configuration, and the settings from which it was built.
#[derive(Debug)]
struct Kept {
    settings: TlsSettings,
    verification: Verification,
    config: Arc<ClientConfig>,
}

impl Default for Rustls {
    fn default() -> Self {
        Self::new()
    }
}

impl Rustls {
    /// Creates a `Rustls` with the crypto provider `ring`.
    pub fn new() -> Self {
        Self::with_provider(Arc::new(crypto::ring::default_provider()))
    }

    /// Creates a `Rustls` with a crypto provider that the caller chooses.
    pub fn with_provider(provider: Arc<CryptoProvider>) -> Self {
        Self { source: Source::Settings(Arc::default()), provider }
    }

    /// Creates a `Rustls` with the caller's own configuration, which is used for every host. `config` replaces certificates, versions and
    /// all other TLS settings, except `sslmode` and `sslnegotiation`: these two settings of the connection decide whether and how TLS
    /// begins. The `alpn_protocols` of `config` should contain [`ALPN`](pg_auth::tls::ALPN), because direct TLS needs ALPN.
    pub fn with_config(config: Arc<ClientConfig>) -> Self {
        let provider = config.crypto_provider().clone();
        Self { source: Source::Given(config), provider }
    }

    /// Returns the configuration for a handshake, for callers that drive rustls themselves. Do not call this method on a thread of an
    /// executor: the first call with new settings reads files and blocks the thread.
    ///
    /// # Errors
    /// A file cannot be read or used, or a setting is not supported.
    pub fn client_config(
        &self,
        request: &TlsRequest<'_>,
    ) -> io::Result<(Arc<ClientConfig>, ServerName<'static>)> {
        let verification = Verification::new(request.config)?;
        let name = server_name(request.host, &verification)?;
        let config = match &self.source {
            Source::Given(config) => config.clone(),
            Source::Settings(kept) => {
                let settings = &request.config.tls;
                match find(kept, settings, &verification) {
                    Some(config) => config,
                    None => self.build(kept, settings, verification)?,
                }
            }
        };
        Ok((config, name))
    }

    fn build(
        &self,
        kept: &Mutex<Vec<Kept>>,
        settings: &TlsSettings,
        verification: Verification,
    ) -> io::Result<Arc<ClientConfig>> {
        let config = Arc::new(client::config(settings, &verification, &self.provider)?);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(Kept { settings: settings.clone(), verification, config: config.clone() });
        Ok(config)
    }

    /// Returns the configuration as [`client_config`](Self::client_config) does, but reads files on a blocking thread of Tokio.
    async fn prepared(
        &self,
        request: &TlsRequest<'_>,
    ) -> io::Result<(Arc<ClientConfig>, ServerName<'static>)> {
        let known = match &self.source {
            Source::Given(_) => true,
            Source::Settings(kept) => {
                let verification = Verification::new(request.config)?;
                find(kept, &request.config.tls, &verification).is_some()
            }
        };
        if known {
            return self.client_config(request);
        }
        let (rustls, config, host) = (self.clone(), request.config.clone(), request.host.clone());
        let job = move || rustls.client_config(&TlsRequest::new(&config, &host));
        tokio::task::spawn_blocking(job).await.map_err(io::Error::other)?
    }
}

fn find(
    kept: &Mutex<Vec<Kept>>,
    settings: &TlsSettings,
    verification: &Verification,
) -> Option<Arc<ClientConfig>> {
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let found = kept.iter().find(|kept| kept.settings == *settings && kept.verification == *verification);
    found.map(|kept| kept.config.clone())
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<TokioIo<S>> for Rustls {
    type Stream = TokioIo<tokio_rustls::client::TlsStream<S>>;

    async fn upgrade(
        &self,
        stream: TokioIo<S>,
        request: &TlsRequest<'_>,
    ) -> io::Result<Upgraded<Self::Stream>> {
        let (config, name) = self.prepared(request).await?;
        let required = match (&self.source, request.config.tls.cert_mode) {
            (Source::Settings(_), SslCertMode::Require) => Some(client::Asked::watch(&config)),
            _ => None,
        };
        let used = required.as_ref().map_or(&config, |(config, _)| config);
        let stream = TlsConnector::from(used.clone()).connect(name, stream.0).await.map_err(explained)?;
        if required.is_some_and(|(_, asked)| !asked.was_asked()) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "sslcertmode=require: the server has not requested a client certificate",
            ));
        }
        let info = info(stream.get_ref().1);
        Ok(Upgraded::new(TokioIo(stream)).info(info))
    }
}
