//! A peer that plays a script, with blocking sockets on a separate thread.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pg_auth::scram::{OfferedBinding, ServerFirst, Verifier};
use pg_stream_tokio::rustls::tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::{Domain, SockAddr, SockRef, Type};

use crate::wire::{auth, fatal};

/// The time limit of each read and write of a peer. The code under test has shorter time limits, so it gives up before the peer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The password of every login.
pub(crate) const PASSWORD: &str = "correct horse";

/// One step of a script.
#[derive(Clone)]
pub(crate) enum Act {
    /// Reads a packet that has no code: an SSLRequest or a start-up message.
    Packet,
    /// Reads a message that begins with a code byte.
    Message,
    /// Sends bytes.
    Say(Vec<u8>),
    /// Sends bytes one by one.
    Drip(Vec<u8>),
    /// Sends the bytes this number of times. Stops earlier if the other side closes the connection.
    Flood(Vec<u8>, usize),
    /// Performs the server side of the TLS handshake.
    Tls(Arc<ServerConfig>),
    /// Sends bytes in clear after TLS has started.
    Beside(Vec<u8>),
    /// Performs the server side of SCRAM, with altered messages.
    Scram(Scram),
    /// Half-closes the connection. Bytes from the other side are still read.
    HalfClose,
    /// Closes the socket without the close_notify alert of TLS.
    Cut,
    /// Closes the socket with a reset.
    Reset,
}

/// The server side of a SCRAM exchange, with functions that alter its messages before they are sent.
#[derive(Clone)]
pub(crate) struct Scram {
    pub(crate) iterations: u32,
    /// Alters the server-first-message. The arguments are this message and the client-first-message.
    pub(crate) first: fn(&str, &str) -> String,
    /// Alters the server-final-message.
    pub(crate) last: fn(&str) -> String,
    /// Whether the scripted server sends the server-final-message, in which a server proves that it has the verifier.
    pub(crate) proves: bool,
}

impl Scram {
    /// A SCRAM exchange without altered messages.
    pub(crate) const HONEST: Self = Self {
        iterations: 1,
        first: |message, _| message.into(),
        last: |message| message.into(),
        proves: true,
    };
}

/// The steps that a peer performs on one connection.
pub(crate) type Script = Vec<Act>;

/// Returns the SCRAM verifier of [`PASSWORD`].
pub(crate) fn verifier(iterations: u32) -> Verifier {
    let iterations = iterations.try_into().expect("the number is not zero");
    Verifier::new(&PASSWORD.into(), b"sixteen bytes...".to_vec(), iterations)
}

/// Selects the way in which a peer cuts a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    /// The peer half-closes the connection, and continues to read.
    HalfClose,
    /// The peer closes the connection with a reset.
    Reset,
}

/// A socket that counts the sent bytes. If `cut` is set, the socket ends the connection after this number of sent bytes.
pub(crate) struct Socket {
    /// The open socket; `None` after it was closed.
    inner: Option<Inner>,
    sent: usize,
    cut: Option<(usize, Cut)>,
}

enum Inner {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn new(inner: Inner) -> Self {
        match &inner {
            Inner::Tcp(socket) => {
                socket.set_nodelay(true).expect("the socket is open");
                socket.set_read_timeout(Some(PATIENCE)).expect("the socket is open");
                socket.set_write_timeout(Some(PATIENCE)).expect("the socket is open");
            }
            Inner::Unix(socket) => {
                socket.set_read_timeout(Some(PATIENCE)).expect("the socket is open");
                socket.set_write_timeout(Some(PATIENCE)).expect("the socket is open");
            }
        }
        Self { inner: Some(inner), sent: 0, cut: None }
    }

    /// Half-closes the socket.
    fn end(&self) -> io::Result<()> {
        match &self.inner {
            Some(Inner::Tcp(socket)) => socket.shutdown(Shutdown::Write),
            Some(Inner::Unix(socket)) => socket.shutdown(Shutdown::Write),
            None => Ok(()),
        }
    }

