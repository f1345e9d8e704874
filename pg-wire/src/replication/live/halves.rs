//! The two halves of a stream, for two tasks or threads: the reader receives data, and the sender sends status updates.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::client::PgProtocol;
use crate::connection::halves::{ReadHalf, ReadOnly, WriteHalf, WriteOnly};
use crate::connection::{Connection, Sink, Source, Split, Transport};
use crate::replication::live::clock::Clock;
use crate::replication::live::core::{Core, Driver, Phase};
use crate::replication::live::error::{StreamError, StreamErrorKind};
use crate::replication::live::finish::drain;
use crate::replication::live::payload::Payload;
use crate::replication::live::send::{can_send, put};
use crate::replication::live::whole::ReplicationStream;
use crate::replication::lsn::Lsn;
use crate::replication::reply::NextTimeline;
use crate::replication::status::{NotReceived, StandbyStatus};

/// The receiving half of a replication stream. [`ReplicationStream::split`] returns this type.
#[derive(Debug)]
pub struct StreamReader<R, P> {
    core: Core<ReadOnly<R>, P, ReaderSide>,
}

/// The sending half of a replication stream, which reports the positions to the server. [`ReplicationStream::split`] returns this type.
#[derive(Debug)]
#[must_use = "without `run` no status update is sent, and the server disconnects"]
pub struct StatusSender<W, C> {
    conn: Connection<WriteOnly<W>>,
    clock: C,
    shared: Shared,
}

/// Access to the positions of a split stream. Any task or thread can use this handle to declare positions.
#[derive(Clone, Debug)]
pub struct StatusHandle(Shared);

/// Result of ending the receiving half of a replication stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct FinishedReader<R> {
    /// The receiving half of the connection. [`StatusSender::run`] returns the sending half.
    pub half: ReadHalf<R>,
    /// The next timeline, if the server has ended a physical stream at the end of its timeline.
    pub next_timeline: Option<NextTimeline>,
}

/// State that both halves of a stream share.
#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<State>>);

/// The receiving half's reference to the shared state. When this reference is dropped, the sending half ends.
#[derive(Debug)]
struct ReaderSide(Shared);

#[derive(Debug)]
struct State {
    status: StandbyStatus,
    stage: Stage,
    sender: Option<Waker>,
}

/// Instruction from the receiving half to the sending half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The sending half sends status updates.
    Streaming,
    /// The sending half sends the last status update and CopyDone, and then ends.
    Finishing,
    /// The receiving half was dropped, or the server has ended the copy. The sending half ends.
    Over,
}

impl<T: Split, C: Clock, P> ReplicationStream<T, C, P> {
    /// Splits the stream into a half that receives and a half that sends status updates, for two tasks or threads. The status updates are
    /// sent even while the reader is busy or blocked.
    ///
    /// Run [`StatusSender::run`] in its own task or thread: otherwise no updates are sent.
    pub fn split(self) -> (StreamReader<T::Source, P>, StatusSender<T::Sink, C>) {
        let Core { conn, driver, phase, payload } = self.core;
        let stage = if phase == Phase::ServerFailed { Stage::Over } else { Stage::Streaming };
        let state = State { status: driver.status, stage, sender: None };
        let shared = Shared(Arc::new(Mutex::new(state)));
        let (read, write) = conn.split();
        let core = Core { conn: read.into_connection(), driver: ReaderSide(shared.clone()), phase, payload };
        let sender = StatusSender { conn: write.into_connection(), clock: driver.clock, shared };
        (StreamReader { core }, sender)
    }
}

impl Shared {
    /// Locks the state. Ignores that a panic in another thread has poisoned the lock, because no panic leaves the state partly changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the sending half.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let sender = state.sender.take();
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
    }

    fn set_stage(&self, stage: Stage) {
        self.change(|state| {
            if state.stage == Stage::Streaming {
                state.stage = stage;
            }
        });
    }
}

impl Driver for ReaderSide {
    fn with<R>(&mut self, action: impl FnOnce(&mut StandbyStatus) -> R) -> R {
        let mut state = self.0.lock();
        let before = state.status.has_report();
        let result = action(&mut state.status);
        // If the received keepalive requests an answer, a status update is due at once. So this code wakes the sending half, which would
        // otherwise wait until its old deadline.
        let sender = if state.status.has_report() != before { state.sender.take() } else { None };
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
        result
    }

