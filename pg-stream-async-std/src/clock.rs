//! Clock and timer of the smol family of crates, for replication streams.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use async_io::Timer;
use pg_wire::replication::{Clock, Timestamp};

/// The clock of a [`ReplicationStream`](crate::ReplicationStream). Can be used on any executor.
#[derive(Debug)]
pub struct StreamClock {
    origin: Instant,
    timer: Timer,
    /// Time at which the timer expires, if the timer is set.
    deadline: Option<Instant>,
}

impl Default for StreamClock {
    fn default() -> Self {
        Self { origin: Instant::now(), timer: Timer::never(), deadline: None }
    }
}

impl Clock for StreamClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Duration) -> Poll<()> {
        // A deadline that does not fit into an `Instant` is never reached.
        let Some(deadline) = self.origin.checked_add(deadline) else { return Poll::Pending };
        if self.deadline != Some(deadline) {
            self.timer.set_at(deadline);
            self.deadline = Some(deadline);
        }
        Pin::new(&mut self.timer).poll(cx).map(|_| self.deadline = None)
    }
}
