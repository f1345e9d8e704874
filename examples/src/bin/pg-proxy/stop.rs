//! Stops all connections of the proxy at the same time.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio::sync::Notify;

/// The command that all connections of the proxy stop. [`give`](Self::give) gives the command.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    given: AtomicBool,
    waiting: Notify,
}

impl Stop {
    /// Commands all connections to stop.
    pub(crate) fn give(&self) {
        self.given.store(true, Ordering::SeqCst);
        self.waiting.notify_waiters();
    }

    /// Runs a future to its end and returns its output. If [`give`](Self::give) is called before the end, drops the future and returns
    /// `None`.
    ///
    /// Precondition: all polls of the returned future are made by the same task, because only the first poll registers a waker. Every later
    /// poll adds only one read of an atomic flag.
    pub(crate) async fn unless_given<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut order = pin!(self.waiting.notified());
        let mut registered = false;
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if !std::mem::replace(&mut registered, true) && order.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            // The flag is read after the waker is registered. So a call of `give` is seen by this read, or wakes the task.
            if self.given.load(Ordering::SeqCst) { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}
