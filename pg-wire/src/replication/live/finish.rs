//! The end of a stream.

use crate::basic::code::MessageCode;
use crate::client::PgProtocol;
use crate::connection::{Connection, Transport};
use crate::replication::enclosed::Enclosed;
use crate::replication::live::clock::Clock;
use crate::replication::live::error::{StreamError, StreamErrorKind};
use crate::replication::live::start::Reply;
use crate::replication::live::whole::{Phase, ReplicationStream};
use crate::replication::reply::NextTimeline;

/// The end of a stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished<T> {
    /// The connection, which takes commands again. For a second logical stream PostgreSQL requires a new connection.
    pub connection: Connection<T>,
    /// The next timeline, if the server has ended a physical stream at the end of its timeline.
    pub next_timeline: Option<NextTimeline>,
}

impl<T: Transport, C: Clock, P> ReplicationStream<T, C, P> {
    /// Reports the declared positions, ends the copy in both directions, and reads up to the ReadyForQuery of the server. Data that arrives
    /// meanwhile is dropped: it is not confirmed, so the server sends it again to a stream that resumes.
    ///
    /// After an error of the server that is not fatal, this call returns the connection too.
    ///
    /// # Errors
    /// Errors of the server and of the connection.
    pub async fn finish(mut self) -> Result<Finished<T>, StreamError> {
        if self.phase != Phase::ServerFailed {
            let update = self.status.update(self.clock.now(), self.clock.wall());
            self.conn.put(&update.in_copy_data());
            self.conn.copy_done();
        }
        let mut reply = Reply::default();
        if let Err(kind) = drain(&mut self.conn, &mut reply).await {
            // A fatal error of the server explains why the connection has ended.
            return Err(self.fail(reply.failure.map_or(kind, StreamErrorKind::Server)));
        }
        match reply.failure {
            Some(error) => Err(self.fail(StreamErrorKind::Server(error))),
            None => Ok(Finished { connection: self.conn, next_timeline: reply.next_timeline }),
        }
    }
}

/// Sends the queued messages, and receives up to ReadyForQuery.
async fn drain<T: Transport>(conn: &mut Connection<T>, reply: &mut Reply) -> Result<(), StreamErrorKind> {
    conn.outbox_mut().commit().map_err(crate::Error::from)?;
    loop {
        // Sends while it waits.
        let frame = conn.recv().await?;
        // A server in the middle of a transaction sends data after its CopyDone, too.
        if frame.code != MessageCode::COPY_DATA && reply.note(&frame.backend()?)? {
            return Ok(());
        }
    }
}
