//! Command line of pg-receive.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, ValueEnum};
use pg_stream_tokio::Config;
use pg_stream_tokio::pg_auth::config::Surroundings;
use pg_wire::replication::Lsn;
use pg_wire::replication::command::Checkpoint;

use crate::backup::{self, WalMethod};
use crate::backup_files::Format;
use crate::follow;
use crate::report::{escaped, say};
use crate::stream::Settings;

/// Receives the WAL or a base backup of a PostgreSQL server
///
/// WAL: pg-receive writes the server's WAL into segment files in a directory. A
/// segment has the extension .partial until it is complete. The stream begins
/// after the last segment in the directory. If the directory has no segment, the
/// stream begins at the position of the slot; without a slot, at the end of the
/// server's WAL. pg-receive follows the server to new timelines, and writes their
/// history files. With a slot, the server keeps all WAL that is not yet on the
/// disk of this machine.
///
/// Base backup: with --base-backup, pg-receive copies the whole database cluster
/// into a new or empty directory, with a manifest (backup_manifest) that
/// pg_verifybackup checks. A server can start from a plain backup with WAL. If the
/// backup fails, its files are removed.
///
/// Settings that are not in the connection string have the same defaults as in
/// psql: PGHOST, PGUSER, PGPASSWORD and the other variables, a service file,
/// ~/.pgpass, the name of the operating system's user. The user needs the
/// attribute REPLICATION. Options have the names and meanings of pg_receivewal
/// and pg_basebackup.
///
/// After Ctrl-C or SIGTERM, pg-receive syncs the segment, reports the position to
/// the server, and ends with status 0. During a backup, pg-receive removes the
/// backup and ends with status 1. A second signal ends pg-receive at once.
#[derive(Debug, Parser)]
#[command(
    name = "pg-receive",
    version,
    verbatim_doc_comment,
    override_usage = "pg-receive [OPTIONS] <URL> -D <DIR>
       pg-receive [OPTIONS] <URL> --base-backup <DIR>
       pg-receive <URL> --slot <NAME> --create-slot [--if-not-exists]
       pg-receive <URL> --slot <NAME> --drop-slot",
    after_long_help = "Exit status:
  0  the task is done, or a signal has ended the stream of WAL
  1  the task failed; the reason is on standard error
  2  wrong usage"
)]
struct Arguments {
    /// Connection string: postgres://user:password@host:port, or keywords: "host=... user=..."
    #[arg(value_name = "URL")]
    url: OsString,
    /// Directory for the segment files; it must exist
    #[arg(short = 'D', long, value_name = "DIR", required_unless_present_any = ["create_slot", "drop_slot", "base_backup"])]
    directory: Option<PathBuf>,
    /// Name of the replication slot for which the server keeps WAL
    #[arg(short = 'S', long, value_name = "NAME")]
    slot: Option<String>,
    /// Creates the replication slot; then the program ends
    #[arg(long, requires = "slot", conflicts_with_all = ["drop_slot", "directory"])]
    create_slot: bool,
    /// Drops the replication slot; then the program ends
    #[arg(long, requires = "slot", conflicts_with = "directory")]
    drop_slot: bool,
    /// With --create-slot: an existing slot is not an error
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
    /// Maximum time between two reports of the position to the server. With 0, a report is sent only when the server requests it
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10)]
    status_interval: u32,
    /// Prints a line for each segment on standard error
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    backup: BackupArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Base backup")]
struct BackupArguments {
    /// Makes a base backup in this directory. The directory must be empty, or must not exist
    #[arg(long, value_name = "DIR", conflicts_with_all = ["directory", "create_slot", "drop_slot", "endpos", "synchronous", "no_loop"])]
    base_backup: Option<PathBuf>,
    /// The form of the backup
    #[arg(short = 'F', long, value_enum, default_value_t = Format::Plain, requires = "base_backup", conflicts_with = "directory")]
    format: Format,
    /// The speed of the checkpoint at the start of the backup
    #[arg(short, long, value_enum, default_value_t = Speed::Spread, requires = "base_backup", conflicts_with = "directory")]
    checkpoint: Speed,
    /// Method to receive the WAL that a server needs when it starts from the backup
    #[arg(short = 'X', long, value_enum, default_value_t = Wal::Stream, requires = "base_backup", conflicts_with = "directory")]
    wal_method: Wal,
    /// The label of the backup
    #[arg(
        short,
        long,
        value_name = "TEXT",
        default_value = "pg-receive base backup",
        requires = "base_backup"
    )]
    label: String,
    /// The algorithm of the checksums in the manifest: NONE, CRC32C (the server's default), SHA224, SHA256, SHA384 or SHA512
    #[arg(long, value_name = "ALGORITHM", requires = "base_backup", conflicts_with = "directory")]
    manifest_checksums: Option<String>,
    /// The highest rate at which the server sends data, in kilobytes per second
    #[arg(short = 'r', long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(32..=1_048_576), requires = "base_backup", conflicts_with = "directory")]
    max_rate: Option<u32>,
    /// Copies the tablespace in the server's directory OLD into the directory NEW. By default, the copy has the same path as the tablespace
    /// on the server
    #[arg(short = 'T', long, value_name = "OLD=NEW", value_parser = mapping, requires = "base_backup", conflicts_with = "directory")]
    tablespace_mapping: Vec<(String, PathBuf)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Speed {
    /// The checkpoint runs as fast as possible
    Fast,
    /// The checkpoint is spread over time, with less load on the server
    Spread,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wal {
    /// The backup has no WAL: a server needs an archive of the WAL to start
    None,
    /// The server adds the WAL at the end of the backup, and has to keep the WAL until then
    Fetch,
    /// A second connection receives the WAL while the backup is made, with a temporary slot unless --slot names a slot
    Stream,
}

/// Parses `OLD=NEW`, two absolute paths. An equals sign inside of a path is written as `\=`.
fn mapping(text: &str) -> Result<(String, PathBuf), &'static str> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let part = parts.last_mut().ok_or("no path")?;
        match c {
            '\\' if characters.peek() == Some(&'=') => part.extend(characters.next()),
            '=' => parts.push(String::new()),
            c => part.push(c),
        }
    }
    let [server, copy] = &parts[..] else { return Err("a mapping is OLD=NEW, with one equals sign") };
    match server.starts_with('/') && copy.starts_with('/') {
        true => Ok((server.trim_end_matches('/').to_owned(), copy.into())),
        false => Err("both paths of a mapping must be absolute"),
    }
}

