//! Receives the data of a replication stream. A stream that is not split, and the reader half of a split stream, share this code.

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

/// Number of messages that one poll may process. Then the future yields, so that other tasks can run.
const TURNS: u32 = 256;

/// Access to the WAL positions of a stream: received, written, flushed and applied. If the stream is not split, the implementation also
/// sends the status updates. In a split stream, the sending half sends the status updates.
pub(super) trait Driver {
    /// Calls `action` with the positions, which `action` may read or change.
    fn with<R>(&mut self, action: impl FnOnce(&mut StandbyStatus) -> R) -> R;

    /// Begins to send a status update if an update is due.
    fn send_due<T: Transport>(&mut self, conn: &mut Connection<T>, cx: &mut Context<'_>);

    /// Waits until the next status update is due. Returns `Pending` in a split stream, where the sending half sends the updates.
    fn poll_due<T: Transport>(&mut self, conn: &Connection<T>, cx: &mut Context<'_>) -> Poll<()>;

    fn received(&mut self) -> Lsn {
        self.with(|status| status.received())
    }
}

/// A connection that receives the data of a replication stream, with the decoder of the data and the WAL positions of the stream.
#[derive(Debug)]
pub(super) struct Core<T, P, D> {
    pub(super) conn: Connection<T>,
    pub(super) driver: D,
    pub(super) phase: Phase,
    pub(super) payload: P,
}

/// State of a replication stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The copy is active, and the server may send data.
    Copying,
    /// The server has sent CopyDone.
    ServerDone,
    /// The server has ended the copy without CopyDone, usually with an ErrorResponse. The client must not send CopyDone.
    ServerFailed,
    /// The connection failed, or data was malformed. No more data is returned, because otherwise a caller could miss the error.
    Failed,
}

impl<T, P, D: Driver> Core<T, P, D> {
    /// Ends the stream. Returns the error with the reason `kind` and the position up to which the stream was received.
    pub(super) fn fail(&mut self, kind: StreamErrorKind) -> StreamError {
        self.phase = match kind {
            StreamErrorKind::Server(_) | StreamErrorKind::EndedByServer => Phase::ServerFailed,
            _ => Phase::Failed,
        };
        StreamError { at: self.driver.received(), kind }
    }
}

impl<T: Transport, P, D: Driver> Core<T, P, D> {
    /// Sends buffered bytes, and sends a status update if one is due.
    pub(super) fn keep_sending(&mut self, cx: &mut Context<'_>) {
        if self.phase != Phase::ServerFailed {
            let _ = self.conn.poll_send(cx);
            self.driver.send_due(&mut self.conn, cx);
        }
    }
}

impl<T: Transport, P: Payload, D: Driver> Core<T, P, D> {
    /// Receives and lends the next data. The data is taken from the buffer only after the last `await`, so dropping the future loses no
    /// data.
    pub(super) async fn next(&mut self) -> Result<Option<P::Item<'_>>, StreamError> {
        let mut turns = 0;
        let head = loop {
            if self.payload.is_replaying() {
                // `poll_data` not only receives, but also sends buffered bytes and due status updates. This branch returns stored data
                // and does not call `poll_data`, so `keep_sending` sends the bytes and the updates.
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

    /// Passes received data to `payload`, which stores the data if it belongs to a transaction in progress. Returns true if `payload` has
    /// stored the data.
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
            // `payload.decode` is not called inside `with`, because `with` may lock the positions. A slow decoder would then delay the
            // status updates of the sending half.
            driver.with(|status| status.received_change(&wal, P::change(&item)));
            Ok(item)
        });
        item.map(Some).map_err(|kind| {
            *phase = Phase::Failed;
            StreamError { at: place(start, driver), kind }
        })
    }

    /// Waits until XLogData is buffered, and returns its [`Head`]; the data stays in the buffer. Until then, stores the positions of
    /// received keepalives. After `TURNS` messages, returns `Pending` once, so that other tasks can run even if the server never stops
    /// sending.
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

/// Returns the position for an error: the position `start` of the erroneous data. If `start` is unknown, returns the position up to which
/// the stream was received.
fn place(start: Option<Lsn>, driver: &mut impl Driver) -> Lsn {
    start.filter(|start| start.is_valid()).unwrap_or_else(|| driver.received())
}

fn over(driver: &mut impl Driver) -> StreamError {
    StreamError { at: driver.received(), kind: StreamErrorKind::Over }
}
