//! pg-wire beside its peers, and beside a hand-written loop over the same bytes.
//!
//! Every number is a ratio of two things measured in this run, in turns, on this machine. A [`Line`](line::Line) is one
//! kind of work, done in the same way by several [`Contender`](line::Contender)s: the hand-written limit, ours, and each
//! peer in the fastest way that its public interface has. What was learned on the way stands in `NOTES.md`.

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
use measure::Effort;
use sockets::Ends;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

/// Compares pg-wire with its peers and with a hand-written loop.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// Fewer rounds: less than five minutes in all
    #[arg(long)]
    quick: bool,
    /// Only the lines whose name holds one of these, as in `micro` or `bind`
    #[arg(long)]
    only: Vec<String>,
    /// Leave out counting instructions, for which valgrind is needed
    #[arg(long)]
    no_instructions: bool,
    /// Write the chart here; a full run writes it to `xtask/bench/chart.svg`
    #[arg(long)]
    chart: Option<PathBuf>,
    /// Take a part of the samples of the lines without a network (used by ourselves)
    #[arg(long, hide = true)]
    part_of_samples: bool,
    /// Run every contender of the lines once, each call marked for valgrind (used by ourselves)
    #[arg(long, hide = true)]
    marked: bool,
    /// Run one contender of this line (used by ourselves)
    #[arg(long, hide = true, requires = "who")]
    child: Option<String>,
    /// Hold so many idle connections (used by ourselves)
    #[arg(long, hide = true, requires = "who")]
    idle: Option<u64>,
    /// Copy bytes between whoever connects and this address (used by ourselves)
    #[arg(long, hide = true)]
    splice: Option<std::net::SocketAddr>,
    /// Which contender
    #[arg(long, hide = true)]
    who: Option<String>,
    /// How often
    #[arg(long, hide = true, default_value_t = 1)]
    rounds: u64,
    /// Which part of the operations
    #[arg(long, hide = true, default_value_t = 1)]
    part: u64,
}

impl Arguments {
    fn effort(&self) -> Effort {
        if self.quick { Effort::QUICK } else { Effort::FULL }
    }

    /// The lines without a network.
    fn micro(&self) -> Result<Vec<Line>> {
        let mut lines = micro::lines()?;
        lines.retain(|line| self.wants(&line.name));
        Ok(lines)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

/// The part of all operations that `--quick` does.
const QUICK: u64 = 8;

/// Round trips under strace, which slows each of them down: this part of all.
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
        let line = lines.find(|line| line.name == *name).context("no such line")?;
        return child::run(line, who, arguments.rounds);
    }
    if let (Some(count), Some(who)) = (arguments.idle, &arguments.who) {
        return growth::hold(&Ends::find()?, who, count);
    }
    if let Some(upstream) = arguments.splice {
        return sockets::proxies::splice(upstream);
    }
    compare(&arguments)
}

/// Whether a program is there; where it is not, says so.
fn has(program: &str) -> bool {
    let there = sockets::proxies::is_there(program);
    if !there {
        eprintln!("bench: without {program}, and what it counts");
    }
    there
}

fn compare(arguments: &Arguments) -> Result<()> {
    let part = if arguments.quick { QUICK } else { 1 };
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
        instructions::count(&mut results, &arguments.only)?;
    }
    report::print(&results);
    if let Some(ends) = &ends {
        report::print_memory(ends, &results, part)?;
        if has("strace") {
            report::print_calls(ends, &results, TRACED)?;
        }
        if arguments.wants("growth") {
            growth::print(ends, arguments.quick)?;
        }
    }
    let whole = arguments.only.is_empty() && !arguments.quick;
    if let Some(file) = arguments.chart.clone().or_else(|| whole.then(|| chart::FILE.into())) {
        chart::write(&results, &file)?;
    }
    anyhow::ensure!(failed == 0, "{failed} lines failed");
    Ok(())
}
