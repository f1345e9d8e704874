//! Writes the lines of a transaction.

use pg_wire::oid::Oid;
use pg_wire::replication::pgoutput::{Change, LogicalMessage, OldRow, Table, Truncate};
use pg_wire::replication::{Enclosed, Lsn, Timestamp};

use crate::failure::Failure;
use crate::line::{Format, Line, hex, put, string};
use crate::table::{has_key, put_description, put_key, put_name, put_row, put_unchanged, schema};
use crate::value::Types;

/// Properties of a transaction, which are repeated in each of its lines.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) xid: u32,
    /// Time at which the transaction was committed or prepared.
    pub(crate) time: Timestamp,
    /// Position of the WAL record that commits or prepares the transaction.
    pub(crate) lsn: Lsn,
    /// The name of the transaction if it is prepared, else `None`.
    pub(crate) gid: Option<String>,
}

impl Head {
    fn line<'o>(&self, out: &'o mut Vec<u8>, format: Format, kind: &str, lsn: Lsn) -> Line<'o> {
        Line::start(out, format, kind, lsn).plain("xid", self.xid).time("time", self.time)
    }
}

/// Appends the first line of a transaction: kind `begin` or `begin_prepare`.
pub(crate) fn put_start(out: &mut Vec<u8>, format: Format, head: &Head) {
    match &head.gid {
        Some(gid) => head.line(out, format, "begin_prepare", head.lsn).string("gid", gid).end(),
        None => head.line(out, format, "begin", head.lsn).end(),
    }
}

/// Appends the last line of a transaction: kind `commit` or `prepare`. `end` is the position after the WAL record that commits or prepares
/// the transaction.
pub(crate) fn put_end(out: &mut Vec<u8>, format: Format, head: &Head, end: Lsn) {
    let kind = if head.gid.is_some() { "prepare" } else { "commit" };
    let line = Line::start(out, format, kind, head.lsn).lsn("end", end);
    let line = line.plain("xid", head.xid).time("time", head.time);
    match &head.gid {
        Some(gid) => line.string("gid", gid).end(),
        None => line.end(),
    }
}

/// Appends the line of kind `relation`, which describes a table.
pub(crate) fn put_relation(out: &mut Vec<u8>, format: Format, head: &Head, table: &Table) {
    let line = put_name(head.line(out, format, "relation", head.lsn), table);
    put_description(line, table).end();
}

/// Writes the fields of a message that an application has sent with `pg_logical_emit_message`, and ends the line.
pub(crate) fn put_message(line: Line<'_>, message: &LogicalMessage<'_>) {
    let line = line.plain("transactional", message.is_transactional());
    let line = line.string("prefix", &message.prefix.to_string_lossy());
    match std::str::from_utf8(message.content.0) {
        Ok(content) => line.string("content", content).end(),
        Err(_) => line.string("content", &hex(message.content.0)).string("encoding", "hex").end(),
    }
}

/// Everything that the line of a change inside a transaction needs, except the change itself.
#[derive(Debug)]
pub(crate) struct Printed<'a> {
    pub(crate) head: &'a Head,
    pub(crate) lsn: Lsn,
    pub(crate) format: Format,
    pub(crate) types: &'a Types,
}

impl Printed<'_> {
    fn line<'o>(&self, out: &'o mut Vec<u8>, kind: &str) -> Line<'o> {
        self.head.line(out, self.format, kind, self.lsn)
    }

    /// Appends the line of an INSERT, UPDATE or DELETE.
    pub(crate) fn put_row_change(
        &self,
        out: &mut Vec<u8>,
        change: &Change<'_>,
        table: &Table,
    ) -> Result<(), Failure> {
        let types = self.types;
        match change {
            Change::Insert(insert) => {
                let mut line = put_name(self.line(out, "insert"), table);
                if has_key(table) {
                    put_key(&mut line, table, insert.new, types)?;
                }
                put_row(&mut line, "new", table, insert.new, types)?;
                line.end();
            }
            Change::Update(update) => {
                let mut line = put_name(self.line(out, "update"), table);
                match update.old {
                    Some(OldRow::Key(key)) => put_key(&mut line, table, key, types)?,
                    Some(OldRow::Full(old)) => put_row(&mut line, "old", table, old, types)?,
                    None if has_key(table) => put_key(&mut line, table, update.new, types)?,
                    None => {}
                }
                put_row(&mut line, "new", table, update.new, types)?;
                put_unchanged(&mut line, table, update.new)?;
                line.end();
            }
            Change::Delete(delete) => {
                let mut line = put_name(self.line(out, "delete"), table);
                match delete.old {
                    OldRow::Key(key) => put_key(&mut line, table, key, types)?,
                    OldRow::Full(old) => put_row(&mut line, "old", table, old, types)?,
                }
                line.end();
            }
            other => return Err(Failure::Misplaced(other.name())),
        }
        Ok(())
    }

    /// Appends the line of a TRUNCATE, a message or an origin. `tables` returns the description of a table.
    pub(crate) fn put_other<'t>(
        &self,
        out: &mut Vec<u8>,
        change: &Change<'_>,
        tables: impl Fn(Oid) -> Option<&'t Table>,
    ) -> Result<(), Failure> {
        match change {
            Change::Truncate(truncate) => {
                let mut line = self.line(out, "truncate");
                let out = line.field("tables");
                out.push(b'[');
                for (at, relation) in truncate.relations.iter().enumerate() {
                    let table = tables(relation).ok_or(Failure::UnknownTable(relation))?;
                    put(out, format_args!("{}{{\"schema\":", if at == 0 { "" } else { "," }));
                    string(out, schema(table));
                    out.extend_from_slice(b",\"table\":");
                    string(out, &table.name);
                    out.push(b'}');
                }
                out.push(b']');
                line.plain("cascade", truncate.flags & Truncate::CASCADE != 0)
                    .plain("restart_identity", truncate.flags & Truncate::RESTART_IDENTITY != 0)
                    .end();
            }
            Change::LogicalMessage(message) => put_message(self.line(out, "message"), message),
            Change::Origin(origin) => self
                .line(out, "origin")
                .string("name", &origin.name.to_string_lossy())
                .lsn("origin_lsn", origin.commit)
                .end(),
            other => return Err(Failure::Misplaced(other.name())),
        }
        Ok(())
    }
}
