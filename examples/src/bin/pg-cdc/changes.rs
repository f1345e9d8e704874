//! Lines from messages: whole transactions as they are received, transactions that are sent in blocks at their commit.

use std::collections::HashMap;
use std::path::PathBuf;

use pg_wire::oid::Oid;
use pg_wire::replication::pgoutput::{Change, LogicalMessage, Scope};
use pg_wire::replication::{Enclosed, Lsn};

use crate::failure::Failure;
use crate::line::{Format, Line};
use crate::print::{Head, put_change, put_end, put_message, put_relation, put_start};
use crate::spill::{Reading, Spill, Spilled};
use crate::table::Table;
use crate::value::Types;

/// Bytes of lines after which a replay pauses.
pub(crate) const BLOCK: usize = 256 * 1024;

/// The state of the stream between two messages, and the lines made so far.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) format: Format,
    pub(crate) types: Types,
    /// Lines that the output does not have yet.
    pub(crate) lines: Vec<u8>,
    /// The last end of a transaction in `lines`: number of bytes up to there, and the position from which to continue.
    pub(crate) boundary: Option<(usize, Lsn)>,
    /// Number of changes of rows so far, those of rolled back transactions too.
    pub(crate) count: u64,
    /// Stop before the first transaction that ends at this position or later.
    pub(crate) until: Option<Lsn>,
    /// Whether no line may be made of a transaction before its end.
    hold: bool,
    /// The directory for transactions in progress.
    spill_dir: PathBuf,
    tables: HashMap<Oid, Described>,
    /// The tables in the last line of kind "relation". The server repeats a description whenever it has reason to doubt that it is known.
    printed: HashMap<Oid, Table>,
    /// Number of Relation messages so far.
    relations: u64,
    /// Transactions that are sent in blocks.
    streamed: HashMap<u32, Spill>,
    /// The transaction of the current block.
    block: Option<u32>,
    /// The transaction that is being sent whole.
    open: Option<Open>,
    replay: Option<Replay>,
}

/// A table, and the number of its Relation message.
#[derive(Debug)]
struct Described {
    number: u64,
    table: Table,
}

/// A transaction that is being sent whole.
#[derive(Debug)]
struct Open {
    head: Head,
    /// Its messages, if they are held until its end.
    held: Option<Spill>,
}

/// The end of a transaction.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Position of the record.
    lsn: Lsn,
    /// Position after the record.
    end: Lsn,
}

/// A transaction that has ended and whose lines are being made.
#[derive(Debug)]
struct Replay {
    head: Head,
    end: End,
    scope: Scope,
    reading: Reading,
    /// The tables as the transaction's own messages describe them.
    tables: HashMap<Oid, Table>,
}

/// The consequence of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Take the next message.
    Next,
    /// Call [`Changes::replay`] until it returns false.
    Replay,
    /// The message is of a transaction after the position to stop at.
    Reached,
}

impl Changes {
    pub(crate) fn new(format: Format, hold: bool, spill_dir: PathBuf) -> Self {
        Self {
            format,
            types: Types::default(),
            lines: Vec::new(),
            boundary: None,
            count: 0,
            until: None,
            hold,
            spill_dir,
            tables: HashMap::new(),
            printed: HashMap::new(),
            relations: 0,
            streamed: HashMap::new(),
            block: None,
            open: None,
            replay: None,
        }
    }

    /// Forgets everything of the connection: the server sends again what has not been confirmed.
    pub(crate) fn forget(&mut self) {
        self.lines.clear();
        self.boundary = None;
        self.tables.clear();
        self.printed.clear();
        self.streamed.clear();
        (self.block, self.open, self.replay) = (None, None, None);
    }

    /// Whether a transaction is being sent whole and has not ended.
    pub(crate) fn is_inside(&self) -> bool {
        self.open.is_some() || self.replay.is_some()
    }

    /// The table of a Relation message whose types are not all known.
    pub(crate) fn lacking(&self, change: &Change<'_>) -> Result<Option<Table>, Failure> {
        let Change::Relation(relation) = change else { return Ok(None) };
        let table = Table::new(relation)?;
        Ok(table.lacks(&self.types).then_some(table))
    }

