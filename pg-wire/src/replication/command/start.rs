//! The command START_REPLICATION, and the options of pgoutput.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::quote::{Identifier, Literal};
use super::{Options, name_list};
use crate::replication::lsn::Lsn;

/// `START_REPLICATION ... PHYSICAL`: starts physical replication, the streaming of the WAL. The server answers with a CopyBothResponse and
/// then sends CopyData messages. Each CopyData contains one [`PrimaryMessage`](crate::replication::PrimaryMessage).
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
    /// Creates a command that starts at the position `start` of the latest timeline.
    pub const fn new(start: Lsn) -> Self {
        Self { start, slot: None, timeline: None }
    }

    /// Sets the slot. The slot keeps the WAL that the client has not yet reported as flushed.
    pub const fn slot(mut self, slot: &'a str) -> Self {
        self.slot = Some(slot);
        self
    }

    /// Sets the timeline on which the stream starts. If the timeline is not the latest, the server ends the copy at the end of the
    /// timeline. Then the server sends one row: [`NextTimeline`](crate::replication::reply::NextTimeline).
    pub const fn timeline(mut self, timeline: u32) -> Self {
        self.timeline = Some(timeline);
        self
    }

    /// Returns the WAL position at which the command starts the stream.
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

/// `START_REPLICATION ... LOGICAL`: starts logical replication, the streaming of changes from a logical slot. The server answers with a
/// CopyBothResponse and then sends CopyData messages. Each CopyData contains one [`PrimaryMessage`](crate::replication::PrimaryMessage).
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION-SLOT-LOGICAL)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartLogical<'a> {
    slot: &'a str,
    start: Lsn,
    options: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

impl<'a> StartLogical<'a> {
    /// Creates a command that requests the transactions that are committed after `start`. If a later position was already reported as
    /// flushed for this slot, the server starts at that later position. So [`Lsn::INVALID`] always starts at the position of the slot.
    pub const fn new(slot: &'a str, start: Lsn) -> Self {
        Self { slot, start, options: Vec::new() }
    }

    /// Returns the WAL position at which the command starts the stream.
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

    /// Adds all `options` of the output plugin pgoutput.
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

/// Options of the output plugin pgoutput. Only options that are set are sent. For every other option, the server uses its default.
///
/// The function `pg_logical_slot_get_binary_changes` accepts the same options as arguments. [`list`](Self::list) returns the names and the
/// values for these arguments.
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

/// Selects whether the server sends large transactions before their commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamingOption {
    /// The server sends every transaction only after its commit.
    Off,
    /// The server sends large transactions in blocks before their commit. Requires version 2 of pgoutput and PostgreSQL 14.
    On,
    /// The same as `On`. In addition, the message that reports a rollback contains the position and the time of the rollback. Requires
    /// version 4 of pgoutput and PostgreSQL 16.
    Parallel,
}

impl From<bool> for StreamingOption {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

/// Selects the changes to send by their origin: the server on which a change was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginFilter {
    /// The server sends all changes.
    Any,
    /// The server sends only changes that were made on this server, and no changes that were replicated to this server.
    None,
}

impl<'a> PgOutput<'a> {
    /// Creates options with the version of the pgoutput protocol and the names of the publications. Pass the names without quotes.
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

    /// Sets whether the server sends values in binary format, if the type of the value has a binary format. Requires PostgreSQL 14.
    pub const fn binary(mut self, on: bool) -> Self {
        self.binary = Some(on);
        self
    }

    /// Sets whether the server sends messages of `pg_logical_emit_message`. Requires PostgreSQL 14.
    pub const fn messages(mut self, on: bool) -> Self {
        self.messages = Some(on);
        self
    }

    /// Sets whether the server sends large transactions before their commit.
    pub fn streaming(mut self, streaming: impl Into<StreamingOption>) -> Self {
        self.streaming = Some(streaming.into());
        self
    }

    /// Sets whether the server sends a prepared transaction at its PREPARE TRANSACTION. Requires version 3 of pgoutput and PostgreSQL 15.
    /// The slot stores this setting: a later start without this option does not turn the setting off.
    pub const fn two_phase(mut self, on: bool) -> Self {
        self.two_phase = Some(on);
        self
    }

    /// Selects the changes to send by their origin: the server on which a change was made. Requires PostgreSQL 16.
    pub const fn origin(mut self, origin: OriginFilter) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Returns the name and the value of each option that is set, without quotes.
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
