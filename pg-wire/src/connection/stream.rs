//! The traits of streams, which a runtime adapter implements.

use alloc::boxed::Box;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};

/// The reading side of a stream.
pub trait Source {
    /// Reads into `space`, which is initialised, and returns the number of bytes read; 0 means the end of the stream.
    ///
    /// # Errors
    /// The error of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>>;
}

/// The writing side of a stream.
pub trait Sink {
    /// Writes a part of `bytes`, and returns the number of bytes written.
    ///
    /// # Errors
    /// The error of the stream.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Writes a part of the concatenation of `slices`, and returns the number of bytes written. The default implementation writes from the
    /// first slice that is not empty, which is correct for a stream without vectored writes.
    ///
    /// # Errors
    /// The error of the stream.
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| slice))
    }

    /// Sends all bytes that the stream itself has buffered.
    ///
    /// # Errors
    /// The error of the stream.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Closes the stream for writing (half-close). If the stream encrypts the bytes with TLS, this method also sends the closing
    /// message of TLS.
    ///
    /// # Errors
    /// The error of the stream.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A stream in both directions. A runtime adapter only has to provide a type that implements [`Source`] and [`Sink`].
pub trait Transport: Source + Sink {}

impl<T: Source + Sink + ?Sized> Transport for T {}

/// A stream that can be split into two owned directions.
pub trait Split: Transport {
    /// Type of the reading side.
    type Source: Source;
    /// Type of the writing side.
    type Sink: Sink;

    /// Splits the stream into its reading side and its writing side.
    fn split(self) -> (Self::Source, Self::Sink);
}

impl<S: Source + ?Sized> Source for Box<S> {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        (**self).poll_read(cx, space)
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        (**self).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        (**self).poll_write_vectored(cx, slices)
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_close(cx)
    }
}

impl<S: Split> Split for Box<S> {
    type Source = S::Source;
    type Sink = S::Sink;

    fn split(self) -> (S::Source, S::Sink) {
        (*self).split()
    }
}
