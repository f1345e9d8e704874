//! Two-phase commit. Version 3 and later, on a slot with `two_phase`.

use crate::basic::text::Text;
use crate::replication::enclosed::enclosed;
use crate::replication::lsn::Lsn;
use crate::replication::time::Timestamp;

enclosed! {
    /// A transaction begins, which has been prepared: all of its changes follow, and then its [`Prepare`].
    ///
    /// `b`, Int64 prepare, Int64 end, Int64 time, Int32 xid, String gid.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-BEGIN-PREPARE)
    b'b' => pub struct BeginPrepare<'a> {
        /// Position of the prepare record.
        pub prepare: Lsn,
        /// Position after the prepare record.
        pub end: Lsn,
        /// Time of the PREPARE TRANSACTION.
        pub time: Timestamp,
        /// The transaction.
        pub xid: u32,
        /// The name that the client gave to the prepared transaction.
        pub gid: Text<'a>,
    }
}

enclosed! {
    /// The transaction is prepared. A [`CommitPrepared`] or a [`RollbackPrepared`] decides it, at any later time.
    ///
    /// `P`, Int8 flags, Int64 prepare, Int64 end, Int64 time, Int32 xid, String gid.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-PREPARE)
    b'P' => pub struct Prepare<'a> {
        /// 0: no flag has been defined.
        pub flags: u8,
        /// Position of the prepare record.
        pub prepare: Lsn,
        /// Position after the prepare record: report this one as flushed once the transaction is durable.
        pub end: Lsn,
        /// Time of the PREPARE TRANSACTION.
        pub time: Timestamp,
        /// The transaction.
        pub xid: u32,
        /// The name that the client gave to the prepared transaction.
        pub gid: Text<'a>,
    }
}

enclosed! {
    /// A prepared transaction has been committed.
    ///
    /// `K`, Int8 flags, Int64 commit, Int64 end, Int64 time, Int32 xid, String gid.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-COMMIT-PREPARED)
    b'K' => pub struct CommitPrepared<'a> {
        /// 0: no flag has been defined.
        pub flags: u8,
        /// Position of the commit record.
        pub commit: Lsn,
        /// Position after the commit record: report this one as flushed once the commit is durable.
        pub end: Lsn,
        /// Time of the commit.
        pub time: Timestamp,
        /// The transaction.
        pub xid: u32,
        /// The name that the client gave to the prepared transaction.
        pub gid: Text<'a>,
    }
}

enclosed! {
    /// A prepared transaction has been rolled back. Sent even if its PREPARE was before the start of the slot, so an unknown one is to be
    /// ignored.
    ///
    /// `r`, Int8 flags, Int64 prepare end, Int64 rollback end, Int64 prepare time, Int64 rollback time, Int32 xid, String gid.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-ROLLBACK-PREPARED)
    b'r' => pub struct RollbackPrepared<'a> {
        /// 0: no flag has been defined.
        pub flags: u8,
        /// Position after the prepare record.
        pub prepare_end: Lsn,
        /// Position after the rollback record: report this one as flushed once the rollback is durable.
        pub end: Lsn,
        /// Time of the PREPARE TRANSACTION.
        pub prepare_time: Timestamp,
        /// Time of the rollback.
        pub time: Timestamp,
        /// The transaction.
        pub xid: u32,
        /// The name that the client gave to the prepared transaction.
        pub gid: Text<'a>,
    }
}

enclosed! {
    /// A transaction that was sent in blocks is prepared.
    ///
    /// `p`, Int8 flags, Int64 prepare, Int64 end, Int64 time, Int32 xid, String gid.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-STREAM-PREPARE)
    b'p' => pub struct StreamPrepare<'a> {
        /// 0: no flag has been defined.
        pub flags: u8,
        /// Position of the prepare record.
        pub prepare: Lsn,
        /// Position after the prepare record: report this one as flushed once the transaction is durable.
        pub end: Lsn,
        /// Time of the PREPARE TRANSACTION.
        pub time: Timestamp,
        /// The transaction.
        pub xid: u32,
        /// The name that the client gave to the prepared transaction.
        pub gid: Text<'a>,
    }
}
