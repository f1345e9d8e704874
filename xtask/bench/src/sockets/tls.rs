//! The TLS configurations of the clients. Most clients use one configuration for all their connections, as a real program does. libpq and
//! sqlx make a new configuration for each connection, because they have no interface for keeping a configuration.
//!
//! All clients connect as with `sslmode=require`: the server must have the key of its certificate, but the issuer of the certificate is not
//! verified.

use std::sync::Arc;

use anyhow::Result;
use pg_stream_tokio::rustls::Rustls;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// The TLS configuration of each client. A configuration includes the stored TLS sessions that can be resumed.
#[derive(Clone)]
pub(crate) struct Tls {
    /// The configuration of pg-stream-tokio.
    pub(crate) ours: Rustls,
    /// The configuration of the hand-written client.
    pub(crate) config: Arc<ClientConfig>,
    /// The configuration of tokio-postgres, with the same settings as `config`.
    pub(crate) tokio_postgres: MakeRustlsConnect,
}

impl Tls {
    /// Makes the TLS configurations of all clients.
    pub(crate) fn new() -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions()?.dangerous();
        let mut config =
            builder.with_custom_certificate_verifier(Arc::new(Any(provider))).with_no_client_auth();
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        let tokio_postgres = MakeRustlsConnect::new(config.clone());
        Ok(Self { ours: Rustls::new(), config: Arc::new(config), tokio_postgres })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// A certificate verifier that accepts every certificate, but verifies the signatures of the handshake.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
