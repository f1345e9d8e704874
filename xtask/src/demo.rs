//! `cargo xtask demo`: the demo program against a real server, with nothing to set up.

use std::process::ExitCode;

use anyhow::Result;

use crate::servers::{Servers, V15, V18};
use crate::{interrupt, paths, process};

/// Runs the demo program against `DATABASE_URL`, or a PostgreSQL of its own.
pub(crate) fn run() -> Result<ExitCode> {
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
    let server = servers.first()?;
    demo(&format!("postgres://scram:scram-secret@{}/postgres", server.address()))
}

fn demo(url: &str) -> Result<ExitCode> {
    eprintln!("xtask: building and running the demo (examples/src/bin/demo.rs)");
    process::hand_over(&mut paths::cargo(["run", "--release", "-p", "examples", "--bin", "demo", "--", url]))
}
