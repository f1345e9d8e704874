//! Transactions in progress: their messages, in memory while they are few and in a temporary file when they are many.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use pg_wire::replication::Lsn;

/// Bytes that are kept in memory before they are written to the file.
const BLOCK: usize = 256 * 1024;

/// Bytes before the data of a message: position and length.
const HEADER: usize = 12;

/// The messages of a transaction that is in progress.
///
/// The file has no name: the system removes it whatever ends the program. Only Relation messages stay in memory, because a rollback of
/// the subtransaction in which the server sent them does not make the server send them again.
#[derive(Debug)]
pub(crate) struct Spill {
    /// The directory for the file.
    dir: PathBuf,
    file: Option<File>,
    /// Number of bytes in the file.
    written: u64,
    /// The bytes after those in the file.
    tail: Vec<u8>,
    /// The subtransactions, in the order of their first messages.
    order: Vec<u32>,
    /// Offset of the first message of each subtransaction.
    first: HashMap<u32, u64>,
    /// Relation messages.
    relations: Vec<Described>,
}

/// A Relation message between the other messages.
#[derive(Debug)]
struct Described {
    /// Offset of the message after this one.
    offset: u64,
    /// Number of the Relation message among all Relation messages of the stream.
    number: u64,
    data: Vec<u8>,
}

/// A message of a transaction.
#[derive(Debug)]
pub(crate) enum Spilled<'a> {
    /// A Relation message, and its number among all Relation messages of the stream.
    Relation(u64, &'a [u8]),
    /// Another message, and its position.
    Other(Lsn, &'a [u8]),
}

impl Spill {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.into(),
            file: None,
            written: 0,
            tail: Vec::new(),
            order: Vec::new(),
            first: HashMap::new(),
            relations: Vec::new(),
        }
    }

    fn length(&self) -> u64 {
        self.written + self.tail.len() as u64
    }

    /// Appends a message. `subtransaction` is the number of the subtransaction that made the change, if there is one.
    pub(crate) fn push(&mut self, lsn: Lsn, data: &[u8], subtransaction: Option<u32>) -> io::Result<()> {
        if let Some(xid) = subtransaction {
            let offset = self.length();
            if let std::collections::hash_map::Entry::Vacant(entry) = self.first.entry(xid) {
                entry.insert(offset);
                self.order.push(xid);
            }
        }
        self.tail.extend_from_slice(&lsn.0.to_be_bytes());
        // A message is shorter than 1 GiB.
        self.tail.extend_from_slice(&(data.len() as u32).to_be_bytes());
        self.tail.extend_from_slice(data);
        if self.tail.len() >= BLOCK { self.write() } else { Ok(()) }
    }

    /// Appends a Relation message.
    pub(crate) fn push_relation(&mut self, number: u64, data: &[u8]) {
        self.relations.push(Described { offset: self.length(), number, data: data.into() });
    }

    /// Drops the messages of a subtransaction that was rolled back: its first message and all messages after that. Later messages are
    /// of the subtransaction itself, or of subtransactions inside, which are rolled back too.
    pub(crate) fn roll_back(&mut self, subtransaction: u32) -> io::Result<()> {
        let Some(&offset) = self.first.get(&subtransaction) else { return Ok(()) };
        while let Some(&last) = self.order.last() {
            if self.first.get(&last).is_some_and(|first| *first < offset) {
                break;
            }
            self.order.pop();
            self.first.remove(&last);
        }
        for relation in &mut self.relations {
            relation.offset = offset.min(relation.offset);
        }
        match offset.checked_sub(self.written) {
            // The tail has less than 4 GiB.
            Some(kept) => self.tail.truncate(kept as usize),
            None => {
                self.tail.clear();
                self.written = offset;
                if let Some(file) = &mut self.file {
                    file.set_len(offset)?;
                    file.seek(SeekFrom::Start(offset))?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.dir)?),
        };
        file.write_all(&self.tail)?;
        self.written += self.tail.len() as u64;
        self.tail.clear();
        // A large message leaves a large buffer.
        self.tail.shrink_to(2 * BLOCK);
        Ok(())
    }

    /// Reads the messages from the first one on.
    pub(crate) fn read(mut self) -> io::Result<Reading> {
        if self.file.is_some() {
            self.write()?;
        }
        let mut reading = Reading {
            file: self.file,
            unread: self.written,
            block: self.tail,
            at: 0,
            offset: 0,
            relations: self.relations.into_iter().peekable(),
            relation: Vec::new(),
        };
        if let Some(file) = &mut reading.file {
            file.seek(SeekFrom::Start(0))?;
        }
        Ok(reading)
    }
}

/// The messages of a transaction, in their order.
#[derive(Debug)]
pub(crate) struct Reading {
    file: Option<File>,
    /// Number of bytes of the file that are not in the block yet.
    unread: u64,
    block: Vec<u8>,
    /// Position of the next message in the block.
    at: usize,
    /// Offset of the next message among all messages.
    offset: u64,
    relations: Peekable<IntoIter<Described>>,
    relation: Vec<u8>,
}

