//! The connection: one stream with an inbox and an outbox.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use crate::buffer::inbox::{Head, Inbox};
use crate::buffer::limits::Limits;
use crate::buffer::outbox::Outbox;
use crate::client::target::PutMessage;
use crate::codec::frame::{Frame, FrameBuf};
use crate::connection::error::{Error, Fault};
use crate::connection::receiving::Incoming;
use crate::connection::sending::Outgoing;
use crate::connection::stream::Transport;
use crate::encode::messages::Messages;

/// A connection that sends and receives messages, for a client or a server.
///
/// A connection starts no task. Messages are queued by the methods of [`PgProtocol`](crate::PgProtocol) (or by
/// [`put`](Self::put), for a server), sent by [`flush`](Self::flush), and received by [`recv`](Self::recv).
///
/// All progress is stored in the connection. So each future may be dropped at any point; then call the same method again. The exception is
/// [`send_copy_data`](Self::send_copy_data): after dropping its future, do not repeat the call, but call `flush`, which sends the rest of
/// the data.
///
/// # Memory of an idle connection
///
/// After a small result, a connection keeps its buffers, in most cases 9 kB. After a large result, the buffer for received bytes is freed
/// at the end of [`until_ready`](Self::until_ready), or when a receiving call waits while no bytes are buffered. If a program takes the
/// last message of a result by [`recv`](Self::recv) or [`try_recv`](Self::try_recv), poll [`ready`](Self::ready) once to free the buffer.
///
/// # Time limits, cancelling, reuse
///
/// - To set a time limit, drop the future when the time is over: `timeout(limit, conn.recv())`. The connection can still be used,
///   and the server continues to run the statement.
/// - To stop a statement, send a cancel request over a separate connection (the adapters' `cancel`), and wait for that call to return. Then
///   receive up to the ReadyForQuery of the statement. ReadyForQuery arrives in both cases: the statement was stopped (SQLSTATE 57014), or
///   the statement had finished before.
/// - The connection can be given to another user when every Sync, Query and FunctionCall has been answered by a ReadyForQuery, the last
///   ReadyForQuery reported [`Idle`](crate::TransactionStatus::Idle), and [`is_quiet`](Self::is_quiet) returns true. A
///   [`TrackedConnection`](crate::TrackedConnection) checks these conditions, and can make the connection idle.
/// - The server may have ended an idle connection. Before using such a connection, poll [`ready`](Self::ready) once. `Pending` means that
///   the connection has not ended. `Ok` means that a message has arrived: take the message with [`try_recv`](Self::try_recv). An error
///   means that the connection has ended.
///
/// ```
/// use pg_wire::{Connection, Limits, MessageCode, PgProtocol, testing::Script};
///
/// # pg_wire::testing::block_on(async {
/// // A script with the server's replies, instead of a socket.
/// let socket = Script::sends(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
/// let mut conn = Connection::new(socket, Limits::BACKEND);
///
/// conn.query("select 1").flush().await?;
/// loop {
///     let frame = conn.recv().await?;
///     if frame.code == MessageCode::READY_FOR_QUERY {
///         break;
///     }
/// }
/// # Ok::<_, pg_wire::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Connection<T> {
    pub(super) transport: T,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
}

impl<T: Transport> Connection<T> {
    /// Creates a connection over a stream, without reading or writing. Both a client and a server can use the connection. Precondition: the
    /// negotiation of encryption is finished, so that the next bytes of the stream are a message.
    pub fn new(transport: T, limits: Limits) -> Self {
        let (incoming, outgoing) = (Incoming::new(limits), Outgoing::new(limits.write_retain));
        Self { transport, incoming, outgoing }
    }

