//! `ConnectionBuilder`: makes a session from a configuration.

use std::io;

use pg_wire::{Connection, Limits, Transport};

use super::{ConnectError, ConnectErrorKind, drive};
use crate::config::{AuthenticationMode, Config, Host};
use crate::handshake::Handshake;
use crate::link::Link;
use crate::runtime::{Runtime, Wrap};
use crate::session::Session;
use crate::tls::{TlsError, TlsStart, Upgraded, check_alpn, negotiate};

/// Makes connections: [`dial`](Self::dial) connects to the hosts of the configuration, [`connect`](Self::connect) uses the caller's stream.
///
/// `R` is the runtime, and `T` the TLS library that `dial` uses. This type has setters for a few settings only. [`Config`] has setters for
/// all settings; call `ConnectionBuilder::from(config)` to use them.
#[derive(Clone, Debug)]
pub struct ConnectionBuilder<R, T> {
    pub(super) config: Config,
    pub(super) limits: Limits,
    pub(super) link: Link,
    pub(super) runtime: R,
    pub(super) tls: T,
}

impl<R: Runtime> From<Config> for ConnectionBuilder<R, R::Tls> {
    fn from(config: Config) -> Self {
        let (runtime, tls) = (R::default(), R::Tls::default());
        Self { config, limits: Limits::BACKEND, link: Link::Tcp, runtime, tls }
    }
}

impl<R: Runtime> ConnectionBuilder<R, R::Tls> {
    /// Creates a builder for this user, with every setting at its default.
    pub fn new(user: impl Into<String>) -> Self {
        Config::new(user).into()
    }
}

impl<R, T> ConnectionBuilder<R, T> {
    /// Sets the database. Default: the server takes the database that has the user's name.
    pub fn database(self, database: impl Into<String>) -> Self {
        Self { config: self.config.database(database), ..self }
    }

    /// Sets the proof of the user's identity: a password, SCRAM keys, or none.
    pub fn auth(self, mode: AuthenticationMode) -> Self {
        Self { config: self.config.auth(mode), ..self }
    }

    /// Sets a run-time parameter of the session, such as `application_name` or `search_path`.
    pub fn parameter(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { config: self.config.with_parameter(name, value), ..self }
    }

    /// Sets the limits of the connection's buffers. Default [`Limits::BACKEND`].
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the kind of the stream given to [`connect`](Self::connect). Default [`Link::Tcp`]. The kind decides whether a password may be
    /// sent in clear text.
    pub fn link(self, link: Link) -> Self {
        Self { link, ..self }
    }

    /// Sets the TLS library that [`dial`](Self::dial) uses.
    pub fn tls<Other>(self, tls: Other) -> ConnectionBuilder<R, Other> {
        let Self { config, limits, link, runtime, tls: _ } = self;
        ConnectionBuilder { config, limits, link, runtime, tls }
    }

    /// The configuration of the connections that this builder makes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The hosts that [`dial`](Self::dial) connects to.
    pub fn hosts(&self) -> &[Host] {
        &self.config.hosts
    }
}

impl<R: Runtime, T> ConnectionBuilder<R, T> {
    /// Begins a session over a stream on which nothing has been sent yet. Does not begin TLS: for TLS, call
    /// [`connect_with_tls`](Self::connect_with_tls), or supply a TLS stream and set [`link(Link::Tls)`](Self::link).
    ///
    /// # Errors
    /// See [`ConnectErrorKind`].
    pub async fn connect<S>(
        &self,
        stream: S,
    ) -> Result<(Connection<<R as Wrap<S>>::Transport>, Session), ConnectError>
    where
        R: Wrap<S>,
    {
        let handshake = Handshake::new(&self.config, self.link)?;
        self.limited(self.login(<R as Wrap<S>>::wrap(stream), handshake)).await
    }

    /// Begins TLS and then a session, over a stream on which nothing has been sent yet. `upgrade` performs the TLS handshake. A server
    /// without TLS is an error in every `sslmode`.
    ///
    /// `upgrade` receives the stream when the next byte belongs to TLS. If `upgrade` reports the server's certificate in [`Upgraded`],
    /// SCRAM is bound to the TLS channel.
    ///
    /// # Errors
    /// See [`ConnectErrorKind`].
    pub async fn connect_with_tls<S, S2, F>(
        &self,
        stream: S,
        upgrade: F,
    ) -> Result<(Connection<<R as Wrap<S2>>::Transport>, Session), ConnectError>
    where
        R: Wrap<S> + Wrap<S2>,
        F: AsyncFnOnce(S) -> io::Result<Upgraded<S2>>,
    {
        let login = async {
            let mut transport = <R as Wrap<S>>::wrap(stream);
            let start = TlsStart::new(self.config.sslnegotiation, true);
            let direct = start.is_direct();
            negotiate(&mut transport, start).await?;
            let upgraded = upgrade(<R as Wrap<S>>::unwrap(transport)).await.map_err(TlsError::Handshake)?;
            check_alpn(direct, &upgraded.info)?;
            let handshake = Handshake::new(&self.config, Link::Tls)?.tls(upgraded.info);
            self.login(<R as Wrap<S2>>::wrap(upgraded.stream), handshake).await
        };
        self.limited(login).await
    }

    /// Logs in over a stream. Precondition: nothing has been sent on the stream, or TLS has begun and nothing has been sent since then.
    pub(super) async fn login<X: Transport>(
        &self,
        transport: X,
        mut handshake: Handshake<'_>,
    ) -> Result<(Connection<X>, Session), ConnectError> {
        let mut conn = Connection::new(transport, self.limits);
        let outcome = drive(&mut conn, &mut handshake, &self.runtime).await;
        let session = outcome.map_err(|error| error.rejected(!handshake.is_authenticated()))?;
        Ok((conn, session))
    }

    pub(super) async fn limited<O>(
        &self,
        login: impl Future<Output = Result<O, ConnectError>>,
    ) -> Result<O, ConnectError> {
        match self.config.connect_timeout {
            None => login.await,
            Some(limit) => {
                let late = || Err(ConnectErrorKind::Timeout(limit).into());
                self.runtime.within(limit, login).await.unwrap_or_else(late)
            }
        }
    }
}
