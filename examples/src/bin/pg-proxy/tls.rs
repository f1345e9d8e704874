//! TLS on both sides of the proxy. To a client, the proxy is the TLS server; to the server, the proxy is the TLS client.

use std::io;
use std::path::Path;

use pg_auth::config::{Config, Host, RootCert, SslMode};
use pg_auth::stream::{Never, Stream};
use pg_auth::tls::{OfferStep, TlsConnect, TlsError, TlsRequest, TlsStart, negotiate, receive_offer};
use pg_stream_tokio::rustls::tokio_rustls::{client, server};
use pg_stream_tokio::rustls::{Rustls, RustlsAcceptor};
use pg_stream_tokio::{Rewind, TokioIo, UnixStream};
use tokio::net::TcpStream;

use crate::address::{Address, Socket};
use crate::arguments::Arguments;

/// A TLS stream. TLS with a client runs over TCP or a Unix-domain socket, and TLS with the server runs over TCP. The stream is boxed, so
/// that connections without TLS need no memory for it.
pub(crate) type TlsStream = Box<
    Stream<
        TokioIo<server::TlsStream<Rewind<TcpStream>>>,
        TokioIo<server::TlsStream<Rewind<UnixStream>>>,
        TokioIo<client::TlsStream<TcpStream>>,
    >,
>;

/// The stream of an accepted client, which may still request TLS.
pub(crate) type ClientStream = Stream<TokioIo<TcpStream>, TokioIo<UnixStream>, Never>;

/// Creates the acceptor for TLS with clients. Returns `None` if the command line has no certificate.
pub(crate) fn acceptor(arguments: &Arguments) -> io::Result<Option<RustlsAcceptor>> {
    match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(cert), Some(key)) => RustlsAcceptor::from_pem_files(cert, key, None).map(Some),
        _ => Ok(None),
    }
}

/// Performs the TLS handshake if the client requests TLS, by an SSLRequest or directly. Returns the client's stream. If the client does not
/// request TLS, also returns the client's first bytes, which have already been read from the stream.
pub(crate) async fn accept(
    acceptor: &RustlsAcceptor,
    mut stream: ClientStream,
) -> io::Result<(Socket, Vec<u8>)> {
    let offer = receive_offer(&mut stream).await?;
    let taken = offer.taken().to_vec();
    if offer.step() != OfferStep::Upgrade {
        return Ok((clear(stream), taken));
    }
    let socket = match stream {
        Stream::Tcp(TokioIo(stream)) => {
            Stream::Tcp(TokioIo(acceptor.accept(Rewind::new(stream, &taken)).await?.stream))
        }
        Stream::Unix(TokioIo(stream)) => {
            Stream::Unix(TokioIo(acceptor.accept(Rewind::new(stream, &taken)).await?.stream))
        }
        Stream::Tls(never) => match never {},
    };
    Ok((Socket::Tls(Box::new(socket)), Vec::new()))
}

/// Wraps the stream of a client that does not use TLS.
pub(crate) fn clear(stream: ClientStream) -> Socket {
    match stream {
        Stream::Tcp(stream) => Socket::Tcp(stream),
        Stream::Unix(stream) => Socket::Unix(stream),
        Stream::Tls(never) => match never {},
    }
}

/// Settings for TLS with the server.
#[derive(Debug)]
pub(crate) struct Upstream {
    rustls: Rustls,
    config: Config,
    host: Host,
}

impl Upstream {
    /// Creates the settings for this mode. Returns `None` if the mode is `disable` or the server is reached by a Unix-domain socket. `root`
    /// is the file of trusted authorities.
    pub(crate) fn new(mode: SslMode, root: Option<&Path>, address: &Address) -> Option<Self> {
        let Address::Tcp(address) = address else { return None };
        let (name, port) = address.rsplit_once(':')?;
        let host = Host::new(name.trim_matches(['[', ']']), port.parse().ok()?);
        let mut config = Config::new("pg-proxy").sslmode(mode);
        config.tls.root = root.map(|file| RootCert::File(file.into()));
        (mode != SslMode::Disable).then(|| Self { rustls: Rustls::new(), config, host })
    }

    /// Starts TLS with the server. If the server declines TLS, returns the stream without TLS, or an error if the mode requires TLS.
    pub(crate) async fn begin(&self, mut stream: TokioIo<TcpStream>) -> io::Result<Socket> {
        let required = !matches!(self.config.sslmode, SslMode::Allow | SslMode::Prefer);
        let start = TlsStart::new(self.config.sslnegotiation, required);
        if !negotiate(&mut stream, start).await.map_err(io::Error::other)? {
            return Ok(Socket::Tcp(stream));
        }
        let request = TlsRequest::new(&self.config, &self.host);
        let upgraded = self.rustls.upgrade(stream, &request).await;
        let upgraded = upgraded.map_err(|error| io::Error::other(TlsError::Handshake(error)))?;
        Ok(Socket::Tls(Box::new(Stream::Tls(upgraded.stream))))
    }
}
