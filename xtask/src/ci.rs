//! `cargo xtask ci`: all checks of a change, the fastest first.
//!
//! To keep a run short, everything is built in the `dev` profile only. Feature combinations and other targets are checked but not built.

mod features;
mod targets;

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{bench, chaos, fuzz, lint, needs, paths, process, release, supply, test};

/// Runs every step, and stops at the first step that fails.
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
    step("dependencies", || supply::check(false))?;
    step("packages", release::check_files)?;
    step("feature combinations", features::run)?;
    step("other targets", targets::run)?;
    step("fuzz targets", fuzz::check)?;
    step("instruction counts", bench::gate)?;
    step("chaos", chaos::succeed)?;
    // The tests are the last step, so that the line with the number of passed and failed tests is the last line of the output.
    heading("tests");
    test::run(&[])
}

/// Runs one step, and prints its name and its duration.
fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    heading(name);
    let start = Instant::now();
    work().with_context(|| format!("ci failed in the step \"{name}\""))?;
    eprintln!("==> {name}: passed in {:.1} s", start.elapsed().as_secs_f32());
    Ok(())
}

/// Prints the name of a step. cargo also prints to standard error, so the name precedes cargo's messages of this step.
fn heading(name: &str) {
    eprintln!("\n==> {name}");
}

/// A cargo command. `line` is the arguments, separated by spaces.
fn cargo(line: &str) -> Command {
    paths::cargo(line.split(' '))
}
