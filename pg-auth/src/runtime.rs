//! The interface of a runtime adapter: dialling, waiting with a limit, and running a job off the executor.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use pg_wire::Transport;

use crate::config::Config;
use crate::tls::TlsConnect;

/// Runs long jobs outside of the executor.
pub trait Offload {
    /// Runs a job of some milliseconds of pure computing, or of waiting, where it does not keep other tasks waiting.
    ///
    /// # Errors
    /// The runtime is shutting down.
    fn offload<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>>;
}

/// Runs every job at once, on the same thread: for programs that have nothing else to do meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Offload for Inline {
    async fn offload<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(job())
    }
}

/// A runtime, as far as a connection needs one. With it come a builder, dialling, cancel requests and the server role.
///
/// The futures need not be `Send`; those of a runtime whose futures are make connections whose futures are.
pub trait Runtime: Offload + Clone + Default {
    /// A TCP stream.
    type Tcp: Transport;
    /// A stream over a Unix-domain socket; [`Never`](crate::stream::Never) where there are none.
    type Unix: Transport;
    /// The TLS library used when the caller names no other; [`NoTls`](crate::tls::NoTls) where there is none.
    type Tls: TlsConnect<Self::Tcp> + Clone + Default;

    /// Finds the addresses of a name.
    ///
    /// # Errors
    /// The name is not known.
    fn resolve(&self, name: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>>;

    /// Connects to an address, and sets the socket's options: [`net::configure`](crate::net::configure) does.
    ///
    /// # Errors
    /// The operating system's.
    fn dial_tcp(&self, address: SocketAddr, config: &Config) -> impl Future<Output = io::Result<Self::Tcp>>;

    /// Connects to a Unix-domain socket: [`net::unix_socket`](crate::net::unix_socket) does. On Linux a path that begins with `@`
    /// is a name in the abstract namespace.
    ///
    /// # Errors
    /// The operating system's.
    fn dial_unix(&self, path: &Path, config: &Config) -> impl Future<Output = io::Result<Self::Unix>>;

    /// Runs a future with a time limit. Returns `None` when the time is over first; the future is then dropped.
    fn within<F: Future>(&self, limit: Duration, future: F) -> impl Future<Output = Option<F::Output>>;
}

/// Adapts streams of the type `S`, provided by the caller, to the runtime's way of polling.
pub trait Wrap<S>: Runtime {
    /// The stream as a transport.
    type Transport: Transport;
    /// The stream with bytes put back in front, as a TLS library takes it.
    type Rewound;

    /// Wraps a stream.
    fn wrap(stream: S) -> Self::Transport;

    /// Returns the inner stream.
    fn unwrap(transport: Self::Transport) -> S;

    /// Puts bytes back in front of a stream, to be read again. At most eight.
    fn rewind(stream: S, bytes: &[u8]) -> Self::Rewound;
}
