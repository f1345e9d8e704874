//! Serves a client from the end of its login to the end of its session.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pg_auth::accept::fatal;
use pg_stream_tokio::TokioIo;
use pg_wire::session::Step;
use pg_wire::{Inbox, Limits, MessageCode, Outbox, Sink, Source};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::pool::{Pool, Seat};
use crate::pooler::Pooler;
use crate::server::{self, Server};
use crate::session::Unnamed;
use crate::settings::Settings;
use crate::statements::Statement;

/// Limit, in bytes, for the queue to the server. At this limit, the pooler stops reading from the client.
const BACKLOG: usize = 64 * 1024;

/// Maximum time for a client to read the error that ends its session, and to close the connection.
const PARTING: Duration = Duration::from_secs(2);

thread_local! {
    /// A spare read buffer. The next client that sends a request takes this buffer. An idle client holds no read buffer.
    static SPARE: RefCell<Option<Inbox>> = const { RefCell::new(None) };
}

/// A client that is logged in.
pub(crate) struct Client {
    pub(crate) stream: TokioIo<TcpStream>,
    /// Buffer with received bytes that are not forwarded yet, for example the first part of a message.
    pub(crate) inbox: Option<Inbox>,
    /// Replies that are still to be sent to the client.
    pub(crate) outbox: Outbox,
    pub(crate) seat: Arc<Seat>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) settings: Arc<Settings>,
    /// The client's prepared statements. The key is the name that the client has given to the statement.
    pub(crate) statements: HashMap<Box<[u8]>, Arc<Statement>>,
    /// The unnamed statement that the client prepared last: the body of its Parse message, without the statement name.
    pub(crate) unnamed: Option<Vec<u8>>,
    /// Number of unnamed statements that the client has prepared.
    pub(crate) versions: u64,
    /// Whether the client has sent Terminate.
    pub(crate) has_left: bool,
}

impl Client {
    /// Serves the client until its session ends.
    pub(crate) async fn run(mut self, pooler: Arc<Pooler>) {
        let Err(failure) = self.serve(&pooler).await;
        pooler.forget(&self.seat);
        Box::pin(self.part(&failure)).await;
    }

    async fn serve(&mut self, pooler: &Arc<Pooler>) -> Result<std::convert::Infallible, Failure> {
        loop {
            poll_fn(|cx| self.poll_idle(cx)).await?;
            let mut lease = self.pool.acquire(&self.seat).await?;
            if lease.server().is_none() {
                // Waits for the request before the server connection is made. If the client disconnects during this wait, no server
                // connection is needed.
                self.expect_request().await?;
                Box::pin(lease.connect(pooler)).await?;
            }
            let Some(server) = lease.server() else { continue };
            server.session.begin(&self.settings)?;
            self.seat.set_route(Some(Arc::clone(server.route())));
            let done = poll_fn(|cx| self.poll_transaction(cx, server)).await;
            self.seat.set_route(None);
            match done {
                Ok(()) => lease.release(),
                Err(failure) => {
                    if failure.spares_server() {
                        tokio::spawn(server::settle(lease, Arc::clone(pooler)));
                    }
                    return Err(failure);
                }
            }
            if self.has_left {
                return Err(Failure::Gone);
            }
        }
    }

