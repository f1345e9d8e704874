//! Paths in the work tree.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root directory of the workspace.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target"));
    root().join(target)
}

/// The cache directory of xtask, which may be deleted at any time.
pub(crate) fn cache() -> PathBuf {
    target().join("xtask")
}

/// A command with the same `cargo` program that runs xtask, in the root directory of the workspace.
pub(crate) fn cargo<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(arguments: I) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.args(arguments).current_dir(root());
    cargo
}
