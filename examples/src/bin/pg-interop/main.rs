//! A conformance suite for servers that speak PostgreSQL's protocol: databases, poolers and proxies.
//!
//! `cargo run -p examples --bin pg-interop -- postgres://user:secret@localhost/mydb`
//!
//! Each row of the tables in [`checks`] is a [`check`]: a statement about the protocol, the paragraph of PostgreSQL's manual, the
//! preconditions, and a function. The function sends bytes through a [`client`], and compares the received messages with expected lines
//! ([`received`]). Every check opens its own connections to the [`target`].
//!
//! Without a URL, the program runs the checks against all known [`servers`]. The environment variables that `cargo xtask serve` prints
//! contain the addresses of some servers; the program starts the other servers. [`deviations`] lists the known differences of these
//! servers, each with its reason. A difference that is not in the list is a failure, and an entry of the list without a difference is a
//! failure too.

mod arguments;
mod check;
mod checks;
mod client;
mod deviations;
mod message;
mod pglite;
mod process;
mod received;
mod report;
mod servers;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use checks::AREAS;
use report::Report;
use servers::Server;
use target::Target;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.url {
        _ if arguments.list => list(&arguments).map(|()| true),
        Some(url) => against(&arguments, url),
        None => against_all(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // An error is ignored: if standard error is closed, the exit code still reports the failure.
            let _ = writeln!(io::stderr(), "pg-interop: {error}");
            ExitCode::from(2)
        }
    }
}

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Prints the checks and their links.
fn list(arguments: &Arguments) -> Fallible<()> {
    let mut out = io::stdout().lock();
    for area in AREAS {
        for check in area.checks.iter().filter(|check| arguments.selects(area, check)) {
            writeln!(out, "{}: {}\n    {}", area.title, check.name, check.url())?;
        }
    }
    Ok(())
}

/// Runs the checks against one server. Returns whether no check has failed.
fn against(arguments: &Arguments, url: &str) -> Fallible<bool> {
    let reason = "the option --without names this feature";
    let lacks = arguments.without.iter().map(|feature| (*feature, reason)).collect();
    let target = Target::new(url.parse()?, lacks, arguments.patience())?;
    let report = Report::of(arguments, &target, None)?;
    io::stdout().write_all(report.to_text(arguments.format).as_bytes())?;
    Ok(report.is_success())
}

/// Runs the checks against all known servers at the same time. Returns false if the result of a check differs from the list of known
/// deviations.
fn against_all(arguments: &Arguments) -> Fallible<bool> {
    let servers = Server::all()?;
    let reports: Vec<Fallible<Report>> = std::thread::scope(|scope| {
        // All threads are started before the first thread is joined. Without this order, the servers would be checked one after the other.
        let threads: Vec<_> =
            servers.iter().map(|server| scope.spawn(move || report(arguments, server))).collect();
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.map(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut success = true;
    let mut out = io::stdout().lock();
    for (server, report) in servers.iter().zip(reports) {
        match report {
            Ok(report) => {
                success &= report.is_success();
                out.write_all(report.to_text(arguments.format).as_bytes())?;
            }
            // After an error, the loop goes on, so that the reports of the remaining servers are printed.
            Err(error) => {
                success = false;
                writeln!(out, "{}: {error}\n", server.name)?;
            }
        }
    }
    Ok(success)
}

/// Runs the checks against a known server.
fn report(arguments: &Arguments, server: &Server) -> Fallible<Report> {
    let target = Target::new(server.url.parse()?, server.lacks.to_vec(), arguments.patience());
    Ok(Report::of(arguments, &target?, Some(server.name))?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::checks::AREAS;

    #[test]
    fn the_names_of_the_checks_differ() {
        let mut names = BTreeSet::new();
        for check in AREAS.iter().flat_map(|area| area.checks) {
            assert!(names.insert(check.name), "two checks have the name {:?}", check.name);
        }
    }

    #[test]
    fn each_known_deviation_names_a_check() {
        let names: BTreeSet<&str> =
            AREAS.iter().flat_map(|area| area.checks).map(|check| check.name).collect();
        for check in super::deviations::DEVIATIONS.iter().flat_map(|known| known.checks) {
            assert!(names.contains(check), "no check has the name {check:?}");
        }
    }
}
