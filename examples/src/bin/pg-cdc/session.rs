//! A connection before the stream starts: runs SQL and replication commands, creates and drops the slot, and starts the stream.

use std::path::Path;
use std::time::Duration;

use pg_stream_tokio::pg_auth::config::Replication;
use pg_stream_tokio::{Columns, Config, Connection, PgProtocol, ReplicationStream, Socket, SqlState};
use pg_wire::backend::{Backend, DataRow};
use pg_wire::replication::command::{
    CreateReplicationSlot, DropReplicationSlot, IdentifySystem, PgOutput, Snapshot, StartLogical,
    TimelineHistory,
};
use pg_wire::replication::pgoutput::{Table, Transactions};
use pg_wire::replication::reply::{CreatedSlot, FromReply, SystemIdentification, TimelineHistoryFile};
use pg_wire::replication::{Lsn, StandbyStatus};

use crate::arguments::Task;
use crate::failure::Failure;
use crate::spill::Spills;
use crate::value::Types;

/// The stream of changes. [`Spills`] stores transactions that the server sends while they are still in progress.
pub(crate) type Stream = ReplicationStream<Socket, Transactions<Spills>>;

/// A connection to the server on which no stream has started.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) conn: Connection,
    /// Major version of the server.
    pub(crate) version: u32,
}

/// Reply to IDENTIFY_SYSTEM: the system identifier and the timeline of the server, and the end of its WAL.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) id: String,
    pub(crate) timeline: u32,
    pub(crate) end: Lsn,
}

impl Session {
    /// Connects to the server in the mode for logical replication.
    pub(crate) async fn connect(config: &Config) -> Result<Self, Failure> {
        Self::open(&config.clone().replication(Replication::Logical)).await
    }

    /// Connects with this configuration. The session accepts replication commands only if the configuration sets `replication`.
    pub(crate) async fn open(config: &Config) -> Result<Self, Failure> {
        let (conn, session) = pg_stream_tokio::connect(config).await?;
        let version = session.parameters.get("server_version").unwrap_or_default();
        let version =
            version.split(|c: char| !c.is_ascii_digit()).next().and_then(|major| major.parse().ok());
        Ok(Self { conn, version: version.unwrap_or_default() })
    }