    /// Sends all queued messages as one batch.
    ///
    /// Reads while it writes. A server stops reading while its replies fill the socket buffers. So a pipeline larger than both socket
    /// buffers would deadlock if the client did not read. Messages that arrive meanwhile are buffered for [`recv`](Self::recv), up to
    /// [`Limits::read_ahead`].
    ///
    /// The future may be dropped at any point; the next `flush` or `recv` continues to send.
    ///
    /// # Errors
    /// - [`Encode`](Error::Encode) when a queued message cannot be sent: no part of the batch is sent.
    /// - [`InboxFull`](Error::InboxFull) when the replies exceed the limit: call `recv`, which continues to send.
    /// - [`Io`](Error::Io) when the stream fails. All queued messages, and all messages that are queued later, are dropped. If a message of
    ///   the peer is buffered when the stream fails, this call returns `Ok`. Receive this message, which may explain why the stream failed;
    ///   the next `flush` then returns the error.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.outgoing.outbox.commit()?;
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Sends all [committed](Outbox::commit) bytes, as [`flush`](Self::flush) does.
    ///
    /// # Errors
    /// The errors of `flush`.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush_with(cx, &mut &[][..])
    }

    /// Does the same as [`poll_flush`](Self::poll_flush), and sends `more` after the committed bytes.
    pub(super) fn poll_flush_with(
        &mut self,
        cx: &mut Context<'_>,
        more: &mut &[u8],
    ) -> Poll<Result<(), Error>> {
        let Self { transport, incoming, outgoing } = self;
        loop {
            match outgoing.poll_send(transport, cx, more) {
                Poll::Pending => {}
                Poll::Ready(Err(error @ Error::Io(_))) => {
                    let arrived = incoming.poll_last_message(transport, cx);
                    if arrived == Poll::Ready(false) {
                        return Poll::Ready(Err(error));
                    }
                    outgoing.keep(error);
                    return arrived.map(|_| Ok(()));
                }
                Poll::Ready(done) => return Poll::Ready(done),
            }
            if incoming.inbox.buffered() >= incoming.inbox.limits().read_ahead {
                return Poll::Ready(Err(Error::InboxFull));
            }
            match incoming.poll_fill(transport, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(Error::Poisoned(fault @ Fault::Frame(_)))) => {
                    // Returns the error, because no message can be received after an invalid header. Perhaps the peer waits until its own
                    // messages are received: then this call would wait for ever.
                    return Poll::Ready(Err(Error::Poisoned(fault)));
                }
                Poll::Ready(Err(error)) => {
                    // The peer sends nothing more, but may still read. So this call stores the error, which `recv` returns later, and waits
                    // until the stream accepts more bytes.
                    incoming.keep(error);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Receives the next message. The connection lends the message from its buffer until the next call on the connection. To keep
    /// a message, use [`recv_owned`](Self::recv_owned).
    ///
    /// A buffered message is lent without waiting. While this method waits, it continues to send the batch of an earlier
    /// [`flush`](Self::flush). Messages that were queued after that `flush` are sent by the next `flush`.
    ///
    /// The future may be dropped at any point; no bytes are lost.
    ///
    /// # Errors
    /// [`Closed`](Error::Closed) and [`Io`](Error::Io) when the stream has ended, [`Frame`](Error::Frame) for an invalid header
    /// or a message over its limit.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Result<Frame<'_>, Error>> {
        Recv(Some(self))
    }

    /// Receives the next message, as [`recv`](Self::recv) does, and returns an owned frame. [`Inbox::take_owned`] explains when the bytes
    /// are copied.
    ///
    /// # Errors
    /// The errors of `recv`.
    pub async fn recv_owned(&mut self) -> Result<FrameBuf, Error> {
        let head = poll_fn(|cx| self.poll_head(cx)).await?;
        Ok(self.incoming.inbox.take_owned(head))
    }

    /// Lends the next message if the whole message is buffered. Never waits, because this call does not read from the stream.
    ///
    /// # Errors
    /// [`Frame`](Error::Frame) in the same cases as [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Frame<'_>>, Error> {
        self.incoming.next()
    }

    /// Waits until a whole message is buffered. After this call, [`try_recv`](Self::try_recv) lends the message. While this method waits,
    /// it continues to send, as [`recv`](Self::recv) does. Use this method in `select!`, together with other futures.
    ///
    /// # Errors
    /// The errors of [`recv`](Self::recv).
    pub async fn ready(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// The poll function of [`ready`](Self::ready).
    ///
    /// # Errors
    /// The errors of [`recv`](Self::recv).
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_head(cx).map_ok(drop)
    }

    /// Waits until a whole message is buffered, and returns its head.
    #[inline(never)]
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Error>> {
        loop {
            if let Some(head) = self.incoming.head()? {
                return Poll::Ready(Ok(head));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Frees large buffers after a ReadyForQuery, because the connection may be idle for a long time.
    pub(super) fn batch_ended(&mut self) {
        self.incoming.inbox.waiting();
        self.outgoing.outbox.waiting();
    }

    /// Whether an earlier flush has begun to send and has not finished.
    pub(crate) fn is_sending(&self) -> bool {
        self.outgoing.is_sending()
    }

    /// Sends all committed bytes without receiving meanwhile. Returns `Pending` while bytes are left to send. An error is stored, and the
    /// next flush returns it: the last message of the peer has to be received first, because it may explain the error.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { transport, outgoing, .. } = self;
        if outgoing.is_sending()
            && let Err(error) = ready!(outgoing.poll_send(transport, cx, &mut &[][..]))
        {
            outgoing.keep(error);
        }
        Poll::Ready(())
    }

    /// Reads once into the inbox, and continues to send meanwhile. Use this method to take frames directly from the
    /// [`inbox`](Self::inbox_mut).
    ///
    /// # Errors
    /// [`Closed`](Error::Closed) and [`Io`](Error::Io) when the stream has ended.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let _ = self.poll_send(cx);
        let filled = self.incoming.poll_fill(&mut self.transport, cx);
        if filled.is_pending() {
            self.outgoing.outbox.waiting();
        }
        filled
    }

    /// Reads once, as [`poll_fill`](Self::poll_fill) does.
    ///
    /// # Errors
    /// The errors of `poll_fill`.
    pub async fn fill(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Sends all queued messages, then closes the stream for writing (half-close). The peer's remaining messages can still be
    /// received. It is no error if the peer closes the stream first, as a server does after Terminate.
    ///
    /// Receive all replies before you send Terminate over TLS. The server exits without reading the close_notify of TLS, so the
    /// kernel may reset the connection, and replies that have not arrived are lost.
    ///
    /// # Errors
    /// The errors of [`flush`](Self::flush), and the error of the stream when it cannot be closed.
    pub async fn close(&mut self) -> Result<(), Error> {
        self.flush().await?;
        poll_fn(|cx| self.outgoing.poll_close(&mut self.transport, cx)).await
    }
}

/// The future of [`Connection::recv`]. A hand-written `poll` instead of an `async` block: in most cases a message is buffered, and then
/// creating, polling and dropping this future compile to a check of the buffer alone.
struct Recv<'c, T>(Option<&'c mut Connection<T>>);

impl<'c, T: Transport> Future for Recv<'c, T> {
    type Output = Result<Frame<'c>, Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // After completion, `poll` always returns `Pending`.
        let Some(conn) = self.0.take() else { return Poll::Pending };
        // Fast path: when a frame is buffered, `whole_fast` and `lend` share one bounds check.
        if let Some(head) = conn.incoming.inbox.whole_fast() {
            return Poll::Ready(Ok(conn.incoming.inbox.lend(head)));
        }
        match conn.poll_head(cx) {
            Poll::Ready(Ok(head)) => Poll::Ready(Ok(conn.incoming.inbox.take(head))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.0 = Some(conn);
                Poll::Pending
            }
        }
    }
}

