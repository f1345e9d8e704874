//! The stream: a connection after the begin of START_REPLICATION.

use alloc::boxed::Box;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;

use crate::connection::{Connection, Error, Transport};
use crate::replication::enclosed::Enclosed;
use crate::replication::live::clock::Clock;
use crate::replication::live::error::{StartError, StreamError, StreamErrorKind};
use crate::replication::live::payload::{Changes, Raw};
use crate::replication::live::start::{StartCommand, start};
use crate::replication::lsn::Lsn;
use crate::replication::pgoutput::{Store, Transactions};
use crate::replication::status::{NotReceived, StandbyStatus};

/// A replication stream: lends received data, answers the server in time, and confirms the positions that the caller declares.
///
/// - [`start`](Self::start) sends the command. [`next`](ReplicationStream::next) lends the data; after [`changes`](Self::changes), the changes
///   of pgoutput with their tables. [`finish`](Self::finish) ends the stream and returns the connection.
/// - The server hears of the declared positions when it requests an answer, at an [`interval`](Self::interval), and on
///   [`report`](Self::report). Only what [`set_flushed`](Self::set_flushed) has declared is confirmed.
/// - A `next` that is not called receives nothing, so the server stops to send: backpressure. To keep the server from disconnecting
///   meanwhile, which it does after `wal_sender_timeout`, work inside [`keep_alive_while`](Self::keep_alive_while).
/// - All progress is stored in the stream: the futures of `next`, `report` and `keep_alive_while` may be dropped at any point, and the call
///   repeated. The futures of `start` and `finish` own the connection: to drop these futures closes the connection.
///
/// There is no task behind a stream. While no future of the stream is polled, nothing is sent.
#[derive(Debug)]
pub struct ReplicationStream<T, C, P = Raw> {
    pub(super) conn: Connection<T>,
    pub(super) clock: C,
    pub(super) status: StandbyStatus,
    pub(super) phase: Phase,
    pub(super) payload: P,
}

/// The state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Data may arrive.
    Copying,
    /// The server has sent CopyDone.
    ServerDone,
    /// The server has ended the copy by an error: the client must not send CopyDone.
    ServerFailed,
    /// Data could not be understood: data that follows would hide the error.
    Failed,
}

impl<T: Transport, C: Clock> ReplicationStream<T, C> {
    /// Starts a stream over a connection that was opened with the parameter `replication`, with a default clock.
    ///
    /// # Errors
    /// The server's error, whole, and errors of the connection. Both return the connection.
    pub async fn start(conn: Connection<T>, command: &impl StartCommand) -> Result<Self, StartError<T>>
    where
        C: Default,
    {
        Self::start_with(conn, command, C::default()).await
    }

    /// Starts a stream with a clock of the caller's.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub async fn start_with(
        conn: Connection<T>,
        command: &impl StartCommand,
        clock: C,
    ) -> Result<Self, StartError<T>> {
        let conn = start(conn, command).await?;
        let status = command.status(clock.now());
        Ok(Self { conn, clock, status, phase: Phase::Copying, payload: Raw })
    }

    /// Decodes the data as changes of pgoutput, and finds their tables.
    pub fn changes(self) -> ReplicationStream<T, C, Changes> {
        self.with(Changes::default())
    }

    /// Decodes the data as changes of pgoutput, finds their tables, and returns transactions in the order of their commits: transactions that
    /// the server sends in blocks while they are in progress (the option `streaming`) are kept in the store until their commit.
    pub fn transactions<S>(self, store: S) -> ReplicationStream<T, C, Transactions<S>>
    where
        S: Store<Error: Into<Box<dyn core::error::Error + Send + Sync>>>,
    {
        self.with(Transactions::new(store))
    }

    fn with<P>(self, payload: P) -> ReplicationStream<T, C, P> {
        let Self { conn, clock, status, phase, payload: _ } = self;
        ReplicationStream { conn, clock, status, phase, payload }
    }
}

