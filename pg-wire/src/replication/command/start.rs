//! START_REPLICATION, and the options of pgoutput.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::quote::{Identifier, Literal};
use super::{Options, name_list};
use crate::replication::lsn::Lsn;

/// `START_REPLICATION` of the WAL (physical replication). Answered by a CopyBothResponse, and then CopyData with one
/// [`PrimaryMessage`](crate::replication::PrimaryMessage) each.
///
/// ```
/// use pg_wire::replication::{Lsn, command::StartPhysical};
///
/// let start = StartPhysical::new(Lsn(0x100_0000)).slot("standby").timeline(2);
/// assert_eq!(start.to_string(), r#"START_REPLICATION SLOT "standby" PHYSICAL 0/1000000 TIMELINE 2"#);
/// ```
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartPhysical<'a> {
    start: Lsn,
    slot: Option<&'a str>,
    timeline: Option<u32>,
}

impl<'a> StartPhysical<'a> {
    /// Starts at this position of the latest timeline.
    pub const fn new(start: Lsn) -> Self {
        Self { start, slot: None, timeline: None }
    }

    /// Uses this slot. The slot keeps the WAL that the client has not yet reported as flushed.
    pub const fn slot(mut self, slot: &'a str) -> Self {
        self.slot = Some(slot);
        self
    }

    /// Starts on this timeline. If the timeline is not the latest, the server ends the copy at the end of the timeline, and
    /// then sends a row: [`NextTimeline`](crate::replication::reply::NextTimeline).
    pub const fn timeline(mut self, timeline: u32) -> Self {
        self.timeline = Some(timeline);
        self
    }

    /// The position.
    pub const fn position(&self) -> Lsn {
        self.start
    }
}

impl fmt::Display for StartPhysical<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("START_REPLICATION ")?;
        if let Some(slot) = self.slot {
            write!(f, "SLOT {} ", Identifier(slot))?;
        }
        write!(f, "PHYSICAL {}", self.start)?;
        match self.timeline {
            Some(timeline) => write!(f, " TIMELINE {timeline}"),
            None => Ok(()),
        }
    }
}

/// `START_REPLICATION` of the changes of a logical slot. Answered by a CopyBothResponse, and then CopyData with one
/// [`PrimaryMessage`](crate::replication::PrimaryMessage) each.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION-SLOT-LOGICAL)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartLogical<'a> {
    slot: &'a str,
    start: Lsn,
    options: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

impl<'a> StartLogical<'a> {
    /// Requests the transactions that are committed after `start`. If the slot's last position reported as flushed is later,
    /// the server starts there. So [`Lsn::INVALID`] always starts at the position of the slot.
    pub const fn new(slot: &'a str, start: Lsn) -> Self {
        Self { slot, start, options: Vec::new() }
    }

    /// The position.
    pub const fn position(&self) -> Lsn {
        self.start
    }

    /// Adds an option of the output plugin, with a value.
    pub fn option(mut self, name: &'a str, value: &'a str) -> Self {
        self.options.push((name, Some(value.into())));
        self
    }

    /// Adds an option of the output plugin, without a value.
    pub fn flag(mut self, name: &'a str) -> Self {
        self.options.push((name, None));
        self
    }

    /// Adds the options of pgoutput.
    pub fn pgoutput(mut self, options: &PgOutput<'_>) -> Self {
        self.options.extend(options.list().map(|(name, value)| (name, Some(value))));
        self
    }
}

impl fmt::Display for StartLogical<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "START_REPLICATION SLOT {} LOGICAL {}", Identifier(self.slot), self.start)?;
        let mut options = Options::new(f);
        for (name, value) in &self.options {
            match value {
                Some(value) => options.put(format_args!("{} {}", Identifier(name), Literal(value)))?,
                None => options.put(format_args!("{}", Identifier(name)))?,
            }
        }
        options.finish()
    }
}

/// The options of the output plugin pgoutput. Only options that are set are sent. An option that is not sent has the server's
/// default.
///
/// The function `pg_logical_slot_get_binary_changes` accepts the same options as arguments: [`list`](Self::list) returns them.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-logical-replication.html#PROTOCOL-LOGICAL-REPLICATION-PARAMS)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PgOutput<'a> {
    version: u32,
    publications: &'a [&'a str],
    binary: Option<bool>,
    messages: Option<bool>,
    streaming: Option<StreamingOption>,
    two_phase: Option<bool>,
    origin: Option<OriginFilter>,
}

