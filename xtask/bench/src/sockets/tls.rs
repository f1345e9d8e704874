//! TLS of the clients, kept from one connection to the next as their users would keep it.
//!
//! All do what `sslmode=require` is: the server proves that it has the key of its certificate, and who has signed that does not
//! matter. libpq and sqlx make their configuration anew for each connection and have no interface to keep it.

use std::sync::Arc;

use anyhow::Result;
use pg_stream_tokio::rustls::Rustls;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// Everybody's configuration, and with it the TLS sessions that a server lets resume.
#[derive(Clone)]
pub(crate) struct Tls {
    /// Ours.
    pub(crate) ours: Rustls,
    /// The hand-written one's.
    pub(crate) config: Arc<ClientConfig>,
    /// The same configuration for tokio-postgres.
    pub(crate) tokio_postgres: MakeRustlsConnect,
}

impl Tls {
    /// Makes them.
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

/// Accepts every certificate whose key the server has.
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
