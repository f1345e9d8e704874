//! A connection with the state of its session.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use crate::basic::code::MessageCode;
use crate::basic::enums::TransactionStatus;
use crate::buffer::inbox::Head;
use crate::client::names::Portal;
use crate::client::protocol::PgProtocol;
use crate::client::target::PutMessage;
use crate::codec::frame::{Frame, FrameBuf};
use crate::connection::channel::{Channel, Session, received, skipped};
use crate::connection::error::Error;
use crate::connection::stream::Transport;
use crate::connection::until_ready::Outcome;
use crate::connection::whole::Connection;
use crate::encode::messages::Messages;
use crate::session::{NotIdle, Observer, Reply, SessionState, Step, Waiting};

/// A client's [`Connection`] with the [state](SessionState) of its session.
///
/// Differences from a plain connection:
///
/// - [`recv`](Self::recv) returns an error if no reply will arrive, instead of waiting for ever.
/// - [`recv_reply`](Self::recv_reply) also returns the request to which a message belongs.
/// - [`check_idle`](Self::check_idle) checks whether the connection can be given to another user. If not, returns the reason.
/// - [`recover`](Self::recover) makes the connection idle, even after a dropped future, in a COPY or in a transaction.
///
/// ```
/// use pg_wire::{Connection, Error, Limits, PgProtocol, Portal, Statement, TrackedConnection, testing::Script};
///
/// # pg_wire::testing::block_on(async {
/// let socket = Script::sends(b"1\0\0\0\x04Z\0\0\0\x05I");
/// let mut conn = TrackedConnection::new(Connection::new(socket, Limits::BACKEND));
/// conn.parse(Statement("one")).query("select 1").finish().flush().await?;
/// let error = conn.recv().await.unwrap_err();
/// assert_eq!(error.to_string(), "no reply will arrive: the server keeps its replies until it reads Sync or Flush: was a Sync or a Flush forgotten?");
///
/// conn.sync().flush().await?;
/// conn.until_ready(|_| Ok::<_, Error>(())).await?;
/// assert_eq!(conn.check_idle(), Ok(()));
/// # Ok::<_, Error>(())
/// # }).unwrap();
/// ```
///
/// # Traces, metrics and spans
/// [`observe`](Self::observe) adds an [`Observer`], which receives each message together with its request.
///
/// # Cost
/// Each sent message and each received message is also passed to the state. A [`Connection`] without a `TrackedConnection` has no such
/// cost.
#[derive(Debug)]
pub struct TrackedConnection<T, O = ()> {
    conn: Connection<T>,
    state: SessionState,
    observer: O,
}

impl<T: Transport> TrackedConnection<T> {
    /// Tracks a connection. Precondition: the ReadyForQuery of the login has been received, and the client has sent no message after the
    /// login.
    pub fn new(conn: Connection<T>) -> Self {
        Self::with_state(conn, SessionState::new())
    }

    /// Tracks a connection whose session has the state `state`. Precondition: every sent or partly sent message has been passed to `state`.
    /// Queued messages that no flush has begun to send are an exception: the next [`flush`](Self::flush) passes them to `state`.
    pub fn with_state(conn: Connection<T>, state: SessionState) -> Self {
        Self { conn, state, observer: () }
    }
}

