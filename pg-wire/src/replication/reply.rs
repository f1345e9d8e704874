//! The rows that answer replication commands. The values of a row are found by the names of the columns.
//!
//! ```
//! use pg_wire::{Decode, backend::{DataRow, RowDescription}, replication::{Lsn, reply::{FromReply, NextTimeline}}, value::Columns};
//!
//! let description = RowDescription::decode(
//!     b"\0\x02next_tli\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\0next_tli_startpos\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
//! )?;
//! let row = DataRow::decode(b"\0\x02\0\0\0\x012\0\0\0\x090/16B2D50")?;
//! let next = NextTimeline::from_reply(&Columns::of_portal(&description), &row)?;
//! assert_eq!((next.timeline, next.start), (2, Lsn(0x16b_2d50)));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use crate::basic::oid::Oid;
use crate::message::backend::DataRow;
use crate::replication::lsn::Lsn;
use crate::value::{Columns, FromValue, RowError};

/// A row that answers a replication command.
pub trait FromReply<'a>: Sized {
    /// Reads the row. Unknown columns are ignored, because later versions of PostgreSQL may add columns.
    ///
    /// # Errors
    /// [`RowError::NoColumnNamed`] when a column is missing, and the other errors of [`RowError`].
    fn from_reply(columns: &Columns, row: &DataRow<'a>) -> Result<Self, RowError>;
}

/// Reads the value of the column `name`.
fn named<'a, T: FromValue<'a>>(
    columns: &Columns,
    row: &DataRow<'a>,
    name: &'static str,
) -> Result<T, RowError> {
    let index = columns.position(name).ok_or(RowError::NoColumnNamed { name })?;
    columns.value(row, index)
}

/// Declares the row of a reply. Each line has the name of a column and the field for the value of this column.
macro_rules! reply {
    ($(#[$doc:meta])* pub struct $name:ident $(<$life:lifetime>)? {
        $($(#[$fdoc:meta])* $column:literal => pub $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name $(<$life>)? { $($(#[$fdoc])* pub $field: $type,)* }

        impl<'m $(, $life)?> FromReply<'m> for $name $(<$life>)? $(where 'm: $life)? {
            fn from_reply(columns: &Columns, row: &DataRow<'m>) -> Result<Self, RowError> {
                Ok(Self { $($field: named(columns, row, $column)?,)* })
            }
        }
    };
}

reply! {
    /// The row that answers IDENTIFY_SYSTEM.
    pub struct SystemIdentification<'a> {
        /// Identifier of the cluster, a decimal number. The primary and all of its standbys have the same identifier.
        "systemid" => pub system_id: &'a str,
        /// Number of the current timeline.
        "timeline" => pub timeline: u32,
        /// WAL position in `xlogpos`: the end of the flushed WAL. On a standby, this is the end of the received or of the replayed WAL,
        /// whichever is later.
        "xlogpos" => pub position: Lsn,
        /// Name of the database of the connection; `None` with `replication=true`.
        "dbname" => pub database: Option<&'a str>,
    }
}

/// The row that answers TIMELINE_HISTORY: the history file of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimelineHistoryFile<'a> {
    /// Name of the file, such as `00000002.history`.
    pub name: &'a str,
    /// Content of the file. The encoding is not specified.
    pub content: &'a [u8],
}

impl<'a> FromReply<'a> for TimelineHistoryFile<'a> {
    fn from_reply(columns: &Columns, row: &DataRow<'a>) -> Result<Self, RowError> {
        const CONTENT: &str = "content";
        let name = named(columns, row, "filename")?;
        let missing = RowError::NoColumnNamed { name: CONTENT };
        let Some(index) = columns.position(CONTENT) else { return Err(missing) };
        // Reads the bytes without regard to the type of the column. Some servers declare the column as text, others as bytea, but all send
        // the plain content of the file.
        let content = row.values.get(index)?.flatten().ok_or(missing)?;
        Ok(Self { name, content })
    }
}

reply! {
    /// The row that answers CREATE_REPLICATION_SLOT.
    pub struct CreatedSlot<'a> {
        /// Name of the slot.
        "slot_name" => pub slot: &'a str,
        /// The first position at which replication from the slot can start.
        "consistent_point" => pub consistent_point: Lsn,
        /// Name of the exported snapshot, for SET TRANSACTION SNAPSHOT; `None` if no snapshot was exported.
        "snapshot_name" => pub snapshot: Option<&'a str>,
        /// Name of the output plugin; `None` for a physical slot.
        "output_plugin" => pub plugin: Option<&'a str>,
    }
}

reply! {
    /// The row that answers READ_REPLICATION_SLOT. All fields are `None` if the slot does not exist.
    pub struct SlotState<'a> {
        /// Kind of the slot: always `physical`, because the server rejects this command for a logical slot.
        "slot_type" => pub kind: Option<&'a str>,
        /// Beginning of the WAL that the slot keeps.
        "restart_lsn" => pub restart: Option<Lsn>,
        /// Number of the timeline of `restart`.
        "restart_tli" => pub timeline: Option<u32>,
    }
}

reply! {
    /// The row that the server sends when physical replication has reached the end of a timeline that is not the latest.
    pub struct NextTimeline {
        /// Number of the next timeline.
        "next_tli" => pub timeline: u32,
        /// WAL position at which the next timeline begins.
        "next_tli_startpos" => pub start: Lsn,
    }
}

reply! {
    /// The first or the last row that answers BASE_BACKUP: the start or the end of the WAL that the backup needs.
    pub struct BackupPosition {
        /// WAL position in `recptr`.
        "recptr" => pub position: Lsn,
        /// Number of the timeline on which `position` is.
        "tli" => pub timeline: u32,
    }
}

reply! {
    /// The row that answers BASE_BACKUP for one tablespace.
    pub struct Tablespace<'a> {
        /// Oid of the tablespace; `None` for the main data directory.
        "spcoid" => pub oid: Option<Oid>,
        /// Path of the tablespace's directory; `None` for the main data directory.
        "spclocation" => pub location: Option<&'a str>,
        /// Estimated size of the tablespace in kilobytes; `None` without the option PROGRESS.
        "size" => pub kilobytes: Option<i64>,
    }
}
