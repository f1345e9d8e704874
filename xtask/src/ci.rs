//! `cargo xtask ci`: what a change has to pass, in the order of what fails soonest.
//!
//! Everything is built with the `dev` profile only, and what is looked at several times is checked rather than built: two
//! cores shall be done with it in the time of a walk.

mod features;
mod targets;

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{lint, needs, paths, process, test};

/// Runs every step, and stops at the first that fails.
pub(crate) fn run() -> Result<ExitCode> {
    step("format", || process::succeed(&mut cargo("fmt --all --check")))?;
    needs::openssl_headers()?;
    step("lints", || {
        process::succeed(&mut cargo("clippy --workspace --all-targets --all-features -- -D warnings"))
    })?;
    step("the project's own rules", lint::succeed)?;
    step("docs", || {
        let mut docs = cargo("doc --workspace --no-deps --all-features");
        process::succeed(docs.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    step("feature combinations", features::run)?;
    step("other targets", targets::run)?;
    // Last: its closing line is what a reader, or a machine, looks for at the end.
    heading("tests");
    test::run(&[])
}

/// Does one step, saying which and how long it took.
fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    heading(name);
    let start = Instant::now();
    work().with_context(|| format!("ci stops at: {name}"))?;
    eprintln!("==> {name}: passed in {:.1} s", start.elapsed().as_secs_f32());
    Ok(())
}

/// Announces a step, where cargo's own messages go, so that the order is kept.
fn heading(name: &str) {
    eprintln!("\n==> {name}");
}

/// A cargo command as one would type it.
fn cargo(line: &str) -> Command {
    paths::cargo(line.split(' '))
}
