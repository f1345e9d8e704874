//! Runs the implementations of a measurement in turns, and computes medians and ratios.

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};

use crate::alloc;
use crate::line::{Clock, Contender, Line, Target, Who};

/// The numbers of samples, turns and processes in a run of the benchmark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// The number of samples of a measurement. Each sample gives one ratio for each pair of implementations. The report shows the median,
    /// the minimum and the maximum of the ratios.
    samples: usize,
    /// The number of rounds that each implementation of the work does in a sample. The time of the sample is the median CPU time of these
    /// rounds.
    turns: usize,
    /// The number of samples of a measurement with long rounds. In each of these samples, each implementation of the work runs once.
    long_samples: usize,
    /// The number of processes that share the samples of a measurement. Used only for measurements without a network.
    pub(crate) processes: usize,
}

impl Effort {
    /// The numbers of samples, turns and processes in a run with `--quick`.
    pub(crate) const QUICK: Self = Self { samples: 9, turns: 5, long_samples: 3, processes: 3 };
    /// The numbers of samples, turns and processes in a full run.
    pub(crate) const FULL: Self = Self { samples: 33, turns: 9, long_samples: 7, processes: 11 };

    /// The numbers of samples and turns for one process, when several processes share the samples of a measurement.
    pub(crate) fn of_one_process(self) -> Self {
        let share = |samples: usize| (samples / self.processes).max(1);
        Self { samples: share(self.samples), long_samples: share(self.long_samples), ..self }
    }
}

/// The median, the minimum and the maximum of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |index: usize| numbers.get(index).copied().unwrap_or(f64::NAN);
        Self { median: at(numbers.len() / 2), min: at(0), max: at(numbers.len().saturating_sub(1)) }
    }
}

/// The results of one implementation in a measurement.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) who: Who,
    /// CPU time per operation in nanoseconds, one number for each sample.
    pub(crate) times: Vec<f64>,
    /// Allocations per operation, counted in the last round before times are measured.
    pub(crate) allocations: f64,
    /// Instructions per operation, if they were counted.
    pub(crate) instructions: Option<f64>,
}

/// The results of a measurement.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) operations: u64,
    pub(crate) target: Target,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Measured {
    /// Creates the results of a measurement before its implementations run. The results contain no times.
    pub(crate) fn unmeasured(line: Line) -> Self {
        let Line { name, unit, operations, target, contenders, .. } = line;
        let outcome = |who| Outcome { who, times: Vec::new(), allocations: 0.0, instructions: None };
        let outcomes = contenders.iter().map(|contender| outcome(contender.who)).collect();
        Self { name, unit, operations, target, outcomes }
    }

    /// The results of the implementation `who`.
    pub(crate) fn of(&self, who: Who) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.who == who)
    }

    /// Computes for each sample the ratio of the time of `above` to the time of `below`. Returns the median, the minimum and the maximum
    /// ratio.
    pub(crate) fn ratio(above: &Outcome, below: &Outcome) -> Spread {
        Spread::of(above.times.iter().zip(&below.times).map(|(above, below)| above / below).collect())
    }

    /// The results of the peer that the target names. If the target names no peer: the results of the peer with the shortest time.
    pub(crate) fn best_peer(&self) -> Option<&Outcome> {
        if let Some(rival) = self.target.rival {
            return self.of(Who::Peer(rival));
        }
        let peers = self.outcomes.iter().filter(|outcome| matches!(outcome.who, Who::Peer(_)));
        peers.min_by(|one, other| one.median().total_cmp(&other.median()))
    }
}

impl Outcome {
    /// The median of the implementation's CPU times per operation.
    pub(crate) fn median(&self) -> f64 {
        Spread::of(self.times.clone()).median
    }
}

/// Runs the implementations of a measurement in turns.
///
/// Times are CPU times, because other programs may use the machine at the same time.
pub(crate) fn measure(line: Line, effort: Effort) -> Result<Measured> {
    let Line { name, unit, operations, target, clock, long, contenders } = line;
    let turns_each = if long { 1 } else { effort.turns };
    let samples = if long { effort.long_samples } else { effort.samples };
    let (mut rounds, mut outcomes) = (Vec::new(), Vec::new());
    let mut answer = None;
    for Contender { who, prepare } in contenders {
        let failed = || format!("{name}: {}", who.name());
        let (mut round, meter) = prepare().with_context(failed)?;
        if !long {
            round().with_context(failed)?;
        }
        // The allocations of this round are counted. If rounds are short, an earlier round has filled the caches and buffers. If rounds are
        // long, this is the first round.
        let (sum, allocations) = alloc::count(&mut round);
        let sum = sum.with_context(failed)?;
        let expected = *answer.get_or_insert(sum);
        ensure!(sum == expected, "{name}: the sum of {} is {sum}, expected {expected}", who.name());
        let allocations = allocations as f64 / operations as f64;
        outcomes.push(Outcome { who, times: Vec::new(), allocations, instructions: None });
        let meter = meter.unwrap_or_else(|| Box::new(move || cpu_time(clock)));
        rounds.push((round, meter));
    }
    for sample in 0..samples {
        let mut turns = vec![Vec::with_capacity(turns_each); rounds.len()];
        for turn in 0..turns_each {
            for index in 0..rounds.len() {
                // Each turn begins with a different implementation than the turn before, so that the state of the CPU caches does not
                // always favour the same implementation.
                let index = (index + sample + turn) % rounds.len();
                let (round, meter) = &mut rounds[index];
                let before = meter();
                std::hint::black_box(round()?);
                turns[index].push((meter() - before) / operations as f64);
            }
        }
        for (outcome, turns) in outcomes.iter_mut().zip(turns) {
            outcome.times.push(Spread::of(turns).median);
        }
    }
    Ok(Measured { name, unit, operations, target, outcomes })
}

/// The CPU time that this thread or process has used so far, in nanoseconds.
pub(crate) fn cpu_time(clock: Clock) -> f64 {
    let time = clock_gettime(match clock {
        Clock::Thread => ClockId::ThreadCPUTime,
        Clock::Process => ClockId::ProcessCPUTime,
    });
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
