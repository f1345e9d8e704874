//! A connection to the server.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pg_auth::SslMode;
use pg_stream_tokio::{AuthenticationMode, Config, ConnectionBuilder, TokioIo};
use pg_wire::backend::{ErrorField, ErrorResponse};
use pg_wire::frontend::{CopyDone, CopyFail, Query, Sync};
use pg_wire::session::{SessionState, Step};
use pg_wire::{Frame, Inbox, Limits, MessageCode, Sink, Source};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

use crate::client::Client;
use crate::failure::Failure;
use crate::pool::{Lease, Pool, Route};
use crate::pooler::Pooler;
use crate::session::{Forward, Session, is_special};

/// Maximum time to connect to the server.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Maximum time for the steps that make a session idle after its client has disconnected.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// Maximum number of these steps.
const MOST_STEPS: usize = 100_000;

/// Number of consecutive reads that end with a row, after which a result counts as long.
const LONG: u32 = 8;

/// Pause between two reads of a long result. A server sends rows in pieces of 8 kB, and a pause lets one read return several pieces. With
/// the pause a million rows need a fifth of the CPU time.
const PAUSE: Duration = Duration::from_millis(2);

/// A connection to the server, and its session.
pub(crate) struct Server {
    stream: Stream,
    inbox: Inbox,
    pub(crate) session: Session,
    route: Arc<Route>,
    /// Number of consecutive reads that ended with a row.
    rows: u32,
}

enum Stream {
    Open(TokioIo<TcpStream>),
    /// Not registered with the runtime until the end of a pause. Otherwise each piece that arrives would wake the task.
    Paused(std::net::TcpStream, Pin<Box<Sleep>>),
    /// The stream could not be registered with the runtime.
    Lost,
}

impl Stream {
    /// The stream, after the end of a pause.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<&mut TokioIo<TcpStream>, Failure>> {
        if let Self::Paused(_, end) = self {
            ready!(end.as_mut().poll(cx));
        }
        Poll::Ready(self.resumed())
    }

    /// The stream. A pause ends here.
    fn resumed(&mut self) -> Result<&mut TokioIo<TcpStream>, Failure> {
        if matches!(self, Self::Paused(..))
            && let Self::Paused(stream, _) = std::mem::replace(self, Self::Lost)
        {
            *self = Self::Open(TokioIo(TcpStream::from_std(stream).map_err(|_| Failure::ServerLost)?));
        }
        if let Self::Open(stream) = self { Ok(stream) } else { Err(Failure::ServerLost) }
    }

    fn pause(&mut self) {
        if let Self::Open(TokioIo(stream)) = std::mem::replace(self, Self::Lost)
            && let Ok(stream) = stream.into_std()
        {
            *self = Self::Paused(stream, Box::pin(sleep(PAUSE)));
        }
    }
}

/// Connects and logs in with the keys of a client.
///
/// # Errors
/// When the server cannot be reached or rejects the login.
pub(crate) async fn dial(pool: &Pool, pooler: &Pooler) -> Result<Server, Failure> {
    let keys = pool.keys().ok_or(Failure::Gone)?;
    let unreachable = |error: std::io::Error| Failure::Unreachable(error.to_string());
    let stream = timeout(CONNECT_LIMIT, TcpStream::connect(&pooler.upstream)).await;
    let stream = stream.map_err(std::io::Error::from).flatten().map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let config = Config::new(&pool.user).database(&pool.database).sslmode(SslMode::Disable);
    let builder = ConnectionBuilder::from(config).auth(AuthenticationMode::ScramKeys(keys));
    let login = builder.connect(stream).await;
    let (conn, start) = login.map_err(|error| Failure::Unreachable(error.to_string()))?;
    let mut state = SessionState::new();
    for (name, value) in start.parameters.iter() {
        state.set_parameter(name.into(), value.into());
    }
    let defaults = start.parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    pool.set_defaults(defaults.collect());
    let (stream, inbox, _) = conn.into_parts();
    let (session, route) = (Session::new(state), Route::new(start.cancel_key));
    Ok(Server { stream: Stream::Open(stream), inbox, session, route, rows: 0 })
}

/// Returns the connection of a disconnected client to the pool. First cancels a running query and rolls back an open transaction. Closes
/// the connection if these steps take too long.
pub(crate) async fn settle(mut lease: Lease, pooler: Arc<Pooler>) {
    let Some(server) = lease.server() else { return };
    if let Ok(Ok(())) = timeout(SETTLE_LIMIT, server.settle(&pooler)).await {
        lease.release();
    }
}

