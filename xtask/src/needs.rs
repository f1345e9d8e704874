//! C libraries that crates of the workspace are built with.

use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::servers::install;

/// Installs the headers of OpenSSL where they are missing: the feature `native-tls` is built with them on Linux.
pub(crate) fn openssl_headers() -> Result<()> {
    let exist = || process::read(Command::new("pkg-config").args(["--exists", "openssl"])).is_ok();
    if !cfg!(target_os = "linux") || exist() {
        return Ok(());
    }
    install("pkg-config libssl-dev")
        .context("the headers of OpenSSL, which native-tls is built with, are missing")
}
