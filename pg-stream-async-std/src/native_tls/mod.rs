//! TLS with the library of the platform (OpenSSL, Schannel or Secure Transport), through `async-native-tls`.
//!
//! | setting | with native-tls |
//! | --- | --- |
//! | `sslmode`, `sslrootcert` (a file, `system`) | as in libpq |
//! | `sslcert`, `sslkey` (PKCS#8, PKCS#1, SEC1), `sslpassword` (PKCS#8) | as in libpq |
//! | `sslcertmode` | `disable` and `allow`; `require` is an error |
//! | `sslsni`, `ssl_min_protocol_version`, `ssl_max_protocol_version` | as in libpq, for the versions that the library supports |
//! | `channel_binding` | as in libpq |
//! | `sslnegotiation=direct` | an error, because the library does not report the protocol that ALPN has selected |
//! | `sslcrl`, `sslcrldir`, `sslkeylogfile` | an error if the setting would have an effect |
//!
//! The library does not report the TLS version, so [`TlsInfo::version`](pg_auth::TlsInfo::version) is `None`. The crate `pg-stream-tokio`
//! with rustls supports all of these settings, and reports the version.

mod acceptor;
mod client;
mod explain;
mod identity;
mod stream;

use std::io;
use std::pin::Pin;

use async_native_tls::TlsConnector;
use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::future;
use pg_auth::tls::{TlsConnect, TlsRequest, Upgraded};

use crate::FuturesIo;
use client::Wanted;
use explain::explained;

pub use acceptor::NativeTlsAcceptor;
pub use stream::TlsStream;

/// Performs TLS handshakes as a client, with the library of the platform and the TLS settings of the connection's configuration.
///
/// Each connection reads the certificate files and the system's trusted certificates, so a change of a file takes effect at the next
/// connection. The files are read on a separate thread, so no task of the executor waits for the disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeTls;

/// A TLS handshake in progress.
type Handshake<S> = Pin<Box<dyn Future<Output = native_tls::Result<async_native_tls::TlsStream<S>>> + Send>>;

/// State of a TLS handshake after its first poll.
enum Begun<S> {
    Done(native_tls::Result<async_native_tls::TlsStream<S>>),
    Going(Handshake<S>),
}

impl<S> TlsConnect<FuturesIo<S>> for NativeTls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = FuturesIo<TlsStream<S>>;

    async fn upgrade(
        &self,
        stream: FuturesIo<S>,
        request: &TlsRequest<'_>,
    ) -> io::Result<Upgraded<Self::Stream>> {
        let wanted = Wanted::new(request)?;
        let checked = wanted.checks_name().then(|| wanted.name.clone());
        let verified = wanted.verifies();
        let begun = blocking::unblock(move || begin(&wanted, stream.0)).await?;
        let outcome = match begun {
            Begun::Done(outcome) => outcome,
            Begun::Going(handshake) => handshake.await,
        };
        let stream = outcome.map_err(|error| explained(error, checked.as_deref()))?;
        let certificate = stream.peer_certificate().map_err(io::Error::other)?;
        let certificate = certificate.map(|found| found.to_der()).transpose().map_err(io::Error::other)?;
        let mut upgraded = Upgraded::new(FuturesIo(TlsStream::new(stream)));
        upgraded.info.certificate = certificate;
        upgraded.info.verified = verified;
        Ok(upgraded)
    }
}

/// Prepares a connector, and polls the handshake once. Both steps read files: `async-native-tls` loads the system's trusted certificates at
/// the first poll of the handshake.
fn begin<S>(wanted: &Wanted, stream: S) -> io::Result<Begun<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connector = TlsConnector::from(wanted.connector()?);
    let name = wanted.name.clone();
    let mut handshake: Handshake<S> = Box::pin(async move { connector.connect(name, stream).await });
    Ok(match future::block_on(future::poll_once(&mut handshake)) {
        Some(outcome) => Begun::Done(outcome),
        None => Begun::Going(handshake),
    })
}
