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
    let mut servers = Servers::start_both()?;
    for (name, value) in servers.environment().into_iter().chain(clients) {
        writeln!(std::io::stdout(), "{name}={value}")?;
    }
    eprintln!("xtask: Ctrl-C stops them");
    while interrupt::arrived().is_none() {
        servers.check()?;
        thread::sleep(process::TICK);
    }
    drop(servers);
    Ok(ExitCode::SUCCESS)
}
