//! The data of a stream, lent from the buffer of the connection.

use alloc::boxed::Box;
use core::future::poll_fn;
use core::task::{Context, Poll};

use crate::buffer::inbox::Head;
use crate::connection::Transport;
use crate::message::backend::CopyData;
use crate::replication::enclosed::{DecodeEnclosed, Scope};
use crate::replication::live::clock::Clock;
use crate::replication::live::error::{StreamError, StreamErrorKind};
use crate::replication::live::payload::Changes;
use crate::replication::live::receive::{Received, poll_received};
use crate::replication::live::whole::{Phase, ReplicationStream};
use crate::replication::lsn::Lsn;
use crate::replication::pgoutput::{ReceivedChange, Relations, Store, Transactions};
use crate::replication::status::StandbyStatus;
use crate::replication::stream::XLogData;

impl<T: Transport, C: Clock> ReplicationStream<T, C> {
    /// Receives the next data, and lends it until the next call. `None` after the server has ended the stream, which it does at the end of
    /// a timeline: then [`finish`](Self::finish). Keepalives are answered meanwhile, and status updates sent.
    ///
    /// The future may be dropped at any point; no data is lost.
    ///
    /// # Errors
    /// Errors of the server and of the connection, and malformed messages. Each error ends the stream.
    pub async fn next(&mut self) -> Result<Option<XLogData<'_>>, StreamError> {
        let Some(head) = poll_fn(|cx| self.poll_data(cx)).await? else { return Ok(None) };
        let Self { conn, status, phase, .. } = self;
        let failure = match decode(conn.inbox_mut().take(head).body) {
            Ok(wal) if status.is_gap(&wal) => {
                let (expected, found) = (status.received(), wal.start);
                StreamError { at: expected, kind: StreamErrorKind::Gap { expected, found } }
            }
            Ok(wal) => {
                status.data(&wal);
                return Ok(Some(wal));
            }
            Err(kind) => StreamError { at: status.received(), kind },
        };
        *phase = Phase::Failed;
        Err(failure)
    }
}

impl<T: Transport, C: Clock> ReplicationStream<T, C, Changes> {
    /// Receives the next change, and lends it until the next call. `None` after the server has ended the stream: then
    /// [`finish`](Self::finish). Keepalives are answered meanwhile, and status updates sent.
    ///
    /// The future may be dropped at any point; no change is lost.
    ///
    /// # Errors
    /// Errors of the server and of the connection, malformed messages, and changes of tables that were not described. Each error ends the
    /// stream.
    pub async fn next(&mut self) -> Result<Option<ReceivedChange<'_>>, StreamError> {
        let Some(head) = poll_fn(|cx| self.poll_data(cx)).await? else { return Ok(None) };
        let Self { conn, status, phase, payload, .. } = self;
        let failure = match decode(conn.inbox_mut().take(head).body) {
            Ok(wal) => match payload.decoder.decode(wal.data.0) {
                Ok((change, table)) => {
                    status.data(&wal);
                    status.change(&change);
                    return Ok(Some(ReceivedChange { start: wal.start, time: wal.time, change, table }));
                }
                Err(error) => StreamError { at: place(&wal, status), kind: error.into() },
            },
            Err(kind) => StreamError { at: status.received(), kind },
        };
        *phase = Phase::Failed;
        Err(failure)
    }

    /// The tables that were described so far.
    pub fn relations(&self) -> &Relations {
        self.payload.decoder.relations()
    }
}

