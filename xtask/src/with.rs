//! `cargo xtask with CMD`: a command that finds the servers in its environment.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::servers::Servers;
use crate::{clients, process};

/// Runs the command with the servers started; its exit code is ours.
pub(crate) fn run(command: &[OsString]) -> Result<ExitCode> {
    let [program, arguments @ ..] = command else { bail!("there is no command to run") };
    let clients = clients::environment()?;
    let servers = Servers::start_for_tests(&clients::server_headers())?;
    process::hand_over(Command::new(program).args(arguments).envs(servers.environment()).envs(clients))
}
