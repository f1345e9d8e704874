//! Compares the speed of this project's crates with other libraries and with a hand-written loop over the same bytes.
//!
//! A measurement is one kind of work, and one [`Line`](line::Line) of the report. Several [`Contender`](line::Contender)s do the same work:
//! the limit is a hand-written loop, ours is the crates of this project, and the peers are other libraries. Each peer is used in the
//! fastest way that its public interface offers. The speed of a machine varies, so the report has ratios of CPU times. Both times of a
//! ratio are from the same run, in which the contenders take turns. `NOTES.md` lists optimisations that were tried, with their figures.

mod alloc;
mod chart;
mod child;
mod growth;
mod instructions;
mod line;
mod measure;
mod micro;
mod processes;
mod report;
mod sockets;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

use line::Line;
use measure::{Effort, Measured};
use sockets::Ends;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

/// Compares pg-wire with other libraries and with a hand-written loop.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// Run fewer rounds; the whole run then takes less than five minutes
    #[arg(long)]
    quick: bool,
    /// Run only the measurements whose name contains this text, such as `micro` or `bind`; can be repeated
    #[arg(long)]
    only: Vec<String>,
    /// Do not count instructions (counting needs valgrind)
    #[arg(long)]
    no_instructions: bool,
    /// Count only instructions, and fail if a measurement needs more instructions than its target allows
    #[arg(long)]
    gate: bool,
    /// Write the chart to this file; without this option, only a full run writes a chart, to `xtask/bench/chart.svg`
    #[arg(long)]
    chart: Option<PathBuf>,
    /// Run only the measurements that use no network, with the share of samples for one process (used by the benchmark itself)
    #[arg(long, hide = true)]
    part_of_samples: bool,
    /// Run every implementation of the work once, with marks for valgrind (used by the benchmark itself)
    #[arg(long, hide = true)]
    marked: bool,
    /// Run one implementation of the work of this measurement (used by the benchmark itself)
    #[arg(long, hide = true, requires = "who")]
    child: Option<String>,
    /// Hold this many idle connections (used by the benchmark itself)
    #[arg(long, hide = true, requires = "who")]
    idle: Option<u64>,
    /// The number of rows that each idle connection has received
    #[arg(long, hide = true, default_value_t = 1)]
    rows: u64,
    /// Accept connections and copy their bytes to and from this address (used by the benchmark itself)
    #[arg(long, hide = true)]
    splice: Option<std::net::SocketAddr>,
    /// The name of the implementation that the child process runs
    #[arg(long, hide = true)]
    who: Option<String>,
    /// The number of rounds that the child process runs
    #[arg(long, hide = true, default_value_t = 1)]
    rounds: u64,
    /// The divisor of the number of operations in a round
    #[arg(long, hide = true, default_value_t = 1)]
    part: u64,
}

impl Arguments {
    fn effort(&self) -> Effort {
        if self.quick { Effort::QUICK } else { Effort::FULL }
    }

    /// The divisor of the number of operations in a round.
    fn part_of_round(&self) -> u64 {
        if self.quick { QUICK } else { 1 }
    }

    /// The measurements that use no network and that `--only` selects.
    fn micro(&self) -> Result<Vec<Line>> {
        let mut lines = micro::lines(self.part_of_round())?;
        lines.retain(|line| self.wants(&line.name));
        Ok(lines)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

/// With `--quick`, the number of operations in a round is divided by this number.
const QUICK: u64 = 8;

/// Under strace, the number of round trips is divided by this number, because strace makes every system call slow.
const TRACED: u64 = 20;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.marked {
        return instructions::run_marked(arguments.micro()?);
    }
    if arguments.part_of_samples {
        return processes::run(arguments.micro()?, arguments.effort());
    }
    if let (Some(name), Some(who)) = (&arguments.child, &arguments.who) {
        let mut lines = sockets::plans(&Ends::find()?, arguments.part)?.into_iter();
        let line = lines
            .find(|line| line.name == *name)
            .with_context(|| format!("there is no measurement {name}"))?;
        return child::run(line, who, arguments.rounds);
    }
    if let (Some(count), Some(who)) = (arguments.idle, &arguments.who) {
        return growth::hold(&Ends::find()?, who, count, arguments.rows);
    }
    if let Some(upstream) = arguments.splice {
        return sockets::proxies::splice(upstream);
    }
    if arguments.gate {
        return gate(&arguments);
    }
    compare(&arguments)
}

/// Counts the instructions of the selected measurements that have a target for instructions. Returns an error if a target is not met.
fn gate(arguments: &Arguments) -> Result<()> {
    let mut results: Vec<_> = arguments.micro()?.into_iter().map(Measured::unmeasured).collect();
    instructions::count(&mut results, &arguments.only, arguments.quick)?;
    results.retain(|result| result.target.instructions.is_some());
    anyhow::ensure!(!results.is_empty(), "no selected measurement has a target for instructions");
    report::print_gate(&results)
}

/// Whether a program is installed. If the program is missing, prints that the counts which need this program are skipped.
fn has(program: &str) -> bool {
    let is_installed = sockets::proxies::is_there(program);
    if !is_installed {
        eprintln!("bench: {program} is not installed, so its counts are skipped");
    }
    is_installed
}

fn compare(arguments: &Arguments) -> Result<()> {
    let part = arguments.part_of_round();
    let effort = arguments.effort();
    let only_micro =
        !arguments.only.is_empty() && arguments.only.iter().all(|part| part.starts_with("micro"));
    let ends = if only_micro { None } else { Some(Ends::find()?) };
    let mut lines = match &ends {
        Some(ends) => sockets::plans(ends, part)?,
        None => Vec::new(),
    };
    lines.retain(|line| arguments.wants(&line.name));

    let options: &[&str] = if arguments.quick { &["--quick"] } else { &[] };
    let (mut results, mut failed) = (Vec::new(), 0);
    match processes::measure(arguments.micro()?, effort, &arguments.only, options) {
        Ok(measured) => results = measured,
        Err(error) => {
            eprintln!("bench: {error:#}");
            failed += 1;
        }
    }
    for measured in &results {
        eprintln!("bench: {}", report::row(measured));
    }
    for line in lines {
        let name = line.name.clone();
        match measure::measure(line, effort) {
            Ok(measured) => {
                eprintln!("bench: {}", report::row(&measured));
                results.push(measured);
            }
            Err(error) => {
                eprintln!("bench: {name}: {error:#}");
                failed += 1;
            }
        }
    }
    if !arguments.no_instructions && has("valgrind") {
        instructions::count(&mut results, &arguments.only, arguments.quick)?;
    }
    report::print(&results);
    if let Some(ends) = &ends {
        report::print_memory(ends, &results, part)?;
        if has("strace") {
            report::print_calls(ends, &results, TRACED)?;
        }
        if arguments.wants("replication: peak memory") {
            ends.print_memory_of_pg_cdc(part)?;
        }
        if arguments.wants("growth") {
            growth::print(ends, arguments.quick)?;
        }
    }
    let whole = arguments.only.is_empty() && !arguments.quick;
    if let Some(file) = arguments.chart.clone().or_else(|| whole.then(|| chart::FILE.into())) {
        chart::write(&results, &file)?;
    }
    anyhow::ensure!(failed == 0, "{failed} measurements failed");
    Ok(())
}
