//! The receiving side of a stream, whole or split.

use core::future::poll_fn;
use core::task::{Context, Poll};

use crate::Decode;
use crate::buffer::inbox::Head;
use crate::connection::{Connection, Transport};
use crate::message::backend::CopyData;
use crate::replication::enclosed::{DecodeEnclosed, Scope};
use crate::replication::live::error::{StreamError, StreamErrorKind};
use crate::replication::live::payload::Payload;
use crate::replication::live::receive::{Received, poll_received};
use crate::replication::lsn::Lsn;
use crate::replication::status::StandbyStatus;
use crate::replication::stream::XLogData;

/// Number of messages that are received without a return to the caller, before other tasks run.
const TURNS: u32 = 256;

/// The positions of a stream, and the status updates if this side sends them.
pub(super) trait Driver {
    /// Reads or changes the positions.
    fn with<R>(&mut self, action: impl FnOnce(&mut StandbyStatus) -> R) -> R;

    /// Begins to send a status update if an update is due.
    fn send_due<T: Transport>(&mut self, conn: &mut Connection<T>, cx: &mut Context<'_>);

    /// Waits until the next status update is due.
    fn poll_due<T: Transport>(&mut self, conn: &Connection<T>, cx: &mut Context<'_>) -> Poll<()>;

    fn received(&mut self) -> Lsn {
        self.with(|status| status.received())
    }
}

/// A connection that receives the data of a stream.
#[derive(Debug)]
pub(super) struct Core<T, P, D> {
    pub(super) conn: Connection<T>,
    pub(super) driver: D,
    pub(super) phase: Phase,
    pub(super) payload: P,
}

/// The state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Data may arrive.
    Copying,
    /// The server has sent CopyDone.
    ServerDone,
    /// The server has ended the copy by an error: the client must not send CopyDone.
    ServerFailed,
    /// The connection failed, or data could not be understood: data that follows would hide the error.
    Failed,
}

impl<T, P, D: Driver> Core<T, P, D> {
    /// Ends the stream after an error.
    pub(super) fn fail(&mut self, kind: StreamErrorKind) -> StreamError {
        self.phase = match kind {
            StreamErrorKind::Server(_) | StreamErrorKind::EndedByServer => Phase::ServerFailed,
            _ => Phase::Failed,
        };
        StreamError { at: self.driver.received(), kind }
    }
}

impl<T: Transport, P, D: Driver> Core<T, P, D> {
    /// Continues to send, and sends a status update if an update is due.
    pub(super) fn keep_sending(&mut self, cx: &mut Context<'_>) {
        if self.phase != Phase::ServerFailed {
            let _ = self.conn.poll_send(cx);
            self.driver.send_due(&mut self.conn, cx);
        }
    }
}

impl<T: Transport, P: Payload, D: Driver> Core<T, P, D> {
    /// Lends the next data. The data is taken after the last `await`, so a dropped future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<P::Item<'_>>, StreamError> {
        let mut turns = 0;
        let head = loop {
            if self.payload.is_replaying() {
                // Nothing is received meanwhile.
                poll_fn(|cx| {
                    self.keep_sending(cx);
                    Poll::Ready(())
                })
                .await;
                return self.replay();
            }
            let Some(head) = poll_fn(|cx| self.poll_data(&mut turns, cx)).await? else { return Ok(None) };
            if !self.keep(&head)? {
                break head;
            }
            let _ = self.conn.inbox_mut().take(head);
        };
        self.take(head)
    }

    fn replay(&mut self) -> Result<Option<P::Item<'_>>, StreamError> {
        let Self { driver, phase, payload, .. } = self;
        if *phase == Phase::Failed {
            return Err(over(driver));
        }
        payload.replay().map_err(|kind| {
            *phase = Phase::Failed;
            StreamError { at: driver.received(), kind }
        })
    }

    /// Keeps data of a transaction in progress. Returns whether the data is such data.
    fn keep(&mut self, head: &Head) -> Result<bool, StreamError> {
        let Self { conn, driver, phase, payload } = self;
        let wal = decode(conn.inbox().look(head).body);
        let start = wal.as_ref().ok().map(|wal| wal.start);
        let kept = wal.and_then(|wal| {
            let kept = payload.keep(&wal)?;
            if let Some(change) = &kept {
                driver.with(|status| status.received_change(&wal, Some(change)));
            }
            Ok(kept.is_some())
        });
        kept.map_err(|kind| {
            *phase = Phase::Failed;
            StreamError { at: place(start, driver), kind }
        })
    }

    fn take(&mut self, head: Head) -> Result<Option<P::Item<'_>>, StreamError> {
        let Self { conn, driver, phase, payload } = self;
        let wal = decode(conn.inbox_mut().take(head).body);
        let start = wal.as_ref().ok().map(|wal| wal.start);
        let item = wal.and_then(|wal| {
            let expected = driver.with(|status| status.is_gap(&wal).then(|| status.received()));
            if let Some(expected) = expected {
                return Err(StreamErrorKind::Gap { expected, found: wal.start });
            }
            let item = payload.decode(wal)?;
            // The positions may be locked: a slow store must not keep the other half from reporting them.
            driver.with(|status| status.received_change(&wal, P::change(&item)));
            Ok(item)
        });
        item.map(Some).map_err(|kind| {
            *phase = Phase::Failed;
            StreamError { at: place(start, driver), kind }
        })
    }

    /// Waits until XLogData is buffered, which is then to be taken. Notes keepalives. Counts `turns`, and lets other tasks run in between:
    /// a server that always has data must not stop them.
    fn poll_data(
        &mut self,
        turns: &mut u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Head>, StreamError>> {
        match self.phase {
            Phase::Copying => {}
            Phase::ServerDone => return Poll::Ready(Ok(None)),
            Phase::ServerFailed | Phase::Failed => return Poll::Ready(Err(over(&mut self.driver))),
        }
        loop {
            if *turns == TURNS {
                *turns = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            *turns += 1;
            self.driver.send_due(&mut self.conn, cx);
            return Poll::Ready(match poll_received(&mut self.conn, cx) {
                Poll::Ready(Ok(Received::Data(head))) => Ok(Some(head)),
                Poll::Ready(Ok(Received::Keepalive(keepalive))) => {
                    self.driver.with(|status| status.keepalive(&keepalive));
                    continue;
                }
                Poll::Ready(Ok(Received::Done)) => {
                    self.phase = Phase::ServerDone;
                    Ok(None)
                }
                Poll::Ready(Err(kind)) => Err(self.fail(kind)),
                Poll::Pending if self.driver.poll_due(&self.conn, cx).is_ready() => continue,
                Poll::Pending => return Poll::Pending,
            });
        }
    }
}

/// Decodes the body of a CopyData whose data is XLogData.
fn decode(body: &[u8]) -> Result<XLogData<'_>, StreamErrorKind> {
    let copy = CopyData::decode(body)?;
    Ok(DecodeEnclosed::decode(copy.data.0, Scope::Outside)?)
}

/// The position of data with an error.
fn place(start: Option<Lsn>, driver: &mut impl Driver) -> Lsn {
    start.filter(|start| start.is_valid()).unwrap_or_else(|| driver.received())
}

fn over(driver: &mut impl Driver) -> StreamError {
    StreamError { at: driver.received(), kind: StreamErrorKind::Over }
}
