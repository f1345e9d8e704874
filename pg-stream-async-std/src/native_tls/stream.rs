//! A TLS stream with a buffer for one outgoing TLS record.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::io::{ReadHalf, WriteHalf, split};

use crate::IntoHalves;

/// Maximum number of bytes in a TLS record.
const RECORD: usize = 16 * 1024;

/// A TLS stream over `S`. Both a client and a server can use the stream.
///
/// Bytes to be sent are first copied into a buffer of at most one TLS record (16 KiB). A TLS library that could not send a record must be
/// called again with the same bytes. The buffer supplies the same bytes even if the future that wrote them has been dropped. So all bytes
/// that this stream has accepted are sent.
#[derive(Debug)]
pub struct TlsStream<S> {
    tls: async_native_tls::TlsStream<S>,
    /// Bytes that this stream has accepted for sending. The TLS library has not yet accepted the bytes from index `sent` on.
    held: Vec<u8>,
    sent: usize,
    /// Whether close_notify has been sent.
    ended: bool,
}

impl<S> TlsStream<S> {
    pub(super) fn new(tls: async_native_tls::TlsStream<S>) -> Self {
        Self { tls, held: Vec::new(), sent: 0, ended: false }
    }

    /// Returns the wrapped stream of `async-native-tls`.
    pub fn get_ref(&self) -> &async_native_tls::TlsStream<S> {
        &self.tls
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Passes the held bytes to the TLS library.
    fn poll_pass_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(bytes @ [_, ..]) = self.held.get(self.sent..) {
            match ready!(Pin::new(&mut self.tls).poll_write(cx, bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.held.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Begins to send the held bytes, and returns their number. Returns `Ready` even if the TLS library is pending: the bytes are in the
    /// buffer of this stream, so the caller need not offer the bytes again.
    fn start(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let taken = self.held.len();
        match self.poll_pass_on(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_read(cx, space)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pass_on(cx))?;
        self.held.extend(bytes.iter().take(RECORD));
        self.start(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pass_on(cx))?;
        for slice in slices {
            let room = RECORD.saturating_sub(self.held.len());
            self.held.extend(slice.iter().take(room));
        }
        self.start(cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pass_on(cx))?;
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        if !self.ended {
            ready!(Pin::new(&mut self.tls).poll_close(cx))?;
            self.ended = true;
        }
        Pin::new(self.tls.get_mut()).poll_close(cx)
    }
}

/// The two halves share the TLS stream, because TLS has one state for both directions.
impl<S: AsyncRead + AsyncWrite + Unpin> IntoHalves for TlsStream<S> {
    type Read = ReadHalf<Self>;
    type Write = WriteHalf<Self>;

    fn into_halves(self) -> (Self::Read, Self::Write) {
        split(self)
    }
}
