//! A measurement, which is one line of the report: one kind of work, and the implementations of this work.

use anyhow::Result;

/// The kind of implementation that does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// A loop that is written by hand for exactly the bytes of the measurement. Its time is the limit for the other implementations.
    Limit,
    /// The crates of this project.
    Ours,
    /// A library that is not part of this project. The string is the library's name.
    Peer(&'static str),
}

impl Who {
    /// The name of the implementation in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Ours => "pg-wire",
            Self::Peer(name) => name,
        }
    }
}

/// A closure that does one round of a measurement's work, and returns a sum over the data. The sum must be equal for all implementations
/// of the work.
pub(crate) type Round = Box<dyn FnMut() -> Result<u64>>;

/// A closure that returns the CPU time used so far, in nanoseconds.
pub(crate) type Meter = Box<dyn Fn() -> f64>;

/// A contender: one implementation of the work of a measurement.
pub(crate) struct Contender {
    /// The kind and the name of the implementation.
    pub(crate) who: Who,
    /// A closure that prepares the work, for example connects and allocates buffers. The closure returns a [`Round`]. If another process
    /// does the work, the closure also returns a [`Meter`] for the CPU time of that process.
    pub(crate) prepare: Box<dyn FnOnce() -> Result<(Round, Option<Meter>)>>,
}

/// The ratios that a measurement must meet: ratios of CPU times and of instructions. `limit`, `peer` and `instructions` require nothing if
/// they are `None`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target {
    /// The highest allowed ratio of our time to the time of the limit (the hand-written loop).
    pub(crate) limit: Option<f64>,
    /// The lowest allowed ratio of a peer's time to our time. A peer is another library; `rival` selects the peer.
    pub(crate) peer: Option<f64>,
    /// The name of the library whose time `peer` compares with our time. `None` means the fastest library.
    pub(crate) rival: Option<&'static str>,
    /// The highest allowed ratio of our number of instructions to the number of the hand-written loop. `--gate` checks this ratio.
    pub(crate) instructions: Option<f64>,
}

impl Target {
    /// Creates a target. `limit` is the highest allowed ratio of our time to the hand-written loop's time. `peer` is the lowest allowed
    /// ratio of the fastest peer's time to our time.
    pub(crate) fn new(limit: f64, peer: f64) -> Self {
        Self { limit: Some(limit), peer: Some(peer), ..Self::default() }
    }

    /// Creates a target without a ratio to the peers. `limit` is the highest allowed ratio of our time to the hand-written loop's time.
    pub(crate) fn limit(limit: f64) -> Self {
        Self { limit: Some(limit), ..Self::default() }
    }

    /// Sets the highest allowed ratio between our number of instructions and the hand-written loop's number.
    pub(crate) fn instructions(self, most: f64) -> Self {
        Self { instructions: Some(most), ..self }
    }

    /// Compares our time with the time of the peer `rival`, not with the time of the fastest peer.
    pub(crate) fn rival(self, rival: &'static str) -> Self {
        Self { rival: Some(rival), ..self }
    }
}

/// Selects which CPU time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The time of the thread that does the work. The time of a server on another thread is not included.
    Thread,
    /// The time of the whole process, for work that is partly done on other threads.
    Process,
}

/// A measurement: one kind of work, and the implementations of the work.
pub(crate) struct Line {
    /// The name of the work, such as `micro: decode …`.
    pub(crate) name: String,
    /// The name of one operation, such as `row`.
    pub(crate) unit: &'static str,
    /// The number of operations in a round.
    pub(crate) operations: u64,
    /// The ratios that this measurement must meet.
    pub(crate) target: Target,
    /// Selects which CPU time is measured: the thread's or the process's.
    pub(crate) clock: Clock,
    /// Whether a round takes about a second. If so, each implementation does only one round per sample and one round to warm up.
    pub(crate) long: bool,
    /// The compared implementations of this measurement.
    pub(crate) contenders: Vec<Contender>,
}

impl Line {
    /// Creates a measurement with short rounds. The compared implementations are added later.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, operations: u64, target: Target) -> Self {
        Self {
            name: name.into(),
            unit,
            operations,
            target,
            clock: Clock::Thread,
            long: false,
            contenders: Vec::new(),
        }
    }

    /// Marks the rounds as long: each round takes about a second.
    pub(crate) fn long(self) -> Self {
        Self { long: true, ..self }
    }

    /// Selects which CPU time is measured: the thread's or the process's.
    pub(crate) fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Adds an implementation of the work that needs no preparation.
    pub(crate) fn with(self, who: Who, round: impl FnMut() -> Result<u64> + 'static) -> Self {
        self.prepared(who, || Ok(Box::new(round)))
    }

    /// Adds an implementation of the work that `prepare` has to prepare, for example by connecting.
    pub(crate) fn prepared(mut self, who: Who, prepare: impl FnOnce() -> Result<Round> + 'static) -> Self {
        let prepare = Box::new(|| Ok((prepare()?, None)));
        self.contenders.push(Contender { who, prepare });
        self
    }

    /// Adds an implementation of the work with its own meter, because another process does the work.
    pub(crate) fn metered(
        mut self,
        who: Who,
        prepare: impl FnOnce() -> Result<(Round, Meter)> + 'static,
    ) -> Self {
        let prepare = Box::new(|| prepare().map(|(round, meter)| (round, Some(meter))));
        self.contenders.push(Contender { who, prepare });
        self
    }
}
