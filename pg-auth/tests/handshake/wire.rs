//! A server in memory, behind a stream that can be set up to fail, or to deliver bytes late.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use pg_auth::md5;
use pg_auth::scram::{Nonce, OfferedBinding, ServerChallenge, ServerFirst, Verifier};
use pg_wire::backend::Authentication as Auth;
use pg_wire::frontend::SaslInitialResponse;
use pg_wire::{Decode, Sink, Source, codec::Secret};

use crate::support::*;

/// The method by which the server authenticates its only user.
#[derive(Clone, Debug)]
pub(crate) enum Method {
    Trust,
    Cleartext(Vec<u8>),
    Md5(md5::Verifier),
    Scram(Verifier, Nonce),
    /// A list of messages. `Server` answers each piece of received bytes with the next message of the list, and does not check the bytes.
    /// If the list contains the messages of a client, `Server` takes the role of a client.
    Canned(VecDeque<Vec<u8>>),
}

/// A minimal correct server, which sends only the messages that the manual requires.
#[derive(Debug)]
pub(crate) struct Server {
    method: Method,
    received: Vec<u8>,
    started: bool,
    challenge: Option<ServerChallenge>,
}

impl Server {
    pub(crate) fn new(method: Method) -> Self {
        Self { method, received: Vec::new(), started: false, challenge: None }
    }

    /// Receives bytes, and returns the messages with which the server answers.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.received.extend_from_slice(bytes);
        let mut answers = Vec::new();
        if let Method::Canned(words) = &mut self.method {
            return words.pop_front().into_iter().collect();
        }
        while let Some(body) = self.next() {
            answers.extend(if self.started { self.checks(&body) } else { self.asks() });
            self.started = true;
        }
        answers
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let head = if self.started { 5 } else { 4 };
        let length = self.received.get(head - 4..head)?;
        let whole = head - 4 + usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
        if self.received.len() < whole {
            return None;
        }
        Some(self.received.drain(..whole).skip(head).collect())
    }

    fn asks(&self) -> Vec<Vec<u8>> {
        match self.method {
            Method::Trust | Method::Canned(_) => Self::lets_in(),
            Method::Cleartext(_) => vec![encoded(&Auth::CleartextPassword)],
            Method::Md5(_) => vec![encoded(&Auth::Md5Password { salt: *b"salt" })],
            Method::Scram(..) => vec![sasl(&["SCRAM-SHA-256"])],
        }
    }

    fn checks(&mut self, body: &[u8]) -> Vec<Vec<u8>> {
        let right = match &self.method {
            Method::Trust | Method::Canned(_) => false,
            Method::Cleartext(password) => body.strip_suffix(b"\0") == Some(password),
            Method::Md5(stored) => {
                body.strip_suffix(b"\0").is_some_and(|body| stored.accepts(body, *b"salt"))
            }
            Method::Scram(verifier, nonce) => match self.challenge.take() {
                None => {
                    let first = SaslInitialResponse::decode(body).ok().and_then(|first| first.data);
                    let server =
                        ServerFirst::new(verifier.clone(), nonce.clone(), OfferedBinding::NotOffered);
                    let Ok(challenge) = server.client_first(first.map_or(b"", |data| data.0)) else {
                        return vec![DENIED.to_vec()];
                    };
                    let answer = encoded(&Auth::SaslContinue(Secret(challenge.message())));
                    self.challenge = Some(challenge);
                    return vec![answer];
                }
                Some(challenge) => match challenge.client_final(body) {
                    Ok(accepted) => {
                        let proof = encoded(&Auth::SaslFinal(Secret(accepted.message())));
                        return [vec![proof], Self::lets_in()].concat();
                    }
                    Err(_) => false,
                },
            },
        };
        if right { Self::lets_in() } else { vec![DENIED.to_vec()] }
    }

    fn lets_in() -> Vec<Vec<u8>> {
        let version = encoded(&parameter("server_version", "18.0"));
        vec![encoded(&Auth::Ok), version, encoded(&KEY), encoded(&READY)]
    }
}

pub(crate) const DENIED: &[u8] = b"E\0\0\0\x22SFATAL\0C28P01\0Mgo away, user\0\0";

