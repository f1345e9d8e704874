//! `cargo xtask release`: prints the steps of a release. With `--dry-run`: checks everything that can be checked before a release.
//!
//! | check | file |
//! | --- | --- |
//! | the manifests: metadata for the package registry and docs.rs, versions, licence texts | `manifests.rs` |
//! | the README files of the packages | `readmes.rs` |
//! | the links in all README files, the changelog and the notes | `links.rs` |
//! | each package compiles from its archive | `cargo package` |
//! | the documentation as docs.rs builds it | `cargo doc` |

mod links;
mod manifests;
mod readmes;

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::packages::{self, Package};
use crate::{needs, paths, process};

/// Prints the steps of a release, or checks whether a release is possible.
pub(crate) fn run(dry_run: bool) -> Result<ExitCode> {
    let packages = packages::published()?;
    if !dry_run {
        print!("{}", steps(&packages));
        return Ok(ExitCode::SUCCESS);
    }
    needs::openssl_headers()?;
    check(&packages)?;
    process::succeed(&mut package(&packages))?;
    process::succeed(&mut docs(&packages)).context("the documentation as docs.rs builds it")?;
    println!("release: {} packages of version {} can be published", packages.len(), version(&packages));
    Ok(ExitCode::SUCCESS)
}

/// Checks the files, the metadata and the archives of all packages, as a step of `ci`. The archives are not compiled, so the step takes
/// less than a minute.
pub(crate) fn check_files() -> Result<()> {
    let packages = packages::published()?;
    check(&packages)?;
    process::succeed(package(&packages).args(["--no-verify", "--allow-dirty"]))
}

/// Checks the files and the metadata of all packages.
fn check(packages: &[Package]) -> Result<()> {
    let mut faults = manifests::check(packages, paths::root());
    faults.extend(readmes::check(packages));
    faults.extend(links::check(paths::root()));
    let changelog = fs::read_to_string(paths::root().join("CHANGELOG.md")).context("CHANGELOG.md")?;
    if !has_entry(&changelog, version(packages)) {
        faults.push(format!("CHANGELOG.md has no section `## {}`", version(packages)));
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{} faults in the packages\n{}", faults.len(), faults.join("\n"));
}

/// Whether a changelog has a section for a version.
fn has_entry(changelog: &str, version: &str) -> bool {
    changelog.lines().filter_map(|line| line.strip_prefix("## ")).any(|heading| {
        let rest = heading.strip_prefix(version);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([',', ' ']))
    })
}

/// The version of the packages, which all packages share.
fn version(packages: &[Package]) -> &str {
    packages.first().and_then(|package| package.fields["version"].as_str()).unwrap_or_default()
}

/// The command that makes the archives of all packages, and compiles each package from its archive.
fn package(packages: &[Package]) -> Command {
    let mut package = paths::cargo(["package", "--quiet", "--locked"]);
    package.args(packages.iter().flat_map(|package| ["--package", &package.name]));
    package
}

/// The command that builds the documentation with the options of docs.rs.
fn docs(packages: &[Package]) -> Command {
    let mut doc = paths::cargo(["doc", "--quiet", "--locked", "--no-deps", "--all-features"]);
    doc.args(packages.iter().flat_map(|package| ["--package", &package.name]));
    // The feature `doc_cfg` is not stable, and docs.rs uses a nightly toolchain. This command uses the stable toolchain, in which the
    // variable `RUSTC_BOOTSTRAP` enables the feature.
    doc.env("RUSTC_BOOTSTRAP", "1").env("RUSTDOCFLAGS", "--cfg docsrs -D warnings");
    // A separate target directory, because `RUSTC_BOOTSTRAP` changes the results of some build scripts. In the usual directory, cargo would
    // run these build scripts again whenever the variable is set or removed.
    doc.arg("--target-dir").arg(paths::cache().join("docs-rs"));
    doc
}

/// The steps of a release, as text.
fn steps(packages: &[Package]) -> String {
    let version = version(packages);
    let publish: Vec<String> =
        packages.iter().map(|package| format!("     cargo publish --package {}\n", package.name)).collect();
    format!(
        "Steps to release version {version}:\n\
         \x20 1. In CHANGELOG.md, write the date after `## {version}`.\n\
         \x20 2. On a clean checkout: `cargo xtask ci`, `cargo xtask supply --require-advisories` and `cargo xtask release --dry-run`.\n\
         \x20 3. Publish the packages in this order. Each package depends only on packages before it:\n{}\
         \x20 4. Tag the commit: `git tag v{version}`, then push the tag.\n\
         \x20 5. Set the next version in Cargo.toml, in `workspace.package` and `workspace.dependencies`, and begin its section in CHANGELOG.md.\n",
        publish.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::{check, has_entry, steps};
    use crate::packages;

    #[test]
    fn the_packages_of_the_workspace_pass() {
        check(&packages::published().expect("the packages")).expect("no faults");
    }

    #[test]
    fn the_steps_name_each_package_after_its_dependencies() {
        let steps = steps(&packages::published().expect("the packages"));
        let names = ["pg-wire-derive", "pg-wire", "pg-auth", "pg-stream-tokio", "pg-stream-async-std"];
        let at = |name: &str| steps.find(&format!("--package {name}\n")).expect("each package is published");
        for (before, after) in [(0, 1), (1, 2), (2, 3), (2, 4)] {
            assert!(at(names[before]) < at(names[after]), "{steps}");
        }
        assert_eq!(steps.matches("cargo publish").count(), names.len());
    }

    #[test]
    fn a_section_of_the_changelog_has_the_whole_version() {
        assert!(has_entry("# Changelog\n\n## 0.1.0, not released\n", "0.1.0"));
        assert!(has_entry("## 0.1.0\n", "0.1.0"));
        assert!(!has_entry("## 0.1.01\n", "0.1.0"));
        assert!(!has_entry("# Changelog of 0.1.0\n", "0.1.0"));
    }
}
