//! A live stream of messages, over whatever can be polled.

mod uncopied;

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use crate::basic::error::{DecodeError, EncodeError, FrameError};
use crate::buffer::inbox::{Head, Inbox};
use crate::buffer::limits::Limits;
use crate::buffer::outbox::Outbox;
use crate::client::target::PutMessage;
use crate::codec::frame::{Frame, FrameBuf};
use crate::encode::frames::Messages;

/// Where bytes come from: the reading side of a stream.
pub trait Source {
    /// Reads into `space`, which is initialised, and says how many bytes; 0 is the end.
    ///
    /// # Errors
    /// The stream's own.
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>>;
}

/// Where bytes go: the writing side of a stream.
pub trait Sink {
    /// Writes some of `bytes` and says how many.
    ///
    /// # Errors
    /// The stream's own.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Writes some of what these hold, one after the other, and says how many bytes. A stream that cannot write from several
    /// places at once writes from the first, and need not say how.
    ///
    /// # Errors
    /// The stream's own.
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| slice))
    }

    /// Passes on whatever the stream itself holds back.
    ///
    /// # Errors
    /// The stream's own.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the stream for writing, with its own good-bye if it has one.
    ///
    /// # Errors
    /// The stream's own.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A stream in both directions. All that a runtime adapter has to bring.
pub trait Transport: Source + Sink {}

impl<T: Source + Sink + ?Sized> Transport for T {}

/// A stream that comes apart into its two directions, each owned.
pub trait Split: Transport {
    /// The reading side.
    type Source: Source;
    /// The writing side.
    type Sink: Sink;

    /// Takes it apart.
    fn split(self) -> (Self::Source, Self::Sink);
}

/// What went wrong on a connection. [`is_fatal`](Self::is_fatal) tells what it costs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The stream failed. Fatal for its direction: after a failed write what the server said last can still be
    /// received.
    Io(io::Error),
    /// The peer has closed the stream. Fatal.
    Closed {
        /// Whether it did so in the middle of a message.
        mid_message: bool,
    },
    /// A header that cannot be believed (fatal), or one over its limit (recoverable when the frame is skipped).
    Frame(FrameError),
    /// A malformed body. Recoverable: the frame has been consumed.
    Decode(DecodeError),
    /// A message that cannot be sent. Recoverable: nothing of its batch has left, and the batch is gone.
    Encode(EncodeError),
    /// The peer has stopped reading until its own messages are read, and [`Limits::read_ahead`] bytes of those are buffered
    /// already. Recoverable: call `recv`, which goes on sending meanwhile, or `flush` again later.
    InboxFull,
    /// An earlier fatal error ended this direction.
    Poisoned(Fault),
}

/// Why a direction of a connection is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The stream failed.
    Io(io::ErrorKind),
    /// The peer closed it.
    Closed,
    /// Where messages begin is no longer known.
    Frame(FrameError),
}

