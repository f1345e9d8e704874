//! Beginning and end of a COPY on a connection.

use core::fmt;
use core::future::poll_fn;

use crate::basic::code::MessageCode;
use crate::basic::enums::{CopyFormat, TransactionStatus};
use crate::basic::error::DecodeError;
use crate::client::protocol::PgProtocol;
use crate::codec::frame::Frame;
use crate::connection::channel::Channel;
use crate::connection::error::Error;
use crate::connection::stream::Transport;
use crate::connection::until_ready::Outcome;
use crate::copy::{CopyError, CopyErrorKind};
use crate::message::backend::{CommandComplete, CopyInResponse, CopyOutResponse};
use crate::session::Observer;

/// Result of a COPY that has succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyComplete {
    /// Number of rows that the server has copied.
    pub rows: u64,
    /// Transaction status of the session.
    pub status: TransactionStatus,
}

/// The format that the server has announced for a COPY, and the number of columns.
pub(super) struct Announced {
    pub(super) is_binary: bool,
    pub(super) columns: usize,
}

/// Progress of [`Channel::end_copy`]. The caller stores this value outside the future of `end_copy`, so that no error of the server is
/// lost when the future is dropped.
pub(super) struct End<E> {
    outcome: Outcome<E>,
    pub(super) rows: RowCount,
}

impl<E: From<Error>> End<E> {
    pub(super) fn new() -> Self {
        Self::after(RowCount::default())
    }

    /// Creates the progress for a caller that may have received the CommandComplete itself. `rows` is the row count that the caller has
    /// stored.
    pub(super) fn after(rows: RowCount) -> Self {
        Self { outcome: Outcome::new(), rows }
    }
}

/// Number of rows in the first CommandComplete of a COPY; `None` before this message has been received.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowCount(Option<u64>);

impl RowCount {
    /// Takes the number of rows from the CommandComplete of a COPY. Ignores the CommandComplete of any other command in the query string.
    pub(super) fn record(&mut self, frame: Frame<'_>) -> Result<(), DecodeError> {
        if self.0.is_none() {
            let complete = frame.decode::<CommandComplete<'_>>()?;
            if complete.command().as_bytes() == b"COPY" {
                self.0 = complete.rows();
            }
        }
        Ok(())
    }

    /// Returns the result of a COPY after ReadyForQuery.
    pub(super) fn complete(self, status: TransactionStatus) -> Result<CopyComplete, Error> {
        match self.0 {
            Some(rows) => Ok(CopyComplete { rows, status }),
            None => {
                let kind = CopyErrorKind::Unexpected("CommandComplete with the number of rows");
                Err(CopyError::new(kind).into())
            }
        }
    }
}

impl<E> fmt::Debug for End<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").field("rows", &self.rows.0).finish_non_exhaustive()
    }
}

