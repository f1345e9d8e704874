//! The connection: both buffers over one stream.

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

/// A live stream of messages in both directions, for either role.
///
/// One object without a task of its own. Messages are queued by the methods of [`PgProtocol`](crate::PgProtocol) (or
/// [`put`](Self::put), for a server), sent by [`flush`](Self::flush), and received by [`recv`](Self::recv).
///
/// All progress is stored in the connection and none in the futures: each future may be dropped at any point and the call repeated.
/// (Except [`send_copy_data`](Self::send_copy_data), whose call already queues the data: after dropping that future, call
/// `flush`.)
///
/// # Time limits, cancelling, reuse
///
/// - A time limit is a dropped future: `timeout(limit, conn.recv())`. The connection stays in step, and the statement goes on.
/// - To stop a statement, send a cancel request over a separate connection (the adapters' `cancel`) and wait for that call to
///   return. Then receive up to the ReadyForQuery that the statement still owes: it arrives whether the statement was stopped
///   (SQLSTATE 57014) or had finished before.
/// - A connection may be used by another user when every Sync, Query and FunctionCall has had its ReadyForQuery, the last of
///   these reported [`Idle`](crate::TransactionStatus::Idle), and [`is_quiet`](Self::is_quiet) returns true.
/// - The server may have ended an idle connection. Before using such a connection, poll [`ready`](Self::ready) once: if it is not
///   pending, the message that has arrived ([`try_recv`](Self::try_recv)) or the error explains why.
///
/// ```
/// use pg_wire::{Connection, Limits, MessageCode, PgProtocol, testing::Script};
///
/// # pg_wire::testing::block_on(async {
/// // In place of a socket: the server's answers.
/// let socket = Script::says(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
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
    /// A connection over a stream on which messages are about to be exchanged, for either role. Reads and writes nothing yet.
    pub fn new(transport: T, limits: Limits) -> Self {
        let (incoming, outgoing) = (Incoming::new(limits), Outgoing::new(limits.write_retain));
        Self { transport, incoming, outgoing }
    }

    /// Sends everything that has been queued, as one batch.
    ///
    /// Reads while it writes: a server whose replies fill its own direction reads nothing more until some of them are read, so
    /// a pipeline larger than both socket buffers would otherwise deadlock. Messages that arrive meanwhile are buffered for
    /// [`recv`](Self::recv), up to [`Limits::read_ahead`].
    ///
    /// May be dropped at any point; the next `flush` continues, and so does `recv`.
    ///
    /// # Errors
    /// [`Encode`](Error::Encode) when a queued message cannot be sent: nothing of the batch is sent.
    /// [`InboxFull`](Error::InboxFull) when the replies exceed the limit: receive, which continues to send. [`Io`](Error::Io) when
    /// the stream fails, and everything that is queued is dropped, then and later. If a message of the peer has arrived before that, the next `flush` returns the error instead: receive first,
    /// because the server's last message explains why the stream failed.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.outgoing.outbox.commit()?;
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// As [`flush`](Self::flush), for bytes that have been [committed](Outbox::commit).
    ///
    /// # Errors
    /// As `flush`.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush_with(cx, &mut &[][..])
    }

    /// As [`poll_flush`](Self::poll_flush), and sends `more` after the committed bytes.
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
                    // The peer waits until its messages are read, and they cannot be read any more.
                    return Poll::Ready(Err(Error::Poisoned(fault)));
                }
                Poll::Ready(Err(error)) => {
                    // The receiving direction has ended: `recv` returns the error after the messages that are buffered.
                    incoming.keep(error);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Receives the next message, lent out of the connection's own buffer until the next call on the connection. To keep a message,
    /// use [`recv_owned`](Self::recv_owned).
    ///
    /// A buffered message is lent without waiting. While it waits, this method continues to send what an earlier
    /// [`flush`](Self::flush) began to send; messages queued since then wait for their own `flush`.
    ///
    /// May be dropped at any point; nothing is lost.
    ///
    /// # Errors
    /// [`Closed`](Error::Closed) and [`Io`](Error::Io) when the stream has ended, [`Frame`](Error::Frame) for a header that is
    /// invalid or over its limit.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Result<Frame<'_>, Error>> {
        Recv(Some(self))
    }

    /// Receives the next message, to be kept. As [`recv`](Self::recv), and one copy of the message.
    ///
    /// # Errors
    /// As `recv`.
    pub async fn recv_owned(&mut self) -> Result<FrameBuf, Error> {
        let head = poll_fn(|cx| self.poll_head(cx)).await?;
        Ok(self.incoming.inbox.take_owned(head))
    }

    /// The next message if a whole message is buffered, without reading and therefore without waiting.
    ///
    /// # Errors
    /// [`Frame`](Error::Frame), as [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Frame<'_>>, Error> {
        self.incoming.next()
    }

    /// Waits until a whole message is buffered; [`try_recv`](Self::try_recv) then lends it. Continues to send meanwhile, as
    /// [`recv`](Self::recv) does. For `select!`, next to other futures.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn ready(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// As [`ready`](Self::ready).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_head(cx).map_ok(drop)
    }

    /// Waits until a whole message is buffered, and finds it.
    #[inline(never)]
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Error>> {
        loop {
            if let Some(head) = self.incoming.head()? {
                return Poll::Ready(Ok(head));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Reads once into the inbox, and continues to send meanwhile. For callers that take frames from the
    /// [`inbox`](Self::inbox_mut) themselves.
    ///
    /// # Errors
    /// [`Closed`](Error::Closed) and [`Io`](Error::Io) when the stream has ended.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self { transport, incoming, outgoing } = self;
        if outgoing.is_sending() {
            // The next flush returns an error of this one: the server's last message has to be received first.
            if let Poll::Ready(Err(error)) = outgoing.poll_send(transport, cx, &mut &[][..]) {
                outgoing.keep(error);
            }
        }
        incoming.poll_fill(transport, cx)
    }

    /// As [`poll_fill`](Self::poll_fill).
    ///
    /// # Errors
    /// As `poll_fill`.
    pub async fn fill(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Sends what is queued, then closes the stream for writing (half-close). The peer's remaining messages can still be received. A peer that closes first,
    /// as a server does after Terminate, is no error.
    ///
    /// # Errors
    /// As [`flush`](Self::flush), and the stream's own.
    pub async fn close(&mut self) -> Result<(), Error> {
        self.flush().await?;
        poll_fn(|cx| self.outgoing.poll_close(&mut self.transport, cx)).await
    }
}

/// The future of [`Connection::recv`]. Written by hand: it is created, polled and dropped once for each message, mostly without
/// waiting, and then compiles to the check of the buffer alone.
struct Recv<'c, T>(Option<&'c mut Connection<T>>);

impl<'c, T: Transport> Future for Recv<'c, T> {
    type Output = Result<Frame<'c>, Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Polled after completion: pending for ever.
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

    /// The buffer for incoming bytes: received and not taken yet.
    pub fn inbox(&self) -> &Inbox {
        &self.incoming.inbox
    }

    /// The buffer for incoming bytes, to change its limits or to take frames directly. Frames taken here are not returned by
    /// [`recv`](Self::recv).
    pub fn inbox_mut(&mut self) -> &mut Inbox {
        &mut self.incoming.inbox
    }

    /// The buffer for outgoing bytes: queued and not sent yet.
    pub fn outbox(&self) -> &Outbox {
        &self.outgoing.outbox
    }

    /// The buffer for outgoing bytes, to put messages or raw bytes into. The next flush sends them.
    pub fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.outgoing.outbox
    }

    /// Both buffers at once.
    pub fn buffers_mut(&mut self) -> (&mut Inbox, &mut Outbox) {
        (&mut self.incoming.inbox, &mut self.outgoing.outbox)
    }

    /// Wipes what the buffers still hold of messages that have been taken or sent: passwords, keys.
    pub fn scrub(&mut self) {
        self.incoming.inbox.scrub();
        self.outgoing.outbox.scrub();
    }

    /// Sets other limits, from the next header on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.incoming.inbox.set_limits(limits);
        self.outgoing.outbox.set_retain(limits.write_retain);
    }

    /// Whether both buffers are empty and neither direction has ended. The caller has to know which replies are still owed.
    pub fn is_quiet(&self) -> bool {
        let no_fault = self.incoming.fault.is_none() && self.outgoing.fault.is_none();
        no_fault && !self.inbox().is_mid_frame() && self.inbox().buffered() == 0 && self.outbox().is_empty()
    }

    /// The reason why no more bytes will be received, if so. Messages may still be buffered.
    pub fn read_fault(&self) -> Option<Fault> {
        self.incoming.fault
    }

    /// The reason why no more bytes can be sent, if so.
    pub fn write_fault(&self) -> Option<Fault> {
        self.outgoing.fault
    }

    /// The stream.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// The stream. Bytes that are read or written here bypass the connection.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The stream and both buffers. Nothing is sent or closed.
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
