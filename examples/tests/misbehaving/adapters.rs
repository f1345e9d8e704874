//! Both adapters behind one type, with the memory that a call costs.

use std::future::Future;
use std::net::TcpStream;
use std::time::Duration;

use allocation_counter::measure;
use pg_auth::accept::welcome;
use pg_auth::connect::Accepted;
use pg_auth::{Config, ConnectError, Credentials, Session, Startup};
use pg_stream_async_std::native_tls::NativeTlsAcceptor;
use pg_wire::{Connection, Transport};

use crate::certificates::made;

/// An adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapter {
    /// `pg-stream-tokio`, with TLS by rustls.
    Tokio,
    /// `pg-stream-async-std`, with TLS by native-tls.
    Smol,
}

/// The outcome of a call, and the most bytes that its thread had allocated for it at a time.
///
/// Work that an adapter hands to other threads is not in it: deriving a key, and reading certificate files.
pub(crate) struct Outcome<T> {
    pub(crate) result: Result<T, ConnectError>,
    pub(crate) bytes: u64,
}

/// The settings of the accepting side.
#[derive(Clone, Copy)]
pub(crate) struct Accepting {
    /// Whether TLS is offered.
    pub(crate) tls: bool,
    pub(crate) time_limit: Duration,
    pub(crate) credentials: fn(&Startup) -> Credentials,
}

impl Adapter {
    pub(crate) const BOTH: [Self; 2] = [Self::Tokio, Self::Smol];

    /// Runs a future on the adapter's runtime, and measures.
    fn run<T>(self, future: impl Future<Output = Result<T, ConnectError>>) -> Outcome<T> {
        let mut result = None;
        let info = match self {
            Self::Tokio => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime");
                measure(|| result = Some(runtime.block_on(future)))
            }
            Self::Smol => measure(|| result = Some(smol::block_on(future))),
        };
        Outcome { result: result.expect("it has ended"), bytes: info.bytes_max }
    }

    /// Connects, and leaves again at once.
    pub(crate) fn connect(self, config: &Config) -> Outcome<Session> {
        match self {
            Self::Tokio => {
                self.run(async { pg_stream_tokio::connect(config).await.map(|(_, session)| session) })
            }
            Self::Smol => {
                self.run(async { pg_stream_async_std::connect(config).await.map(|(_, session)| session) })
            }
        }
    }

    /// Goes through the connection phase with a client, sends the rest of the start-up, and leaves.
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
                    let (mut conn, accepted) = acceptor.accept_with_tls(stream, upgrade, lookup).await?;
                    greet(&mut conn, &accepted).await?;
                    Ok(accepted)
                } else {
                    let (mut conn, accepted) = acceptor.accept(stream, lookup).await?;
                    greet(&mut conn, &accepted).await?;
                    Ok(accepted)
                }
            }),
            Self::Smol => self.run(async {
                let stream = smol::net::TcpStream::from(smol::Async::try_from(socket).expect("a socket"));
                let acceptor = pg_stream_async_std::Acceptor::new().time_limit(how.time_limit);
                if how.tls {
                    let tls = NativeTlsAcceptor::from_pem_files(made().file("server"), made().file("key"));
                    let tls = tls.expect("the key fits");
                    let upgrade = async |stream| tls.accept(stream).await;
                    let (mut conn, accepted) = acceptor.accept_with_tls(stream, upgrade, lookup).await?;
                    greet(&mut conn, &accepted).await?;
                    Ok(accepted)
                } else {
                    let (mut conn, accepted) = acceptor.accept(stream, lookup).await?;
                    greet(&mut conn, &accepted).await?;
                    Ok(accepted)
                }
            }),
        }
    }
}

/// Sends a user who is in the rest of the start-up.
async fn greet<T: Transport>(conn: &mut Connection<T>, accepted: &Accepted) -> Result<(), ConnectError> {
    if let Accepted::Login(_) = accepted {
        welcome([("server_version", "18.0")], None, conn.outbox_mut());
        conn.flush().await?;
    }
    Ok(())
}