impl<T, C, S> ReplicationStream<T, C, Transactions<S>>
where
    T: Transport,
    C: Clock,
    S: Store<Error: Into<Box<dyn core::error::Error + Send + Sync>>>,
{
    /// Receives the next change, in the order of the commits, and lends it until the next call. `None` after the server has ended the
    /// stream: then [`finish`](Self::finish). Keepalives are answered meanwhile, and status updates sent.
    ///
    /// The future may be dropped at any point; no change is lost.
    ///
    /// # Errors
    /// As of `next` after [`changes`](ReplicationStream::changes), and errors of the store.
    pub async fn next(&mut self) -> Result<Option<ReceivedChange<'_>>, StreamError> {
        let head = loop {
            if self.payload.is_replaying() {
                return self.replay().await;
            }
            let Some(head) = poll_fn(|cx| self.poll_data(cx)).await? else { return Ok(None) };
            match self.keep(&head) {
                Ok(true) => {
                    let _ = self.conn.inbox_mut().take(head);
                }
                Ok(false) => break head,
                Err(error) => {
                    self.phase = Phase::Failed;
                    return Err(error);
                }
            }
        };
        let Self { conn, status, phase, payload, .. } = self;
        let failure = match decode(conn.inbox_mut().take(head).body) {
            Ok(wal) => match payload.decode(&wal) {
                Ok(received) => {
                    status.data(&wal);
                    status.change(&received.change);
                    return Ok(Some(received));
                }
                Err(error) => StreamError { at: place(&wal, status), kind: error.into() },
            },
            Err(kind) => StreamError { at: status.received(), kind },
        };
        *phase = Phase::Failed;
        Err(failure)
    }

    /// Keeps a message of a transaction in progress. Returns whether it is part of one.
    fn keep(&mut self, head: &Head) -> Result<bool, StreamError> {
        let Self { conn, status, payload, .. } = self;
        let wal = decode(conn.inbox().look(head).body)
            .map_err(|kind| StreamError { at: status.received(), kind })?;
        let kept = payload.keep(&wal);
        let kept = kept.map_err(|error| StreamError { at: place(&wal, status), kind: error.into() })?;
        if let Some(change) = &kept {
            status.data(&wal);
            status.change(change);
        }
        Ok(kept.is_some())
    }

    /// The next change of a transaction that has ended. Nothing is received meanwhile, so updates are sent at their interval.
    async fn replay(&mut self) -> Result<Option<ReceivedChange<'_>>, StreamError> {
        if self.phase == Phase::Failed {
            return Err(self.over());
        }
        poll_fn(|cx| {
            let _ = self.conn.poll_send(cx);
            self.send_due(cx);
            Poll::Ready(())
        })
        .await;
        let Self { status, phase, payload, .. } = self;
        payload.replay().map_err(|error| {
            *phase = Phase::Failed;
            StreamError { at: status.received(), kind: error.into() }
        })
    }

    /// The transactions in progress, with the tables that were described so far.
    pub fn in_progress(&self) -> &Transactions<S> {
        &self.payload
    }
}

/// The position of data with an error.
fn place(wal: &XLogData<'_>, status: &StandbyStatus) -> Lsn {
    if wal.start.is_valid() { wal.start } else { status.received() }
}

/// Decodes the body of a CopyData whose data is XLogData.
fn decode(body: &[u8]) -> Result<XLogData<'_>, StreamErrorKind> {
    let copy: CopyData<'_> = crate::Decode::decode(body)?;
    Ok(DecodeEnclosed::decode(copy.data.0, Scope::Outside)?)
}

impl<T: Transport, C: Clock, P> ReplicationStream<T, C, P> {
    /// Waits until XLogData is buffered, which is then to be taken. Answers keepalives meanwhile.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Head>, StreamError>> {
        match self.phase {
            Phase::Copying => {}
            Phase::ServerDone => return Poll::Ready(Ok(None)),
            Phase::ServerFailed | Phase::Failed => return Poll::Ready(Err(self.over())),
        }
        loop {
            self.send_due(cx);
            return Poll::Ready(match poll_received(&mut self.conn, cx) {
                Poll::Ready(Ok(Received::Data(head))) => Ok(Some(head)),
                Poll::Ready(Ok(Received::Keepalive(keepalive))) => {
                    self.status.keepalive(&keepalive);
                    continue;
                }
                Poll::Ready(Ok(Received::Done)) => {
                    self.phase = Phase::ServerDone;
                    Ok(None)
                }
                Poll::Ready(Err(kind)) => Err(self.fail(kind)),
                Poll::Pending if self.poll_due(cx).is_ready() => continue,
                Poll::Pending => return Poll::Pending,
            });
        }
    }

    fn over(&self) -> StreamError {
        StreamError { at: self.status.received(), kind: StreamErrorKind::Over }
    }
}
