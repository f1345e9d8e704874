//! Taking turns, and what is made of the times.

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};

use crate::alloc;
use crate::line::{Clock, Contender, Line, Target, Who};

/// How much is done to find out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Ratios taken; their median and their ends are shown.
    samples: usize,
    /// Turns of each contender in a sample; the median of them counts.
    turns: usize,
    /// Ratios taken of a line whose rounds are long: one turn each.
    long_samples: usize,
    /// Processes that share the samples of a line without a network.
    pub(crate) processes: usize,
}

impl Effort {
    /// For `--quick`.
    pub(crate) const QUICK: Self = Self { samples: 9, turns: 5, long_samples: 3, processes: 3 };
    /// Otherwise.
    pub(crate) const FULL: Self = Self { samples: 33, turns: 9, long_samples: 7, processes: 11 };

    /// The part of one process.
    pub(crate) fn of_one_process(self) -> Self {
        Self { samples: self.samples / self.processes, ..self }
    }
}

/// The middle of some numbers, and both ends.
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

/// What was found out about one contender.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) who: Who,
    /// CPU time of an operation in nanoseconds, one number a sample.
    pub(crate) times: Vec<f64>,
    /// Allocations an operation, once warm.
    pub(crate) allocations: f64,
    /// Instructions an operation, where they were counted.
    pub(crate) instructions: Option<f64>,
}

/// What was found out about a line.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) operations: u64,
    pub(crate) target: Target,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Measured {
    /// What was found out about one of the contenders.
    pub(crate) fn of(&self, who: Who) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.who == who)
    }

    /// How many times what `below` takes `above` takes, sample by sample.
    pub(crate) fn ratio(above: &Outcome, below: &Outcome) -> Spread {
        Spread::of(above.times.iter().zip(&below.times).map(|(above, below)| above / below).collect())
    }

    /// The peer that takes least, or the one that the target names.
    pub(crate) fn best_peer(&self) -> Option<&Outcome> {
        if let Some(rival) = self.target.rival {
            return self.of(Who::Peer(rival));
        }
        let peers = self.outcomes.iter().filter(|outcome| matches!(outcome.who, Who::Peer(_)));
        peers.min_by(|one, other| one.median().total_cmp(&other.median()))
    }
}

impl Outcome {
    /// The middle of the times.
    pub(crate) fn median(&self) -> f64 {
        Spread::of(self.times.clone()).median
    }
}

/// Lets the contenders of a line take turns.
///
/// Times are CPU times: others may use the machine.
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
        // Warm by now, if it is ever to be.
        let (sum, allocations) = alloc::count(&mut round);
        let sum = sum.with_context(failed)?;
        let expected = *answer.get_or_insert(sum);
        ensure!(sum == expected, "{name}: {} finds {sum}, not {expected}", who.name());
        let allocations = allocations as f64 / operations as f64;
        outcomes.push(Outcome { who, times: Vec::new(), allocations, instructions: None });
        let meter = meter.unwrap_or_else(|| Box::new(move || cpu_time(clock)));
        rounds.push((round, meter));
    }
    for sample in 0..samples {
        let mut turns = vec![Vec::with_capacity(turns_each); rounds.len()];
        for turn in 0..turns_each {
            for index in 0..rounds.len() {
                // Nobody always runs behind the same neighbour.
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

/// CPU time so far, in nanoseconds.
pub(crate) fn cpu_time(clock: Clock) -> f64 {
    let time = clock_gettime(match clock {
        Clock::Thread => ClockId::ThreadCPUTime,
        Clock::Process => ClockId::ProcessCPUTime,
    });
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
