//! Tokio's clock and timer, for replication streams.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use pg_wire::replication::{Clock, Timestamp};
use tokio::time::{Instant, Sleep, sleep_until};

/// The clock of a [`ReplicationStream`](crate::ReplicationStream). Must be used within a Tokio runtime, because its timer belongs to the
/// runtime.
#[derive(Debug)]
pub struct StreamClock {
    origin: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Default for StreamClock {
    fn default() -> Self {
        Self { origin: Instant::now(), sleep: None }
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
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}
