//! Tracks the positions that a client of a replication stream has received and may confirm. Does no I/O and reads no clock.

use core::fmt;
use core::time::Duration;

use crate::replication::lsn::Lsn;
use crate::replication::pgoutput::Change;
use crate::replication::stream::{PrimaryKeepalive, StandbyStatusUpdate, XLogData};
use crate::replication::time::Timestamp;

/// Positions of a client in a replication stream, and the time at which the next [`StandbyStatusUpdate`] is due.
///
/// A `StandbyStatus` only reports positions that the caller has declared: [`set_flushed`](Self::set_flushed),
/// [`set_written`](Self::set_written), [`set_applied`](Self::set_applied). The single exception is
/// [`confirm_keepalives`](Self::confirm_keepalives), which is off by default.
///
/// Every argument `now` is the time since an origin that the caller chooses. This time must not go backwards.
///
/// ```
/// use core::time::Duration;
/// use pg_wire::codec::Payload;
/// use pg_wire::replication::{Lsn, PrimaryKeepalive, StandbyStatus, Timestamp, XLogData};
///
/// let second = Duration::from_secs;
/// let mut status = StandbyStatus::logical(Lsn::INVALID, second(0)).interval(second(10));
/// status.data(&XLogData { start: Lsn(7), end: Lsn(7), time: Timestamp(0), data: Payload(b"data") });
/// assert_eq!(status.deadline(), Some(second(10)));
///
/// // The server requests an answer: an update is due at once. Nothing has been declared, so nothing is confirmed.
/// status.keepalive(&PrimaryKeepalive { end: Lsn(9), time: Timestamp(0), reply: true });
/// assert!(status.is_due(second(3)));
/// assert_eq!(status.update(second(3), Timestamp(0)).flushed, Lsn::INVALID);
/// assert_eq!(status.deadline(), Some(second(13)));
///
/// status.set_flushed(Lsn(7))?;
/// assert_eq!(status.update(second(13), Timestamp(0)).flushed, Lsn(7));
/// assert!(status.set_flushed(Lsn(10)).is_err(), "received up to 0/9 only");
/// # Ok::<_, pg_wire::replication::NotReceived>(())
/// ```
#[derive(Clone, Debug)]
pub struct StandbyStatus {
    is_physical: bool,
    received: Lsn,
    server_end: Lsn,
    written: Lsn,
    flushed: Lsn,
    applied: Lsn,
    interval: Duration,
    /// Time of the last status update.
    last: Duration,
    /// Whether the server or the caller has requested a status update. Such an update is due at once.
    now_due: bool,
    confirm_keepalives: bool,
    /// Whether [`StandbyStatus::data`] was called, and [`StandbyStatus::change`] has not yet been called with the change in this data. As
    /// long as this field is true, it is unknown whether the stream is inside a transaction.
    is_unexplained: bool,
    /// Whether the stream is now inside a transaction, or inside a block of a streamed transaction.
    in_transaction: bool,
    /// End of the last received transaction, or position of the last received message outside a transaction. A keepalive is confirmed only
    /// after the caller has declared this position as flushed.
    last_end: Lsn,
}

impl StandbyStatus {
    /// Interval of a new status: 10 seconds, as in PostgreSQL's own clients.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);

    /// Creates the status of a logical stream that was started at the position `start`.
    pub const fn logical(start: Lsn, now: Duration) -> Self {
        Self::new(false, start, now)
    }

    /// Creates the status of a physical stream that was started at the position `start`.
    pub const fn physical(start: Lsn, now: Duration) -> Self {
        Self::new(true, start, now)
    }

    const fn new(is_physical: bool, start: Lsn, now: Duration) -> Self {
        Self {
            is_physical,
            received: start,
            server_end: Lsn::INVALID,
            written: Lsn::INVALID,
            flushed: Lsn::INVALID,
            applied: Lsn::INVALID,
            interval: Self::DEFAULT_INTERVAL,
            last: now,
            now_due: false,
            confirm_keepalives: false,
            is_unexplained: false,
            in_transaction: false,
            last_end: Lsn::INVALID,
        }
    }

    /// Sets the longest time between two updates. Choose at most a third of the server's `wal_sender_timeout`: a client that sends nothing
    /// for this timeout is disconnected. A positive interval below one millisecond is raised to one millisecond. With an interval of zero,
    /// an update is due only after the server requests an answer, or after the caller calls [`report`](Self::report).
    pub fn interval(mut self, interval: Duration) -> Self {
        self.set_interval(interval);
        self
    }

