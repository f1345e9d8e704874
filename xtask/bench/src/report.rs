//! Tables of ratios.

use crate::line::Who;
use crate::measure::{Measured, Spread};

/// Prints what was found out.
pub(crate) fn print(results: &[Measured]) {
    println!("\nCPU time, as ratios within this run: median [least – most]\n");
    println!("| line | ours / limit | at most | best peer / ours | at least | who |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for result in results {
        println!("{}", row(result));
    }
    println!("\nEach contender beside the limit: CPU time; instructions; allocations an operation\n");
    println!("| line | who | CPU | instructions | allocations | (ns, instructions, a …) |");
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

/// A row of the table of ratios.
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
