//! Comparison of logins by psql with logins by this project.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::cells::Cell;
use crate::exceptions::{Exception, Verdicts};
use crate::outcome::Outcome;
use crate::psql;

/// Number of threads that log in at the same time. Each thread spends half of its time waiting for psql.
const THREADS: usize = 4;

/// Logs in by psql and by `ours` for each cell, and fails on a difference that is not a listed exception. Several threads take cells from
/// one list. Each thread has its own runtime.
pub(crate) fn with_psql<R>(
    cells: Vec<Cell>,
    exceptions: Vec<&'static Exception>,
    runtime: impl Fn() -> R + Sync,
    ours: impl Fn(&R, &Cell) -> Outcome + Sync,
) {
    let next = AtomicUsize::new(0);
    let work = || {
        let runtime = runtime();
        let mut done = Vec::new();
        while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
            // psql runs in a separate process, so the login by psql and the login by `ours` run at the same time.
            let psql = psql::start(cell);
            let ours = ours(&runtime, cell);
            done.push((cell, psql.outcome(), ours));
        }
        done
    };
    let compared: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no login panics")).collect()
    });
    let mut verdicts = Verdicts::new(exceptions);
    for (cell, psql, ours) in &compared {
        verdicts.judge(cell, psql, ours);
    }
    let logged_in = compared.iter().filter(|(_, psql, _)| matches!(psql, Outcome::LoggedIn(_))).count();
    eprintln!("{} logins, {logged_in} of them successful; {verdicts}", compared.len());
    verdicts.assert();
}
