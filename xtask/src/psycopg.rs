//! Installs Python libraries for tests: psycopg, whose wheels contain the libpq of PostgreSQL 18, and asyncpg, which does not use libpq.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::servers::install;
use crate::{paths, process};

/// All Python packages to install. The list includes the packages that other packages need, because pip runs with `--no-deps`.
/// `psycopg-binary` 3.3.9 contains libpq 18.6.
const PACKAGES: [&str; 4] =
    ["psycopg==3.3.9", "psycopg-binary==3.3.9", "typing_extensions==4.16.0", "asyncpg==0.32.0"];

/// The directory of the installed packages. The name has the versions, so a new version gets a new directory.
const DIRECTORY: &str = "psycopg-3.3.9-asyncpg-0.32.0";

/// The environment variable with the path of a Python that has psycopg and asyncpg. The first call installs both libraries.
pub(crate) fn environment() -> Result<(String, String)> {
    let environment = paths::cached(DIRECTORY, make)?;
    Ok(("PSYCOPG_PYTHON".into(), python_in(&environment).display().to_string()))
}

/// The path of the libpq in psycopg's wheel. Precondition: [`environment`] has succeeded.
pub(crate) fn libpq() -> Result<PathBuf> {
    let entries = |dir: &Path| -> Result<Vec<PathBuf>> {
        let read = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        Ok(read.flatten().map(|entry| entry.path()).collect())
    };
    // The path of the library is searched, because it is not constant: the directory's name contains the version of Python, and the file's
    // name contains a hash.
    for python in entries(&paths::cache().join(DIRECTORY).join("lib"))? {
        let libraries = python.join("site-packages/psycopg_binary.libs");
        let is_libpq = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libpq-"))
        };
        if let Some(found) = entries(&libraries)?.into_iter().find(is_libpq) {
            return Ok(found);
        }
    }
    bail!("no libpq was found in the psycopg package in {DIRECTORY}; delete the directory and try again")
}

/// Makes a Python environment with both libraries in a temporary directory. Returns the directory of the environment.
fn make(temporary: &Path) -> Result<PathBuf> {
    // Checks both modules, because `venv` may exist without `ensurepip`, the module that installs pip. Debian's package python3-venv
    // contains `ensurepip`.
    if process::read(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_err() {
        install("python3-venv").context("python3 with venv and pip, which psycopg needs, is missing")?;
    }
    eprintln!("xtask: downloading Python packages ({})", PACKAGES.join(", "));
    let environment = temporary.join("environment");
    process::read(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    let mut pip = Command::new(python_in(&environment));
    pip.args(["-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]);
    process::read(pip.args(["--only-binary", ":all:"]).args(PACKAGES))
        .context("pip cannot download psycopg and asyncpg")?;
    Ok(environment)
}

/// The Python program of an environment. The program finds its packages relative to its own path, so it also works after the environment is
/// moved.
fn python_in(environment: &Path) -> PathBuf {
    environment.join("bin").join("python")
}
