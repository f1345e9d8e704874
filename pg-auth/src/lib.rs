//! The connection phase of the PostgreSQL wire protocol, free of I/O: from the first packet to the first ReadyForQuery.
//!
//! Is this the crate you want? Yes, if you have your own connection and want to log in over this connection: for example in a pooler, in a
//! proxy, or in a driver for a runtime other than Tokio and async-std. With Tokio or async-std use `pg-stream-tokio` or
//! `pg-stream-async-std`, which call [`connect`](connect::connect) for you.
//!
//! - [`Config`]: the settings of a connection, and libpq's connection strings.
//! - [`Surroundings`]: settings from environment variables, service files and password files. No other type reads these sources.
//! - [`Handshake`]: the client's state machine. Each step takes the connection's two buffers, and returns the session or the next action:
//!   read, derive a key, get a token, or run a step of GSSAPI.
//! - [`Accept`]: the server's state machine; [`accept`](connect::accept) is the loop that runs this machine.
//! - [`connect`](mod@connect): the loops that run the two machines, for any stream that can be polled.
//! - [`Session`]: the data of a new session: the server's reports, and the key for cancel requests.
//! - [`scram`], [`md5`], [`oauth`], [`gss`], [`saslprep`](mod@saslprep), [`cleartext`]: the methods of authentication; SCRAM in both roles.
//! - [`certificate`]: reads the hash for channel binding, and the common name, from a certificate.
//!
//! This crate has no socket and no runtime, and no clock except for the age of keys in a [`scram::KeyCache`]. A job that takes long is
//! returned as a value ([`scram::Derivation`], [`gss::GssJob`]); the caller runs the job where it does not block other tasks. Secrets are
//! wiped when they are dropped, and never printed.

// On docs.rs, the documentation names the feature that an item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
// Any input from a peer may be hostile, and no input may cause a panic. These lints report code that can panic.
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
