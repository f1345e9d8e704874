//! Options of the command line, and the [`Task`] that they describe.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::exit;

use clap::{CommandFactory, Parser};
use pg_stream_tokio::Config;
use pg_stream_tokio::pg_auth::config::Surroundings;

use crate::report::{escaped, say};

/// Runs SQL on a PostgreSQL server and prints the results
///
/// Rows are printed one per line, values separated by tabs. NULL is \N, and every
/// other value is printed exactly as the server sends it. If values may contain
/// tabs, newlines or \N, use COPY (SELECT ...) TO STDOUT: the server then
/// escapes them.
///
/// COPY ... TO STDOUT prints its data as received. COPY ... FROM STDIN reads
/// standard input to its end. Notices, notifications and errors are printed on
/// standard error. With --verbose or on a terminal, the command tag of each
/// statement is also printed on standard error.
///
/// Settings that are not in the connection string have the same defaults as in
/// psql: PGHOST, PGUSER, PGPASSWORD and the other variables, a service file,
/// ~/.pgpass, ~/.postgresql, the name of the operating system's user. The
/// connection string may be empty: pg-query "" "SELECT 1". As in psql,
/// client_encoding is set only if the connection string or the environment
/// contains it, or if standard input and output are terminals.
///
/// If the program that reads the output ends early, as `head` does, pg-query
/// receives and drops the remaining rows. The server finishes its work, and
/// pg-query exits with the status of the statements. (In this case psql is killed
/// by SIGPIPE at its next write, and the server rolls back the unfinished
/// statements.)
///
/// The first Ctrl-C sends a cancel request to the server; rows received after
/// the first Ctrl-C are dropped. The second Ctrl-C ends the program without
/// waiting.
#[derive(Debug, Parser)]
#[command(
    name = "pg-query",
    version,
    verbatim_doc_comment,
    override_usage = "pg-query [OPTIONS] <URL> <SQL>\n       pg-query [OPTIONS] <URL> --file <FILE>",
    after_long_help = "Exit status:
  0  ReadyForQuery was received without an error before it
  1  the server reported an error, the server's answer is not valid, or the
     results could not be printed; the reason is on standard error
  2  wrong usage, connecting failed, or the connection was lost"
)]
struct Arguments {
    /// Connection string: postgres://user:password@host:port/database, or keywords: "host=... user=..."
    #[arg(value_name = "URL")]
    url: OsString,
    /// One statement, or several statements separated by semicolons; - reads the statements from standard input
    #[arg(
        value_name = "SQL",
        allow_hyphen_values = true,
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    sql: Option<OsString>,
    /// Reads the SQL from this file; - is standard input, which then has no data for COPY FROM STDIN
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Prints a command tag for each statement on standard error; on a terminal this is the default
    #[arg(short, long)]
    verbose: bool,
}

/// The checked options of the command line.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) config: Config,
    /// The statements, in the encoding in which they were given.
    pub(crate) sql: Vec<u8>,
    /// Whether the statements were read from standard input. If so, standard input contains no data for COPY FROM STDIN.
    pub(crate) from_stdin: bool,
    /// Whether command tags are printed.
    pub(crate) tags: bool,
}

/// Reads the command line. If help is requested, or the usage is wrong, prints the help or the error and ends the program.
pub(crate) fn task() -> Task {
    let Arguments { url, sql, file, verbose } = Arguments::try_parse().unwrap_or_else(|error| {
        // Prints only the kind of the error. The full text would quote the unexpected argument, which may contain a password.
        if error.use_stderr() { refuse(error.kind()) } else { error.exit() }
    });
    let url = url.into_string().unwrap_or_else(|_| refuse("the connection string is not UTF-8"));
    let found = Surroundings::of_process().login_name().config(&url);
    let found = found.unwrap_or_else(|error| refuse(escaped(&error.to_string())));
    for warning in found.warnings {
        say(format_args!("pg-query: warning: {}", escaped(&warning.to_string())));
    }
    let config = with_defaults(found.config);
    config.check().unwrap_or_else(|error| refuse(escaped(&error.to_string())));

    let given = sql.as_deref().or(file.as_deref().map(Path::as_os_str));
    let from_stdin = given == Some(OsStr::new("-"));
    let sql = match (sql, file) {
        _ if from_stdin => {
            let mut sql = Vec::new();
            let read = io::stdin().read_to_end(&mut sql).map(|_| sql);
            read.unwrap_or_else(|error| unreadable("standard input", &error))
        }
        (Some(sql), _) => sql.into_encoded_bytes(),
        (None, Some(file)) => {
            fs::read(&file).unwrap_or_else(|error| unreadable(&file.display().to_string(), &error))
        }
        (None, None) => refuse("no SQL is given"),
    };
    Task { config, sql, from_stdin, tags: verbose || io::stderr().is_terminal() }
}

/// Sets the same defaults as psql: application_name and, on a terminal, client_encoding.
fn with_defaults(mut config: Config) -> Config {
    if config.parameter("application_name").is_none() {
        config = config.application_name("pg-query");
    }
    let on_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if on_terminal && config.parameter("client_encoding").is_none() {
        config = config.with_parameter("client_encoding", "UTF8");
    }
    config
}

fn refuse(problem: impl Display) -> ! {
    let usage = Arguments::command().render_usage();
    say(format_args!("pg-query: {problem}\n\n{usage}\n\nFor more information, try '--help'."));
    exit(2)
}

fn unreadable(name: &str, error: &io::Error) -> ! {
    say(format_args!("pg-query: cannot read the SQL from {}: {error}", escaped(name)));
    exit(1)
}
