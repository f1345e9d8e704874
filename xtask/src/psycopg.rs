//! Python with psycopg, whose wheels carry libpq of PostgreSQL 18, and with asyncpg, which speaks the protocol without libpq.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::servers::install;
use crate::{paths, process};

/// What is installed, all of it: nothing is looked up beyond these. `psycopg-binary` 3.3.9 carries libpq 18.6.
const PACKAGES: [&str; 4] =
    ["psycopg==3.3.9", "psycopg-binary==3.3.9", "typing_extensions==4.16.0", "asyncpg==0.32.0"];

/// The directory they are installed to, named by version so that another version is another directory.
const DIRECTORY: &str = "psycopg-3.3.9-asyncpg-0.32.0";

/// What tells a test where the Python is that has them, which are installed at the first call.
pub(crate) fn environment() -> Result<(String, String)> {
    let environment = paths::cache().join(DIRECTORY);
    if !environment.exists() {
        make(&environment)?;
    }
    Ok(("PSYCOPG_PYTHON".into(), python_in(&environment).display().to_string()))
}

/// The libpq that psycopg's wheel brings. Precondition: [`environment`] has succeeded.
pub(crate) fn libpq() -> Result<PathBuf> {
    let entries = |dir: &Path| -> Result<Vec<PathBuf>> {
        let read = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        Ok(read.flatten().map(|entry| entry.path()).collect())
    };
    // The directory's name has Python's version, the file's a hash.
    for python in entries(&paths::cache().join(DIRECTORY).join("lib"))? {
        let libraries = python.join("site-packages/psycopg_binary.libs");
        let is_libpq = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libpq-"))
        };
        if let Some(found) = entries(&libraries)?.into_iter().find(is_libpq) {
            return Ok(found);
        }
    }
    bail!("psycopg brought no libpq in {DIRECTORY}")
}

/// Makes it beside the goal, then renames, so that an interrupted run leaves nothing half done.
fn make(goal: &Path) -> Result<()> {
    // The module is there without its other half where Debian's python3-venv is missing.
    if process::read(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_err() {
        install("python3-venv").context("python3 with venv and pip, which psycopg needs, is missing")?;
    }
    eprintln!("xtask: fetching Python packages ({})", PACKAGES.join(", "));
    fs::create_dir_all(paths::cache())?;
    let temporary = tempfile::Builder::new().prefix("fetch-").tempdir_in(paths::cache())?;
    let environment = temporary.path().join("environment");
    process::read(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    let mut pip = Command::new(python_in(&environment));
    pip.args(["-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]);
    process::read(pip.args(["--only-binary", ":all:"]).args(PACKAGES))
        .context("psycopg and asyncpg cannot be had from where pip gets its packages")?;
    match fs::rename(&environment, goal) {
        // Another run was faster.
        Err(_) if goal.exists() => Ok(()),
        renamed => renamed.with_context(|| format!("cannot make {}", goal.display())),
    }
}

/// The Python of an environment. It finds its packages from where it stands, so also after it was moved.
fn python_in(environment: &Path) -> PathBuf {
    environment.join("bin").join("python")
}
