//! The loop around the machine, for whatever can be polled.

use std::fmt;
use std::io;

use pg_wire::backend::Backend;
use pg_wire::{Connection, Limits, Transport};

use crate::accept::{Accept, AcceptStep, Credentials, Login, Startup};
use crate::config::{Config, Host};
use crate::error::{AuthError, ConfigError, PolicyError, Refusal};
use crate::handshake::{Handshake, Step};
use crate::link::Link;
use crate::scram::{Derivation, SaltedPassword};
use crate::session::{CancelKey, Session};

/// Goes through the connection phase on a connection over which nothing has been said yet, as a client.
///
/// `offload` runs the derivation of a SCRAM key, some milliseconds of pure computing, where it does not keep the
/// executor from its other work. While the phase lasts nothing longer than a stranger may send is taken; the connection's
/// own limits are back in force afterwards.
///
/// ```
/// use pg_auth::{AuthenticationMode, Config, Link, connect::connect};
/// use pg_wire::{Connection, Limits, testing::{Script, block_on}};
///
/// // In place of a socket: what a server would say.
/// let socket = Script::says(b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0018.0\0Z\0\0\0\x05I");
/// let mut conn = Connection::new(socket, Limits::BACKEND);
/// let config = Config::new("postgres").auth(AuthenticationMode::Trust);
///
/// let session = block_on(connect(&mut conn, &config, Link::Tcp, async |job| Ok(job.run())))?;
/// assert_eq!(session.parameters.get("server_version"), Some("18.0"));
/// # Ok::<_, pg_auth::ConnectError>(())
/// ```
///
/// # Errors
/// [`ConnectError::Auth`] when there will be no session, whoever is at fault, and otherwise what the connection reports.
pub async fn connect<T, F, Fut>(
    conn: &mut Connection<T>,
    config: &Config,
    link: Link,
    offload: F,
) -> Result<Session, ConnectError>
where
    T: Transport,
    F: FnOnce(Derivation) -> Fut,
    Fut: Future<Output = io::Result<SaltedPassword>>,
{
    drive(conn, Handshake::new(config, link)?, offload).await
}

/// As [`connect`], with a [`Handshake`] that the caller has prepared, such as with a certificate's hash or a fixed nonce.
///
/// # Errors
/// As `connect`.
pub async fn drive<T, F, Fut>(
    conn: &mut Connection<T>,
    mut handshake: Handshake<'_>,
    offload: F,
) -> Result<Session, ConnectError>
where
    T: Transport,
    F: FnOnce(Derivation) -> Fut,
    Fut: Future<Output = io::Result<SaltedPassword>>,
{
    let phase = Phase::begin(conn);
    let conn = &mut *phase.conn;
    let mut offload = Some(offload);
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
                // Should the server have gone, what it said last is still to be read, and says why.
                unsent = unsent.or(flushed.err().filter(pg_wire::Error::is_fatal));
                // A flush reads while it waits. What it has read may be all that will come.
                if conn.inbox().buffered() == seen
                    && let Err(error) = conn.fill().await
                {
                    return Err(unsent.unwrap_or(error).into());
                }
            }
            Step::Derive(job) => {
                // The machine goes through SCRAM once.
                let Some(offload) = offload.take() else { return Err(ConnectError::Offload(None)) };
                let salted = offload(job).await.map_err(|error| ConnectError::Offload(Some(error)))?;
                handshake.derived(&salted, conn.outbox_mut());
            }
            Step::Token(request) => {
                let Some(tokens) = &handshake.config().tokens else {
                    return Err(AuthError::from(PolicyError::NoTokens).into());
                };
                let reply = tokens.token(request).await;
                handshake.token(reply, conn.outbox_mut())?;
            }
            Step::Gss(job) => handshake.stepped(job.run(), conn.outbox_mut())?,
            Step::Ready(session) => {
                flushed.map_err(|error| unsent.unwrap_or(error))?;
                return Ok(session);
            }
        }
    }
}

