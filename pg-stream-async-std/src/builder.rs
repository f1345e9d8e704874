//! From a configuration to a session.

use std::io;

use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::future;

use pg_auth::scram::{Derivation, SaltedPassword};
use pg_auth::{AuthenticationMode, Config, ConnectError, Host, Link, Session, connect};
use pg_wire::Limits;

use crate::{Connection, FuturesIo, Socket};

/// Makes connections: over a stream of the caller's with [`connect`](Self::connect), or by [`dial`](Self::dial)ling the hosts of
/// its configuration.
///
/// What has no setter here has one on [`Config`]: `ConnectionBuilder::from(config)`.
#[derive(Clone, Debug)]
pub struct ConnectionBuilder {
    config: Config,
    limits: Limits,
    link: Link,
}

impl From<Config> for ConnectionBuilder {
    fn from(config: Config) -> Self {
        Self { config, limits: Limits::BACKEND, link: Link::Tcp }
    }
}

impl ConnectionBuilder {
    /// For this user and nothing else.
    pub fn new(user: impl Into<String>) -> Self {
        Config::new(user).into()
    }

    /// Sets the database; without it the server takes the one of the user's name.
    pub fn database(self, database: impl Into<String>) -> Self {
        Self { config: self.config.database(database), ..self }
    }

    /// Sets how the user is to be authenticated.
    pub fn auth(self, mode: AuthenticationMode) -> Self {
        Self { config: self.config.auth(mode), ..self }
    }

    /// Sets a run-time parameter of the session, such as `application_name` or `search_path`.
    pub fn parameter(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { config: self.config.with_parameter(name, value), ..self }
    }

    /// Sets how much a server may make the connection hold. Default [`Limits::BACKEND`].
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Says whether the stream given to [`connect`](Self::connect) is TLS or a Unix socket; [`Link::Tcp`] if nothing is said.
    /// Decides whether a password may be sent in clear text.
    pub fn link(self, link: Link) -> Self {
        Self { link, ..self }
    }

    /// Begins a session over a stream on which nothing has been said yet.
    ///
    /// # Errors
    /// What [`ConnectError`] lists, but for not reaching the server.
    pub async fn connect<S>(&self, stream: S) -> Result<(Connection<S>, Session), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connect_as(stream, self.link).await
    }

    async fn connect_as<S>(&self, stream: S, link: Link) -> Result<(Connection<S>, Session), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut conn = Connection::new(FuturesIo(stream), self.limits);
        let session = connect::connect(&mut conn, &self.config, link, offload).await?;
        Ok((conn, session))
    }

    /// Connects to the first of the configuration's hosts that can be reached, and begins a session.
    ///
    /// A host that cannot be reached, or takes longer than `connect_timeout` with all of it, is skipped. If a host answers and
    /// refuses (a wrong password, say), that is the error and no other host is tried. TLS is not begun here: bring a TLS stream
    /// to [`connect`](Self::connect), with [`link(Link::Tls)`](Self::link).
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect), and why the last host could not be reached.
    pub async fn dial(&self) -> Result<(Connection<Socket>, Session), ConnectError> {
        let attempt = async |host: &Host| {
            let unreachable = |error| ConnectError::Unreachable { host: host.to_string(), error };
            let socket = Socket::dial(host).await.map_err(unreachable)?;
            let link = socket.link();
            let (conn, mut session) = self.connect_as(socket, link).await?;
            session.host = Some(host.clone());
            Ok((conn, session))
        };
        connect::first_reachable(&self.config, |host| within(self.config.connect_timeout, attempt(host)))
            .await
    }

    /// The hosts that [`dial`](Self::dial) goes to.
    pub fn hosts(&self) -> &[Host] {
        &self.config.hosts
    }
}

/// Connects by a configuration: [`ConnectionBuilder::dial`] in a word.
///
/// # Errors
/// As `dial`.
pub async fn connect(config: &Config) -> Result<(Connection<Socket>, Session), ConnectError> {
    ConnectionBuilder::from(config.clone()).dial().await
}

async fn within<T>(
    limit: Option<std::time::Duration>,
    attempt: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    match limit {
        None => attempt.await,
        Some(limit) => {
            let late = async {
                async_io::Timer::after(limit).await;
                Err(ConnectError::Timeout)
            };
            future::or(attempt, late).await
        }
    }
}

/// Derives a key where it keeps nobody waiting.
pub(crate) async fn offload(job: Derivation) -> io::Result<SaltedPassword> {
    Ok(blocking::unblock(|| job.run()).await)
}