    /// Closes the socket. Over TCP, the other side receives a reset.
    fn reset(&mut self) -> io::Result<()> {
        if let Some(Inner::Tcp(socket)) = &self.inner {
            SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
        }
        self.inner = None;
        Ok(())
    }
}

impl Read for Socket {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match &mut self.inner {
            Some(Inner::Tcp(socket)) => socket.read(space),
            Some(Inner::Unix(socket)) => socket.read(space),
            None => Ok(0),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.cut.map_or(bytes.len(), |(most, _)| bytes.len().min(most - self.sent));
        if let (0, Some((_, cut))) = (room, self.cut) {
            match cut {
                Cut::HalfClose => self.end()?,
                Cut::Reset => self.reset()?,
            }
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = match &mut self.inner {
            Some(Inner::Tcp(socket)) => socket.write(&bytes[..room])?,
            Some(Inner::Unix(socket)) => socket.write(&bytes[..room])?,
            None => return Err(io::ErrorKind::NotConnected.into()),
        };
        self.sent += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection, and all bytes that this side has received; with TLS, the decrypted bytes.
pub(crate) struct Peer {
    socket: Option<Socket>,
    tls: Option<Box<StreamOwned<ServerConnection, Socket>>>,
    pub(crate) heard: Vec<u8>,
}

impl Peer {
    fn new(socket: Socket) -> Self {
        Self { socket: Some(socket), tls: None, heard: Vec::new() }
    }

    /// Makes this peer cut the connection after `most` sent bytes.
    pub(crate) fn cut(mut self, most: usize, cut: Cut) -> Self {
        if let Some(socket) = &mut self.socket {
            socket.cut = Some((most, cut));
        }
        self
    }

    /// Returns the number of bytes sent so far; with TLS, encrypted bytes are counted.
    pub(crate) fn sent(&self) -> usize {
        let socket = self.tls.as_ref().map(|tls| &tls.sock).or(self.socket.as_ref());
        socket.map_or(0, |socket| socket.sent)
    }

    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match (&mut self.tls, &mut self.socket) {
            (Some(tls), _) => tls.read(space),
            (None, Some(socket)) => socket.read(space),
            (None, None) => Ok(0),
        }
    }

    /// Sends bytes.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        match (&mut self.tls, &mut self.socket) {
            (Some(tls), _) => {
                tls.write_all(bytes)?;
                tls.flush()
            }
            (None, Some(socket)) => socket.write_all(bytes),
            (None, None) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads exactly `count` bytes.
    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut space = vec![0; count];
        let mut at = 0;
        while at < count {
            match self.read(&mut space[at..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => {
                    self.heard.extend(&space[at..at + more]);
                    at += more;
                }
            }
        }
        Ok(space)
    }

    /// Reads a length field and the body that follows it; returns the body.
    fn take_body(&mut self) -> io::Result<Vec<u8>> {
        let length: [u8; 4] = self.take(4)?.try_into().expect("four bytes");
        // The length is trusted, because it comes from the client under test, and not from a scripted peer.
        self.take(usize::try_from(i32::from_be_bytes(length) - 4).expect("a length"))
    }

    /// Reads a packet that has no code.
    pub(crate) fn packet(&mut self) -> io::Result<Vec<u8>> {
        self.take_body()
    }

    /// Reads a message: its code and its body.
    pub(crate) fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let code = self.take(1)?[0];
        Ok((code, self.take_body()?))
    }

