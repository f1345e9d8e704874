//! Checks the libraries with the oldest versions of their dependencies that the manifests allow.
//!
//! A user's lock file may contain the oldest version that a manifest allows. So the library must compile with this version.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::packages::Package;
use crate::{paths, process};

/// Makes a second workspace with the same libraries, without their tests, and checks it with the oldest versions of direct dependencies.
///
/// Indirect dependencies have newer versions: many of the oldest versions that other projects allow do not compile.
pub(super) fn run(packages: &[Package]) -> Result<()> {
    let workspace = paths::cache().join("minimal");
    write(packages, &workspace)?;
    // The option `direct-minimal-versions` is not stable. With the variable `RUSTC_BOOTSTRAP`, the stable cargo accepts the option, so no
    // nightly toolchain is needed.
    let mut lock = paths::cargo(["-Z", "direct-minimal-versions", "generate-lockfile", "--quiet"]);
    process::succeed(lock.env("RUSTC_BOOTSTRAP", "1").current_dir(&workspace))
        .context("raise the version of a dependency in the manifest, as the message above says")?;
    let mut check = paths::cargo(["check", "--workspace", "--all-features", "--locked", "--quiet"]);
    check.current_dir(&workspace).arg("--target-dir").arg(workspace.join("target"));
    process::succeed(&mut check)
        .context("a library does not compile with the oldest versions that its manifest allows")
}

/// Writes the manifests of the second workspace. The folders `src` are symbolic links to the folders of the real workspace.
fn write(packages: &[Package], workspace: &Path) -> Result<()> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| path.display().to_string());
    let mut directories = Vec::new();
    for package in packages {
        let directory = package.directory.strip_prefix(paths::root())?;
        directories.push(format!("{:?}", directory.display().to_string()));
        let copy = workspace.join(directory);
        fs::create_dir_all(&copy)?;
        let manifest = read(&package.directory.join("Cargo.toml"))?;
        let manifest =
            without(&manifest, |section| section.contains("dev-dependencies]") || section == "[[test]]");
        update(&copy.join("Cargo.toml"), &manifest)?;
        link(&package.directory.join("src"), &copy.join("src"))?;
    }
    let members = format!("members = [{}]\n", directories.join(", "));
    let root = read(&paths::root().join("Cargo.toml"))?;
    let root = without(&root, |section| section == "[workspace]");
    update(&workspace.join("Cargo.toml"), &format!("[workspace]\nresolver = \"3\"\n{members}{root}"))
}

/// Writes a file only if its content differs. A manifest that is newer than the last check would make cargo check the package again.
fn update(path: &Path, content: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|existing| existing == content) {
        return Ok(());
    }
    fs::write(path, content).with_context(|| path.display().to_string())
}

/// Makes a symbolic link, or changes its target.
fn link(target: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|existing| existing == target) {
        return Ok(());
    }
    // An existing link is removed first: in a target directory that was copied from another work tree, the link leads to that work tree. An
    // error is ignored, because usually no link exists.
    let _ = fs::remove_file(link);
    std::os::unix::fs::symlink(target, link).with_context(|| link.display().to_string())
}

/// A manifest without the sections whose heading `removed` selects.
fn without(manifest: &str, removed: impl Fn(&str) -> bool) -> String {
    let mut keep = true;
    let mut kept = String::new();
    for line in manifest.lines() {
        // A line that begins with a bracket is a heading: the elements of a list are indented.
        if line.starts_with('[') {
            keep = !removed(line.trim_end());
        }
        if keep {
            kept += line;
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn a_removed_section_ends_at_the_next_heading() {
        let manifest = "[package]\nname = \"a\"\n\n[dev-dependencies]\nb = { version = \"1\", features = [\n    \"c\",\n] }\n\n\
            [[test]]\nname = \"t\"\n\n[lints]\nworkspace = true\n";
        let kept = without(manifest, |section| section == "[dev-dependencies]" || section == "[[test]]");
        assert_eq!(kept, "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n");
    }
}
