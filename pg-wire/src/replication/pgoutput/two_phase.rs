//! Messages of two-phase commit. These messages require version 3 of pgoutput and a slot with the option `two_phase`.

use crate::basic::text::Text;
use crate::replication::enclosed::enclosed;
use crate::replication::lsn::Lsn;
use crate::replication::time::Timestamp;

enclosed! {
    /// Begins a prepared transaction. The server sends all changes of the transaction, and then the [`Prepare`].
    ///
    /// `b`, Int64 prepare, Int64 end, Int64 time, Int32 xid, String gid.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-BEGIN-PREPARE)
    b'b' => pub struct BeginPrepare<'a> {
        /// WAL position of the prepare record.
        pub prepare: Lsn,
        /// WAL position after the prepare record.
        pub end: Lsn,
        /// Time of the PREPARE TRANSACTION.
        pub time: Timestamp,
        /// Transaction number.
        pub xid: u32,
        /// The name that the client gave to the prepared transaction.
        pub gid: Text<'a>,
    }
}

enclosed! {
    /// Ends a prepared transaction. A later [`CommitPrepared`] or [`RollbackPrepared`] reports the outcome of the transaction.
    ///
    /// `P`, Int8 flags, Int64 prepare, Int64 end, Int64 time, Int32 xid, String gid.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-PREPARE)
    b'P' => pub struct Prepare<'a> {
        /// Flags of the message; always 0, because no flag is defined.
        pub flags: u8,
        /// WAL position of the prepare record.
        pub prepare: Lsn,
        /// WAL position after the prepare record. Report this position as flushed when the transaction is durable.
        pub end: Lsn,
        /// Time of the PREPARE TRANSACTION.
        pub time: Timestamp,
        /// Transaction number.
        pub xid: u32,
        /// The name that the client gave to the prepared transaction.
        pub gid: Text<'a>,
    }
}

enclosed! {
    /// Reports that a prepared transaction has been committed.
    ///
    /// `K`, Int8 flags, Int64 commit, Int64 end, Int64 time, Int32 xid, String gid.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-COMMIT-PREPARED)
    b'K' => pub struct CommitPrepared<'a> {
        /// Flags of the message; always 0, because no flag is defined.
        pub flags: u8,
        /// WAL position of the commit record.
        pub commit: Lsn,
        /// WAL position after the commit record. Report this position as flushed when the commit is durable.
        pub end: Lsn,
        /// Time of the commit.
        pub time: Timestamp,
        /// Transaction number.
        pub xid: u32,
        /// The name that the client gave to the prepared transaction.
        pub gid: Text<'a>,
    }
}

enclosed! {
    /// Reports that a prepared transaction has been rolled back. Ignore the message if the client has not received the transaction: the
    /// server sends the message even if the PREPARE was before the start of the slot.
    ///
    /// `r`, Int8 flags, Int64 prepare end, Int64 rollback end, Int64 prepare time, Int64 rollback time, Int32 xid, String gid.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-ROLLBACK-PREPARED)
    b'r' => pub struct RollbackPrepared<'a> {
        /// Flags of the message; always 0, because no flag is defined.
        pub flags: u8,
        /// WAL position after the prepare record.
        pub prepare_end: Lsn,
        /// WAL position after the rollback record. Report this position as flushed when the rollback is durable.
        pub end: Lsn,
        /// Time of the PREPARE TRANSACTION.
        pub prepare_time: Timestamp,
        /// Time of the rollback.
        pub time: Timestamp,
        /// Transaction number.
        pub xid: u32,
        /// The name that the client gave to the prepared transaction.
        pub gid: Text<'a>,
    }
}

enclosed! {
    /// Reports that a transaction that was sent in blocks has been prepared.
    ///
    /// `p`, Int8 flags, Int64 prepare, Int64 end, Int64 time, Int32 xid, String gid.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-STREAM-PREPARE)
    b'p' => pub struct StreamPrepare<'a> {
        /// Flags of the message; always 0, because no flag is defined.
        pub flags: u8,
        /// WAL position of the prepare record.
        pub prepare: Lsn,
        /// WAL position after the prepare record. Report this position as flushed when the transaction is durable.
        pub end: Lsn,
        /// Time of the PREPARE TRANSACTION.
        pub time: Timestamp,
        /// Transaction number.
        pub xid: u32,
        /// The name that the client gave to the prepared transaction.
        pub gid: Text<'a>,
    }
}
