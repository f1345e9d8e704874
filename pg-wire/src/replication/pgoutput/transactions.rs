//! Collects the changes of streamed transactions until the transactions are committed.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::basic::text::Text;
use crate::replication::enclosed::{Enclosed, Scope};
use crate::replication::pgoutput::kept::{Kept, Record, RecordError, Records};
use crate::replication::pgoutput::store::Store;
use crate::replication::pgoutput::{
    Begin, BeginPrepare, Change, ChangeError, Commit, Decoder, Prepare, ReceivedChange, Relations,
    StreamCommit, StreamPrepare,
};
use crate::replication::stream::XLogData;
use crate::replication::time::Timestamp;

/// Maximum number of transactions in progress. A server has at most 262,143 processes (`MAX_BACKENDS`) with one transaction each, and at
/// most 262,143 prepared transactions.
const MOST: usize = 2 * 262_143;

/// Collector that returns transactions in the order of their commits, even if the server sends large transactions in blocks before their
/// commit.
///
/// The blocks of each transaction are kept in a [`Store`] until the transaction ends. A rollback of a subtransaction drops the changes of
/// this subtransaction. A rollback of the transaction drops all of its changes. After a commit, the transaction is returned as if the
/// server had sent the whole transaction at once: a [`Begin`], the changes, a [`Commit`]. A prepared transaction is returned between a
/// [`BeginPrepare`] and a [`Prepare`].
///
/// A transaction that changes no published table may be returned as a [`Begin`] and a [`Commit`] without changes between them: the server
/// has sent an empty block. If the server does not send the transaction in progress, it leaves out such a transaction.
///
/// Besides the bytes in the store, each run of changes takes about 40 bytes of memory. A run is a sequence of changes of the same
/// subtransaction.
///
/// ```
/// use pg_wire::codec::Payload;
/// use pg_wire::replication::pgoutput::{Change, MemoryStore, Transactions};
/// use pg_wire::replication::{Lsn, Timestamp, XLogData};
///
/// let mut transactions = Transactions::new(MemoryStore::new(1 << 20));
/// let message = |data| XLogData { start: Lsn(5), end: Lsn(5), time: Timestamp(0), data: Payload(data) };
/// for data in [
///     // A block of transaction 775 with two messages: the first of subtransaction 776, which is rolled back, the second of 775 itself.
///     &b"S\0\0\x03\x07\x01"[..],
///     b"M\0\0\x03\x08\x01\0\0\0\0\0\0\0\x05lost\0\0\0\0\0",
///     b"M\0\0\x03\x07\x01\0\0\0\0\0\0\0\x05kept\0\0\0\0\0",
///     b"E",
///     b"A\0\0\x03\x07\0\0\x03\x08",
///     b"c\0\0\x03\x07\0\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0",
/// ] {
///     assert!(transactions.receive(&message(data))?.is_none(), "the message is stored");
/// }
/// let mut lines = Vec::new();
/// while let Some(received) = transactions.replay()? {
///     lines.push(match received.change {
///         Change::Begin(begin) => format!("begin {}", begin.xid),
///         Change::LogicalMessage(message) => message.prefix.to_string(),
///         Change::Commit(commit) => format!("commit, confirm {}", commit.end),
///         other => panic!("{other:?}"),
///     });
/// }
/// assert_eq!(lines, ["begin 775", "kept", "commit, confirm 0/7"]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Transactions<S> {
    decoder: Decoder,
    relations: Relations,
    store: S,
    in_progress: BTreeMap<u32, Kept>,
    /// Number of the streamed transaction whose block is being received; `None` outside a block.
    block: Option<u32>,
    replay: Option<Replay>,
    scratch: Vec<u8>,
}

/// Progress of returning a transaction that was committed or prepared.
#[derive(Clone, Debug)]
struct Replay {
    end: End,
    /// Time at which the server sent the commit or the prepare, by the server's clock.
    time: Timestamp,
    stage: Stage,
    records: Records,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begin,
    Changes,
    /// The Commit or Prepare message has been returned.
    Over,
}

#[derive(Clone, Debug)]
enum End {
    Commit(StreamCommit),
    Prepare { prepare: StreamPrepare<'static>, gid: Vec<u8> },
}

impl<S: Store> Transactions<S> {
    /// Creates a collector that keeps transactions in `store`. Use a new collector for each START_REPLICATION.
    pub const fn new(store: S) -> Self {
        Self {
            decoder: Decoder::new(),
            relations: Relations::new(),
            store,
            in_progress: BTreeMap::new(),
            block: None,
            replay: None,
            scratch: Vec::new(),
        }
    }

