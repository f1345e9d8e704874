//! `cargo xtask demo`: runs the demo program against a real server.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::servers::{Servers, V15, V18};
use crate::{interrupt, paths, process};

/// Runs the demo program with the server of `DATABASE_URL`, or with a PostgreSQL server that is started for the demo.
pub(crate) fn run() -> Result<ExitCode> {
    eprintln!("xtask: building the demo");
    process::succeed(&mut cargo("build"))?;
    let given = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
    if let Some(url) = given {
        eprintln!("xtask: using the server of DATABASE_URL");
        return demo(&url);
    }
    let servers = match Servers::start(&[V18]) {
        Err(error) if interrupt::arrived().is_none() => {
            eprintln!("xtask: PostgreSQL 18 cannot be started, so the demo uses PostgreSQL 15: {error:#}");
            Servers::start(&[V15])?
        }
        started => started?,
    };
    demo(&format!(
        "postgres://scram:scram-secret@{}/postgres?max_protocol_version=latest",
        servers.address()?
    ))
}

/// Runs the demo program. Without `--quiet`, cargo would print the command with the URL, which may contain a password.
fn demo(url: &str) -> Result<ExitCode> {
    process::hand_over(cargo("run").args(["--quiet", "--", url]))
}

/// The command `cargo build` or `cargo run` for the demo program.
fn cargo(subcommand: &str) -> Command {
    paths::cargo([subcommand, "--release", "--package", "examples", "--bin", "demo"])
}