    // Does not send: in a split stream, the sending half sends the status updates.
    fn send_due<T: Transport>(&mut self, _: &mut Connection<T>, _: &mut Context<'_>) {}

    fn poll_due<T: Transport>(&mut self, _: &Connection<T>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl<R: Source, P: Payload> StreamReader<R, P> {
    /// Receives the next data, and lends the data until the next call, as [`ReplicationStream::next`] does.
    ///
    /// # Errors
    /// The errors of `ReplicationStream::next`.
    pub async fn next(&mut self) -> Result<Option<P::Item<'_>>, StreamError> {
        self.core.next().await
    }
}

impl<R: Source, P> StreamReader<R, P> {
    /// Declares that everything before `lsn` is durable. See [`StandbyStatus::set_flushed`].
    ///
    /// # Errors
    /// When the position is after everything that was received.
    pub fn set_flushed(&mut self, lsn: Lsn) -> Result<(), NotReceived> {
        self.core.driver.0.lock().status.set_flushed(lsn)
    }

    /// Returns a handle with which other tasks and threads can read and declare the positions.
    pub fn status(&self) -> StatusHandle {
        StatusHandle(self.core.driver.0.clone())
    }

    /// Returns the decoder of the data, with the tables that the server has described so far.
    pub fn payload(&self) -> &P {
        &self.core.payload
    }

    /// Ends the stream. The [`StatusSender`] reports the declared positions and ends the copy, and this half waits for the ReadyForQuery of
    /// the server. Data that arrives before the ReadyForQuery is dropped. Precondition: [`StatusSender::run`] is running.
    ///
    /// # Errors
    /// Errors of the server and of the connection.
    pub async fn finish(self) -> Result<FinishedReader<R>, StreamError> {
        let mut core = self.core;
        let stage = if core.phase == Phase::ServerFailed { Stage::Over } else { Stage::Finishing };
        core.driver.0.set_stage(stage);
        let next_timeline = drain(&mut core).await?;
        Ok(FinishedReader { half: ReadHalf::from_connection(core.conn), next_timeline })
    }
}

impl StatusHandle {
    /// Declares that everything before `lsn` is durable. See [`StandbyStatus::set_flushed`].
    ///
    /// # Errors
    /// When the position is after everything that was received.
    pub fn set_flushed(&self, lsn: Lsn) -> Result<(), NotReceived> {
        self.0.lock().status.set_flushed(lsn)
    }

    /// Makes the [`StatusSender`] send a status update now.
    pub fn report(&self) {
        self.0.change(|state| state.status.report());
    }

    /// Returns a copy of the current positions.
    pub fn get(&self) -> StandbyStatus {
        self.0.lock().status.clone()
    }
}

impl<W: Sink, C: Clock> StatusSender<W, C> {
    /// Sends status updates when they are due, until [`StreamReader::finish`] is called or the reader is dropped. Then returns the sending
    /// half of the connection.
    ///
    /// # Errors
    /// Errors of the connection. If the server sent an ErrorResponse that explains the failure, the reader receives this ErrorResponse.
    pub async fn run(mut self) -> Result<WriteHalf<W>, StreamError> {
        if poll_fn(|cx| self.poll_streaming(cx)).await == Stage::Finishing {
            put(&mut self.conn, &mut self.shared.lock().status, &self.clock);
            self.conn.copy_done();
        }
        // Finishes an update that was sent only in part. If an earlier write has failed, `flush` returns the error of this write.
        match self.conn.flush().await {
            Ok(()) => Ok(WriteHalf::from_connection(self.conn)),
            Err(error) => {
                let at = self.shared.lock().status.received();
                Err(StreamError { at, kind: StreamErrorKind::Connection(error) })
            }
        }
    }

    /// Sends status updates until the reader is finished or the connection fails.
    fn poll_streaming(&mut self, cx: &mut Context<'_>) -> Poll<Stage> {
        let Self { conn, clock, shared } = self;
        loop {
            let _ = conn.poll_send(cx);
            let mut state = shared.lock();
            if state.stage != Stage::Streaming || conn.write_fault().is_some() {
                return Poll::Ready(state.stage);
            }
            state.sender = Some(cx.waker().clone());
            let Some(deadline) = state.status.deadline().filter(|_| can_send(conn)) else {
                return Poll::Pending;
            };
            if deadline <= clock.now() {
                put(conn, &mut state.status, clock);
            } else if clock.poll_until(cx, deadline).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for ReaderSide {
    fn drop(&mut self) {
        self.0.set_stage(Stage::Over);
    }
}
