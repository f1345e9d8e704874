//! The matrix of logins: each method over each link in each `sslmode`, by real `psql` and by this crate, with the same connection
//! string, on the same server. Both have to fare alike: logged in or not, with TLS or without, refused by the server or by the
//! client, in the same words of the server, after the same number of attempts. Differences are listed, each with its reason, in
//! [`exceptions`].

mod cells;
mod exceptions;
mod ours;
mod outcome;
mod psql;
mod servers;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cells::Cell;
use exceptions::Verdicts;
use outcome::Outcome;
use servers::WithoutTls;

/// Logins at the same time. Half of each is waiting for the other process.
const THREADS: usize = 4;

/// A cell, the outcome of psql, and that of this crate.
struct Compared {
    cell: Cell,
    psql: Outcome,
    ours: Outcome,
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn every_login_fares_as_that_of_psql() {
    let _without_tls = WithoutTls::begin();
    let compared = compare(cells::all());
    let mut verdicts = Verdicts::default();
    for Compared { cell, psql, ours } in &compared {
        verdicts.judge(cell, psql, ours);
    }
    let logged_in = compared.iter().filter(|it| matches!(it.psql, Outcome::LoggedIn(_))).count();
    eprintln!("{} logins, {logged_in} of them successful; {verdicts}", compared.len());
    verdicts.assert();
}

/// Logs in once by psql and once by this crate for each cell, in several threads.
fn compare(cells: Vec<Cell>) -> Vec<Compared> {
    let next = AtomicUsize::new(0);
    let work = || {
        let runtime = ours::runtime();
        let mut done = Vec::new();
        while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
            // They run side by side: psql is a process of its own.
            let psql = psql::start(cell);
            let ours = runtime.block_on(ours::log_in(cell));
            done.push(Compared { cell: cell.clone(), psql: psql.outcome(), ours });
        }
        done
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no login panics")).collect()
    })
}