impl Server {
    pub(crate) fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Whether the session is idle, and another client can use it.
    pub(crate) fn is_idle(&self) -> bool {
        self.session.outbox.is_empty() && self.session.state.check_idle().is_ok()
    }

    /// Whether an idle connection can be used. Makes no system call unless bytes have arrived.
    pub(crate) fn is_alive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let Ok(stream) = self.stream.resumed() else { return false };
        while let Poll::Ready(read) = stream.poll_read(&mut cx, self.inbox.space()) {
            match read {
                Ok(count @ 1..) => self.inbox.filled(count),
                _ => return false,
            }
            // The server sends a changed parameter, or the reason why it ends the session.
            while let Ok(Some(frame)) = self.inbox.next() {
                if self.session.received_idle(frame).is_err() {
                    return false;
                }
            }
        }
        true
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let outbox = &mut self.session.outbox;
        outbox.commit().map_err(|error| Failure::Protocol(error.to_string()))?;
        while !outbox.is_empty() {
            match ready!(self.stream.resumed()?.poll_write(cx, outbox.pending())) {
                Ok(count) => outbox.sent(count),
                // The server's last message contains the reason, and must be read first.
                Err(_) => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and forwards the replies. Without a client the replies are dropped.
    pub(crate) fn poll_replies(
        &mut self,
        cx: &mut Context<'_>,
        mut client: Option<&mut Client>,
    ) -> Poll<Result<(), Failure>> {
        let stream = ready!(self.stream.poll(cx))?;
        let count = match ready!(stream.poll_read(cx, self.inbox.space())) {
            Ok(count @ 1..) => count,
            _ => return Poll::Ready(Err(Failure::ServerLost)),
        };
        self.inbox.filled(count);
        let run = self.inbox.frames().map_err(|_| Failure::ServerLost)?;
        let Some(run) = run else { return Poll::Ready(Ok(())) };
        let bytes = run.as_bytes();
        let (mut from, mut end) = (0, 0);
        let mut last = MessageCode::default();
        for frame in run {
            last = frame.code;
            let start = end;
            end += frame.wire_len();
            let reply = self.session.state.received(frame).map_err(|_| Failure::ServerLost)?;
            // Fast path: most replies need no change.
            if !self.session.has_fixes() && !is_special(frame.code) {
                continue;
            }
            let forward = self.session.reply(frame, reply, client.as_deref_mut())?;
            if matches!(forward, Forward::Unchanged) {
                continue;
            }
            if let Some(client) = &mut client {
                client.outbox.put_raw(bytes.get(from..start).unwrap_or_default());
                match forward {
                    Forward::Empty(code) => client.outbox.put(&Frame { code, body: b"" }),
                    Forward::Error(state, text) => {
                        let fields = ErrorField::four("ERROR", &state, &text);
                        client.outbox.put(&ErrorResponse { fields: (&fields).into() });
                    }
                    Forward::Not | Forward::Unchanged => {}
                }
            }
            from = end;
        }
        if let Some(client) = client {
            client.forward(bytes.get(from..).unwrap_or_default());
        }
        self.rows =
            if [MessageCode::DATA_ROW, MessageCode::COPY_DATA].contains(&last) { self.rows + 1 } else { 0 };
        if self.rows >= LONG && count < Limits::BACKEND.read_size {
            self.stream.pause();
        }
        let ended = self.session.state.over().is_some();
        Poll::Ready(if ended { Err(Failure::ServerEnded) } else { Ok(()) })
    }

    /// Takes the steps that make the session idle.
    async fn settle(&mut self, pooler: &Pooler) -> Result<(), Failure> {
        if self.session.state.oldest().is_some() {
            self.route.cancel(pooler).await;
        }
        for _ in 0..MOST_STEPS {
            let session = &mut self.session;
            match session.state.next_step().map_err(|_| Failure::ServerEnded)? {
                None => return Ok(()),
                Some(Step::CopyFail) => {
                    session.send(&CopyFail { reason: "the client has disconnected".into() })?
                }
                Some(Step::CopyDone) => session.send(&CopyDone {})?,
                Some(Step::Sync) => session.send(&Sync {})?,
                Some(Step::Query(sql)) => session.send(&Query { sql: sql.into() })?,
                Some(_) => {
                    // Reads while it writes, because the server may stop reading until its own output is read.
                    poll_fn(|cx| {
                        if let Poll::Ready(Err(failure)) = self.poll_flush(cx) {
                            return Poll::Ready(Err(failure));
                        }
                        self.poll_replies(cx, None)
                    })
                    .await?;
                }
            }
        }
        Err(Failure::ServerLost)
    }
}
