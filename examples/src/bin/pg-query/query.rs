//! Runs a Query, and handles the messages of its answer.

use std::io;

use pg_stream_tokio::{Connection, PgProtocol};
use pg_wire::backend::{Backend, ServerError};
use pg_wire::{Columns, Error, Message};
use tokio::io::AsyncReadExt;

use crate::arguments::Task;
use crate::failure::Failure;
use crate::output::{BLOCK, Output};
use crate::report;

/// The state of the answer to a Query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The Query was not sent yet.
    NotAsked,
    /// The Query was sent, but no message of the answer was received yet.
    Nothing,
    /// The answer to a statement of the Query has begun, and is not complete.
    Begun,
    /// The answer that began last is complete. An error is a complete answer too.
    Complete,
}

/// A Query, and the state of its answer.
pub(crate) struct Query<'t> {
    conn: Connection,
    output: &'t mut Output,
    task: &'t Task,
    answer: Answer,
    columns: Columns,
    /// Whether a COPY TO STDOUT is sending data.
    copying_out: bool,
    /// Whether a COPY FROM STDIN is waiting for data.
    copying: bool,
    /// Whether a COPY FROM STDIN had no data, because the SQL was read from standard input.
    no_input: bool,
    /// Whether a Sync was sent because ReadyForQuery arrived without an answer to the Query. If the next ReadyForQuery also arrives without
    /// an answer, the Query fails.
    probed: bool,
    /// The first error that the server reported.
    refusal: Option<ServerError>,
}

impl<'t> Query<'t> {
    pub(crate) fn new(conn: Connection, output: &'t mut Output, task: &'t Task) -> Self {
        Self {
            conn,
            output,
            task,
            answer: Answer::NotAsked,
            columns: Columns::default(),
            copying_out: false,
            copying: false,
            no_input: false,
            probed: false,
            refusal: None,
        }
    }

    /// Sends the Query, and prints the answer up to its ReadyForQuery.
    pub(crate) async fn run(&mut self) -> Result<(), Failure> {
        // Handles the messages that have already arrived. The Query is not sent yet, so these messages are not part of its answer.
        self.receive().await?;
        self.conn.query(self.task.sql.as_slice());
        self.answer = Answer::Nothing;
        let mut stdin = tokio::io::stdin();
        let mut block = vec![0; BLOCK];
        loop {
            tokio::select! {
                biased;
                heard = self.output.heard() => heard?,
                moved = advance(&mut self.conn) => {
                    moved?;
                    let is_last = self.receive().await?;
                    self.output.flush().await?;
                    if is_last {
                        return Ok(());
                    }
                }
                read = stdin.read(&mut block), if self.copying && self.conn.outbox().is_empty() => {
                    self.copy(read.map(|count| &block[..count]));
                }
            }
            // A server that waits for COPY data does not react to a cancel request, so the client ends the COPY.
            if self.copying && self.output.interrupts.has_given_up() {
                self.fail_copy("interrupted by the user");
            }
        }
    }

    /// Ends the session. Returns the outcome of the task, which depends on the outcome of the Query and on the first error that the server
    /// reported.
    pub(crate) async fn end(mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        if outcome.is_ok() {
            // A failure to send Terminate does not change the outcome of the task.
            let _ = self.conn.terminate().close().await;
        }
        match (outcome, self.refusal) {
            (Ok(()), Some(error)) if self.no_input => Err(Failure::NoInput(error)),
            (Ok(()), Some(error)) => Err(Failure::Server(error)),
            // The connection ended after an error of the server. This error is reported as the reason for the end.
            (Err(Failure::Connection(Error::Io(_) | Error::Closed { .. })), Some(error)) => {
                Err(Failure::Ended(error))
            }
            (outcome, _) => outcome,
        }
    }

