//! The directory of certificates and keys, and how files get there.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The password of the encrypted client keys.
pub(super) const PASSWORD: &str = "key-secret";

/// The servers' key.
pub(super) const SERVER_KEY: &str = "server.key";
/// The key of every client but the next.
pub(super) const CLIENT_KEY: &str = "client.key";
/// The RSA key of a client.
pub(super) const RSA_KEY: &str = "client-rsa.key";

/// The directory.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    /// This directory, whether it exists or not.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The directory itself.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of a file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file that everybody may read.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes a file that only its owner may read. libpq and PostgreSQL demand it of keys.
    pub(super) fn write_secret(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(content.as_ref()))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
