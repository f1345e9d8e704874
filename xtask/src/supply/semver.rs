//! Compares the interfaces of the libraries with their interfaces in the last release.

use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::Package;
use crate::supply::tools::SEMVER_CHECKS;
use crate::{paths, process};

/// Checks that each change of an interface since the last tag agrees with the version in the manifest.
pub(super) fn run(packages: &[Package]) -> Result<()> {
    let Some(tag) = last_release()? else {
        eprintln!("xtask: the interfaces are not compared with a release, because no tag v* exists");
        return Ok(());
    };
    let libraries = packages.iter().filter(|package| package.has_library());
    let mut check = SEMVER_CHECKS.command()?;
    check.args(["--all-features", "--baseline-rev", &tag]);
    check.args(libraries.flat_map(|package| ["--package", &package.name]));
    process::succeed(&mut check).with_context(|| format!("compared with {tag}"))
}

/// Returns the newest tag of a release in the history of the current commit. A release has a tag such as `v0.1.0`.
fn last_release() -> Result<Option<String>> {
    let mut tags = Command::new("git");
    tags.args(["tag", "--list", "v[0-9]*", "--merged", "HEAD", "--sort=-version:refname"]);
    let tags = process::read(tags.current_dir(paths::root())).context("git lists no tags")?;
    Ok(tags.lines().next().map(str::to_owned))
}
