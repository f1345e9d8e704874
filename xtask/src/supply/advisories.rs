//! Checks the dependencies against the RustSec advisory database.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::supply::tools::{AUDIT, DENY};
use crate::supply::{CONFIG, lock_files};

/// Fetches the database and checks all lock files. If the database cannot be fetched, the result depends on `required`: true returns an
/// error, and false only prints that the advisories were not checked.
pub(super) fn run(required: bool) -> Result<()> {
    let mut fetch = DENY.command()?;
    // Without `GIT_TERMINAL_PROMPT=0`, git may ask for a password and wait for the answer.
    fetch.args(["--config", CONFIG, "fetch", "db"]).env("GIT_TERMINAL_PROMPT", "0");
    if let Err(error) = process::read(&mut fetch) {
        let sentence = "the advisories were not checked, because the advisory database cannot be fetched";
        if required {
            bail!("{sentence}: {error:#}");
        }
        eprintln!("xtask: {sentence}");
        return Ok(());
    }
    let mut deny = DENY.command()?;
    process::succeed(deny.args(["--config", CONFIG, "check", "advisories"]))?;
    for lock in lock_files()? {
        let mut audit = AUDIT.command()?;
        audit.args(["--quiet", "--file", &lock]);
        // For the lock file of the main workspace, warnings are failures too, because users install the packages in this file. The packages
        // in the other lock files are used only for development, so only vulnerabilities are failures.
        if Path::new(&lock) == Path::new("Cargo.lock") {
            audit.args(["--deny", "warnings"]);
        }
        process::succeed(&mut audit).with_context(|| format!("the advisories for {lock}"))?;
    }
    Ok(())
}
