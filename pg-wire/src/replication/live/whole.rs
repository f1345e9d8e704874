//! The replication stream: a connection after START_REPLICATION.

use alloc::boxed::Box;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;

use crate::connection::{Connection, Error, Transport};
use crate::replication::enclosed::Enclosed;
use crate::replication::live::clock::Clock;
use crate::replication::live::core::{Core, Driver, Phase};
use crate::replication::live::error::{StartError, StreamError};
use crate::replication::live::payload::{Changes, Payload, Raw};
use crate::replication::live::send::{Reports, can_send};
use crate::replication::live::start::{StartCommand, start};
use crate::replication::lsn::Lsn;
use crate::replication::pgoutput::{Store, Transactions};
use crate::replication::status::{NotReceived, StandbyStatus};

/// A replication stream: lends received data, answers the server in time, and confirms the positions that the caller declares.
///
/// - [`start`](Self::start) sends the command. [`next`](Self::next) lends the data as [`XLogData`](crate::replication::XLogData). After a
///   call of [`changes`](ReplicationStream::changes) or [`transactions`](ReplicationStream::transactions), `next` lends changes of pgoutput
///   with their tables. [`finish`](Self::finish) ends the stream and returns the connection.
/// - The stream sends a status update when a keepalive requests an answer, after each [`interval`](Self::interval), and when
///   [`report`](Self::report) is called. Only positions that [`set_flushed`](Self::set_flushed) has declared are confirmed.
/// - While `next` is not called, the stream receives no data, and the server stops sending (backpressure). The server would disconnect
///   after `wal_sender_timeout`, so do long work inside [`keep_alive_while`](Self::keep_alive_while), or [`split`](Self::split) the stream.
/// - All progress is stored in the stream. The futures of `next`, `report` and `keep_alive_while` may be dropped at any point; then call
///   the method again. The futures of `start` and `finish` own the connection: dropping one of these futures closes the connection.
///
/// A stream starts no task, and sends only while one of its futures is polled.
#[derive(Debug)]
pub struct ReplicationStream<T, C, P = Raw> {
    pub(super) core: Core<T, P, Reports<C>>,
}

impl<T: Transport, C: Clock> ReplicationStream<T, C> {
    /// Starts a stream with a default clock. Precondition: the connection was opened with the parameter `replication`.
    ///
    /// # Errors
    /// An error of the server, with all its fields, or an error of the connection. Every error contains the connection.
    pub async fn start(conn: Connection<T>, command: &impl StartCommand) -> Result<Self, StartError<T>>
    where
        C: Default,
    {
        Self::start_with(conn, command, C::default()).await
    }

    /// Starts a stream with a clock that the caller provides.
    ///
    /// # Errors
    /// The errors of [`start`](Self::start).
    pub async fn start_with(
        conn: Connection<T>,
        command: &impl StartCommand,
        clock: C,
    ) -> Result<Self, StartError<T>> {
        let conn = start(conn, command).await?;
        let status = command.status(clock.now());
        let driver = Reports { status, clock };
        Ok(Self { core: Core { conn, driver, phase: Phase::Copying, payload: Raw } })
    }

    /// Changes the form of the data: the stream decodes changes of pgoutput, and finds the table of each change.
    pub fn changes(self) -> ReplicationStream<T, C, Changes> {
        self.with(Changes::default())
    }

    /// Changes the form of the data: the stream decodes changes of pgoutput, finds the table of each change, and returns transactions in
    /// the order of their commits. With the option `streaming`, the server sends large transactions in blocks before their commit. The
    /// store keeps these blocks until the commit.
    pub fn transactions<S>(self, store: S) -> ReplicationStream<T, C, Transactions<S>>
    where
        S: Store<Error: Into<Box<dyn core::error::Error + Send + Sync>>>,
    {
        self.with(Transactions::new(store))
    }

    fn with<P>(self, payload: P) -> ReplicationStream<T, C, P> {
        let Core { conn, driver, phase, payload: _ } = self.core;
        ReplicationStream { core: Core { conn, driver, phase, payload } }
    }
}

