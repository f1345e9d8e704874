//! The lines of a transaction.

use pg_wire::oid::Oid;
use pg_wire::replication::pgoutput::{Change, LogicalMessage, OldRow, Truncate};
use pg_wire::replication::{Enclosed, Lsn, Timestamp};

use crate::failure::Failure;
use crate::line::{Format, Line, hex, put, string};
use crate::table::Table;
use crate::value::Types;

/// Facts of a transaction that all of its lines have.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) xid: u32,
    /// Time of the commit or of the PREPARE TRANSACTION.
    pub(crate) time: Timestamp,
    /// Position of the record that commits or prepares the transaction.
    pub(crate) lsn: Lsn,
    /// The name of a prepared transaction.
    pub(crate) gid: Option<String>,
}

impl Head {
    fn line<'o>(&self, out: &'o mut Vec<u8>, format: Format, kind: &str, lsn: Lsn) -> Line<'o> {
        Line::start(out, format, kind, lsn).plain("xid", self.xid).time("time", self.time)
    }
}

/// Appends the line of BEGIN.
pub(crate) fn put_start(out: &mut Vec<u8>, format: Format, head: &Head) {
    match &head.gid {
        Some(gid) => head.line(out, format, "begin_prepare", head.lsn).string("gid", gid).end(),
        None => head.line(out, format, "begin", head.lsn).end(),
    }
}

/// Appends the line of COMMIT or of PREPARE TRANSACTION. `end` is the position after the record.
pub(crate) fn put_end(out: &mut Vec<u8>, format: Format, head: &Head, lsn: Lsn, end: Lsn) {
    let kind = if head.gid.is_some() { "prepare" } else { "commit" };
    let line = Line::start(out, format, kind, lsn).lsn("end", end);
    let line = line.plain("xid", head.xid).time("time", head.time);
    match &head.gid {
        Some(gid) => line.string("gid", gid).end(),
        None => line.end(),
    }
}

/// Appends the line of a Relation message.
pub(crate) fn put_relation(out: &mut Vec<u8>, format: Format, head: &Head, table: &Table, types: &Types) {
    table.put_description(head.line(out, format, "relation", head.lsn), types).end();
}

/// Appends the line of a message of `pg_logical_emit_message`.
pub(crate) fn put_message(line: Line<'_>, message: &LogicalMessage<'_>) {
    let line = line.plain("transactional", message.is_transactional());
    let line = line.string("prefix", &message.prefix.to_string_lossy());
    match std::str::from_utf8(message.content.0) {
        Ok(content) => line.string("content", content).end(),
        Err(_) => line.string("content", &hex(message.content.0)).string("encoding", "hex").end(),
    }
}

/// Appends the line of a change inside a transaction.
pub(crate) fn put_change<'t>(
    out: &mut Vec<u8>,
    format: Format,
    head: &Head,
    lsn: Lsn,
    change: &Change<'_>,
    tables: impl Fn(Oid) -> Option<&'t Table>,
    types: &Types,
) -> Result<(), Failure> {
    let table = |relation| tables(relation).ok_or(Failure::UnknownTable(relation));
    match change {
        Change::Insert(insert) => {
            let table = table(insert.relation)?;
            let mut line = head.line(out, format, "insert", lsn).table(&table.fields);
            if table.has_key() {
                table.put_row(&mut line, "key", &insert.new, true, types)?;
            }
            table.put_row(&mut line, "new", &insert.new, false, types)?;
            line.end();
        }
        Change::Update(update) => {
            let table = table(update.relation)?;
            let mut line = head.line(out, format, "update", lsn).table(&table.fields);
            match update.old {
                Some(OldRow::Key(key)) => table.put_row(&mut line, "key", &key, true, types)?,
                Some(OldRow::Full(old)) => table.put_row(&mut line, "old", &old, false, types)?,
                None if table.has_key() => table.put_row(&mut line, "key", &update.new, true, types)?,
                None => {}
            }
            table.put_row(&mut line, "new", &update.new, false, types)?;
            table.put_unchanged(&mut line, &update.new)?;
            line.end();
        }
        Change::Delete(delete) => {
            let table = table(delete.relation)?;
            let mut line = head.line(out, format, "delete", lsn).table(&table.fields);
            match delete.old {
                OldRow::Key(key) => table.put_row(&mut line, "key", &key, true, types)?,
                OldRow::Full(old) => table.put_row(&mut line, "old", &old, false, types)?,
            }
            line.end();
        }
        Change::Truncate(truncate) => {
            let mut line = head.line(out, format, "truncate", lsn);
            let out = line.field("tables");
            out.push(b'[');
            for (at, relation) in truncate.relations.iter().enumerate() {
                let table = table(relation)?;
                put(out, format_args!("{}{{\"schema\":", if at == 0 { "" } else { "," }));
                string(out, &table.schema);
                out.extend_from_slice(b",\"table\":");
                string(out, &table.name);
                out.push(b'}');
            }
            out.push(b']');
            line.plain("cascade", truncate.flags & Truncate::CASCADE != 0)
                .plain("restart_identity", truncate.flags & Truncate::RESTART_IDENTITY != 0)
                .end();
        }
        Change::LogicalMessage(message) => put_message(head.line(out, format, "message", lsn), message),
        Change::Origin(origin) => head
            .line(out, format, "origin", lsn)
            .string("name", &origin.name.to_string_lossy())
            .lsn("origin_lsn", origin.commit)
            .end(),
        other => return Err(Failure::Misplaced(other.name())),
    }
    Ok(())
}