/// Goes through the connection phase on a connection over which nothing has been said yet, as a server.
///
/// `lookup` is given the start-up message and says how its user is to be authenticated. On success AuthenticationOk has
/// been sent; what comes after it is the caller's, with [`welcome`](crate::accept::welcome). On failure the client has been told,
/// as PostgreSQL would, and the connection is to be dropped. How long a client may take is the caller's to limit, around the
/// whole call.
///
/// # Errors
/// [`ConnectError::Auth`] when there will be no session, and otherwise what the connection reports.
pub async fn accept<T, L, Creds, F, Fut>(
    conn: &mut Connection<T>,
    lookup: L,
    offload: F,
) -> Result<Accepted, ConnectError>
where
    T: Transport,
    L: Fn(Startup) -> Creds,
    Creds: Future<Output = Credentials>,
    F: Fn(Derivation) -> Fut,
    Fut: Future<Output = io::Result<SaltedPassword>>,
{
    let phase = Phase::begin(conn);
    let conn = &mut *phase.conn;
    let mut accept = Accept::new();
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
                let salted = offload(job).await.map_err(|error| ConnectError::Offload(Some(error)))?;
                accept.derived(&salted);
            }
            AcceptStep::Token(check) => {
                let is_good = check.run().await;
                accept.token_checked(is_good);
            }
            AcceptStep::Gss(job) => accept.stepped(job.run()),
            AcceptStep::Accepted(login) => {
                flushed?;
                return Ok(Accepted::Login(login));
            }
            AcceptStep::Cancel(key) => return Ok(Accepted::Cancel(key)),
        }
    }
}

/// Tries the hosts of a configuration in turn, and goes on to the next one where a host cannot be reached or takes longer than
/// it may. One that answers and refuses is the end of it.
///
/// # Errors
/// That the configuration cannot be used, what the host that refused says, or why the last one could not be reached.
pub async fn first_reachable<'c, T, F, Fut>(config: &'c Config, attempt: F) -> Result<T, ConnectError>
where
    F: Fn(&'c Host) -> Fut,
    Fut: Future<Output = Result<T, ConnectError>>,
{
    config.check().map_err(AuthError::from)?;
    let mut failure = AuthError::from(ConfigError::Missing("host")).into();
    for host in &config.hosts {
        match attempt(host).await {
            Err(error @ (ConnectError::Unreachable { .. } | ConnectError::Timeout)) => failure = error,
            made => return made,
        }
    }
    Err(failure)
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

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server cannot be reached.
    Unreachable {
        /// Where it was looked for.
        host: String,
        /// What the operating system says.
        error: io::Error,
    },
    /// It took longer than `connect_timeout`.
    Timeout,
    /// The connection failed while logging in.
    Connection(pg_wire::Error),
    /// The connection phase failed.
    Auth(AuthError),
    /// The `offload` given for the key derivation failed; in the adapters, because their runtime is shutting down.
    Offload(Option<io::Error>),
}

impl ConnectError {
    /// What the server said, if it is the server that refused.
    pub fn server_error(&self) -> Option<&pg_wire::backend::ServerError> {
        match self {
            Self::Auth(error) => error.server_error(),
            _ => None,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { host, .. } => write!(f, "cannot connect to {host}"),
            Self::Timeout => f.write_str("the connection was not made within connect_timeout"),
            Self::Connection(error) => error.fmt(f),
            Self::Auth(error) => error.fmt(f),
            Self::Offload(_) => f.write_str("the key derivation could not be run"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable { error, .. } | Self::Offload(Some(error)) => Some(error),
            Self::Connection(error) => error.source(),
            Self::Auth(error) => error.source(),
            Self::Timeout | Self::Offload(None) => None,
        }
    }
}

impl From<pg_wire::Error> for ConnectError {
    fn from(error: pg_wire::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<AuthError> for ConnectError {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}