    /// Performs the TLS handshake as a server.
    pub(crate) fn begin_tls(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        let socket = self.socket.take().ok_or(io::ErrorKind::NotConnected)?;
        let tls = self.tls.insert(Box::new(StreamOwned::new(session, socket)));
        while tls.conn.is_handshaking() {
            if let Err(error) = tls.conn.complete_io(&mut tls.sock) {
                // Sends the TLS alert that explains why the handshake failed.
                let _ = tls.conn.write_tls(&mut tls.sock);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Performs the server side of a SCRAM exchange. If `scram.proves` is false, the server-final-message is not sent.
    fn scram(&mut self, scram: &Scram) -> io::Result<()> {
        let (_, body) = self.message()?;
        let first = client_first(&body);
        let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".parse().expect("the nonce is printable");
        // The scripts play servers without channel binding, because channel binding would need the server's certificate here.
        let server = ServerFirst::new(verifier(scram.iterations), nonce, OfferedBinding::NotOffered);
        let challenge = server.client_first(first.as_bytes()).map_err(io::Error::other)?;
        let message = std::str::from_utf8(challenge.message()).expect("the text is ASCII").to_owned();
        self.say(&auth(11, (scram.first)(&message, &first)))?;
        let (_, body) = self.message()?;
        if !scram.proves {
            return Ok(());
        }
        let accepted = match challenge.client_final(&body) {
            Ok(accepted) => accepted,
            // The client has accepted an altered challenge. The server compares the client's proof with the original challenge, so the
            // proof does not match.
            Err(error) => {
                self.say(&fatal("28P01", "the proof is wrong"))?;
                return Err(io::Error::other(error));
            }
        };
        let message = std::str::from_utf8(accepted.message()).expect("the text is ASCII").to_owned();
        self.say(&auth(12, (scram.last)(&message)))
    }

    /// Performs one step of a script.
    fn act(&mut self, act: &Act) -> io::Result<()> {
        match act {
            Act::Packet => self.packet().map(drop),
            Act::Message => self.message().map(drop),
            Act::Say(bytes) => self.say(bytes),
            Act::Drip(bytes) => bytes.chunks(1).try_for_each(|byte| self.say(byte)),
            Act::Flood(bytes, times) => {
                // Each write sends several copies of the bytes, because one write for each copy would be slow.
                let together = (1 << 16) / bytes.len() + 1;
                let piece = bytes.repeat(together);
                let mut left = *times;
                while left > 0 {
                    let now = left.min(together);
                    self.say(&piece[..now * bytes.len()])?;
                    left -= now;
                }
                Ok(())
            }
            Act::Tls(config) => self.begin_tls(config.clone()),
            Act::Beside(bytes) => match &mut self.tls {
                Some(tls) => tls.sock.write_all(bytes),
                None => Err(io::ErrorKind::NotConnected.into()),
            },
            Act::Scram(scram) => self.scram(scram),
            Act::HalfClose => self.end(),
            Act::Cut => {
                (self.tls, self.socket) = (None, None);
                Ok(())
            }
            Act::Reset => match (&mut self.tls, &mut self.socket) {
                (Some(tls), _) => tls.sock.reset(),
                (None, Some(socket)) => socket.reset(),
                (None, None) => Ok(()),
            },
        }
    }

    /// Ends TLS, if there is TLS, and half-closes the connection.
    fn end(&mut self) -> io::Result<()> {
        match (&mut self.tls, &self.socket) {
            (Some(tls), _) => {
                tls.conn.send_close_notify();
                tls.flush()?;
                tls.sock.end()
            }
            (None, Some(socket)) => socket.end(),
            (None, None) => Ok(()),
        }
    }

    /// Reads until the other side has closed.
    pub(crate) fn wait(&mut self) {
        let mut space = vec![0; 1 << 16];
        // After a TLS error, bytes are still read, but not decrypted. If the socket were closed with unread bytes, the kernel would send a
        // reset. The reset could discard the last bytes that this side has sent.
        let mut failed = false;
        loop {
            let read = match &mut self.tls {
                Some(tls) if failed => tls.sock.read(&mut space),
                _ => self.read(&mut space),
            };
            match read {
                Ok(0) => return,
                Ok(_) if failed => {}
                Ok(count) => self.heard.extend(&space[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("the other side neither sends nor closes");
                }
                Err(_) if self.tls.is_some() && !failed => failed = true,
                Err(_) => return,
            }
        }
    }

    /// Plays a script until it ends or a step fails, then waits until the other side has closed.
    pub(crate) fn play(&mut self, script: &[Act]) {
        let _ = script.iter().try_for_each(|act| self.act(act));
        self.wait();
    }
}

/// Returns the client-first-message in the body of a SASLInitialResponse.
pub(crate) fn client_first(body: &[u8]) -> String {
    let end = body.iter().position(|&byte| byte == 0).expect("the mechanism's name ends");
    String::from_utf8(body[end + 5..].to_vec()).expect("the text is ASCII")
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The address of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Tcp(SocketAddr),
    /// The path of a Unix-domain socket. `None` if the socket has no path: a client's socket usually has none.
    Unix(Option<PathBuf>),
}

impl Listener {
    fn accept(&self) -> io::Result<(Socket, Address)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, from) = listener.accept()?;
                Ok((Socket::new(Inner::Tcp(socket)), Address::Tcp(from)))
            }
            Self::Unix(listener) => {
                let (socket, from) = listener.accept()?;
                let name = from.as_pathname().map(PathBuf::from);
                Ok((Socket::new(Inner::Unix(socket)), Address::Unix(name)))
            }
        }
    }
}

/// A server on a separate thread. The thread serves one connection at a time: it accepts a connection, and calls a function that serves the
/// connection.
pub(crate) struct Playing<T> {
    address: Address,
    /// A socket that [`Playing::end`] connects to the server. The thread recognises the socket's address, and ends.
    last: socket2::Socket,
    thread: JoinHandle<Vec<T>>,
}

impl<T: Send + 'static> Playing<T> {
    /// Starts the server on a free TCP port.
    pub(crate) fn tcp(part: impl FnMut(usize, Peer) -> T + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the socket is bound");
        let last = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        last.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        let from = last.local_addr().expect("the socket is bound").as_socket().expect("an address");
        Self::start(Address::Tcp(address), Listener::Tcp(listener), last, Address::Tcp(from), part)
    }

