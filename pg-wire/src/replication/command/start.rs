//! START_REPLICATION, and the options of pgoutput.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::quote::{Identifier, Literal};
use super::{Options, name_list};
use crate::replication::lsn::Lsn;

/// `START_REPLICATION` of the WAL. Answered by a CopyBothResponse, and then the messages of
/// [`PrimaryMessage`](crate::replication::PrimaryMessage).
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
    /// From this position on, of the latest timeline.
    pub const fn new(start: Lsn) -> Self {
        Self { start, slot: None, timeline: None }
    }

    /// With the slot, which keeps the WAL that has not been reported as flushed.
    pub const fn slot(mut self, slot: &'a str) -> Self {
        self.slot = Some(slot);
        self
    }

    /// Of this timeline. If it is not the latest one, the server ends the copy where it ends, and then sends a row:
    /// [`NextTimeline`](crate::replication::reply::NextTimeline).
    pub const fn timeline(mut self, timeline: u32) -> Self {
        self.timeline = Some(timeline);
        self
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

/// `START_REPLICATION` of the changes of a logical slot. Answered by a CopyBothResponse, and then the messages of
/// [`PrimaryMessage`](crate::replication::PrimaryMessage).
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION-SLOT-LOGICAL)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartLogical<'a> {
    slot: &'a str,
    start: Lsn,
    options: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

impl<'a> StartLogical<'a> {
    /// Transactions that are committed after this position. The server starts at the last position that was reported as flushed, if
    /// that is later: so [`Lsn::INVALID`] starts there.
    pub const fn new(slot: &'a str, start: Lsn) -> Self {
        Self { slot, start, options: Vec::new() }
    }

    /// An option of the output plugin, with a value.
    pub fn option(mut self, name: &'a str, value: &'a str) -> Self {
        self.options.push((name, Some(value.into())));
        self
    }

    /// An option of the output plugin, without a value.
    pub fn flag(mut self, name: &'a str) -> Self {
        self.options.push((name, None));
        self
    }

    /// The options of pgoutput.
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

/// The options of pgoutput. Options that are not set are not sent, and are off.
///
/// `pg_logical_slot_get_binary_changes` takes the same options, in the form of [`list`](Self::list).
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
    /// After their commit only.
    Off,
    /// In blocks. Version 2, PostgreSQL 14.
    On,
    /// In blocks, and rollbacks with their position and time. Version 4, PostgreSQL 16.
    Parallel,
}

impl From<bool> for StreamingOption {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

/// The changes to send, by their origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginFilter {
    /// All.
    Any,
    /// Changes that were made on this server, without changes that were replicated to it.
    None,
}

impl<'a> PgOutput<'a> {
    /// A version of the protocol, and the names of the publications, unquoted.
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

    /// Whether values are sent in binary, where their types have such a form. PostgreSQL 14.
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

    /// Whether prepared transactions are sent when they are prepared. Version 3, PostgreSQL 15. Once it is on, the slot keeps it.
    pub const fn two_phase(mut self, on: bool) -> Self {
        self.two_phase = Some(on);
        self
    }

    /// The changes to send, by their origin. PostgreSQL 16.
    pub const fn origin(mut self, origin: OriginFilter) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Names and values, unquoted.
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
    fn physical_replication_starts() {
        assert_eq!(StartPhysical::new(Lsn(16)).to_string(), "START_REPLICATION PHYSICAL 0/10");
    }

    #[test]
    fn names_and_values_are_quoted_once_for_each_reader() {
        let names = ["it's", "a\"b", "C"];
        let start = StartLogical::new("s", Lsn(0x1_0000_0010)).pgoutput(&PgOutput::new(1, &names));
        assert_eq!(
            start.to_string(),
            r#"START_REPLICATION SLOT "s" LOGICAL 1/10 ("proto_version" '1', "publication_names" '"it''s","a""b","C"')"#
        );
    }

    #[test]
    fn every_option_is_sent_once_it_is_set() {
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
    fn other_plugins_have_options_of_their_own() {
        let start = StartLogical::new("s", Lsn::INVALID);
        assert_eq!(start.to_string(), r#"START_REPLICATION SLOT "s" LOGICAL 0/0"#);
        let start = start.option("include-xids", "1").flag("pretty-print");
        assert_eq!(
            start.to_string(),
            r#"START_REPLICATION SLOT "s" LOGICAL 0/0 ("include-xids" '1', "pretty-print")"#
        );
    }
}
