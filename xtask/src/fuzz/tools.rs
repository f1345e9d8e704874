//! The tools of fuzzing: a nightly compiler and cargo-fuzz. Both are installed if they are missing.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, process};

/// The toolchain for fuzzing. Only a nightly compiler supports sanitizers.
const NIGHTLY: &str = "nightly";

/// Installs the tools that are missing.
pub(super) fn install() -> Result<()> {
    let nightly =
        |arguments: &[&str]| process::read(Command::new("rustup").args(["run", NIGHTLY]).args(arguments));
    if nightly(&["rustc", "--version"]).is_err() {
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", NIGHTLY, "--profile", "minimal"]);
        process::succeed(&mut install).context(
            "fuzzing needs a nightly compiler, and rustup cannot install one: run `rustup toolchain install nightly`",
        )?;
    }
    if process::read(&mut paths::cargo(["fuzz", "--version"])).is_err() {
        process::succeed(&mut paths::cargo(["install", "--locked", "cargo-fuzz"])).context(
            "fuzzing needs cargo-fuzz, and cargo cannot install it: run `cargo install --locked cargo-fuzz`",
        )?;
    }
    Ok(())
}

/// The command `cargo fuzz` with the nightly compiler.
pub(super) fn cargo_fuzz() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", NIGHTLY, "cargo", "fuzz"]).current_dir(paths::root());
    command
}

/// The target triple of this machine. cargo-fuzz builds the programs in a directory with this name.
pub(super) fn host() -> Result<String> {
    let version = process::read(Command::new("rustup").args(["run", NIGHTLY, "rustc", "-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(String::from).context("`rustc -vV` printed no line with the host")
}
