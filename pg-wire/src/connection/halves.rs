//! The two halves of a connection. Each half is a connection over a stream with a single direction.

use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use crate::buffer::inbox::Inbox;
use crate::buffer::outbox::Outbox;
use crate::client::target::PutMessage;
use crate::codec::frame::{Frame, FrameBuf};
use crate::connection::error::{Error, Fault};
use crate::connection::receiving::Incoming;
use crate::connection::sending::Outgoing;
use crate::connection::stream::{Sink, Source, Split};
use crate::connection::whole::Connection;
use crate::encode::messages::Messages;

/// The owned receiving half of a [`Connection`]. See [`Connection::split`].
#[derive(Debug)]
pub struct ReadHalf<R>(Connection<ReadOnly<R>>);

/// The owned sending half of a [`Connection`]. See [`Connection::split`].
#[derive(Debug)]
pub struct WriteHalf<W>(Connection<WriteOnly<W>>);

impl<T: Split> Connection<T> {
    /// Splits the connection into an owned receiving half and an owned sending half, for two tasks.
    ///
    /// Each half keeps the buffer of its direction, so no bytes are lost.
    ///
    /// Unlike a whole connection, the sending half does not receive while it sends. Continue to receive on the receiving half meanwhile: a
    /// server stops reading while its own replies are not read.
    pub fn split(self) -> (ReadHalf<T::Source>, WriteHalf<T::Sink>) {
        let (source, sink) = self.transport.split();
        let read =
            Connection { transport: ReadOnly(source), incoming: self.incoming, outgoing: Outgoing::ended() };
        let write =
            Connection { transport: WriteOnly(sink), incoming: Incoming::ended(), outgoing: self.outgoing };
        (ReadHalf(read), WriteHalf(write))
    }
}

impl<R> ReadHalf<R> {
    pub(crate) fn from_connection(conn: Connection<ReadOnly<R>>) -> Self {
        Self(conn)
    }

    pub(crate) fn into_connection(self) -> Connection<ReadOnly<R>> {
        self.0
    }
}

impl<W> WriteHalf<W> {
    pub(crate) fn from_connection(conn: Connection<WriteOnly<W>>) -> Self {
        Self(conn)
    }

    pub(crate) fn into_connection(self) -> Connection<WriteOnly<W>> {
        self.0
    }
}

impl<R: Source> ReadHalf<R> {
    /// Receives the next message. See [`Connection::recv`].
    ///
    /// # Errors
    /// The errors of `Connection::recv`.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Result<Frame<'_>, Error>> {
        self.0.recv()
    }

    /// Receives the next message as an owned frame. See [`Connection::recv_owned`].
    ///
    /// # Errors
    /// The errors of `Connection::recv`.
    pub async fn recv_owned(&mut self) -> Result<FrameBuf, Error> {
        self.0.recv_owned().await
    }

    /// Lends the next message if a whole message is buffered. See [`Connection::try_recv`].
    ///
    /// # Errors
    /// The errors of `Connection::try_recv`.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Frame<'_>>, Error> {
        self.0.try_recv()
    }

    /// Waits until a whole message is buffered. See [`Connection::ready`].
    ///
    /// # Errors
    /// The errors of `Connection::recv`.
    pub async fn ready(&mut self) -> Result<(), Error> {
        self.0.ready().await
    }

    /// The poll function of [`ready`](Self::ready).
    ///
    /// # Errors
    /// The errors of `Connection::recv`.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }
}

impl<R> ReadHalf<R> {
    /// Returns the buffer for incoming bytes. See [`Connection::inbox`].
    pub fn inbox(&self) -> &Inbox {
        self.0.inbox()
    }

    /// Returns the buffer for incoming bytes as a mutable reference. See [`Connection::inbox_mut`].
    pub fn inbox_mut(&mut self) -> &mut Inbox {
        self.0.inbox_mut()
    }

    /// Returns the reason why receiving has ended. See [`Connection::read_fault`].
    pub fn fault(&self) -> Option<Fault> {
        self.0.read_fault()
    }
}

impl<W> WriteHalf<W> {
    /// Queues a message. See [`Connection::put`].
    #[inline]
    pub fn put<M: Messages + ?Sized>(&mut self, message: &M) -> &mut Self {
        self.0.put(message);
        self
    }

    /// Returns the buffer for outgoing bytes. See [`Connection::outbox`].
    pub fn outbox(&self) -> &Outbox {
        self.0.outbox()
    }

    /// Returns the buffer for outgoing bytes as a mutable reference. See [`Connection::outbox_mut`].
    pub fn outbox_mut(&mut self) -> &mut Outbox {
        self.0.outbox_mut()
    }

    /// Returns the reason why sending has ended. See [`Connection::write_fault`].
    pub fn fault(&self) -> Option<Fault> {
        self.0.write_fault()
    }
}

impl<W: Sink> WriteHalf<W> {
    /// Sends as [`Connection::flush`] does, but does not receive meanwhile: continue to receive on the receiving half.
    ///
    /// # Errors
    /// [`Encode`](Error::Encode) when a queued message cannot be sent: no part of the batch is sent. [`Io`](Error::Io) when the
    /// stream fails.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.0.flush().await
    }

    /// Sends as [`Connection::send_copy_data`] does, but does not receive meanwhile: continue to receive on the receiving half.
    ///
    /// # Errors
    /// The errors of [`flush`](Self::flush).
    pub fn send_copy_data(&mut self, data: &[u8]) -> impl Future<Output = Result<(), Error>> {
        self.0.send_copy_data(data)
    }

    /// Sends all queued messages, then closes the stream for writing. See [`Connection::close`].
    ///
    /// # Errors
    /// The errors of [`flush`](Self::flush), and the error of the stream when it cannot be closed.
    pub async fn close(&mut self) -> Result<(), Error> {
        self.0.close().await
    }
}

impl<W: Sink> PutMessage for WriteHalf<W> {
    type Chained<'c>
        = &'c mut Self
    where
        W: 'c;

    #[inline(always)]
    fn put_message<'c, M: Messages + ?Sized>(&'c mut self, message: &M) -> &'c mut Self {
        self.put(message)
    }
}

/// A stream without a writing side. The connection never writes to this stream, because its sending direction
/// [has ended](Outgoing::ended).
#[derive(Debug)]
pub(crate) struct ReadOnly<R>(R);

impl<R: Source> Source for ReadOnly<R> {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, space)
    }
}

impl<R> Sink for ReadOnly<R> {
    fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A stream without a reading side. The connection never reads from this stream, because its receiving direction
/// [has ended](Incoming::ended).
#[derive(Debug)]
pub(crate) struct WriteOnly<W>(W);

impl<W> Source for WriteOnly<W> {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }
}

impl<W: Sink> Sink for WriteOnly<W> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_vectored(cx, slices)
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(cx)
    }
}
