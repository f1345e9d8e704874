//! The server role.

use std::fmt;
use std::io;
use std::path::Path;

use async_native_tls::TlsAcceptor;
use futures_io::{AsyncRead, AsyncWrite};
use native_tls::Protocol;
use pg_auth::tls::{ALPN, Upgraded};

use super::explain::explained;
use super::{TlsStream, identity};

/// TLS in the server role, by the platform's library. TLS 1.2 is the oldest version spoken, and with OpenSSL the only one: `native-tls`
/// switches TLS 1.3 off there.
///
/// Two things need another library: a client's certificate is not asked for, and a client that begins TLS directly is refused, because
/// the protocol that ALPN agreed on is not reported.
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
    /// TLS with a certificate chain, the server's own certificate first, and its private key, from PEM files. Not to be called on an
    /// executor's thread: files are read.
    ///
    /// # Errors
    /// That a file cannot be read, that others can use the key, or that the key is not of the first certificate.
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

    /// Performs the TLS handshake.
    ///
    /// # Errors
    /// That the handshake failed.
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
