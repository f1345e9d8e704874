//! The interface of a clock. The crate for each runtime, such as `pg-stream-tokio`, implements this interface.

use core::task::{Context, Poll};
use core::time::Duration;

use crate::replication::time::Timestamp;

/// The clock of a [`ReplicationStream`](super::ReplicationStream). The crate for each runtime, such as `pg-stream-tokio`, has an
/// implementation with the name `StreamClock`.
pub trait Clock {
    /// Returns the time since an origin that does not change. The time never goes backwards.
    fn now(&self) -> Duration;

    /// Returns the time of the wall clock. The server shows this time in `pg_stat_replication` and uses it for nothing else.
    fn wall(&self) -> Timestamp;

    /// Waits until [`now`](Self::now) is `deadline` or later. Each call replaces the deadline of the previous call.
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Duration) -> Poll<()>;
}
