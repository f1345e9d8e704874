//! Receives the WAL of a base backup over a second connection, at the same time as the first connection receives the backup.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pg_stream_tokio::{CancelKey, Config, Connection};
use pg_wire::replication::Lsn;
use pg_wire::replication::command::CreateReplicationSlot;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::archive::{Archive, Use};
use crate::ask::{System, ask, walsender};
use crate::disk::Modes;
use crate::failure::Failure;
use crate::resume::Place;
use crate::stop::Stop;
use crate::stream::{Settings, Stream};

/// Interval of the status updates of the WAL stream; the same as in `pg_basebackup`. The server disconnects a client that has sent nothing
/// for `wal_sender_timeout` (by default 60 seconds).
const INTERVAL: Duration = Duration::from_secs(10);

/// A connection that is ready to receive WAL, with a slot that keeps the WAL.
#[derive(Debug)]
pub(crate) struct Prepared {
    conn: Connection,
    archive: Archive,
    settings: Settings,
    directory: PathBuf,
}

/// A running WAL stream. Dropping this value ends the stream.
#[derive(Debug)]
pub(crate) struct BackupWal {
    running: JoinHandle<Result<(), Failure>>,
    goal: watch::Sender<Option<Lsn>>,
    directory: PathBuf,
}

impl BackupWal {
    /// Connects, and makes the directories for the WAL. Makes a temporary slot if no slot is given.
    pub(crate) async fn prepare(
        config: &Config,
        slot: Option<&str>,
        directory: &Path,
        system: &System,
    ) -> Result<Prepared, Failure> {
        let modes = Modes::new(system.for_group);
        for directory in [directory, &directory.join("archive_status")] {
            let made = modes.make_directory(directory);
            made.map_err(|error| Failure::file("cannot make the directory", directory, error))?;
        }
        let (mut conn, session) = walsender(config).await?;
        if System::of(&mut conn).await?.id != system.id {
            return Err(Failure::Local(
                "the connection for the WAL has reached another server than the connection for the backup"
                    .into(),
            ));
        }
        let slot = match slot {
            Some(slot) => slot.to_owned(),
            None => {
                // The process id of the server process makes the name of the slot unique.
                let pid = session.cancel_key.as_ref().map_or(0, CancelKey::pid);
                let name = format!("pg_receive_{pid}");
                ask(&mut conn, &CreateReplicationSlot::physical(&name).temporary().reserve_wal()).await?;
                name
            }
        };
        let settings =
            Settings { slot: Some(slot), is_synchronous: false, interval: INTERVAL, is_verbose: false };
        let archive = Archive::new(directory, system.size, modes, Use::Backup);
        Ok(Prepared { conn, archive, settings, directory: directory.to_owned() })
    }

    /// Checks that the WAL stream is still running. If the stream has ended, returns its error.
    pub(crate) async fn check(&mut self) -> Result<(), Failure> {
        match self.running.is_finished() {
            true => joined(&mut self.running)
                .await
                .and(Err(Failure::Local("the WAL stream has ended early".into()))),
            false => Ok(()),
        }
    }

    /// Waits until the WAL up to the position `end` is received. Returns the directory of the WAL.
    pub(crate) async fn finish(mut self, end: Lsn) -> Result<PathBuf, Failure> {
        self.goal.send_replace(Some(end));
        joined(&mut self.running).await?;
        Ok(std::mem::take(&mut self.directory))
    }
}

impl Drop for BackupWal {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Prepared {
    /// Starts to receive the WAL. The stream begins at the start of the segment that contains the position of `from`.
    pub(crate) fn start(self, from: Place) -> BackupWal {
        let Self { conn, mut archive, settings, directory } = self;
        let (goal, receiver) = watch::channel(None);
        let running = tokio::spawn(async move {
            let (settings, archive) = (&settings, &mut archive);
            // The stream itself does not react to signals, because a signal ends the whole backup.
            Stream { settings, archive, goal: receiver, stop: Stop::never() }.run(conn, from).await
        });
        BackupWal { running, goal, directory }
    }
}

async fn joined(running: &mut JoinHandle<Result<(), Failure>>) -> Result<(), Failure> {
    running.await.unwrap_or_else(|error| Err(Failure::Local(format!("the WAL stream has ended: {error}"))))
}
