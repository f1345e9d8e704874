//! Tables that show how time and memory grow with the size of the work: rows of a result, depth of a pipeline, idle connections.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::child::status;
use crate::line::{Clock, Who};
use crate::measure::{Spread, cpu_time};
use crate::sockets::Ends;
use crate::sockets::clients::Pipeline;

/// The two clients that the tables of times compare: the hand-written client and this project's client.
const SHOWN: [Who; 2] = [Who::Limit, Who::Ours];

/// The number of rows of a large result. A row has about 100 bytes, so the result has about 250 kB.
const LARGE: u64 = 2500;

/// Prints three tables: the time per row for results of different lengths, the time per statement for pipelines of different depths, and
/// the memory per connection for different numbers of idle connections.
pub(crate) fn print(ends: &Ends, quick: bool) -> Result<()> {
    let (most, samples) = if quick { (1_000_000, 5) } else { (10_000_000, 9) };
    let title = "Time per row, by the number of rows of a result (replay, Unix socket)";
    table(title, "rows", &powers(most), samples, |who, count| {
        let mut client = ends.replay_client(who)?;
        client.read_text("replay 1000 text")?;
        let rounds = (200_000 / count).clamp(1, 2000);
        per_operation(count * rounds, || {
            (0..rounds).try_for_each(|_| client.read_text(&format!("replay {count} text")).map(drop))
        })
    })?;
    let title = "Time per statement, by the depth of a pipeline (server, one Sync)";
    table(title, "depth", &powers(10_000), samples, |who, depth| {
        let mut client = ends.server_client(who)?;
        let pipeline = Pipeline { depth, batches: 10_000 / depth, sync_each: false };
        client.pipeline(pipeline)?;
        per_operation(10_000, || client.pipeline(pipeline).map(drop))
    })?;

    println!(
        "\nMemory per idle connection, by the number of connections (kB; of a process that only holds connections)\n"
    );
    println!("| connections | client | after a result of 1 row | after a large result |");
    println!("| --- | --- | --- | --- |");
    for count in powers(if quick { 1000 } else { 10_000 }) {
        for who in ["limit", "pg-wire", "tokio-postgres", "sqlx", "libpq"] {
            print!("| {count} | {who} |");
            for rows in [1, LARGE] {
                match idle(ends, who, count, rows) {
                    Ok(kilobytes) => print!(" {kilobytes:.1} |"),
                    Err(error) => {
                        eprintln!("bench: {count} connections of {who}: {error:#}");
                        print!(" – |");
                    }
                }
            }
            println!();
        }
    }
    Ok(())
}

fn powers(most: u64) -> Vec<u64> {
    (0..).map(|power| 10_u64.pow(power)).take_while(|size| *size <= most).collect()
}

/// Prints a table with one row for each size. A row contains three ratios of times:
/// - pg-wire to the hand-written client, at this size;
/// - pg-wire at this size to pg-wire at the previous size;
/// - the hand-written client at this size to the hand-written client at the previous size.
///
/// Each turn measures all sizes with new connections. Both times of a ratio are from the same turn, because the speed of the machine
/// varies.
fn table(
    title: &str,
    size: &str,
    sizes: &[u64],
    samples: usize,
    measure: impl Fn(Who, u64) -> Result<f64>,
) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..samples {
        let turns = sizes.iter().flat_map(|count| SHOWN.map(|who| (who, *count)));
        times.push(turns.map(|(who, count)| measure(who, count)).collect::<Result<Vec<_>>>()?);
    }
    let ratio = |above: usize, below: usize| {
        let ratios = times.iter().map(|turn| turn[above] / turn[below]).collect();
        format!("{:.2}", Spread::of(ratios).median)
    };
    println!("\n{title}\n");
    println!(
        "| {size} | pg-wire / limit | pg-wire / pg-wire one line above | limit / limit one line above |"
    );
    println!("| --- | --- | --- | --- |");
    for (line, count) in sizes.iter().enumerate() {
        let [limit, ours] = [2 * line, 2 * line + 1];
        let above = |now: usize| now.checked_sub(2).map_or(String::from("–"), |before| ratio(now, before));
        println!("| {count} | {} | {} | {} |", ratio(ours, limit), above(ours), above(limit));
    }
    Ok(())
}

/// Runs `work`, which does `count` operations. Returns the CPU time per operation.
fn per_operation(count: u64, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = cpu_time(Clock::Thread);
    work()?;
    Ok((cpu_time(Clock::Thread) - before) / count as f64)
}

/// Starts a child process that opens `count` connections. Each connection receives a result of `rows` rows. Returns the memory per idle
/// connection in kilobytes.
fn idle(ends: &Ends, who: &str, count: u64, rows: u64) -> Result<f64> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--idle", &count.to_string(), "--who", who, "--rows", &rows.to_string()])
        .envs(ends.environment())
        .stdin(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    String::from_utf8(output.stdout)?.trim().parse().context("the child process printed no number")
}

/// The main function of the child process of [`idle`]: opens the connections, reads `rows` rows with each, and prints the memory per
/// connection.
pub(crate) fn hold(ends: &Ends, who: &str, count: u64, rows: u64) -> Result<()> {
    let sql = format!("replay {rows} text");
    // The memory of the first connection is not counted: it includes memory that all connections share.
    let mut connect = ends.replay_clients(who)?;
    let mut first = connect()?;
    first.read_text(&sql)?;
    first.wait();
    let before = status("VmRSS:")?;
    let mut held = Vec::new();
    for _ in 0..count {
        let mut client = connect()?;
        client.read_text(&sql)?;
        client.wait();
        held.push(client);
    }
    println!("{}", (status("VmRSS:")? - before) as f64 / count as f64);
    Ok(())
}