    /// Starts the server on a Unix-domain socket with this path.
    pub(crate) fn unix(path: PathBuf, part: impl FnMut(usize, Peer) -> T + Send + 'static) -> Self {
        let listener = UnixListener::bind(&path).expect("a new file");
        let from = path.with_extension("last");
        let last = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        last.bind(&SockAddr::unix(&from).expect("a short path")).expect("a new file");
        Self::start(
            Address::Unix(Some(path)),
            Listener::Unix(listener),
            last,
            Address::Unix(Some(from)),
            part,
        )
    }

    fn start(
        address: Address,
        listener: Listener,
        last: socket2::Socket,
        end: Address,
        mut part: impl FnMut(usize, Peer) -> T + Send + 'static,
    ) -> Self {
        let thread = thread::spawn(move || {
            let mut outcomes = Vec::new();
            while let Ok((socket, from)) = listener.accept() {
                if from == end {
                    break;
                }
                outcomes.push(part(outcomes.len(), Peer::new(socket)));
            }
            outcomes
        });
        Self { address, last, thread }
    }

    /// Returns the port of the server; 0 for a Unix-domain socket.
    pub(crate) fn port(&self) -> u16 {
        match &self.address {
            Address::Tcp(address) => address.port(),
            Address::Unix(_) => 0,
        }
    }

    /// Waits until all connections have ended, then ends the server. Returns the result of the function for each connection.
    pub(crate) fn end(self) -> Vec<T> {
        let address = match &self.address {
            Address::Tcp(address) => SockAddr::from(*address),
            Address::Unix(path) => {
                SockAddr::unix(path.as_deref().expect("the socket is bound")).expect("a short path")
            }
        };
        self.last.connect(&address).expect("the server listens");
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Starts a server that plays the first script on the first connection, the second script on the second connection, and so on. If there are
/// more connections than scripts, the server closes the further connections at once. [`Playing::end`] returns the bytes received on each
/// connection.
pub(crate) fn playing(scripts: Vec<Script>, unix: Option<PathBuf>) -> Playing<Vec<u8>> {
    let part = move |at: usize, mut peer: Peer| {
        if let Some(script) = scripts.get(at) {
            peer.play(script);
        }
        peer.heard
    };
    match unix {
        None => Playing::tcp(part),
        Some(path) => Playing::unix(path, part),
    }
}
