//! A validator of OAuth bearer tokens for PostgreSQL 18, which brings none: a small module in C, compiled for each run.
//!
//! The token `NAME-token` proves that its bearer is NAME, so `oauth-token` lets the role `oauth` in. Any other token is
//! nobody's, and with the token `broken` the validator itself fails. The module checks nothing cryptographic.
//!
//! | variable | content |
//! | --- | --- |
//! | `PG_OAUTH_ISSUER` | the issuer that the server names; nothing listens there |
//! | `PG_OAUTH_SCOPE` | the scope that it asks for |
//! | `PG_OAUTH_TOKEN` | a token of the role `oauth` |

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The server names it in the discovery document's address; `.test` is reserved for tests (RFC 6761).
pub(super) const ISSUER: &str = "https://oauth.test";

/// The scope in the server's answer to an empty token.
pub(super) const SCOPE: &str = "openid";

/// Compiles the module below `home`, and gives the setting that loads it. `headers` are those of a server of 18.
///
/// The server checks when it loads the module that headers and server fit together (`PG_MODULE_MAGIC`).
pub(super) fn validator(headers: &Path, home: &Path) -> Result<String> {
    let dir = home.join("oauth");
    fs::create_dir(&dir)?;
    super::open_to_all(&dir)?;
    let (source, module) = (dir.join("validator.c"), dir.join("validator.so"));
    fs::write(&source, include_str!("validator.c"))?;
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-fPIC", "-shared", "-I"]).arg(headers).arg("-o").arg(&module).arg(&source);
    process::read(&mut cc).context(
        "the OAuth validator cannot be compiled; it takes a C compiler and the C library's headers \
         (`sudo apt-get install -y gcc libc6-dev`)",
    )?;
    Ok(format!("\noauth_validator_libraries = '{}'\n", module.display()))
}

/// The environment that names what clients need.
pub(super) fn environment() -> Vec<(String, String)> {
    vec![
        ("PG_OAUTH_ISSUER".into(), ISSUER.into()),
        ("PG_OAUTH_SCOPE".into(), SCOPE.into()),
        ("PG_OAUTH_TOKEN".into(), "oauth-token".into()),
    ]
}