impl<T: Transport, O: Observer> TrackedConnection<T, O> {
    /// Sends all queued messages as one batch. See [`Connection::flush`].
    ///
    /// # Errors
    /// The errors of [`Connection::flush`], and [`QueueFull`](Error::QueueFull) when too many requests wait for their replies.
    /// After `QueueFull`, no part of the batch has been sent, and the batch stays queued: receive replies, then flush again.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.channel().flush().await
    }

    /// Sends data of a COPY after all queued messages. See [`Connection::send_copy_data`].
    ///
    /// # Errors
    /// The errors of `Connection::send_copy_data`, and [`QueueFull`](Error::QueueFull) as in [`flush`](Self::flush). After
    /// `QueueFull`, the data is not queued.
    pub fn send_copy_data(&mut self, data: &[u8]) -> impl Future<Output = Result<(), Error>> {
        self.channel().send_copy_data(data)
    }

    /// Drops the queued messages that no flush has begun to send. If the future of a flush was dropped, a message may be partly sent. Such
    /// a message is kept, and [`recover`](Self::recover) sends the rest of the message.
    pub fn discard_batch(&mut self) {
        self.conn.outgoing.outbox.discard_batch();
    }

    /// Receives the next message, as [`Connection::recv`] does: a reply, a notice, a notification or a ParameterStatus.
    ///
    /// # Errors
    /// - [`NoReply`](Error::NoReply) when no message is buffered and no reply will arrive: no request was sent, a Sync or a
    ///   Flush is missing, or the server waits for data of a COPY. The connection is unchanged.
    /// - [`Unexpected`](Error::Unexpected) when the message is not a reply to a sent request. The connection cannot be used any
    ///   more.
    /// - The errors of `Connection::recv`.
    #[inline]
    pub async fn recv(&mut self) -> Result<Frame<'_>, Error> {
        Ok(Recv(Some(self)).await?.1)
    }

    /// Receives the next message, with the request to which the message is a reply. The request is `None` for notices, notifications and
    /// ParameterStatus.
    ///
    /// # Errors
    /// The errors of [`recv`](Self::recv).
    #[inline]
    pub fn recv_reply(&mut self) -> impl Future<Output = Result<(Option<Reply>, Frame<'_>), Error>> {
        Recv(Some(self))
    }

    /// Receives the next message as an owned frame.
    ///
    /// # Errors
    /// The errors of [`recv`](Self::recv).
    pub async fn recv_owned(&mut self) -> Result<FrameBuf, Error> {
        let head = poll_fn(|cx| self.poll_head(cx, true)).await?;
        let frame = self.conn.incoming.inbox.take_owned(head);
        received(&mut self.state, &mut self.observer, frame.frame())?;
        Ok(frame)
    }

    /// Receives the next message. Waits for a message even when no reply is expected. Use this method to wait for notifications or for the
    /// end of the session.
    ///
    /// # Errors
    /// The errors of [`recv`](Self::recv), but not [`NoReply`](Error::NoReply).
    pub async fn recv_unasked(&mut self) -> Result<Frame<'_>, Error> {
        let head = poll_fn(|cx| self.poll_head(cx, false)).await?;
        let frame = self.conn.incoming.inbox.take(head);
        received(&mut self.state, &mut self.observer, frame)?;
        Ok(frame)
    }

    /// Waits until a whole message is buffered, and returns its code. See [`Connection::next_code`].
    ///
    /// # Errors
    /// The errors of [`recv`](Self::recv).
    pub async fn next_code(&mut self) -> Result<MessageCode, Error> {
        poll_fn(|cx| self.poll_head(cx, true)).await.map(|head| head.code())
    }

    /// Receives messages up to the next ReadyForQuery. See [`Connection::until_ready`].
    ///
    /// # Errors
    /// The errors of `Connection::until_ready`, and the errors of [`recv`](Self::recv). For example, a missing Sync or a COPY
    /// that waits for data is an error.
    pub async fn until_ready<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<TransactionStatus, E> {
        let mut outcome = Outcome::new();
        loop {
            if let Some(end) = outcome.take(self.recv().await, &mut each) {
                self.conn.batch_ended();
                return end;
            }
        }
    }

    /// Checks whether the connection can be given to another user. The conditions: no message is queued, partly sent or partly received; no
    /// reply and no COPY data is outstanding; no transaction is open.
    ///
    /// Prepared statements, temporary tables, settings and LISTEN remain in the session: `DISCARD ALL` removes them.
    ///
    /// # Errors
    /// The reason why the connection is not idle. [`recover`](Self::recover) makes the connection idle.
    pub fn check_idle(&self) -> Result<(), NotIdle> {
        if self.conn.read_fault().is_some() || self.conn.write_fault().is_some() {
            return Err(NotIdle::Closed);
        }
        if !self.conn.outbox().is_empty() {
            return Err(NotIdle::Unsent);
        }
        self.state.check_idle()?;
        if self.conn.is_quiet() { Ok(()) } else { Err(NotIdle::Unread) }
    }

    /// Makes the connection idle for another user: drops queued messages, sends the rest of partly sent messages, ends a COPY,
    /// receives and drops outstanding replies, and rolls back a transaction.
    ///
    /// Waits until the server has finished the requests that it has received. Set a time limit, for example with the runtime's `timeout`.
    /// If a statement may take long, send a cancel request first. The future may be dropped at any point; then call `recover` again.
    ///
    /// # Errors
    /// [`Over`](Error::Over) when the session has ended, and the errors of the connection. After an error, close the connection.
    pub async fn recover(&mut self) -> Result<(), Error> {
        self.discard_batch();
        while let Some(step) = self.state.next_step()? {
            match step {
                Step::CopyFail => self.conn.copy_fail("abandoned by the client"),
                Step::CopyDone => self.conn.copy_done(),
                Step::Sync => self.conn.sync(),
                Step::Query(sql) => self.conn.query(sql),
                Step::ClosePortal => self.conn.close_portal(Portal::UNNAMED),
                Step::Receive => {
                    self.drop_next().await?;
                    continue;
                }
            };
            match self.flush().await {
                // `InboxFull`: the server does not read until its own messages are received. A later round of the loop receives these
                // messages, and continues to send.
                Ok(()) | Err(Error::InboxFull) => {}
                Err(error) => return Err(error),
            }
        }
        // The server may have ended a COPY with an error before the client has sent all data. Then all replies have arrived, but some data
        // is still queued. This loop sends the queued data.
        while let Err(error) = self.flush().await {
            match error {
                Error::InboxFull => self.drop_next().await?,
                error => return Err(error),
            }
        }
        // Receives the notifications, notices and ParameterStatus that are buffered, because an idle connection must have an empty inbox.
        while let Some(frame) = self.conn.try_recv()? {
            received(&mut self.state, &mut self.observer, frame)?;
        }
        Ok(())
    }

    /// Receives one message and drops it, even if the message is over its limit.
    async fn drop_next(&mut self) -> Result<(), Error> {
        match poll_fn(|cx| self.poll_head(cx, false)).await {
            Ok(head) => {
                let frame = self.conn.incoming.inbox.take(head);
                received(&mut self.state, &mut self.observer, frame)?;
                Ok(())
            }
            Err(Error::Frame(error)) if !error.is_fatal() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until a whole message is buffered. If `needs_reply` is true, returns an error when no reply will arrive.
    #[inline(never)]
    fn poll_head(&mut self, cx: &mut Context<'_>, needs_reply: bool) -> Poll<Result<Head, Error>> {
        loop {
            match self.conn.incoming.head() {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(skipped(&mut self.state, error))),
            }
            let waiting = self.state.waiting();
            let will_not =
                matches!(waiting, Waiting::Nothing | Waiting::Flush | Waiting::Sync | Waiting::CopyData);
            if needs_reply && will_not {
                return Poll::Ready(Err(Error::NoReply(waiting)));
            }
            ready!(self.conn.poll_fill(cx))?;
        }
    }
}

