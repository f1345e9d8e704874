//! Messages about streamed transactions, which the server sends in blocks before their commit. The server sends these messages only with
//! version 2 of pgoutput or later, and the option `streaming`.

use crate::basic::error::DecodeError;
use crate::codec::field::Field;
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;
use crate::replication::enclosed::{Scope, ScopedField, enclosed};
use crate::replication::lsn::Lsn;
use crate::replication::time::Timestamp;

enclosed! {
    /// Begins a block of changes of one transaction. Blocks of different transactions may alternate.
    ///
    /// `S`, Int32 xid, Int8 first.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-STREAM-START)
    b'S' => pub struct StreamStart {
        /// Transaction number.
        pub xid: u32,
        /// Whether this is the first block of the transaction.
        pub first: bool,
    }
}

enclosed! {
    /// Ends a block of changes of one transaction.
    ///
    /// `E`.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-STREAM-STOP)
    b'E' => pub struct StreamStop {}
}

enclosed! {
    /// Reports that a transaction that was sent in blocks has been committed.
    ///
    /// `c`, Int32 xid, Int8 flags, Int64 commit, Int64 end, Int64 time.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-STREAM-COMMIT)
    b'c' => pub struct StreamCommit {
        /// Transaction number.
        pub xid: u32,
        /// Flags of the message; always 0, because no flag is defined.
        pub flags: u8,
        /// WAL position of the commit record.
        pub commit: Lsn,
        /// WAL position after the commit record. Report this position as flushed when the transaction is durable.
        pub end: Lsn,
        /// Time of the commit.
        pub time: Timestamp,
    }
}

enclosed! {
    /// Reports that a transaction that was sent in blocks, or one of its subtransactions, has been rolled back. The receiver must discard
    /// the changes of the rolled-back transaction or subtransaction.
    ///
    /// `A`, Int32 xid, Int32 subxid, then an [`Aborted`] or nothing.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-STREAM-ABORT)
    b'A' => pub struct StreamAbort {
        /// Number of the transaction that was sent in blocks.
        pub xid: u32,
        /// Number of the subtransaction; the same as `xid` if the whole transaction was rolled back.
        pub subxid: u32,
        /// Position and time of the rollback. Present only with `streaming=parallel`, which requires version 4 of pgoutput.
        pub aborted: Option<Aborted>,
    }
}

/// Position and time of a rollback: Int64, Int64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// WAL position of the abort record.
    pub lsn: Lsn,
    /// Time of the rollback.
    pub time: Timestamp,
}

/// An optional last field: present if bytes are left in the message.
impl<'a> ScopedField<'a> for Option<Aborted> {
    fn read_in(body: &mut Reader<'a>, _: Scope) -> Result<Self, DecodeError> {
        if body.remaining() == 0 {
            return Ok(None);
        }
        Ok(Some(Aborted { lsn: Field::read(body)?, time: Field::read(body)? }))
    }
    fn write_in<P: Writer + ?Sized>(&self, out: &mut P) {
        if let Some(Aborted { lsn, time }) = self {
            lsn.write(out);
            time.write(out);
        }
    }
}