    /// Takes the next message. Returns the change in the message if the server sends the transaction as a whole. Otherwise keeps the change
    /// and returns `None`; then call [`replay`](Self::replay) until `replay` returns `None`.
    ///
    /// # Errors
    /// Malformed and misplaced messages, changes of tables that were not described, and errors of the store.
    pub fn receive<'s>(
        &'s mut self,
        wal: &XLogData<'s>,
    ) -> Result<Option<ReceivedChange<'s>>, TransactionError<S::Error>> {
        if let Some(replay) = self.replay.as_ref().filter(|replay| replay.stage != Stage::Over) {
            return Err(TransactionError::Replaying { xid: replay.records.top() });
        }
        if self.keep_streamed(wal)?.is_some() {
            return Ok(None);
        }
        self.decode_whole(wal).map(Some)
    }

    /// Decodes a message of a transaction that the server sends whole.
    pub(in crate::replication) fn decode_whole<'s>(
        &'s mut self,
        wal: &XLogData<'s>,
    ) -> Result<ReceivedChange<'s>, TransactionError<S::Error>> {
        let change = self.decoder.decode(wal.data.0).map_err(ChangeError::from)?;
        let table = self.relations.follow(&change).map_err(ChangeError::from)?;
        Ok(ReceivedChange { start: wal.start, time: wal.time, change, table })
    }

    /// Processes a message about a streamed transaction, and returns the change in the message. For any other message, does nothing and
    /// returns `None`.
    pub(in crate::replication) fn keep_streamed<'a>(
        &mut self,
        wal: &XLogData<'a>,
    ) -> Result<Option<Change<'a>>, TransactionError<S::Error>> {
        let data = wal.data.0;
        if self.decoder.scope() == Scope::Outside
            && !matches!(data.first(), Some(b'S' | b'E' | b'c' | b'A' | b'p'))
        {
            return Ok(None);
        }
        let change = self.decoder.decode(data).map_err(ChangeError::from)?;
        let misplaced = TransactionError::Change(ChangeError::Decode(DecodeError {
            message: change.name(),
            offset: 0,
            kind: DecodeErrorKind::Misplaced,
        }));
        match &change {
            Change::StreamStart(start) => {
                // The first block of a transaction must be marked as first, and all later blocks must not be marked. If the first block is
                // missing, changes of the transaction have been lost.
                if start.first == self.in_progress.contains_key(&start.xid) {
                    return Err(misplaced);
                }
                if self.in_progress.len() >= MOST && start.first {
                    return Err(TransactionError::TooMany { limit: MOST });
                }
                self.in_progress.entry(start.xid).or_default();
                self.block = Some(start.xid);
            }
            Change::StreamStop(_) => self.block = None,
            Change::StreamAbort(abort) if abort.xid == abort.subxid => {
                if self.in_progress.remove(&abort.xid).is_some() {
                    self.store.remove(abort.xid).map_err(TransactionError::Store)?;
                }
            }
            Change::StreamAbort(abort) => {
                if let Some(kept) = self.in_progress.get_mut(&abort.xid) {
                    kept.abort(&mut self.store, abort.xid, abort.subxid).map_err(TransactionError::Store)?;
                }
            }
            Change::StreamCommit(commit) => {
                let kept = self.in_progress.remove(&commit.xid).ok_or(misplaced)?;
                self.begin_replay(commit.xid, kept, End::Commit(*commit), wal.time);
            }
            Change::StreamPrepare(prepare) => {
                let kept = self.in_progress.remove(&prepare.xid).ok_or(misplaced)?;
                let gid = prepare.gid.as_bytes().to_owned();
                let StreamPrepare { flags, prepare, end, time, xid, gid: _ } = *prepare;
                let prepare = StreamPrepare { flags, prepare, end, time, xid, gid: Text::EMPTY };
                self.begin_replay(xid, kept, End::Prepare { prepare, gid }, wal.time);
            }
            change => {
                let top = self.block.ok_or(misplaced)?;
                let xid = change.xid_in_stream().unwrap_or(top);
                let record = Record { xid, start: wal.start, time: wal.time };
                // The stored record of a Relation ends with the number of this table description, which `replay` reads.
                let order =
                    matches!(change, Change::Relation(_)).then(|| self.relations.next_order().to_be_bytes());
                let order = order.as_ref().map_or(&[][..], |order| order);
                let kept = self.in_progress.entry(top).or_default();
                let kept = kept.append(&mut self.store, top, record, [data, order], &mut self.scratch);
                kept.map_err(TransactionError::Store)?;
            }
        }
        Ok(Some(change))
    }

    fn begin_replay(&mut self, xid: u32, kept: Kept, end: End, time: Timestamp) {
        self.relations.begin_replay(xid);
        self.replay = Some(Replay { end, time, stage: Stage::Begin, records: Records::new(xid, kept) });
    }

    /// Returns whether [`replay`](Self::replay) has changes of an ended transaction to return.
    pub fn is_replaying(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.stage != Stage::Over)
    }

    /// Returns the next change of a stored transaction that was committed or prepared. The last change is the [`Commit`] or [`Prepare`].
    /// After that, `replay` returns `None`.
    ///
    /// # Errors
    /// The errors of [`receive`](Self::receive), and an error when the store returns bytes that differ from the stored bytes.
    pub fn replay(&mut self) -> Result<Option<ReceivedChange<'_>>, TransactionError<S::Error>> {
        let Some(replay) = self.replay.as_mut().filter(|replay| replay.stage != Stage::Over) else {
            return Ok(None);
        };
        let (start, xid) = match &replay.end {
            End::Commit(commit) => (commit.commit, commit.xid),
            End::Prepare { prepare, .. } => (prepare.prepare, prepare.xid),
        };
        let boundary = |change| ReceivedChange { start, time: replay.time, change, table: None };
        if replay.stage == Stage::Begin {
            replay.stage = Stage::Changes;
            return Ok(Some(boundary(replay.end.begin())));
        }
        let next = replay.records.next(&mut self.store).map_err(|error| match error {
            RecordError::Store(error) => TransactionError::Store(error),
            RecordError::Damaged => TransactionError::Damaged { xid },
        });
        let Some((record, length)) = next? else {
            replay.stage = Stage::Over;
            self.relations.end_replay(xid);
            self.store.remove(xid).map_err(TransactionError::Store)?;
            return Ok(Some(boundary(replay.end.end())));
        };
        let data = replay.records.data(length);
        // The stored record of a Relation (`R`) ends with the number of this table description.
        let (data, order) = match data.split_last_chunk() {
            Some((relation @ [b'R', ..], order)) => (relation, u64::from_be_bytes(*order)),
            _ => (data, 0),
        };
        let change = Change::decode(data, Scope::InStream).map_err(ChangeError::from)?;
        let table = self.relations.replay(&change, order).map_err(ChangeError::from)?;
        Ok(Some(ReceivedChange { start: record.start, time: record.time, change, table }))
    }

    /// Returns the tables that the server has described so far.
    pub const fn relations(&self) -> &Relations {
        &self.relations
    }

    /// Returns the numbers of the transactions in progress.
    pub fn in_progress(&self) -> impl Iterator<Item = u32> {
        self.in_progress.keys().copied()
    }

    /// Returns the store.
    pub const fn store(&self) -> &S {
        &self.store
    }
}

