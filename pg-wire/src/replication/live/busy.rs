//! Status updates while the caller does not receive.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Context;

use crate::connection::Transport;
use crate::replication::live::clock::Clock;
use crate::replication::live::whole::ReplicationStream;

impl<T: Transport, C: Clock, P> ReplicationStream<T, C, P> {
    /// Runs a future to its end, and sends status updates at the interval meanwhile. Receives nothing, so the server has to wait, and does
    /// not disconnect.
    ///
    /// The interval has to be shorter than the server's `wal_sender_timeout`, because a keepalive may wait behind data that is not received.
    /// Blocking work has to run in a thread, with its handle as the future (`spawn_blocking`): a future that blocks keeps the updates from
    /// being sent.
    ///
    /// If the connection fails meanwhile, the work goes on, and the next call of `next` returns the error. The future may be dropped
    /// at any point, which drops the work.
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

    /// Sends the status updates that are due, and arranges to be woken for the next one. For callers that poll themselves.
    pub fn poll_keep_alive(&mut self, cx: &mut Context<'_>) {
        loop {
            let _ = self.conn.poll_send(cx);
            self.send_due(cx);
            if self.poll_due(cx).is_pending() {
                return;
            }
        }
    }
}