/// Whether large transactions are sent while they are in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamingOption {
    /// Sent only after their commit.
    Off,
    /// Sent in blocks while they are in progress. Version 2, PostgreSQL 14.
    On,
    /// Sent in blocks, and a rollback contains its position and time. Version 4, PostgreSQL 16.
    Parallel,
}

impl From<bool> for StreamingOption {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

/// Selects changes by their origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginFilter {
    /// All changes.
    Any,
    /// Only changes that were made on this server, no changes that were replicated to this server.
    None,
}

impl<'a> PgOutput<'a> {
    /// Sets the version of the pgoutput protocol, and the names of the publications, without quotes.
    pub const fn new(version: u32, publications: &'a [&'a str]) -> Self {
        Self {
            version,
            publications,
            binary: None,
            messages: None,
            streaming: None,
            two_phase: None,
            origin: None,
        }
    }

    /// Whether values are sent in binary format, if their type has a binary format. PostgreSQL 14.
    pub const fn binary(mut self, on: bool) -> Self {
        self.binary = Some(on);
        self
    }

    /// Whether messages of `pg_logical_emit_message` are sent. PostgreSQL 14.
    pub const fn messages(mut self, on: bool) -> Self {
        self.messages = Some(on);
        self
    }

    /// Whether large transactions are sent while they are in progress.
    pub fn streaming(mut self, streaming: impl Into<StreamingOption>) -> Self {
        self.streaming = Some(streaming.into());
        self
    }

    /// Whether a prepared transaction is sent at its PREPARE TRANSACTION. Version 3, PostgreSQL 15. The slot stores this
    /// setting: once on, the setting stays on.
    pub const fn two_phase(mut self, on: bool) -> Self {
        self.two_phase = Some(on);
        self
    }

    /// Selects changes by their origin. PostgreSQL 16.
    pub const fn origin(mut self, origin: OriginFilter) -> Self {
        self.origin = Some(origin);
        self
    }

    /// The names and the values of the options that are set, without quotes.
    pub fn list(&self) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
        let switch = |on: Option<bool>| on.map(|on| Cow::Borrowed(if on { "on" } else { "off" }));
        let version: String = alloc::format!("{}", self.version);
        let streaming = self.streaming.map(|streaming| match streaming {
            StreamingOption::Off => "off",
            StreamingOption::On => "on",
            StreamingOption::Parallel => "parallel",
        });
        let origin = self.origin.map(|origin| match origin {
            OriginFilter::Any => "any",
            OriginFilter::None => "none",
        });
        [
            ("proto_version", Some(version.into())),
            ("publication_names", Some(name_list(self.publications).into())),
            ("binary", switch(self.binary)),
            ("messages", switch(self.messages)),
            ("streaming", streaming.map(Cow::Borrowed)),
            ("two_phase", switch(self.two_phase)),
            ("origin", origin.map(Cow::Borrowed)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn physical_replication_can_start_without_a_slot() {
        assert_eq!(StartPhysical::new(Lsn(16)).to_string(), "START_REPLICATION PHYSICAL 0/10");
    }

    #[test]
    fn publication_names_are_quoted_as_identifiers_and_then_as_a_string() {
        let names = ["it's", "a\"b", "C"];
        let start = StartLogical::new("s", Lsn(0x1_0000_0010)).pgoutput(&PgOutput::new(1, &names));
        assert_eq!(
            start.to_string(),
            r#"START_REPLICATION SLOT "s" LOGICAL 1/10 ("proto_version" '1', "publication_names" '"it''s","a""b","C"')"#
        );
    }

    #[test]
    fn only_options_that_are_set_are_sent() {
        let options = PgOutput::new(4, &["p"])
            .binary(true)
            .messages(false)
            .streaming(StreamingOption::Parallel)
            .two_phase(true)
            .origin(OriginFilter::None);
        let list: Vec<_> = options.list().map(|(name, value)| alloc::format!("{name}={value}")).collect();
        assert_eq!(
            list.join(" "),
            "proto_version=4 publication_names=\"p\" binary=on messages=off streaming=parallel two_phase=on origin=none"
        );
    }

    #[test]
    fn options_of_other_plugins_can_be_sent() {
        let start = StartLogical::new("s", Lsn::INVALID);
        assert_eq!(start.to_string(), r#"START_REPLICATION SLOT "s" LOGICAL 0/0"#);
        let start = start.option("include-xids", "1").flag("pretty-print");
        assert_eq!(
            start.to_string(),
            r#"START_REPLICATION SLOT "s" LOGICAL 0/0 ("include-xids" '1', "pretty-print")"#
        );
    }
}
