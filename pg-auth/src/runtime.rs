//! The functions that an async runtime supplies: dialling, time limits, and jobs that run outside of the executor.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use pg_wire::Transport;

use crate::config::Config;
use crate::tls::TlsConnect;

/// Runs long jobs outside of the executor.
pub trait Offload {
    /// Runs a job where it does not block other tasks. The job computes for some milliseconds, or blocks while it waits.
    ///
    /// # Errors
    /// The runtime is shutting down.
    fn offload<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>>;
}

/// Runs every job immediately, on the calling thread: for programs that have no other tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Offload for Inline {
    async fn offload<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(job())
    }
}

/// The functions of an async runtime that connections need. For every implementation of this trait, [`connect`](mod@crate::connect)
/// provides the `ConnectionBuilder`, which dials servers and sends cancel requests, and the `Acceptor`.
///
/// The futures of an implementation need not be `Send`. If all these futures are `Send`, the futures of the connections are `Send` too.
pub trait Runtime: Offload + Clone + Default {
    /// The type of the runtime's TCP streams.
    type Tcp: Transport;
    /// A stream over a Unix-domain socket; [`Never`](crate::stream::Never) if there are no such sockets.
    type Unix: Transport;
    /// The default TLS library; [`NoTls`](crate::tls::NoTls) if there is none.
    type Tls: TlsConnect<Self::Tcp> + Clone + Default;

    /// Resolves a host name to its addresses.
    ///
    /// # Errors
    /// The name cannot be resolved.
    fn resolve(&self, name: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>>;

    /// Connects to an address, and sets the socket's options by [`net::configure`](crate::net::configure) or an equivalent.
    ///
    /// # Errors
    /// The operating system's error.
    fn dial_tcp(&self, address: SocketAddr, config: &Config) -> impl Future<Output = io::Result<Self::Tcp>>;

    /// Connects to a Unix-domain socket. An implementation can call [`net::unix_socket`](crate::net::unix_socket). On Linux, a path that
    /// begins with `@` is a name in the abstract namespace.
    ///
    /// # Errors
    /// The operating system's error.
    fn dial_unix(&self, path: &Path, config: &Config) -> impl Future<Output = io::Result<Self::Unix>>;

    /// Runs a future with a time limit. If the future is not ready when the limit expires, drops the future and returns `None`.
    fn within<F: Future>(&self, limit: Duration, future: F) -> impl Future<Output = Option<F::Output>>;
}

/// Adapts streams of the type `S`, supplied by the caller, to the trait [`Transport`].
pub trait Wrap<S>: Runtime {
    /// The transport that [`wrap`](Self::wrap) makes from a stream.
    type Transport: Transport;
    /// The stream that [`rewind`](Self::rewind) returns. A TLS library must be able to read from this stream.
    type Rewound;

    /// Turns a stream into a transport.
    fn wrap(stream: S) -> Self::Transport;

    /// Turns a transport back into the stream.
    fn unwrap(transport: Self::Transport) -> S;

    /// Puts bytes back at the front of a stream, to be read again. At most eight bytes, the length of an SSLRequest.
    fn rewind(stream: S, bytes: &[u8]) -> Self::Rewound;
}
