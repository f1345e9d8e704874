//! Clients on one CPU and servers on another; or, where one always waits for the other, both on one.
//!
//! Where the scheduler puts the two counts for more than what they do: a round trip takes up to three times as much CPU time between
//! CPUs as on one, nearly all of it for waking the other CPU, which differs by half from one time to the next. It leaves them there
//! for as long as they last, and so decides who wins a line.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Whose place it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// This thread, and what it starts.
    Client,
    /// Whatever answers.
    Server,
}

/// Puts this thread in its place.
pub(crate) fn put_ourselves(side: Side) {
    put(None, side);
}

/// Puts a PostgreSQL in a place, and every session it begins from now on.
pub(crate) fn put_server(dir: &Path, port: u16, side: Side) -> Result<()> {
    let lock = dir.join(format!(".s.PGSQL.{port}.lock"));
    let text = fs::read_to_string(&lock).with_context(|| lock.display().to_string())?;
    let pid = text.lines().next().and_then(|line| Pid::from_raw(line.parse().ok()?));
    put(Some(pid.with_context(|| format!("{} names no process", lock.display()))?), side);
    Ok(())
}

/// With a single CPU there is nothing to choose.
fn put(pid: Option<Pid>, side: Side) {
    let Some([client, server]) = *CPUS else { return };
    let mut set = CpuSet::new();
    set.set(match side {
        Side::Client => client,
        Side::Server => server,
    });
    if let Err(error) = sched_setaffinity(pid, &set) {
        eprintln!("bench: clients and servers share the CPUs as they come: {error}");
    }
}

/// The first two that we might use when we began.
static CPUS: LazyLock<Option<[usize; 2]>> = LazyLock::new(|| {
    let ours = sched_getaffinity(None).ok()?;
    let mut ours = (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu));
    Some([ours.next()?, ours.next()?])
});
