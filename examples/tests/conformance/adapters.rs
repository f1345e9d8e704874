//! A common interface to the three runtimes of the two adapters, `pg-stream-tokio` and `pg-stream-async-std`.

use std::future::Future;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures_rustls::TlsConnector;
use pg_auth::config::Host;
use pg_auth::connect::Accepted;
use pg_auth::tls::{TlsRequest, Upgraded};
use pg_auth::{CancelKey, CancelTarget, Config, ConnectError, Credentials, Link, Session, Startup};
use pg_stream_tokio::rustls::{Rustls, info};
use pg_wire::{Connection, Limits, Split, Transport};
use smol::io::{AsyncRead, AsyncWrite};

/// Time limit for one run of a test body, with one runtime, one server and one kind of stream. If the body hangs, the test fails at this
/// limit.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Result of a connection attempt: a connection and its session, or the error.
pub(crate) type Connected<T> = Result<(Connection<T>, Session), ConnectError>;

/// A stream that can be split into two halves for two tasks.
pub(crate) trait Halves: Split<Source: Send + 'static, Sink: Send + 'static> + Send + 'static {}

impl<T: Split<Source: Send + 'static, Sink: Send + 'static> + Send + 'static> Halves for T {}

/// A runtime of an adapter. The functions without documentation here call the adapter's public function of the same name.
pub(crate) trait Adapter: 'static {
    /// Name of the runtime in the output of the tests.
    const NAME: &'static str;
    /// Type of the stream of a connection that the adapter has opened from a configuration.
    type Socket: Halves;
    /// Type of the transport over a TCP stream of the runtime.
    type OverTcp: Halves;
    /// Type of the transport over a Unix-domain stream of the runtime.
    type OverUnix: Halves;

    /// Runs a test body on the runtime, within [`PATIENCE`].
    fn run<T>(body: impl Future<Output = T>) -> T;

    /// Starts a task. The returned future waits for the output of the task.
    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send;

    /// Runs a future with a time limit, using a timer of the runtime. Returns `None` if the time limit expires.
    fn within<T>(limit: Duration, future: impl Future<Output = T>) -> impl Future<Output = Option<T>>;

    fn connect(config: &Config) -> impl Future<Output = Connected<Self::Socket>>;

    /// Calls `ConnectionBuilder::dial`.
    fn dial(config: &Config, limits: Limits) -> impl Future<Output = Connected<Self::Socket>>;

    fn cancel(config: &Config, target: &CancelTarget) -> impl Future<Output = Result<(), ConnectError>>;

    fn cancel_over(stream: TcpStream, key: &CancelKey) -> impl Future<Output = Result<(), ConnectError>>;

    /// Calls `ConnectionBuilder::connect` with a TCP stream of the runtime.
    fn over_tcp(config: &Config, stream: TcpStream) -> impl Future<Output = Connected<Self::OverTcp>> + Send;

    /// Calls `ConnectionBuilder::connect` with a Unix-domain stream of the runtime.
    fn over_unix(config: &Config, stream: UnixStream) -> impl Future<Output = Connected<Self::OverUnix>>;

    /// Calls `ConnectionBuilder::connect_with_tls` with a TCP stream of the runtime, and rustls.
    fn over_tls(config: &Config, stream: TcpStream) -> impl Future<Output = Connected<impl Transport>>;

    fn accept(
        stream: TcpStream,
        credentials: fn() -> Credentials,
    ) -> impl Future<Output = Result<(Connection<Self::OverTcp>, Accepted), ConnectError>>;
}

/// The adapter `pg-stream-tokio`.
#[derive(Debug)]
pub(crate) struct Tokio;

/// The adapter `pg-stream-async-std` with its default runtime, on the executor of smol.
#[derive(Debug)]
pub(crate) struct Smol;

/// The adapter `pg-stream-async-std` with the feature `async-std`: it uses the executor, sockets, timers and threads of async-std.
#[derive(Debug)]
pub(crate) struct AsyncStd;

/// Implements [`Adapter`] for a runtime. `$adapter` is the module with the adapter's public functions. `$tcp` and `$unix` convert a stream
/// of the standard library to a stream of the runtime.
macro_rules! adapter {
    (
        $name:ident, $adapter:ident, $transport:ident, $tcp_stream:ty, $unix_stream:ty,
        $tcp:expr, $unix:expr, $upgrade:path,
        $($function:item)*
    ) => {
        impl Adapter for $name {
            const NAME: &'static str = stringify!($name);
            type Socket = $adapter::Socket;
            type OverTcp = $transport<$tcp_stream>;
            type OverUnix = $transport<$unix_stream>;

            $($function)*

            async fn connect(config: &Config) -> Connected<Self::Socket> {
                $adapter::connect(config).await
            }

            async fn dial(config: &Config, limits: Limits) -> Connected<Self::Socket> {
                $adapter::ConnectionBuilder::from(config.clone()).limits(limits).dial().await
            }

            async fn cancel(config: &Config, target: &CancelTarget) -> Result<(), ConnectError> {
                $adapter::cancel(config, target).await
            }

            async fn cancel_over(stream: TcpStream, key: &CancelKey) -> Result<(), ConnectError> {
                $adapter::cancel_over($tcp(stream), key).await
            }

            async fn over_tcp(config: &Config, stream: TcpStream) -> Connected<Self::OverTcp> {
                $adapter::ConnectionBuilder::from(config.clone()).connect($tcp(stream)).await
            }

            async fn over_unix(config: &Config, stream: UnixStream) -> Connected<Self::OverUnix> {
                let builder = $adapter::ConnectionBuilder::from(config.clone()).link(Link::Unix);
                builder.connect($unix(stream)).await
            }

            async fn over_tls(config: &Config, stream: TcpStream) -> Connected<impl Transport> {
                let builder = $adapter::ConnectionBuilder::from(config.clone());
                builder.connect_with_tls($tcp(stream), async |stream| $upgrade(config, stream).await).await
            }

            async fn accept(
                stream: TcpStream,
                credentials: fn() -> Credentials,
            ) -> Result<(Connection<Self::OverTcp>, Accepted), ConnectError> {
                let lookup = async |_: Startup| credentials();
                $adapter::accept($tcp(stream), Limits::FRONTEND, lookup).await
            }
        }
    };
}

