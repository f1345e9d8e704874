//! Compiles a validator of OAuth bearer tokens for PostgreSQL 18: a small C module. PostgreSQL itself has no validator.
//!
//! The module accepts every token `NAME-token` as proof of the identity NAME, without cryptography. So the role `oauth` logs in with
//! `oauth-token`. Any other token is rejected. For the token `broken` the module reports an internal error.
//!
//! | variable | content |
//! | --- | --- |
//! | `PG_OAUTH_ISSUER` | the URL of the issuer in the server's settings; no program listens at this URL |
//! | `PG_OAUTH_SCOPE` | the scope that the server requests |
//! | `PG_OAUTH_TOKEN` | a token for the role `oauth` |

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::servers::user::open_to_all;

/// The issuer in `pg_hba.conf`. `.test` is reserved for tests (RFC 6761).
pub(super) const ISSUER: &str = "https://oauth.test";

/// The scope that the server sends to a client that has no token.
pub(super) const SCOPE: &str = "openid";

/// Compiles the module to a file in `home`. Returns the line of `postgresql.conf` that loads the module.
///
/// `headers` is the directory of the server headers of PostgreSQL 18. The server checks that a module was compiled with the headers of the
/// server's own version (`PG_MODULE_MAGIC`).
pub(super) fn validator(headers: &Path, home: &Path) -> Result<String> {
    let dir = home.join("oauth");
    fs::create_dir(&dir)?;
    open_to_all(&dir)?;
    let (source, module) = (dir.join("validator.c"), dir.join("validator.so"));
    fs::write(&source, include_str!("validator.c"))?;
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-fPIC", "-shared", "-I"]).arg(headers).arg("-o").arg(&module).arg(&source);
    process::read(&mut cc).context(
        "the OAuth validator cannot be compiled; it needs a C compiler and the headers of the C library \
         (`sudo apt-get install -y gcc libc6-dev`)",
    )?;
    Ok(format!("\noauth_validator_libraries = '{}'\n", module.display()))
}

/// The environment variables for clients.
pub(super) fn environment() -> Vec<(String, String)> {
    vec![
        ("PG_OAUTH_ISSUER".into(), ISSUER.into()),
        ("PG_OAUTH_SCOPE".into(), SCOPE.into()),
        ("PG_OAUTH_TOKEN".into(), "oauth-token".into()),
    ]
}
