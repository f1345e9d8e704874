//! Transports over streams of Tokio.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pg_wire::{Sink, Source, Split};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, tcp};

/// Wraps a stream of Tokio, or one half of a stream, as a transport of a [`pg_wire::Connection`].
#[derive(Debug)]
pub struct TokioIo<S>(pub S);

impl<S: AsyncRead + Unpin> Source for TokioIo<S> {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(space);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut space))?;
        Poll::Ready(Ok(space.filled().len()))
    }
}

impl<S: AsyncWrite + Unpin> Sink for TokioIo<S> {
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }
    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A stream that can be split into an owned reading half and an owned writing half. [`Connection::split`](pg_wire::Connection::split) needs
/// this trait.
pub trait IntoHalves: AsyncRead + AsyncWrite + Unpin {
    /// Type of the reading half.
    type Read: AsyncRead + Unpin;
    /// Type of the writing half.
    type Write: AsyncWrite + Unpin;

    /// Splits the stream into its reading half and its writing half.
    fn into_halves(self) -> (Self::Read, Self::Write);
}

impl<S: IntoHalves> Split for TokioIo<S> {
    type Source = TokioIo<S::Read>;
    type Sink = TokioIo<S::Write>;

    fn split(self) -> (Self::Source, Self::Sink) {
        let (read, write) = self.0.into_halves();
        (TokioIo(read), TokioIo(write))
    }
}

impl IntoHalves for TcpStream {
    type Read = tcp::OwnedReadHalf;
    type Write = tcp::OwnedWriteHalf;

    fn into_halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }
}

#[cfg(unix)]
impl IntoHalves for tokio::net::UnixStream {
    type Read = tokio::net::unix::OwnedReadHalf;
    type Write = tokio::net::unix::OwnedWriteHalf;

    fn into_halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }
}

impl IntoHalves for DuplexStream {
    type Read = tokio::io::ReadHalf<Self>;
    type Write = tokio::io::WriteHalf<Self>;

    fn into_halves(self) -> (Self::Read, Self::Write) {
        tokio::io::split(self)
    }
}

/// Implements [`IntoHalves`] for a TLS stream. Both halves share the TLS connection through a lock. A half holds the lock only while the
/// half is polled.
#[cfg(feature = "rustls")]
macro_rules! locked {
    ($stream:ty) => {
        impl<S: AsyncRead + AsyncWrite + Unpin> IntoHalves for $stream {
            type Read = tokio::io::ReadHalf<Self>;
            type Write = tokio::io::WriteHalf<Self>;

            fn into_halves(self) -> (Self::Read, Self::Write) {
                tokio::io::split(self)
            }
        }
    };
}

#[cfg(feature = "rustls")]
locked!(tokio_rustls::client::TlsStream<S>);
#[cfg(feature = "rustls")]
locked!(tokio_rustls::server::TlsStream<S>);