/// Future of [`TrackedConnection::recv_reply`]. As in [`Connection::recv`], this is not an `async` block, because only a
/// hand-written `poll` can have a fast path.
struct Recv<'c, T, O>(Option<&'c mut TrackedConnection<T, O>>);

impl<'c, T: Transport, O: Observer> Future for Recv<'c, T, O> {
    type Output = Result<(Option<Reply>, Frame<'c>), Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // After completion, `poll` always returns `Pending`.
        let Some(tracked) = self.0.take() else { return Poll::Pending };
        // Fast path: if a frame is buffered, `poll_head` is not called.
        let head = match tracked.conn.incoming.inbox.whole_fast() {
            Some(head) => head,
            None => match tracked.poll_head(cx, true) {
                Poll::Ready(Ok(head)) => head,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.0 = Some(tracked);
                    return Poll::Pending;
                }
            },
        };
        let TrackedConnection { conn, state, observer } = tracked;
        let frame = conn.incoming.inbox.take(head);
        Poll::Ready(received(state, observer, frame).map(|reply| (reply, frame)))
    }
}

impl<T, O> TrackedConnection<T, O> {
    /// Lends the connection together with the state of its session.
    pub(super) fn channel(&mut self) -> Channel<'_, T, O> {
        let Self { conn, state, observer } = self;
        Channel::tracked(conn, Session { state, observer })
    }

    /// Queues a message. See [`Connection::put`].
    #[inline]
    pub fn put<M: Messages + ?Sized>(&mut self, message: &M) -> &mut Self {
        self.conn.put(message);
        self
    }

    /// Returns the state of the session.
    pub fn state(&self) -> &SessionState {
        &self.state
    }

    /// Returns the connection as a shared reference, to read its properties. Only the methods of this type receive and send, because each
    /// message must also be passed to the state.
    pub fn connection(&self) -> &Connection<T> {
        &self.conn
    }

    /// Sets the observer of the messages, and drops the previous observer. Messages that are queued and not flushed are passed to the new
    /// observer.
    pub fn observe<P: Observer>(self, observer: P) -> TrackedConnection<T, P> {
        TrackedConnection { conn: self.conn, state: self.state, observer }
    }

    /// Returns the observer.
    pub fn observer(&self) -> &O {
        &self.observer
    }

    /// Returns the observer as a mutable reference.
    pub fn observer_mut(&mut self) -> &mut O {
        &mut self.observer
    }

    /// Returns the connection and the state of its session.
    pub fn into_parts(self) -> (Connection<T>, SessionState) {
        (self.conn, self.state)
    }
}

impl<T, O> PutMessage for TrackedConnection<T, O> {
    type Chained<'c>
        = &'c mut Self
    where
        T: 'c,
        O: 'c;

    #[inline(always)]
    fn put_message<'c, M: Messages + ?Sized>(&'c mut self, message: &M) -> &'c mut Self {
        self.put(message)
    }
}
