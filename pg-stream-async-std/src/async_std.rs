//! The runtime [`AsyncStd`]: async-std's own sockets, timers and threads.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ::async_std::future::timeout;
use ::async_std::net::{TcpStream, ToSocketAddrs};
use ::async_std::task::spawn_blocking;
use futures_io::{AsyncRead, AsyncWrite};
use pg_auth::Config;
use pg_auth::net;
use pg_auth::runtime::{Offload, Runtime, Wrap};

use crate::default_tls::DefaultTls;
use crate::rewind::Rewind;
use crate::transport::FuturesIo;

/// Sockets, timers and threads of async-std, for programs that need sockets of async-std's types.
///
/// async-std is discontinued ([RUSTSEC-2025-0052](https://rustsec.org/advisories/RUSTSEC-2025-0052.html)). So all other programs should use
/// [`Smol`](crate::Smol), which also runs on async-std's executor.
///
/// ```no_run
/// use pg_stream_async_std::pg_auth::connect;
/// use pg_stream_async_std::{AsyncStd, Config, DefaultTls};
///
/// type ConnectionBuilder<T = DefaultTls> = connect::ConnectionBuilder<AsyncStd, T>;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let config: Config = "postgres://me:secret@localhost/mydb".parse()?;
/// let (conn, session) = ConnectionBuilder::from(config).dial().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

impl Offload for AsyncStd {
    async fn offload<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(spawn_blocking(job).await)
    }
}

impl Runtime for AsyncStd {
    type Tcp = FuturesIo<TcpStream>;
    #[cfg(unix)]
    type Unix = FuturesIo<::async_std::os::unix::net::UnixStream>;
    #[cfg(not(unix))]
    type Unix = pg_auth::stream::Never;
    type Tls = DefaultTls;

    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((name, port).to_socket_addrs().await?.collect())
    }

    async fn dial_tcp(&self, address: SocketAddr, config: &Config) -> io::Result<Self::Tcp> {
        let stream = TcpStream::connect(address).await?;
        net::configure(&stream, config)?;
        Ok(FuturesIo(stream))
    }

    async fn dial_unix(&self, path: &Path, config: &Config) -> io::Result<Self::Unix> {
        #[cfg(unix)]
        return Ok(FuturesIo(net::unix_socket(path, config)?.into()));
        #[cfg(not(unix))]
        net::unix_socket(path, config)
    }

    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        timeout(limit, future).await.ok()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wrap<S> for AsyncStd {
    type Transport = FuturesIo<S>;
    type Rewound = Rewind<S>;

    fn wrap(stream: S) -> FuturesIo<S> {
        FuturesIo(stream)
    }

    fn unwrap(transport: FuturesIo<S>) -> S {
        transport.0
    }

    fn rewind(stream: S, bytes: &[u8]) -> Rewind<S> {
        Rewind::new(stream, bytes)
    }
}
