//! The command line.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::exit;

use clap::{CommandFactory, Parser};
use pg_stream_tokio::Config;
use pg_stream_tokio::pg_auth::config::{Surroundings, TargetSessionAttrs};
use pg_wire::replication::Lsn;

use crate::line::Format;
use crate::report::{escaped, say};

/// Writes the changes of a PostgreSQL database to a file, one JSON object a line
///
/// The server sends the changes of the tables of one or more publications
/// through a replication slot (logical replication, plugin pgoutput). A
/// transaction is a line of kind "begin", a line for each change, and a line of
/// kind "commit":
///
///   {"kind":"begin","lsn":"0/16B2D50","xid":775,"time":"2026-11-27T02:03:04.000005Z"}
///   {"kind":"update","lsn":"0/16B2C88","xid":775,"time":"...","schema":"public",
///    "table":"orders","key":{"id":7},"new":{"id":7,"paid":true},"unchanged":["note"]}
///   {"kind":"commit","lsn":"0/16B2D50","end":"0/16B2D80","xid":775,"time":"..."}
///
/// Kinds: begin, relation, origin, insert, update, delete, truncate, message,
/// commit; with --two-phase also begin_prepare, prepare, commit_prepared,
/// rollback_prepared; with --snapshot also snapshot_begin, row, snapshot_end.
/// "key" has the columns of the replica identity, with the values before the
/// change. With REPLICA IDENTITY FULL, "old" has the whole row in its place.
/// "unchanged" has the names of columns whose values the server does not send:
/// large values (TOAST) that the UPDATE left as they were. "time" is the time of
/// the commit. A "message" with "transactional":false stands between
/// transactions, even if its own transaction is rolled back.
///
/// Values: bool is true or false. int2, int4, oid and finite floats are numbers.
/// int8 is a number up to 2^53 and numeric a number up to 15 significant digits,
/// so that a reader with 64-bit floats loses nothing; beyond that, and for all
/// other types, the value is a string in the text form of the server (dates in
/// ISO form, time zone UTC, bytea as \x00ff). NULL is null.
///
/// A transaction is confirmed to the server only when its lines are on disk. A
/// program that was killed at any moment, by SIGKILL too, continues when it is
/// started again with the same options: after that the file has each committed
/// change exactly once. It first cuts the file to the end of the last complete
/// transaction, so a reader that follows the file has to expect that the lines
/// after the last "commit" disappear and are written again. Give --state unless
/// the system cannot lose power. On standard output, a transaction may be
/// repeated after a kill.
///
/// The connection string may name several hosts; the program then looks for the
/// one that takes writes (target_session_attrs=read-write), and does so again
/// after a failover. On PostgreSQL 17 and later --create-slot makes a failover
/// slot, which standbys can synchronise. Settings that the string leaves open are
/// taken from PGHOST, PGUSER and so on, as psql takes them.
///
/// SIGTERM and Ctrl-C let the current transaction end, confirm it, and end the
/// program with status 0. A second signal ends the program at once.
#[derive(Debug, Parser)]
#[command(
    name = "pg-cdc",
    version,
    verbatim_doc_comment,
    override_usage = "pg-cdc <URL> --publication <NAME>[,<NAME>...] --slot <SLOT> [OPTIONS]",
    after_long_help = "Exit status:
  0  --until was reached, or a signal ended the program
  1  the server reported an error, a file failed, or the recorded position does
     not fit the server: standard error says why
  2  wrong usage, or no connection"
)]
struct Arguments {
    /// Connection string: postgres://user:password@host:port/database, or keywords: "host=... user=..."
    #[arg(value_name = "URL")]
    url: OsString,
    /// The publications
    #[arg(short, long, value_name = "NAME", value_delimiter = ',', required = true)]
    publication: Vec<String>,
    /// The replication slot
    #[arg(short, long, value_name = "SLOT")]
    slot: String,
    /// Creates the slot if it does not exist and no position is recorded
    #[arg(long)]
    create_slot: bool,
    /// Creates a slot that the server drops when the program ends; the program then cannot continue or connect again
    #[arg(long, conflicts_with_all = ["state", "start"])]
    temporary: bool,
    /// The output; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// The file that records how far the output is complete; without it, the last complete line of the output is the record
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Starts at this position if it is later than the recorded position and the position of the slot
    #[arg(long, value_name = "LSN")]
    start: Option<Lsn>,
    /// Stops before the first transaction that commits at this position or later; now is the end of the WAL at the start
    #[arg(long, value_name = "LSN|now")]
    until: Option<Until>,
    /// The form of the lines
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Receives large transactions while they are in progress, and keeps them in temporary files until they commit
    #[arg(long)]
    streaming: bool,
    /// Writes prepared transactions when they are prepared, not when they are committed
    #[arg(long)]
    two_phase: bool,
    /// Receives values in binary form; the lines are the same
    #[arg(long)]
    binary: bool,
    /// First writes the rows of the published tables, as they are when the slot is created; needs --create-slot or --temporary
    #[arg(long)]
    snapshot: bool,
    /// Does not report the progress on standard error
    #[arg(short, long)]
    quiet: bool,
}

