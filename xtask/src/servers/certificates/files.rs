//! The directory of certificates and keys.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The password that encrypts the private keys of clients.
pub(super) const PASSWORD: &str = "key-secret";

/// The private key of the servers.
pub(super) const SERVER_KEY: &str = "server.key";
/// The ECDSA private key of clients.
pub(super) const CLIENT_KEY: &str = "client.key";
/// The RSA private key of clients.
pub(super) const RSA_KEY: &str = "client-rsa.key";

/// A directory of certificates and keys.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    /// The files in the directory `dir`. The directory need not exist yet.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The path of the directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of the file `name` in the directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file with the default mode.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes a file with mode 0600. libpq and PostgreSQL reject private keys that other users may read.
    pub(super) fn write_secret(&self, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.path(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(content.as_ref()))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
