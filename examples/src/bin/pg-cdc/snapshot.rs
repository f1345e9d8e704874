//! Writes a snapshot: the rows of the published tables at the moment at which the slot is created.

use pg_stream_tokio::{PgProtocol, SqlState};
use pg_wire::backend::Backend;
use pg_wire::replication::Lsn;
use pg_wire::replication::command::Snapshot;
use pg_wire::replication::pgoutput::{ReplicaIdentity, Table, TableColumn, Tuple, TupleValue};
use tokio::sync::oneshot;

use crate::arguments::Task;
use crate::changes::BLOCK;
use crate::copy::{Rows, values};
use crate::failure::Failure;
use crate::line::{Format, Line};
use crate::output::{Output, Piece};
use crate::session::{Session, identifier, literal};
use crate::signals::Signals;
use crate::table::{has_key, put_key, put_name, put_row as put_values};
use crate::value::Types;

/// A published table whose rows are copied into the snapshot.
#[derive(Debug)]
struct Source {
    table: Table,
    /// The COPY statement that reads the rows of the table.
    sql: String,
}

/// Creates the slot and writes the snapshot. Returns the position from which the stream contains the changes after the snapshot.
///
/// Before the slot is created, the output records that a snapshot begins. If the program is killed during the snapshot, its connection
/// closes, and the server forgets the snapshot. The next start finds the record, drops the slot, removes the lines of the snapshot from the
/// output, and takes a new snapshot with a new slot.
pub(crate) async fn take(
    session: &mut Session,
    task: &Task,
    types: &Types,
    output: &Output,
    signals: &mut Signals,
) -> Result<Lsn, Failure> {
    let mut lines = Vec::new();
    Line::start(&mut lines, task.format, "snapshot_begin", Lsn::INVALID).string("slot", &task.slot).end();
    answered(output, |done| Piece::BeginSnapshot(lines, done)).await?;
    let outcome = tokio::select! {
        outcome = write(session, task, types, output) => outcome,
        stopped = signals.next() => Err(stopped.err().unwrap_or(Failure::Interrupted("during the snapshot"))),
    };
    let failure = match &outcome {
        // The snapshot is complete, so a signal does not interrupt the wait for the output thread.
        Ok(_) => return answered(output, Piece::Settle).await.and(outcome),
        Err(failure) => failure,
    };
    if !failure.is_temporary() && !matches!(failure, Failure::Interrupted(_)) {
        // Drops the slot of the failed snapshot. If the slot already existed (`DUPLICATE_OBJECT`), another program has created it, so the
        // slot stays.
        session.ask("ROLLBACK", |_, _| Ok(())).await?;
        if !failure.has_state(SqlState::DUPLICATE_OBJECT) {
            session.drop_slot(&task.slot).await?;
        }
        answered(output, Piece::DropSnapshot).await?;
    }
    outcome
}

async fn write(session: &mut Session, task: &Task, types: &Types, output: &Output) -> Result<Lsn, Failure> {
    session.ask("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ", |_, _| Ok(())).await?;
    let lsn = session.create_slot(task, Snapshot::Use).await?;
    let mut lines = Vec::new();
    for source in sources(session, task).await? {
        copy(session, &source, task.format, lsn, types, output, &mut lines).await?;
    }
    session.ask("COMMIT", |_, _| Ok(())).await?;
    Line::start(&mut lines, task.format, "snapshot_end", lsn).string("slot", &task.slot).end();
    let boundary = (lines.len(), lsn);
    send(output, Piece::Lines(lines, Some(boundary))).await?;
    Ok(lsn)
}

/// Puts a piece of work into the queue of the output thread.
pub(crate) async fn send(output: &Output, piece: Piece) -> Result<(), Failure> {
    output.sender().send(piece).await.map_err(|_| Failure::OutputEnded)
}

/// Puts a piece of work into the queue of the output thread, and waits until the thread has done the work.
pub(crate) async fn answered(
    output: &Output,
    piece: impl FnOnce(oneshot::Sender<()>) -> Piece,
) -> Result<(), Failure> {
    let (done, answer) = oneshot::channel();
    send(output, piece(done)).await?;
    answer.await.map_err(|_| Failure::OutputEnded)
}

