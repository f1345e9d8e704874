//! Paths in the work tree.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

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

/// A directory in the cache directory. If the directory does not exist, calls `make` to create the directory.
///
/// `make` receives a temporary directory, creates the finished directory in it, and returns the finished directory's path. The last step
/// renames the finished directory, so an interrupted run leaves no incomplete directory in the cache.
pub(crate) fn cached(name: &str, make: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<PathBuf> {
    let goal = cache().join(name);
    if goal.exists() {
        return Ok(goal);
    }
    fs::create_dir_all(cache())?;
    let temporary = tempfile::Builder::new().prefix("fetch-").tempdir_in(cache())?;
    let made = make(temporary.path())?;
    match fs::rename(made, &goal) {
        // The rename failed because another xtask has made the directory in the meantime.
        Err(_) if goal.exists() => Ok(goal),
        renamed => renamed.with_context(|| format!("cannot make {}", goal.display())).map(|()| goal),
    }
}

/// A command with the same `cargo` program that runs xtask, in the root directory of the workspace.
pub(crate) fn cargo<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(arguments: I) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.args(arguments).current_dir(root());
    cargo
}
