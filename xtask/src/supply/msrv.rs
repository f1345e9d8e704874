//! Checks the libraries with the oldest Rust that their manifests promise.

use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::Package;
use crate::{paths, process};

/// Checks the packages with the toolchain of `rust-version`.
///
/// If rustup cannot install this toolchain, only prints that the check was skipped. clippy's lint `incompatible_msrv` still finds most uses
/// of a newer standard library in this project, but not in dependencies.
pub(super) fn run(packages: &[Package]) -> Result<()> {
    let version = packages.iter().find_map(|package| package.fields["rust_version"].as_str());
    let version = version.context("the manifests have no rust-version")?;
    if !install(version) {
        eprintln!(
            "xtask: not checked with Rust {version}, because rustup cannot install it here; clippy's lint incompatible_msrv is checked"
        );
        return Ok(());
    }
    let mut check = Command::new("rustup");
    check.args(["run", version, "cargo", "check", "--all-features", "--locked", "--quiet"]);
    check.args(packages.iter().flat_map(|package| ["--package", &package.name]));
    check.arg("--target-dir").arg(paths::cache().join("msrv")).current_dir(paths::root());
    process::succeed(&mut check).with_context(|| format!("with Rust {version}"))
}

/// Installs a toolchain, if it is missing. Returns whether the toolchain exists.
fn install(version: &str) -> bool {
    let exists =
        || process::read(Command::new("rustup").args(["run", version, "rustc", "--version"])).is_ok();
    let install = ["toolchain", "install", version, "--profile", "minimal", "--no-self-update"];
    exists() || (process::read(Command::new("rustup").args(install)).is_ok() && exists())
}
