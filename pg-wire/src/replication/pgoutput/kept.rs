//! Writes the changes of one transaction in progress to a store, and reads these changes back.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::replication::lsn::Lsn;
use crate::replication::pgoutput::store::Store;
use crate::replication::time::Timestamp;

/// Minimum number of bytes that one call reads from the store. Records (stored messages) are often smaller, so one call reads many records.
/// If the transaction has fewer bytes left, the call reads all of them.
const CHUNK: usize = 64 * 1024;

/// Length in bytes of the header of a record (a stored message): xid (4), start (8), time (8) and length of the data (4).
const HEADER: usize = 24;

/// Header of a message in the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Number of the transaction or the subtransaction that made the change.
    pub(super) xid: u32,
    pub(super) start: Lsn,
    pub(super) time: Timestamp,
}

/// A transaction in progress whose messages are in the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    length: u64,
    /// The runs, in the order of the stored records. A run is a sequence of records of the same subtransaction.
    runs: Vec<Run>,
    /// State of each subtransaction that has records in the store.
    subtransactions: BTreeMap<u32, Subtransaction>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    xid: u32,
    start: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Subtransaction {
    runs: usize,
    is_aborted: bool,
}

impl Kept {
    /// Appends a message to the stored messages of the transaction with the number `top`. The data of the message is the concatenation of
    /// the two parts of `data`.
    pub(super) fn append<S: Store>(
        &mut self,
        store: &mut S,
        top: u32,
        record: Record,
        data: [&[u8]; 2],
        scratch: &mut Vec<u8>,
    ) -> Result<(), S::Error> {
        scratch.clear();
        scratch.extend_from_slice(&record.xid.to_be_bytes());
        scratch.extend_from_slice(&record.start.0.to_be_bytes());
        scratch.extend_from_slice(&record.time.0.to_be_bytes());
        // The cast cannot truncate: the data of a message is shorter than 2 GiB.
        scratch.extend_from_slice(&(data.iter().map(|part| part.len()).sum::<usize>() as u32).to_be_bytes());
        data.iter().for_each(|part| scratch.extend_from_slice(part));
        store.append(top, scratch)?;
        if self.runs.last().is_none_or(|run| run.xid != record.xid) {
            self.runs.push(Run { xid: record.xid, start: self.length });
            self.subtransactions.entry(record.xid).or_default().runs += 1;
        }
        self.length += scratch.len() as u64;
        Ok(())
    }

    /// Marks the subtransaction `xid` as rolled back, so that the replay skips its changes. If the stored bytes end with changes that were
    /// rolled back, cuts these changes off.
    pub(super) fn abort<S: Store>(&mut self, store: &mut S, top: u32, xid: u32) -> Result<(), S::Error> {
        let Some(subtransaction) = self.subtransactions.get_mut(&xid) else { return Ok(()) };
        subtransaction.is_aborted = true;
        let before = self.length;
        while let Some(run) = self.runs.last().copied().filter(|run| self.is_aborted(run.xid)) {
            self.runs.pop();
            self.length = run.start;
            if let Some(subtransaction) = self.subtransactions.get_mut(&run.xid) {
                subtransaction.runs -= 1;
                if subtransaction.runs == 0 {
                    self.subtransactions.remove(&run.xid);
                }
            }
        }
        if self.length < before { store.truncate(top, self.length) } else { Ok(()) }
    }

    pub(super) fn is_aborted(&self, xid: u32) -> bool {
        self.subtransactions.get(&xid).is_some_and(|subtransaction| subtransaction.is_aborted)
    }
}

/// Reads the records of a transaction in order.
#[derive(Clone, Debug)]
pub(super) struct Records {
    top: u32,
    kept: Kept,
    /// Number of bytes that have been read from the store.
    read: u64,
    buffer: Vec<u8>,
    /// Index in `buffer` of the first byte that has not been returned.
    start: usize,
}

/// Error of reading a record (a stored message) from the store.
pub(super) enum RecordError<E> {
    Store(E),
    /// The bytes that the store returned differ from the stored bytes.
    Damaged,
}

impl Records {
    pub(super) fn new(top: u32, kept: Kept) -> Self {
        Self { top, kept, read: 0, buffer: Vec::new(), start: 0 }
    }

    /// Reads the next record that was not rolled back. Returns its header and the length of its data. The method [`data`](Self::data)
    /// returns the data.
    pub(super) fn next<S: Store>(
        &mut self,
        store: &mut S,
    ) -> Result<Option<(Record, usize)>, RecordError<S::Error>> {
        loop {
            if self.buffered() == 0 && self.read == self.kept.length {
                return Ok(None);
            }
            self.fill(store, HEADER)?;
            let header = self.buffer.get(self.start..).and_then(<[u8]>::first_chunk::<HEADER>);
            let Some((record, length)) = header.map(parse) else { return Err(RecordError::Damaged) };
            self.fill(store, HEADER + length)?;
            self.start += HEADER + length;
            if !self.kept.is_aborted(record.xid) {
                return Ok(Some((record, length)));
            }
        }
    }

    /// Returns the data of the record that `next` returned last. `length` is the length that `next` returned.
    pub(super) fn data(&self, length: usize) -> &[u8] {
        self.buffer.get(self.start - length..self.start).unwrap_or_default()
    }

    /// Returns the number of the transaction.
    pub(super) const fn top(&self) -> u32 {
        self.top
    }

    fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Reads from the store until at least `needed` bytes are buffered.
    fn fill<S: Store>(&mut self, store: &mut S, needed: usize) -> Result<(), RecordError<S::Error>> {
        let Some(missing) = needed.checked_sub(self.buffered()).filter(|missing| *missing > 0) else {
            return Ok(());
        };
        let left = usize::try_from(self.kept.length - self.read).unwrap_or(usize::MAX);
        if left < missing {
            return Err(RecordError::Damaged);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let end = self.buffer.len();
        self.buffer.resize(end + missing.max(CHUNK).min(left), 0);
        let space = self.buffer.get_mut(end..).unwrap_or_default();
        store.read(self.top, self.read, space).map_err(RecordError::Store)?;
        self.read += space.len() as u64;
        Ok(())
    }
}

fn parse(header: &[u8; HEADER]) -> (Record, usize) {
    let [x0, x1, x2, x3, s0, s1, s2, s3, s4, s5, s6, s7, t0, t1, t2, t3, t4, t5, t6, t7, l0, l1, l2, l3] =
        *header;
    let record = Record {
        xid: u32::from_be_bytes([x0, x1, x2, x3]),
        start: Lsn(u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7])),
        time: Timestamp(i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7])),
    };
    (record, u32::from_be_bytes([l0, l1, l2, l3]) as usize)
}
