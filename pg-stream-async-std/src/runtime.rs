//! The runtime [`Smol`]: sockets, timers and threads of the smol family of crates.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use async_net::TcpStream;
use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::future;
use pg_auth::Config;
use pg_auth::net;
use pg_auth::runtime::{Offload, Runtime, Wrap};

use crate::default_tls::DefaultTls;
use crate::rewind::Rewind;
use crate::transport::FuturesIo;

/// Sockets, timers and threads of the smol family of crates. These crates start their own reactor, so connections run on any executor, for
/// example the executors of smol and async-std.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol;

impl Offload for Smol {
    async fn offload<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(blocking::unblock(job).await)
    }
}

impl Runtime for Smol {
    type Tcp = FuturesIo<TcpStream>;
    #[cfg(unix)]
    type Unix = FuturesIo<async_net::unix::UnixStream>;
    #[cfg(not(unix))]
    type Unix = pg_auth::stream::Never;
    type Tls = DefaultTls;

    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        async_net::resolve((name, port)).await
    }

    async fn dial_tcp(&self, address: SocketAddr, config: &Config) -> io::Result<Self::Tcp> {
        let stream = TcpStream::connect(address).await?;
        net::configure(&stream, config)?;
        Ok(FuturesIo(stream))
    }

    async fn dial_unix(&self, path: &Path, config: &Config) -> io::Result<Self::Unix> {
        #[cfg(unix)]
        return Ok(FuturesIo(async_io::Async::new_nonblocking(net::unix_socket(path, config)?)?.into()));
        #[cfg(not(unix))]
        net::unix_socket(path, config)
    }

    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let late = async {
            async_io::Timer::after(limit).await;
            None
        };
        future::or(async { Some(future.await) }, late).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wrap<S> for Smol {
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
