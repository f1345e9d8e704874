//! A change with its position and its table.

use crate::replication::lsn::Lsn;
use crate::replication::pgoutput::{Change, Table};
use crate::replication::time::Timestamp;

/// A change, lent, with its position and its table.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReceivedChange<'s> {
    /// Position of the record that the change is about; `0/0` if there is none. To confirm a transaction, use the `end` of its
    /// [`Commit`](crate::replication::pgoutput::Commit).
    pub start: Lsn,
    /// The server's clock when it sent the change.
    pub time: Timestamp,
    /// The change.
    pub change: Change<'s>,
    /// The table of a [`Relation`](crate::replication::pgoutput::Relation), INSERT, UPDATE or DELETE.
    pub table: Option<&'s Table>,
}
