//! Measurements of two transaction poolers between clients and a server: pg-pooler and PgBouncer. The CPU time of the pooler's process is
//! measured.

use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use pg_stream_tokio::TokioIo;
use tempfile::TempDir;

use super::clients::Client;
use super::clients::ours::Ours;
use super::place::{At, Place};
use super::proxies::{Proxy, is_there};
use crate::line::{Line, Meter, Round, Target, Who};
use crate::micro::decode::runtime;

/// The number of clients that `pgbench` runs, in two threads.
const CLIENTS: u64 = 64;

/// The highest number of server connections that each pooler may open; 20 is PgBouncer's default.
const POOL_SIZE: &str = "20";

/// The name of PgBouncer in the report.
const PGBOUNCER: &str = "PgBouncer";

/// Returns the measurements: many small queries in the three modes of `pgbench`, and one query with many rows.
///
/// PgBouncer 1.18 has no prepared statements with transaction pooling. So where pg-pooler is measured with `-M prepared`, PgBouncer is
/// measured with `-M extended`.
pub(crate) fn lines(server: &At, part: u64) -> Vec<Line> {
    let At::Tcp(server) = *server else { return Vec::new() };
    if !["pgbouncer", "pgbench", "psql"].into_iter().all(is_there) {
        eprintln!("bench: poolers are skipped, because pgbouncer, pgbench or psql is not installed");
        return Vec::new();
    }
    let mut lines = Vec::new();
    // The last value of each tuple is the highest allowed ratio of pg-pooler's CPU time to PgBouncer's CPU time.
    for (name, ours, theirs, most) in [
        ("pooler: pgbench -S -M simple", "simple", "simple", 1.1),
        ("pooler: pgbench -S -M extended", "extended", "extended", 1.1),
        ("pooler: pgbench -S -M prepared, PgBouncer extended", "prepared", "extended", 1.2),
    ] {
        let each = 2000 / part;
        let line = Line::new(name, "query", CLIENTS * each, target(most)).long();
        let round = move |mode: &'static str| {
            move |at| -> Result<Round> { Ok(Box::new(move || pgbench(at, mode, each))) }
        };
        lines.push(contender(
            contender(line, Who::Ours, server, round(ours)),
            Who::Peer(PGBOUNCER),
            server,
            round(theirs),
        ));
    }
    // The number of rows is the same with `--quick`: the beginning of a result is read in small pieces, so a shorter result would take more
    // time for each row.
    let count = 1_000_000;
    let round = move |at| -> Result<Round> {
        let place = Place::new(At::Tcp(at)).scram();
        let mut client = Ours::<TokioIo<tokio::net::TcpStream>>::connect(&place, Rc::new(runtime()?))?;
        let sql = format!("select i, md5(i::text) from generate_series(1, {count}) i");
        Ok(Box::new(move || client.read_text(&sql)))
    };
    let line = Line::new("pooler: rows", "row", count, target(1.0 / 3.0)).long();
    lines.push(contender(contender(line, Who::Ours, server, round), Who::Peer(PGBOUNCER), server, round));
    lines
}

/// Requires that pg-pooler's CPU time is at most `most` times PgBouncer's CPU time.
fn target(most: f64) -> Target {
    Target { peer: Some((100.0 / most).round() / 100.0), rival: Some(PGBOUNCER), ..Target::default() }
}

fn contender(
    line: Line,
    who: Who,
    server: SocketAddr,
    round: impl FnOnce(SocketAddr) -> Result<Round> + 'static,
) -> Line {
    line.metered(who, move || {
        let pooler = Rc::new(if who == Who::Ours { pg_pooler(server)? } else { pgbouncer(server)? });
        let round = round(pooler.at)?;
        let meter: Meter = Box::new(move || pooler.cpu_time());
        Ok((round, meter))
    })
}

fn pg_pooler(server: SocketAddr) -> Result<Proxy> {
    let program = std::env::var_os("PG_POOLER").context("PG_POOLER is not set: run `cargo xtask bench`")?;
    let dir = TempDir::new()?;
    let users = dir.path().join("users");
    std::fs::write(&users, format!("scram:{}\n", verifier(server)?))?;
    let mut pooler = Command::new(program);
    pooler.args(["--listen", "127.0.0.1:0", "--upstream", &server.to_string(), "--pool-size", POOL_SIZE]);
    Proxy::telling(pooler.arg("--users").arg(users))
}

fn pgbouncer(server: SocketAddr) -> Result<Proxy> {
    let users = format!("\"scram\" \"{}\"\n", verifier(server)?);
    Proxy::pgbouncer(
        server,
        &users,
        &format!("auth_type = scram-sha-256\npool_mode = transaction\ndefault_pool_size = {POOL_SIZE}\n"),
    )
}

/// Returns the stored form of the password of the role `scram`. Also lets every role read the tables of pgbench, because the measurements
/// read these tables.
fn verifier(server: SocketAddr) -> Result<String> {
    psql(server, "trust", "grant select on pgbench_accounts, pgbench_branches, pgbench_tellers to public")?;
    psql(server, "admin", "select rolpassword from pg_authid where rolname = 'scram'")
}

/// Runs SQL with psql as a role, and returns the output.
pub(super) fn psql(server: SocketAddr, role: &str, sql: &str) -> Result<String> {
    let output = Command::new("psql")
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .args(["-h", &server.ip().to_string(), "-p", &server.port().to_string(), "-U", role, "-d", "test"])
        .output()?;
    ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Runs pgbench with its built-in script of read-only queries.
fn pgbench(at: SocketAddr, mode: &str, each: u64) -> Result<u64> {
    let output = Command::new("pgbench")
        .args(["-n", "-S", "-j", "2", "-c", &CLIENTS.to_string(), "-t", &each.to_string(), "-M", mode])
        .args(["-h", &at.ip().to_string(), "-p", &at.port().to_string(), "-U", "scram", "test"])
        .env("PGPASSWORD", Place::SECRET)
        .env("PGSSLMODE", "disable")
        .output()?;
    ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
    Ok(0)
}
