//! Injects faults into a connection, between the sockets and the session.
//!
//! A session with faults does not use the sockets of the client and the server directly. Each side of the session is one end of a pair of
//! Unix-domain sockets, and a relay at the other end copies the bytes between the pair and the real socket:
//!
//! ```text
//! client ⇄ relay ⇄ session ⇄ relay ⇄ server
//! ```
//!
//! Faults are added when bytes leave the session: the relay of the client adds the faults for the bytes from the server, and the relay of
//! the server adds the faults for the bytes from the client. So the session and its trace see the bytes without faults, and the client and
//! the server see the bytes with faults.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pg_stream_tokio::TokioIo;
use pg_wire::Direction;
use pg_wire::testing::{FaultInjector, FaultKind, FaultStep, FaultTable};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::address::Socket;
use crate::say;
use crate::tls::ClientStream;

/// Size of one read, in bytes.
const READ: usize = 64 * 1024;

/// Random faults are placed only within this number of messages of each side, counted from the start of the connection.
const RANDOM_MESSAGES: u64 = 200;

/// Longest time that a peer may take to read its last bytes and to close its connection.
const PARTING: Duration = Duration::from_secs(2);

/// Number of file descriptors that the relays of one connection need: four for two pairs of Unix-domain sockets, and a second descriptor
/// for each of the two TCP sockets (of the client and of the server).
pub(crate) const DESCRIPTORS: u64 = 6;

/// The faults of all connections.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Faults of every connection.
    pub(crate) table: FaultTable,
    pub(crate) seed: u64,
    /// Mean number of random faults of a connection.
    pub(crate) rate: f64,
    /// Kinds of the random faults.
    pub(crate) kinds: Vec<FaultKind>,
}

/// The relays of one connection, which inject its faults.
#[derive(Debug)]
pub(crate) struct Relays {
    table: FaultTable,
    number: u64,
    end: Arc<watch::Sender<End>>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

/// State of a connection. The variants are in the order of precedence: a variant is never replaced by a variant above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// The session is running.
    Running,
    /// The session has ended. The relays still pass on the bytes that the session has sent.
    Session,
    /// A fault requires that both connections are closed.
    Cut,
    /// A fault requires that both connections are reset.
    Reset,
}

impl Plan {
    /// Returns the faults of the connection with this number.
    fn table(&self, number: u64) -> FaultTable {
        // The number of random faults in this connection is the rate, rounded up or down. The mean over all connections is the rate.
        let before = |number: u64| (number as f64 * self.rate) as usize;
        let count = before(number) - before(number - 1);
        let seed = self.seed.wrapping_mul(1 << 32).wrapping_add(number);
        let mut table = self.table.clone();
        table.append(FaultTable::random(seed, &self.kinds, count, RANDOM_MESSAGES));
        table
    }

    /// Prepares the relays of the connection with this number.
    pub(crate) fn connection(&self, number: u64) -> Relays {
        let end = Arc::new(watch::Sender::new(End::Running));
        Relays { table: self.table(number), number, end, running: Mutex::default() }
    }
}

impl Relays {
    /// Starts the relay of the client. Returns the stream that the session uses instead of the client's stream.
    pub(crate) fn client(&self, client: ClientStream) -> io::Result<ClientStream> {
        let inner = match client {
            ClientStream::Tcp(TokioIo(stream)) => {
                let handle = SockRef::from(&stream).try_clone()?;
                self.start(Direction::Backend, stream, Some(handle))
            }
            ClientStream::Unix(TokioIo(stream)) => self.start(Direction::Backend, stream, None),
            ClientStream::Tls(never) => match never {},
        };
        inner?.try_into().map(TokioIo).map(ClientStream::Unix)
    }

    /// Starts the relay of the server. Returns the stream that the session uses instead of the server's stream.
    pub(crate) fn server(&self, server: Socket) -> io::Result<Socket> {
        let inner = match server {
            Socket::Tcp(TokioIo(stream)) => {
                let handle = SockRef::from(&stream).try_clone()?;
                self.start(Direction::Frontend, stream, Some(handle))
            }
            Socket::Unix(TokioIo(stream)) => self.start(Direction::Frontend, stream, None),
            // The command line does not allow faults together with TLS to the server.
            Socket::Tls(_) => Err(io::Error::other("faults cannot be injected under TLS")),
        };
        inner?.try_into().map(TokioIo).map(Socket::Unix)
    }

