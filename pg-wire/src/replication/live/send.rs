//! Sends status updates when they are due.

use core::task::{Context, Poll};

use crate::connection::{Connection, Transport};
use crate::replication::enclosed::Enclosed;
use crate::replication::live::clock::Clock;
use crate::replication::live::core::Driver;
use crate::replication::status::StandbyStatus;

/// Positions of a stream, with the clock that decides when a status update is due.
#[derive(Debug)]
pub(super) struct Reports<C> {
    pub(super) status: StandbyStatus,
    pub(super) clock: C,
}

impl<C: Clock> Driver for Reports<C> {
    fn with<R>(&mut self, action: impl FnOnce(&mut StandbyStatus) -> R) -> R {
        action(&mut self.status)
    }

    fn send_due<T: Transport>(&mut self, conn: &mut Connection<T>, cx: &mut Context<'_>) {
        if can_send(conn) && self.status.is_due(self.clock.now()) {
            put(conn, &mut self.status, &self.clock);
            let _ = conn.poll_send(cx);
        }
    }

    fn poll_due<T: Transport>(&mut self, conn: &Connection<T>, cx: &mut Context<'_>) -> Poll<()> {
        match self.status.deadline().filter(|_| can_send(conn)) {
            Some(deadline) if deadline <= self.clock.now() => Poll::Ready(()),
            Some(deadline) => self.clock.poll_until(cx, deadline),
            None => Poll::Pending,
        }
    }
}

/// Adds a status update to the messages that the caller has queued, and commits all of them as one batch.
pub(super) fn put<T>(conn: &mut Connection<T>, status: &mut StandbyStatus, clock: &impl Clock) {
    let update = status.update(clock.now(), clock.wall());
    conn.put(&update.in_copy_data());
    // An error means that a message that the caller has queued is invalid, and that the whole batch was dropped. In this case the update is
    // committed in a new batch.
    if conn.outbox_mut().commit().is_err() {
        conn.put(&update.in_copy_data());
        let _ = conn.outbox_mut().commit();
    }
}

/// Whether a status update can be sent now. Only one update is sent at a time, so that updates do not accumulate while the server does not
/// read.
pub(super) fn can_send<T: Transport>(conn: &Connection<T>) -> bool {
    !conn.is_sending() && conn.write_fault().is_none()
}
