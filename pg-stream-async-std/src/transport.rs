//! Transports over streams of `futures-io`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use pg_wire::{Sink, Source, Split};

/// Wraps a stream of `futures-io`, or one half of a stream, as a transport of a [`pg_wire::Connection`].
#[derive(Debug)]
pub struct FuturesIo<S>(pub S);

impl<S: AsyncRead + Unpin> Source for FuturesIo<S> {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, space)
    }
}

impl<S: AsyncWrite + Unpin> Sink for FuturesIo<S> {
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
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// A stream that can be split into an owned reading half and an owned writing half. [`Connection::split`](pg_wire::Connection::split) needs
/// this trait.
///
/// The sockets of smol and async-std are handles that can be cloned. Each half is a clone of the handle.
pub trait IntoHalves: AsyncRead + AsyncWrite + Unpin {
    /// Type of the reading half.
    type Read: AsyncRead + Unpin;
    /// Type of the writing half.
    type Write: AsyncWrite + Unpin;

    /// Splits the stream into its reading half and its writing half.
    fn into_halves(self) -> (Self::Read, Self::Write);
}

impl<S: IntoHalves> Split for FuturesIo<S> {
    type Source = FuturesIo<S::Read>;
    type Sink = FuturesIo<S::Write>;

    fn split(self) -> (Self::Source, Self::Sink) {
        let (read, write) = self.0.into_halves();
        (FuturesIo(read), FuturesIo(write))
    }
}

/// Implements [`IntoHalves`] for a stream whose clones are handles to the same socket.
macro_rules! cloned {
    ($stream:ty) => {
        impl IntoHalves for $stream {
            type Read = Self;
            type Write = Self;

            fn into_halves(self) -> (Self, Self) {
                (self.clone(), self)
            }
        }
    };
}

cloned!(async_net::TcpStream);
#[cfg(unix)]
cloned!(async_net::unix::UnixStream);
#[cfg(feature = "async-std")]
cloned!(::async_std::net::TcpStream);
#[cfg(all(unix, feature = "async-std"))]
cloned!(::async_std::os::unix::net::UnixStream);
