//! Checks the libraries for four targets besides this machine: a microcontroller, WebAssembly, Windows and macOS.
//!
//! `cargo check` needs no linker and no C library of the target. The feature `rustls` of `pg-stream-tokio` is left out: it needs `ring`,
//! whose C code would need a C compiler for the target.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, process};

/// The name of a target, and the checks on this target. Each check is a list of cargo's arguments that select a package and its features.
type Target = (&'static str, &'static [&'static [&'static str]]);

/// The arguments for `pg-wire` without `std`. No other package works without `std`.
const NO_STD: &[&str] = &["--package", "pg-wire", "--no-default-features"];

const TARGETS: [Target; 4] = [
    // A microcontroller. This target has no `std`, so the check fails if `pg-wire` or a dependency of `pg-wire` uses `std`.
    ("thumbv7em-none-eabi", &[NO_STD]),
    // WebAssembly in a browser. This target has `std`, but no sockets and no source of random numbers, so the adapters are not checked.
    (
        "wasm32-unknown-unknown",
        &[NO_STD, &["--package", "pg-wire"], &["--package", "pg-auth", "--no-default-features"]],
    ),
    ("x86_64-pc-windows-gnu", EVERYWHERE),
    ("aarch64-apple-darwin", EVERYWHERE),
];

/// The packages and features that are checked for Windows and for macOS. The first three packages are checked by one command, because cargo
/// then checks `pg-wire` and `pg-auth` with only one set of features.
const EVERYWHERE: &[&[&str]] = &[
    &["--package", "pg-wire", "--package", "pg-auth", "--package", "pg-stream-async-std", "--all-features"],
    &["--package", "pg-stream-tokio"],
];

/// Runs the checks of every target in `TARGETS`.
pub(super) fn run() -> Result<()> {
    install()?;
    for (target, packages) in TARGETS {
        for package in packages {
            eprintln!("{target}: {}", package.join(" "));
            let mut check = paths::cargo(["check", "--quiet", "--target", target]);
            check.env("RUSTFLAGS", "-D warnings").args(*package);
            // A separate target directory: this command uses other RUSTFLAGS than the other steps of `ci`. In the usual directory, each
            // change of RUSTFLAGS would make cargo build everything again.
            check.arg("--target-dir").arg(paths::target().join("targets"));
            process::succeed(&mut check).with_context(|| format!("on {target}"))?;
        }
    }
    Ok(())
}

/// Installs the standard library of each target in `TARGETS`, if it is missing.
fn install() -> Result<()> {
    let installed = process::read(Command::new("rustup").args(["target", "list", "--installed"]))
        .context("rustup, which installs the standard libraries of other targets, is missing")?;
    let missing = missing(&installed);
    if missing.is_empty() {
        return Ok(());
    }
    process::succeed(Command::new("rustup").args(["target", "add"]).args(&missing)).with_context(|| {
        format!("targets are missing; install them with `rustup target add {}`", missing.join(" "))
    })
}

/// Returns the targets that are not installed. `installed` is the output of `rustup target list --installed`, with one target on each line.
fn missing(installed: &str) -> Vec<&'static str> {
    TARGETS
        .iter()
        .map(|(target, _)| *target)
        .filter(|target| !installed.lines().any(|line| line == *target))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{TARGETS, missing};

    #[test]
    fn a_target_that_rustup_does_not_list_is_missing() {
        assert_eq!(missing("").len(), TARGETS.len());
        let all =
            "aarch64-apple-darwin\nthumbv7em-none-eabi\nwasm32-unknown-unknown\nx86_64-pc-windows-gnu\n";
        assert_eq!(missing(all), [""; 0]);
        assert_eq!(
            missing(&all.replace("thumbv7em-none-eabi", "thumbv7em-none-eabihf")),
            ["thumbv7em-none-eabi"]
        );
    }
}
