//! Tests of the memory that a server needs for a client that stops in the middle of the connection phase.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;

/// The stream of a client that has sent these bytes and then sends no more bytes. Writes to the stream always succeed.
#[derive(Clone)]
pub(crate) struct Stopped(Arc<Mutex<VecDeque<u8>>>);

impl Stopped {
    /// Copies as many bytes as fit, and returns their number. Returns `None` after all bytes have been read.
    pub(crate) fn read(&self, space: &mut [u8]) -> Option<usize> {
        let mut bytes = self.0.lock().expect("one thread");
        let count = bytes.len().min(space.len());
        space.iter_mut().zip(bytes.drain(..count)).for_each(|(to, from)| *to = from);
        (count > 0).then_some(count)
    }
}

/// Stages at which a client stops: a description, the number of bytes that the client has sent, and the maximum heap memory in bytes that
/// the server may hold.
const STAGES: [(&str, usize, i64); 3] = [
    // Most of this memory is the buffer for one read from the stream.
    ("has sent nothing", 0, 8 << 10),
    ("has not sent its password", STARTUP.len(), 15 << 10),
    // The password message is the longest message that the server reads before authentication.
    ("stops in a password of 30,000 bytes", usize::MAX, 64 << 10),
];

/// Maximum size in bytes of the future that runs the connection phase. In a program, this future is a part of the client's task.
const FUTURE: usize = 15 << 10;

const STARTUP: &[u8] = b"\0\0\0\x14\0\x03\0\0user\0alice\0\0";

/// For each stage, polls `accept` until the server waits for the client. Then checks how much memory the server holds.
pub(crate) fn hold_little<F, O>(accept: impl Fn(Stopped) -> F)
where
    F: Future<Output = O>,
{
    let password = [&b"p\0\0\x75\x30"[..], &[b'x'; 29_995]].concat();
    let said = [STARTUP, &password].concat();
    // All stages run twice. The first run is not checked, because a runtime may allocate its timers at their first use.
    for (round, (what, count, most)) in STAGES.into_iter().chain(STAGES).enumerate() {
        let client = Stopped(Arc::new(Mutex::new(said.iter().copied().take(count).collect())));
        let mut side: Option<Pin<Box<F>>> = None;
        let held = measure(|| {
            let future = side.insert(Box::pin(accept(client.clone())));
            let waits = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(waits, Poll::Pending), "a client that {what} is waited for");
        });
        assert!(client.0.lock().expect("one thread").is_empty(), "a client that {what}: all is read");
        if round < STAGES.len() {
            continue;
        }
        let future = size_of::<F>();
        let bytes = held.bytes_current - future as i64;
        println!("a client that {what} takes {bytes} bytes, and {future} in the future");
        assert!((0..=most).contains(&bytes), "a client that {what} takes {bytes} bytes");
        assert!(future <= FUTURE, "{future}");
        drop(side);
    }
}
