//! `cargo xtask serve`: runs servers for manual experiments.

use std::io::Write;
use std::process::ExitCode;
use std::thread;

use anyhow::Result;

use crate::servers::Servers;
use crate::{clients, interrupt, process};

/// Starts the servers, prints their environment variables, and waits until a signal arrives.
pub(crate) fn run() -> Result<ExitCode> {
    let clients = clients::environment()?;
    let mut servers = Servers::start_for_tests(&clients::server_headers())?;
    let lines =
        servers.environment().into_iter().chain(clients).map(|(name, value)| format!("{name}={value}\n"));
    // All variables are written in one write, because a reader may close the pipe as soon as it has read the variable that it needs.
    std::io::stdout().write_all(lines.collect::<String>().as_bytes())?;
    eprintln!("xtask: the servers are running; Ctrl-C stops them");
    while interrupt::arrived().is_none() {
        servers.check()?;
        thread::sleep(process::TICK);
    }
    drop(servers);
    Ok(ExitCode::SUCCESS)
}
