//! Example programs in `src/bin`, and the functions that most of them share.

use std::error::Error;
use std::fmt;

use pg_auth::{Session, TlsVersion};
use pg_stream_tokio::Config;
use pg_wire::backend::Backend;
use pg_wire::{Connection, Transport};

/// Parses the connection string: the program's first argument or, without an argument, the environment variable `DATABASE_URL`.
///
/// # Errors
/// There is no connection string, or it cannot be parsed.
pub fn config() -> Result<Config, Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("DATABASE_URL").ok());
    Ok(url.ok_or("no connection string: give one, or set DATABASE_URL")?.parse()?)
}

/// Describes the channel of a session: "in clear", "over TLSv1.3" or, with channel binding, "over TLSv1.3, bound to the login".
pub fn channel(session: &Session) -> String {
    let Some(tls) = &session.tls else { return "in clear".into() };
    let version = tls.version.map_or("TLS", TlsVersion::as_str);
    let bound = if session.channel_bound { ", bound to the login" } else { "" };
    format!("over {version}{bound}")
}

/// Receives messages up to the next ReadyForQuery, and passes every message before it to `each`.
///
/// An error from the server or from `each` is returned after ReadyForQuery, not earlier: the connection is then ready for the next query.
/// Notices and changed parameters may arrive between any two messages. To ignore them, end the `match` with the arm `_ => {}`.
///
/// ```
/// use pg_wire::{Connection, Limits, PgProtocol, backend::Backend, testing::{Script, block_on}};
///
/// # block_on(async {
/// // In place of a socket: the bytes that a server would send.
/// let socket = Script::sends(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
/// let mut conn = Connection::new(socket, Limits::BACKEND);
///
/// conn.query("SELECT 1").flush().await?;
/// let mut rows = None;
/// examples::until_ready(&mut conn, |message| {
///     if let Backend::CommandComplete(done) = message {
///         rows = done.rows();
///     }
///     Ok(())
/// })
/// .await?;
/// assert_eq!(rows, Some(1));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// - The first ErrorResponse from the server or the first error from `each`, whichever happens first.
/// - [`Unanswered`]: the server sent ReadyForQuery without a complete answer before it.
/// - An error of the connection, if no other error was reported before it.
pub async fn until_ready<T: Transport>(
    conn: &mut Connection<T>,
    mut each: impl FnMut(Backend<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut answer = Answer::default();
    let mut failure = None;
    loop {
        let frame = match conn.recv().await {
            Ok(frame) => frame,
            Err(error) => return Err(failure.unwrap_or_else(|| error.into())),
        };
        let message = frame.backend()?;
        answer.note(&message)?;
        let outcome = match message {
            Backend::ReadyForQuery(_) => return failure.map_or(Ok(()), Err),
            Backend::ErrorResponse(error) => Err(error.to_owned().into()),
            message => each(message),
        };
        if let Err(error) = outcome {
            failure.get_or_insert(error);
        }
    }
}

/// Checks that the messages before a ReadyForQuery are a complete answer.
///
/// A ReadyForQuery without messages before it is no answer, because some servers send a superfluous ReadyForQuery. Rows without a
/// CommandComplete are no answer either, because they may be only the first part of a result.
#[derive(Debug, Default)]
pub struct Answer {
    /// Whether at least one message of an answer has been received.
    has_begun: bool,
    /// Whether a result has begun and has not ended.
    is_open: bool,
    /// Whether the next RowDescription answers the Describe of a statement. If so, no rows follow the RowDescription.
    of_statement: bool,
}

/// Error: the server sent ReadyForQuery without a complete answer before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server sent ReadyForQuery without a complete answer before it")
    }
}

impl Error for Unanswered {}

impl Answer {
    /// Records the next message.
    ///
    /// # Errors
    /// The message is a ReadyForQuery, and the messages since the previous ReadyForQuery are no complete answer.
    pub fn note(&mut self, message: &Backend<'_>) -> Result<(), Unanswered> {
        match message {
            Backend::ReadyForQuery(_) => {
                let is_answer = self.has_begun && !self.is_open;
                *self = Self::default();
                return if is_answer { Ok(()) } else { Err(Unanswered) };
            }
            // Notices, notifications and changed parameters may arrive at any time, so they are not part of an answer.
            Backend::NoticeResponse(_) | Backend::NotificationResponse(_) | Backend::ParameterStatus(_) => {
                return Ok(());
            }
            Backend::ParameterDescription(_) => self.of_statement = true,
            Backend::RowDescription(_) => self.is_open = !std::mem::take(&mut self.of_statement),
            Backend::DataRow(_)
            | Backend::CopyInResponse(_)
            | Backend::CopyOutResponse(_)
            | Backend::CopyBothResponse(_)
            | Backend::CopyData(_) => self.is_open = true,
            Backend::CommandComplete(_)
            | Backend::PortalSuspended(_)
            | Backend::EmptyQueryResponse(_)
            | Backend::ErrorResponse(_) => self.is_open = false,
            _ => {}
        }
        self.has_begun = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::until_ready;
    use pg_wire::testing::{Script, block_on};
    use pg_wire::{Connection, Limits};

    const ROW: &[u8] =
        b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0D\0\0\0\x0b\0\x01\0\0\0\x017";
    const COMPLETE: &[u8] = b"C\0\0\0\x0dSELECT 1\0";
    const READY: &[u8] = b"Z\0\0\0\x05I";
    const NOTICE: &[u8] = b"N\0\0\0\x08Mx\0\0";

    /// Returns the error text of `until_ready` for a server that sends the messages in `script`. Returns `None` if there is no error.
    fn error(script: &[&[u8]]) -> Option<String> {
        let mut conn = Connection::new(Script::sends(&script.concat()), Limits::BACKEND);
        block_on(until_ready(&mut conn, |_| Ok(()))).err().map(|error| error.to_string())
    }

    #[test]
    fn a_ready_for_query_without_an_answer_is_an_error() {
        let unanswered = Some(super::Unanswered.to_string());
        assert_eq!(error(&[READY]), unanswered);
        assert_eq!(error(&[NOTICE, READY]), unanswered);
        assert_eq!(error(&[ROW, READY]), unanswered);
        assert_eq!(error(&[ROW, COMPLETE, ROW, READY]), unanswered);
        // The server sends the data of a COPY TO STDOUT, but no CommandComplete.
        assert_eq!(error(&[b"H\0\0\0\x07\0\0\0d\0\0\0\x06x\nc\0\0\0\x04", READY]), unanswered);
    }

    #[test]
    fn each_kind_of_answer_is_accepted() {
        assert_eq!(error(&[ROW, COMPLETE, NOTICE, READY]), None);
        // Complete answers without rows: EmptyQueryResponse, ParseComplete, PortalSuspended, FunctionCallResponse.
        for answer in [&b"I\0\0\0\x04"[..], b"1\0\0\0\x04", b"s\0\0\0\x04", b"V\0\0\0\x08\xff\xff\xff\xff"] {
            assert_eq!(error(&[answer, READY]), None, "{answer:?}");
        }
        // The answer to a Describe of a statement contains a RowDescription, and no rows. This answer is complete.
        assert_eq!(error(&[b"t\0\0\0\x06\0\0", &ROW[..27], READY]), None);
        assert_eq!(error(&[ROW, b"E\0\0\0\x0aMwhy\0\0", READY]), Some("why".into()));
    }
}
