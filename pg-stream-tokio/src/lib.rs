//! A live connection that speaks the PostgreSQL wire protocol, over Tokio.
//!
//! Is this the crate you want? It is, when your program runs on Tokio and wants the protocol itself: what to send and when, and
//! every message that comes, lent from the connection's own buffer. It is no ORM and no pool, there is no task behind it, and
//! nothing is sent that you have not written.
//!
//! There is no protocol in here either: messages and buffers are those of [`pg_wire`], the connection phase is that of
//! [`pg_auth`], and both are re-exported. What this crate adds is dialling (TCP, Unix sockets), streams of your own, cancel
//! requests, and a [`UnixStream`] that is woken only for what it waits for.
//!
//! ```no_run
//! use pg_stream_tokio::{AuthenticationMode, ConnectionBuilder, MessageCode, PgProtocol};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let stream = tokio::net::TcpStream::connect("localhost:5432").await?;
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
//! A connection string does it all in one: `ConnectionBuilder::from(url.parse::<Config>()?).dial().await?`.

// Everything a peer sends may be hostile: nothing may panic on it.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod accept;
mod builder;
mod cancel;
mod socket;
mod transport;
#[cfg(unix)]
mod unix;

pub use accept::accept;
pub use builder::{ConnectionBuilder, connect};
pub use cancel::{cancel, cancel_over};
pub use socket::Socket;
pub use transport::{IntoHalves, TokioIo};
#[cfg(unix)]
pub use unix::{UnixReadHalf, UnixStream, UnixWriteHalf};

pub use pg_auth::accept::welcome;
pub use pg_auth::connect::Accepted;
pub use pg_auth::{
    self, AuthError, AuthenticationMode, CancelKey, Config, ConnectError, Host, Link, Parameters, Password,
    Session, SslMode,
};
pub use pg_wire::{
    self, Bindable, Columns, Error, FormatCode, Limits, MessageCode, PgProtocol, Portal, SqlState, Statement,
    backend, frontend, oid, params,
};

/// A connection over a stream of Tokio's.
pub type Connection<S> = pg_wire::Connection<TokioIo<S>>;
