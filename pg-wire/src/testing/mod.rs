//! Helpers for examples and tests: streams in memory, a peer that follows a transcript, faults of a network or a peer, a small executor,
//! and a clock.

mod clock;
mod duplex;
mod faults;
mod transcript;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::task::Wake;
use std::thread;

use crate::connection::{Sink, Source};

pub use clock::TestClock;
pub use duplex::{End, duplex};
pub use faults::{Fault, FaultInjector, FaultKind, FaultStep, FaultTable, FaultTableError, FaultyEnd};
pub use transcript::{Transcript, TranscriptError, TranscriptErrorKind};

/// A stream in memory to a simulated peer. The peer sends given bytes, and then closes the stream. The peer records all received bytes.
#[derive(Debug, Default)]
pub struct Script {
    sends: VecDeque<u8>,
    received: Vec<u8>,
}

impl Script {
    /// Creates a stream whose peer sends these bytes.
    pub fn sends(bytes: &[u8]) -> Self {
        Self { sends: bytes.iter().copied().collect(), received: Vec::new() }
    }

    /// Returns the bytes that the peer has received so far.
    pub fn received(&self) -> &[u8] {
        &self.received
    }
}

impl Source for Script {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(io::Read::read(&mut self.sends, space))
    }
}

impl Sink for Script {
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.received.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs a future to completion on this thread. The thread sleeps while the future is pending.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
pub(crate) use golden::{golden, golden_frontend};

#[cfg(test)]
mod golden {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::fmt::Debug;

    use crate::message::frontend::Initial;
    use crate::{Decode, Direction, Encode, Frame, Message, MessageCode};

    /// Checks the encoding, the decoding and the trace of a message of the server. Also checks that truncated or changed bytes cause no
    /// panic.
    #[track_caller]
    pub(crate) fn golden<'a, M>(message: M, bytes: &'a [u8], trace: &str)
    where
        M: Decode<'a> + PartialEq + Debug,
    {
        check(&message, bytes, trace, Direction::Backend);
        damage(bytes, |code, body| {
            let _ = M::decode(body);
            if let Some(code) = code
                && let Ok(message) = (Frame { code, body }).backend()
            {
                check_reencoding(&message, code, body);
            }
        });
    }

    /// Checks a message of the client in the same way as [`golden`] checks a message of the server.
    #[track_caller]
    pub(crate) fn golden_frontend<'a, M>(message: M, bytes: &'a [u8], trace: &str)
    where
        M: Decode<'a> + PartialEq + Debug,
    {
        check(&message, bytes, trace, Direction::Frontend);
        damage(bytes, |code, body| {
            let _ = M::decode(body);
            match code {
                Some(code) => {
                    if let Ok(message) = (Frame { code, body }).frontend() {
                        check_reencoding(&message, code, body);
                    }
                }
                None => {
                    if let Ok(packet) = Initial::decode(body) {
                        let mut again = Vec::new();
                        packet.encode(&mut again).expect("a decoded message can be encoded");
                        assert_eq!(&again[4..], body);
                    }
                }
            }
        });
    }

    #[track_caller]
    fn check<'a, M>(message: &M, bytes: &'a [u8], trace: &str, direction: Direction)
    where
        M: Decode<'a> + PartialEq + Debug,
    {
        let mut out = Vec::new();
        message.encode(&mut out).expect("the message is valid");
        assert_eq!(out.escape_ascii().to_string(), bytes.escape_ascii().to_string());
        let mut outbox = crate::Outbox::new(0);
        outbox.put(message);
        assert_eq!(outbox.commit(), Ok(()));
        assert_eq!(outbox.pending(), bytes);
        let body = match M::CODE {
            Some(code) => {
                assert_eq!(code.0, bytes[0]);
                &bytes[5..]
            }
            None => &bytes[4..],
        };
        let back = M::decode(body).expect("the bytes are well-formed");
        assert_eq!(&back, message);
        assert_eq!(back.trace(direction).to_string(), trace);
        assert_eq!(message.trace(direction).to_string(), trace);
        // A trace is also a line of a transcript. Encoding this line must return the bytes of the message. Exception: traces that hide a
        // part of the message.
        let hidden =
            ["'BBBB'", "\"SSSS\"", "Unknown ", "MD5Password"].iter().any(|mark| trace.contains(mark));
        if !hidden {
            let back = super::transcript::bytes_of(trace).expect("a trace is a valid line of a transcript");
            assert_eq!(back.escape_ascii().to_string(), bytes.escape_ascii().to_string());
        }
    }

    /// Calls `check` with each prefix of the body, with each body in which one bit is changed, and with the body followed by one more byte.
    /// The bodies are leaked, because the decoded messages borrow from the bodies.
    fn damage(bytes: &[u8], mut check: impl FnMut(Option<MessageCode>, &'static [u8])) {
        let (code, body) = match bytes {
            [0, ..] => (None, &bytes[4..]),
            _ => (Some(MessageCode(bytes[0])), &bytes[5..]),
        };
        for end in 0..body.len() {
            check(code, body[..end].to_vec().leak());
        }
        for at in 0..body.len() {
            for bit in 0..8 {
                let mut damaged = body.to_vec();
                damaged[at] ^= 1 << bit;
                check(code, damaged.leak());
            }
        }
        check(code, [body, &[0]].concat().leak());
    }

    /// Checks that a decoded message can be printed, and that encoding the message returns the same bytes.
    fn check_reencoding<M: Message + Debug>(message: &M, code: MessageCode, body: &[u8]) {
        let _ = format!("{message:?} {}", message.trace(Direction::Backend));
        let mut again = Vec::new();
        message.encode(&mut again).expect("a decoded message can be encoded");
        assert_eq!(again[0], code.0);
        assert_eq!(again[5..].escape_ascii().to_string(), body.escape_ascii().to_string());
    }
}
