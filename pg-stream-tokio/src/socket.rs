//! Dialling.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use pg_auth::{Host, Link};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

#[cfg(unix)]
use crate::UnixStream;
use crate::transport::IntoHalves;

/// A socket of either kind, for what is only known when the program runs. Where it is known before, connect over the
/// `TcpStream` or the `UnixStream` itself.
#[derive(Debug)]
pub enum Socket {
    /// TCP, with Nagle's algorithm off.
    Tcp(TcpStream),
    /// A Unix-domain socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    /// Connects to a host.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn dial(host: &Host) -> io::Result<Self> {
        match host {
            Host::Tcp { host, address, port, .. } => {
                let stream = match address {
                    Some(address) => TcpStream::connect((*address, *port)).await?,
                    None => TcpStream::connect((host.as_str(), *port)).await?,
                };
                // A batch leaves whole; waiting for more of it would only cost time.
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Host::Unix { .. } => Self::dial_unix(host).await,
        }
    }

    #[cfg(unix)]
    async fn dial_unix(host: &Host) -> io::Result<Self> {
        let path = host.socket_path().ok_or(io::ErrorKind::InvalidInput)?;
        #[cfg(target_os = "linux")]
        if let Some(name) = path.as_os_str().as_encoded_bytes().strip_prefix(b"@") {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            // Connecting within the machine does not wait for a network.
            return std::os::unix::net::UnixStream::connect_addr(&address)?.try_into().map(Self::Unix);
        }
        UnixStream::connect(path).await.map(Self::Unix)
    }

    #[cfg(not(unix))]
    async fn dial_unix(_: &Host) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "there are no Unix-domain sockets here"))
    }

    /// [`Link::Unix`] or [`Link::Tcp`], by the kind of socket.
    pub fn link(&self) -> Link {
        match self {
            Self::Tcp(_) => Link::Tcp,
            #[cfg(unix)]
            Self::Unix(_) => Link::Unix,
        }
    }
}

/// Does the same with whichever it is.
macro_rules! either {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp($stream) => $call,
            #[cfg(unix)]
            Self::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, space))
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }
    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl IntoHalves for Socket {
    type Read = Box<dyn AsyncRead + Send + Unpin>;
    type Write = Box<dyn AsyncWrite + Send + Unpin>;

    fn into_halves(self) -> (Self::Read, Self::Write) {
        match self {
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (Box::new(read), Box::new(write))
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                let (read, write) = stream.into_halves();
                (Box::new(read), Box::new(write))
            }
        }
    }
}