    /// Runs SQL statements or one replication command. Calls `each` with every row of the result.
    pub(crate) async fn ask(
        &mut self,
        sql: &str,
        mut each: impl FnMut(&Columns, &DataRow<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.conn.query(sql).flush().await?;
        let (mut columns, mut failure) = (Columns::default(), None);
        loop {
            let message = self.conn.recv().await?;
            let message = message.backend()?;
            columns.follow(&message)?;
            let outcome = match message {
                Backend::DataRow(row) => each(&columns, &row),
                Backend::ErrorResponse(error) => Err(Failure::Server(error.to_owned())),
                Backend::ReadyForQuery(_) => return failure.map_or(Ok(()), Err),
                _ => Ok(()),
            };
            if let Err(error) = outcome {
                failure.get_or_insert(error);
            }
        }
    }

    /// Runs SQL statements. Returns the rows with their values as text; `None` stands for NULL.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let mut rows = Vec::new();
        self.ask(sql, |_, row| {
            let values = row
                .values
                .into_iter()
                .map(|value| Ok(value?.map(|value| String::from_utf8_lossy(value).into_owned())));
            rows.push(values.collect::<Result<_, Failure>>()?);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Runs IDENTIFY_SYSTEM, and returns its reply.
    pub(crate) async fn identify(&mut self) -> Result<System, Failure> {
        let mut system = None;
        self.ask(&IdentifySystem.to_string(), |columns, row| {
            let reply = SystemIdentification::from_reply(columns, row)?;
            system =
                Some(System { id: reply.system_id.into(), timeline: reply.timeline, end: reply.position });
            Ok(())
        })
        .await?;
        system.ok_or(Failure::Misplaced("CommandComplete"))
    }

    /// Returns the position at which the timeline `former` ended. A new primary shares the WAL of the former primary only up to this
    /// position. Returns `None` if `former` is no ancestor of the timeline `present`.
    pub(crate) async fn end_of_timeline(
        &mut self,
        former: u32,
        present: u32,
    ) -> Result<Option<Lsn>, Failure> {
        let mut end = None;
        self.ask(&TimelineHistory(present).to_string(), |columns, row| {
            let file = TimelineHistoryFile::from_reply(columns, row)?;
            end = switch_point(&String::from_utf8_lossy(file.content), former);
            Ok(())
        })
        .await?;
        Ok(end)
    }

    /// Returns the end of the WAL, including WAL that is not flushed yet.
    pub(crate) async fn end_of_wal(&mut self) -> Result<Lsn, Failure> {
        let sql = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
                   ELSE pg_catalog.pg_current_wal_insert_lsn() END, \
                   pg_catalog.current_setting('wal_block_size')";
        let rows = self.rows(sql).await?;
        let [row] = rows.as_slice() else { return Err(Failure::Misplaced("reply")) };
        let [Some(lsn), Some(block)] = row.as_slice() else { return Err(Failure::Misplaced("reply")) };
        let (Ok(lsn), Ok(block)) = (lsn.parse::<Lsn>(), block.parse::<u64>()) else {
            return Err(Failure::Misplaced("reply"));
        };
        Ok(before_page_header(lsn, block))
    }

    /// Reads from the catalog all types that are not built in, and adds them to `types`.
    pub(crate) async fn load_types(&mut self, types: &mut Types) -> Result<(), Failure> {
        for row in self.rows(Types::SQL).await? {
            let [Some(type_oid), Some(typtype), Some(name), Some(category), other] = row.as_slice() else {
                return Err(Failure::Misplaced("reply"));
            };
            let number = |text: &str| text.parse().map_err(|_| Failure::Misplaced("reply"));
            let other = number(other.as_deref().unwrap_or("0"))?;
            types.add(number(type_oid)?, typtype, name, category, other);
        }
        Ok(())
    }

    /// Whether the slot exists. If it exists but is not usable for this program, returns an error.
    pub(crate) async fn has_slot(&mut self, slot: &str) -> Result<bool, Failure> {
        let sql = format!(
            "SELECT plugin, database = pg_catalog.current_database() FROM pg_catalog.pg_replication_slots \
             WHERE slot_name = {}",
            literal(slot)
        );
        let rows = self.rows(&sql).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        match row.as_slice() {
            [Some(plugin), Some(here)] if plugin == "pgoutput" && here == "t" => Ok(true),
            [Some(plugin), _] if plugin != "pgoutput" => {
                Err(Failure::Refused(format!("slot {slot} is for the plugin {plugin}, not for pgoutput")))
            }
            [Some(_), _] => Err(Failure::Refused(format!("slot {slot} belongs to another database"))),
            _ => Err(Failure::Refused(format!("slot {slot} is a physical slot, not a logical slot"))),
        }
    }

    /// Creates the slot. Returns the position from which on the slot delivers all changes.
    pub(crate) async fn create_slot(&mut self, task: &Task, snapshot: Snapshot) -> Result<Lsn, Failure> {
        let mut create = CreateReplicationSlot::logical(&task.slot, "pgoutput").snapshot(snapshot);
        if task.temporary {
            create = create.temporary();
        } else if self.version >= 18 || self.version == 17 && !task.two_phase {
            // PostgreSQL 17 allows `failover` only without `two_phase`.
            create = create.failover();
        }
        if task.two_phase {
            create = create.two_phase();
        }
        let create = match create.legacy() {
            Some(legacy) if self.version < 15 => legacy.to_string(),
            _ => create.to_string(),
        };
        let mut point = None;
        self.ask(&create, |columns, row| {
            point = Some(CreatedSlot::from_reply(columns, row)?.consistent_point);
            Ok(())
        })
        .await?;
        point.ok_or(Failure::Misplaced("CommandComplete"))
    }

    /// Drops the slot if it exists.
    pub(crate) async fn drop_slot(&mut self, slot: &str) -> Result<(), Failure> {
        let drop = DropReplicationSlot { slot, wait: true }.to_string();
        match self.ask(&drop, |_, _| Ok(())).await {
            Err(failure) if failure.has_state(SqlState::UNDEFINED_OBJECT) => Ok(()),
            outcome => outcome,
        }
    }

    /// Starts the stream of changes at the position `start`. `dir` is the directory for temporary files.
    pub(crate) async fn start(mut self, task: &Task, start: Lsn, dir: &Path) -> Result<Stream, Failure> {
        let publications: Vec<&str> = task.publications.iter().map(String::as_str).collect();
        let version = match (task.two_phase, task.streaming) {
            (true, _) => 3,
            (false, true) => 2,
            (false, false) => 1,
        };
        let mut options = PgOutput::new(version, &publications);
        if self.version >= 14 {
            options = options.messages(true);
        }
        if task.binary {
            options = options.binary(true);
        }
        if task.streaming {
            options = options.streaming(true);
        }
        if task.two_phase {
            options = options.two_phase(true);
        }
        let pause = self.status_interval().await?;
        let command = StartLogical::new(&task.slot, start).pgoutput(&options);
        match ReplicationStream::start(self.conn, &command).await {
            Ok(stream) => Ok(stream.interval(pause).transactions(Spills::new(dir.into()))),
            Err(error) => Err(error.error.into()),
        }
    }

    /// Returns the time between two status updates. It is a quarter of `wal_sender_timeout`, the time after which the server disconnects,
    /// but not more than the default interval.
    async fn status_interval(&mut self) -> Result<Duration, Failure> {
        let sql = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'";
        let rows = self.rows(sql).await?;
        let limit = rows.first().and_then(|row| row.first()?.as_ref()?.parse::<u64>().ok());
        Ok(match limit {
            Some(limit @ 1..) => Duration::from_millis(limit / 4).min(StandbyStatus::DEFAULT_INTERVAL),
            _ => StandbyStatus::DEFAULT_INTERVAL,
        })
    }
}

/// Reads unknown types of a table from the catalog, on a separate connection.
pub(crate) async fn look_up(config: &Config, types: &mut Types, table: &Table) {
    // An error is ignored: if a type could not be read, the code below records it as unknown.
    if let Ok(mut session) = Session::open(config).await {
        let _ = session.load_types(types).await;
        let _ = session.conn.terminate().close().await;
    }
    table.columns.iter().for_each(|column| types.miss(column.type_oid));
}

/// Finds the end of a timeline in a history file. The file has a line for each ancestor, with its timeline, the position of its end, and a
/// reason.
fn switch_point(history: &str, timeline: u32) -> Option<Lsn> {
    history.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let number: u32 = words.next()?.parse().ok()?;
        if number == timeline { words.next()?.parse().ok() } else { None }
    })
}

/// Converts the insert position of the server to the end of the last WAL record. The next record will begin at the insert position. The two
/// positions differ if the last record ends at the end of a page: the insert position is then after the header of the next page.
fn before_page_header(lsn: Lsn, block: u64) -> Lsn {
    const SHORT_HEADER: u64 = 24;
    const LONG_HEADER: u64 = 40;
    match lsn.0.checked_rem(block) {
        Some(offset @ (SHORT_HEADER | LONG_HEADER)) => Lsn(lsn.0 - offset),
        _ => lsn,
    }
}

/// Formats a string as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// Formats a name as a quoted SQL identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_strings_are_quoted() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn the_end_of_a_timeline_is_in_the_history_of_the_next_timeline() {
        let history = "1\t0/3000000\tno recovery target specified\n\n2\t0/5000060\tbefore 2026-11-27\n";
        assert_eq!(switch_point(history, 1), Some(Lsn(0x300_0000)));
        assert_eq!(switch_point(history, 2), Some(Lsn(0x500_0060)));
        assert_eq!(switch_point(history, 3), None);
    }

    #[test]
    fn the_end_of_the_wal_is_not_after_a_page_header() {
        assert_eq!(before_page_header(Lsn(3 * 8192 + 24), 8192), Lsn(3 * 8192));
        assert_eq!(before_page_header(Lsn(1 << 24 | 40), 8192), Lsn(1 << 24));
        assert_eq!(before_page_header(Lsn(3 * 8192 + 32), 8192), Lsn(3 * 8192 + 32));
    }
}