impl End {
    fn begin(&self) -> Change<'_> {
        match self {
            Self::Commit(StreamCommit { xid, commit, time, .. }) => {
                Begin { commit: *commit, time: *time, xid: *xid }.into()
            }
            Self::Prepare { prepare: StreamPrepare { prepare, end, time, xid, .. }, gid } => {
                let gid = Text::from(gid.as_slice());
                BeginPrepare { prepare: *prepare, end: *end, time: *time, xid: *xid, gid }.into()
            }
        }
    }

    fn end(&self) -> Change<'_> {
        match self {
            Self::Commit(StreamCommit { flags, commit, end, time, .. }) => {
                Commit { flags: *flags, commit: *commit, end: *end, time: *time }.into()
            }
            Self::Prepare { prepare: StreamPrepare { flags, prepare, end, time, xid, .. }, gid } => {
                let gid = Text::from(gid.as_slice());
                Prepare { flags: *flags, prepare: *prepare, end: *end, time: *time, xid: *xid, gid }.into()
            }
        }
    }
}

/// An error of [`Transactions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionError<E> {
    /// A message is malformed, is not valid at its place in the stream, or does not match the tables that the server has described before.
    Change(ChangeError),
    /// The store failed.
    Store(E),
    /// [`receive`](Transactions::receive) was called before [`replay`](Transactions::replay) had returned the last change.
    Replaying {
        /// Number of the transaction that is being replayed.
        xid: u32,
    },
    /// More transactions are in progress than a server can have.
    TooMany {
        /// Maximum number of transactions in progress.
        limit: usize,
    },
    /// The store returned bytes that differ from the stored bytes.
    Damaged {
        /// Number of the transaction whose bytes differ.
        xid: u32,
    },
}

impl<E> From<ChangeError> for TransactionError<E> {
    fn from(error: ChangeError) -> Self {
        Self::Change(error)
    }
}

impl<E: fmt::Display> fmt::Display for TransactionError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Replaying { xid } => {
                write!(
                    f,
                    "transaction {xid} has changes that were not replayed: replay all of them before the next message"
                )
            }
            Self::TooMany { limit } => write!(f, "more than {limit} transactions are in progress"),
            Self::Damaged { xid } => {
                write!(f, "the store returned bytes of transaction {xid} that differ from the stored bytes")
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for TransactionError<E> {}
