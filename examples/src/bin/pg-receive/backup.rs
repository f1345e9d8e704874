//! Makes a base backup: its archives, its manifest, and the WAL that a server needs to start from the backup.

use std::fs;
use std::path::{Path, PathBuf};

use pg_stream_tokio::{Config, Connection, PgProtocol};
use pg_wire::backend::{Backend, ServerError};
use pg_wire::replication::BackupMessage;
use pg_wire::replication::command::{BaseBackup, Checkpoint, ManifestOption};
use pg_wire::replication::reply::{self, BackupPosition};

use crate::archive::blocking;
use crate::ask::{Rows, System, answer, ask, walsender};
use crate::backup_files::{Files, Format};
use crate::backup_wal::BackupWal;
use crate::disk::{self, Modes};
use crate::failure::Failure;
use crate::report::say;
use crate::resume::Place;
use crate::stop::Stop;
use crate::unpack::Tablespace;

/// Settings for a base backup.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) config: Config,
    pub(crate) directory: PathBuf,
    pub(crate) format: Format,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) wal_method: WalMethod,
    pub(crate) label: String,
    pub(crate) manifest_checksums: Option<String>,
    /// Maximum rate in kilobytes per second at which the server sends data.
    pub(crate) max_rate: Option<u32>,
    /// Pairs of directories: a tablespace on the server, and its copy.
    pub(crate) mapping: Vec<(String, PathBuf)>,
    /// Name of the slot for the WAL. If it is `None`, a temporary slot is made.
    pub(crate) slot: Option<String>,
}

/// Method by which the backup gets its WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalMethod {
    /// The backup has no WAL.
    None,
    /// The server adds the WAL at the end of the main archive.
    Fetch,
    /// A second connection receives the WAL while the backup is made.
    Stream,
}

/// Directories of this backup. The flag is true if the backup has made the directory, and false if the directory existed before.
#[derive(Debug, Default)]
struct Claimed(Vec<(PathBuf, bool)>);

impl Claimed {
    /// Makes a directory. If the directory exists, checks that it is empty.
    fn claim(&mut self, directory: &Path, modes: Modes) -> Result<(), Failure> {
        let is_new = disk::claim(directory, modes)?;
        self.0.push((directory.to_owned(), is_new));
        Ok(())
    }

    /// Removes everything that the backup has made. A directory that existed before the backup is not removed, but is empty again.
    fn remove(self) {
        for (directory, is_new) in self.0 {
            let removed = match is_new {
                true => fs::remove_dir_all(&directory),
                false => empty(&directory),
            };
            if let Err(error) = removed {
                say(format_args!("pg-receive: {}", Failure::file("cannot remove", &directory, error)));
            }
        }
    }
}

fn empty(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Makes a base backup. If the backup fails, removes the files that it has made.
pub(crate) async fn back_up(task: &Task, mut stop: Stop) -> Result<(), Failure> {
    let mut claimed = Claimed::default();
    let made = tokio::select! {
        biased;
        () = stop.given() => Err(Failure::Interrupted),
        made = make(task, &mut claimed) => made,
    };
    if made.is_err() {
        claimed.remove();
    }
    made
}

async fn make(task: &Task, claimed: &mut Claimed) -> Result<(), Failure> {
    let (mut conn, session) = walsender(&task.config).await?;
    let version = session.parameters.get("server_version").unwrap_or_default();
    let major =
        version.split(|c: char| !c.is_ascii_digit()).next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < 15) {
        return Err(Failure::Local(format!(
            "the server has version {version}; base backups need PostgreSQL 15 or later"
        )));
    }
    let system = System::of(&mut conn).await?;
    let modes = Modes::new(system.for_group);
    claimed.claim(&task.directory, modes)?;

    // The WAL connection and its slot are made before the backup begins, so that the slot keeps all WAL that the backup needs.
    let wal = match task.wal_method {
        WalMethod::Stream => {
            let directory = task.directory.join("pg_wal");
            Some(BackupWal::prepare(&task.config, task.slot.as_deref(), &directory, &system).await?)
        }
        WalMethod::None | WalMethod::Fetch => None,
    };
    let rows = ask(&mut conn, &command(task)).await?;
    let begin: BackupPosition = rows.row(0)?;
    let begin = Place { timeline: begin.timeline, position: begin.position };
    let tablespaces = tablespaces(task, &rows)?;
    if task.format == Format::Plain {
        for tablespace in &tablespaces {
            claimed.claim(&tablespace.copy, modes)?;
        }
    }
    // If a later step fails, `wal` is dropped, and dropping it ends the WAL stream.
    let mut wal = wal.map(|wal| wal.start(begin));
    let mut files = Files::new(&task.directory, task.format, modes, &tablespaces);
    receive(&mut conn, &mut files, wal.as_mut()).await?;
    let rows = answer(&mut conn).await?;
    let end: BackupPosition = rows.row(0)?;
    files.finish()?;
    if let Some(wal) = wal {
        let directory = wal.finish(end.position).await?;
        if task.format == Format::Tar {
            let archive = task.directory.join("pg_wal.tar");
            blocking(move || crate::backup_files::pack(&directory, &archive, modes)).await?;
        }
    }
    let _ = conn.terminate().close().await;

    // The manifest gets its final name last, so that only a complete backup has a manifest with this name.
    let (directory, copies) =
        (task.directory.clone(), tablespaces.into_iter().map(|tablespace| tablespace.copy));
    let copies: Vec<_> = if task.format == Format::Plain { copies.collect() } else { Vec::new() };
    blocking(move || {
        copies.iter().try_for_each(|copy| disk::sync_tree(copy))?;
        disk::sync_tree(&directory)?;
        disk::rename(&directory.join(Files::UNFINISHED_MANIFEST), &directory.join(Files::MANIFEST))?;
        disk::sync_directory(
            directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        )
    })
    .await
}

