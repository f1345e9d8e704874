//! The messages of pgoutput, the output plugin of logical replication: versions 1 to 4.
//!
//! A message is the data of one [`XLogData`](super::XLogData), or one value returned by the function
//! `pg_logical_slot_get_binary_changes`. So any client that provides the message as a byte slice can use this module.
//! [`Decoder`] decodes a sequence of messages, without allocating or copying.
//!
//! | version | PostgreSQL | adds |
//! | --- | --- | --- |
//! | 1 | 10 | whole transactions, sent after their commit |
//! | 2 | 14 | option `streaming`: large transactions in blocks, before their commit |
//! | 3 | 15 | option `two_phase`: two-phase commit |
//! | 4 | 16 | option `streaming=parallel`: position and time of a [`StreamAbort`] |
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html)

mod decoder;
mod kept;
mod received;
mod relation;
mod relations;
mod row;
mod store;
mod streamed;
#[cfg(test)]
mod tests;
mod transaction;
mod transactions;
mod tuple;
mod two_phase;

pub use super::enclosed::{Scope, Unknown};
pub use decoder::{ChangeDecoder, ChangeError};
pub use received::ReceivedChange;
pub use relation::{Relation, RelationColumn, ReplicaIdentity, Type};
pub use relations::{RelationError, Relations, Table, TableColumn, TypeName};
pub use row::{Delete, Insert, OldRow, Truncate, Update};
pub use store::{MemoryStore, Store, StoreFull};
pub use streamed::{Aborted, StreamAbort, StreamCommit, StreamStart, StreamStop};
pub use transaction::{Begin, Commit, LogicalMessage, Origin};
pub use transactions::{TransactionError, Transactions};
pub use tuple::{Tuple, TupleIter, TupleValue};
pub use two_phase::{BeginPrepare, CommitPrepared, Prepare, RollbackPrepared, StreamPrepare};

use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::replication::enclosed::{Enclosed, kinds};

kinds! {
    /// A message of pgoutput.
    pub enum Change {
        b'I' => Insert<'a>, Hot;
        b'U' => Update<'a>, Hot;
        b'D' => Delete<'a>, Hot;
        b'B' => Begin, Cold;
        b'C' => Commit, Cold;
        b'O' => Origin<'a>, Cold;
        b'R' => Relation<'a>, Cold;
        b'Y' => Type<'a>, Cold;
        b'T' => Truncate<'a>, Cold;
        b'M' => LogicalMessage<'a>, Cold;
        b'S' => StreamStart, Cold;
        b'E' => StreamStop, Cold;
        b'c' => StreamCommit, Cold;
        b'A' => StreamAbort, Cold;
        b'b' => BeginPrepare<'a>, Cold;
        b'P' => Prepare<'a>, Cold;
        b'K' => CommitPrepared<'a>, Cold;
        b'r' => RollbackPrepared<'a>, Cold;
        b'p' => StreamPrepare<'a>, Cold;
    }
}

impl<'a> Change<'a> {
    /// Decodes one message. The caller has to know the scope: whether the message is inside a block of a streamed transaction. [`Decoder`]
    /// tracks the scope over a sequence of messages.
    ///
    /// The last tuple of a message extends to the end of the message, so this function does not read the values of this tuple. A malformed
    /// value in this tuple is reported only by [`validate`](Self::validate), or by iterating over the values.
    ///
    /// # Errors
    /// When the data is empty, or the fields do not match the kind of the message, which is the first byte.
    #[inline]
    pub fn decode(data: &'a [u8], scope: Scope) -> Result<Self, DecodeError> {
        Self::decode_in(data, scope)
    }

    /// Reads all values of all tuples.
    ///
    /// # Errors
    /// When a value is malformed, or bytes are left over after the last value.
    pub fn validate(&self) -> Result<(), DecodeError> {
        match self {
            Self::Insert(insert) => insert.new.validate(),
            Self::Update(update) => update.new.validate(),
            Self::Delete(delete) => delete.old.tuple().validate(),
            _ => Ok(()),
        }
    }

