//! A client without an executor: sockets of the standard library, `poll`, TLS by rustls, a query with parameters, and a pipeline of 300,000
//! statements.
//!
//! The sockets are non-blocking. If a read or write would block, the socket is added to the list `WAITING`, and `block_on` waits for all
//! sockets in this list at once. It must not wait for writing alone: while nobody reads the server's answers, the server stops reading the
//! pipeline, and both sides would wait forever.
//!
//! `cargo run -p examples --bin blocking_client -- 'postgres://user:secret@localhost/mydb?sslmode=require'`

use std::cell::RefCell;
use std::error::Error;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use pg_auth::config::SslCertMode;
use pg_auth::connect::ConnectionBuilder;
use pg_auth::runtime::{Inline, Offload, Runtime};
use pg_auth::tls::{TlsConnect, TlsRequest, Upgraded};
use pg_auth::{Config, net};
use pg_stream_tokio::rustls::tokio_rustls::rustls::ClientConnection;
use pg_stream_tokio::rustls::{Rustls, info};
use pg_wire::backend::Backend;
use pg_wire::{PgProtocol, Portal, Sink, Source, Statement};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Number of statements in the pipeline. All answers together are far larger than the socket buffers, so `flush` has to read while it
/// writes.
const STATEMENTS: u32 = 300_000;

// The sockets for which `block_on` waits, and the deadline of the wait.
thread_local! {
    static WAITING: RefCell<Waiting> = RefCell::default();
}

#[derive(Default)]
struct Waiting {
    sockets: Vec<(Rc<dyn AsFd>, PollFlags)>,
    until: Option<Instant>,
}

/// A waker that records in a flag whether the future was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a future to its end. While the future is pending, waits for the sockets with the system call `poll`.
fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let mut future = pin!(future);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    loop {
        WAITING.take();
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(value);
        }
        if woken.0.swap(false, Ordering::Relaxed) {
            continue;
        }
        let Waiting { sockets, until } = WAITING.take();
        let mut polled: Vec<PollFd<'_>> =
            sockets.iter().map(|(socket, flags)| PollFd::from_borrowed_fd(socket.as_fd(), *flags)).collect();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        match poll(&mut polled, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A non-blocking socket, TCP or Unix-domain.
#[derive(Debug)]
struct Socket<S>(Rc<S>);

impl<S: AsFd + 'static> Socket<S> {
    /// Converts the result of a read or write to a `Poll`. If the read or write would block, adds the socket to `WAITING`, so that
    /// `block_on` waits for the socket.
    fn or_wait<T>(&self, outcome: io::Result<T>, flags: PollFlags) -> Poll<io::Result<T>> {
        match outcome {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                WAITING.with_borrow_mut(|waiting| waiting.sockets.push((self.0.clone(), flags)));
                Poll::Pending
            }
            outcome => Poll::Ready(outcome),
        }
    }
}

impl<S: AsFd + 'static> Source for Socket<S>
where
    for<'s> &'s S: Read,
{
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.or_wait((&*self.0).read(space), PollFlags::IN)
    }
}

impl<S: AsFd + End + 'static> Sink for Socket<S>
where
    for<'s> &'s S: Write,
{
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.or_wait((&*self.0).write(bytes), PollFlags::OUT)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.end())
    }
}

/// Half-closes a socket. A trait of this example, because the standard library has no common trait for its socket types.
trait End {
    fn end(&self) -> io::Result<()>;
}

impl End for TcpStream {
    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl End for UnixStream {
    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// The runtime of this example. It needs no executor, no threads and no reactor.
#[derive(Clone, Debug, Default)]
struct Blocking;

impl Offload for Blocking {
    async fn offload<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Inline.offload(job).await
    }
}

impl Runtime for Blocking {
    type Tcp = Socket<TcpStream>;
    type Unix = Socket<UnixStream>;
    type Tls = Tls;

    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((name, port).to_socket_addrs()?.collect())
    }

    async fn dial_tcp(&self, address: SocketAddr, config: &Config) -> io::Result<Self::Tcp> {
        let stream = match config.connect_timeout {
            Some(limit) => TcpStream::connect_timeout(&address, limit)?,
            None => TcpStream::connect(address)?,
        };
        net::configure(&stream, config)?;
        stream.set_nonblocking(true)?;
        Ok(Socket(Rc::new(stream)))
    }

