//! The server side of the connection phase: takes an accepted stream and authenticates the client.

use std::io;
use std::time::Duration;

use pg_wire::{Connection, Limits, Transport};

use super::{Accepted, ConnectError, ConnectErrorKind};
use crate::accept::{Accept, Credentials, Startup};
use crate::runtime::{Runtime, Wrap};
use crate::stream::{Never, Stream};
use crate::tls::{OfferStep, TlsError, Upgraded, check_alpn, receive_offer};

/// Default time limit of the connection phase: the default of PostgreSQL's `authentication_timeout`.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The stream of an accepted client: with TLS, or without TLS.
pub type AcceptedStream<R, S, S2> = Stream<<R as Wrap<S>>::Transport, Never, <R as Wrap<S2>>::Transport>;

/// Accepts clients: runs the connection phase with a client that has just connected.
///
/// The phase has a time limit: 60 seconds, or the time set by [`time_limit`](Self::time_limit). Messages are limited to the length that an
/// unauthenticated client may send.
#[derive(Clone, Debug)]
pub struct Acceptor<R> {
    limits: Limits,
    time_limit: Option<Duration>,
    runtime: R,
}

impl<R: Runtime> Default for Acceptor<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Runtime> Acceptor<R> {
    /// Creates an acceptor with every setting at its default.
    pub fn new() -> Self {
        Self { limits: Limits::FRONTEND, time_limit: Some(TIME_LIMIT), runtime: R::default() }
    }

    /// Sets the limits of the connection's buffers. Default [`Limits::FRONTEND`].
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the time limit of the whole connection phase, including TLS; `None` means no limit. Default 60 seconds.
    pub fn time_limit(self, limit: impl Into<Option<Duration>>) -> Self {
        Self { time_limit: limit.into(), ..self }
    }

    /// Runs the connection phase without TLS: a request for TLS is declined.
    ///
    /// `lookup` receives the start-up message and decides how to authenticate the user. On success, AuthenticationOk has been sent; the
    /// caller sends the messages up to ReadyForQuery with [`welcome`](crate::accept::welcome). A rejected client receives the same
    /// ErrorResponse as from PostgreSQL, or no answer if PostgreSQL sends no answer in this case.
    ///
    /// # Errors
    /// [`ConnectErrorKind::Auth`] if the client was rejected, [`ConnectErrorKind::Connection`] if the client has disconnected, and
    /// [`ConnectErrorKind::Timeout`].
    pub async fn accept<S, L, C>(
        &self,
        stream: S,
        lookup: L,
    ) -> Result<(Connection<<R as Wrap<S>>::Transport>, Accepted), ConnectError>
    where
        R: Wrap<S>,
        L: Fn(Startup) -> C,
        C: Future<Output = Credentials>,
    {
        let conn = Connection::new(<R as Wrap<S>>::wrap(stream), self.limits);
        self.limited(self.finish(conn, Accept::new(), lookup)).await
    }

    /// Runs the connection phase with a client that may ask for TLS, by an SSLRequest or by a TLS handshake as its first bytes.
    ///
    /// `upgrade` performs the TLS handshake and offers [`ALPN`](crate::tls::ALPN). Its result, an [`Upgraded`], should contain the server's
    /// own certificate, and the client's certificate if that certificate was verified. SCRAM-SHA-256-PLUS is offered only if the result
    /// contains the server's own certificate. A client that does not ask for TLS continues without TLS: [`Startup::tls`] is `None`, so that
    /// `lookup` can reject such a client.
    ///
    /// # Errors
    /// The errors of [`accept`](Self::accept), and [`ConnectErrorKind::Tls`].
    pub async fn accept_with_tls<S, S2, F, L, C>(
        &self,
        stream: S,
        upgrade: F,
        lookup: L,
    ) -> Result<(Connection<AcceptedStream<R, S, S2>>, Accepted), ConnectError>
    where
        R: Wrap<S> + Wrap<S2>,
        F: AsyncFnOnce(<R as Wrap<S>>::Rewound) -> io::Result<Upgraded<S2>>,
        L: Fn(Startup) -> C,
        C: Future<Output = Credentials>,
    {
        let phase = async {
            let mut transport = <R as Wrap<S>>::wrap(stream);
            let offer = receive_offer(&mut transport).await.map_err(broken)?;
            if offer.step() != OfferStep::Upgrade {
                let mut conn = Connection::new(Stream::Tcp(transport), self.limits);
                conn.inbox_mut().extend(offer.taken());
                let accept = Accept::new();
                let accept = if offer.gss_declined() { accept.gss_declined() } else { accept };
                return self.finish(conn, accept, lookup).await;
            }
            let rewound = <R as Wrap<S>>::rewind(<R as Wrap<S>>::unwrap(transport), offer.taken());
            let upgraded = upgrade(rewound).await.map_err(TlsError::Handshake)?;
            check_alpn(offer.is_direct(), &upgraded.info)?;
            let mut accept = Accept::new().tls(upgraded.info);
            if let Some(certificate) = &upgraded.own_certificate {
                accept = accept.server_certificate(certificate);
            }
            let stream = Stream::Tls(<R as Wrap<S2>>::wrap(upgraded.stream));
            self.finish(Connection::new(stream, self.limits), accept, lookup).await
        };
        self.limited(phase).await
    }

    async fn finish<T, L, C>(
        &self,
        mut conn: Connection<T>,
        accept: Accept,
        lookup: L,
    ) -> Result<(Connection<T>, Accepted), ConnectError>
    where
        T: Transport,
        L: Fn(Startup) -> C,
        C: Future<Output = Credentials>,
    {
        let accepted = super::accept(&mut conn, accept, lookup, &self.runtime).await?;
        Ok((conn, accepted))
    }

    async fn limited<O>(
        &self,
        phase: impl Future<Output = Result<O, ConnectError>>,
    ) -> Result<O, ConnectError> {
        match self.time_limit {
            None => phase.await,
            Some(limit) => {
                let late = || Err(ConnectErrorKind::Timeout(limit).into());
                self.runtime.within(limit, phase).await.unwrap_or_else(late)
            }
        }
    }
}

/// Converts the error of a stream that failed or ended before the first packet was complete. The result is the error that a `Connection`
/// returns for the same failure.
fn broken(error: io::Error) -> pg_wire::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => pg_wire::Error::Closed { mid_message: true },
        _ => pg_wire::Error::Io(error),
    }
}
