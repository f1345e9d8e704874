//! `cargo xtask demo`: the demo program against a real server, with nothing to set up.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::servers::{Servers, V15, V18};
use crate::{interrupt, paths, process};

/// Runs the demo program against `DATABASE_URL`, or a PostgreSQL of its own.
pub(crate) fn run() -> Result<ExitCode> {
    eprintln!("xtask: building the demo");
    process::succeed(&mut cargo("build"))?;
    let given = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
    if let Some(url) = given {
        eprintln!("xtask: using the server that DATABASE_URL names");
        return demo(&url);
    }
    let servers = match Servers::start(&[V18]) {
        Err(error) if interrupt::arrived().is_none() => {
            eprintln!("xtask: there is no PostgreSQL 18 to be had, so the demo uses 15: {error:#}");
            Servers::start(&[V15])?
        }
        started => started?,
    };
    demo(&format!(
        "postgres://scram:scram-secret@{}/postgres?max_protocol_version=latest",
        servers.address()?
    ))
}

/// Runs the demo program, and has cargo say nothing: it would print the URL, and the URL may hold a password.
fn demo(url: &str) -> Result<ExitCode> {
    process::hand_over(cargo("run").args(["--quiet", "--", url]))
}

/// What cargo is told to do with the demo program.
fn cargo(word: &str) -> Command {
    paths::cargo([word, "--release", "--package", "examples", "--bin", "demo"])
}
