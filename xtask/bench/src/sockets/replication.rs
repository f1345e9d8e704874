//! Measurements of logical replication with PostgreSQL: the CPU time of the programs `pg-cdc` and `pg_recvlogical` for the same changes,
//! and the peak memory of `pg-cdc`.

use std::cell::{Cell, OnceCell};
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tempfile::TempDir;

use super::place::At;
use super::poolers::psql;
use super::proxies::is_there;
use crate::line::{Line, Meter, Round, Target, Who};
use crate::micro::changes;

/// The name of the publication, and the prefix of the names of all slots.
const NAME: &str = "bench_changes";

/// The name of the compared program in the report.
const PG_RECVLOGICAL: &str = "pg_recvlogical";

/// Returns two measurements. The first decodes a long stream in memory. In the second, pg-cdc and pg_recvlogical follow the changes of a
/// server; without psql, the second measurement is left out.
pub(super) fn lines(server: &At, part: u64) -> Result<Vec<Line>> {
    let count = 1_000_000 / part;
    let mut lines = vec![changes::long_stream(count)?];
    let At::Tcp(server) = *server else { return Ok(lines) };
    if !is_there("psql") {
        eprintln!("bench: pg-cdc is skipped, because psql is not installed");
        return Ok(lines);
    }
    // No ratio is required: pg-cdc converts each change to JSON, and pg_recvlogical writes the received bytes.
    let target = Target { rival: Some(PG_RECVLOGICAL), ..Target::default() };
    let line = Line::new("replication: pg-cdc", "insert", count, target).long();
    let changes = Rc::new(OnceCell::new());
    lines.push([Who::Ours, Who::Peer(PG_RECVLOGICAL)].into_iter().fold(line, |line, who| {
        let changes = changes.clone();
        line.metered(who, move || {
            if changes.get().is_none() {
                let _ = changes.set(Changes::make(server, count)?);
            }
            let used = Rc::new(Cell::new(0.0));
            let meter = used.clone();
            let round: Round = Box::new(move || {
                let changes = changes.get().context("the changes were not made")?;
                let (usage, rows) = match who {
                    Who::Ours => changes.follow(pg_cdc)?,
                    _ => changes.follow(pg_recvlogical)?,
                };
                used.set(used.get() + usage.cpu);
                Ok(rows)
            });
            let meter: Meter = Box::new(move || meter.get());
            Ok((round, meter))
        })
    }));
    Ok(lines)
}

/// Prints the peak memory of `pg-cdc` for two transactions, the second with ten times as many changes as the first.
pub(super) fn print_memory(server: &At, part: u64) -> Result<()> {
    let At::Tcp(server) = *server else { return Ok(()) };
    println!("\nPeak memory of pg-cdc, by the number of changes of one transaction, in MiB\n");
    println!("| changes | pg-cdc | pg-cdc --streaming |");
    println!("| --- | --- | --- |");
    for count in [1_000_000 / part, 10_000_000 / part] {
        let changes = Changes::make(server, count)?;
        let peak = |command: fn(&Changes, &str, &Path) -> Result<Command>| {
            let (usage, rows) = changes.follow(command)?;
            ensure!(rows == count, "pg-cdc wrote {rows} rows, expected {count}");
            Ok(usage.peak as f64 / 1024.0)
        };
        let (whole, streaming) = (peak(pg_cdc)?, peak(pg_cdc_streaming)?);
        println!("| {count} | {whole:.1} | {streaming:.1} |");
    }
    Ok(())
}

/// The resources that a program has used.
#[derive(Clone, Copy, Debug)]
struct Usage {
    /// User and system CPU time of all threads in nanoseconds, with a resolution of 10 ms.
    cpu: f64,
    /// Peak resident memory in kilobytes.
    peak: u64,
}

/// A transaction in the WAL of a server, and a slot that begins before the transaction. Dropping this value drops all slots of the
/// benchmark.
#[derive(Debug)]
struct Changes {
    server: SocketAddr,
    /// The WAL position after the transaction.
    end: String,
}

impl Changes {
    /// Inserts `count` rows of eight columns in one transaction.
    fn make(server: SocketAddr, count: u64) -> Result<Self> {
        let mut changes = Self { server, end: String::new() };
        changes.drop_slots()?;
        // The table `bench_rows` has a million rows. If more rows are needed, its rows are inserted several times.
        let times = count.div_ceil(1_000_000);
        let rows = count / times;
        for sql in [
            "set client_min_messages = warning; drop table if exists bench_changes; create table bench_changes (like bench_rows)",
            "drop publication if exists bench_changes",
            "create publication bench_changes for table bench_changes",
            "select pg_create_logical_replication_slot('bench_changes', 'pgoutput')",
            &format!(
                "insert into bench_changes select r.* from (select * from bench_rows limit {rows}) r, generate_series(1, {times})"
            ),
        ] {
            changes.admin(sql)?;
        }
        changes.end = changes.admin("select pg_current_wal_insert_lsn()")?;
        Ok(changes)
    }