    /// Returns the transaction number of a message inside a block of a streamed transaction; `None` outside a block.
    pub fn xid_in_stream(&self) -> Option<u32> {
        match self {
            Self::Insert(insert) => insert.xid,
            Self::Update(update) => update.xid,
            Self::Delete(delete) => delete.xid,
            Self::Truncate(truncate) => truncate.xid,
            Self::Relation(relation) => relation.xid,
            Self::Type(type_) => type_.xid,
            Self::LogicalMessage(message) => message.xid,
            _ => None,
        }
    }
}

/// Decodes a sequence of messages of pgoutput, in the order in which they are received.
///
/// Inside a block of a streamed transaction, some messages have one more field. The bytes of a message do not show whether the field is
/// present. So the decoder stores whether the stream is inside a block: after a [`StreamStart`] and before its [`StreamStop`]. Use a new
/// decoder for each START_REPLICATION.
///
/// ```
/// use pg_wire::replication::pgoutput::{Change, Decoder};
///
/// let mut decoder = Decoder::default();
/// decoder.decode(b"S\0\0\x03\x07\x01")?; // a block of transaction 775
/// let Change::Insert(insert) = decoder.decode(b"I\0\0\x03\x08\0\0\x40\x01N\0\x01t\0\0\0\x02hi")? else { panic!() };
/// assert_eq!((insert.xid, insert.relation), (Some(776), 16385), "the change was made in subtransaction 776");
/// decoder.decode(b"E")?;
/// let Change::Insert(insert) = decoder.decode(b"I\0\0\x40\x01N\0\x01t\0\0\0\x02hi")? else { panic!() };
/// assert_eq!((insert.xid, insert.relation), (None, 16385));
/// # Ok::<_, pg_wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    scope: Scope,
}

impl Decoder {
    /// Creates a decoder for the start of a stream.
    pub const fn new() -> Self {
        Self { scope: Scope::Outside }
    }

    /// Decodes the next message.
    ///
    /// # Errors
    /// The errors of [`Change::decode`], and [`Misplaced`](DecodeErrorKind::Misplaced) for a message that is not valid at this
    /// point:
    ///
    /// - inside a block: a StreamStart, or a message that begins or ends a transaction;
    /// - outside a block: a StreamStop.
    ///
    /// After an error the decoder is unchanged.
    #[inline]
    pub fn decode<'a>(&mut self, data: &'a [u8]) -> Result<Change<'a>, DecodeError> {
        // Fast path for INSERT, UPDATE and DELETE. These messages begin and end no block, so `note` is not called.
        let scope = self.scope;
        Change::decode_hot(data, scope, || self.decode_cold(data))
    }

    #[inline(never)]
    fn decode_cold<'a>(&mut self, data: &'a [u8]) -> Result<Change<'a>, DecodeError> {
        let change = Change::decode_cold(data, self.scope)?;
        self.note(&change)?;
        Ok(change)
    }

    /// Returns whether the next message is inside a block of a streamed transaction.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    fn note(&mut self, change: &Change<'_>) -> Result<(), DecodeError> {
        self.scope = match (change, self.scope) {
            (Change::StreamStart(_), Scope::Outside) => Scope::InStream,
            (Change::StreamStop(_), Scope::InStream) => Scope::Outside,
            (
                Change::Relation(_)
                | Change::Type(_)
                | Change::Truncate(_)
                | Change::LogicalMessage(_)
                | Change::Origin(_)
                | Change::Unknown(_),
                scope,
            ) => scope,
            (Change::StreamStop(_), Scope::Outside) | (_, Scope::InStream) => {
                return Err(DecodeError {
                    message: change.name(),
                    offset: 0,
                    kind: DecodeErrorKind::Misplaced,
                });
            }
            (_, Scope::Outside) => Scope::Outside,
        };
        Ok(())
    }
}
