//! Counts the instructions per operation with callgrind, a tool of valgrind.
//!
//! The benchmark runs itself once under valgrind. Every implementation of the measured work does one round to warm up, and then one round
//! between the calls of two mark functions. When the first mark function is called, callgrind sets its counters to zero. When the second
//! mark function is called, callgrind writes the counters to a new file. The files are numbered in the order of the implementations.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::line::Line;
use crate::measure::Measured;

/// The highest number of operations in a round. A measurement with more operations is left out, because it would take minutes under
/// valgrind.
const MOST_OPERATIONS: u64 = 500_000;

/// Marks the start of counting: callgrind sets its counters to zero when this function is called, and finds the function by its name. The
/// two mark functions pass different numbers to `black_box`, because the compiler could merge two functions with equal code.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn pg_bench_round_begins() {
    std::hint::black_box(1);
}

/// Marks the end of counting: callgrind writes its counters to a file when this function is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn pg_bench_round_ends() {
    std::hint::black_box(2);
}

/// The main function of the process under valgrind: each implementation of the work does one round to warm up, then one round between the
/// calls of the two mark functions.
pub(crate) fn run_marked(lines: Vec<Line>) -> Result<()> {
    let counted = lines.into_iter().filter(|line| line.operations <= MOST_OPERATIONS);
    for contender in counted.flat_map(|line| line.contenders) {
        let (mut round, _) = (contender.prepare)()?;
        round()?;
        pg_bench_round_begins();
        let found = round();
        pg_bench_round_ends();
        found?;
    }
    Ok(())
}

/// Counts the instructions of every implementation of the work. `only` contains the filters that selected the measurements. The process
/// under valgrind gets the same filters, and the option `--quick` if `quick` is true, so that both processes have the same measurements.
pub(crate) fn count(results: &mut [Measured], only: &[String], quick: bool) -> Result<()> {
    // Measurements over sockets are left out. A client is slower under valgrind, so it waits for the server more or less often than in a
    // normal run. Its number of instructions would differ from a normal run.
    let is_counted =
        |result: &Measured| result.name.starts_with("micro") && result.operations <= MOST_OPERATIONS;
    let mut results: Vec<_> = results.iter_mut().filter(|result| is_counted(result)).collect();
    if results.is_empty() {
        return Ok(());
    }
    let ourselves = std::env::current_exe()?;
    let dir = ourselves.with_file_name("callgrind");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let out = dir.join("out");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--compress-strings=no", "--quiet"]);
    valgrind.args(["--zero-before=pg_bench_round_begins", "--dump-before=pg_bench_round_ends"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display()));
    valgrind.arg(&ourselves).arg("--marked");
    if quick {
        valgrind.arg("--quick");
    }
    for word in only {
        valgrind.arg("--only").arg(word);
    }
    let output = valgrind
        .stdin(Stdio::null())
        .output()
        .context("cannot run valgrind (`apt-get install valgrind`, or use --no-instructions)")?;
    ensure!(output.status.success(), "valgrind: {}", String::from_utf8_lossy(&output.stderr));
    let mut part = 0;
    for result in &mut results {
        for outcome in &mut result.outcomes {
            part += 1;
            let file = out.with_extension(part.to_string());
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let total = total(&text).with_context(|| format!("{} has no total", file.display()))?;
            outcome.instructions = Some(total / result.operations as f64);
        }
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// The number of instructions in a file of callgrind: the first number after `totals:` or `summary:`.
fn total(text: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}