    fn admin(&self, sql: &str) -> Result<String> {
        psql(self.server, "admin", sql)
    }

    fn drop_slots(&self) -> Result<()> {
        let slots =
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name like";
        self.admin(&format!("{slots} '{NAME}%' and not active")).map(drop)
    }

    /// Runs a program that reads the changes from the server and writes them to a file. The program reads from a copy of the slot, so that
    /// the slot itself can be used again. Returns the resources that the program has used, and the number of rows in the file.
    fn follow(&self, command: impl FnOnce(&Self, &str, &Path) -> Result<Command>) -> Result<(Usage, u64)> {
        const SLOT: &str = "bench_changes_copy";
        let dir = TempDir::new()?;
        let out = dir.path().join("out");
        self.admin(&format!("select pg_copy_logical_replication_slot('{NAME}', '{SLOT}')"))?;
        let usage = run(&mut command(self, SLOT, &out)?)?;
        self.admin(&format!("select pg_drop_replication_slot('{SLOT}')"))?;
        Ok((usage, rows(&out)?))
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let _ = self.drop_slots();
    }
}

fn program(variable: &str) -> Result<OsString> {
    std::env::var_os(variable).with_context(|| format!("{variable} is not set: run `cargo xtask bench`"))
}

fn pg_cdc(changes: &Changes, slot: &str, out: &Path) -> Result<Command> {
    pg_cdc_with(changes, slot, out, "")
}

/// Returns a command that runs pg-cdc with `--streaming`. A small `logical_decoding_work_mem` makes the server stream small transactions,
/// too.
fn pg_cdc_streaming(changes: &Changes, slot: &str, out: &Path) -> Result<Command> {
    let mut command = pg_cdc_with(changes, slot, out, "&options=-c%20logical_decoding_work_mem%3D1MB")?;
    command.arg("--streaming");
    Ok(command)
}

fn pg_cdc_with(changes: &Changes, slot: &str, out: &Path, more: &str) -> Result<Command> {
    let mut command = Command::new(program("PG_CDC")?);
    command.arg(format!("postgres://admin@{}/test?sslmode=disable{more}", changes.server));
    command
        .args(["--publication", NAME, "--slot", slot, "--until", &changes.end, "--quiet", "--out"])
        .arg(out);
    Ok(command)
}

/// Returns a command that runs pg_recvlogical with the options of pgoutput that pg-cdc sends.
fn pg_recvlogical(changes: &Changes, slot: &str, out: &Path) -> Result<Command> {
    let (host, port) = (changes.server.ip(), changes.server.port());
    let mut command = Command::new(PathBuf::from(program("PG_CLIENT_BIN")?).join(PG_RECVLOGICAL));
    command
        .arg("-d")
        .arg(format!("host={host} port={port} user=admin dbname=test sslmode=disable gssencmode=disable"));
    command.args(["--start", "--no-loop", "--slot", slot, "--endpos", &changes.end]);
    command.args([
        "-o",
        "proto_version=1",
        "-o",
        &format!("publication_names={NAME}"),
        "-o",
        "messages=true",
    ]);
    command.arg("--file").arg(out);
    Ok(command)
}

/// Runs a program to its end.
fn run(command: &mut Command) -> Result<Usage> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let pid = Pid::from_child(&child);
    let of_process = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", child.id()));
    let mut peak = 0;
    // With NOWAIT, the ended process stays a zombie, whose CPU time can still be read. The memory is read while the process runs, because
    // the memory of a zombie reads as 0.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(pid), options)?.is_none() {
        let status = of_process("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = peak.max(number.unwrap_or(0));
        thread::sleep(Duration::from_millis(5));
    }
    let stat = of_process("stat")?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    // The name of the program, in parentheses, is the second field and may contain spaces. User and system time are the fields 14 and 15.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat has no parenthesis")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(Usage { cpu: ticks * 1e7, peak })
}

/// Counts the rows in the output of a program. Each row has one value that begins with `TEXT`.
fn rows(out: &Path) -> Result<u64> {
    const TEXT: &[u8] = b"name of number ";
    let (mut file, mut count) = (fs::File::open(out)?, 0);
    let mut block = Vec::with_capacity(1 << 20);
    loop {
        // The last bytes of a block may be the beginning of the text, so these bytes are searched again with the next block.
        let kept = block.len().min(TEXT.len() - 1);
        block.drain(..block.len() - kept);
        let more = std::io::Read::take(&mut file, 1 << 20);
        if std::io::Read::read_to_end(&mut { more }, &mut block)? == 0 {
            return Ok(count);
        }
        count += block.windows(TEXT.len()).filter(|part| *part == TEXT).count() as u64;
    }
}
