//! A clock for tests. Its time changes only when a test advances the clock.

use alloc::sync::Arc;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::replication::{Clock, Timestamp};

/// A [`Clock`] for tests of replication streams. The clock stands still until [`advance`](Self::advance) is called. Clones share the time.
#[derive(Clone, Debug, Default)]
pub struct TestClock(Arc<Mutex<Time>>);

#[derive(Debug, Default)]
struct Time {
    now: Duration,
    /// Deadline for which a task waits, and the waker of this task.
    waiting: Option<(Duration, Waker)>,
}

impl TestClock {
    /// Advances the time, and wakes a task whose deadline has passed.
    pub fn advance(&self, by: Duration) {
        let mut time = self.lock();
        time.now = time.now.saturating_add(by);
        let now = time.now;
        let waiting = time.waiting.take_if(|(deadline, _)| *deadline <= now);
        drop(time);
        if let Some((_, waker)) = waiting {
            waker.wake();
        }
    }

    /// Locks the time. A poisoned lock is accepted, because no panic can leave the time half changed.
    fn lock(&self) -> MutexGuard<'_, Time> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.lock().now
    }

    /// Returns 2000-01-01 in every call, so that messages of a test are the same in every run.
    fn wall(&self) -> Timestamp {
        Timestamp(0)
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Duration) -> Poll<()> {
        let mut time = self.lock();
        if time.now >= deadline {
            return Poll::Ready(());
        }
        time.waiting = Some((deadline, cx.waker().clone()));
        Poll::Pending
    }
}