    async fn dial_unix(&self, path: &Path, config: &Config) -> io::Result<Self::Unix> {
        Ok(Socket(Rc::new(net::unix_socket(path, config)?)))
    }

    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        let end = Instant::now() + limit;
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            if Instant::now() >= end {
                return Poll::Ready(None);
            }
            WAITING.with_borrow_mut(|waiting| {
                waiting.until = Some(waiting.until.map_or(end, |earlier| earlier.min(end)));
            });
            Poll::Pending
        })
        .await
    }
}

/// Starts TLS by rustls. The TLS settings come from the connection string.
#[derive(Clone, Debug, Default)]
struct Tls(Rustls);

/// A TLS stream. A read does not wait for pending writes. Otherwise both sides could wait forever: a server may stop reading until the
/// client has read the server's answers.
#[derive(Debug)]
struct TlsStream {
    tls: ClientConnection,
    socket: Socket<TcpStream>,
}

impl TlsStream {
    /// Sends the pending TLS records.
    fn poll_send(&mut self) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let sent = self.tls.write_tls(&mut &*self.socket.0);
            if ready!(self.socket.or_wait(sent, PollFlags::OUT))? == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Receives TLS records. Returns `false` at the end of the stream.
    fn poll_receive(&mut self) -> Poll<io::Result<bool>> {
        let received = self.tls.read_tls(&mut &*self.socket.0);
        let count = ready!(self.socket.or_wait(received, PollFlags::IN))?;
        if let Err(error) = self.tls.process_new_packets() {
            // Sends a TLS alert, which tells the server the reason. If the socket would block, the alert is not sent.
            let _ = self.poll_send();
            return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(count > 0))
    }

    fn poll_handshake(&mut self) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() {
            ready!(self.poll_send())?;
            if self.tls.is_handshaking() && !ready!(self.poll_receive())? {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
        }
        self.poll_send()
    }
}

impl TlsConnect<Socket<TcpStream>> for Tls {
    type Stream = TlsStream;

    async fn upgrade(
        &self,
        socket: Socket<TcpStream>,
        request: &TlsRequest<'_>,
    ) -> io::Result<Upgraded<TlsStream>> {
        if request.config.tls.cert_mode == SslCertMode::Require {
            return Err(io::Error::new(ErrorKind::Unsupported, "sslcertmode=require is not supported here"));
        }
        let (config, name) = self.0.client_config(request)?;
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = TlsStream { tls, socket };
        poll_fn(|_| stream.poll_handshake()).await?;
        let info = info(&stream.tls);
        Ok(Upgraded::new(stream).info(info))
    }
}

impl Source for TlsStream {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.tls.reader().read(space) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
            ready!(self.poll_receive())?;
        }
    }
}

impl Sink for TlsStream {
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send())?;
        Poll::Ready(self.tls.writer().write(bytes))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls.send_close_notify();
        ready!(self.poll_send())?;
        self.socket.poll_close(cx)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = examples::config()?;
    block_on(async {
        let (mut conn, session) = ConnectionBuilder::<Blocking, _>::from(config).dial().await?;
        println!("logged in {}", examples::channel(&session));

        conn.parse(Statement("double")).query("SELECT 2 * $1::int8").finish();
        conn.bind(Statement("double"), Portal::UNNAMED).execute_and_sync((21i64,));
        conn.flush().await?;
        examples::until_ready(&mut conn, |message| {
            if let Backend::DataRow(row) = message {
                println!("2 * 21 = {}", number(&row)?);
            }
            Ok(())
        })
        .await?;

        for statement in 1..=STATEMENTS {
            conn.bind(Statement("double"), Portal::UNNAMED).execute((i64::from(statement),));
        }
        conn.sync().flush().await?;
        let (mut rows, mut sum) = (0, 0);
        examples::until_ready(&mut conn, |message| {
            if let Backend::DataRow(row) = message {
                rows += 1;
                sum += number(&row)?;
            }
            Ok(())
        })
        .await?;
        println!("{rows} rows, sum {sum}");
        conn.terminate().close().await?;
        Ok(())
    })?
}

/// Parses the number in the only column of a row in text format.
fn number(row: &pg_wire::backend::DataRow<'_>) -> Result<i64, Box<dyn Error>> {
    let value = row.values.iter().next().transpose()?.flatten().ok_or("no value")?;
    Ok(std::str::from_utf8(value)?.parse()?)
}