    /// Sets the longest time between two updates, as [`interval`](Self::interval) does.
    pub fn set_interval(&mut self, interval: Duration) {
        // An interval below one millisecond is raised, because otherwise the client would spend all of its time on sending updates.
        let least = if interval.is_zero() { Duration::ZERO } else { Duration::from_millis(1) };
        self.interval = interval.max(least);
    }

    /// Sets whether the position of a keepalive is confirmed as flushed, once everything received before the keepalive is flushed.
    ///
    /// Off by default, because the caller has not declared this position. The server sends keepalives while it reads WAL that contains no
    /// changes for this stream. If the positions of these keepalives are not confirmed, the slot keeps this WAL until the next published
    /// transaction is flushed. A server that shuts down also waits for the confirmation. Use this setting only with pgoutput. With other
    /// output plugins, the ends of transactions are unknown, so no keepalive is confirmed after the first data.
    pub const fn confirm_keepalives(mut self, on: bool) -> Self {
        self.set_confirm_keepalives(on);
        self
    }

    /// Sets whether the position of a keepalive is confirmed, as [`confirm_keepalives`](Self::confirm_keepalives) does.
    pub const fn set_confirm_keepalives(&mut self, on: bool) {
        self.confirm_keepalives = on;
    }

    /// Whether a physical stream has a gap: the data `wal` does not begin at the end of the previous data.
    #[cfg(feature = "std")]
    pub(super) fn is_gap(&self, wal: &XLogData<'_>) -> bool {
        self.is_physical && wal.start != self.received
    }

    /// Updates the positions from received data, and from the change in the data if the output plugin is pgoutput.
    #[cfg(feature = "std")]
    #[inline]
    pub(super) fn received_change(&mut self, wal: &XLogData<'_>, change: Option<&Change<'_>>) {
        self.data(wal);
        if let Some(change) = change {
            self.change(change);
        }
    }

    /// Updates the positions from received data.
    ///
    /// In a logical stream with pgoutput, decode the data and pass the change to [`change`](Self::change) after this call.
    #[inline]
    pub fn data(&mut self, wal: &XLogData<'_>) {
        let end = match self.is_physical {
            // The cast cannot truncate: a usize has at most 64 bits.
            true => Lsn(wal.start.0.saturating_add(wal.data.0.len() as u64)),
            false => wal.start,
        };
        self.received = self.received.max(end);
        self.server_end = self.server_end.max(wal.end);
        self.is_unexplained = true;
    }

    /// Updates the positions from a pgoutput change. The change is the content of the data in the last call of [`data`](Self::data).
    #[inline]
    pub fn change(&mut self, change: &Change<'_>) {
        self.is_unexplained = false;
        match change {
            Change::Insert(_) | Change::Update(_) | Change::Delete(_) => {}
            other => self.boundary(other),
        }
    }

    /// Updates the positions if the change starts or ends a transaction.
    fn boundary(&mut self, change: &Change<'_>) {
        let end = match change {
            Change::Begin(_) | Change::BeginPrepare(_) | Change::StreamStart(_) => {
                self.in_transaction = true;
                return;
            }
            // The end of a block is not the end of its transaction, so `last_end` stays unchanged. After a restart of the stream, the
            // server sends all blocks of an unconfirmed transaction again.
            Change::StreamStop(_) => {
                self.in_transaction = false;
                return;
            }
            Change::LogicalMessage(message) if !message.is_transactional() => message.lsn,
            Change::Commit(commit) => commit.end,
            Change::Prepare(prepare) => prepare.end,
            Change::CommitPrepared(commit) => commit.end,
            Change::RollbackPrepared(rollback) => rollback.end,
            Change::StreamCommit(commit) => commit.end,
            Change::StreamPrepare(prepare) => prepare.end,
            _ => return,
        };
        if matches!(change, Change::Commit(_) | Change::Prepare(_)) {
            self.in_transaction = false;
        }
        self.received = self.received.max(end);
        self.last_end = self.last_end.max(end);
    }

    /// Updates the positions from a keepalive, and makes an update due if the keepalive requests an answer.
    pub fn keepalive(&mut self, keepalive: &PrimaryKeepalive) {
        self.server_end = self.server_end.max(keepalive.end);
        self.now_due |= keepalive.reply;
        if self.is_physical {
            return;
        }
        self.received = self.received.max(keepalive.end);
        let is_between = !self.is_unexplained && !self.in_transaction;
        if self.confirm_keepalives && is_between && self.flushed >= self.last_end {
            self.flush(keepalive.end);
        }
    }

