//! TLS for a server, with the library of the platform.

use std::fmt;
use std::io;
use std::path::Path;

use async_native_tls::TlsAcceptor;
use futures_io::{AsyncRead, AsyncWrite};
use native_tls::Protocol;
use pg_auth::tls::{ALPN, Upgraded};

use super::explain::explained;
use super::{TlsStream, identity};

/// Accepts TLS handshakes as a server, with the library of the platform. The versions are TLS 1.2 and later. With OpenSSL the only version
/// is TLS 1.2, because `native-tls` disables TLS 1.3 for servers on OpenSSL.
///
/// `native-tls` has two limitations. The server cannot request a certificate from a client. A client that begins with TLS directly
/// (`sslnegotiation=direct`) is rejected, because the library does not report the protocol that ALPN has selected.
///
/// ```no_run
/// use pg_stream_async_std::native_tls::NativeTlsAcceptor;
/// use pg_stream_async_std::{Acceptor, Credentials, Startup};
///
/// # async fn run(stream: async_net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let tls = NativeTlsAcceptor::from_pem_files("server.crt", "server.key")?;
/// let lookup = async |_: Startup| Credentials::Trust;
/// let accepted = Acceptor::new().accept_with_tls(stream, async |stream| tls.accept(stream).await, lookup).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct NativeTlsAcceptor {
    acceptor: TlsAcceptor,
    certificate: Vec<u8>,
}

impl NativeTlsAcceptor {
    /// Reads a certificate chain and its private key from PEM files. The server's own certificate is the first in the chain. Do not call
    /// this function on a thread of an executor, because reading files blocks the thread.
    ///
    /// # Errors
    /// A file cannot be read, other users have access to the key file, or the key does not belong to the first certificate.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> io::Result<Self> {
        let (identity, certificate) =
            identity::read("server certificate", chain.as_ref(), key.as_ref(), None)?;
        let protocol = std::str::from_utf8(ALPN).map_err(io::Error::other)?;
        let acceptor = native_tls::TlsAcceptor::builder(identity)
            .min_protocol_version(Some(Protocol::Tlsv12))
            .accept_alpn(&[protocol])
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { acceptor: acceptor.into(), certificate })
    }

    /// Performs the TLS handshake with a client.
    ///
    /// # Errors
    /// The handshake fails.
    pub async fn accept<S>(&self, stream: S) -> io::Result<Upgraded<TlsStream<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.acceptor.accept(stream).await.map_err(|error| explained(error, None))?;
        Ok(Upgraded::new(TlsStream::new(stream)).own_certificate(self.certificate.clone()))
    }
}

impl fmt::Debug for NativeTlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeTlsAcceptor").finish_non_exhaustive()
    }
}
