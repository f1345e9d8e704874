//! The command line.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use pg_stream_tokio::Config;
use pg_stream_tokio::pg_auth::config::Surroundings;
use pg_wire::replication::Lsn;

use crate::follow;
use crate::report::{escaped, say};
use crate::stream::Settings;

/// Receives the WAL of a PostgreSQL server, as pg_receivewal does
///
/// WAL: pg-receive writes the server's WAL into segment files in a directory. A
/// segment has the extension .partial until it is complete. The stream begins
/// after the last segment in the directory; if the directory has none, at the
/// position of the slot; without a slot, at the end of the server's WAL. It
/// follows the server to new timelines, with their history files. With a slot,
/// the server keeps all WAL that is not yet on the disk of this machine.
///
/// Settings that are not in the connection string have the same defaults as in
/// psql: PGHOST, PGUSER, PGPASSWORD and the other variables, a service file,
/// ~/.pgpass, the name of the operating system's user. The user needs the
/// attribute REPLICATION. Options have the names and meanings of pg_receivewal.
///
/// Ctrl-C or SIGTERM: the segment is synced, the server is sent the position,
/// and pg-receive ends with status 0. A second signal ends it at once.
#[derive(Debug, Parser)]
#[command(
    name = "pg-receive",
    version,
    verbatim_doc_comment,
    override_usage = "pg-receive [OPTIONS] <URL> -D <DIR>
       pg-receive <URL> --slot <NAME> --create-slot [--if-not-exists]
       pg-receive <URL> --slot <NAME> --drop-slot",
    after_long_help = "Exit status:
  0  the task is done, or a signal has ended it cleanly
  1  the task failed; the reason is on standard error
  2  wrong usage"
)]
struct Arguments {
    /// Connection string: postgres://user:password@host:port, or keywords: "host=... user=..."
    #[arg(value_name = "URL")]
    url: OsString,
    /// Directory for the segment files; it must exist
    #[arg(short = 'D', long, value_name = "DIR", required_unless_present_any = ["create_slot", "drop_slot"])]
    directory: Option<PathBuf>,
    /// Replication slot; the server keeps WAL for it
    #[arg(short = 'S', long, value_name = "NAME")]
    slot: Option<String>,
    /// Creates the slot, and ends
    #[arg(long, requires = "slot", conflicts_with_all = ["drop_slot", "directory"])]
    create_slot: bool,
    /// Drops the slot, and ends
    #[arg(long, requires = "slot", conflicts_with = "directory")]
    drop_slot: bool,
    /// With --create-slot: no error if the slot exists
    #[arg(long, requires = "create_slot")]
    if_not_exists: bool,
    /// Ends when the WAL up to this position is received, for example 0/16B2D50
    #[arg(short = 'E', long, value_name = "LSN")]
    endpos: Option<Lsn>,
    /// Syncs and confirms WAL as soon as it is received; needed if the server waits for this program as a synchronous standby
    #[arg(long)]
    synchronous: bool,
    /// Ends when the connection fails, instead of connecting again every 5 seconds
    #[arg(short = 'n', long)]
    no_loop: bool,
    /// Longest time between two reports of the position to the server; 0: only when the server requests a report
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10)]
    status_interval: u32,
    /// Prints a line for each segment on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// The task that the command line describes.
#[derive(Debug)]
pub(crate) enum Task {
    Follow(follow::Task),
    CreateSlot { config: Config, slot: String, if_not_exists: bool },
    DropSlot { config: Config, slot: String },
}

/// Reads the command line. After a request for help and after a mistake, prints the answer and ends the program.
pub(crate) fn task() -> Task {
    let given = Arguments::try_parse().unwrap_or_else(|error| {
        // Only the kind of the error is printed: clap's message would show an unexpected argument, which may hold a password.
        if error.use_stderr() { refuse(error.kind()) } else { error.exit() }
    });
    let config = config(given.url);
    match (given.slot, given.directory) {
        (Some(slot), _) if given.create_slot => {
            Task::CreateSlot { config, slot, if_not_exists: given.if_not_exists }
        }
        (Some(slot), _) if given.drop_slot => Task::DropSlot { config, slot },
        (slot, Some(directory)) => Task::Follow(follow::Task {
            config,
            directory,
            settings: Settings {
                slot,
                is_synchronous: given.synchronous,
                interval: Duration::from_secs(given.status_interval.into()),
                is_verbose: given.verbose,
            },
            end: given.endpos,
            no_loop: given.no_loop,
        }),
        _ => refuse("no directory is given"),
    }
}

fn config(url: OsString) -> Config {
    let url = url.into_string().unwrap_or_else(|_| refuse("the connection string is not UTF-8"));
    let found = Surroundings::of_process().login_name().config(&url);
    let found = found.unwrap_or_else(|error| refuse(escaped(&error.to_string())));
    for warning in found.warnings {
        say(format_args!("pg-receive: warning: {}", escaped(&warning.to_string())));
    }
    let mut config = found.config;
    if config.parameter("application_name").is_none() {
        config = config.application_name("pg-receive");
    }
    config.check().unwrap_or_else(|error| refuse(escaped(&error.to_string())));
    config
}

fn refuse(problem: impl Display) -> ! {
    let usage = Arguments::command().render_usage();
    say(format_args!("pg-receive: {problem}\n\n{usage}\n\nFor more information, try '--help'."));
    exit(2)
}
