//! pg-wire beside its peers, and beside a hand-written loop over the same bytes.
//!
//! Every number is a ratio of two things measured in this run, in turns, on this machine. A [`Line`](line::Line) is one
//! kind of work, done in the same way by several [`Contender`](line::Contender)s: the hand-written limit, ours, and each
//! peer in the fastest way that its public interface has. What was learned on the way stands in `NOTES.md`.

mod alloc;
mod instructions;
mod line;
mod measure;
mod micro;
mod report;
mod sockets;

use clap::Parser;

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
    /// Run every contender of the lines once, each call marked for valgrind (used by ourselves)
    #[arg(long, hide = true)]
    marked: bool,
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut lines = micro::lines()?;
    lines.retain(|line| arguments.wants(&line.name));
    if arguments.marked {
        return instructions::run_marked(lines);
    }
    let ends = sockets::Ends::find();
    match &ends {
        Ok(ends) => lines.extend(sockets::plans(ends, if arguments.quick { 5 } else { 1 })?),
        // Without servers, the lines that need none.
        Err(error) => eprintln!("bench: {error:#}"),
    }
    lines.retain(|line| arguments.wants(&line.name));
    let effort = if arguments.quick { measure::Effort::QUICK } else { measure::Effort::FULL };
    let (mut results, mut failed) = (Vec::new(), 0);
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
    if !arguments.no_instructions {
        instructions::count(&mut results, &arguments.only)?;
    }
    report::print(&results);
    anyhow::ensure!(failed == 0, "{failed} lines failed");
    Ok(())
}
