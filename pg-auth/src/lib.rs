//! The connection phase of the PostgreSQL wire protocol, free of I/O: from the first packet to the first ReadyForQuery.
//!
//! Is this the crate you want? It is, when you bring a connection of your own and want to log in over it: a driver on a
//! runtime that has no adapter yet, a pooler, a proxy. With Tokio or async-std take `pg-stream-tokio` or
//! `pg-stream-async-std`, which call [`connect`](connect::connect) for you.
//!
//! - [`Config`]: the user, the credentials and the conditions of a connection; libpq's connection strings.
//! - [`Surroundings`]: environment variables, service files and password files, read only by an explicit call.
//! - [`Handshake`]: the client's machine. It is given the buffers and returns what it needs: read, derive a key, get a token, take a step
//!   of GSSAPI, or it is ready.
//! - [`Accept`]: the server's machine, and [`accept`](connect::accept) the loop around it.
//! - [`connect`](mod@connect): the loops around the machines, for any stream that can be polled.
//! - [`Session`]: the server's reports, and the key for cancel requests.
//! - [`scram`], [`md5`], [`oauth`], [`gss`], [`saslprep`](mod@saslprep), [`cleartext`]: the methods by themselves, SCRAM in both roles.
//! - [`certificate`]: the hash that channel binding takes, and the common name.
//!
//! No socket, runtime or clock is known here, but for the age of keys in a [`scram::KeyCache`]. Work that takes time is handed out as a
//! value to be run elsewhere ([`scram::Derivation`], [`gss::GssJob`]), secrets are wiped when they are dropped and never print, and
//! all input is checked before it is accepted.

// Everything a peer sends may be hostile: nothing may panic on it.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

pub mod accept;
pub mod address;
pub mod certificate;
pub mod cleartext;
pub mod config;
pub mod connect;
pub mod error;
pub mod gss;
pub mod handshake;
pub mod link;
pub mod md5;
#[cfg(feature = "net")]
pub mod net;
pub mod oauth;
#[cfg(feature = "pem")]
pub mod pem;
pub mod runtime;
pub mod saslprep;
pub mod scram;
pub mod secret;
pub mod session;
pub mod stream;
pub mod tls;

pub use accept::{Accept, AcceptStep, CertificateUser, Credentials, Login, Startup, StoredPassword};
pub use config::{AuthenticationMode, Config, Host, SslMode, Surroundings};
pub use connect::{ConnectError, ConnectErrorKind};
pub use error::AuthError;
pub use handshake::{Handshake, Step};
pub use link::{Link, TlsInfo, TlsVersion};
pub use secret::Password;
pub use session::{CancelKey, CancelTarget, Parameters, Session};
