//! A connection to the server.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pg_auth::SslMode;
use pg_stream_tokio::{AuthenticationMode, Config, ConnectionBuilder};
use pg_wire::backend::{ErrorField, ErrorResponse};
use pg_wire::frontend::{CopyDone, CopyFail, Query, Sync};
use pg_wire::session::{SessionState, Step};
use pg_wire::{Frame, Inbox, Limits, MessageCode};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::Client;
use crate::failure::Failure;
use crate::pool::{Lease, Pool, Route};
use crate::pooler::Pooler;
use crate::session::{Forward, Session, is_special};
use crate::socket::{READ_SIZE, Socket};

/// Maximum time to connect to the server.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Longest time to make the session of a disconnected client idle. If this takes longer, the pooler closes the connection to the server.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// Largest number of steps to make the session of a disconnected client idle. A step sends a message to the server, or reads replies once.
/// If more steps are needed, the pooler closes the connection to the server.
const MOST_STEPS: usize = 100_000;

/// A connection to the server, and its session.
pub(crate) struct Server {
    socket: Socket,
    inbox: Inbox,
    pub(crate) session: Session,
    route: Arc<Route>,
}

/// Connects to the server, and logs in with the SCRAM keys of the pool's user.
///
/// # Errors
/// The server cannot be reached or rejects the login.
pub(crate) async fn dial(pool: &Pool, pooler: &Pooler) -> Result<Server, Failure> {
    let keys = pool.keys().ok_or(Failure::Gone)?;
    let unreachable = |error: std::io::Error| Failure::Unreachable(error.to_string());
    let stream = timeout(CONNECT_LIMIT, TcpStream::connect(&pooler.upstream)).await;
    let stream = stream.map_err(std::io::Error::from).flatten().map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let config = Config::new(&pool.user).database(&pool.database).sslmode(SslMode::Disable);
    let builder = ConnectionBuilder::from(config).auth(AuthenticationMode::ScramKeys(keys));
    let builder = builder.limits(Limits::BACKEND.read_size(READ_SIZE));
    let login = builder.connect(stream).await;
    let (conn, start) = login.map_err(|error| Failure::login(&error))?;
    let mut state = SessionState::new();
    for (name, value) in start.parameters.iter() {
        state.set_parameter(name.into(), value.into());
    }
    let defaults = start.parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    pool.set_defaults(defaults.collect());
    let (stream, inbox, _) = conn.into_parts();
    let (session, route) = (Session::new(state), Route::new(start.cancel_key));
    Ok(Server { socket: Socket::new(stream), inbox, session, route })
}

/// Cancels the running query of a disconnected client, rolls back its open transaction, and returns the connection to the pool. Closes the
/// connection if these steps take too long.
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

    /// Whether the session is idle, so that another client can use it.
    pub(crate) fn is_idle(&self) -> bool {
        self.session.outbox.is_empty() && self.session.state.check_idle().is_ok()
    }

    /// Whether an idle connection can still be used. Makes a system call only if bytes have arrived.
    pub(crate) fn is_alive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(read) = self.socket.poll_read(&mut cx, self.inbox.space()) {
            match read {
                Ok(count @ 1..) => self.inbox.filled(count),
                _ => return false,
            }
            // An idle server may send changed parameters, or an error before it ends the session.
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
            match ready!(self.socket.poll_write(cx, outbox.pending())) {
                Ok(count) => outbox.sent(count),
                // The write error is not returned. The server's last message may explain the error, so the caller has to read this message
                // first.
                Err(_) => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads from the server once, and forwards the replies to the client. If there is no client, drops the replies.
    pub(crate) fn poll_replies(
        &mut self,
        cx: &mut Context<'_>,
        mut client: Option<&mut Client>,
    ) -> Poll<Result<(), Failure>> {
        let Poll::Ready(read) = self.socket.poll_read(cx, self.inbox.space()) else {
            self.inbox.waiting();
            return Poll::Pending;
        };
        let count = match read {
            Ok(count @ 1..) => count,
            _ => return Poll::Ready(Err(Failure::ServerLost)),
        };
        self.inbox.filled(count);
        let run = self.inbox.frames().map_err(|_| Failure::ServerLost)?;
        let Some(run) = run else {
            // A message is longer than the buffered bytes: only its beginning has arrived.
            let code = self.inbox.peek().first().map(|code| MessageCode(*code));
            return Poll::Ready(self.note_read(count, code.unwrap_or_default()));
        };
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
        self.note_read(count, last)?;
        let ended = self.session.state.over().is_some();
        Poll::Ready(if ended { Err(Failure::ServerEnded) } else { Ok(()) })
    }

    /// Passes the result of a read to the socket: the number of bytes, and whether the last message is a row.
    fn note_read(&mut self, count: usize, last: MessageCode) -> Result<(), Failure> {
        let is_row = [MessageCode::DATA_ROW, MessageCode::COPY_DATA].contains(&last);
        self.socket.note_read(count, is_row).map_err(|_| Failure::ServerLost)
    }

    /// Makes the session idle: cancels a running query, ends a copy, and rolls back an open transaction.
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
                    // Writes and reads at the same time: the server may stop reading until the pooler has read the server's replies.
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
