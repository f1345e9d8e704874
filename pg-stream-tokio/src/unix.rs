//! A Unix-domain stream that is woken for what it waits for.

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

/// Writes in a row that did not have to wait, after which the kernel is no longer asked when the next one could go on.
const CALM: u8 = 8;

/// A Unix-domain stream for the two sides of a conversation, over Tokio.
///
/// Tokio's own has the kernel tell both when something has come and when more could be sent. On a Unix-domain socket the second is
/// true anew each time the peer has read: a thread that waits for an answer is woken when the *question* has arrived, finds
/// nothing to do, and waits again. This one asks about writing only while a write has to wait, and takes a second descriptor then.
///
/// It belongs to the runtime within which it is made.
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
    /// Tells when a write can go on. A descriptor of its own, because one is watched for one thing at a time.
    room: Option<AsyncFd<OwnedFd>>,
    /// Writes since the last one that had to wait.
    calm: u8,
}

impl UnixStream {
    /// Connects to a socket in the file system.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        tokio::net::UnixStream::connect(path).await?.into_std()?.try_into()
    }
}

impl TryFrom<Socket> for UnixStream {
    type Error = io::Error;

    /// Must be called within a runtime. The socket is made non-blocking.
    fn try_from(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = Arc::new(socket);
        let read = UnixReadHalf(watched(socket.clone(), Interest::READABLE)?);
        Ok(Self { read, write: UnixWriteHalf { socket, room: None, calm: 0 } })
    }
}

impl TryFrom<tokio::net::UnixStream> for UnixStream {
    type Error = io::Error;

    /// Must be called within a runtime, which need not be the one that the stream was made in.
    fn try_from(stream: tokio::net::UnixStream) -> io::Result<Self> {
        stream.into_std()?.try_into()
    }
}

/// Has the runtime watch a descriptor.
// Deprecated for types that might change or close their descriptor behind its back, which those of the standard library do not.
#[allow(deprecated)]
fn watched<T: std::os::fd::AsRawFd>(socket: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(socket, interest)
}

/// Whether a call that moved `count` of `most` bytes has left nothing to be done: only with the edge-triggered kind of waiting.
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
    /// Writes by this call, of `most` bytes; waits only once the socket is full.
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
        // The peer sees the end now, and not when the reading half is gone too, as with Tokio's own halves.
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

    /// One of ours, and the other end.
    fn pair() -> (UnixStream, Socket) {
        let (ours, theirs) = Socket::pair().expect("there are sockets");
        (UnixStream::try_from(ours).expect("within a runtime"), theirs)
    }

    /// What the kernel is asked to tell of this descriptor: the events for which somebody waits.
    #[cfg(target_os = "linux")]
    fn watched_for(socket: &impl AsRawFd) -> Option<u32> {
        let wanted = socket.as_raw_fd().to_string();
        let files = std::fs::read_dir("/proc/self/fdinfo").expect("there is /proc").flatten();
        // Some are gone by now: other tests run.
        let files = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        let watched = |line: &str| match *line.split_whitespace().collect::<Vec<_>>() {
            ["tfd:", fd, "events:", events, ..] if fd == wanted => u32::from_str_radix(events, 16).ok(),
            _ => None,
        };
        files.collect::<Vec<_>>().iter().flat_map(|file| file.lines()).find_map(watched)
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn nobody_is_woken_because_more_could_be_sent() {
        const IN: u32 = 1;
        const OUT: u32 = 4;
        let (ours, _theirs) = pair();
        let events = watched_for(&ours.write.socket).expect("it is watched");
        assert_eq!(events & (IN | OUT), IN, "{events:x}");
        let tokios = tokio::net::UnixStream::pair().expect("there are sockets").0;
        let events = watched_for(&tokios).expect("it is watched");
        assert_eq!(events & (IN | OUT), IN | OUT, "or there was no need for one of ours: {events:x}");
    }

    #[tokio::test]
    async fn a_write_waits_for_room_and_what_watches_for_it_goes_again() {
        let (mut ours, mut theirs) = pair();
        for round in 0..3_u8 {
            let block: Vec<u8> = (0..4 << 20).map(|at| (at % 251) as u8 ^ round).collect();
            assert!(ours.write.room.is_none());
            let mut sent = 0;
            poll_fn(|cx| {
                // Nobody reads yet, so it has to wait in the end.
                while let Poll::Ready(count) = Pin::new(&mut ours).poll_write(cx, &block[sent..]) {
                    sent += count.expect("they are there");
                }
                Poll::Ready(())
            })
            .await;
            assert!(ours.write.room.is_some());
            let (mut peer, expected) = (theirs.try_clone().expect("there are descriptors"), block.clone());
            let reading = std::thread::spawn(move || {
                let mut block = vec![0; expected.len()];
                peer.read_exact(&mut block).expect("it is sent");
                assert!(block == expected);
            });
            while sent < block.len() {
                let (head, tail) = block[sent..].split_at((block.len() - sent) / 3);
                sent +=
                    ours.write_vectored(&[IoSlice::new(head), IoSlice::new(tail)]).await.expect("they read");
            }
            reading.join().expect("they have read it all");
            for _ in 0..CALM {
                ours.write_all(b"x").await.expect("there is room");
            }
            theirs.read_exact(&mut [0; CALM as usize]).expect("it has been sent");
            assert!(ours.write.room.is_none(), "nobody asks for room any more");
        }
    }

    #[tokio::test]
    async fn the_end_is_seen_on_either_side() {
        let (ours, mut theirs) = pair();
        let (mut read, mut write) = ours.into_halves();
        write.write_all(b"last").await.expect("there is room");
        drop(write);
        let mut said = String::new();
        theirs.read_to_string(&mut said).expect("it ends");
        assert_eq!(said, "last");
        theirs.write_all(b"answer").expect("the other direction is open");
        drop(theirs);
        said.clear();
        read.read_to_string(&mut said).await.expect("it ends");
        assert_eq!(said, "answer");

        let (mut ours, theirs) = pair();
        drop(theirs);
        let error = ours.write_all(b"x").await.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn who_always_has_room_lets_others_run() {
        let (mut ours, mut theirs) = pair();
        let ran = Arc::new(AtomicBool::new(false));
        let runs = ran.clone();
        let other = tokio::spawn(async move { runs.store(true, SeqCst) });
        // As many as any socket holds, and more than a task may do at a time.
        for _ in 0..200 {
            ours.write_all(b"x").await.expect("they are there");
        }
        assert!(ran.load(SeqCst), "it has been kept from running");
        other.await.expect("it has run");
        theirs.read_exact(&mut [0; 200]).expect("it has been sent");
    }
}