    /// Declares that everything before `lsn` is durable, so that the server may delete the WAL before this position. A position that is
    /// lower than an earlier declared position changes nothing.
    ///
    /// In logical replication, `lsn` is the `end` of a [`Commit`](crate::replication::pgoutput::Commit), or of another message that ends a
    /// transaction. The next update reports the position; [`report`](Self::report) makes an update due at once.
    ///
    /// # Errors
    /// When the position is after everything that was received. The declared positions are then unchanged.
    pub fn set_flushed(&mut self, lsn: Lsn) -> Result<(), NotReceived> {
        self.check(lsn)?;
        self.flush(lsn);
        Ok(())
    }

    /// Declares that all data before `lsn` is written, although a crash of the operating system may still destroy this data. The written
    /// position is never reported as lower than the flushed position.
    ///
    /// # Errors
    /// The errors of [`set_flushed`](Self::set_flushed).
    pub fn set_written(&mut self, lsn: Lsn) -> Result<(), NotReceived> {
        self.check(lsn)?;
        self.written = self.written.max(lsn);
        Ok(())
    }

    /// Declares that everything before `lsn` is applied, for `synchronous_commit = remote_apply`. If this method is never called, updates
    /// report no applied position (`0/0`), as the updates of `pg_receivewal` and `pg_recvlogical` do.
    ///
    /// # Errors
    /// The errors of [`set_flushed`](Self::set_flushed).
    pub fn set_applied(&mut self, lsn: Lsn) -> Result<(), NotReceived> {
        self.check(lsn)?;
        self.applied = self.applied.max(lsn);
        Ok(())
    }

    fn check(&self, declared: Lsn) -> Result<(), NotReceived> {
        if declared > self.received {
            return Err(NotReceived { declared, received: self.received });
        }
        Ok(())
    }

    fn flush(&mut self, lsn: Lsn) {
        self.flushed = self.flushed.max(lsn);
    }

    /// Makes an update due at once.
    pub const fn report(&mut self) {
        self.now_due = true;
    }

    /// Whether the server or the caller has requested an update. Such an update is due at once.
    #[cfg(feature = "std")]
    pub(super) const fn has_report(&self) -> bool {
        self.now_due
    }

    /// Returns the time at which the next update is due. With an interval of zero, returns `None` until the server requests an answer or
    /// the caller calls [`report`](Self::report).
    #[inline]
    pub fn deadline(&self) -> Option<Duration> {
        if self.now_due {
            return Some(Duration::ZERO);
        }
        if self.interval.is_zero() { None } else { Some(self.last.saturating_add(self.interval)) }
    }

    /// Whether an update is due at the time `now`.
    #[inline]
    pub fn is_due(&self, now: Duration) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Creates the update to send at the time `now`; `time` is the time of the wall clock. The next update is due after the interval.
    pub fn update(&mut self, now: Duration, time: Timestamp) -> StandbyStatusUpdate {
        self.last = now;
        self.now_due = false;
        StandbyStatusUpdate {
            written: self.written(),
            flushed: self.flushed,
            applied: self.applied(),
            time,
            reply: false,
        }
    }

    /// Returns the written position for status updates. This position is at least the flushed position.
    pub fn written(&self) -> Lsn {
        self.written.max(self.flushed)
    }

    /// Returns the flushed position for status updates.
    pub const fn flushed(&self) -> Lsn {
        self.flushed
    }

    /// Returns the applied position for status updates; `0/0` if no applied position was declared.
    pub const fn applied(&self) -> Lsn {
        self.applied
    }

    /// Returns the position up to which the stream was received.
    pub const fn received(&self) -> Lsn {
        self.received
    }

    /// Returns the last known end of the WAL on the server.
    pub const fn server_end(&self) -> Lsn {
        self.server_end
    }
}

/// Error for a declared position that was not received. Confirming such a position would lose changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotReceived {
    /// The position that the caller declared.
    pub declared: Lsn,
    /// Position up to which the stream was received.
    pub received: Lsn,
}

impl fmt::Display for NotReceived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be confirmed: the stream was received up to {}", self.declared, self.received)
    }
}

impl core::error::Error for NotReceived {}
