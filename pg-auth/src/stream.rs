//! A stream type whose kind (TCP, Unix-domain socket or TLS) is known only at run time. Also functions that read from and write to a
//! stream of any kind.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use pg_wire::{Sink, Source, Split};

use crate::link::Link;

/// TCP, a Unix-domain socket, or TLS: the stream of a dialled connection.
///
/// This is an enum, because the server's answer to the SSLRequest decides at run time whether the stream uses TLS. Each call costs one
/// branch more than a call on the inner stream.
#[derive(Debug)]
pub enum Stream<Tcp, Unix, Tls> {
    /// A TCP stream without TLS.
    Tcp(Tcp),
    /// A Unix-domain socket.
    Unix(Unix),
    /// A TLS stream.
    Tls(Tls),
}

impl<Tcp, Unix, Tls> Stream<Tcp, Unix, Tls> {
    /// The kind of the stream.
    pub fn link(&self) -> Link {
        match self {
            Self::Tcp(_) => Link::Tcp,
            Self::Unix(_) => Link::Unix,
            Self::Tls(_) => Link::Tls,
        }
    }
}

/// Calls the same method on the inner stream.
macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl<Tcp: Source, Unix: Source, Tls: Source> Source for Stream<Tcp, Unix, Tls> {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_read(cx, space))
    }
}

impl<Tcp: Sink, Unix: Sink, Tls: Sink> Sink for Stream<Tcp, Unix, Tls> {
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_close(cx))
    }
}

impl<Tcp: Split, Unix: Split, Tls: Split> Split for Stream<Tcp, Unix, Tls> {
    type Source = Stream<Tcp::Source, Unix::Source, Tls::Source>;
    type Sink = Stream<Tcp::Sink, Unix::Sink, Tls::Sink>;

    fn split(self) -> (Self::Source, Self::Sink) {
        match self {
            Self::Tcp(stream) => {
                let (source, sink) = stream.split();
                (Stream::Tcp(source), Stream::Tcp(sink))
            }
            Self::Unix(stream) => {
                let (source, sink) = stream.split();
                (Stream::Unix(source), Stream::Unix(sink))
            }
            Self::Tls(stream) => {
                let (source, sink) = stream.split();
                (Stream::Tls(source), Stream::Tls(sink))
            }
        }
    }
}

/// A stream type without values, in place of a kind of stream that the platform or the program does not have.
#[derive(Clone, Copy, Debug)]
pub enum Never {}

impl Source for Never {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }
}

impl Sink for Never {
    fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}

impl Split for Never {
    type Source = Self;
    type Sink = Self;

    fn split(self) -> (Self, Self) {
        match self {}
    }
}

/// Reads some bytes and returns their number; 0 means the end of the stream.
///
/// # Errors
/// The stream's own error.
pub async fn read(stream: &mut impl Source, space: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| {
        loop {
            match stream.poll_read(cx, space) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    })
    .await
}

/// Reads exactly as many bytes as `space` has.
///
/// # Errors
/// The stream's own error, or [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the stream ends too early.
pub async fn read_exact(stream: &mut impl Source, mut space: &mut [u8]) -> io::Result<()> {
    while !space.is_empty() {
        match read(stream, space).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => space = space.get_mut(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Sends all of `bytes`, and flushes the stream.
///
/// # Errors
/// The stream's own error, or [`WriteZero`](io::ErrorKind::WriteZero) if the stream accepts no more bytes.
pub async fn write_all(stream: &mut impl Sink, mut bytes: &[u8]) -> io::Result<()> {
    poll_fn(|cx| {
        while !bytes.is_empty() {
            match ready!(stream.poll_write(cx, bytes)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        stream.poll_flush(cx)
    })
    .await
}

/// Closes the writing side of the stream.
///
/// # Errors
/// The stream's own error.
pub async fn close(stream: &mut impl Sink) -> io::Result<()> {
    poll_fn(|cx| stream.poll_close(cx)).await
}