impl<T: Transport, O: Observer> Channel<'_, T, O> {
    /// Sends a COPY statement, and waits until the server begins the COPY with the message `begin`.
    pub(super) async fn begin_copy(&mut self, sql: &str, begin: MessageCode) -> Result<Announced, Error> {
        let queued = self.conn.outgoing.outbox.batch().len();
        self.query(sql);
        match self.flush().await {
            // After `InboxFull`, the loop below receives messages and continues to send.
            Ok(()) | Err(Error::InboxFull) => {}
            Err(error) => {
                if matches!(error, Error::QueueFull(_)) {
                    // If the statement stayed queued, the next flush of the caller would begin the COPY.
                    self.conn.outgoing.outbox.truncate_batch(queued);
                }
                return Err(error);
            }
        }
        loop {
            let head = match poll_fn(|cx| self.poll_head(cx)).await {
                Ok(head) => head,
                Err(error) => return Err(self.abandon_copy(error).await),
            };
            if head.code() == begin {
                // This message begins the COPY, and stays in the inbox while it is decoded. So if the decoding fails, `abandon_copy`
                // receives this message and ends the COPY.
                return match announced(self.conn.incoming.inbox.look(&head)) {
                    Ok(announced) => self.lend(head).map(|_| announced),
                    Err(error) => Err(self.abandon_copy(error).await),
                };
            }
            match head.code() {
                MessageCode::ERROR_RESPONSE
                | MessageCode::READY_FOR_QUERY
                | MessageCode::COPY_IN_RESPONSE
                | MessageCode::COPY_OUT_RESPONSE
                | MessageCode::COPY_BOTH_RESPONSE => {
                    match self.end_copy(&mut End::<Error>::new(), |_| Ok(())).await {
                        // `Error::Copy` means that the server has sent no CommandComplete with a number of rows. The error after this
                        // `match` is better: it names the message that was expected.
                        Ok(_) | Err(Error::Copy(_)) => {}
                        Err(error) => return Err(error),
                    }
                    let expected = if begin == MessageCode::COPY_IN_RESPONSE {
                        "CopyInResponse, the reply to COPY FROM STDIN"
                    } else {
                        "CopyOutResponse, the reply to COPY TO STDOUT"
                    };
                    return Err(CopyError::new(CopyErrorKind::Unexpected(expected)).into());
                }
                _ => {
                    self.recv().await?;
                }
            }
        }
    }

    /// Ends a COPY after an error, and returns the error. If the error is not fatal, first receives messages up to ReadyForQuery. If
    /// the connection fails meanwhile, returns the fatal error of the connection instead.
    async fn abandon_copy(&mut self, error: Error) -> Error {
        if error.is_fatal() {
            return error;
        }
        match self.end_copy(&mut End::<Error>::new(), |_| Ok(())).await {
            Err(fatal) if fatal.is_fatal() => fatal,
            _ => error,
        }
    }

    /// Receives messages up to ReadyForQuery, as [`until_ready`](crate::Connection::until_ready) does. If the query string contains a
    /// second COPY, this method ends the second COPY, because the server would otherwise wait for data for ever. If the future is dropped,
    /// a call with the same `end` continues to receive.
    pub(super) async fn end_copy<E: From<Error>>(
        &mut self,
        end: &mut End<E>,
        mut each: impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<CopyComplete, E> {
        let End { outcome, rows } = end;
        loop {
            let received = self.recv().await;
            let code = received.as_ref().ok().map(|frame| frame.code);
            let ended = outcome.take(received, &mut |frame| {
                if frame.code == MessageCode::COMMAND_COMPLETE {
                    rows.record(frame).map_err(Error::from)?;
                }
                each(frame)
            });
            if let Some(ended) = ended {
                return Ok(rows.complete(ended?)?);
            }
            match code {
                Some(MessageCode::COPY_IN_RESPONSE) => self.copy_fail("the client expects no other COPY"),
                Some(MessageCode::COPY_BOTH_RESPONSE) => self.copy_done(),
                _ => continue,
            };
            match self.flush().await {
                // After `InboxFull`, the next round of the loop receives a message, which makes room, and continues to send.
                Ok(()) | Err(Error::InboxFull) => {}
                // After a failed write, this loop continues to receive, because the last messages of the server may still arrive. The next
                // call that sends returns the stored error.
                Err(error) if error.is_fatal() => self.conn.outgoing.keep(error),
                // The message that ends the COPY was not sent. The server waits for this message, so this loop must not wait for the
                // server.
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn announced(frame: Frame<'_>) -> Result<Announced, Error> {
    let (format, columns) = if frame.code == MessageCode::COPY_IN_RESPONSE {
        let response = frame.decode::<CopyInResponse<'_>>()?;
        (response.format, response.columns)
    } else {
        let response = frame.decode::<CopyOutResponse<'_>>()?;
        (response.format, response.columns)
    };
    Ok(Announced { is_binary: format != CopyFormat::Text, columns: columns.len() })
}
