//! The type `Tokio`, through which pg-auth uses Tokio's sockets, timers and threads.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use pg_auth::Config;
use pg_auth::net;
use pg_auth::runtime::{Offload, Runtime, Wrap};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::default_tls::DefaultTls;
use crate::rewind::Rewind;
use crate::transport::TokioIo;

/// Lets pg-auth use Tokio's sockets, timers and threads. Precondition: pg-auth is called within a Tokio runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Offload for Tokio {
    async fn offload<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        tokio::task::spawn_blocking(job).await.map_err(io::Error::other)
    }
}

impl Runtime for Tokio {
    type Tcp = TokioIo<TcpStream>;
    #[cfg(unix)]
    type Unix = TokioIo<crate::UnixStream>;
    #[cfg(not(unix))]
    type Unix = pg_auth::stream::Never;
    type Tls = DefaultTls;

    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((name, port)).await?.collect())
    }

    async fn dial_tcp(&self, address: SocketAddr, config: &Config) -> io::Result<Self::Tcp> {
        let stream = TcpStream::connect(address).await?;
        net::configure(&stream, config)?;
        Ok(TokioIo(stream))
    }

    async fn dial_unix(&self, path: &Path, config: &Config) -> io::Result<Self::Unix> {
        #[cfg(unix)]
        return net::unix_socket(path, config)?.try_into().map(TokioIo);
        #[cfg(not(unix))]
        net::unix_socket(path, config)
    }

    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        tokio::time::timeout(limit, future).await.ok()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wrap<S> for Tokio {
    type Transport = TokioIo<S>;
    type Rewound = Rewind<S>;

    fn wrap(stream: S) -> TokioIo<S> {
        TokioIo(stream)
    }

    fn unwrap(transport: TokioIo<S>) -> S {
        transport.0
    }

    fn rewind(stream: S, bytes: &[u8]) -> Rewind<S> {
        Rewind::new(stream, bytes)
    }
}
