//! Addresses of the proxy and of the server.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use pg_auth::stream::Stream;
use pg_stream_tokio::{TokioIo, UnixStream};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::tls::{TlsStream, Upstream};

/// A stream to the client or to the server.
pub(crate) type Socket = Stream<TokioIo<TcpStream>, TokioIo<UnixStream>, TlsStream>;

/// A connection to the client or to the server: a [`Socket`], and buffers for messages.
pub(crate) type Connection = pg_wire::Connection<Socket>;

/// An address on which the proxy listens, or at which it reaches the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Host and port for TCP, as `HOST:PORT`.
    Tcp(String),
    /// The path of a Unix-domain socket. With a leading `@` it is a name in the abstract namespace of Linux.
    Unix(PathBuf),
}

impl Address {
    /// Largest number of file descriptors that a connection over this address needs. A Unix-domain socket needs a second descriptor while a
    /// write waits: this descriptor reports when the socket is writable again.
    pub(crate) fn descriptors(&self) -> u64 {
        match self {
            Self::Tcp(_) => 1,
            Self::Unix(_) => 2,
        }
    }

    /// Connects to the server at this address, and starts TLS if `tls` is given.
    pub(crate) async fn dial(&self, idle: Option<Duration>, tls: Option<&Upstream>) -> io::Result<Socket> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                prepare(&stream, idle)?;
                match tls {
                    None => Ok(Socket::Tcp(TokioIo(stream))),
                    // The future of the TLS handshake is boxed: it takes kilobytes, and most connections do not need it.
                    Some(tls) => Box::pin(tls.begin(TokioIo(stream))).await,
                }
            }
            Self::Unix(path) => UnixStream::connect(abstract_name(path).as_ref().unwrap_or(path))
                .await
                .map(TokioIo)
                .map(Socket::Unix),
        }
    }
}

/// Sets the options of a TCP connection to a client or to the server.
///
/// - No delay: the proxy writes whole batches, so Nagle's algorithm would only delay them.
/// - Keepalive: without probes, the proxy never notices that a peer has vanished, for example behind a firewall or after a failover.
///
/// `idle` is the time without traffic before the first probe; `None` keeps the system's setting.
pub(crate) fn prepare(stream: &TcpStream, idle: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    match idle {
        None => socket.set_keepalive(true),
        Some(idle) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
    }
}

/// Returns the name of an abstract socket in the form that the system expects, with a NUL in place of the `@`. Returns `None` for a path in
/// the file system.
pub(crate) fn abstract_name(path: &std::path::Path) -> Option<PathBuf> {
    let name = path.to_str()?.strip_prefix('@')?;
    Some(format!("\0{name}").into())
}

impl FromStr for Address {
    type Err = &'static str;

    /// Parses an address. Text with a slash or a leading `@` is a Unix-domain socket; other text is `HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.contains('/') || text.starts_with('@') {
            return Ok(Self::Unix(text.into()));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(text.into()))
            }
            _ => Err("expected HOST:PORT or the path of a Unix-domain socket"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}
