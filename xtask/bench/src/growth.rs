//! How cost grows: with the rows of a result, with idle connections, with the depth of a pipeline.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::child::status;
use crate::line::{Clock, Who};
use crate::measure::{Spread, cpu_time};
use crate::sockets::Ends;
use crate::sockets::clients::Pipeline;

/// Who is shown.
const SHOWN: [Who; 2] = [Who::Limit, Who::Ours];

/// Prints the three tables.
pub(crate) fn print(ends: &Ends, quick: bool) -> Result<()> {
    let (most, samples) = if quick { (1_000_000, 5) } else { (10_000_000, 9) };
    let title = "Time a row against the rows of a result (replay, Unix socket)";
    table(title, "rows", &powers(most), samples, |who, count| {
        let mut client = ends.replay_client(who)?;
        client.read_text("replay 1000 text")?;
        let rounds = (200_000 / count).clamp(1, 2000);
        per_operation(count * rounds, || {
            (0..rounds).try_for_each(|_| client.read_text(&format!("replay {count} text")).map(drop))
        })
    })?;
    let title = "Time a statement against the depth of a pipeline (server, one Sync)";
    table(title, "depth", &powers(10_000), samples, |who, depth| {
        let mut client = ends.server_client(who)?;
        let pipeline = Pipeline { depth, batches: 10_000 / depth, sync_each: false };
        client.pipeline(pipeline)?;
        per_operation(10_000, || client.pipeline(pipeline).map(drop))
    })?;

    println!(
        "\nMemory of an idle connection against their number (kB each, of a process that only holds them)\n"
    );
    println!("| connections | limit | pg-wire | tokio-postgres | sqlx | libpq |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for count in powers(if quick { 1000 } else { 10_000 }) {
        print!("| {count} |");
        for who in ["limit", "pg-wire", "tokio-postgres", "sqlx", "libpq"] {
            match idle(ends, who, count) {
                Ok(kilobytes) => print!(" {kilobytes:.1} |"),
                Err(error) => {
                    eprintln!("bench: {count} connections of {who}: {error:#}");
                    print!(" – |");
                }
            }
        }
        println!();
    }
    Ok(())
}

fn powers(most: u64) -> Vec<u64> {
    (0..).map(|power| 10_u64.pow(power)).take_while(|size| *size <= most).collect()
}

/// Ratios: ours to the limit, and each size to the one before it. All sizes take turns, and ratios are taken turn by turn, each with
/// connections of its own: where client and server come to run, which counts for more than what they do, is decided anew.
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
        "| {size} | pg-wire / limit | pg-wire / itself one line above | limit / itself one line above |"
    );
    println!("| --- | --- | --- | --- |");
    for (line, count) in sizes.iter().enumerate() {
        let [limit, ours] = [2 * line, 2 * line + 1];
        let above = |now: usize| now.checked_sub(2).map_or(String::from("–"), |before| ratio(now, before));
        println!("| {count} | {} | {} | {} |", ratio(ours, limit), above(ours), above(limit));
    }
    Ok(())
}

/// CPU time of each of so many operations.
fn per_operation(count: u64, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = cpu_time(Clock::Thread);
    work()?;
    Ok((cpu_time(Clock::Thread) - before) / count as f64)
}

/// Kilobytes of memory for each of so many connections, held by a process of their own.
fn idle(ends: &Ends, who: &str, count: u64) -> Result<f64> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--idle", &count.to_string(), "--who", who])
        .envs(ends.environment())
        .stdin(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    String::from_utf8(output.stdout)?.trim().parse().context("the child says something else")
}

/// What that process does: connections that have each read a row.
pub(crate) fn hold(ends: &Ends, who: &str, count: u64) -> Result<()> {
    // What the first one loads is not the others'.
    let mut connect = ends.replay_clients(who)?;
    let mut first = connect()?;
    first.read_text("replay 1 text")?;
    let before = status("VmRSS:")?;
    let mut held = Vec::new();
    for _ in 0..count {
        let mut client = connect()?;
        client.read_text("replay 1 text")?;
        held.push(client);
    }
    println!("{}", (status("VmRSS:")? - before) as f64 / count as f64);
    Ok(())
}
