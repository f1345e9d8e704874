//! `cargo xtask supply`: checks the dependencies of this project, the oldest versions that the manifests allow, and the changes of the
//! interfaces.
//!
//! | check | tool |
//! | --- | --- |
//! | licences, duplicates and sources of the dependencies | cargo-deny, with the rules of `xtask/deny.toml` |
//! | advisories | cargo-deny and cargo-audit, with the RustSec advisory database |
//! | unused dependencies | cargo-shear |
//! | the oldest versions of the dependencies | cargo, see `minimal.rs` |
//! | the oldest Rust | rustup, see `msrv.rs` |
//! | changes of the interfaces since the last release | cargo-semver-checks |

mod advisories;
mod minimal;
mod msrv;
mod semver;
mod tools;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{needs, packages, paths, process};
use tools::{DENY, SHEAR};

/// The rules of cargo-deny, from the root of the workspace.
const CONFIG: &str = "xtask/deny.toml";

/// Runs all checks. If `advisories` is true, a failed download of the advisory database is an error.
pub(crate) fn run(advisories: bool) -> Result<ExitCode> {
    needs::openssl_headers()?;
    check(advisories)?;
    Ok(ExitCode::SUCCESS)
}

/// All checks, as a step of `ci`. Precondition: the headers of OpenSSL are installed.
pub(crate) fn check(advisories: bool) -> Result<()> {
    let packages = packages::published()?;
    let mut deny = DENY.command()?;
    process::succeed(deny.args(["--config", CONFIG, "check", "licenses", "bans", "sources"])).with_context(
        || format!("correct the dependency, or add an exception with its reason to {CONFIG}"),
    )?;
    advisories::run(advisories)?;
    for lock in lock_files()? {
        let workspace = paths::root().join(lock.strip_suffix("Cargo.lock").unwrap_or_default());
        let mut shear = SHEAR.command()?;
        process::succeed(shear.args(["--locked", "--deny-warnings"]).current_dir(workspace))
            .with_context(|| format!("unused dependencies of the packages of {lock}"))?;
    }
    minimal::run(&packages)?;
    msrv::run(&packages)?;
    semver::run(&packages)
}

/// The lock files in the repository, one for each workspace.
fn lock_files() -> Result<Vec<String>> {
    let mut list = Command::new("git");
    list.args(["ls-files", "--", "Cargo.lock", "*/Cargo.lock"]).current_dir(paths::root());
    let list = process::read(&mut list).context("git lists no files")?;
    Ok(list.lines().map(str::to_owned).collect())
}