use pg_stream_async_std::FuturesIo;
use pg_stream_tokio::TokioIo;

adapter! {
    Tokio, pg_stream_tokio, TokioIo, tokio::net::TcpStream, tokio::net::UnixStream,
    |stream| tokio::net::TcpStream::from_std(non_blocking(stream)).expect("a socket"),
    |stream: UnixStream| {
        stream.set_nonblocking(true).expect("the socket is open");
        tokio::net::UnixStream::from_std(stream).expect("a socket")
    },
    upgrade_tokio,

    fn run<T>(body: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let body = async { tokio::time::timeout(PATIENCE, body).await.ok() };
        runtime.expect("a runtime").block_on(body).expect("the test body must not hang")
    }

    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        let task = tokio::spawn(task);
        async { task.await.expect("the task does not panic") }
    }

    async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(limit, future).await.ok()
    }
}

adapter! {
    Smol, pg_stream_async_std, FuturesIo, smol::net::TcpStream, smol::net::unix::UnixStream,
    |stream| smol::net::TcpStream::from(smol::Async::try_from(stream).expect("a socket")),
    |stream: UnixStream| smol::net::unix::UnixStream::from(smol::Async::try_from(stream).expect("a socket")),
    upgrade_futures_io,

    fn run<T>(body: impl Future<Output = T>) -> T {
        smol::block_on(Self::within(PATIENCE, body)).expect("the test body must not hang")
    }

    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        smol::spawn(task)
    }

    async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let late = async {
            smol::Timer::after(limit).await;
            None
        };
        smol::future::or(async { Some(future.await) }, late).await
    }
}

adapter! {
    AsyncStd, async_std_runtime, FuturesIo, async_std::net::TcpStream, async_std::os::unix::net::UnixStream,
    async_std::net::TcpStream::from,
    async_std::os::unix::net::UnixStream::from,
    upgrade_futures_io,

    fn run<T>(body: impl Future<Output = T>) -> T {
        // The future is boxed to save stack: `block_on` moves the future several times, and in a debug build each move takes space on the
        // stack.
        async_std::task::block_on(Box::pin(Self::within(PATIENCE, body))).expect("the test body must not hang")
    }

    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        async_std::task::spawn(task)
    }

    async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        async_std::future::timeout(limit, future).await.ok()
    }
}

/// Functions such as `connect` for the runtime `AsyncStd`. The adapter `pg-stream-async-std` has such functions only for its default
/// runtime. So these functions call the builder and the acceptor with `AsyncStd`.
mod async_std_runtime {
    use pg_auth::connect::{self, Dialled};
    use pg_stream_async_std::{AsyncStd, DefaultTls};

    use super::*;

    pub(super) type Socket = Dialled<AsyncStd, DefaultTls>;
    pub(super) type ConnectionBuilder = connect::ConnectionBuilder<AsyncStd, DefaultTls>;

    pub(super) async fn connect(config: &Config) -> Connected<Socket> {
        ConnectionBuilder::from(config.clone()).dial().await
    }

    pub(super) async fn cancel(config: &Config, target: &CancelTarget) -> Result<(), ConnectError> {
        ConnectionBuilder::from(config.clone()).cancel(target).await
    }

    pub(super) async fn cancel_over(
        stream: async_std::net::TcpStream,
        key: &CancelKey,
    ) -> Result<(), ConnectError> {
        connect::cancel(&mut Connection::new(FuturesIo(stream), Limits::BACKEND), key).await
    }

    pub(super) async fn accept<C: Future<Output = Credentials>>(
        stream: async_std::net::TcpStream,
        limits: Limits,
        lookup: impl Fn(Startup) -> C,
    ) -> Result<(Connection<FuturesIo<async_std::net::TcpStream>>, Accepted), ConnectError> {
        connect::Acceptor::<AsyncStd>::new().limits(limits).accept(stream, lookup).await
    }
}

fn non_blocking(stream: TcpStream) -> TcpStream {
    stream.set_nonblocking(true).expect("the socket is open");
    stream
}

/// Returns the host of a configuration with a single host.
fn host(config: &Config) -> &Host {
    config.hosts.first().expect("the configuration has a host")
}

async fn upgrade_tokio(
    config: &Config,
    stream: tokio::net::TcpStream,
) -> std::io::Result<Upgraded<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>> {
    let (tls, name) = Rustls::new().client_config(&TlsRequest::new(config, host(config)))?;
    let stream = tokio_rustls::TlsConnector::from(tls).connect(name, stream).await?;
    let info = info(stream.get_ref().1);
    let mut upgraded = Upgraded::new(stream);
    upgraded.info = info;
    Ok(upgraded)
}

async fn upgrade_futures_io<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Config,
    stream: S,
) -> std::io::Result<Upgraded<futures_rustls::client::TlsStream<S>>> {
    let (tls, name) = Rustls::new().client_config(&TlsRequest::new(config, host(config)))?;
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    let info = info(stream.get_ref().1);
    let mut upgraded = Upgraded::new(stream);
    upgraded.info = info;
    Ok(upgraded)
}

use pg_stream_tokio::rustls::tokio_rustls;
