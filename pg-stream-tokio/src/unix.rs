//! A Unix-domain stream that avoids unnecessary wake-ups.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::task::coop;

use crate::transport::IntoHalves;

/// After this number of consecutive writes that did not wait, the stream closes the second file descriptor (see [`UnixStream`]). With a
/// lower number, the stream would close and open the descriptor more often.
const CALM: u8 = 8;

/// A Unix-domain stream for Tokio, for protocols in which both sides take turns.
///
/// Tokio's own `UnixStream` always watches for two events: data to read, and free space to write. On a Unix-domain socket, the kernel
/// reports free space each time the peer has read. So a thread that waits for an answer is woken as soon as the peer has read the
/// *question*. The thread finds nothing to read, and waits again. The stream of this module watches for free space only while a write has
/// to wait, and uses a second file descriptor for this purpose.
///
/// A stream belongs to the runtime in which it is created.
#[derive(Debug)]
pub struct UnixStream {
    read: UnixReadHalf,
    write: UnixWriteHalf,
}

/// The reading half of a [`UnixStream`].
#[derive(Debug)]
pub struct UnixReadHalf(AsyncFd<Arc<Socket>>);

/// The writing half of a [`UnixStream`].
#[derive(Debug)]
pub struct UnixWriteHalf {
    socket: Arc<Socket>,
    /// Watches the socket for free space while a write waits. This field has its own file descriptor, because the descriptor in `socket` is
    /// watched for data to read.
    room: Option<AsyncFd<OwnedFd>>,
    /// Number of successive writes that did not have to wait. The count starts again at 0 when a write waits.
    calm: u8,
}

impl UnixStream {
    /// Connects to a socket in the file system.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        tokio::net::UnixStream::connect(path).await?.into_std()?.try_into()
    }
}

impl TryFrom<Socket> for UnixStream {
    type Error = io::Error;

    /// Converts a socket, and makes it non-blocking. Must be called within a Tokio runtime.
    fn try_from(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = Arc::new(socket);
        let read = UnixReadHalf(watched(socket.clone(), Interest::READABLE)?);
        Ok(Self { read, write: UnixWriteHalf { socket, room: None, calm: 0 } })
    }
}

impl TryFrom<tokio::net::UnixStream> for UnixStream {
    type Error = io::Error;

    /// Converts a stream of Tokio. Must be called within a Tokio runtime, which may differ from the runtime of `stream`.
    fn try_from(stream: tokio::net::UnixStream) -> io::Result<Self> {
        stream.into_std()?.try_into()
    }
}

/// Registers a file descriptor with the runtime.
// `AsyncFd::with_interest` is deprecated, because it accepts types whose file descriptor may change or be closed later. The types of the
// standard library keep their descriptor.
#[allow(deprecated)]
fn watched<T: std::os::fd::AsRawFd>(socket: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(socket, interest)
}

/// Returns true if a read has emptied the socket's receive buffer, or a write has filled the socket's send buffer. `count` is the number of
/// bytes that the call moved; `most` is the number that the caller allowed. Always false without edge-triggered events (epoll): on other
/// systems, a `count` below `most` does not prove that a buffer is empty or full.
fn is_done(count: usize, most: usize) -> bool {
    cfg!(any(target_os = "linux", target_os = "android")) && 0 < count && count < most
}

impl AsyncRead for UnixReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let unfilled = space.initialize_unfilled();
            let most = unfilled.len();
            let mut socket: &Socket = guard.get_inner();
            match socket.read(unfilled) {
                Ok(count) => {
                    if is_done(count, most) {
                        guard.clear_ready();
                    }
                    space.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl UnixWriteHalf {
    /// Calls `write`, which writes at most `most` bytes. Waits only when the socket's buffer is full.
    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        write: impl Fn(&Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let Some(room) = &self.room else {
                let coop = ready!(coop::poll_proceed(cx));
                match write(&self.socket) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.room =
                            Some(watched(OwnedFd::from(self.socket.try_clone()?), Interest::WRITABLE)?);
                        self.calm = 0;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    written => {
                        coop.made_progress();
                        return Poll::Ready(written);
                    }
                }
                continue;
            };
            let mut guard = match room.poll_write_ready(cx)? {
                Poll::Ready(guard) => guard,
                Poll::Pending => {
                    self.calm = 0;
                    return Poll::Pending;
                }
            };
            match write(&self.socket) {
                Ok(count) => {
                    if is_done(count, most) {
                        guard.clear_ready();
                    }
                    self.calm += 1;
                    if self.calm == CALM {
                        self.room = None;
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for UnixWriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_with(cx, bytes.len(), |mut socket| socket.write(bytes))
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let most = slices.iter().map(|slice| slice.len()).sum();
        self.get_mut().poll_with(cx, most, |mut socket| socket.write_vectored(slices))
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(Shutdown::Write))
    }
}

impl Drop for UnixWriteHalf {
    fn drop(&mut self) {
        // Without this call, the peer would see the end of the stream only after the reading half is dropped. Tokio's writing half makes
        // the same call.
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

impl AsyncRead for UnixStream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().read).poll_read(cx, space)
    }
}

impl AsyncWrite for UnixStream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().write).poll_write(cx, bytes)
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().write).poll_write_vectored(cx, slices)
    }
    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }
    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().write).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().write).poll_shutdown(cx)
    }
}

