//! `cargo xtask serve`: servers to try things against by hand.

use std::io::Write;
use std::process::ExitCode;
use std::thread;

use anyhow::Result;

use crate::servers::Servers;
use crate::{clients, interrupt, process};

/// Starts the servers, says where they are, and stays until told to end.
pub(crate) fn run() -> Result<ExitCode> {
    let clients = clients::environment()?;
    let mut servers = Servers::start_for_tests(&clients::server_headers())?;
    let lines =
        servers.environment().into_iter().chain(clients).map(|(name, value)| format!("{name}={value}\n"));
    // In one piece: who reads may stop when it has what it wanted.
    std::io::stdout().write_all(lines.collect::<String>().as_bytes())?;
    eprintln!("xtask: Ctrl-C stops them");
    while interrupt::arrived().is_none() {
        servers.check()?;
        thread::sleep(process::TICK);
    }
    drop(servers);
    Ok(ExitCode::SUCCESS)
}
