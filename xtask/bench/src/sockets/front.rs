//! The connection phase of the replay server's TLS port: TLS whose sessions can be resumed, and SCRAM-SHA-256-PLUS.
//!
//! PostgreSQL resumes no TLS session: it sends no tickets and keeps no sessions.

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

/// The role that is let in by SCRAM, and only if its TLS session was resumed.
pub(crate) const RESUMED: &str = "resumed";

/// Iterations, as PostgreSQL has them.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// Accepts clients.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    tls: RustlsAcceptor,
    verifier: Verifier,
}

impl Front {
    /// With the certificate and the key that the environment names.
    pub(crate) fn new() -> Result<Self> {
        let file =
            |name| std::env::var(name).with_context(|| format!("no {name}: run me by `cargo xtask bench`"));
        let (certificate, key) = (file("PG_TLS_SERVER_CERT")?, file("PG_TLS_SERVER_KEY")?);
        let tls = RustlsAcceptor::from_pem_files(Path::new(&certificate), Path::new(&key), None)?;
        let password = Password::from(Place::SECRET);
        Ok(Self { tls, verifier: Verifier::random(&password, ITERATIONS)? })
    }

    /// Goes through the connection phase until AuthenticationOk, over TLS.
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
            _ => bail!("a client without TLS"),
        }
    }
}