impl IntoHalves for UnixStream {
    type Read = UnixReadHalf;
    type Write = UnixWriteHalf;

    fn into_halves(self) -> (UnixReadHalf, UnixWriteHalf) {
        (self.read, self.write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    #[cfg(target_os = "linux")]
    use std::os::fd::AsRawFd;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Returns a stream of this module, and the socket of its peer.
    fn pair() -> (UnixStream, Socket) {
        let (ours, theirs) = Socket::pair().expect("a socket pair");
        (UnixStream::try_from(ours).expect("within a runtime"), theirs)
    }

    /// Returns the events for which the kernel watches this descriptor, as epoll lists them in `/proc`.
    #[cfg(target_os = "linux")]
    fn watched_for(socket: &impl AsRawFd) -> Option<u32> {
        let wanted = socket.as_raw_fd().to_string();
        let files = std::fs::read_dir("/proc/self/fdinfo").expect("Linux has /proc").flatten();
        // Errors are skipped, because other tests close descriptors at the same time.
        let files = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        let watched = |line: &str| match *line.split_whitespace().collect::<Vec<_>>() {
            ["tfd:", fd, "events:", events, ..] if fd == wanted => u32::from_str_radix(events, 16).ok(),
            _ => None,
        };
        files.collect::<Vec<_>>().iter().flat_map(|file| file.lines()).find_map(watched)
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_socket_that_becomes_writable_wakes_no_task() {
        const IN: u32 = 1;
        const OUT: u32 = 4;
        let (ours, _theirs) = pair();
        let events = watched_for(&ours.write.socket).expect("epoll watches the descriptor");
        assert_eq!(events & (IN | OUT), IN, "{events:x}");
        let tokios = tokio::net::UnixStream::pair().expect("a socket pair").0;
        let events = watched_for(&tokios).expect("epoll watches the descriptor");
        assert_eq!(
            events & (IN | OUT),
            IN | OUT,
            "Tokio's stream does not watch for free space any more: {events:x}"
        );
    }

    #[tokio::test]
    async fn a_full_socket_is_watched_until_writes_no_longer_wait() {
        let (mut ours, mut theirs) = pair();
        for round in 0..3_u8 {
            let block: Vec<u8> = (0..4 << 20).map(|at| (at % 251) as u8 ^ round).collect();
            assert!(ours.write.room.is_none());
            let mut sent = 0;
            poll_fn(|cx| {
                // The peer does not read yet, so the loop ends with a write that has to wait.
                while let Poll::Ready(count) = Pin::new(&mut ours).poll_write(cx, &block[sent..]) {
                    sent += count.expect("the peer is connected");
                }
                Poll::Ready(())
            })
            .await;
            assert!(ours.write.room.is_some());
            let (mut peer, expected) =
                (theirs.try_clone().expect("a file descriptor is free"), block.clone());
            let reading = std::thread::spawn(move || {
                let mut block = vec![0; expected.len()];
                peer.read_exact(&mut block).expect("all bytes are sent");
                assert!(block == expected);
            });
            while sent < block.len() {
                let (head, tail) = block[sent..].split_at((block.len() - sent) / 3);
                sent += ours
                    .write_vectored(&[IoSlice::new(head), IoSlice::new(tail)])
                    .await
                    .expect("the peer reads");
            }
            reading.join().expect("the reader has read all bytes");
            for _ in 0..CALM {
                ours.write_all(b"x").await.expect("the buffer has room");
            }
            theirs.read_exact(&mut [0; CALM as usize]).expect("all bytes are sent");
            assert!(ours.write.room.is_none(), "the socket is no longer watched for free space");
        }
    }

    #[tokio::test]
    async fn each_side_sees_that_the_other_has_closed() {
        let (ours, mut theirs) = pair();
        let (mut read, mut write) = ours.into_halves();
        write.write_all(b"last").await.expect("the buffer has room");
        drop(write);
        let mut said = String::new();
        theirs.read_to_string(&mut said).expect("the stream ends");
        assert_eq!(said, "last");
        theirs.write_all(b"answer").expect("the other direction is open");
        drop(theirs);
        said.clear();
        read.read_to_string(&mut said).await.expect("the stream ends");
        assert_eq!(said, "answer");

        let (mut ours, theirs) = pair();
        drop(theirs);
        let error = ours.write_all(b"x").await.expect_err("the peer has closed");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_writer_that_never_waits_lets_other_tasks_run() {
        let (mut ours, mut theirs) = pair();
        let ran = Arc::new(AtomicBool::new(false));
        let runs = ran.clone();
        let other = tokio::spawn(async move { runs.store(true, SeqCst) });
        // 200 bytes fit into every socket, so no write waits for the peer. But 200 writes exceed the budget that Tokio gives to a task, so
        // Tokio must pause this task and run the second task.
        for _ in 0..200 {
            ours.write_all(b"x").await.expect("the peer is connected");
        }
        assert!(ran.load(SeqCst), "the other task did not run");
        other.await.expect("the task has run");
        theirs.read_exact(&mut [0; 200]).expect("all bytes are sent");
    }
}