/// The limits, faults and delays of a test stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    /// Number of bytes that can be read before the stream ends.
    pub(crate) readable: usize,
    /// Number of bytes that can be written before writing fails.
    pub(crate) writable: usize,
    /// Bytes that the client can still read after its write has failed.
    pub(crate) last_bytes: &'static [u8],
    /// Maximum number of bytes in one read or write.
    pub(crate) piece: usize,
    /// Whether every other call returns `Pending`, beginning with the first call.
    pub(crate) is_slow: bool,
    /// Whether flushing waits until all bytes from the server have been read.
    pub(crate) flush_waits: bool,
    /// Whether writing waits until all bytes from the server have been read.
    pub(crate) write_waits: bool,
}

impl Conditions {
    pub(crate) const GOOD: Self = Self {
        readable: usize::MAX,
        writable: usize::MAX,
        last_bytes: b"",
        piece: usize::MAX,
        is_slow: false,
        flush_waits: false,
        write_waits: false,
    };
}

/// The client's end of a stream in memory. A `Server` is at the other end.
#[derive(Debug)]
pub(crate) struct Wire {
    server: Server,
    conditions: Conditions,
    /// Bytes that the server has sent and the client has not read yet.
    coming: VecDeque<u8>,
    /// For reads and for writes: whether the last call returned `Pending` because of `is_slow`.
    was_pending: [bool; 2],
    pub(crate) received: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(method: Method, conditions: Conditions) -> Self {
        let server = Server::new(method);
        Self { server, conditions, coming: VecDeque::new(), was_pending: [false; 2], received: Vec::new() }
    }

    /// Lets the server send bytes without a request.
    pub(crate) fn says(mut self, bytes: &[u8]) -> Self {
        self.coming.extend(bytes);
        self
    }

    /// Whether there are bytes to read before the end of the stream.
    fn is_waiting(&self) -> bool {
        !self.coming.is_empty() && self.conditions.readable > 0
    }

    fn hesitate(&mut self, direction: usize, cx: &mut Context<'_>) -> bool {
        let was_pending = &mut self.was_pending[direction];
        *was_pending = self.conditions.is_slow && !*was_pending;
        if *was_pending {
            cx.waker().wake_by_ref();
        }
        *was_pending
    }
}

const READING: usize = 0;
const WRITING: usize = 1;

impl Source for Wire {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.hesitate(READING, cx) {
            return Poll::Pending;
        }
        let count =
            space.len().min(self.conditions.piece).min(self.coming.len()).min(self.conditions.readable);
        if count == 0 {
            // There is nothing to read. If `readable` is above 0, the stream has not ended, and the server sends the next bytes after the
            // client's next write.
            if self.conditions.readable > 0 {
                return Poll::Pending;
            }
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(0));
        }
        space.iter_mut().zip(self.coming.drain(..count)).for_each(|(space, byte)| *space = byte);
        self.conditions.readable -= count;
        if self.coming.is_empty() && (self.conditions.flush_waits || self.conditions.write_waits) {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(count))
    }
}

impl Sink for Wire {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.hesitate(WRITING, cx) || self.conditions.write_waits && self.is_waiting() {
            return Poll::Pending;
        }
        if self.conditions.writable == 0 {
            self.coming.extend(std::mem::take(&mut self.conditions.last_bytes));
            self.conditions.readable = self.conditions.readable.min(self.coming.len());
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(self.conditions.piece).min(self.conditions.writable);
        self.conditions.writable -= count;
        self.received.extend_from_slice(&bytes[..count]);
        self.coming.extend(self.server.receive(&bytes[..count]).concat());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hesitate(WRITING, cx) || self.conditions.flush_waits && self.is_waiting() {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Polls a future at most `most` times. Returns `None` if the future is not ready after these polls, or if the future is pending and has
/// not called its waker.
pub(crate) fn polled<F: Future>(future: F, most: usize) -> Option<F::Output> {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    for _ in 0..most {
        if !woken.0.swap(false, Ordering::Relaxed) {
            return None;
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
    }
    None
}