/// Reads the published tables from the catalog. If a partition and its parent are both published, leaves out the partition: the copy of the
/// parent contains its rows.
async fn sources(session: &mut Session, task: &Task) -> Result<Vec<Source>, Failure> {
    let names: Vec<String> = task.publications.iter().map(|name| literal(name)).collect();
    let names = names.join(", ");
    for name in &task.publications {
        let sql = format!("SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = {}", literal(name));
        if session.rows(&sql).await?.is_empty() {
            return Err(Failure::Refused(format!("publication {name} does not exist")));
        }
    }
    // PostgreSQL 15 added row filters and column lists. PostgreSQL 18 added the publication of generated columns.
    let (filter, columns) = match session.version {
        ..15 => ("NULL", "AND a.attgenerated = ''"),
        15..18 => (FILTER, "AND a.attname = ANY (p.columns) AND a.attgenerated = ''"),
        _ => (FILTER, "AND a.attname = ANY (p.columns)"),
    };
    let listed =
        if session.version < 15 { "NULL" } else { "(SELECT array_agg(n) FROM unnest(t.attnames) n)" };
    let sql = format!(
        "WITH t AS (SELECT * FROM pg_catalog.pg_publication_tables WHERE pubname IN ({names})), \
         p AS (SELECT DISTINCT c.oid, c.relkind, c.relreplident, t.schemaname, t.tablename, \
         {filter} AS filter, {listed}::name[] AS columns FROM t \
         JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename) \
         SELECT p.schemaname, p.tablename, p.relkind, p.filter, a.attname, a.atttypid, EXISTS ( \
         SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = p.oid AND a.attnum = ANY (i.indkey) \
         AND CASE p.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END) \
         FROM p JOIN pg_catalog.pg_attribute a ON a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped \
         {columns} WHERE NOT EXISTS (SELECT FROM p q, pg_catalog.pg_partition_ancestors(p.oid) r \
         WHERE q.oid = r.relid AND q.oid <> p.oid) ORDER BY p.schemaname, p.tablename, a.attnum"
    );
    let mut sources: Vec<Source> = Vec::new();
    let mut columns: Vec<TableColumn> = Vec::new();
    let mut rows = session.rows(&sql).await?.into_iter().peekable();
    while let Some(row) = rows.next() {
        let Ok([Some(schema), Some(name), Some(kind), filter, Some(column), Some(type_oid), Some(key)]) =
            <[_; 7]>::try_from(row)
        else {
            return Err(Failure::Misplaced("reply"));
        };
        let type_oid = type_oid.parse().map_err(|_| Failure::Misplaced("reply"))?;
        let is_key = key == "t";
        columns.push(TableColumn { name: column, type_oid, type_modifier: -1, is_key, custom_type: None });
        let goes_on = rows.peek().is_some_and(|next| {
            next.first().is_some_and(|next| next.as_ref() == Some(&schema))
                && next.get(1).is_some_and(|next| next.as_ref() == Some(&name))
        });
        if !goes_on {
            let columns = std::mem::take(&mut columns);
            let list: Vec<_> = columns.iter().map(|column| identifier(&column.name)).collect();
            // `ONLY` leaves out the rows of child tables that inherit from this table, because a published child table is copied
            // separately. A partitioned table (`p`) is copied with its partitions.
            let only = if kind == "p" { "" } else { "ONLY " };
            let condition = filter.map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
            let sql = format!(
                "COPY (SELECT {} FROM {only}{}.{}{condition}) TO STDOUT",
                list.join(", "),
                identifier(&schema),
                identifier(&name)
            );
            let replica_identity = ReplicaIdentity::Default;
            let table = Table { relation: 0, namespace: schema, name, replica_identity, columns };
            sources.push(Source { table, sql });
        }
    }
    Ok(sources)
}

/// SQL expression for the row filter of a table. The filters of all publications are joined with OR. The result is NULL (no filter) if one
/// of the publications has no filter for the table.
const FILTER: &str = "(SELECT CASE WHEN bool_or(f.rowfilter IS NULL) THEN NULL \
    ELSE string_agg('(' || f.rowfilter || ')', ' OR ') END FROM t f \
    WHERE f.schemaname = t.schemaname AND f.tablename = t.tablename)";

async fn copy(
    session: &mut Session,
    source: &Source,
    format: Format,
    lsn: Lsn,
    types: &Types,
    output: &Output,
    lines: &mut Vec<u8>,
) -> Result<(), Failure> {
    let Source { table, sql } = source;
    session.conn.query(sql.as_str()).flush().await?;
    let (mut rows, mut failure) = (Rows::default(), None);
    loop {
        match session.conn.recv().await?.backend()? {
            Backend::CopyData(copy) if failure.is_none() => {
                let taken = rows.take(copy.data.0, |row| put_row(lines, format, lsn, table, row, types));
                failure = taken.err();
            }
            Backend::ErrorResponse(error) => {
                failure.get_or_insert(Failure::Server(error.to_owned()));
            }
            Backend::ReadyForQuery(_) => return failure.map_or(Ok(()), Err),
            _ => {}
        }
        if lines.len() > BLOCK {
            send(output, Piece::Lines(std::mem::take(lines), None)).await?;
        }
    }
}

fn put_row(
    lines: &mut Vec<u8>,
    format: Format,
    lsn: Lsn,
    table: &Table,
    row: &[u8],
    types: &Types,
) -> Result<(), Failure> {
    let values = values(row);
    let values: Vec<TupleValue<'_>> =
        values.iter().map(|value| value.as_deref().map_or(TupleValue::Null, TupleValue::Text)).collect();
    let row = Tuple::from(values.as_slice());
    let mut line = put_name(Line::start(lines, format, "row", lsn), table);
    if has_key(table) {
        put_key(&mut line, table, row, types)?;
    }
    put_values(&mut line, "new", table, row, types)?;
    line.end();
    Ok(())
}
