//! `cargo xtask chaos`: starts two servers and runs the program `pg-chaos`, which makes connections and proxies fail while clients work.
//! Restarts a server when the program requests a restart.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::servers::{ADMIN, Servers, Shutdown};
use crate::{paths, process};

/// The duration of `pg-chaos` in `cargo xtask ci`, in seconds.
pub(crate) const IN_CI: u64 = 30;

/// Builds the programs, starts PostgreSQL 15 and 18, and runs `pg-chaos` for `seconds` seconds. If `seed` is `None`, `pg-chaos` chooses a
/// seed.
pub(crate) fn run(seconds: u64, seed: Option<u64>) -> Result<ExitCode> {
    // Builds the test `proxy`, because cargo then also builds the programs of the package `examples`. `cargo xtask ci` builds this test
    // with the same features, so these programs are not built twice.
    process::succeed(&mut paths::cargo([
        "test",
        "--workspace",
        "--all-features",
        "--test",
        "proxy",
        "--no-run",
    ]))?;
    let programs = paths::target().join("debug");
    let mut servers = Servers::start_both()?;

    let mut chaos = Command::new(programs.join("pg-chaos"));
    chaos.args(["--user", ADMIN, "--restarts", "--seconds", &seconds.to_string(), "--proxy"]);
    chaos.arg(programs.join("pg-proxy"));
    if let Some(seed) = seed {
        chaos.args(["--seed", &seed.to_string()]);
    }
    for address in servers.addresses() {
        chaos.args(["--server", &address.to_string()]);
    }
    let (mut line, mut failure) = (Vec::new(), None);
    let status = process::echo(&mut chaos, |output| {
        for byte in output {
            match byte {
                b'\n' => {
                    let done = obey(&mut servers, &String::from_utf8_lossy(&std::mem::take(&mut line)));
                    failure = failure.take().or(done.err());
                }
                byte => line.push(*byte),
            }
        }
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs `pg-chaos` as a step of `cargo xtask ci`: a failure of the program is an error.
pub(crate) fn succeed() -> Result<()> {
    if run(IN_CI, None)? != ExitCode::SUCCESS {
        bail!("`pg-chaos` failed; its seed is printed above");
    }
    Ok(())
}

/// Reads one line of the output of `pg-chaos`. The line `restart 0 fast` requests a restart of the first server with a fast shutdown; any
/// other kind of line is ignored.
fn obey(servers: &mut Servers, line: &str) -> Result<()> {
    let Some(request) = line.strip_prefix("restart ") else { return Ok(()) };
    let (server, how) = request.split_once(' ').context("a restart without a kind")?;
    let how = match how {
        "fast" => Shutdown::Fast,
        "immediate" => Shutdown::Immediate,
        how => bail!("{how:?} is no kind of shutdown"),
    };
    servers.restart(server.parse()?, how)
}
