//! The loops that drive the state machines over any stream that can be polled; dialling and accepting for every runtime.
//!
//! - [`connect`], [`drive`], [`accept`](accept()), [`cancel`](cancel()): one phase over one [`Connection`].
//! - [`ConnectionBuilder`]: hosts, addresses, TLS and time limits, over a [`Runtime`](crate::runtime::Runtime).
//! - [`Acceptor`]: the server role, likewise.

mod acceptor;
mod builder;
mod cancel;
mod dial;
mod error;
mod target;

use pg_wire::backend::Backend;
use pg_wire::{Connection, Limits, Transport};

pub use acceptor::{AcceptedStream, Acceptor};
pub use builder::ConnectionBuilder;
pub use dial::Dialled;
pub use error::{ConnectError, ConnectErrorKind, Place};

use crate::accept::{Accept, AcceptStep, Credentials, Login, Startup};
use crate::config::Config;
use crate::error::{AuthError, PolicyError, Refusal};
use crate::handshake::{Handshake, Step};
use crate::link::Link;
use crate::runtime::Offload;
use crate::session::{CancelKey, Session};

/// Goes through the connection phase as a client, on a connection over which nothing has been sent yet.
///
/// `offload` runs the derivation of a SCRAM key, some milliseconds of pure computing, where the derivation does not block
/// the executor. During the phase, messages are limited to the length that an unauthenticated server may send; the
/// connection's own limits are back in force afterwards.
///
/// ```
/// use pg_auth::{AuthenticationMode, Config, Link, connect::connect, runtime::Inline};
/// use pg_wire::{Connection, Limits, testing::{Script, block_on}};
///
/// // In place of a socket: the bytes that a server would send.
/// let socket = Script::says(b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0018.0\0Z\0\0\0\x05I");
/// let mut conn = Connection::new(socket, Limits::BACKEND);
/// let config = Config::new("postgres").auth(AuthenticationMode::Trust);
///
/// let session = block_on(connect(&mut conn, &config, Link::Tcp, &Inline))?;
/// assert_eq!(session.parameters.get("server_version"), Some("18.0"));
/// # Ok::<_, pg_auth::ConnectError>(())
/// ```
///
/// # Errors
/// [`ConnectErrorKind::Auth`] when the login fails on either side, otherwise the connection's own error.
pub async fn connect<T: Transport>(
    conn: &mut Connection<T>,
    config: &Config,
    link: Link,
    offload: &impl Offload,
) -> Result<Session, ConnectError> {
    drive(conn, &mut Handshake::new(config, link)?, offload).await
}

/// As [`connect`], with a [`Handshake`] that the caller has prepared, such as with a certificate's hash or a fixed nonce.
///
/// # Errors
/// As `connect`.
pub async fn drive<T: Transport>(
    conn: &mut Connection<T>,
    handshake: &mut Handshake<'_>,
    offload: &impl Offload,
) -> Result<Session, ConnectError> {
    let phase = Phase::begin(conn);
    let conn = &mut *phase.conn;
    let mut unsent = None;
    loop {
        let (inbox, outbox) = conn.buffers_mut();
        let step = handshake.step(inbox, outbox)?;
        let seen = conn.inbox().buffered();
        let flushed = match conn.flush().await {
            Err(pg_wire::Error::Encode(error)) => return Err(AuthError::from(error).into()),
            flushed => flushed,
        };
        match step {
            Step::Read => {
                // If the server has disconnected, its last message is still to be read, and gives the reason.
                unsent = unsent.or(flushed.err().filter(pg_wire::Error::is_fatal));
                // A flush reads while it waits. The bytes that the flush has read may be the last to arrive.
                if conn.inbox().buffered() == seen
                    && let Err(error) = conn.fill().await
                {
                    return Err(more_telling(unsent, error).into());
                }
            }
            Step::Derive(job) => {
                let salted = offload.offload(|| job.run()).await.map_err(ConnectErrorKind::Offload)?;
                handshake.derived(&salted, conn.outbox_mut());
            }
            Step::Token(request) => {
                let Some(tokens) = &handshake.config().tokens else {
                    return Err(AuthError::from(PolicyError::NoTokens).into());
                };
                let reply = tokens.token(request).await;
                handshake.token(reply, conn.outbox_mut())?;
            }
            Step::Gss(job) => {
                let stepped = offload.offload(|| job.run()).await.map_err(ConnectErrorKind::Offload)?;
                handshake.stepped(stepped, conn.outbox_mut())?;
            }
            Step::Ready(session) => {
                flushed.map_err(|error| unsent.unwrap_or(error))?;
                return Ok(session);
            }
        }
    }
}

/// Chooses between the error of a write and that of the read after it: the read has the reason if the peer gave one, such as an alert of
/// TLS, and otherwise only tells that the connection is gone.
fn more_telling(unsent: Option<pg_wire::Error>, read: pg_wire::Error) -> pg_wire::Error {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let is_gone = match &read {
        pg_wire::Error::Io(error) => {
            [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&error.kind())
        }
        _ => true,
    };
    unsent.filter(|_| is_gone).unwrap_or(read)
}

