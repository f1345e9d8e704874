//! Replication commands and their answers.

use std::fmt::Display;

use pg_stream_tokio::pg_auth::config::Replication;
use pg_stream_tokio::{Config, Connection, PgProtocol, Session, connect};
use pg_wire::backend::{Backend, DataRow};
use pg_wire::replication::command::{IdentifySystem, Show};
use pg_wire::replication::reply::{FromReply, SystemIdentification};
use pg_wire::value::Columns;
use pg_wire::{FrameBuf, Message};

use crate::failure::Failure;
use crate::resume::Place;
use crate::segment::SegmentSize;

/// The rows of an answer, with their columns.
#[derive(Debug)]
pub(crate) struct Rows(Vec<(Columns, FrameBuf)>);

impl Rows {
    /// Decodes the row at `index`.
    pub(crate) fn row<'a, T: FromReply<'a>>(&'a self, index: usize) -> Result<T, Failure> {
        let Some((columns, row)) = self.0.get(index) else {
            return Err(Failure::Answer(format!(
                "the server's answer has {} rows and no row {index}",
                self.0.len()
            )));
        };
        Ok(T::from_reply(columns, &row.frame().decode::<DataRow<'_>>()?)?)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the first value of the only row.
    fn value(&self) -> Result<String, Failure> {
        let [(columns, row)] = &self.0[..] else {
            return Err(Failure::Answer(format!("the server answered SHOW with {} rows", self.0.len())));
        };
        let (value,) = columns.decode(&row.frame().decode::<DataRow<'_>>()?)?;
        Ok(value)
    }
}

/// Makes a connection for physical replication.
pub(crate) async fn walsender(config: &Config) -> Result<(Connection, Session), Failure> {
    Ok(connect(&config.clone().replication(Replication::Physical)).await?)
}

/// Sends a command, and receives its answer.
pub(crate) async fn ask(conn: &mut Connection, command: &impl Display) -> Result<Rows, Failure> {
    conn.query(command.to_string().as_str()).flush().await?;
    answer(conn).await
}

/// Receives an answer up to ReadyForQuery or the start of a copy.
pub(crate) async fn answer(conn: &mut Connection) -> Result<Rows, Failure> {
    let (mut rows, mut columns, mut failure) = (Vec::new(), Columns::default(), None);
    loop {
        let frame = match conn.recv().await {
            Ok(frame) => frame,
            // An error that the server has reported explains why the connection ended, so this error is returned instead of `error`.
            Err(error) => return Err(failure.map_or(error.into(), Failure::Server)),
        };
        let message = frame.backend()?;
        columns.follow(&message)?;
        match message {
            Backend::DataRow(_) => rows.push((columns.clone(), frame.to_owned())),
            Backend::ErrorResponse(error) => failure = Some(error.to_owned()),
            Backend::ReadyForQuery(_) | Backend::CopyOutResponse(_) => {
                return failure.map_or(Ok(Rows(rows)), |error| Err(Failure::Server(error)));
            }
            Backend::CommandComplete(_)
            | Backend::RowDescription(_)
            | Backend::NoticeResponse(_)
            | Backend::ParameterStatus(_) => {}
            other => {
                return Err(Failure::Answer(format!(
                    "the server sent {} in answer to a command",
                    other.name()
                )));
            }
        }
    }
}

/// The server's identity and its settings for WAL files.
#[derive(Clone, Debug)]
pub(crate) struct System {
    pub(crate) id: String,
    /// The latest timeline of the server, and the position up to which its WAL is flushed.
    pub(crate) place: Place,
    pub(crate) size: SegmentSize,
    /// Whether `data_directory_mode` allows the group of the server's files to read them. If so, the files of pg-receive get the same
    /// permission.
    pub(crate) for_group: bool,
}

impl System {
    pub(crate) async fn of(conn: &mut Connection) -> Result<Self, Failure> {
        let reply = ask(conn, &IdentifySystem).await?;
        let system: SystemIdentification<'_> = reply.row(0)?;
        let setting = ask(conn, &Show("wal_segment_size")).await?.value()?;
        let size = SegmentSize::parse(&setting)
            .ok_or_else(|| Failure::Answer(format!("the server's wal_segment_size is \"{setting}\"")))?;
        let mode = ask(conn, &Show("data_directory_mode")).await?.value()?;
        Ok(Self {
            id: system.system_id.to_owned(),
            place: Place { timeline: system.timeline, position: system.position },
            size,
            for_group: u32::from_str_radix(&mode, 8).is_ok_and(|mode| mode & 0o050 == 0o050),
        })
    }
}