    /// Handles the buffered messages. Returns true if the answer to the Query is complete.
    async fn receive(&mut self) -> Result<bool, Failure> {
        let Self { conn, output, task, answer, columns, copying_out, copying, no_input, probed, refusal } =
            self;
        let mut probe = false;
        let mut end_of_copy = None;
        let mut is_last = false;
        while let Some(frame) = conn.try_recv()? {
            let message = frame.backend()?;
            columns.follow(&message)?;
            match message {
                Backend::DataRow(row) => {
                    let mut separator: &[u8] = b"";
                    for value in row.values {
                        output.put(separator).await?;
                        output.put(value?.unwrap_or(b"\\N")).await?;
                        separator = b"\t";
                    }
                    output.put(b"\n").await?;
                }
                Backend::CopyData(copy) if *copying_out => output.put(copy.data.0).await?,
                Backend::RowDescription(_) => *answer = Answer::Begun,
                Backend::CopyOutResponse(_) => {
                    *answer = Answer::Begun;
                    *copying_out = true;
                }
                Backend::CopyDone(_) => *copying_out = false,
                Backend::CopyInResponse(_) => {
                    *answer = Answer::Begun;
                    if output.interrupts.has_given_up() {
                        end_of_copy = Some("interrupted by the user");
                    } else if task.from_stdin {
                        *no_input = true;
                        end_of_copy = Some("standard input held the SQL");
                    } else {
                        *copying = true;
                    }
                }
                Backend::CommandComplete(complete) => {
                    *answer = Answer::Complete;
                    if task.tags {
                        output.say(report::escaped(&complete.tag.to_string_lossy())).await?;
                    }
                }
                Backend::EmptyQueryResponse(_) => *answer = Answer::Complete,
                Backend::ErrorResponse(error) => {
                    *answer = Answer::Complete;
                    (*copying, *copying_out) = (false, false);
                    refusal.get_or_insert(error.to_owned());
                }
                Backend::NoticeResponse(notice) => output.say(report::notice(notice.fields)).await?,
                Backend::NotificationResponse(notification) => {
                    let channel = notification.channel.to_string_lossy();
                    let payload = notification.payload.to_string_lossy();
                    output.say(report::notification(&channel, &payload, notification.pid)).await?;
                }
                Backend::ParameterStatus(_) => {}
                Backend::ReadyForQuery(_) => match answer {
                    Answer::Complete => {
                        is_last = true;
                        break;
                    }
                    Answer::Begun => return Err(Failure::Unanswered),
                    Answer::Nothing if *probed => return Err(Failure::Unanswered),
                    Answer::NotAsked | Answer::Nothing => {
                        output
                            .say("pg-query: a ReadyForQuery that answers no Query was skipped".into())
                            .await?;
                        // The answer to the Query may still arrive, because some servers send a superfluous ReadyForQuery. So a Sync is
                        // sent: the server must answer the Query before the Sync. If the ReadyForQuery of the Sync arrives first, the Query
                        // fails (see `probed`).
                        probe = *answer == Answer::Nothing;
                        *probed = probe;
                    }
                },
                message => return Err(Failure::Misplaced(message.name())),
            }
        }
        if probe {
            conn.sync();
        }
        if let Some(reason) = end_of_copy {
            self.fail_copy(reason);
        }
        Ok(is_last)
    }

    /// Queues a block of standard input for the COPY. An empty block ends the data. If `read` is an error, queues CopyFail.
    fn copy(&mut self, read: io::Result<&[u8]>) {
        self.copying = matches!(read, Ok([_, ..]));
        match read {
            Ok([]) => self.conn.copy_done(),
            Ok(data) => self.conn.copy_data(data),
            Err(error) => self.conn.copy_fail(&format!("cannot read standard input: {error}")),
        };
    }

    fn fail_copy(&mut self, reason: &str) {
        self.copying = false;
        self.conn.copy_fail(reason);
    }
}

/// Sends the queued bytes. When all of them are sent, waits for a message.
async fn advance(conn: &mut Connection) -> Result<(), Failure> {
    if !conn.outbox().is_empty() {
        match conn.flush().await {
            // The inbox is full: the caller has to handle messages before more bytes can be sent.
            Ok(()) | Err(Error::InboxFull) => return Ok(()),
            // Sending failed. The server's last message may contain the reason, so messages are received below.
            Err(Error::Io(_) | Error::Poisoned(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(conn.ready().await?)
}