impl Reading {
    /// Lends the next message.
    pub(crate) fn next(&mut self) -> io::Result<Option<Spilled<'_>>> {
        if let Some(relation) = self.relations.next_if(|relation| relation.offset <= self.offset) {
            self.relation = relation.data;
            return Ok(Some(Spilled::Relation(relation.number, &self.relation)));
        }
        self.fill(HEADER)?;
        let Some((header, _)) = self.block.get(self.at..).and_then(|rest| rest.split_first_chunk::<HEADER>())
        else {
            return if self.at == self.block.len() {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        };
        let [lsn @ .., a, b, c, d] = *header;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        self.fill(HEADER + length)?;
        let start = self.at + HEADER;
        self.at = start + length;
        self.offset += (HEADER + length) as u64;
        match self.block.get(start..self.at) {
            Some(data) => Ok(Some(Spilled::Other(Lsn(u64::from_be_bytes(lsn)), data))),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads until the block has `count` bytes after the position, or the file ends.
    fn fill(&mut self, count: usize) -> io::Result<()> {
        let buffered = self.block.len() - self.at;
        let Some(file) = &mut self.file else { return Ok(()) };
        if buffered >= count || self.unread == 0 {
            return Ok(());
        }
        self.block.drain(..self.at);
        self.block.shrink_to(2 * BLOCK);
        self.at = 0;
        let wanted = self.unread.min((count.max(BLOCK) - buffered) as u64);
        let read = file.take(wanted).read_to_end(&mut self.block)?;
        self.unread -= read as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spill: Spill) -> Vec<(u64, String)> {
        let mut reading = spill.read().expect("readable");
        let mut all = Vec::new();
        while let Some(spilled) = reading.next().expect("whole") {
            let (lsn, data) = match spilled {
                Spilled::Relation(number, data) => (Lsn(number), data),
                Spilled::Other(lsn, data) => (lsn, data),
            };
            all.push((lsn.0, String::from_utf8_lossy(data).chars().take(20).collect()));
        }
        all
    }

    fn spill() -> Spill {
        Spill::new(&std::env::temp_dir())
    }

    #[test]
    fn messages_are_read_in_their_order_from_memory_and_from_the_file() {
        for count in [0, 3, 50_000] {
            let mut spill = spill();
            for number in 0..count {
                spill.push(Lsn(number), format!("message {number}").as_bytes(), None).expect("written");
            }
            assert_eq!(spill.file.is_some(), count > 10_000);
            let expected: Vec<_> = (0..count).map(|number| (number, format!("message {number}"))).collect();
            assert_eq!(read(spill), expected);
        }
    }

    #[test]
    fn a_message_may_be_longer_than_a_block() {
        let mut spill = spill();
        spill.push(Lsn(1), &vec![b'x'; 3 * BLOCK], None).expect("written");
        spill.push(Lsn(2), b"short", None).expect("written");
        spill.push(Lsn(3), &vec![b'y'; BLOCK + 1], None).expect("written");
        spill.push(Lsn(4), b"end", None).expect("written");
        let all = read(spill);
        assert_eq!(all.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!((all[1].1.as_str(), all[3].1.as_str()), ("short", "end"));
    }

    /// Positions of the messages that are left after rollbacks, where each message has this size.
    fn rolled_back(size: usize) -> Vec<u64> {
        let data = vec![b'x'; size];
        let mut spill = spill();
        let push = |spill: &mut Spill, lsn, xid| spill.push(Lsn(lsn), &data, xid).expect("written");
        push(&mut spill, 1, None);
        push(&mut spill, 2, Some(11));
        push(&mut spill, 3, Some(12));
        spill.roll_back(12).expect("rolled back");
        push(&mut spill, 4, Some(13));
        push(&mut spill, 5, None);
        // No message was received for this subtransaction.
        spill.roll_back(99).expect("rolled back");
        push(&mut spill, 6, Some(14));
        push(&mut spill, 7, Some(15));
        push(&mut spill, 8, Some(14));
        // The server reports the inner subtransaction first.
        spill.roll_back(15).expect("rolled back");
        spill.roll_back(14).expect("rolled back");
        push(&mut spill, 9, Some(14));
        read(spill).into_iter().map(|(lsn, _)| lsn).collect()
    }

    #[test]
    fn a_rollback_drops_the_messages_of_its_subtransaction() {
        for size in [5, BLOCK / 2, 2 * BLOCK] {
            assert_eq!(rolled_back(size), [1, 2, 4, 5, 9], "{size}");
        }
    }

    #[test]
    fn a_rollback_keeps_the_descriptions_of_tables() {
        let mut spill = spill();
        spill.push_relation(1, b"first");
        spill.push(Lsn(1), b"a", Some(11)).expect("written");
        spill.push_relation(2, b"second");
        spill.push(Lsn(2), b"b", Some(11)).expect("written");
        spill.roll_back(11).expect("rolled back");
        spill.push(Lsn(3), b"c", None).expect("written");
        let all: Vec<_> = read(spill).into_iter().map(|(_, data)| data).collect();
        assert_eq!(all, ["first", "second", "c"]);
    }
}