impl<T> Connection<T> {
    /// Queues a message of either direction. [`flush`](Self::flush) reports the first message that cannot be encoded.
    #[inline]
    pub fn put<M: Messages + ?Sized>(&mut self, message: &M) -> &mut Self {
        self.outgoing.outbox.put(message);
        self
    }

    /// Returns the buffer for incoming bytes, which holds bytes that are received and not taken yet.
    pub fn inbox(&self) -> &Inbox {
        &self.incoming.inbox
    }

    /// Returns the buffer for incoming bytes as a mutable reference, to change its limits or to take frames directly. Frames that are taken
    /// from the buffer are not returned by [`recv`](Self::recv).
    pub fn inbox_mut(&mut self) -> &mut Inbox {
        &mut self.incoming.inbox
    }

    /// Returns the buffer for outgoing bytes, which holds bytes that are queued and not sent yet.
    pub fn outbox(&self) -> &Outbox {
        &self.outgoing.outbox
    }

    /// Returns the buffer for outgoing bytes as a mutable reference, to add messages or raw bytes to the buffer. The next flush sends the
    /// content of the buffer.
    pub fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.outgoing.outbox
    }

    /// Returns the buffers for incoming and outgoing bytes, borrowed at the same time.
    pub fn buffers_mut(&mut self) -> (&mut Inbox, &mut Outbox) {
        (&mut self.incoming.inbox, &mut self.outgoing.outbox)
    }

    /// Wipes the bytes of taken and sent messages that are still in the buffers, such as passwords and keys.
    pub fn scrub(&mut self) {
        self.incoming.inbox.scrub();
        self.outgoing.outbox.scrub();
    }

    /// Sets new limits, which apply from the next header on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.incoming.inbox.set_limits(limits);
        self.outgoing.outbox.set_retain(limits.write_retain);
    }

    /// Whether both buffers are empty and neither direction has ended. Outstanding replies are not considered, because the connection does
    /// not count replies: the caller has to count them.
    pub fn is_quiet(&self) -> bool {
        let no_fault = self.incoming.fault.is_none() && self.outgoing.fault.is_none();
        no_fault && !self.inbox().is_mid_frame() && self.inbox().buffered() == 0 && self.outbox().is_empty()
    }

    /// Returns the reason why the receiving direction has ended; `None` if it has not ended. Messages may still be buffered.
    pub fn read_fault(&self) -> Option<Fault> {
        self.incoming.fault
    }

    /// Returns the reason why the sending direction has ended; `None` if it has not ended.
    pub fn write_fault(&self) -> Option<Fault> {
        self.outgoing.fault
    }

    /// Returns the stream.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Returns the stream as a mutable reference. Bytes that are read or written here bypass the buffers of the connection.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Returns the stream and both buffers. Sends nothing, and does not close the stream.
    pub fn into_parts(self) -> (T, Inbox, Outbox) {
        (self.transport, self.incoming.inbox, self.outgoing.outbox)
    }
}

impl<T> PutMessage for Connection<T> {
    type Chained<'c>
        = &'c mut Self
    where
        T: 'c;

    #[inline(always)]
    fn put_message<'c, M: Messages + ?Sized>(&'c mut self, message: &M) -> &'c mut Self {
        self.put(message)
    }
}
