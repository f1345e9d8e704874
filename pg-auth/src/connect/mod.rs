//! The loops that drive the state machines over any stream that can be polled. Also dials and accepts connections, for every runtime.
//!
//! - [`connect`], [`drive`], [`accept`](accept()): functions that run the connection phase over the caller's [`Connection`].
//! - [`cancel`](cancel()): sends a cancel request over the caller's [`Connection`].
//! - [`ConnectionBuilder`]: the client side: tries hosts and addresses, with TLS and time limits, over a
//!   [`Runtime`](crate::runtime::Runtime).
//! - [`Acceptor`]: the server side: logs in an accepted client, with TLS and a time limit, over a [`Runtime`](crate::runtime::Runtime).

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

/// Runs the connection phase as a client, on a connection over which nothing has been sent yet.
///
/// SCRAM derives a key, which takes some milliseconds of pure computing, and a step of GSSAPI may wait. `offload` runs these jobs, so that
/// they do not block the executor. During the phase, messages are limited to the length that an unauthenticated server may send; at the end
/// of the phase, the connection's own limits are restored.
///
/// ```
/// use pg_auth::{AuthenticationMode, Config, Link, connect::connect, runtime::Inline};
/// use pg_wire::{Connection, Limits, testing::{Script, block_on}};
///
/// // In place of a socket: the bytes that a server would send.
/// let socket = Script::sends(b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0018.0\0Z\0\0\0\x05I");
/// let mut conn = Connection::new(socket, Limits::BACKEND);
/// let config = Config::new("postgres").auth(AuthenticationMode::Trust);
///
/// let session = block_on(connect(&mut conn, &config, Link::Tcp, &Inline))?;
/// assert_eq!(session.parameters.get("server_version"), Some("18.0"));
/// # Ok::<_, pg_auth::ConnectError>(())
/// ```
///
/// # Errors
/// [`ConnectErrorKind::Auth`] if the login fails, otherwise the connection's own error.
pub async fn connect<T: Transport>(
    conn: &mut Connection<T>,
    config: &Config,
    link: Link,
    offload: &impl Offload,
) -> Result<Session, ConnectError> {
    drive(conn, &mut Handshake::new(config, link)?, offload).await
}

/// Like [`connect`], but with a [`Handshake`] that the caller has prepared, for example with the hash of a certificate or a fixed nonce.
///
/// # Errors
/// The errors of `connect`.
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
                // A failed write does not end the login here. If the server has disconnected, the server's last message may contain the
                // reason: read this message before the login fails.
                unsent = unsent.or(flushed.err().filter(pg_wire::Error::is_fatal));
                // A flush that waits also reads. If the flush has read bytes, do not wait for more bytes: process these bytes first,
                // because they may be all that the server sends.
                if conn.inbox().buffered() == seen
                    && let Err(error) = conn.fill().await
                {
                    return Err(more_informative(unsent, error).into());
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

/// Chooses between the error of a write and the error of the read after it. Returns the error of the read if this error contains a reason,
/// such as a TLS alert. If the error of the read only reports the end of the connection, returns the error of the write.
fn more_informative(unsent: Option<pg_wire::Error>, read: pg_wire::Error) -> pg_wire::Error {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let is_gone = match &read {
        pg_wire::Error::Io(error) => {
            [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&error.kind())
        }
        _ => true,
    };
    unsent.filter(|_| is_gone).unwrap_or(read)
}

/// Runs the connection phase as a server. Precondition: nothing has been sent on the connection, or TLS has begun and nothing has been sent
/// since then.
///
/// `lookup` receives the start-up message and decides how to authenticate the user. On success, AuthenticationOk has been sent; the caller
/// sends the messages up to ReadyForQuery with [`welcome`](crate::accept::welcome). A rejected client receives the same ErrorResponse as
/// from PostgreSQL, or no answer if PostgreSQL sends no answer in this case. Drop the connection after any failure. This function has no
/// time limit: the caller must limit the whole call.
///
/// # Errors
/// [`ConnectErrorKind::Auth`] if the client is rejected, otherwise the connection's own error.
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
        // Flush before the error of a failed step is returned: the outbox may contain an ErrorResponse for the client.
        let flushed = conn.flush().await;
        match step? {
            // `flush` also receives bytes, because a client may read nothing until the server has received the client's bytes. Received
            // bytes are processed before more bytes are read, as in `drive`.
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

/// Sends a cancel request on a connection over which nothing has been sent yet, and waits until the server closes the connection. The
/// server closes the connection after it has passed the request to the session's process.
///
/// # Errors
/// The connection breaks before the server closes it, or the server answers with an ErrorResponse.
pub async fn cancel<T: Transport>(conn: &mut Connection<T>, key: &CancelKey) -> Result<(), ConnectError> {
    let phase = Phase::begin(conn);
    let conn = &mut *phase.conn;
    conn.set_limits(phase.limits.before_authentication());
    conn.put(&key.request()).flush().await?;
    match conn.recv().await {
        Err(pg_wire::Error::Closed { mid_message: false }) => Ok(()),
        // A server that does not support the request, or has too many connections, may answer with an ErrorResponse.
        Ok(frame) => match frame.backend().map_err(AuthError::from)? {
            Backend::ErrorResponse(error) => Err(AuthError::from(Refusal::Response(error.to_owned())).into()),
            _ => Ok(()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Guard of a connection during the connection phase. When dropped, the guard wipes the phase's data from the buffers and restores the
/// connection's own limits. This covers success, an error, and a future that is dropped before its end.
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
        // Unsent bytes may contain a password. So discard these bytes: otherwise, a later flush would send them.
        let outbox = self.conn.outbox_mut();
        let _ = outbox.commit();
        outbox.sent(outbox.pending().len());
        self.conn.scrub();
        self.conn.set_limits(self.limits);
    }
}

/// The request of an accepted client: a login or the cancellation of a statement.
#[derive(Debug)]
pub enum Accepted {
    /// A login: the client has sent a start-up message, and the user is authenticated.
    Login(Login),
    /// A cancel request for the statement of another session. Cancel the statement if the key is right. In every case send no answer, and
    /// close the connection.
    Cancel(CancelKey),
}

#[cfg(test)]
mod tests {
    use super::more_informative;
    use pg_wire::Error;
    use std::io::{self, ErrorKind};

    #[test]
    fn a_read_error_with_a_reason_is_reported_instead_of_a_write_error() {
        let reset = || Error::Io(ErrorKind::ConnectionReset.into());
        let alert = || Error::Io(io::Error::new(ErrorKind::InvalidData, "an alert of TLS"));
        let kind = |error: Error| match error {
            Error::Io(error) => Some(error.kind()),
            _ => None,
        };
        let broken = || Some(Error::Io(ErrorKind::BrokenPipe.into()));
        assert_eq!(kind(more_informative(broken(), alert())), Some(ErrorKind::InvalidData));
        assert_eq!(kind(more_informative(broken(), reset())), Some(ErrorKind::BrokenPipe));
        let closed = Error::Closed { mid_message: false };
        assert_eq!(kind(more_informative(broken(), closed)), Some(ErrorKind::BrokenPipe));
        assert_eq!(kind(more_informative(None, reset())), Some(ErrorKind::ConnectionReset));
    }
}