impl<T, C, P> ReplicationStream<T, C, P> {
    /// Sets the longest time between two status updates; 10 seconds by default. Choose at most a third of the server's
    /// `wal_sender_timeout`. See [`StandbyStatus::interval`].
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.status.set_interval(interval);
        self
    }

    /// Whether the position of a keepalive is confirmed once everything received before the keepalive is flushed. Off by default. See
    /// [`StandbyStatus::confirm_keepalives`].
    #[must_use]
    pub fn confirm_keepalives(mut self, on: bool) -> Self {
        self.status.set_confirm_keepalives(on);
        self
    }

    /// Declares that everything before `lsn` is durable. The server hears of it with the next status update. See
    /// [`StandbyStatus::set_flushed`].
    ///
    /// # Errors
    /// When the position is after everything that was received.
    pub fn set_flushed(&mut self, lsn: Lsn) -> Result<(), NotReceived> {
        self.status.set_flushed(lsn)
    }

    /// The positions.
    pub fn status(&self) -> &StandbyStatus {
        &self.status
    }

    /// The positions, to declare written and applied positions, and to change the interval.
    pub fn status_mut(&mut self) -> &mut StandbyStatus {
        &mut self.status
    }

    /// Queues a message, such as a [`HotStandbyFeedback`](crate::replication::HotStandbyFeedback), which is sent before the next
    /// status update.
    pub fn put(&mut self, message: &impl Enclosed) -> &mut Self {
        self.conn.put(&message.in_copy_data());
        self
    }

    /// The connection, to look at its buffers and its stream.
    pub fn connection(&self) -> &Connection<T> {
        &self.conn
    }

    /// Ends the stream after an error.
    pub(super) fn fail(&mut self, kind: StreamErrorKind) -> StreamError {
        self.fail_at(self.status.received(), kind)
    }

    /// Ends the stream after an error in data.
    pub(super) fn fail_at(&mut self, at: Lsn, kind: StreamErrorKind) -> StreamError {
        self.phase = match kind {
            StreamErrorKind::Server(_) | StreamErrorKind::EndedByServer => Phase::ServerFailed,
            _ => Phase::Failed,
        };
        StreamError { at, kind }
    }
}

impl<T: Transport, C: Clock, P> ReplicationStream<T, C, P> {
    /// Sends a status update now.
    ///
    /// # Errors
    /// Errors of the connection. A server that does not read is no error: the update is sent when it does.
    pub async fn report(&mut self) -> Result<(), StreamError> {
        self.status.report();
        poll_fn(|cx| {
            loop {
                self.send_due(cx);
                match self.conn.poll_flush(cx) {
                    // An earlier update was being sent: now this one.
                    Poll::Ready(Ok(())) if self.status.has_report() => {}
                    Poll::Ready(Err(Error::InboxFull)) => return Poll::Ready(Ok(())),
                    other => return other,
                }
            }
        })
        .await
        .map_err(|error| self.fail(error.into()))
    }

    /// Begins to send a status update if one is due. An update that is not sent
    /// completely delays the next one.
    pub(super) fn send_due(&mut self, cx: &mut Context<'_>) {
        let now = self.clock.now();
        if self.can_send() && self.status.is_due(now) {
            let update = self.status.update(now, self.clock.wall());
            self.conn.put(&update.in_copy_data());
            // Messages that the caller has queued may be invalid. Their batch is dropped, and this update follows alone.
            if self.conn.outbox_mut().commit().is_err() {
                self.conn.put(&update.in_copy_data());
                let _ = self.conn.outbox_mut().commit();
            }
            let _ = self.conn.poll_send(cx);
        }
    }

    /// Waits until the next status update is due. Pending while an earlier one is being sent.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.can_send() {
            return Poll::Pending;
        }
        match self.status.deadline() {
            Some(deadline) if deadline <= self.clock.now() => Poll::Ready(()),
            Some(deadline) => self.clock.poll_until(cx, deadline),
            None => Poll::Pending,
        }
    }

    /// Whether a status update can be sent. One at a time: updates must not accumulate while the server does not read.
    fn can_send(&self) -> bool {
        self.phase != Phase::ServerFailed && !self.conn.is_sending() && self.conn.write_fault().is_none()
    }
}