fn command(task: &Task) -> BaseBackup<'_> {
    let mut command = BaseBackup::new()
        .label(&task.label)
        .checkpoint(task.checkpoint)
        .wal(task.wal_method == WalMethod::Fetch)
        // A backup without WAL needs the WAL from an archive. So only for such a backup, the server waits until the WAL is archived.
        .wait(task.wal_method == WalMethod::None)
        .manifest(ManifestOption::Yes)
        // Only the user of a tar backup knows where the backup will be unpacked. So the server adds the file `tablespace_map` to the
        // backup. A new server that starts from the backup makes the links to its tablespaces from this file.
        .tablespace_map(task.format == Format::Tar);
    if let Some(algorithm) = &task.manifest_checksums {
        command = command.manifest_checksums(algorithm);
    }
    if let Some(rate) = task.max_rate {
        command = command.max_rate(rate);
    }
    command
}

/// Returns the tablespaces of the server, each with the directory for its copy.
fn tablespaces(task: &Task, rows: &Rows) -> Result<Vec<Tablespace>, Failure> {
    let mut tablespaces = Vec::new();
    for index in 1..rows.len() {
        let row: reply::Tablespace<'_> = rows.row(index)?;
        let (Some(oid), Some(location)) = (row.oid, row.location) else { continue };
        let mapped = task.mapping.iter().find(|(server, _)| server == location);
        let copy = mapped.map_or_else(|| PathBuf::from(location), |(_, copy)| copy.clone());
        if task.format == Format::Plain && !copy.is_absolute() {
            return Err(Failure::Local(format!(
                "tablespace {oid} is in {location}: only absolute paths are supported"
            )));
        }
        tablespaces.push(Tablespace { oid, location: location.to_owned(), copy });
    }
    for (server, _) in &task.mapping {
        if !tablespaces.iter().any(|tablespace| tablespace.location == *server) {
            say(format_args!("pg-receive: warning: the server has no tablespace in {server}"));
        }
    }
    Ok(tablespaces)
}

/// Receives the archives and the manifest from the server, and writes them to files.
async fn receive(
    conn: &mut Connection,
    files: &mut Files<'_>,
    mut wal: Option<&mut BackupWal>,
) -> Result<(), Failure> {
    let mut failure: Option<ServerError> = None;
    loop {
        if let Some(wal) = wal.as_deref_mut() {
            wal.check().await?;
        }
        let frame = match conn.recv().await {
            Ok(frame) => frame,
            Err(error) => return Err(failure.map_or(error.into(), Failure::Server)),
        };
        match frame.backend()? {
            Backend::CopyData(copy) => match BackupMessage::decode(copy.data.0)? {
                BackupMessage::BackupData(piece) => files.content(piece.data.0)?,
                BackupMessage::NewArchive(archive) => {
                    files.archive(&archive.name.to_string_lossy(), &archive.tablespace.to_string_lossy())?;
                }
                BackupMessage::Manifest(_) => files.manifest()?,
                _ => {}
            },
            Backend::CopyDone(_) => return Ok(()),
            Backend::ErrorResponse(error) => failure = Some(error.to_owned()),
            Backend::ReadyForQuery(_) => {
                let ended = || Failure::Answer("the server ended the backup without CopyDone".into());
                return Err(failure.map_or_else(ended, Failure::Server));
            }
            Backend::NoticeResponse(_) | Backend::ParameterStatus(_) => {}
            _ => {
                return Err(Failure::Answer("the server sent a message that is not part of a backup".into()));
            }
        }
    }
}
