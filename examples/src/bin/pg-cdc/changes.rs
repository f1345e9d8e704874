//! Converts the changes that the server sends to lines of the output.

use std::collections::HashMap;

use pg_wire::oid::Oid;
use pg_wire::replication::pgoutput::{Change, LogicalMessage, ReceivedChange, Table};
use pg_wire::replication::{Enclosed, Lsn};

use crate::failure::Failure;
use crate::line::{Format, Line};
use crate::print::{Head, Printed, put_end, put_message, put_relation, put_start};
use crate::value::Types;

/// Limit, in bytes, for collected lines. When the lines reach the limit, they are handed over to the output thread at once.
pub(crate) const BLOCK: usize = 256 * 1024;

/// Converts changes to lines, and collects the lines for the output thread.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) format: Format,
    pub(crate) types: Types,
    /// Lines that have not been handed over to the output thread.
    pub(crate) lines: Vec<u8>,
    /// The end of the last complete transaction in `lines`; `None` if no transaction is complete. The fields are the number of bytes in
    /// `lines` before this end, and the position from which the program continues after a restart.
    pub(crate) boundary: Option<(usize, Lsn)>,
    /// Number of row changes that were converted so far.
    pub(crate) count: u64,
    /// The position at which the program stops. A transaction that ends at this position or later is not written.
    pub(crate) until: Option<Lsn>,
    /// The transaction that has begun and has not ended; `None` between transactions.
    open: Option<Head>,
    /// For each table, the description that the last line of kind `relation` contains. The key is the OID of the table.
    tables: HashMap<Oid, Table>,
}

/// Next step of the caller after a call of [`Changes::take`].
#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    /// Take the next change.
    Next,
    /// Call [`Changes::describe`] with this table, then take the next change.
    Described(Table),
    /// Stop: the change is at or after the position at which the program stops. The change was not converted to a line.
    Reached,
}

impl Changes {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            types: Types::default(),
            lines: Vec::new(),
            boundary: None,
            count: 0,
            until: None,
            open: None,
            tables: HashMap::new(),
        }
    }

    /// Drops the state of a lost connection. On the next connection, the server sends all unconfirmed transactions again.
    pub(crate) fn forget(&mut self) {
        self.lines.clear();
        (self.boundary, self.open) = (None, None);
        self.tables.clear();
    }

    /// Whether a transaction has begun and has not ended.
    pub(crate) fn is_inside(&self) -> bool {
        self.open.is_some()
    }

    /// Makes the line of a change. Precondition: the caller passes all changes, in the order of the stream.
    pub(crate) fn take(&mut self, received: &ReceivedChange<'_>) -> Result<Taken, Failure> {
        match received.change {
            Change::Begin(begin) => {
                return Ok(self.begin(Head {
                    xid: begin.xid,
                    time: begin.time,
                    lsn: begin.commit,
                    gid: None,
                }));
            }
            Change::BeginPrepare(begin) => {
                let gid = Some(begin.gid.to_string_lossy().into_owned());
                return Ok(self.begin(Head { xid: begin.xid, time: begin.time, lsn: begin.prepare, gid }));
            }
            Change::Commit(commit) => self.end("Commit", commit.end)?,
            Change::Prepare(prepare) => self.end("Prepare", prepare.end)?,
            Change::CommitPrepared(commit) => {
                if self.is_after(commit.commit) {
                    return Ok(Taken::Reached);
                }
                Line::start(&mut self.lines, self.format, "commit_prepared", commit.commit)
                    .lsn("end", commit.end)
                    .plain("xid", commit.xid)
                    .time("time", commit.time)
                    .string("gid", &commit.gid.to_string_lossy())
                    .end();
                self.boundary = Some((self.lines.len(), commit.end));
            }
            Change::RollbackPrepared(rollback) => {
                // A RollbackPrepared message has the position (LSN) where its WAL record ends, but not the position where the record
                // begins. The condition `end > until` is true for every record that begins at `until` or later.
                if self.until.is_some_and(|until| rollback.end > until) {
                    return Ok(Taken::Reached);
                }
                Line::start(&mut self.lines, self.format, "rollback_prepared", rollback.end)
                    .lsn("end", rollback.end)
                    .plain("xid", rollback.xid)
                    .time("time", rollback.time)
                    .string("gid", &rollback.gid.to_string_lossy())
                    .lsn("prepare_end", rollback.prepare_end)
                    .time("prepare_time", rollback.prepare_time)
                    .end();
                self.boundary = Some((self.lines.len(), rollback.end));
            }
            Change::LogicalMessage(message) if !message.is_transactional() => {
                return self.message_outside(&message);
            }
            Change::Relation(_) => {
                return Ok(received.table.cloned().map_or(Taken::Next, Taken::Described));
            }
            // A Type message gets no line, because the line that describes a table contains the names of its types.
            Change::Type(_) => {}
            _ => self.inside(received)?,
        }
        Ok(Taken::Next)
    }

    fn begin(&mut self, head: Head) -> Taken {
        if self.is_after(head.lsn) {
            return Taken::Reached;
        }
        put_start(&mut self.lines, self.format, &head);
        self.open = Some(head);
        Taken::Next
    }

    fn end(&mut self, name: &'static str, end: Lsn) -> Result<(), Failure> {
        let head = self.open.take().ok_or(Failure::Misplaced(name))?;
        put_end(&mut self.lines, self.format, &head, end);
        self.boundary = Some((self.lines.len(), end));
        Ok(())
    }

    /// Makes the line of a message between transactions, and records `message.lsn` as the position from which to continue.
    ///
    /// `message.lsn` is after the WAL record of the message, so a stream that starts there does not contain the message again. With a later
    /// position, the stream could skip a transaction: the next WAL record may begin at `message.lsn`, and may be a commit.
    fn message_outside(&mut self, message: &LogicalMessage<'_>) -> Result<Taken, Failure> {
        if self.until.is_some_and(|until| message.lsn > until) {
            return Ok(Taken::Reached);
        }
        if self.is_inside() {
            return Err(Failure::Misplaced("LogicalMessage"));
        }
        put_message(Line::start(&mut self.lines, self.format, "message", message.lsn), message);
        self.boundary = Some((self.lines.len(), message.lsn));
        Ok(Taken::Next)
    }

    /// Makes the line that describes a table. Makes no line if the description is equal to the last description of the table: the server
    /// may send it repeatedly.
    pub(crate) fn describe(&mut self, table: Table) -> Result<(), Failure> {
        let head = self.open.as_ref().ok_or(Failure::Misplaced("Relation"))?;
        if self.tables.get(&table.relation) != Some(&table) {
            put_relation(&mut self.lines, self.format, head, &table);
            self.tables.insert(table.relation, table);
        }
        Ok(())
    }

    fn inside(&mut self, received: &ReceivedChange<'_>) -> Result<(), Failure> {
        let change = &received.change;
        let head = self.open.as_ref().ok_or(Failure::Misplaced(change.name()))?;
        let printed = Printed { head, lsn: received.start, format: self.format, types: &self.types };
        match received.table {
            Some(table) => {
                self.count += 1;
                printed.put_row_change(&mut self.lines, change, table)
            }
            None => printed.put_other(&mut self.lines, change, |relation| self.tables.get(&relation)),
        }
    }

    fn is_after(&self, lsn: Lsn) -> bool {
        self.until.is_some_and(|until| lsn >= until)
    }
}

#[cfg(test)]
mod tests;
