//! Messages about transactions that the server sends as a whole, and messages of `pg_logical_emit_message`.

use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::basic::text::Text;
use crate::codec::field::{Field, Payload};
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;
use crate::replication::enclosed::{DecodeEnclosed, Enclosed, Scope, ScopedField, enclosed};
use crate::replication::lsn::Lsn;
use crate::replication::time::Timestamp;

enclosed! {
    /// Begins a committed transaction. The server sends all changes of the transaction, and then the [`Commit`].
    ///
    /// `B`, Int64 final position, Int64 time, Int32 xid.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-BEGIN)
    b'B' => pub struct Begin {
        /// WAL position of the commit record, the same as `commit` in the following [`Commit`].
        pub commit: Lsn,
        /// Time of the commit.
        pub time: Timestamp,
        /// Transaction number.
        pub xid: u32,
    }
}

enclosed! {
    /// Ends a transaction that began with [`Begin`].
    ///
    /// `C`, Int8 flags, Int64 commit, Int64 end, Int64 time.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-COMMIT)
    b'C' => pub struct Commit {
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
    /// Reports that the transaction was replicated to this server from another server. The server sends an Origin after [`Begin`], or after
    /// the first `StreamStart` of the transaction.
    ///
    /// `O`, Int64 commit, String name.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-ORIGIN)
    b'O' => pub struct Origin<'a> {
        /// WAL position of the commit record on the other server.
        pub commit: Lsn,
        /// Name of the replication origin.
        pub name: Text<'a>,
    }
}

/// A message of `pg_logical_emit_message`. The server sends these messages only with the option
/// [`messages`](crate::replication::command::PgOutput::messages).
///
/// `M`, Int32 xid (only in a block of a streamed transaction), Int8 flags, Int64 position, String prefix, Int32 length, bytes.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-MESSAGE)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogicalMessage<'a> {
    /// Transaction number; `None` outside a block of a streamed transaction.
    pub xid: Option<u32>,
    /// 1 if the message is part of a transaction. See [`is_transactional`](Self::is_transactional).
    pub flags: u8,
    /// WAL position after the record of the message. If the message is not part of a transaction, a stream that starts at this position
    /// does not contain the message again.
    pub lsn: Lsn,
    /// First argument of `pg_logical_emit_message`: the name for this kind of message.
    pub prefix: Text<'a>,
    /// Second argument of `pg_logical_emit_message`: the content of the message.
    pub content: Payload<'a>,
}

impl LogicalMessage<'_> {
    /// Whether the message is part of a transaction. If not, the message arrives between transactions, and the server sends the message
    /// even if the transaction that wrote the message is rolled back.
    pub fn is_transactional(&self) -> bool {
        self.flags & 1 != 0
    }
}

impl Enclosed for LogicalMessage<'_> {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.byte1(b'M');
        self.xid.write_in(out);
        out.byte1(self.flags);
        self.lsn.write(out);
        self.prefix.write(out);
        out.value(Some(self.content.0));
    }
}

impl<'a> DecodeEnclosed<'a> for LogicalMessage<'a> {
    const NAME: &'static str = "LogicalMessage";

    fn read(body: &mut Reader<'a>, scope: Scope) -> Result<Self, DecodeError> {
        let xid = ScopedField::read_in(body, scope)?;
        let flags = body.u8()?;
        let lsn = Field::read(body)?;
        let prefix = body.text()?;
        let negative = body.error(DecodeErrorKind::NegativeLength);
        let content = Payload(body.value()?.ok_or(negative)?);
        Ok(Self { xid, flags, lsn, prefix, content })
    }
}
