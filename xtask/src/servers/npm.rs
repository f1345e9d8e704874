//! Downloads packages from npm.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process;
use crate::servers::debian::install;

/// A version of an npm package. Only the package itself is downloaded, without its dependencies.
#[derive(Debug)]
pub(super) struct Package {
    /// The name, `@`, and the version. A change of the version also needs a change of [`Self::integrity`].
    pub(super) version: &'static str,
    /// The expected hash of the package: a changed package is rejected.
    pub(super) integrity: &'static str,
}

impl Package {
    /// Downloads the package, and unpacks its files to the new directory `goal`.
    pub(super) fn unpack(&self, goal: &Path) -> Result<()> {
        if process::read(Command::new("npm").arg("--version")).is_err() {
            // Debian's package `npm` depends on Node.js, so this also installs Node.js.
            install("npm").with_context(|| format!("npm, which downloads {}, is missing", self.version))?;
        }
        fs::create_dir_all(goal)?;
        let mut npm = Command::new("npm");
        npm.args(["pack", "--json", "--loglevel=error", self.version]).current_dir(goal);
        let report: Value =
            serde_json::from_str(&process::read(&mut npm)?).context("the output of `npm pack`")?;
        let integrity = report[0]["integrity"].as_str();
        ensure!(
            integrity == Some(self.integrity),
            "the hash of {} is {integrity:?}, expected {}: the package has changed",
            self.version,
            self.integrity
        );
        let mut archives = fs::read_dir(goal)?.filter_map(|entry| Some(entry.ok()?.path()));
        let Some(archive) =
            archives.find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        else {
            bail!("`npm pack` wrote no archive");
        };
        // All files of an npm archive are in one directory; `--strip-components=1` removes this directory from their paths.
        // `--no-same-owner`: if root runs tar, tar would otherwise set the owner of each file to the owner in the archive.
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(&archive).args(["--no-same-owner", "--strip-components=1", "-C"]).arg(goal);
        process::succeed(&mut tar)?;
        fs::remove_file(archive).map_err(Into::into)
    }
}
