//! How cost grows: with the rows of a result, with idle connections, with the depth of a pipeline.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::child::status;
use crate::line::{Clock, Who};
use crate::measure::cpu_time;
use crate::sockets::Ends;
use crate::sockets::clients::{Client, Pipeline};

/// Who is shown.
const SHOWN: [Who; 2] = [Who::Limit, Who::Ours];

/// Prints the three tables.
pub(crate) fn print(ends: &Ends, quick: bool) -> Result<()> {
    let most = if quick { 1_000_000 } else { 10_000_000 };
    let sizes = powers(most);
    let rows = |client: &mut dyn Client, count: u64, rounds: u64| {
        for _ in 0..rounds {
            client.read_text(&format!("replay {count} text"))?;
        }
        Ok(())
    };
    table("Time a row against the rows of a result (replay, Unix socket)", "rows", &sizes, |who, count| {
        let mut client = ends.replay_client(who)?;
        per_operation(&mut *client, count, (200_000 / count).clamp(1, 2000), &rows)
    })?;

    let depths = powers(10_000);
    let statements = |client: &mut dyn Client, depth: u64, batches: u64| {
        client.pipeline(Pipeline { depth, batches, sync_each: false }).map(drop)
    };
    table(
        "Time a statement against the depth of a pipeline (server, one Sync)",
        "depth",
        &depths,
        |who, depth| {
            let mut client = ends.server_client(who)?;
            per_operation(&mut *client, depth, 10_000 / depth, &statements)
        },
    )?;

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

/// Ratios: ours to the limit, and each size to the one before it.
fn table(title: &str, size: &str, sizes: &[u64], measure: impl Fn(Who, u64) -> Result<f64>) -> Result<()> {
    println!("\n{title}\n");
    println!(
        "| {size} | pg-wire / limit | pg-wire / itself one line above | limit / itself one line above |"
    );
    println!("| --- | --- | --- | --- |");
    let mut before: Option<[f64; 2]> = None;
    for &count in sizes {
        let [limit, ours] = SHOWN.map(|who| measure(who, count));
        let (limit, ours) = (limit?, ours?);
        let above = |now: f64, index: usize| {
            before.map_or(String::from("–"), |before| format!("{:.2}", now / before[index]))
        };
        println!("| {count} | {:.2} | {} | {} |", ours / limit, above(ours, 1), above(limit, 0));
        before = Some([limit, ours]);
    }
    Ok(())
}

/// CPU time of an operation: the least of seven, because what others do on the machine only ever adds to it, and here sizes that
/// cannot take turns are compared.
fn per_operation(
    client: &mut dyn Client,
    count: u64,
    rounds: u64,
    work: &dyn Fn(&mut dyn Client, u64, u64) -> Result<()>,
) -> Result<f64> {
    work(client, count, 1)?;
    let mut least = f64::INFINITY;
    for _ in 0..7 {
        let before = cpu_time(Clock::Thread);
        work(client, count, rounds)?;
        least = least.min((cpu_time(Clock::Thread) - before) / (count * rounds) as f64);
    }
    Ok(least)
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
