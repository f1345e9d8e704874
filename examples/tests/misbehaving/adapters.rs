//! A common interface to the runtimes of both adapters. It measures the memory that a call allocates.

use std::future::Future;
use std::net::TcpStream;
use std::time::Duration;

use allocation_counter::measure;
use pg_auth::accept::welcome;
use pg_auth::connect::{Accepted, Acceptor, ConnectionBuilder};
use pg_auth::{Config, ConnectError, Credentials, Session, Startup};
use pg_stream_async_std::DefaultTls;
use pg_stream_async_std::native_tls::NativeTlsAcceptor;
use pg_wire::{Connection, Transport};

use crate::certificates::made;

/// A runtime of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapter {
    /// `pg-stream-tokio`, with TLS by rustls.
    Tokio,
    /// `pg-stream-async-std`, with TLS by native-tls.
    Smol,
    /// `pg-stream-async-std` with the feature `async-std`, with TLS by native-tls.
    AsyncStd,
}

/// The result of a call, and the largest number of bytes that the calling thread had allocated at one time.
///
/// The memory of other threads is not measured: these threads only derive keys and read certificate files, so the peer's messages cannot
/// increase their memory.
pub(crate) struct Outcome<T> {
    pub(crate) result: Result<T, ConnectError>,
    pub(crate) bytes: u64,
}

/// Settings of an adapter that accepts clients.
#[derive(Clone, Copy)]
pub(crate) struct Accepting {
    /// Whether the adapter offers TLS to clients.
    pub(crate) tls: bool,
    pub(crate) time_limit: Duration,
    pub(crate) credentials: fn(&Startup) -> Credentials,
}

impl Adapter {
    pub(crate) const ALL: [Self; 3] = [Self::Tokio, Self::Smol, Self::AsyncStd];

    /// Runs a future on the adapter's runtime, and measures the memory that this thread allocates during the run.
    fn run<T>(self, future: impl Future<Output = Result<T, ConnectError>>) -> Outcome<T> {
        let mut result = None;
        let info = match self {
            Self::Tokio => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime");
                measure(|| result = Some(runtime.block_on(future)))
            }
            Self::Smol => measure(|| result = Some(smol::block_on(future))),
            Self::AsyncStd => {
                // Boxed, because `block_on` moves the future several times, and each move takes stack. The box is allocated before the
                // measurement.
                let future = Box::pin(future);
                measure(|| result = Some(async_std::task::block_on(future)))
            }
        };
        Outcome { result: result.expect("the future has ended"), bytes: info.bytes_max }
    }

    /// Connects, and closes the connection at once.
    pub(crate) fn connect(self, config: &Config) -> Outcome<Session> {
        match self {
            Self::Tokio => {
                self.run(async { pg_stream_tokio::connect(config).await.map(|(_, session)| session) })
            }
            Self::Smol => {
                self.run(async { pg_stream_async_std::connect(config).await.map(|(_, session)| session) })
            }
            Self::AsyncStd => self.run(async {
                let builder =
                    ConnectionBuilder::<pg_stream_async_std::AsyncStd, DefaultTls>::from(config.clone());
                builder.dial().await.map(|(_, session)| session)
            }),
        }
    }

    /// Performs the server side of the connection phase with a client. If the client logs in, sends the client the messages that follow
    /// AuthenticationOk, up to ReadyForQuery. Then closes the connection.
    pub(crate) fn accept(self, socket: TcpStream, how: &Accepting) -> Outcome<Accepted> {
        socket.set_nonblocking(true).expect("the socket is open");
        let lookup = async |startup: Startup| (how.credentials)(&startup);
        match self {
            Self::Tokio => self.run(async {
                let stream = tokio::net::TcpStream::from_std(socket).expect("a socket");
                let acceptor = pg_stream_tokio::Acceptor::new().time_limit(how.time_limit);
                if how.tls {
                    let tls = made().acceptor();
                    let upgrade = async |stream| tls.accept(stream).await;
                    greet(acceptor.accept_with_tls(stream, upgrade, lookup).await?).await
                } else {
                    greet(acceptor.accept(stream, lookup).await?).await
                }
            }),
            Self::Smol => self.run(async {
                let stream = smol::net::TcpStream::from(smol::Async::try_from(socket).expect("a socket"));
                let acceptor = pg_stream_async_std::Acceptor::new().time_limit(how.time_limit);
                if how.tls {
                    let tls = NativeTlsAcceptor::from_pem_files(made().file("server"), made().file("key"));
                    let tls = tls.expect("the key fits");
                    let upgrade = async |stream| tls.accept(stream).await;
                    greet(acceptor.accept_with_tls(stream, upgrade, lookup).await?).await
                } else {
                    greet(acceptor.accept(stream, lookup).await?).await
                }
            }),
            Self::AsyncStd => self.run(async {
                let stream = async_std::net::TcpStream::from(socket);
                let acceptor = Acceptor::<pg_stream_async_std::AsyncStd>::new().time_limit(how.time_limit);
                if how.tls {
                    let tls = NativeTlsAcceptor::from_pem_files(made().file("server"), made().file("key"));
                    let tls = tls.expect("the key fits");
                    let upgrade = async |stream| tls.accept(stream).await;
                    greet(acceptor.accept_with_tls(stream, upgrade, lookup).await?).await
                } else {
                    greet(acceptor.accept(stream, lookup).await?).await
                }
            }),
        }
    }
}

/// A row of a table: a peer that misbehaves, and the expected outcome.
pub(crate) trait Misbehaviour {
    /// The kind of peer, for the output: "clients" or "servers".
    const PEERS: &'static str;

    fn name(&self) -> &str;

    /// Plays the row: lets the adapter connect to this server, or accept this client. Returns the memory that the adapter took, in bytes.
    /// If the outcome is not the expected outcome, returns an error that describes the difference.
    fn play(&self, adapter: Adapter) -> Result<u64, String>;
}

/// Plays each row with each runtime. Then panics with a list of all rows whose outcome was not the expected outcome.
pub(crate) fn check<R: Misbehaviour>(rows: &[R]) {
    let mut failures = Vec::new();
    for row in rows {
        for adapter in Adapter::ALL {
            match row.play(adapter) {
                Ok(bytes) => println!("{adapter:?}, {}: {bytes} bytes", row.name()),
                Err(failure) => failures.push(format!("{adapter:?}, {}: {failure}", row.name())),
            }
        }
    }
    println!("{} {}", rows.len(), R::PEERS);
    assert!(
        failures.is_empty(),
        "{} of {} failed:\n{}",
        failures.len(),
        Adapter::ALL.len() * rows.len(),
        failures.join("\n")
    );
}

/// If the client has logged in, sends the client the messages that follow AuthenticationOk, up to ReadyForQuery.
async fn greet<T: Transport>(
    (mut conn, accepted): (Connection<T>, Accepted),
) -> Result<Accepted, ConnectError> {
    if let Accepted::Login(_) = accepted {
        welcome([("server_version", "18.0")], None, conn.outbox_mut());
        conn.flush().await?;
    }
    Ok(accepted)
}
