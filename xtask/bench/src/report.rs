//! Prints the tables of the report.

use anyhow::{Result, bail, ensure};

use crate::child::Child;
use crate::line::Who;
use crate::measure::{Measured, Outcome, Spread};
use crate::sockets::Ends;

/// Prints the tables of ratios, instructions and allocations.
pub(crate) fn print(results: &[Measured]) {
    println!("\nCPU time, as ratios within this run: median [minimum – maximum]\n");
    println!(
        "| line | ours / limit | at most | best peer (or the peer of the target) / ours | at least | peer |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for result in results {
        println!("{}", row(result));
    }
    println!(
        "\nEach contender / limit: CPU time, instructions. Then its allocations per operation, and its absolute numbers\n"
    );
    println!("| line | contender | CPU | instructions | allocations | (ns, instructions, per …) |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for result in results {
        let limit = result.of(Who::Limit);
        for outcome in &result.outcomes {
            let counts = (outcome.instructions, limit.and_then(|limit| limit.instructions));
            let instructions = match counts {
                (Some(own), Some(limit)) => format!("{:.2}", own / limit),
                _ => String::from("–"),
            };
            println!(
                "| {} | {} | {} | {} | {:.2} | {:.1}, {}, {} |",
                result.name,
                outcome.who.name(),
                limit.map_or(String::from("–"), |limit| shown(Measured::ratio(outcome, limit))),
                instructions,
                outcome.allocations,
                outcome.median(),
                outcome.instructions.map_or(String::from("–"), |count| format!("{count:.0}")),
                result.unit,
            );
        }
    }
}

/// For each measurement, prints the ratio of our number of instructions to the number of the hand-written loop. Returns an error if a ratio
/// exceeds its target, or if a measurement has no target or no count.
pub(crate) fn print_gate(results: &[Measured]) -> Result<()> {
    println!("\nInstructions, as a ratio to the hand-written loop\n");
    println!("| line | ours / limit | at most |");
    println!("| --- | --- | --- |");
    let mut exceeded = Vec::new();
    for result in results {
        let count = |who| result.of(who).and_then(|outcome| outcome.instructions);
        let (Some(ours), Some(limit), Some(most)) =
            (count(Who::Ours), count(Who::Limit), result.target.instructions)
        else {
            bail!("{}: the instructions were not counted", result.name);
        };
        let ratio = ours / limit;
        println!("| {} | {ratio:.3} ({ours:.0} / {limit:.0}) | {most} |", result.name);
        if ratio > most {
            exceeded.push(result.name.as_str());
        }
    }
    ensure!(exceeded.is_empty(), "more instructions than the target allows: {}", exceeded.join("; "));
    Ok(())
}

/// Prints the peak memory of each measurement over sockets.
pub(crate) fn print_memory(ends: &Ends, results: &[Measured], part: u64) -> Result<()> {
    if over_sockets(results).next().is_none() {
        return Ok(());
    }
    println!("\nPeak memory of a process that does the work once, in MiB\n");
    println!("| line | limit | pg-wire | pg-wire - limit | at most | peers |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for result in over_sockets(results) {
        let peak = |outcome: &Outcome| {
            let peak = Child { ends, line: &result.name, who: outcome.who, part }.peak();
            peak.map(|bytes| bytes as f64 / f64::from(1 << 20))
        };
        let (Some(limit), Some(ours)) = (result.of(Who::Limit), result.of(Who::Ours)) else { continue };
        let (limit, ours) = (peak(limit)?, peak(ours)?);
        let mut peers = Vec::new();
        for outcome in &result.outcomes {
            if let Who::Peer(name) = outcome.who {
                peers.push(format!("{name} {:.1}", peak(outcome)?));
            }
        }
        let above = ours - limit;
        let met = if above <= 1.0 { "✓" } else { "✗" };
        println!(
            "| {} | {limit:.1} | {ours:.1} | {above:+.1} | +1 {met} | {} |",
            result.name,
            peers.join(", ")
        );
    }
    Ok(())
}

/// Prints the system calls per round trip, for each measurement of round trips.
pub(crate) fn print_calls(ends: &Ends, results: &[Measured], part: u64) -> Result<()> {
    if !over_sockets(results).any(|result| result.unit == "round trip") {
        return Ok(());
    }
    println!("\nSystem calls per operation\n");
    println!("| line | contender | writes | reads | waits | others |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for result in over_sockets(results).filter(|result| result.unit == "round trip") {
        for outcome in &result.outcomes {
            let child = Child { ends, line: &result.name, who: outcome.who, part };
            let calls = child.calls(crate::sockets::ROUND_TRIPS / part)?;
            println!(
                "| {} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
                result.name,
                outcome.who.name(),
                calls.writes,
                calls.reads,
                calls.waits,
                calls.others
            );
        }
    }
    Ok(())
}

fn over_sockets(results: &[Measured]) -> impl Iterator<Item = &Measured> {
    // The child process, whose memory and system calls are counted, runs only measurements over sockets. In some of these measurements, the
    // measured program is another process: a proxy, a pooler or pg-cdc. These measurements are excluded, too.
    let excluded = ["micro", "proxy", "pooler", "replication"];
    let is_excluded = move |name: &str| excluded.iter().any(|part| name.starts_with(part));
    results.iter().filter(move |result| !is_excluded(&result.name))
}

/// Formats one row of the table of ratios.
pub(crate) fn row(result: &Measured) -> String {
    let Some(ours) = result.of(Who::Ours) else { return format!("| {} | – |", result.name) };
    let limit = result.of(Who::Limit).map(|limit| Measured::ratio(ours, limit));
    let best = result.best_peer();
    let peer = best.map(|best| Measured::ratio(best, ours));
    format!(
        "| {} | {} | {} | {} | {} | {} |",
        result.name,
        limit.map_or(String::from("–"), shown),
        verdict(result.target.limit, limit, |found, target| found <= target),
        peer.map_or(String::from("–"), shown),
        verdict(result.target.peer, peer, |found, target| found >= target),
        best.map_or("–", |best| best.who.name()),
    )
}

fn shown(spread: Spread) -> String {
    format!("{:.2} [{:.2} – {:.2}]", spread.median, spread.min, spread.max)
}

fn verdict(target: Option<f64>, found: Option<Spread>, met: impl Fn(f64, f64) -> bool) -> String {
    match (target, found) {
        (Some(target), Some(found)) if met(found.median, target) => format!("{target} ✓"),
        (Some(target), Some(_)) => format!("{target} ✗"),
        (Some(target), None) => target.to_string(),
        (None, _) => String::from("–"),
    }
}
