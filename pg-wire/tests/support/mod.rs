//! Streams in memory that wait, fail and end at scripted points, and an executor that detects a missing wake-up.

// Each test binary uses only a part of this module.
#![allow(dead_code)]

use pg_wire::{Frame, MessageCode, Sink, Source, Split};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

/// Encodes a frame.
pub(crate) fn frame(code: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(5 + body.len());
    out.push(code);
    out.extend(u32::try_from(body.len() + 4).expect("a test's frame is small").to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// Returns a frame as a pair of code and body, for comparisons.
pub(crate) fn pair(frame: Frame<'_>) -> (MessageCode, Vec<u8>) {
    (frame.code, frame.body.to_vec())
}

// ---- An executor ----------------------------------------------------------------------------------------------------

/// A flag that a wake-up sets and the executor clears.
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(false)))
    }
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls a future once, with a waker that does nothing.
pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Error of [`run`], with the number of unfinished tasks. Either no unfinished task will be woken, or the limit of polls is reached.
#[derive(Debug, PartialEq)]
pub(crate) struct Stuck(pub(crate) usize);

/// Runs tasks concurrently. A task is polled only after it has been woken, so a missing wake-up is detected.
pub(crate) fn run(tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>, polls: usize) -> Result<(), Stuck> {
    let mut tasks: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let flag = Flag::new();
            flag.clone().wake();
            (Some(task), flag)
        })
        .collect();
    let mut left = polls;
    loop {
        let mut woken = false;
        for (task, flag) in &mut tasks {
            let Some(running) = task else { continue };
            if flag.take() {
                woken = true;
                let waker = Waker::from(flag.clone());
                if running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    *task = None;
                }
            }
        }
        let unfinished = tasks.iter().filter(|(task, _)| task.is_some()).count();
        left = left.saturating_sub(1);
        match unfinished {
            0 => return Ok(()),
            _ if !woken || left == 0 => return Err(Stuck(unfinished)),
            _ => {}
        }
    }
}

/// Runs one task on this thread. Panics if the task is pending and will never be woken.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut output = None;
    let task = async { output = Some(future.await) };
    run(vec![Box::pin(task)], usize::MAX).expect("the task will never be woken");
    output.expect("the task is finished")
}

// ---- A pipe ---------------------------------------------------------------------------------------------------------

/// One direction of a pipe, with a bounded buffer.
#[derive(Debug)]
struct Lane {
    bytes: VecDeque<u8>,
    room: usize,
    /// Whether the writing end has been closed or dropped.
    ended: bool,
    /// Whether the reading end has been dropped.
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The reading end of one direction of a pipe.
#[derive(Debug)]
pub(crate) struct LaneSource(Arc<Mutex<Lane>>);

/// The writing end of one direction of a pipe.
#[derive(Debug)]
pub(crate) struct LaneSink(Arc<Mutex<Lane>>);

/// One end of a pipe.
#[derive(Debug)]
pub(crate) struct Pipe(pub(crate) LaneSource, pub(crate) LaneSink);

/// Creates a pipe, and returns its two ends. Each direction buffers at most `room` bytes.
pub(crate) fn pipe(room: usize) -> (Pipe, Pipe) {
    let lane = || {
        let lane =
            Lane { bytes: VecDeque::new(), room, ended: false, broken: false, reader: None, writer: None };
        let lane = Arc::new(Mutex::new(lane));
        (LaneSource(lane.clone()), LaneSink(lane))
    };
    let ((there, to), (here, from)) = (lane(), lane());
    (Pipe(here, to), Pipe(there, from))
}

fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().expect("no panic while locked")
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Source for LaneSource {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut lane = lock(&self.0);
        if lane.bytes.is_empty() && !lane.ended {
            lane.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        wake(&mut lane.writer);
        Poll::Ready(io::Read::read(&mut lane.bytes, space))
    }
}

impl Sink for LaneSink {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut lane = lock(&self.0);
        if lane.broken || lane.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(lane.room - lane.bytes.len());
        if count == 0 {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        lane.bytes.extend(&bytes[..count]);
        wake(&mut lane.reader);
        Poll::Ready(Ok(count))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut lane = lock(&self.0);
        lane.ended = true;
        wake(&mut lane.reader);
        Poll::Ready(Ok(()))
    }
}

impl Drop for LaneSource {
    fn drop(&mut self) {
        let mut lane = lock(&self.0);
        lane.broken = true;
        wake(&mut lane.writer);
    }
}

impl Drop for LaneSink {
    fn drop(&mut self) {
        let mut lane = lock(&self.0);
        lane.ended = true;
        wake(&mut lane.reader);
    }
}

impl Source for Pipe {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, space)
    }
}

