//! TLS for a server, with rustls.

use std::io;
use std::path::Path;
use std::sync::Arc;

use pg_auth::pem;
use pg_auth::tls::{ALPN, Upgraded};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::rustls::explain::explained;
use crate::rustls::info::info;

/// Accepts TLS handshakes as a server, with rustls.
///
/// ```no_run
/// use pg_stream_tokio::rustls::RustlsAcceptor;
/// use pg_stream_tokio::{Acceptor, Credentials, Startup};
///
/// # async fn run(stream: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let tls = RustlsAcceptor::from_pem_files("server.crt", "server.key", None)?;
/// let lookup = async |_: Startup| Credentials::Trust;
/// let accepted = Acceptor::new().accept_with_tls(stream, async |stream| tls.accept(stream).await, lookup).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RustlsAcceptor {
    acceptor: TlsAcceptor,
    certificate: Vec<u8>,
}

impl RustlsAcceptor {
    /// Creates an acceptor with a certificate chain and its private key. The server's own certificate is the first in the chain.
    ///
    /// With `client_roots`, the server requests a certificate from the client. A client that sends no certificate is accepted. If the
    /// client sends a certificate that no authority in `client_roots` has signed, the handshake fails.
    ///
    /// # Errors
    /// The chain is empty, or the key does not belong to the first certificate.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        client_roots: Option<RootCertStore>,
    ) -> io::Result<Self> {
        Self::with_provider(Arc::new(ring::default_provider()), chain, key, client_roots)
    }

    /// Creates an acceptor as [`new`](Self::new) does, with a crypto provider that the caller chooses.
    ///
    /// # Errors
    /// The errors of `new`.
    pub fn with_provider(
        provider: Arc<CryptoProvider>,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        client_roots: Option<RootCertStore>,
    ) -> io::Result<Self> {
        let certificate = chain.first().map(|first| first.to_vec()).unwrap_or_default();
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let builder = match client_roots {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = verifier.allow_unauthenticated().build().map_err(io::Error::other)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(io::Error::other)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self::with_config(Arc::new(config), certificate))
    }

    /// Creates an acceptor as [`new`](Self::new) does, and reads the chain, the key and the authorities of client certificates from PEM
    /// files.
    ///
    /// # Errors
    /// The errors of `new`, and errors of reading the files.
    pub fn from_pem_files(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
        client_roots: Option<&Path>,
    ) -> io::Result<Self> {
        let chain = pem::certificates("server certificate", chain.as_ref())?;
        let key = pem::private_key(key.as_ref(), None)?;
        let roots = match client_roots {
            None => None,
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for root in pem::certificates("root certificate", file)? {
                    roots.add(root).map_err(|error| pem::bad_file("root certificate", file, error))?;
                }
                Some(roots)
            }
        };
        Self::new(chain, key, roots)
    }

    /// Creates an acceptor with the caller's own configuration. `certificate` is the certificate that the configuration presents, in DER.
    /// SCRAM-SHA-256-PLUS binds to this certificate.
    pub fn with_config(config: Arc<ServerConfig>, certificate: Vec<u8>) -> Self {
        Self { acceptor: config.into(), certificate }
    }

    /// Performs the TLS handshake with a client. If the result contains a client certificate, the certificate has been verified.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn accept<S>(&self, stream: S) -> io::Result<Upgraded<TlsStream<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.acceptor.accept(stream).await.map_err(explained)?;
        let mut info = info(stream.get_ref().1);
        // If the client has sent a certificate, rustls has verified it: otherwise the handshake would have failed.
        info.verified = info.certificate.is_some();
        Ok(Upgraded::new(stream).info(info).own_certificate(self.certificate.clone()))
    }
}

impl std::fmt::Debug for RustlsAcceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RustlsAcceptor").finish_non_exhaustive()
    }
}
