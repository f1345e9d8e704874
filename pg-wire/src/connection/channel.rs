//! Sends and receives the messages of a COPY. The connection is a `Connection` or a `TrackedConnection`.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use crate::basic::code::MessageCode;
use crate::buffer::frames::Frames;
use crate::buffer::inbox::Head;
use crate::client::target::PutMessage;
use crate::codec::frame::Frame;
use crate::connection::error::Error;
use crate::connection::stream::Transport;
use crate::connection::whole::Connection;
use crate::encode::messages::Messages;
use crate::session::{Observer, Reply, SessionState};

/// A borrowed connection. In the channel of a `TrackedConnection`, `session` is set, and each message is also passed to the session.
#[derive(Debug)]
pub(super) struct Channel<'c, T, O> {
    pub(super) conn: &'c mut Connection<T>,
    session: Option<Session<'c, O>>,
}

/// The state of a session, and the observer of the messages.
#[derive(Debug)]
pub(super) struct Session<'c, O> {
    pub(super) state: &'c mut SessionState,
    pub(super) observer: &'c mut O,
}

impl<O: Observer> Session<'_, O> {
    /// Passes the messages of a batch to the state and to the observer.
    fn sent(&mut self, batch: &[u8]) -> Result<(), Error> {
        // If the queue of requests may become full, checks with a copy of the state whether the whole batch fits. A message has at least 5
        // bytes, so the batch has at most `batch.len() / 5` messages.
        if !self.state.has_room_for(batch.len() / 5) {
            let mut trial = self.state.clone();
            Frames::new(batch).into_iter().try_for_each(|frame| trial.sent(frame).map(drop))?;
        }
        for frame in Frames::new(batch) {
            let request = self.state.sent(frame)?;
            self.observer.sent(frame, request);
        }
        Ok(())
    }
}

impl<'c, T> Channel<'c, T, ()> {
    pub(super) fn plain(conn: &'c mut Connection<T>) -> Self {
        Self { conn, session: None }
    }
}

impl<'c, T, O> Channel<'c, T, O> {
    pub(super) fn tracked(conn: &'c mut Connection<T>, session: Session<'c, O>) -> Self {
        Self { conn, session: Some(session) }
    }

    /// Returns a channel that borrows from this channel.
    pub(super) fn by_ref(&mut self) -> Channel<'_, T, O> {
        let session = self.session.as_mut();
        let session = session.map(|whole| Session { state: whole.state, observer: whole.observer });
        Channel { conn: self.conn, session }
    }
}

impl<'c, T: Transport, O: Observer> Channel<'c, T, O> {
    /// Passes the queued messages to the state of the session, and commits the batch.
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        let outbox = &mut self.conn.outgoing.outbox;
        if let Some(session) = &mut self.session {
            session.sent(outbox.batch())?;
        }
        Ok(outbox.commit()?)
    }

    /// Sends all queued messages. See [`Connection::flush`].
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        self.commit()?;
        poll_fn(|cx| self.conn.poll_flush(cx)).await
    }

    /// Sends data of a COPY after all queued messages. See [`Connection::send_copy_data`].
    pub(super) fn send_copy_data(mut self, data: &[u8]) -> impl Future<Output = Result<(), Error>> {
        let committed = self.commit();
        let Self { conn, session } = self;
        let sending = committed.is_ok().then(|| {
            if let Some(session) = session {
                session.observer.sent(Frame { code: MessageCode::COPY_DATA, body: data }, None);
            }
            conn.send_copy_data(data)
        });
        async move {
            committed?;
            match sending {
                Some(sending) => sending.await,
                None => Ok(()),
            }
        }
    }

    /// Receives the next message. See [`Connection::recv`].
    #[inline]
    pub(super) fn recv(&mut self) -> Recv<'_, 'c, T, O> {
        Recv(Some(self))
    }

    /// Removes the message with the head `head` from the inbox, and returns the message as a borrowed frame.
    #[inline(always)]
    pub(super) fn lend(&mut self, head: Head) -> Result<Frame<'_>, Error> {
        let frame = self.conn.incoming.inbox.lend(head);
        if let Some(session) = &mut self.session {
            received(session.state, session.observer, frame)?;
        }
        Ok(frame)
    }

    /// Waits until a whole message is buffered, and returns its code.
    pub(super) async fn next_code(&mut self) -> Result<MessageCode, Error> {
        poll_fn(|cx| self.poll_head(cx)).await.map(|head| head.code())
    }

    /// Waits until a whole message is buffered, and returns its head.
    #[inline(never)]
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Error>> {
        loop {
            match self.conn.incoming.head() {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => ready!(self.conn.poll_fill(cx))?,
                Err(error) => {
                    return Poll::Ready(Err(match &mut self.session {
                        Some(session) => skipped(session.state, error),
                        None => error,
                    }));
                }
            }
        }
    }
}

impl<T, O> PutMessage for Channel<'_, T, O> {
    type Chained<'r>
        = &'r mut Self
    where
        Self: 'r;

    #[inline(always)]
    fn put_message<'r, M: Messages + ?Sized>(&'r mut self, message: &M) -> &'r mut Self {
        self.conn.put(message);
        self
    }
}

/// The future of [`Channel::recv`]. Not an `async` block, because only a hand-written `poll` can have a fast path, as in
/// [`Connection::recv`].
pub(super) struct Recv<'r, 'c, T, O>(Option<&'r mut Channel<'c, T, O>>);

impl<'r, T: Transport, O: Observer> Future for Recv<'r, '_, T, O> {
    type Output = Result<Frame<'r>, Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A poll after completion is always pending.
        let Some(channel) = self.0.take() else { return Poll::Pending };
        // Fast path for a buffered frame: the compiler merges the bounds checks of `whole_fast` and `lend`.
        if let Some(head) = channel.conn.incoming.inbox.whole_fast() {
            return Poll::Ready(channel.lend(head));
        }
        match channel.poll_head(cx) {
            Poll::Ready(Ok(head)) => Poll::Ready(channel.lend(head)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.0 = Some(channel);
                Poll::Pending
            }
        }
    }
}

/// Passes a received message to the state and to the observer.
#[inline(always)]
pub(super) fn received<O: Observer>(
    state: &mut SessionState,
    observer: &mut O,
    frame: Frame<'_>,
) -> Result<Option<Reply>, Error> {
    let reply = state.received(frame)?;
    observer.received(frame, reply);
    Ok(reply)
}

/// Passes the code of a skipped message to the state. The connection skips a message over the limit [`bulk`](crate::Limits::bulk). Returns
/// `error`, or [`Error::Unexpected`] if the message is not a reply to a sent request.
#[cold]
pub(super) fn skipped(state: &mut SessionState, error: Error) -> Error {
    if let Error::Frame(frame) = &error
        && !frame.is_fatal()
        && let Err(unexpected) = state.received(Frame { code: frame.code, body: &[] })
    {
        return unexpected.into();
    }
    error
}