/// Goes through the connection phase on a connection over which nothing has been said yet, as a server: with [`Accept::new`], or
/// over TLS.
///
/// `lookup` is given the start-up message and says how its user is to be authenticated. On success AuthenticationOk has
/// been sent; what comes after it is the caller's, with [`welcome`](crate::accept::welcome). On failure the client has been told,
/// as PostgreSQL would, and the connection is to be dropped. How long a client may take is the caller's to limit, around the
/// whole call.
///
/// # Errors
/// [`ConnectErrorKind::Auth`] when there will be no session, and otherwise what the connection reports.
pub async fn accept<T, L, C>(
    conn: &mut Connection<T>,
    mut accept: Accept,
    lookup: L,
    offload: &impl Offload,
) -> Result<Accepted, ConnectError>
where
    T: Transport,
    L: Fn(Startup) -> C,
    C: Future<Output = Credentials>,
{
    let phase = Phase::begin(conn);
    let conn = &mut *phase.conn;
    loop {
        let (inbox, outbox) = conn.buffers_mut();
        let step = accept.step(inbox, outbox);
        let seen = conn.inbox().buffered();
        // Also when the step has failed: then it is the client who is told.
        let flushed = conn.flush().await;
        match step? {
            // As in `drive`: what the flush has read comes first.
            AcceptStep::Read if conn.inbox().buffered() != seen => {}
            AcceptStep::Read => conn.fill().await?,
            AcceptStep::Authenticate(startup) => {
                let credentials = lookup(startup.clone()).await;
                let (inbox, outbox) = conn.buffers_mut();
                if let Err(error) = accept.authenticate(credentials, inbox, outbox) {
                    let _ = conn.flush().await;
                    return Err(error.into());
                }
            }
            AcceptStep::Derive(job) => {
                let salted = offload.offload(|| job.run()).await.map_err(ConnectErrorKind::Offload)?;
                accept.derived(&salted);
            }
            AcceptStep::Token(check) => {
                let is_good = check.run().await;
                accept.token_checked(is_good);
            }
            AcceptStep::Gss(job) => {
                let stepped = offload.offload(|| job.run()).await.map_err(ConnectErrorKind::Offload)?;
                accept.stepped(stepped);
            }
            AcceptStep::Login(login) => {
                flushed?;
                return Ok(Accepted::Login(login));
            }
            AcceptStep::Cancel(key) => return Ok(Accepted::Cancel(key)),
        }
    }
}

/// Sends a cancel request on a connection over which nothing has been said yet, and waits until the server has passed it on,
/// which it tells by closing.
///
/// # Errors
/// When the connection breaks before that, or the server says why it will not.
pub async fn cancel<T: Transport>(conn: &mut Connection<T>, key: &CancelKey) -> Result<(), ConnectError> {
    let phase = Phase::begin(conn);
    let conn = &mut *phase.conn;
    conn.set_limits(phase.limits.before_authentication());
    conn.put(&key.request()).flush().await?;
    match conn.recv().await {
        Err(pg_wire::Error::Closed { mid_message: false }) => Ok(()),
        // A server that knows no such request, or has no room for one, may say so.
        Ok(frame) => match frame.backend().map_err(AuthError::from)? {
            Backend::ErrorResponse(error) => Err(AuthError::from(Refusal::Response(error.to_owned())).into()),
            _ => Ok(()),
        },
        Err(error) => Err(error.into()),
    }
}

/// A connection as long as the other side is a stranger. However that ends, by an error or because the future is dropped too,
/// nothing of what was said stays in the buffers, and the connection's own limits are back in force.
struct Phase<'c, T> {
    conn: &'c mut Connection<T>,
    limits: Limits,
}

impl<'c, T> Phase<'c, T> {
    fn begin(conn: &'c mut Connection<T>) -> Self {
        let limits = *conn.inbox().limits();
        Self { conn, limits }
    }
}

impl<T> Drop for Phase<'_, T> {
    fn drop(&mut self) {
        // What has not left by now, a password perhaps, never will.
        let outbox = self.conn.outbox_mut();
        let _ = outbox.commit();
        outbox.sent(outbox.pending().len());
        self.conn.scrub();
        self.conn.set_limits(self.limits);
    }
}

/// What a client has come for.
#[derive(Debug)]
pub enum Accepted {
    /// A session; the user is in.
    Login(Login),
    /// To have the statement of another session given up. There is no answer: do it, or not, and close.
    Cancel(CancelKey),
}

#[cfg(test)]
mod tests {
    use super::more_telling;
    use pg_wire::Error;
    use std::io::{self, ErrorKind};

    #[test]
    fn a_reason_that_was_read_counts_more_than_a_write_that_failed() {
        let reset = || Error::Io(ErrorKind::ConnectionReset.into());
        let alert = || Error::Io(io::Error::new(ErrorKind::InvalidData, "an alert of TLS"));
        let kind = |error: Error| match error {
            Error::Io(error) => Some(error.kind()),
            _ => None,
        };
        let broken = || Some(Error::Io(ErrorKind::BrokenPipe.into()));
        assert_eq!(kind(more_telling(broken(), alert())), Some(ErrorKind::InvalidData));
        assert_eq!(kind(more_telling(broken(), reset())), Some(ErrorKind::BrokenPipe));
        let closed = Error::Closed { mid_message: false };
        assert_eq!(kind(more_telling(broken(), closed)), Some(ErrorKind::BrokenPipe));
        assert_eq!(kind(more_telling(None, reset())), Some(ErrorKind::ConnectionReset));
    }
}
