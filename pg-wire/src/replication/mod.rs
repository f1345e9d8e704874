//! Replication and base backups: the messages inside CopyData, the changes of pgoutput, the commands, and the replies to the commands.
//!
//! - [`command`]: the commands of a replication connection, with quoting of names and strings. [`reply`]: the rows that answer the
//!   commands.
//! - [`PrimaryMessage`] and [`StandbyMessage`]: the messages of both directions of a replication stream, inside CopyData.
//!   [`BackupMessage`]: the messages of a base backup, inside CopyData.
//! - [`pgoutput`]: the changes of logical replication, inside [`XLogData`].
//! - [`Lsn`]: a position in the WAL. [`Timestamp`]: a time of the server's or the client's clock.
//! - [`ReplicationStream`]: a live stream over a [`Connection`](crate::Connection). [`pgoutput::Transactions`]: transactions in progress,
//!   returned at their commit. [`StandbyStatus`]: the positions of a client, without I/O.
//!
//! The messages are decoded from byte slices, borrow from the slices and allocate nothing. So any client that provides the data of a
//! CopyData as a slice can use this module without a `ReplicationStream`. Such a client has to send status updates itself. Without these
//! updates, the server disconnects the client after `wal_sender_timeout`, and the slot keeps all WAL.
//!
//! # Reading changes
//!
//! The crates `pg-stream-tokio` and `pg-stream-async-std` define aliases of `ReplicationStream` that use the clock of their runtime.
//!
//! ```
//! use pg_wire::replication::ReplicationStream;
//! use pg_wire::replication::command::{PgOutput, StartLogical};
//! use pg_wire::replication::pgoutput::Change;
//! # use pg_wire::{Connection, Encode, Limits, codec::{List, Payload}, oid, testing::{Script, TestClock, block_on}};
//! # use pg_wire::backend::{CommandComplete, CopyBothResponse, CopyDone, CopyFormat, ReadyForQuery};
//! # use pg_wire::replication::{Enclosed, Lsn, PrimaryKeepalive, StandbyStatusUpdate, Timestamp, XLogData, pgoutput::*};
//! #
//! # let (mut sent, time, resume) = (Vec::new(), Timestamp(0), Lsn::INVALID);
//! # CopyBothResponse { format: CopyFormat::Text, columns: List::EMPTY }.encode(&mut sent)?;
//! # let columns = [RelationColumn { flags: 1, name: "id".into(), type_oid: oid::INT4, type_modifier: -1 }];
//! # let values = [TupleValue::Text(b"7")];
//! # for change in [
//! #     Change::from(Begin { commit: Lsn(7), time, xid: 1 }),
//! #     Change::from(Relation {
//! #         xid: None,
//! #         relation: 16_385,
//! #         namespace: "public".into(),
//! #         name: "orders".into(),
//! #         replica_identity: ReplicaIdentity::Default,
//! #         columns: List::from(&columns),
//! #     }),
//! #     Change::from(Insert { xid: None, relation: 16_385, new: Tuple::from(&values) }),
//! #     Change::from(Commit { flags: 0, commit: Lsn(7), end: Lsn(9), time }),
//! # ] {
//! #     let mut data = Vec::new();
//! #     change.encode(&mut data)?;
//! #     XLogData { start: Lsn(0), end: Lsn(0), time, data: Payload(&data) }.in_copy_data().encode(&mut sent)?;
//! # }
//! # PrimaryKeepalive { end: Lsn(9), time, reply: true }.in_copy_data().encode(&mut sent)?;
//! # CopyDone {}.encode(&mut sent)?;
//! # CommandComplete { tag: "COPY 0".into() }.encode(&mut sent)?;
//! # ReadyForQuery { status: pg_wire::TransactionStatus::Idle }.encode(&mut sent)?;
//! # let conn = Connection::new(Script::sends(&sent), Limits::BACKEND);
//! # let mut lines = Vec::new();
//! # macro_rules! println { ($($all:tt)*) => { lines.push(format!($($all)*)) } }
//! # block_on(async {
//! // `conn` was opened with the parameter `replication=database`, and `resume` is the position that was stored last.
//! let start = StartLogical::new("cdc", resume).pgoutput(&PgOutput::new(1, &["orders"]));
//! let stream = ReplicationStream::start(conn, &start).await?;
//! # let stream: ReplicationStream<_, TestClock> = stream;
//! let mut stream = stream.changes();
//! while let Some(received) = stream.next().await? {
//!     match (received.change, received.table) {
//!         (Change::Insert(insert), Some(table)) => {
//!             println!("into {table}");
//!             for value in table.values(insert.new) {
//!                 let (column, value) = value?;
//!                 println!("  {} {}: {value:?}", column.name, column.type_name().unwrap_or("?"));
//!             }
//!         }
//!         // Store the transaction and this position. After both are on disk, confirm the position:
//!         (Change::Commit(commit), _) => stream.set_flushed(commit.end)?,
//!         _ => {}
//!     }
//! }
//! let conn = stream.finish().await?.connection;
//! # assert_eq!(lines, ["into public.orders", "  id int4: \"7\""]);
//! # let mut status = Vec::new();
//! # StandbyStatusUpdate { applied: Lsn::INVALID, ..StandbyStatusUpdate::durable(Lsn(9), time) }.in_copy_data().encode(&mut status)?;
//! # let received = conn.transport().received();
//! # assert!(received.windows(status.len()).filter(|bytes| *bytes == status).count() == 2, "the keepalive is answered, and the end reports");
//! # assert!(received.ends_with(b"c\0\0\0\x04"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # Confirming
//!
//! A stream confirms only the position of the last [`set_flushed`](ReplicationStream::set_flushed). To lose no change, declare the `end` of
//! a transaction after the transaction is durable. To receive no transaction twice, store this `end` together with the transaction, and
//! start at this `end` after a failure. The server then sends only transactions that were committed later.
//!
//! An idle stream confirms no position. So the slot keeps all WAL, and a server that shuts down waits for the stream. Call
//! [`confirm_keepalives`](ReplicationStream::confirm_keepalives) to confirm the position of a keepalive, once everything received before
//! the keepalive is durable.
//!
//! # Long work
//!
//! | Work | Method |
//! | --- | --- |
//! | asynchronous work of any duration | [`keep_alive_while`](ReplicationStream::keep_alive_while) |
//! | blocking work in another thread, which a future waits for | `keep_alive_while` |
//! | blocking work in the task that receives, or work that uses a lent change | [`split`](ReplicationStream::split), and run the [`StatusSender`] in another thread |
//!
//! # Large transactions
//!
//! With the option `streaming`, the server sends a large transaction in blocks while the transaction is in progress.
//! [`transactions`](ReplicationStream::transactions) keeps the blocks in a [`Store`](pgoutput::Store): in memory up to a limit, or in a
//! place that the caller chooses. Changes that are rolled back are dropped, and each transaction is returned at its commit.
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html)

