//! TLS by rustls.
//!
//! [`Rustls`] is the client: it honours the TLS settings of a [`Config`](crate::Config) and is what
//! [`ConnectionBuilder::dial`](crate::ConnectionBuilder) uses. [`RustlsAcceptor`] is the server, for
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

/// Configurations that a [`Rustls`] keeps. A program connects with one or two.
const KEPT: usize = 16;

/// TLS in the client role, by rustls.
///
/// The certificate files of a [`Config`](crate::Config) are read when the first connection needs them, off the executor, and kept:
/// clones share them, and with them the TLS sessions that a server lets resume. Where a file has changed, begin with a new `Rustls`.
///
/// `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `sslpassword`, `sslcertmode`, `sslcrl`, `sslcrldir`, `sslsni`,
/// `ssl_min_protocol_version`, `ssl_max_protocol_version` and `sslkeylogfile` mean what they mean in libpq. Differences: TLS 1.2 is
/// the oldest version there is, a certificate has to have its name as a subject alternative name (the common name is not looked at),
/// and a file that is named and does not exist is an error.
#[derive(Clone, Debug)]
pub struct Rustls {
    source: Source,
    provider: Arc<CryptoProvider>,
}

/// Where configurations come from.
#[derive(Clone, Debug)]
enum Source {
    /// Built from the settings, and kept by them.
    Settings(Arc<Mutex<Vec<Kept>>>),
    /// The caller's own.
    Given(Arc<ClientConfig>),
}

/// A configuration, and the settings it was built from.
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
    /// TLS with the crypto of `ring`.
    pub fn new() -> Self {
        Self::with_provider(Arc::new(crypto::ring::default_provider()))
    }

    /// TLS with the crypto of the caller's choice.
    pub fn with_provider(provider: Arc<CryptoProvider>) -> Self {
        Self { source: Source::Settings(Arc::default()), provider }
    }

    /// TLS with a configuration of the caller's, for every host. `sslmode` still decides whether TLS is used; certificates, versions
    /// and every other TLS setting are the configuration's. Its `alpn_protocols` should hold
    /// [`ALPN`](pg_auth::tls::ALPN), which direct TLS demands.
    pub fn with_config(config: Arc<ClientConfig>) -> Self {
        let provider = config.crypto_provider().clone();
        Self { source: Source::Given(config), provider }
    }

    /// The configuration for a handshake, for those who drive rustls themselves. Reads files where it was not asked for these settings
    /// before: not to be called on an executor's thread.
    ///
    /// # Errors
    /// That a file cannot be read or used, and that a setting cannot be honoured.
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

    /// As [`client_config`](Self::client_config), with the work done where it keeps nobody waiting.
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
                "sslcertmode=require demands that the server asks for a client certificate, and it did not",
            ));
        }
        let info = info(stream.get_ref().1);
        Ok(Upgraded::new(TokioIo(stream)).info(info))
    }
}
