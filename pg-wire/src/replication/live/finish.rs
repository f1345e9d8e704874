//! Ends a replication stream, up to the ReadyForQuery of the server.

use crate::basic::code::MessageCode;
use crate::client::PgProtocol;
use crate::connection::{Connection, Error, Transport};
use crate::replication::live::clock::Clock;
use crate::replication::live::core::{Core, Driver, Phase};
use crate::replication::live::error::{StreamError, StreamErrorKind};
use crate::replication::live::send::put;
use crate::replication::live::start::Reply;
use crate::replication::live::whole::ReplicationStream;
use crate::replication::reply::NextTimeline;

/// Result of ending a replication stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished<T> {
    /// The connection, which accepts commands again. PostgreSQL requires a new connection for a second logical stream.
    pub connection: Connection<T>,
    /// The next timeline, if the server has ended a physical stream at the end of its timeline.
    pub next_timeline: Option<NextTimeline>,
}

impl<T: Transport, C: Clock, P> ReplicationStream<T, C, P> {
    /// Reports the positions that the caller has declared, ends the copy in both directions, and waits for the ReadyForQuery of the server.
    /// Data that arrives before the ReadyForQuery is dropped. The dropped data is not confirmed, so the server sends this data again when
    /// the stream is resumed.
    ///
    /// `finish` returns the connection even after `next` has returned an error of the server, if this error is not fatal.
    ///
    /// # Errors
    /// Errors of the server and of the connection.
    pub async fn finish(self) -> Result<Finished<T>, StreamError> {
        let mut core = self.core;
        if core.phase != Phase::ServerFailed {
            put(&mut core.conn, &mut core.driver.status, &core.driver.clock);
            core.conn.copy_done();
            match core.conn.flush().await {
                // `InboxFull` means that the server reads nothing before the client has received the server's messages. This is no failure:
                // `drain` receives the messages, and continues to send.
                Ok(()) | Err(Error::InboxFull) => {}
                Err(error) => return Err(core.fail(error.into())),
            }
        }
        let next_timeline = drain(&mut core).await?;
        Ok(Finished { connection: core.conn, next_timeline })
    }
}

/// Receives and drops messages up to the ReadyForQuery. Returns the next timeline if the server sent one.
pub(super) async fn drain<T: Transport, P, D: Driver>(
    core: &mut Core<T, P, D>,
) -> Result<Option<NextTimeline>, StreamError> {
    let mut reply = Reply::default();
    match receive(&mut core.conn, &mut reply).await {
        Ok(()) => match reply.failure {
            Some(error) => Err(core.fail(StreamErrorKind::Server(error))),
            None => Ok(reply.next_timeline),
        },
        // If the server sent an error before the connection ended, returns this error, because this error explains the end of the
        // connection.
        Err(kind) => Err(core.fail(reply.failure.map_or(kind, StreamErrorKind::Server))),
    }
}

async fn receive<T: Transport>(conn: &mut Connection<T>, reply: &mut Reply) -> Result<(), StreamErrorKind> {
    loop {
        let frame = conn.recv().await?;
        // CopyData is dropped. If the copy ends in the middle of a transaction, the server sends CopyData even after its CopyDone.
        if frame.code != MessageCode::COPY_DATA && reply.note(&frame.backend()?)? {
            return Ok(());
        }
    }
}