mod backup;
pub mod command;
mod enclosed;
#[cfg(feature = "std")]
mod live;
mod lsn;
pub mod pgoutput;
pub mod reply;
mod status;
mod stream;
mod time;

pub use backup::{BackupData, BackupMessage, Manifest, NewArchive, Progress};
pub use enclosed::{Enclosed, InCopyData, Unknown};
#[cfg(feature = "std")]
pub use live::{
    Changes, Clock, Finished, FinishedReader, Payload, Raw, ReplicationStream, StartCommand, StartError,
    StatusHandle, StatusSender, StreamError, StreamErrorKind, StreamReader,
};
pub use lsn::{Lsn, ParseLsnError};
pub use status::{NotReceived, StandbyStatus};
pub use stream::{
    HotStandbyFeedback, PrimaryKeepalive, PrimaryMessage, PrimaryStatusRequest, PrimaryStatusUpdate,
    StandbyMessage, StandbyStatusUpdate, XLogData,
};
pub use time::Timestamp;

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::fmt::Debug;

    use super::Enclosed;
    use crate::backend::CopyData;
    use crate::codec::Payload;
    use crate::{DecodeError, Direction, Encode, Message};

    /// Checks that `message` is encoded as `bytes`, and that `bytes` are decoded as `message`.
    ///
    /// - Each prefix with fewer than `open` bytes must be an error. A longer prefix may be a valid message, if the last field
    ///   is optional or takes all remaining bytes.
    /// - Changing a bit of `bytes` must cause no panic. If the changed bytes are a valid message, encoding this message must return the
    ///   changed bytes.
    #[track_caller]
    pub(super) fn golden<M: Enclosed + PartialEq + Debug>(
        message: M,
        bytes: &'static [u8],
        open: usize,
        decode: impl Fn(&'static [u8]) -> Result<M, DecodeError>,
    ) {
        let mut out = Vec::new();
        message.encode(&mut out).expect("the message is valid");
        assert_eq!(out.escape_ascii().to_string(), bytes.escape_ascii().to_string());
        let back = decode(bytes).expect("the bytes are well-formed");
        assert_eq!(back, message);

        let copy = CopyData { data: Payload(bytes) };
        let (mut whole, mut wrapped) = (Vec::new(), Vec::new());
        copy.encode(&mut whole).expect("valid");
        message.in_copy_data().encode(&mut wrapped).expect("valid");
        assert_eq!(whole, wrapped);
        let trace = message.in_copy_data().trace(Direction::Backend).to_string();
        assert_eq!(trace, copy.trace(Direction::Backend).to_string());

        let mut short = alloc::vec![0xaa; bytes.len() - 1];
        assert!(message.encode(&mut &mut short[..]).is_err(), "the buffer is one byte too short");
        assert!(short.iter().all(|byte| *byte == 0xaa));

        let is_message = |data: &'static [u8]| match decode(data) {
            Ok(message) => {
                let _ = format!("{message:?}");
                let mut again = Vec::new();
                message.encode(&mut again).expect("a decoded message can be encoded");
                assert_eq!(again.escape_ascii().to_string(), data.escape_ascii().to_string());
                true
            }
            Err(error) => {
                assert!(error.offset <= data.len(), "{error:?}");
                false
            }
        };
        for end in 0..bytes.len() {
            assert!(!is_message(&bytes[..end]) || end >= open, "cut to {end} bytes");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 1 << bit;
                is_message(damaged.leak());
            }
        }
        assert!(!is_message([bytes, b"\0"].concat().leak()) || open < usize::MAX, "one byte is added");
    }
}
