//! Options of the command line, and the [`Task`] that they describe.

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

/// Writes the changes of a PostgreSQL database to a file, one JSON object per line
///
/// The server sends the changes of the published tables through a replication
/// slot (logical replication, plugin pgoutput). Each transaction becomes a line
/// of kind "begin", a line for each change, and a line of kind "commit":
///
///   {"kind":"begin","lsn":"0/16B2D50","xid":775,"time":"2026-11-27T02:03:04.000005Z"}
///   {"kind":"update","lsn":"0/16B2C88","xid":775,"time":"...","schema":"public",
///    "table":"orders","key":{"id":7},"new":{"id":7,"paid":true},"unchanged":["note"]}
///   {"kind":"commit","lsn":"0/16B2D50","end":"0/16B2D80","xid":775,"time":"..."}
///
/// Kinds: begin, relation, origin, insert, update, delete, truncate, message,
/// commit; with --two-phase also begin_prepare, prepare, commit_prepared,
/// rollback_prepared; with --snapshot also snapshot_begin, row, snapshot_end.
/// "key" contains the columns of the replica identity. In an update or delete,
/// "key" has the values before the change. With REPLICA IDENTITY FULL, an update
/// or delete has "old" instead of "key": the whole row before the change.
/// "unchanged" lists the columns whose values the server has not sent: large
/// values (TOAST) that the UPDATE did not change. "time" is the time of the
/// commit. A "message" with "transactional":false is written between transactions,
/// even if the transaction that sent the message is rolled back.
///
/// Values: bool is true or false. int2, int4, oid and finite floats are numbers.
/// int8 is a number from -2^53 to 2^53. numeric is a number if it has at most 15
/// significant digits. So a program that reads numbers as 64-bit floats loses no
/// digit. All other values are strings in the text form of the server: dates in
/// ISO form, time zone UTC, bytea as \x00ff. NULL is null.
///
/// The program confirms a transaction to the server only when its lines are on
/// disk. If the program is killed, even by SIGKILL, start it again with the same
/// options: it continues, and the file has each committed change exactly once.
/// At the start, the program first cuts the file to the end of the last complete
/// transaction. So another program that reads the file must expect that the lines
/// after the last "commit" disappear and are written again. Give --state if the
/// machine may lose power: without --state, a power failure may lose changes.
/// On standard output, a transaction may be repeated after a kill.
///
/// The connection string may name several hosts. The program then connects to
/// the host that accepts writes (target_session_attrs=read-write), and searches
/// for this host again after a failover. On PostgreSQL 17 and later,
/// --create-slot creates a failover slot, which standbys can synchronise (in
/// version 17 only without --two-phase). Settings that are not in the connection
/// string are taken from PGHOST, PGUSER and so on, as in psql.
///
/// After SIGTERM or Ctrl-C, the program writes the rest of the current
/// transaction, confirms it, and ends with status 0. A second signal ends the
/// program at once.
#[derive(Debug, Parser)]
#[command(
    name = "pg-cdc",
    version,
    verbatim_doc_comment,
    override_usage = "pg-cdc <URL> --publication <NAME>[,<NAME>...] --slot <SLOT> [OPTIONS]",
    after_long_help = "Exit status:
  0  the position of --until is reached, or a signal has stopped the program
  1  the server or a file has reported an error, the recorded position does not
     match the server, or a signal has interrupted a snapshot or a transaction:
     standard error contains the reason
  2  wrong usage, or no connection"
)]
struct Arguments {
    /// Connection string: postgres://user:password@host:port/database, or keywords: "host=... user=..."
    #[arg(value_name = "URL")]
    url: OsString,
    /// Publications whose changes are written
    #[arg(short, long, value_name = "NAME", value_delimiter = ',', required = true)]
    publication: Vec<String>,
    /// Name of the replication slot
    #[arg(short, long, value_name = "SLOT")]
    slot: String,
    /// Creates the slot if it does not exist and the output contains no changes yet
    #[arg(long)]
    create_slot: bool,
    /// Creates a slot that the server drops when the connection ends. So the program ends when it loses the connection, and a new start
    /// cannot continue the output
    #[arg(long, conflicts_with_all = ["state", "start"])]
    temporary: bool,
    /// Output file; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// File that records the position up to which the output is complete; without --state, this position is read from the end of the output
    /// file
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Start position; has no effect if the position in the file of --state, or the position of the slot, is later
    #[arg(long, value_name = "LSN")]
    start: Option<Lsn>,
    /// Stops before the first transaction whose commit is at this position or later. The value "now" means the end of the WAL when the
    /// program connects
    #[arg(long, value_name = "LSN|now")]
    until: Option<Until>,
    /// Form of the lines of the output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Receives large transactions while they are in progress, and keeps their changes in temporary files until the commit
    #[arg(long)]
    streaming: bool,
    /// Writes a prepared transaction at its PREPARE TRANSACTION, not at its COMMIT PREPARED
    #[arg(long)]
    two_phase: bool,
    /// Receives values in binary form. This changes only values of types unknown to this program: they are written in the form \x00ff
    #[arg(long)]
    binary: bool,
    /// First writes the rows that the published tables have when the slot is created; needs --create-slot or --temporary
    #[arg(long)]
    snapshot: bool,
    /// Prints no progress on standard error
    #[arg(short, long)]
    quiet: bool,
}

/// The position at which the program stops.
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

/// The checked options of the command line.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) config: Config,
    pub(crate) publications: Vec<String>,
    pub(crate) slot: String,
    pub(crate) create_slot: bool,
    pub(crate) temporary: bool,
    /// The output file; `None` for standard output.
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

/// Reads and checks the command line. If help is requested or the usage is wrong, prints the help or the error and ends the program.
pub(crate) fn task() -> Task {
    let given = Arguments::try_parse().unwrap_or_else(|error| {
        // Prints only the kind of the error. The full text would quote the unexpected argument, which may contain a password.
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

/// Adds the session settings that determine the text form of values. If there are several hosts, requires a connection to the host that
/// accepts writes, unless the connection string requires another kind of host.
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
        // A snapshot may take hours, so its statements have no time limit. With `row_security` off, the server reports an error if a policy
        // would hide rows from the snapshot.
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
