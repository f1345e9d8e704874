//! `pg-wire` without its `std` feature needs no standard library, and nothing below it does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{paths, process};

/// The crate that is to be free of `std`.
const PACKAGE: &str = "pg-wire";

/// What is left of the standard library without `std`: the crates' names in the compiler's own directory.
const KEPT: [&str; 3] = ["libcore-", "liballoc-", "libcompiler_builtins-"];

/// Asks for no `std` feature below, then builds where there is no `std` to be found.
pub(super) fn run() -> Result<()> {
    let tree = [
        "tree",
        "--package",
        PACKAGE,
        "--no-default-features",
        "--edges",
        "features,normal",
        "--prefix",
        "none",
    ];
    let tree = process::read(&mut paths::cargo(tree))?;
    if let Some(line) = asks_for_std(&tree) {
        bail!("{PACKAGE} without its features asks for `{line}`");
    }
    let host = host()?;
    let sysroot = bare_sysroot(&host)?;
    // With a target named, the flags are for what is built for it, and not for build scripts and macros, which may use `std`.
    let mut build = paths::cargo(["build", "--package", PACKAGE, "--no-default-features", "--target", &host]);
    build.env("CARGO_ENCODED_RUSTFLAGS", format!("--sysroot={}", sysroot.display()));
    process::succeed(&mut build).with_context(|| format!("{PACKAGE} or what it depends on needs `std`"))
}

/// The line of a `cargo tree` with features that names a `std` feature.
fn asks_for_std(tree: &str) -> Option<&str> {
    tree.lines().find(|line| line.contains("feature \"std\""))
}

/// What this machine is called as a target.
fn host() -> Result<String> {
    let about = process::read(Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// A copy of the compiler's libraries without `std`.
///
/// `#![no_std]` alone proves little: a dependency that uses `std` builds all the same wherever there is one. A target that
/// has none would prove it too, but would have to be installed.
fn bare_sysroot(target: &str) -> Result<PathBuf> {
    let full = process::read(Command::new("rustc").args(["--print", "sysroot"]))?;
    let libraries = |sysroot: &Path| sysroot.join("lib/rustlib").join(target).join("lib");
    let bare = paths::cache().join("no-std");
    // Anew each time: the compiler may be another one.
    if bare.exists() {
        fs::remove_dir_all(&bare)?;
    }
    fs::create_dir_all(libraries(&bare))?;
    let mut found = 0;
    for entry in fs::read_dir(libraries(Path::new(full.trim())))? {
        let entry = entry?;
        let name = entry.file_name();
        if KEPT.iter().any(|kept| name.to_string_lossy().starts_with(kept)) {
            symlink(entry.path(), libraries(&bare).join(&name))?;
            found += 1;
        }
    }
    ensure!(found >= KEPT.len(), "the compiler's libraries for {target} are not where they were looked for");
    Ok(bare)
}

#[cfg(test)]
mod tests {
    use super::asks_for_std;

    #[test]
    fn a_std_feature_anywhere_below_is_found() {
        let tree = "pg-wire v0.1.0\nbytes feature \"std\"\nbytes v1.0.0\n";
        assert_eq!(asks_for_std(tree), Some("bytes feature \"std\""));
        assert_eq!(asks_for_std("pg-wire v0.1.0\nbytes v1.0.0\nmemchr feature \"alloc\"\n"), None);
    }
}
