//! `cargo xtask bench`: builds and runs the benchmark, which is a separate workspace. Starts servers if a selected measurement needs
//! servers.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::servers::{Servers, install};
use crate::{clients, paths, process, psycopg};

/// Builds and runs the benchmark with `options`. The benchmark uses cargo's default release profile, because users build with this profile.
pub(crate) fn run(options: &[String]) -> Result<ExitCode> {
    let servers = needs_servers(options);
    equip(options, servers)?;
    let mut bench = build()?;
    bench.args(options);
    if !servers {
        return process::hand_over(&mut bench);
    }
    // Builds the programs that the benchmark measures.
    let mut build = paths::cargo(["build", "--release", "--locked", "--package", "examples"]);
    for (variable, program) in [("PG_PROXY", "pg-proxy"), ("PG_POOLER", "pg-pooler"), ("PG_CDC", "pg-cdc")] {
        build.args(["--bin", program]);
        bench.env(variable, paths::target().join("release").join(program));
    }
    process::succeed(&mut build)?;
    // Passes the directory of the client programs of PostgreSQL 18, because one measurement runs `pg_recvlogical`.
    let clients = clients::environment()?;
    if let Some((_, directory)) = clients.into_iter().find(|(name, _)| name == "PG18_CLIENT_BIN") {
        bench.env("PG_CLIENT_BIN", directory);
    }
    let (python, path) = psycopg::environment()?;
    let servers = Servers::start_both()?;
    process::hand_over(bench.env(python, path).envs(servers.environment()))
}

/// Counts the instructions of the measurements of typed rows and parameters. Returns an error if a measurement needs more instructions than
/// its target allows.
pub(crate) fn gate() -> Result<()> {
    let options = ["--gate", "--only", "micro: typed"].map(String::from);
    equip(&options, false)?;
    process::succeed(build()?.args(options))
}

/// Builds the benchmark. Returns a command that runs the benchmark in the root directory of the project.
fn build() -> Result<Command> {
    let target = paths::target().join("bench");
    let manifest = PathBuf::from_iter(["xtask", "bench", "Cargo.toml"]);
    let mut build = paths::cargo(["build", "--release", "--locked", "--manifest-path"]);
    process::succeed(build.arg(manifest).arg("--target-dir").arg(&target))?;
    let mut bench = Command::new(target.join("release").join("bench"));
    bench.current_dir(paths::root());
    Ok(bench)
}

/// Installs missing dependencies of the benchmark. The library libpq is required. Without valgrind, strace or pgbouncer, some measurements
/// are skipped.
///
/// The Debian package of a program has the program's name.
fn equip(options: &[String], servers: bool) -> Result<()> {
    if process::read(Command::new("pkg-config").args(["--exists", "libpq"])).is_err() {
        install("pkg-config libpq-dev").context("libpq, which the benchmark is compared with, is missing")?;
    }
    let counted = !options.iter().any(|word| word == "--no-instructions");
    let wanted = [("valgrind", counted), ("strace", servers), ("pgbouncer", servers)];
    for (program, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        if !is_there(program)
            && let Err(error) = install(program)
        {
            eprintln!(
                "xtask: {program} is missing, so the measurements that need {program} are skipped: {error}"
            );
        }
    }
    Ok(())
}

/// Whether a program is on the PATH or in `sbin`, where Debian installs pgbouncer.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = [Path::new("/usr/sbin"), Path::new("/sbin")].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).any(|directory| directory.join(program).is_file())
}

/// Whether a selected measurement needs servers. Only the measurements whose name begins with `micro` need no server.
fn needs_servers(options: &[String]) -> bool {
    let mut chosen = Vec::new();
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return false,
            "--only" => chosen.extend(words.next().map(String::as_str)),
            word => chosen.extend(word.strip_prefix("--only=")),
        }
    }
    chosen.is_empty() || !chosen.iter().all(|part| part.starts_with("micro"))
}

#[cfg(test)]
mod tests {
    use super::needs_servers;

    #[test]
    fn servers_are_started_unless_only_micro_measurements_are_selected() {
        let options = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
        assert!(needs_servers(&[]));
        assert!(needs_servers(&options("--quick")));
        assert!(needs_servers(&options("--only micro --only copy")));
        assert!(!needs_servers(&options("--quick --only micro")));
        assert!(!needs_servers(&options("--only=micro:")));
    }
}
