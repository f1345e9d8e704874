//! The connection phase on the TLS port of the replay server: TLS sessions that can be resumed, and SCRAM-SHA-256-PLUS.
//!
//! Only the replay server can be used to measure resumed TLS sessions: PostgreSQL sends no session tickets and stores no sessions.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use pg_auth::Password;
use pg_auth::scram::Verifier;
use pg_auth::stream::Stream;
use pg_stream_tokio::rustls::RustlsAcceptor;
use pg_stream_tokio::{Acceptor, Credentials, Rewind, Startup, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::rustls::HandshakeKind;
use tokio_rustls::server::TlsStream;

use super::place::Place;

/// The name of a role that may log in only over a resumed TLS session, with a SCRAM password.
pub(crate) const RESUMED: &str = "resumed";

/// The number of SCRAM iterations; 4096 is PostgreSQL's default.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// Accepts clients on the TLS port of the replay server.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    tls: RustlsAcceptor,
    verifier: Verifier,
}

impl Front {
    /// Loads the certificate and the key from the files whose paths are in environment variables.
    pub(crate) fn new() -> Result<Self> {
        let file =
            |name| std::env::var(name).with_context(|| format!("{name} is not set: run `cargo xtask bench`"));
        let (certificate, key) = (file("PG_TLS_SERVER_CERT")?, file("PG_TLS_SERVER_KEY")?);
        let tls = RustlsAcceptor::from_pem_files(Path::new(&certificate), Path::new(&key), None)?;
        let password = Password::from(Place::SECRET);
        Ok(Self { tls, verifier: Verifier::random(&password, ITERATIONS)? })
    }

    /// Runs the connection phase over TLS until AuthenticationOk is sent.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<TlsStream<Rewind<TcpStream>>> {
        let resumed = AtomicBool::new(false);
        let upgrade = async |stream| {
            let upgraded = self.tls.accept(stream).await?;
            let kind = upgraded.stream.get_ref().1.handshake_kind();
            resumed.store(kind == Some(HandshakeKind::Resumed), Ordering::Relaxed);
            Ok(upgraded)
        };
        let lookup = |startup: Startup| {
            let user = startup.user();
            let credentials = if user.as_bytes() == b"trust" {
                Credentials::Trust
            } else if user.as_bytes() == RESUMED.as_bytes() && !resumed.load(Ordering::Relaxed) {
                Credentials::Reject
            } else {
                Credentials::Scram(self.verifier.clone())
            };
            std::future::ready(credentials)
        };
        let (conn, _) = Acceptor::new().accept_with_tls(stream, upgrade, lookup).await?;
        match conn.into_parts().0 {
            Stream::Tls(TokioIo(stream)) => Ok(stream),
            _ => bail!("a client connected to the TLS port without TLS"),
        }
    }
}