    /// Takes a message, its data and its position.
    pub(crate) fn take(&mut self, lsn: Lsn, data: &[u8], change: &Change<'_>) -> Result<Taken, Failure> {
        if let Change::Insert(_) | Change::Update(_) | Change::Delete(_) | Change::Truncate(_) = change {
            self.count += 1;
        }
        match change {
            Change::Begin(begin) => {
                return self.begin(Head { xid: begin.xid, time: begin.time, lsn: begin.commit, gid: None });
            }
            Change::BeginPrepare(begin) => {
                let gid = Some(begin.gid.to_string_lossy().into_owned());
                return self.begin(Head { xid: begin.xid, time: begin.time, lsn: begin.prepare, gid });
            }
            Change::Commit(commit) => return self.end(End { lsn: commit.commit, end: commit.end }),
            Change::Prepare(prepare) => return self.end(End { lsn: prepare.prepare, end: prepare.end }),
            Change::StreamStart(start) => {
                self.block = Some(start.xid);
                if start.first {
                    self.streamed.insert(start.xid, Spill::new(&self.spill_dir));
                }
            }
            Change::StreamStop(_) => self.block = None,
            Change::StreamAbort(abort) if abort.xid == abort.subxid => {
                self.streamed.remove(&abort.xid);
            }
            Change::StreamAbort(abort) => {
                if let Some(spill) = self.streamed.get_mut(&abort.xid) {
                    spill.roll_back(abort.subxid).map_err(spill_failed)?;
                }
            }
            Change::StreamCommit(commit) => {
                let head = Head { xid: commit.xid, time: commit.time, lsn: commit.commit, gid: None };
                return self.end_streamed(head, End { lsn: commit.commit, end: commit.end });
            }
            Change::StreamPrepare(prepare) => {
                let gid = Some(prepare.gid.to_string_lossy().into_owned());
                let head = Head { xid: prepare.xid, time: prepare.time, lsn: prepare.prepare, gid };
                return self.end_streamed(head, End { lsn: prepare.prepare, end: prepare.end });
            }
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
                // The message has no position of the record's begin.
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
                return self.message_outside(message);
            }
            // The names of types are not printed, and their forms are in the catalog.
            Change::Type(_) => {}
            change => self.inside(lsn, data, change)?,
        }
        Ok(Taken::Next)
    }

    fn begin(&mut self, head: Head) -> Result<Taken, Failure> {
        if self.is_after(head.lsn) {
            return Ok(Taken::Reached);
        }
        let held = self.hold.then(|| Spill::new(&self.spill_dir));
        if held.is_none() {
            put_start(&mut self.lines, self.format, &head);
        }
        self.open = Some(Open { head, held });
        Ok(Taken::Next)
    }

    fn end(&mut self, end: End) -> Result<Taken, Failure> {
        let Open { head, held } = self.open.take().ok_or(Failure::Misplaced("Commit"))?;
        match held {
            Some(spill) => self.start_replay(head, end, Scope::Outside, spill),
            None => {
                self.finish(&head, end);
                Ok(Taken::Next)
            }
        }
    }

    fn end_streamed(&mut self, head: Head, end: End) -> Result<Taken, Failure> {
        if self.is_after(head.lsn) {
            return Ok(Taken::Reached);
        }
        let spill = self.streamed.remove(&head.xid).ok_or(Failure::Misplaced("StreamCommit"))?;
        self.start_replay(head, end, Scope::InStream, spill)
    }

    fn start_replay(&mut self, head: Head, end: End, scope: Scope, spill: Spill) -> Result<Taken, Failure> {
        put_start(&mut self.lines, self.format, &head);
        let reading = spill.read().map_err(spill_failed)?;
        self.replay = Some(Replay { head, end, scope, reading, tables: HashMap::new() });
        Ok(Taken::Replay)
    }

    fn finish(&mut self, head: &Head, end: End) {
        put_end(&mut self.lines, self.format, head, end.lsn, end.end);
        self.boundary = Some((self.lines.len(), end.end));
    }

    /// A message between transactions. It is not part of a transaction, so the next start is right after the message begins.
    fn message_outside(&mut self, message: &LogicalMessage<'_>) -> Result<Taken, Failure> {
        if self.is_after(message.lsn) {
            return Ok(Taken::Reached);
        }
        if self.is_inside() {
            return Err(Failure::Misplaced("LogicalMessage"));
        }
        put_message(Line::start(&mut self.lines, self.format, "message", message.lsn), message);
        let next = message.lsn.checked_add(1).unwrap_or(Lsn::MAX);
        self.boundary = Some((self.lines.len(), next));
        Ok(Taken::Next)
    }

    /// A message inside of a transaction.
    fn inside(&mut self, lsn: Lsn, data: &[u8], change: &Change<'_>) -> Result<(), Failure> {
        let is_relation = matches!(change, Change::Relation(_));
        self.relations += u64::from(is_relation);
        let spill = match (self.block, &mut self.open) {
            (Some(xid), _) => self.streamed.get_mut(&xid),
            (None, Some(open)) => open.held.as_mut(),
            (None, None) => return Err(Failure::Misplaced(change.name())),
        };
        if let Some(spill) = spill {
            if is_relation {
                spill.push_relation(self.relations, data);
                return Ok(());
            }
            let subtransaction = change.xid_in_stream().filter(|xid| Some(*xid) != self.block);
            return spill.push(lsn, data, subtransaction).map_err(spill_failed);
        }
        let Some(open) = &self.open else { return Err(Failure::Misplaced(change.name())) };
        if let Change::Relation(relation) = change {
            let described = Described { number: self.relations, table: Table::new(relation)? };
            if self.printed.get(&relation.relation) != Some(&described.table) {
                put_relation(&mut self.lines, self.format, &open.head, &described.table, &self.types);
                self.printed.insert(relation.relation, described.table.clone());
            }
            self.tables.insert(relation.relation, described);
            return Ok(());
        }
        let tables = |oid| self.tables.get(&oid).map(|described| &described.table);
        put_change(&mut self.lines, self.format, &open.head, lsn, change, tables, &self.types)
    }

    /// Makes lines of the transaction that has ended, until there are enough for a block. Returns false when the transaction is done.
    pub(crate) fn replay(&mut self) -> Result<bool, Failure> {
        let Some(replay) = &mut self.replay else { return Ok(false) };
        while self.lines.len() < BLOCK {
            match replay.reading.next().map_err(spill_failed)? {
                Some(Spilled::Relation(number, data)) => {
                    let change = Change::decode(data, replay.scope)?;
                    let Change::Relation(relation) = change else { continue };
                    let table = Table::new(&relation)?;
                    if self.printed.get(&relation.relation) != Some(&table) {
                        put_relation(&mut self.lines, self.format, &replay.head, &table, &self.types);
                        self.printed.insert(relation.relation, table.clone());
                    }
                    // For the transactions that follow, unless a later message has described the table.
                    let known = self.tables.get(&relation.relation);
                    if known.is_none_or(|known| known.number < number) {
                        self.tables.insert(relation.relation, Described { number, table: table.clone() });
                    }
                    replay.tables.insert(relation.relation, table);
                }
                Some(Spilled::Other(lsn, data)) => {
                    let change = Change::decode(data, replay.scope)?;
                    let tables =
                        |oid| replay.tables.get(&oid).or_else(|| Some(&self.tables.get(&oid)?.table));
                    put_change(
                        &mut self.lines,
                        self.format,
                        &replay.head,
                        lsn,
                        &change,
                        tables,
                        &self.types,
                    )?;
                }
                None => {
                    if let Some(Replay { head, end, .. }) = self.replay.take() {
                        self.finish(&head, end);
                    }
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn is_after(&self, lsn: Lsn) -> bool {
        self.until.is_some_and(|until| lsn >= until)
    }
}

fn spill_failed(error: std::io::Error) -> Failure {
    Failure::file("temporary file for a transaction in progress", error)
}

#[cfg(test)]
mod tests;