/// The task that the command line describes.
#[derive(Debug)]
pub(crate) enum Task {
    Follow(follow::Task),
    BackUp(backup::Task),
    CreateSlot { config: Config, slot: String, if_not_exists: bool },
    DropSlot { config: Config, slot: String },
}

/// Reads the command line. If the arguments request help or are not valid, prints a message and ends the program.
pub(crate) fn task() -> Task {
    let given = Arguments::try_parse().unwrap_or_else(|error| {
        // Prints only the kind of the error. The full text would quote the unexpected argument, which may contain a password.
        if error.use_stderr() { refuse(error.kind()) } else { error.exit() }
    });
    let config = config(given.url);
    if let Some(directory) = given.backup.base_backup {
        let given_slot = given.slot;
        if given_slot.is_some() && given.backup.wal_method != Wal::Stream {
            refuse("a slot can only be used with --wal-method stream");
        }
        let given = BackupArguments { base_backup: None, ..given.backup };
        return Task::BackUp(backup::Task {
            config,
            directory,
            format: given.format,
            checkpoint: match given.checkpoint {
                Speed::Fast => Checkpoint::Fast,
                Speed::Spread => Checkpoint::Spread,
            },
            wal_method: match given.wal_method {
                Wal::None => WalMethod::None,
                Wal::Fetch => WalMethod::Fetch,
                Wal::Stream => WalMethod::Stream,
            },
            label: given.label,
            manifest_checksums: given.manifest_checksums,
            max_rate: given.max_rate,
            mapping: given.tablespace_mapping,
            slot: given_slot,
        });
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_of_a_tablespace_is_parsed() {
        assert_eq!(mapping("/a/=/b"), Ok(("/a".into(), "/b".into())));
        assert_eq!(mapping(r"/a\=b=/c"), Ok(("/a=b".into(), "/c".into())));
        for wrong in ["", "/a", "/a=", "=/b", "a=/b", "/a=b", "/a=/b=/c"] {
            assert!(mapping(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_options_are_consistent() {
        Arguments::command().debug_assert();
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        for good in [
            "pg-receive url -D d --slot s --synchronous --no-loop --endpos 0/16B2D50 --status-interval 0",
            "pg-receive url --slot s --create-slot --if-not-exists",
            "pg-receive url --slot s --drop-slot",
            "pg-receive url --base-backup d -F tar -c fast -X none -r 32 -T /a=/b --manifest-checksums NONE -l text",
            "pg-receive url --base-backup d --slot s",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for wrong in [
            "pg-receive url",
            "pg-receive -D d",
            "pg-receive url --create-slot",
            "pg-receive url -D d --if-not-exists",
            "pg-receive url -D d --slot s --create-slot",
            "pg-receive url --slot s --create-slot --drop-slot",
            "pg-receive url -D d --endpos 16",
            "pg-receive url -D d --base-backup e",
            "pg-receive url -D d --format tar",
            "pg-receive url -D d --max-rate 100",
            "pg-receive url --base-backup d --endpos 0/1",
            "pg-receive url --base-backup d --max-rate 31",
            "pg-receive url --base-backup d --format zip",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
