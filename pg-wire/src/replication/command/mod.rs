//! The commands of a replication connection. `Display` prints a command as the text of a Query.
//!
//! Names and strings are quoted by the rules of the server's replication grammar. Options are written in parentheses, the form
//! of PostgreSQL 15 and later. The method `legacy` of [`CreateReplicationSlot`] returns the older form.
//!
//! ```
//! use pg_wire::replication::{Lsn, command::{CreateReplicationSlot, PgOutput, StartLogical}};
//!
//! let create = CreateReplicationSlot::logical("cdc", "pgoutput").temporary().two_phase();
//! assert_eq!(create.to_string(), r#"CREATE_REPLICATION_SLOT "cdc" TEMPORARY LOGICAL "pgoutput" (TWO_PHASE)"#);
//!
//! let start = StartLogical::new("cdc", Lsn::INVALID).pgoutput(&PgOutput::new(2, &["orders"]).streaming(true));
//! assert_eq!(
//!     start.to_string(),
//!     r#"START_REPLICATION SLOT "cdc" LOGICAL 0/0 ("proto_version" '2', "publication_names" '"orders"', "streaming" 'on')"#,
//! );
//! ```
//!
//! A name or a string that contains a NUL is rejected when the Query is written. A replication connection accepts commands only
//! in Query messages, one command in each Query.
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html)

mod backup;
mod quote;
mod slot;
mod start;

use alloc::string::String;
use core::fmt;

pub use backup::{BaseBackup, Checkpoint, ManifestOption, UploadManifest};
pub use slot::{
    AlterReplicationSlot, CreateReplicationSlot, DropReplicationSlot, Legacy, LogicalSlot, PhysicalSlot,
    ReadReplicationSlot, Snapshot,
};
pub use start::{OriginFilter, PgOutput, StartLogical, StartPhysical, StreamingOption};

use quote::{Identifier, QualifiedName};

/// `IDENTIFY_SYSTEM`: requests the identifier and the WAL position of the server. The server answers with one row:
/// [`SystemIdentification`](super::reply::SystemIdentification).
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-IDENTIFY-SYSTEM)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentifySystem;

impl fmt::Display for IdentifySystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IDENTIFY_SYSTEM")
    }
}

/// `SHOW`: requests the value of a run-time parameter. The server answers with one row, whose only column is a string.
///
/// ```
/// use pg_wire::replication::command::Show;
///
/// assert_eq!(Show("wal_segment_size").to_string(), r#"SHOW "wal_segment_size""#);
/// assert_eq!(Show("my.setting").to_string(), r#"SHOW "my"."setting""#);
/// ```
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-SHOW)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Show<'a>(pub &'a str);

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHOW {}", QualifiedName(self.0))
    }
}

/// `TIMELINE_HISTORY`: requests the history file of a timeline. The server answers with one row:
/// [`TimelineHistoryFile`](super::reply::TimelineHistoryFile).
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-TIMELINE-HISTORY)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineHistory(pub u32);

impl fmt::Display for TimelineHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TIMELINE_HISTORY {}", self.0)
    }
}

/// Writer of a list of options: a space, and the options in parentheses. Without an option, nothing is written.
struct Options<'f, 'g> {
    f: &'f mut fmt::Formatter<'g>,
    any: bool,
}

impl<'f, 'g> Options<'f, 'g> {
    fn new(f: &'f mut fmt::Formatter<'g>) -> Self {
        Self { f, any: false }
    }

    fn put(&mut self, option: fmt::Arguments<'_>) -> fmt::Result {
        self.f.write_str(if self.any { ", " } else { " (" })?;
        self.any = true;
        self.f.write_fmt(option)
    }

    /// Writes an option with a Boolean value. Writes nothing if `on` is `None`.
    fn switch(&mut self, name: &str, on: Option<bool>) -> fmt::Result {
        match on {
            Some(on) => self.put(format_args!("{name} {on}")),
            None => Ok(()),
        }
    }

    fn finish(self) -> fmt::Result {
        if self.any { self.f.write_str(")") } else { Ok(()) }
    }
}

/// Returns a comma-separated list of names, in which each name is quoted as an SQL identifier. The list is the value of an option.
fn name_list(names: &[&str]) -> String {
    use fmt::Write;
    let mut list = String::new();
    for (at, name) in names.iter().enumerate() {
        // Writing to a `String` does not fail.
        let _ = write!(list, "{}{}", if at == 0 { "" } else { "," }, Identifier(name));
    }
    list
}
