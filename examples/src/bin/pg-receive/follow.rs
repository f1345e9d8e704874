//! Receives physical WAL and writes it into a directory, as `pg_receivewal` does.

use std::path::PathBuf;
use std::time::Duration;

use pg_stream_tokio::{Config, Connection};
use pg_wire::replication::Lsn;
use pg_wire::replication::command::ReadReplicationSlot;
use pg_wire::replication::reply::SlotState;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::archive::{Archive, Use};
use crate::ask::{System, ask, walsender};
use crate::disk::Modes;
use crate::failure::Failure;
use crate::report::say;
use crate::resume::{self, Place};
use crate::stop::Stop;
use crate::stream::{Settings, Stream};

/// Time between the end of a connection and the next attempt to connect, the same as in `pg_receivewal`.
const RETRY: Duration = Duration::from_secs(5);

/// Settings for receiving WAL.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) config: Config,
    pub(crate) directory: PathBuf,
    pub(crate) settings: Settings,
    /// Position up to which WAL is received before the task ends. The byte at this position is included.
    pub(crate) end: Option<Lsn>,
    /// Whether the task ends after a failure. Otherwise it connects again.
    pub(crate) no_loop: bool,
}

/// Receives WAL until the end position is reached or a signal arrives. Connects again after failures of the server and of the connection.
pub(crate) async fn follow(task: &Task, mut stop: Stop) -> Result<(), Failure> {
    let mut system_id = None;
    loop {
        let is_first = system_id.is_none();
        let attempt = tokio::select! {
            biased;
            () = stop.given() => return Ok(()),
            attempt = connect(&task.config, &mut system_id) => attempt,
        };
        let outcome = match attempt {
            // The first attempt may fail because the connection string is wrong, and then every later attempt would fail too.
            Err(failure) if is_first => return Err(failure),
            Ok((conn, system)) => receive(task, conn, &system, &stop).await,
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(failure) if !failure.is_worth_a_retry() => return Err(failure),
            Err(failure) => say(format_args!("pg-receive: {failure}")),
        }
        if stop.is_given() {
            return Ok(());
        }
        if task.no_loop {
            return Err(Failure::Local("disconnected".into()));
        }
        say(format_args!("pg-receive: disconnected; waiting {} seconds to try again", RETRY.as_secs()));
        tokio::select! {
            () = stop.given() => return Ok(()),
            () = sleep(RETRY) => {}
        }
    }
}

/// Connects to the server. Checks that the system identifier is the same as at the first connection.
async fn connect(config: &Config, system_id: &mut Option<String>) -> Result<(Connection, System), Failure> {
    let (mut conn, _) = walsender(config).await?;
    let system = System::of(&mut conn).await?;
    let first = system_id.get_or_insert_with(|| system.id.clone());
    if *first != system.id {
        return Err(Failure::Local(format!(
            "the server is another database cluster: its system identifier is {}, and was {first} before",
            system.id
        )));
    }
    Ok((conn, system))
}

async fn receive(task: &Task, mut conn: Connection, system: &System, stop: &Stop) -> Result<(), Failure> {
    let from = match resume::find(&task.directory, system.size)? {
        Some(place) => place,
        None => first_place(task, &mut conn, system).await?,
    };
    if from.timeline > system.place.timeline {
        return Err(Failure::Local(format!(
            "{} has WAL of timeline {}, and the server's latest timeline is {}",
            task.directory.display(),
            from.timeline,
            system.place.timeline
        )));
    }
    if task.settings.is_verbose {
        let begin = system.size.begin(from.position);
        say(format_args!("pg-receive: starting log streaming at {begin} (timeline {})", from.timeline));
    }
    let modes = Modes::new(system.for_group);
    let mut archive = Archive::new(&task.directory, system.size, modes, Use::Archive);
    // The WAL at the position `--endpos` itself must be received, so the stream ends at the next position. The end position never changes,
    // so the sender is dropped.
    let (_, goal) = watch::channel(task.end.map(|end| Lsn(end.0.saturating_add(1))));
    let (settings, stop) = (&task.settings, stop.clone());
    Stream { settings, archive: &mut archive, goal, stop }.run(conn, from).await
}

/// Returns the timeline and the position at which the stream begins if the directory is empty: with a slot, the position of the slot;
/// without a slot, the end of the server's WAL.
async fn first_place(task: &Task, conn: &mut Connection, system: &System) -> Result<Place, Failure> {
    let Some(slot) = &task.settings.slot else { return Ok(system.place) };
    let reply = ask(conn, &ReadReplicationSlot(slot)).await?;
    let state: SlotState<'_> = reply.row(0)?;
    match (state.kind, state.restart, state.timeline) {
        (None, ..) => Err(Failure::Local(format!("replication slot \"{slot}\" does not exist"))),
        (_, Some(position), timeline) => {
            Ok(Place { timeline: timeline.unwrap_or(system.place.timeline), position })
        }
        _ => Ok(system.place),
    }
}
