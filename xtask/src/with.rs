//! `cargo xtask with COMMAND`: starts the servers, and runs a command with the servers' addresses in environment variables.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::servers::Servers;
use crate::{clients, process};

/// Starts the servers and runs the command. The exit code of the command is the exit code of xtask.
pub(crate) fn run(command: &[OsString]) -> Result<ExitCode> {
    let [program, arguments @ ..] = command else { bail!("no command was given") };
    let clients = clients::environment()?;
    let servers = Servers::start_for_tests(&clients::server_headers())?;
    process::hand_over(Command::new(program).args(arguments).envs(servers.environment()).envs(clients))
}