/// The position to stop at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Lsn(Lsn),
    /// The end of the WAL when the program connects.
    Now,
}

impl std::str::FromStr for Until {
    type Err = pg_wire::replication::ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "now" { Ok(Self::Now) } else { text.parse().map(Self::Lsn) }
    }
}

/// The task that the command line sets.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) config: Config,
    pub(crate) publications: Vec<String>,
    pub(crate) slot: String,
    pub(crate) create_slot: bool,
    pub(crate) temporary: bool,
    /// `None` for standard output.
    pub(crate) out: Option<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) start: Option<Lsn>,
    pub(crate) until: Option<Until>,
    pub(crate) format: Format,
    pub(crate) streaming: bool,
    pub(crate) two_phase: bool,
    pub(crate) binary: bool,
    pub(crate) snapshot: bool,
    pub(crate) quiet: bool,
}

/// Reads the command line. Prints help or the error of wrong usage, and ends the program then.
pub(crate) fn task() -> Task {
    let given = Arguments::try_parse().unwrap_or_else(|error| {
        // Clap would show the superfluous argument, which may hold a password.
        if error.use_stderr() { refuse(error.kind()) } else { error.exit() }
    });
    let url = given.url.into_string().unwrap_or_else(|_| refuse("the connection string is not UTF-8"));
    let found = Surroundings::of_process().login_name().config(&url);
    let found = found.unwrap_or_else(|error| refuse(escaped(&error.to_string())));
    for warning in found.warnings {
        say(format_args!("pg-cdc: warning: {}", escaped(&warning.to_string())));
    }
    let config = with_settings(found.config);
    config.check().unwrap_or_else(|error| refuse(escaped(&error.to_string())));
    if given.snapshot && !given.create_slot && !given.temporary {
        refuse("--snapshot needs --create-slot or --temporary: only a new slot has a snapshot");
    }
    if given.publication.iter().any(String::is_empty) {
        refuse("the name of a publication is empty");
    }
    Task {
        config,
        publications: given.publication,
        slot: given.slot,
        create_slot: given.create_slot || given.temporary,
        temporary: given.temporary,
        out: Some(given.out).filter(|out| out.as_os_str() != "-"),
        state: given.state,
        start: given.start,
        until: given.until,
        format: given.format,
        streaming: given.streaming,
        two_phase: given.two_phase,
        binary: given.binary,
        snapshot: given.snapshot,
        quiet: given.quiet,
    }
}

/// Sets what the forms of the values depend on, and looks for the primary among several hosts.
fn with_settings(mut config: Config) -> Config {
    if config.parameter("application_name").is_none() {
        config = config.application_name("pg-cdc");
    }
    if config.hosts.len() > 1 && config.target_session_attrs == TargetSessionAttrs::Any {
        config = config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    for (name, value) in [
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
        ("extra_float_digits", "3"),
        ("bytea_output", "hex"),
        // A snapshot may take hours, and has to have all rows.
        ("statement_timeout", "0"),
        ("row_security", "off"),
    ] {
        config = config.with_parameter(name, value);
    }
    config
}

fn refuse(problem: impl Display) -> ! {
    let usage = Arguments::command().render_usage();
    say(format_args!("pg-cdc: {problem}\n\n{usage}\n\nFor more information, try '--help'."));
    exit(2)
}
