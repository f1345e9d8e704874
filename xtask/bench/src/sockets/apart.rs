//! Sets the CPUs of clients and servers: two different CPUs, or the same CPU if client and server always wait for each other.
//!
//! If the scheduler chose the CPUs, this choice would change the times more than the client library does. A round trip between two CPUs
//! takes up to three times as much CPU time as on one CPU. Most of this time is spent on waking the second CPU, and the time of waking
//! varies (`NOTES.md`). The scheduler keeps its choice for the life of a connection, so a measurement would show which client got the
//! better CPUs.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Selects the CPU for a process or thread: the CPU of the clients, or the CPU of the servers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// The CPU of the clients.
    Client,
    /// The CPU of the servers.
    Server,
}

/// Moves this thread to the CPU of `side`. Threads and processes that this thread starts later inherit the CPU.
pub(crate) fn put_ourselves(side: Side) {
    put(None, side);
}

/// Moves a PostgreSQL server to the CPU of `side`. Sessions that start later run on this CPU; open sessions keep their CPU.
pub(crate) fn put_server(dir: &Path, port: u16, side: Side) -> Result<()> {
    let lock = dir.join(format!(".s.PGSQL.{port}.lock"));
    let text = fs::read_to_string(&lock).with_context(|| lock.display().to_string())?;
    let pid = text.lines().next().and_then(|line| Pid::from_raw(line.parse().ok()?));
    put(Some(pid.with_context(|| format!("{} has no process id", lock.display()))?), side);
    Ok(())
}

/// Sets the CPU of a process, or of this thread if `pid` is `None`. Does nothing if the benchmark has only one CPU.
fn put(pid: Option<Pid>, side: Side) {
    let Some([client, server]) = *CPUS else { return };
    let mut set = CpuSet::new();
    set.set(match side {
        Side::Client => client,
        Side::Server => server,
    });
    if let Err(error) = sched_setaffinity(pid, &set) {
        eprintln!("bench: cannot set the CPU, so the scheduler chooses: {error}");
    }
}

/// The CPUs of clients and of servers: the first two CPUs that the benchmark may use at its start. `None` if there is only one CPU.
static CPUS: LazyLock<Option<[usize; 2]>> = LazyLock::new(|| {
    let ours = sched_getaffinity(None).ok()?;
    let mut ours = (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu));
    Some([ours.next()?, ours.next()?])
});
