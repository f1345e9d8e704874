//! The forms in which the data of a stream is lent.

use crate::replication::lsn::Lsn;
use crate::replication::pgoutput::{Change, ChangeDecoder, Table};
use crate::replication::time::Timestamp;

/// The data of a stream is lent as it is: WAL, or the messages of an output plugin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

/// The data of a stream is decoded as changes of pgoutput.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub(super) decoder: ChangeDecoder,
}

/// A change, lent from the buffer of the connection.
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
