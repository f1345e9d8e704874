//! A relay between a client and a server. A test can stop the relay from reading, so that the client cannot send.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use pg_auth::{Config, Host};
use tempfile::TempDir;

use crate::ways::{Channel, Way};

/// Size in bytes of the receive buffer of the relay's sockets; the kernel may double this size. Without a fixed size, Linux would enlarge
/// the buffer, and a client could send more bytes while the relay does not read.
const BUFFER: usize = 64 << 10;

/// A relay for one connection. While the relay does not read, the client can send only until the client's and the relay's socket buffers
/// are full.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Configuration with which the client connects to the relay.
    pub(crate) config: Config,
    gate: Arc<Gate>,
    /// Directory of the Unix-domain socket; `None` over TCP.
    _dir: Option<TempDir>,
}

/// Stops the thread that reads from the client while the gate is closed.
#[derive(Debug, Default)]
struct Gate {
    is_closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    /// Waits until the gate is open.
    fn wait(&self) {
        let is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(is_closed, |is_closed| *is_closed));
    }
}

impl Relay {
    /// Starts a relay to a server.
    pub(crate) fn start(way: &Way) -> Self {
        let (mut config, gate) = (way.config(), Arc::new(Gate::default()));
        let server = config.hosts.remove(0);
        let (gate_of_relay, port) = (gate.clone(), way.server.address.port());
        if way.channel == Channel::Unix {
            let dir = tempfile::tempdir().expect("a directory");
            let host = Host::in_dir(dir.path(), port);
            let listener = UnixListener::bind(host.socket_path().expect("a path")).expect("a new path");
            thread::spawn(move || {
                let client = listener.accept().expect("a client").0;
                let path = server.socket_path().expect("a path");
                let server = UnixStream::connect(path).expect("PostgreSQL listens by Unix socket");
                let end = |stream: &UnixStream| drop(stream.shutdown(Shutdown::Write));
                relay([&client, &server], &gate_of_relay, end);
            });
            return Self { config: config.host(host), gate, _dir: Some(dir) };
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        // The size is set on the listener, because accepted sockets inherit the size.
        socket2::SockRef::from(&listener).set_recv_buffer_size(BUFFER).expect("a size");
        let port = listener.local_addr().expect("the socket is bound").port();
        let (name, address) =
            (if way.channel == Channel::Tls { "localhost" } else { "127.0.0.1" }, way.server.address);
        thread::spawn(move || {
            let client = listener.accept().expect("a client").0;
            let server = TcpStream::connect(address).expect("PostgreSQL listens by TCP");
            let end = |stream: &TcpStream| drop(stream.shutdown(Shutdown::Write));
            relay([&client, &server], &gate_of_relay, end);
        });
        Self { config: config.host(Host::new(name, port)), gate, _dir: None }
    }

    /// Makes the relay stop reading from the client if `holds` is true, and continue if `holds` is false.
    pub(crate) fn hold(&self, holds: bool) {
        *self.gate.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = holds;
        self.gate.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.hold(false);
    }
}

/// Copies bytes in both directions, until the streams of both directions have ended.
fn relay<'s, S: Sync>([client, server]: [&'s S; 2], gate: &Gate, end: impl Fn(&S) + Copy + Send)
where
    &'s S: Read + Write + Send,
{
    thread::scope(|scope| {
        scope.spawn(move || {
            copy(client, server, || gate.wait());
            end(server);
        });
        copy(server, client, || ());
        end(client);
    });
}

/// Copies bytes until the end of a stream or an error. Calls `wait` before each read.
fn copy(mut from: impl Read, mut to: impl Write, wait: impl Fn()) {
    let mut bytes = vec![0; BUFFER];
    loop {
        wait();
        match from.read(&mut bytes) {
            Ok(count @ 1..) if to.write_all(&bytes[..count]).is_ok() => {}
            _ => return,
        }
    }
}