impl Error {
    /// Whether the direction in which it happened is at its end. After any other error the connection is in step and
    /// can be used.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Io(_) | Self::Closed { .. } | Self::Poisoned(_) => true,
            Self::Frame(error) => error.is_fatal(),
            Self::Decode(_) | Self::Encode(_) | Self::InboxFull => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("the connection failed"),
            Self::Closed { mid_message: false } => f.write_str("the peer closed the connection"),
            Self::Closed { mid_message: true } => {
                f.write_str("the peer closed the connection in the middle of a message")
            }
            Self::Frame(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
            Self::InboxFull => {
                f.write_str("the peer waits for its messages to be received before it takes more")
            }
            Self::Poisoned(fault) => write!(f, "the connection was given up earlier: {fault}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(kind) => kind.fmt(f),
            Self::Closed => f.write_str("the peer closed it"),
            Self::Frame(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

/// A live stream of messages in both directions, for either chair.
///
/// One object without a task behind it. Messages are queued by the methods of
/// [`PgProtocol`](crate::PgProtocol) (or [`put`](Self::put), for a server), leave with [`flush`](Self::flush), and come
/// with [`recv`](Self::recv).
///
/// All progress lives here and none in the futures: each of them may be dropped at any point and the call made again. (But for
/// [`send_copy_data`](Self::send_copy_data), which queues its data by being called: after it comes a `flush`.)
///
/// # Time limits, cancelling, reuse
///
/// - A time limit is a dropped future: `timeout(limit, conn.recv())`. The connection stays in step, and the statement goes on.
/// - To stop it, send a cancel request over a connection of its own (the adapters' `cancel`) and wait for that to return. Then
///   receive up to the ReadyForQuery that is still owed: it comes whether the statement was stopped (SQLSTATE 57014) or was
///   done before.
/// - A connection may be used by somebody else when every Sync, Query and FunctionCall has had its ReadyForQuery, the last of
///   them said [`Idle`](crate::TransactionStatus::Idle), and [`is_quiet`](Self::is_quiet) says so too.
/// - One that has idled may have been ended by the server meanwhile. Before handing it out, poll [`ready`](Self::ready) once: if
///   it is not pending, what has come ([`try_recv`](Self::try_recv)) or the error tells why.
///
/// ```
/// use pg_wire::{Connection, Limits, MessageCode, PgProtocol, testing::Script};
///
/// # pg_wire::testing::block_on(async {
/// // In place of a socket: what a server would say.
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
    transport: T,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// The receiving half of a [`Connection`], owned. See [`Connection::split`].
#[derive(Debug)]
pub struct ReadHalf<R> {
    source: R,
    incoming: Incoming,
}

/// The sending half of a [`Connection`], owned. See [`Connection::split`].
#[derive(Debug)]
pub struct WriteHalf<W> {
    sink: W,
    outgoing: Outgoing,
}

#[derive(Debug)]
struct Incoming {
    inbox: Inbox,
    fault: Option<Fault>,
    /// The error behind the fault, while whoever receives has not been told.
    untold: Option<Error>,
}

#[derive(Debug)]
struct Outgoing {
    outbox: Outbox,
    fault: Option<Fault>,
    /// The error behind the fault, while whoever sends has not been told.
    untold: Option<Error>,
    /// Bytes have been written that the stream itself may hold back.
    unflushed: bool,
}

impl Incoming {
    /// Reads once. Only `Ready` once something has been read or nothing ever will be.
    fn poll_fill<R: Source + ?Sized>(
        &mut self,
        source: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        if let Some(fault) = self.fault {
            return Poll::Ready(Err(self.untold.take().unwrap_or(Error::Poisoned(fault))));
        }
        let count = match ready!(source.poll_read(cx, self.inbox.space())) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // A TLS library's report of a peer that closed without close_notify, as a process of PostgreSQL does when it ends. A message
            // that was cut short is still found, by its length.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            count => count,
        };
        Poll::Ready(match count {
            Ok(0) => {
                self.fault = Some(Fault::Closed);
                Err(Error::Closed { mid_message: self.inbox.is_mid_frame() })
            }
            Ok(count) => {
                self.inbox.filled(count);
                Ok(())
            }
            Err(error) => {
                self.fault = Some(Fault::Io(error.kind()));
                Err(Error::Io(error))
            }
        })
    }

    /// Reads what is there, without waiting, and says whether a whole message is.
    fn has_last_words<R: Source + ?Sized>(&mut self, source: &mut R, cx: &mut Context<'_>) -> bool {
        loop {
            if !matches!(self.inbox.head(), Ok(None)) {
                return true;
            }
            match self.poll_fill(source, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return false,
                Poll::Ready(Err(error)) => {
                    self.keep(error);
                    return false;
                }
            }
        }
    }

    /// Keeps an error for whoever receives.
    fn keep(&mut self, error: Error) {
        if !matches!(error, Error::Poisoned(_)) {
            self.untold = Some(error);
        }
    }

    #[inline]
    fn head(&mut self) -> Result<Option<Head>, Error> {
        let Self { inbox, fault, untold } = self;
        inbox.head().map_err(|error| refused(error, fault, untold))
    }

    #[inline]
    fn next(&mut self) -> Result<Option<Frame<'_>>, Error> {
        let Self { inbox, fault, untold } = self;
        inbox.next().map_err(|error| refused(error, fault, untold))
    }
}

#[cold]
fn refused(error: FrameError, fault: &mut Option<Fault>, untold: &mut Option<Error>) -> Error {
    let again = *fault == Some(Fault::Frame(error));
    if error.is_fatal() {
        *fault = Some(Fault::Frame(error));
        *untold = None;
    }
    if again { Error::Poisoned(Fault::Frame(error)) } else { Error::Frame(error) }
}

impl Outgoing {
    /// Writes what has been committed and then `behind`, as far as the stream takes it, and says whether all is gone.
    fn poll_send<W: Sink + ?Sized>(
        &mut self,
        sink: &mut W,
        cx: &mut Context<'_>,
        behind: &mut &[u8],
    ) -> Poll<Result<(), Error>> {
        if let Some(fault) = self.fault {
            return Poll::Ready(Err(self.untold.take().unwrap_or(Error::Poisoned(fault))));
        }
        loop {
            let own = self.outbox.pending();
            let written = match (own, *behind) {
                ([], []) => break,
                (own, []) => sink.poll_write(cx, own),
                ([], behind) => sink.poll_write(cx, behind),
                (own, behind) => sink.poll_write_vectored(cx, &[IoSlice::new(own), IoSlice::new(behind)]),
            };
            match ready!(written) {
                Ok(0) => return Poll::Ready(Err(self.failed(io::ErrorKind::WriteZero.into()))),
                Ok(count) => {
                    let (own, beyond) = (count.min(own.len()), count.saturating_sub(own.len()));
                    self.outbox.sent(own);
                    *behind = behind.get(beyond..).unwrap_or_default();
                    self.unflushed = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(self.failed(error))),
            }
        }
        while self.unflushed {
            match ready!(sink.poll_flush(cx)) {
                Ok(()) => self.unflushed = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(self.failed(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the stream, once all has been sent.
    fn poll_close<W: Sink + ?Sized>(
        &mut self,
        sink: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            match ready!(sink.poll_close(cx)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(self.failed(error))),
            }
        }
    }

    fn failed(&mut self, error: io::Error) -> Error {
        self.fault = Some(Fault::Io(error.kind()));
        Error::Io(error)
    }
}

/// Whatever receives: a connection, and the half of one.
trait Receive {
    fn incoming(&mut self) -> &mut Incoming;

    /// Reads once.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;

    /// Waits until a whole message is there.
    #[inline(never)]
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Error>> {
        loop {
            if let Some(head) = self.incoming().head()? {
                return Poll::Ready(Ok(head));
            }
            ready!(self.poll_read(cx))?;
        }
    }
}

impl<T: Transport> Receive for Connection<T> {
    #[inline]
    fn incoming(&mut self) -> &mut Incoming {
        &mut self.incoming
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_fill(cx)
    }
}

impl<R: Source> Receive for ReadHalf<R> {
    #[inline]
    fn incoming(&mut self) -> &mut Incoming {
        &mut self.incoming
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.incoming.poll_fill(&mut self.source, cx)
    }
}

/// Receives a message. Written by hand, because it is made, polled and done once a message, most of the time without
/// waiting: then it is the look at the buffer and nothing else.
struct Recv<'c, C>(Option<&'c mut C>);

impl<'c, C: Receive> Future for Recv<'c, C> {
    type Output = Result<Frame<'c>, Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Done before: nothing more comes of it.
        let Some(conn) = self.0.take() else { return Poll::Pending };
        // A way of its own, on which the second look at the buffer is the first one.
        if let Some(head) = conn.incoming().inbox.whole() {
            return Poll::Ready(Ok(conn.incoming().inbox.lend(head)));
        }
        match conn.poll_head(cx) {
            Poll::Ready(Ok(head)) => Poll::Ready(Ok(conn.incoming().inbox.take(head))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.0 = Some(conn);
                Poll::Pending
            }
        }
    }
}

impl<T: Transport> Connection<T> {
    /// Over a stream on which messages are about to be spoken, in either chair. Nothing is read or written yet.
    pub fn new(transport: T, limits: Limits) -> Self {
        Self {
            transport,
            incoming: Incoming { inbox: Inbox::new(limits), fault: None, untold: None },
            outgoing: Outgoing {
                outbox: Outbox::new(limits.write_retain),
                fault: None,
                untold: None,
                unflushed: false,
            },
        }
    }

    /// Sends everything that has been queued, as one batch.
    ///
    /// Reads while it writes: a server that has filled its own direction with replies takes nothing more until some
    /// of them are taken, so a pipeline larger than both socket buffers would otherwise wait for ever. What comes is
    /// kept for [`recv`](Self::recv), up to [`Limits::read_ahead`].
    ///
    /// May be dropped at any point; the next `flush` goes on where it was, and so does `recv`.
    ///
    /// # Errors
    /// [`Encode`](Error::Encode) when a queued message cannot be sent: nothing of the batch leaves.
    /// [`InboxFull`](Error::InboxFull) when the replies exceed the bound: receive, which goes on sending. [`Io`](Error::Io) when the
    /// stream fails. Where the peer has said something before that, it is kept for the next `flush`: receive first, because
    /// what a server says last tells why it has gone.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.outgoing.outbox.commit()?;
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// As [`flush`](Self::flush), for what has been [committed](Outbox::commit).
    ///
    /// # Errors
    /// As `flush`.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush_with(cx, &mut &[][..])
    }

    fn poll_flush_with(&mut self, cx: &mut Context<'_>, behind: &mut &[u8]) -> Poll<Result<(), Error>> {
        let Self { transport, incoming, outgoing } = self;
        loop {
            match outgoing.poll_send(transport, cx, behind) {
                Poll::Pending => {}
                Poll::Ready(Err(error @ Error::Io(_))) if incoming.has_last_words(transport, cx) => {
                    outgoing.untold = Some(error);
                    return Poll::Ready(Ok(()));
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
                    // Nobody will read what keeps the peer from taking more.
                    return Poll::Ready(Err(Error::Poisoned(fault)));
                }
                Poll::Ready(Err(error)) => {
                    // The end of the other direction is told by `recv`, when it gets there.
                    incoming.keep(error);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Receives the next message, lent out of the connection's own buffer until the next call on the connection. To keep it,
    /// [`recv_owned`](Self::recv_owned).
    ///
    /// What is there already is lent without waiting. While it waits it goes on sending what an earlier
    /// [`flush`](Self::flush) had begun to send; what was queued since waits for its own `flush`.
    ///
    /// May be dropped at any point; nothing is lost.
    ///
    /// # Errors
    /// [`Closed`](Error::Closed) and [`Io`](Error::Io) when the stream is at its end, [`Frame`](Error::Frame) for a header
    /// that cannot be believed or is over its limit.
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

    /// The next message if a whole one is there, without reading and so without waiting.
    ///
    /// # Errors
    /// [`Frame`](Error::Frame), as [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Frame<'_>>, Error> {
        self.incoming.next()
    }

    /// Waits until a whole message is there; [`try_recv`](Self::try_recv) then lends it. Meanwhile it goes on sending, as
    /// [`recv`](Self::recv) does: what a `select!` waits for, where it has other things to wait for.
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

    /// Reads once into the inbox, whatever comes, and goes on sending meanwhile. For those who look at the
    /// [`inbox`](Self::inbox_mut) themselves.
    ///
    /// # Errors
    /// [`Closed`](Error::Closed) and [`Io`](Error::Io) when the stream is at its end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self { transport, incoming, outgoing } = self;
        if outgoing.fault.is_none() && (outgoing.unflushed || !outgoing.outbox.pending().is_empty()) {
            // An error here is told by the next flush. What the server said last comes first.
            if let Poll::Ready(Err(error)) = outgoing.poll_send(transport, cx, &mut &[][..]) {
                outgoing.untold = Some(error);
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

    /// Sends what is queued, then ends the stream for writing. What the peer still has to say can be received.
    ///
    /// # Errors
    /// As [`flush`](Self::flush), and the stream's own.
    pub async fn close(&mut self) -> Result<(), Error> {
        self.flush().await?;
        poll_fn(|cx| self.outgoing.poll_close(&mut self.transport, cx)).await
    }

    /// Comes apart into a half that receives and a half that sends, each owned, for two tasks.
    ///
    /// Nothing is lost: each takes what is buffered for it. The halves no longer help each other: a sender that
    /// waits has to be freed by its receiver.
    pub fn split(self) -> (ReadHalf<T::Source>, WriteHalf<T::Sink>)
    where
        T: Split,
    {
        let (source, sink) = self.transport.split();
        (ReadHalf { source, incoming: self.incoming }, WriteHalf { sink, outgoing: self.outgoing })
    }
}

impl<T> Connection<T> {
    /// Adds a message of either direction to the batch. The first that cannot be encoded is told by
    /// [`flush`](Self::flush).
    #[inline]
    pub fn put<M: Messages + ?Sized>(&mut self, message: &M) -> &mut Self {
        self.outgoing.outbox.put(message);
        self
    }

    /// The buffer for incoming bytes: what has come and has not been taken.
    pub fn inbox(&self) -> &Inbox {
        &self.incoming.inbox
    }

    /// The buffer for incoming bytes, to change its limits or to take frames directly. What is taken here,
    /// [`recv`](Self::recv) does not see.
    pub fn inbox_mut(&mut self) -> &mut Inbox {
        &mut self.incoming.inbox
    }

    /// The buffer for outgoing bytes: what is to be sent and has not gone.
    pub fn outbox(&self) -> &Outbox {
        &self.outgoing.outbox
    }

    /// The buffer for outgoing bytes, to put messages or raw bytes into. They leave with the next flush.
    pub fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.outgoing.outbox
    }

    /// Both buffers at once.
    pub fn buffers_mut(&mut self) -> (&mut Inbox, &mut Outbox) {
        (&mut self.incoming.inbox, &mut self.outgoing.outbox)
    }

    /// Wipes what the buffers still hold of messages that have been taken and sent: passwords, keys.
    pub fn scrub(&mut self) {
        self.incoming.inbox.scrub();
        self.outgoing.outbox.scrub();
    }

    /// Puts other limits in force, from the next header on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.incoming.inbox.set_limits(limits);
        self.outgoing.outbox.set_retain(limits.write_retain);
    }

    /// Whether nothing is on its way that this side knows of: nothing buffered, nothing queued, and no direction at its end.
    /// What replies are still owed is the caller's to count.
    pub fn is_quiet(&self) -> bool {
        let no_fault = self.incoming.fault.is_none() && self.outgoing.fault.is_none();
        no_fault && !self.inbox().is_mid_frame() && self.inbox().buffered() == 0 && self.outbox().is_empty()
    }

    /// Why nothing more will come, if that is so. Messages that have come may still wait to be received.
    pub fn read_fault(&self) -> Option<Fault> {
        self.incoming.fault
    }

    /// Why nothing more can be sent, if that is so.
    pub fn write_fault(&self) -> Option<Fault> {
        self.outgoing.fault
    }

    /// The stream.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// The stream. What is read from it or written to it here, the connection does not know of.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Gives back the stream and both buffers. Nothing is sent or closed.
    pub fn into_parts(self) -> (T, Inbox, Outbox) {
        (self.transport, self.incoming.inbox, self.outgoing.outbox)
    }
}

impl<R: Source> ReadHalf<R> {
    /// As [`Connection::recv`].
    ///
    /// # Errors
    /// As `Connection::recv`.
    #[inline]
    pub fn recv(&mut self) -> impl Future<Output = Result<Frame<'_>, Error>> {
        Recv(Some(self))
    }

    /// As [`Connection::recv_owned`].
    ///
    /// # Errors
    /// As `Connection::recv`.
    pub async fn recv_owned(&mut self) -> Result<FrameBuf, Error> {
        let head = poll_fn(|cx| self.poll_head(cx)).await?;
        Ok(self.incoming.inbox.take_owned(head))
    }

    /// As [`Connection::try_recv`].
    ///
    /// # Errors
    /// As `Connection::try_recv`.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Frame<'_>>, Error> {
        self.incoming.next()
    }

    /// As [`Connection::ready`].
    ///
    /// # Errors
    /// As `Connection::recv`.
    pub async fn ready(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// As [`ready`](Self::ready).
    ///
    /// # Errors
    /// As `Connection::recv`.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_head(cx).map_ok(drop)
    }
}

impl<R> ReadHalf<R> {
    /// The buffer for incoming bytes: what has come and has not been taken.
    pub fn inbox(&self) -> &Inbox {
        &self.incoming.inbox
    }

    /// The buffer for incoming bytes, to change its limits or to take frames directly. What is taken here,
    /// [`recv`](Self::recv) does not see.
    pub fn inbox_mut(&mut self) -> &mut Inbox {
        &mut self.incoming.inbox
    }

    /// As [`Connection::read_fault`].
    pub fn fault(&self) -> Option<Fault> {
        self.incoming.fault
    }
}

impl<W> WriteHalf<W> {
    /// As [`Connection::put`].
    #[inline]
    pub fn put<M: Messages + ?Sized>(&mut self, message: &M) -> &mut Self {
        self.outgoing.outbox.put(message);
        self
    }

    /// The buffer for outgoing bytes: what is to be sent and has not gone.
    pub fn outbox(&self) -> &Outbox {
        &self.outgoing.outbox
    }

    /// The buffer for outgoing bytes, to put messages or raw bytes into. They leave with the next flush.
    pub fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.outgoing.outbox
    }

    /// As [`Connection::write_fault`].
    pub fn fault(&self) -> Option<Fault> {
        self.outgoing.fault
    }
}

impl<W: Sink> WriteHalf<W> {
    /// As [`Connection::flush`], but it only writes: the receiving half has to go on receiving.
    ///
    /// # Errors
    /// [`Encode`](Error::Encode) when a queued message cannot be sent: nothing of the batch leaves. [`Io`](Error::Io) when
    /// the stream fails.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.outgoing.outbox.commit()?;
        poll_fn(|cx| self.outgoing.poll_send(&mut self.sink, cx, &mut &[][..])).await
    }

    /// As [`Connection::close`].
    ///
    /// # Errors
    /// As [`flush`](Self::flush), and the stream's own.
    pub async fn close(&mut self) -> Result<(), Error> {
        self.flush().await?;
        poll_fn(|cx| self.outgoing.poll_close(&mut self.sink, cx)).await
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
