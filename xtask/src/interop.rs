//! `cargo xtask interop`: runs the conformance suite `pg-interop` against one server, or against all servers of the tests.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::servers::Servers;
use crate::{clients, paths, process};

/// The suite, and the programs that it starts when no server is given.
const PROGRAMS: [&str; 4] = ["pg-interop", "mock_server", "pg-proxy", "pg-pooler"];

/// Builds the suite and runs it. `against` is the connection string of a server; `options` are further options of `pg-interop`.
pub(crate) fn run(against: Option<&str>, options: &[String]) -> Result<ExitCode> {
    let needs_servers = against.is_none() && !options.iter().any(|word| word == "--list" || word == "--help");
    let programs = if needs_servers { &PROGRAMS[..] } else { &PROGRAMS[..1] };
    let mut build = paths::cargo(["build", "--quiet", "--package", "examples"]);
    for program in programs {
        build.args(["--bin", program]);
    }
    process::succeed(&mut build)?;
    let mut suite = Command::new(paths::target().join("debug").join(PROGRAMS[0]));
    suite.args(options).args(against);
    if !needs_servers {
        return process::hand_over(&mut suite);
    }
    clients::environment()?;
    let servers = Servers::start_for_tests(&clients::server_headers())?;
    process::hand_over(suite.envs(servers.environment()))
}
