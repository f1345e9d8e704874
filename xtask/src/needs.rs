//! Installs the C libraries that crates of the workspace need when they are built.

use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::servers::install;

/// Installs the headers of OpenSSL on Linux if they are missing. The feature `native-tls` needs these headers when it is built.
pub(crate) fn openssl_headers() -> Result<()> {
    let exist = || process::read(Command::new("pkg-config").args(["--exists", "openssl"])).is_ok();
    if !cfg!(target_os = "linux") || exist() {
        return Ok(());
    }
    install("pkg-config libssl-dev").context("the headers of OpenSSL, which native-tls needs, are missing")
}
