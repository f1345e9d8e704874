//! The interface of a clock, which a runtime adapter implements.

use core::task::{Context, Poll};
use core::time::Duration;

use crate::replication::time::Timestamp;

/// The clock of a [`ReplicationStream`](super::ReplicationStream). The adapters have one, with the name `StreamClock`.
pub trait Clock {
    /// Time since an origin that does not change. Never goes backwards.
    fn now(&self) -> Duration;

    /// The wall clock, which the server shows in `pg_stat_replication` and uses for nothing else.
    fn wall(&self) -> Timestamp;

    /// Waits until [`now`](Self::now) is `deadline` or later. Each call replaces the deadline of the call before.
    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Duration) -> Poll<()>;
}
