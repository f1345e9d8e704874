//! `cargo xtask ci`: what a change has to pass, in the order of what fails soonest.

use std::process::ExitCode;

use anyhow::Result;

use crate::test;

/// Runs every step, and stops at the first that fails.
pub(crate) fn run() -> Result<ExitCode> {
    test::run(&[])
}
