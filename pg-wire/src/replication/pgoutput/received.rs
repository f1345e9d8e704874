//! A change with its position and its table.

use crate::replication::lsn::Lsn;
use crate::replication::pgoutput::{Change, Table};
use crate::replication::time::Timestamp;

/// A change that borrows from the received data, with its position and its table.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReceivedChange<'s> {
    /// Position of the WAL record that the change was decoded from. Some messages have `0/0`, because another message for the same record
    /// follows: an example is a Relation before the change of a row. To confirm a transaction, use the `end` of its
    /// [`Commit`](crate::replication::pgoutput::Commit).
    pub start: Lsn,
    /// Time at which the server sent the change, by the server's clock.
    pub time: Timestamp,
    /// The change, decoded.
    pub change: Change<'s>,
    /// The table that the change is about. `None` if the change is not a [`Relation`](crate::replication::pgoutput::Relation), INSERT,
    /// UPDATE or DELETE.
    pub table: Option<&'s Table>,
}
