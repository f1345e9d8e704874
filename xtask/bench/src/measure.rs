//! Taking turns, and what is made of the times.

use anyhow::{Result, ensure};
use rustix::time::{ClockId, clock_gettime};

use crate::alloc;
use crate::line::{Line, Target, Who};

/// How much is done to find out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Ratios taken; their median and their ends are shown.
    samples: usize,
    /// Turns of each contender in a sample; the median of them counts.
    turns: usize,
}

impl Effort {
    /// For `--quick`.
    pub(crate) const QUICK: Self = Self { samples: 9, turns: 5 };
    /// Otherwise.
    pub(crate) const FULL: Self = Self { samples: 31, turns: 9 };
}

/// The middle of some numbers, and both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    fn of(mut numbers: Vec<f64>) -> Self {
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

    /// The peer that takes least.
    pub(crate) fn best_peer(&self) -> Option<&Outcome> {
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
/// Times are the thread's own CPU time: others may use the machine.
pub(crate) fn measure(line: &mut Line, effort: Effort) -> Result<Measured> {
    let Line { name, unit, operations, target, contenders } = line;
    let mut outcomes = Vec::new();
    let mut answer = None;
    for contender in contenders.iter_mut() {
        // The first round warms up, the second says what is allocated from then on.
        (contender.round)()?;
        let (sum, allocations) = alloc::count(|| (contender.round)());
        let sum = sum?;
        let expected = *answer.get_or_insert(sum);
        ensure!(sum == expected, "{name}: {} finds {sum}, not {expected}", contender.who.name());
        outcomes.push(Outcome {
            who: contender.who,
            times: Vec::new(),
            allocations: allocations as f64 / *operations as f64,
            instructions: None,
        });
    }
    for sample in 0..effort.samples {
        let mut turns = vec![Vec::with_capacity(effort.turns); contenders.len()];
        for turn in 0..effort.turns {
            for index in 0..contenders.len() {
                // Nobody always runs behind the same neighbour.
                let index = (index + sample + turn) % contenders.len();
                let before = thread_time();
                std::hint::black_box((contenders[index].round)()?);
                turns[index].push((thread_time() - before) / *operations as f64);
            }
        }
        for (outcome, turns) in outcomes.iter_mut().zip(turns) {
            outcome.times.push(Spread::of(turns).median);
        }
    }
    Ok(Measured { name: name.clone(), unit, operations: *operations, target: *target, outcomes })
}

/// CPU time of this thread, in nanoseconds.
fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