impl Sink for Pipe {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1.poll_write(cx, bytes)
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1.poll_flush(cx)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1.poll_close(cx)
    }
}

impl Split for Pipe {
    type Source = LaneSource;
    type Sink = LaneSink;
    fn split(self) -> (LaneSource, LaneSink) {
        (self.0, self.1)
    }
}

// ---- A scripted stream -------------------------------------------------------------------------------------------

/// Result of one read.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    /// The read returns these bytes.
    Bytes(Vec<u8>),
    /// The read is pending, and the task is woken at once.
    Wait,
    /// The read returns this error.
    Fail(io::ErrorKind),
    /// The read returns the end of the stream.
    End,
    /// The read is pending for ever.
    Never,
}

/// Result of one write, flush or close.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write {
    /// A write accepts at most this number of bytes. A flush or a close succeeds.
    Take(usize),
    /// The call is pending, and the task is woken at once.
    Wait,
    /// The call returns this error.
    Fail(io::ErrorKind),
    /// The call is pending for ever.
    Never,
}

/// A stream that returns scripted results, and records the written bytes.
#[derive(Debug)]
pub(crate) struct Steps {
    pub(crate) reads: VecDeque<Read>,
    /// Result of each read after the last of `reads`.
    pub(crate) at_end: Read,
    /// Results of writes, in order. After the last result, every write accepts all bytes.
    pub(crate) writes: VecDeque<Write>,
    pub(crate) flushes: VecDeque<Write>,
    pub(crate) closes: VecDeque<Write>,
    /// The written bytes. `flushed` is the number of these bytes that have been flushed.
    pub(crate) wrote: Vec<u8>,
    pub(crate) flushed: usize,
    pub(crate) closed: bool,
}

impl Steps {
    pub(crate) fn reading(reads: impl IntoIterator<Item = Read>) -> Self {
        Self {
            reads: reads.into_iter().collect(),
            at_end: Read::End,
            writes: VecDeque::new(),
            flushes: VecDeque::new(),
            closes: VecDeque::new(),
            wrote: Vec::new(),
            flushed: 0,
            closed: false,
        }
    }

    pub(crate) fn writing(writes: impl IntoIterator<Item = Write>) -> Self {
        Self { at_end: Read::Never, writes: writes.into_iter().collect(), ..Self::reading([]) }
    }

    fn step(steps: &mut VecDeque<Write>, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        match steps.pop_front().unwrap_or(Write::Take(usize::MAX)) {
            Write::Take(most) => Poll::Ready(Ok(most)),
            Write::Fail(kind) => Poll::Ready(Err(kind.into())),
            Write::Wait => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Write::Never => {
                steps.push_front(Write::Never);
                Poll::Pending
            }
        }
    }
}

impl Source for Steps {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.reads.pop_front().unwrap_or_else(|| self.at_end.clone()) {
            Read::Bytes(mut bytes) => {
                let count = bytes.len().min(space.len());
                space[..count].copy_from_slice(&bytes[..count]);
                bytes.drain(..count);
                if !bytes.is_empty() {
                    self.reads.push_front(Read::Bytes(bytes));
                }
                Poll::Ready(Ok(count))
            }
            Read::Wait => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Read::Fail(kind) => Poll::Ready(Err(kind.into())),
            Read::End => Poll::Ready(Ok(0)),
            Read::Never => Poll::Pending,
        }
    }
}

impl Sink for Steps {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::step(&mut self.writes, cx).map_ok(|most| {
            let count = bytes.len().min(most);
            self.wrote.extend_from_slice(&bytes[..count]);
            count
        })
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::step(&mut self.flushes, cx).map_ok(|_| self.flushed = self.wrote.len())
    }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::step(&mut self.closes, cx).map_ok(|_| self.closed = true)
    }
}

impl Split for Steps {
    type Source = Self;
    type Sink = Self;
    fn split(mut self) -> (Self, Self) {
        let mut sink = Self::writing(std::mem::take(&mut self.writes));
        sink.flushes = std::mem::take(&mut self.flushes);
        sink.closes = std::mem::take(&mut self.closes);
        sink.wrote = std::mem::take(&mut self.wrote);
        (self, sink)
    }
}
