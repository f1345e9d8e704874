//! Connections that use the PostgreSQL wire protocol, over streams with the traits of `futures-io`.
//!
//! Use this crate if your program runs on smol, on async-std or on another runtime with the traits of `futures-io`, and needs the protocol
//! itself. The program decides which messages are sent and when, and every received message is borrowed from the buffer of the connection.
//! The crate is no ORM and no pool. A connection starts no task, and sends only messages that the program has written.
//!
//! The messages and buffers are in [`pg_wire`], the connection phase is in [`pg_auth`]. This crate re-exports both, and adds dialling (TCP
//! and Unix sockets), connections over the caller's own streams, and cancel requests.
//!
//! ```no_run
//! use pg_stream_async_std::{AuthenticationMode, ConnectionBuilder, MessageCode, PgProtocol};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let stream = async_net::TcpStream::connect("localhost:5432").await?;
//! let (mut conn, startup) = ConnectionBuilder::new("postgres")
//!     .database("mydb")
//!     .auth(AuthenticationMode::Password("secret".into()))
//!     .connect(stream)
//!     .await?;
//! println!("connected to {}", startup.parameters.get("server_version").unwrap_or("a server"));
//!
//! conn.query("SELECT version()").flush().await?;
//! loop {
//!     let frame = conn.recv().await?;
//!     // Handle frame…
//!     if frame.code == MessageCode::READY_FOR_QUERY {
//!         break;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! With a connection string, one call connects and logs in: `ConnectionBuilder::from(url.parse::<Config>()?).dial().await?`.

// On docs.rs, the documentation names the feature that an item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
// Received bytes may be hostile, and no bytes may cause a panic. These lints report code that can panic.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[cfg(feature = "async-std")]
mod async_std;
mod clock;
mod default_tls;
#[cfg(feature = "native-tls")]
pub mod native_tls;
mod rewind;
mod runtime;
mod transport;

use futures_io::{AsyncRead, AsyncWrite};
use pg_auth::connect::{self, Dialled};
use pg_wire::replication::Raw;

#[cfg(feature = "async-std")]
pub use self::async_std::AsyncStd;
pub use clock::StreamClock;
pub use default_tls::DefaultTls;
pub use rewind::Rewind;
pub use runtime::Smol;
pub use transport::{FuturesIo, IntoHalves};

pub use pg_auth::accept::welcome;
pub use pg_auth::connect::Accepted;
pub use pg_auth::tls::Upgraded;
pub use pg_auth::{
    self, AuthError, AuthenticationMode, CancelKey, CancelTarget, Config, ConnectError, ConnectErrorKind,
    Credentials, Host, Link, Parameters, Password, Session, SslMode, Startup,
};
pub use pg_wire::{
    self, Bindable, Columns, Error, FormatCode, Limits, MessageCode, PgProtocol, Portal, SqlState, Statement,
    backend, frontend, oid, params,
};

/// Stream of a dialled connection: TCP, a Unix-domain socket, or TLS.
pub type Socket = Dialled<Smol, DefaultTls>;

/// A connection over a transport. The transport is [`Socket`] after dialling, and `FuturesIo<S>` over the caller's own stream `S`.
pub type Connection<T = Socket> = pg_wire::Connection<T>;

/// A connection that tracks the state of its session. See [`pg_wire::TrackedConnection`].
pub type TrackedConnection<T = Socket, O = ()> = pg_wire::TrackedConnection<T, O>;

/// A replication stream over a transport. See [`pg_wire::replication`].
pub type ReplicationStream<T = Socket, P = Raw> = pg_wire::replication::ReplicationStream<T, StreamClock, P>;

/// Makes connections, with sockets and timers of the smol family of crates. See [`pg_auth::connect::ConnectionBuilder`].
pub type ConnectionBuilder<T = DefaultTls> = connect::ConnectionBuilder<Smol, T>;

/// Accepts clients, with timers of the smol family of crates. See [`pg_auth::connect::Acceptor`].
pub type Acceptor = connect::Acceptor<Smol>;

/// Connects with a configuration. Settings that are not in `Config`, such as the limits of the buffers, have their defaults. See
/// [`ConnectionBuilder::dial`].
///
/// # Errors
/// See [`ConnectErrorKind`].
pub async fn connect(config: &Config) -> Result<(Connection, Session), ConnectError> {
    ConnectionBuilder::from(config.clone()).dial().await
}

/// Sends a cancel request for the running statement of a session. `config` is the configuration of the session. `target` is the
/// [`cancel_target`](Session::cancel_target) of the session. See [`ConnectionBuilder::cancel`](connect::ConnectionBuilder::cancel).
///
/// # Errors
/// The errors of `ConnectionBuilder::cancel`.
pub async fn cancel(config: &Config, target: &CancelTarget) -> Result<(), ConnectError> {
    ConnectionBuilder::from(config.clone()).cancel(target).await
}

/// Sends a cancel request over the caller's own stream, and waits until the server closes the stream. Precondition: nothing has been sent
/// on the stream yet.
///
/// # Errors
/// Writing to the stream or reading from the stream fails.
pub async fn cancel_over<S>(stream: S, key: &CancelKey) -> Result<(), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    connect::cancel(&mut Connection::new(FuturesIo(stream), Limits::BACKEND), key).await
}

/// Runs the connection phase with a client that has just connected, without TLS. For TLS and time limits, use [`Acceptor`].
///
/// ```no_run
/// use pg_stream_async_std::backend::{CommandComplete, DataRow, FieldDescription, ReadyForQuery, RowDescription};
/// use pg_stream_async_std::frontend::Frontend;
/// use pg_stream_async_std::pg_auth::scram::Verifier;
/// use pg_stream_async_std::pg_wire::{TransactionStatus, codec::{List, Values}};
/// use pg_stream_async_std::{Accepted, Credentials, Limits, accept, welcome};
///
/// # async fn run(verifier: Verifier) -> Result<(), Box<dyn std::error::Error>> {
/// let listener = async_net::TcpListener::bind("127.0.0.1:5433").await?;
/// loop {
///     let (stream, _) = listener.accept().await?;
///     let verifier = verifier.clone();
///     async_std::task::spawn(async move {
///         let lookup = async |_| Credentials::Scram(verifier.clone());
///         let (mut conn, accepted) = accept(stream, Limits::FRONTEND, lookup).await?;
///         if let Accepted::Login(_) = accepted {
///             welcome([("server_version", "18.0")], None, conn.outbox_mut());
///             conn.flush().await?;
///             while let Frontend::Query(_) = conn.recv().await?.frontend()? {
///                 conn.put(&RowDescription { fields: List::from(&[FieldDescription::default()]) });
///                 conn.put(&DataRow { values: Values::from(&[Some(&b"42"[..])]) });
///                 conn.put(&CommandComplete { tag: "SELECT 1".into() });
///                 conn.put(&ReadyForQuery { status: TransactionStatus::Idle }).flush().await?;
///             }
///         }
///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
///     });
/// }
/// # }
/// ```
///
/// # Errors
/// The errors of [`Acceptor::accept`](pg_auth::connect::Acceptor::accept).
pub async fn accept<S, L, C>(
    stream: S,
    limits: Limits,
    lookup: L,
) -> Result<(Connection<FuturesIo<S>>, Accepted), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    L: Fn(Startup) -> C,
    C: Future<Output = Credentials>,
{
    Acceptor::new().limits(limits).accept(stream, lookup).await
}