    /// Starts the relay that adds the faults of `sender` to the bytes for `socket`. If `socket` uses TCP, `handle` is a second descriptor
    /// of the socket. It is closed last, and can reset the connection.
    fn start(
        &self,
        sender: Direction,
        socket: impl AsyncRead + AsyncWrite + Send + 'static,
        handle: Option<socket2::Socket>,
    ) -> io::Result<UnixStream> {
        let (session, inner) = UnixStream::pair()?;
        let (end, number) = (Arc::clone(&self.end), self.number);
        let injector = self.table.injector(sender);
        let relay = async move {
            let last = relay(socket, inner, Outward { injector, number, end: &end }).await;
            if last == End::Reset
                && let Some(handle) = handle
            {
                // With a linger time of 0, closing the last descriptor of the socket (`handle`) sends RST instead of FIN.
                let _ = handle.set_linger(Some(Duration::ZERO));
            }
        };
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(tokio::spawn(relay));
        Ok(session)
    }

    /// Waits until the relays have passed on the last bytes of the session. Call this after the session has ended.
    pub(crate) async fn finish(&self) {
        advance(&self.end, End::Session);
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for relay in running {
            let _ = relay.await;
        }
    }
}

/// Sets the state of a connection. Does nothing if the current state has precedence.
fn advance(end: &watch::Sender<End>, to: End) {
    end.send_if_modified(|end| {
        let later = to > *end;
        *end = to.max(*end);
        later
    });
}

/// Copies bytes between a socket and the session, until both directions have ended or a fault ends the connection. Returns the state at the
/// end. Before it returns, closes all descriptors of the socket except `handle`.
async fn relay(socket: impl AsyncRead + AsyncWrite, inner: UnixStream, outward: Outward<'_>) -> End {
    let mut states = outward.end.subscribe();
    let (mut from, mut to) = tokio::io::split(socket);
    let (mut from_session, mut to_session) = inner.into_split();
    let copied = async {
        tokio::join!(
            async {
                // An error is ignored: it means that the connection has ended. The next line then ends the stream to the session.
                let _ = tokio::io::copy(&mut from, &mut to_session).await;
                let _ = to_session.shutdown().await;
            },
            async {
                let _ = outward.run(&mut from_session, &mut to).await;
            },
        );
    };
    let over = async {
        let is_over = states.wait_for(|end| *end != End::Running).await.map_or(End::Cut, |end| *end);
        if is_over == End::Session {
            // The session has ended. The relay continues for at most `PARTING`, so that the last bytes of the session are sent.
            let _ = timeout(PARTING, states.wait_for(|end| *end > End::Session)).await;
        }
    };
    tokio::select! {
        () = copied => {}
        () = over => {}
    }
    drop((from_session, to_session));
    let last = *states.borrow();
    if last == End::Cut {
        let parting = async {
            let _ = to.shutdown().await;
            // The system resets a connection whose socket is closed with unread bytes. So all bytes are read.
            let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
        };
        let _ = timeout(PARTING, parting).await;
    }
    last
}

/// The direction from the session to a peer, into which faults are injected.
struct Outward<'e> {
    injector: FaultInjector,
    number: u64,
    end: &'e watch::Sender<End>,
}

impl Outward<'_> {
    /// Passes bytes on until the session closes this direction, or a fault ends the connection.
    async fn run(
        mut self,
        session: &mut (impl AsyncRead + Unpin),
        peer: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        let mut space = vec![0; READ];
        let mut stalled = false;
        loop {
            let count = session.read(&mut space).await?;
            match count {
                0 => self.injector.finish(),
                count => self.injector.push(space.get(..count).unwrap_or_default()),
            }
            for fault in self.injector.take_applied() {
                say(format_args!("connection {}: fault {fault}", self.number));
            }
            while let Some(step) = self.injector.next_step() {
                match step {
                    FaultStep::Send(bytes) => {
                        peer.write_all(&bytes).await?;
                        peer.flush().await?;
                        // Lets other tasks run, so that the peer may read these bytes before the next piece is sent.
                        tokio::task::yield_now().await;
                    }
                    FaultStep::Pause(time) => sleep(time).await,
                    FaultStep::HalfClose => peer.shutdown().await?,
                    FaultStep::Stall => stalled = true,
                    FaultStep::Close => advance(self.end, End::Cut),
                    FaultStep::Reset => advance(self.end, End::Reset),
                    // A later version of the library may add steps that this program does not know. An unknown step closes both
                    // connections.
                    _ => advance(self.end, End::Cut),
                }
            }
            if count == 0 {
                if stalled {
                    // The sender has closed its connection. After a stall, the receiver is not told, so both connections are closed
                    // here.
                    advance(self.end, End::Cut);
                } else if !self.injector.has_ended() {
                    peer.shutdown().await?;
                }
                return Ok(());
            }
        }
    }
}
