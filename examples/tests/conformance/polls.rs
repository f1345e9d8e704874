//! Futures that are dropped after a number of polls.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Polls a future at most `polls` times, each time after a wake-up. Returns `None` if the future is still pending; the future is then
/// dropped.
pub(crate) async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Makes a new future and polls it once. If the future is pending, drops it and waits for the wake-up. Repeats this until a future is
/// ready.
pub(crate) async fn dropped_each_time<C, T>(conn: &mut C, mut call: impl AsyncFnMut(&mut C) -> T) -> T {
    poll_fn(|cx| pin!(call(conn)).poll(cx)).await
}

/// Numbers of polls after which a future is dropped: 1, 2, 3, … up to 8, then in larger steps, because some futures need many polls.
pub(crate) fn counts() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1_usize), |&count| Some(if count < 8 { count + 1 } else { count + count / 2 }))
}