    /// Sends the waiting replies to the client, and waits for its next request.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let flushed = self.poll_flush(cx)?;
        if self.inbox.as_mut().is_some_and(|inbox| !matches!(inbox.head(), Ok(None))) {
            return Poll::Ready(Ok(()));
        }
        let readable = self.stream.0.poll_read_ready(cx);
        ready!(flushed);
        readable.map_err(|_| Failure::Gone)
    }

    /// Waits for a request of the client. Fails if the client disconnects or sends Terminate.
    async fn expect_request(&mut self) -> Result<(), Failure> {
        let mut first = [0];
        let is_request = self.inbox.is_some()
            || matches!(self.stream.0.peek(&mut first).await, Ok(1) if first[0] != MessageCode::TERMINATE.0);
        if is_request { Ok(()) } else { Err(Failure::Gone) }
    }

    /// Forwards messages in both directions between the client and the server, until the session of the server is idle.
    fn poll_transaction(&mut self, cx: &mut Context<'_>, server: &mut Server) -> Poll<Result<(), Failure>> {
        loop {
            let mut progress = false;
            let has_room = server.session.outbox.pending().len() < BACKLOG;
            if has_room && !self.has_left && !server.session.has_barrier() {
                progress |= self.poll_requests(cx, server)?.is_ready();
            }
            let _ = server.poll_flush(cx)?;
            let _ = self.poll_flush(cx)?;
            if self.outbox.is_empty() {
                progress |= server.poll_replies(cx, Some(self))?.is_ready();
            }
            if server.is_idle() {
                return Poll::Ready(Ok(()));
            }
            // After Terminate, the session of the client ends when the server has replied to all earlier requests, or when the server waits
            // for COPY data that will not arrive. After the failure `Gone`, `settle` ends a COPY and rolls back an open transaction.
            let state = &server.session.state;
            let waits_for_data = matches!(state.next_step(), Ok(Some(Step::CopyFail)));
            if self.has_left && (state.oldest().is_none() || waits_for_data) {
                return Poll::Ready(Err(Failure::Gone));
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Reads from the client once, and forwards the complete requests to the server.
    fn poll_requests(&mut self, cx: &mut Context<'_>, server: &mut Server) -> Poll<Result<(), Failure>> {
        let spare = || SPARE.take().unwrap_or_else(|| Inbox::new(Limits::FRONTEND));
        let mut inbox = self.inbox.take().unwrap_or_else(spare);
        let read = self.stream.poll_read(cx, inbox.space());
        match read {
            Poll::Ready(Ok(count @ 1..)) => inbox.filled(count),
            Poll::Ready(_) => return Poll::Ready(Err(Failure::Gone)),
            Poll::Pending => {}
        }
        let forwarded = self.requests(&mut inbox, server);
        // After an error, no other client may get this inbox: while an inbox skips the rest of a long message, it would drop bytes of the
        // other client.
        if forwarded.is_ok() && inbox.buffered() == 0 {
            SPARE.set(Some(inbox));
        } else {
            self.inbox = Some(inbox);
        }
        forwarded?;
        read.map(|_| Ok(()))
    }

    fn requests(&mut self, inbox: &mut Inbox, server: &mut Server) -> Result<(), Failure> {
        while !server.session.has_barrier()
            && let Some(frame) = inbox.next().map_err(|error| Failure::Protocol(error.to_string()))?
        {
            if frame.code == MessageCode::TERMINATE {
                self.has_left = true;
                return Ok(());
            }
            server.session.forward(frame, self)?;
        }
        Ok(())
    }

    /// Sends replies to the client. Bytes that the socket does not accept at once are added to `outbox`.
    pub(crate) fn forward(&mut self, replies: &[u8]) {
        let mut rest = replies;
        if self.outbox.is_empty() {
            // An error is ignored here: if the connection is broken, the next read reports the error.
            let count = self.stream.0.try_write(replies).unwrap_or(0);
            rest = replies.get(count..).unwrap_or_default();
        }
        if !rest.is_empty() {
            self.outbox.put_raw(rest);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.outbox.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.outbox.commit().map_err(|_| Failure::Gone)?;
        while !self.outbox.is_empty() {
            let sent = ready!(self.stream.poll_write(cx, self.outbox.pending()));
            self.outbox.sent(sent.map_err(|_| Failure::Gone)?);
        }
        Poll::Ready(Ok(()))
    }

    /// Records a parameter value that the server has reported. The pooler sets this value on every server connection that the client uses
    /// later.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let mut settings = Settings::clone(&self.settings);
        if settings.set(name, value) {
            self.settings = self.pool.settings.intern(settings);
        }
    }

    /// Stores the unnamed statement that the client has prepared. The client's next transaction may use this statement on another server
    /// connection.
    pub(crate) fn set_unnamed(&mut self, body: &[u8]) -> Unnamed {
        self.versions += 1;
        let unnamed = self.unnamed.get_or_insert_default();
        unnamed.clear();
        unnamed.extend_from_slice(body);
        (self.seat.key.pid(), self.versions)
    }

    /// Forgets an unnamed statement that the server has rejected. Does nothing if the client has prepared another unnamed statement in the
    /// meantime.
    pub(crate) fn forget_unnamed(&mut self, unnamed: Unnamed) {
        if unnamed == (self.seat.key.pid(), self.versions) {
            self.unnamed = None;
        }
    }

    /// Returns the identity and the Parse body of the client's unnamed statement, or `None` if the client has no unnamed statement.
    pub(crate) fn unnamed(&self) -> Option<(Unnamed, &[u8])> {
        let body = self.unnamed.as_deref()?;
        Some(((self.seat.key.pid(), self.versions), body))
    }

    /// Sends the client the reason why its session ends, and closes the connection.
    async fn part(mut self, failure: &Failure) {
        if let Some(state) = failure.sqlstate() {
            fatal(state, &failure.to_string(), &mut self.outbox);
        }
        let parting = async {
            poll_fn(|cx| self.poll_flush(cx)).await?;
            poll_fn(|cx| self.stream.poll_close(cx)).await.map_err(|_| Failure::Gone)?;
            // Reads until the client closes the connection. If a socket is closed with unread bytes, the system resets the connection, and
            // the client may lose the last message.
            let mut unread = [0; 512];
            while self.stream.0.read(&mut unread).await.is_ok_and(|count| count > 0) {}
            Ok::<_, Failure>(())
        };
        let _ = timeout(PARTING, parting).await;
    }
}
