//! Starts a replication stream: sends START_REPLICATION, and waits until the copy begins.

use alloc::boxed::Box;
use alloc::string::ToString;
use core::fmt;
use core::time::Duration;

use crate::client::PgProtocol;
use crate::connection::{Connection, Transport};
use crate::message::backend::{Backend, ServerError};
use crate::replication::command::{StartLogical, StartPhysical};
use crate::replication::live::error::{StartError, StreamError, StreamErrorKind};
use crate::replication::reply::{FromReply, NextTimeline};
use crate::replication::status::StandbyStatus;
use crate::value::Columns;

/// A command that starts a stream: [`StartLogical`] or [`StartPhysical`].
pub trait StartCommand: fmt::Display + sealed::Sealed {
    /// Creates the status of a stream that this command starts at the time `now`.
    fn status(&self, now: Duration) -> StandbyStatus;
}

impl StartCommand for StartLogical<'_> {
    fn status(&self, now: Duration) -> StandbyStatus {
        StandbyStatus::logical(self.position(), now)
    }
}

impl StartCommand for StartPhysical<'_> {
    fn status(&self, now: Duration) -> StandbyStatus {
        StandbyStatus::physical(self.position(), now)
    }
}

mod sealed {
    use crate::replication::command::{StartLogical, StartPhysical};

    pub trait Sealed {}
    impl Sealed for StartLogical<'_> {}
    impl Sealed for StartPhysical<'_> {}
}

/// Sends the command, and waits for the CopyBothResponse, with which the copy begins.
pub(super) async fn start<T: Transport>(
    mut conn: Connection<T>,
    command: &impl StartCommand,
) -> Result<Connection<T>, StartError<T>> {
    match begin(&mut conn, &command.to_string()).await {
        Ok(()) => Ok(conn),
        Err(kind) => Err(StartError {
            error: StreamError { at: command.status(Duration::ZERO).received(), kind },
            connection: Box::new(conn),
        }),
    }
}

async fn begin<T: Transport>(conn: &mut Connection<T>, command: &str) -> Result<(), StreamErrorKind> {
    conn.query(command).flush().await?;
    let mut reply = Reply::default();
    loop {
        match conn.recv().await {
            Ok(frame) => match frame.backend()? {
                Backend::CopyBothResponse(_) => return Ok(()),
                message => {
                    if reply.note(&message)? {
                        break;
                    }
                }
            },
            // If the server sent an error before the connection ended, returns this error, because this error explains the end of the
            // connection.
            Err(error) => return Err(reply.failure.map_or(error.into(), StreamErrorKind::Server)),
        }
    }
    Err(match (reply.failure, reply.next_timeline) {
        (Some(error), _) => StreamErrorKind::Server(error),
        (None, Some(next)) => StreamErrorKind::TimelineEnds(next),
        (None, None) => StreamErrorKind::Unexpected(crate::MessageCode::READY_FOR_QUERY),
    })
}

/// Content of the messages that the server sends after the copy, or instead of the copy.
#[derive(Default)]
pub(super) struct Reply {
    pub(super) failure: Option<ServerError>,
    pub(super) next_timeline: Option<NextTimeline>,
    columns: Columns,
}

impl Reply {
    /// Stores the content of a message. Returns `true` if the message is a ReadyForQuery.
    pub(super) fn note(&mut self, message: &Backend<'_>) -> Result<bool, StreamErrorKind> {
        self.columns.follow(message)?;
        match message {
            Backend::DataRow(row) => self.next_timeline = Some(NextTimeline::from_reply(&self.columns, row)?),
            Backend::ErrorResponse(error) => self.failure = Some(error.to_owned()),
            Backend::ReadyForQuery(_) => return Ok(true),
            _ => {}
        }
        Ok(false)
    }
}
