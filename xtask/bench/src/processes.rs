//! Lines without a network, measured in several processes.
//!
//! Where a process has its code and its memory decides what a call of a few nanoseconds takes, by up to half, and does not change
//! as long as it runs: its ratios agree with each other, and not with those of the next one. So each of several takes a part
//! of the samples.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::line::Line;
use crate::measure::{self, Effort, Measured, Outcome};

/// Measures the lines whose names hold one of these words; all, where there are none. `options` tell a process of ours how.
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
        ensure!(output.status.success(), "the lines without a network could not be measured");
        let said = String::from_utf8(output.stdout)?;
        let mut said = said.lines();
        for outcome in results.iter_mut().flat_map(|result| &mut result.outcomes) {
            let line = said.next().context("a contender is missing")?;
            let mut numbers = line.split(' ').map(str::parse::<f64>);
            outcome.allocations = numbers.next().context("no allocations")??;
            for time in numbers {
                outcome.times.push(time?);
            }
        }
    }
    Ok(results)
}

/// What such a process does: a line of numbers for each contender.
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