impl<T, C, P> ReplicationStream<T, C, P> {
    /// Sets the longest time between two status updates; 10 seconds by default. Choose at most a third of the server's
    /// `wal_sender_timeout`: a client that sends nothing for this timeout is disconnected. See [`StandbyStatus::interval`].
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.core.driver.status.set_interval(interval);
        self
    }

    /// Sets whether the stream also confirms the position of a received keepalive. The position is confirmed once everything received
    /// before the keepalive is flushed. Off by default. See [`StandbyStatus::confirm_keepalives`].
    #[must_use]
    pub fn confirm_keepalives(mut self, on: bool) -> Self {
        self.core.driver.status.set_confirm_keepalives(on);
        self
    }

    /// Declares that everything before `lsn` is durable. The next status update reports the position. See
    /// [`StandbyStatus::set_flushed`].
    ///
    /// # Errors
    /// When the position is after everything that was received.
    pub fn set_flushed(&mut self, lsn: Lsn) -> Result<(), NotReceived> {
        self.core.driver.status.set_flushed(lsn)
    }

    /// Returns the positions of the stream.
    pub fn status(&self) -> &StandbyStatus {
        &self.core.driver.status
    }

    /// Returns mutable access to the positions of the stream, to declare written and applied positions, or to set the interval.
    pub fn status_mut(&mut self) -> &mut StandbyStatus {
        &mut self.core.driver.status
    }

    /// Returns the decoder of the data, with the tables that the server has described so far.
    pub fn payload(&self) -> &P {
        &self.core.payload
    }

    /// Queues a message, such as a [`HotStandbyFeedback`](crate::replication::HotStandbyFeedback). The message is sent together with the
    /// next status update.
    pub fn put(&mut self, message: &impl Enclosed) -> &mut Self {
        self.core.conn.put(&message.in_copy_data());
        self
    }

    /// Returns the connection, for access to its buffers and its transport.
    pub fn connection(&self) -> &Connection<T> {
        &self.core.conn
    }
}

impl<T: Transport, C: Clock, P: Payload> ReplicationStream<T, C, P> {
    /// Receives the next data, and lends the data until the next call. While waiting for data, `next` answers keepalives and sends status
    /// updates. Returns `None` after the server has ended the stream, for example at the end of a timeline; then call
    /// [`finish`](Self::finish).
    ///
    /// The future may be dropped at any point; no data is lost.
    ///
    /// # Errors
    /// Errors of the server and of the connection, malformed messages, changes of tables that were not described, and errors of the store.
    /// Each error ends the stream.
    pub async fn next(&mut self) -> Result<Option<P::Item<'_>>, StreamError> {
        self.core.next().await
    }
}

impl<T: Transport, C: Clock, P> ReplicationStream<T, C, P> {
    /// Sends a status update now.
    ///
    /// # Errors
    /// Errors of the connection. A server that does not read is no error: the update is sent as soon as the server reads.
    pub async fn report(&mut self) -> Result<(), StreamError> {
        let core = &mut self.core;
        core.driver.status.report();
        poll_fn(|cx| {
            loop {
                if core.phase == Phase::ServerFailed {
                    return Poll::Ready(Ok(()));
                }
                core.driver.send_due(&mut core.conn, cx);
                match core.conn.poll_flush(cx) {
                    // An earlier update is now sent completely, so the next turn of the loop sends the requested update.
                    Poll::Ready(Ok(())) if core.driver.status.has_report() && can_send(&core.conn) => {}
                    Poll::Ready(Err(Error::InboxFull)) => return Poll::Ready(Ok(())),
                    other => return other,
                }
            }
        })
        .await
        .map_err(|error| core.fail(error.into()))
    }

    /// Runs the future `work` to its end, and meanwhile sends status updates at the interval. Receives no data meanwhile, so the server
    /// stops sending, but does not disconnect.
    ///
    /// The interval must be shorter than the server's `wal_sender_timeout`. No data is received, so a keepalive that requests an answer may
    /// remain unread, and only the updates at the interval prevent the timeout. A future that blocks its thread prevents the updates. So
    /// run blocking work in another thread (`spawn_blocking`), and pass a future as `work` that waits for the other thread.
    ///
    /// If the connection fails meanwhile, the work continues, and the next call of `next` returns the error. The returned future may be
    /// dropped at any point; then `work` is dropped too.
    pub async fn keep_alive_while<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let done = work.as_mut().poll(cx);
            if done.is_pending() {
                self.poll_keep_alive(cx);
            }
            done
        })
        .await
    }

    /// Sends the status updates that are due, and wakes the task when the next update is due. Intended for callers that implement `poll`
    /// functions.
    pub fn poll_keep_alive(&mut self, cx: &mut Context<'_>) {
        let core = &mut self.core;
        while core.phase != Phase::ServerFailed {
            core.keep_sending(cx);
            if core.driver.poll_due(&core.conn, cx).is_pending() {
                return;
            }
        }
    }
}
