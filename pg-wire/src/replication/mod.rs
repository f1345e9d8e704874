//! Replication and base backups: the messages inside CopyData, the changes of pgoutput, the commands, and the replies to the
//! commands.
//!
//! - [`command`]: the commands of a replication connection, with quoting of names and strings. [`reply`]: the rows that answer
//!   the commands.
//! - [`PrimaryMessage`] and [`StandbyMessage`]: the messages of both directions of a replication stream, inside CopyData.
//!   [`BackupMessage`]: the messages of a base backup, inside CopyData.
//! - [`pgoutput`]: the changes of logical replication, inside [`XLogData`].
//! - [`Lsn`]: a position in the WAL. [`Timestamp`]: a time of the server's or the client's clock.
//!
//! The messages are decoded from byte slices, borrow from the slices and allocate nothing. So any client that provides the data
//! of a CopyData as a slice can use this module.
//!
//! This module sends no answers: the caller must send each [`StandbyStatusUpdate`]. A server disconnects a client that does not
//! answer within `wal_sender_timeout`, and deletes the WAL that the client has reported as flushed.
//!
//! # Reading changes
//!
//! ```
//! use std::time::SystemTime;
//! use pg_wire::backend::Backend;
//! use pg_wire::replication::command::{PgOutput, StartLogical};
//! use pg_wire::replication::pgoutput::{Change, Decoder};
//! use pg_wire::replication::{Enclosed, Lsn, PrimaryMessage, StandbyStatusUpdate};
//! use pg_wire::{Connection, Limits, PgProtocol};
//! # use pg_wire::{Encode, codec::{List, Payload}, frontend::Frontend, oid, testing::{Script, block_on}};
//! # use pg_wire::backend::{CopyBothResponse, CopyDone, CopyFormat};
//! # use pg_wire::replication::{PrimaryKeepalive, Timestamp, XLogData, pgoutput::*};
//! #
//! # let (mut sent, time) = (Vec::new(), Timestamp(0));
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
//! # let socket = Script::says(&sent);
//! # let mut conn = Connection::new(socket, Limits::BACKEND);
//! # block_on(async {
//! // `conn` was opened with the parameter `replication=database`.
//! let options = PgOutput::new(1, &["orders"]);
//! let start = StartLogical::new("cdc", Lsn::INVALID).pgoutput(&options);
//! conn.query(start.to_string().as_str()).flush().await?;
//! let (mut decoder, mut durable) = (Decoder::default(), Lsn::INVALID);
//! loop {
//!     let copy = match conn.recv().await?.backend()? {
//!         Backend::CopyData(copy) => copy,
//!         Backend::CopyDone(_) => break,
//!         Backend::ErrorResponse(error) => return Err(error.to_owned().into()),
//!         _ => continue,
//!     };
//!     match PrimaryMessage::decode(copy.data.0)? {
//!         PrimaryMessage::XLogData(wal) => match decoder.decode(wal.data.0)? {
//!             Change::Relation(table) => println!("table {}: {:?}", table.relation, table.name),
//!             Change::Insert(insert) => println!("into {}: {:?}", insert.relation, insert.new),
//!             Change::Commit(commit) => durable = commit.end, // once all of it is on disk
//!             change => println!("{change:?}"),
//!         },
//!         PrimaryMessage::PrimaryKeepalive(keepalive) if keepalive.reply => {
//!             let status = StandbyStatusUpdate::durable(durable, SystemTime::now().into());
//!             conn.put(&status.in_copy_data()).flush().await?;
//!         }
//!         _ => {}
//!     }
//! }
//! # assert_eq!(durable, Lsn(9));
//! # let heard = conn.transport().heard();
//! # assert!(heard.windows(6).any(|bytes| bytes == b"d\0\0\0\x26r"), "the keepalive was answered");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
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

    /// Checks that a message is encoded as these bytes and decoded from them.
    ///
    /// - Each prefix with fewer than `open` bytes must be an error. A longer prefix may be a valid message, if the last field
    ///   is optional or takes all remaining bytes.
    /// - Changed bytes must cause no panic. If they are decoded as a message, encoding the message must return the same bytes.
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
