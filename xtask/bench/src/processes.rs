//! Runs the measurements that use no network, and divides their samples among several processes.
//!
//! Several processes are needed because the addresses of code and memory can change the time of a short call by up to 50 %. These addresses
//! stay the same within a process, and differ between processes.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::line::Line;
use crate::measure::{self, Effort, Measured, Outcome};

/// Runs the measurements `lines` in child processes. `only` are the filters that selected `lines`. `options` are passed to the child
/// processes.
pub(crate) fn measure(
    lines: Vec<Line>,
    effort: Effort,
    only: &[String],
    options: &[&str],
) -> Result<Vec<Measured>> {
    let mut results: Vec<_> = lines.into_iter().map(unmeasured).collect();
    for _ in 0..effort.processes {
        let mut ourselves = Command::new(std::env::current_exe()?);
        ourselves.arg("--part-of-samples").args(options);
        for word in only {
            ourselves.arg("--only").arg(word);
        }
        let output = ourselves.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the measurements without a network failed");
        let printed = String::from_utf8(output.stdout)?;
        let mut printed = printed.lines();
        for outcome in results.iter_mut().flat_map(|result| &mut result.outcomes) {
            let line = printed.next().context("the child process printed no line for a contender")?;
            let mut numbers = line.split(' ').map(str::parse::<f64>);
            outcome.allocations =
                numbers.next().context("the child process printed no number of allocations")??;
            for time in numbers {
                outcome.times.push(time?);
            }
        }
    }
    Ok(results)
}

/// The main function of a child process: runs the measurements. For each implementation of the work, prints one line with the number of
/// allocations and the times.
pub(crate) fn run(lines: Vec<Line>, effort: Effort) -> Result<()> {
    for line in lines {
        for outcome in measure::measure(line, effort.of_one_process())?.outcomes {
            let times: Vec<_> = outcome.times.iter().map(f64::to_string).collect();
            println!("{} {}", outcome.allocations, times.join(" "));
        }
    }
    Ok(())
}

fn unmeasured(line: Line) -> Measured {
    let Line { name, unit, operations, target, contenders, .. } = line;
    let outcome = |who| Outcome { who, times: Vec::new(), allocations: 0.0, instructions: None };
    let outcomes = contenders.into_iter().map(|contender| outcome(contender.who)).collect();
    Measured { name, unit, operations, target, outcomes }
}
