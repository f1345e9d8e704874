//! What is compared with what.

use anyhow::Result;

/// Who does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The hand-written loop.
    Limit,
    /// pg-wire.
    Ours,
    /// A peer, by its name.
    Peer(&'static str),
}

impl Who {
    /// The name in a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Ours => "pg-wire",
            Self::Peer(name) => name,
        }
    }
}

/// Does one round of the work, and says what came of it: the same number for all contenders of a line.
pub(crate) type Round = Box<dyn FnMut() -> Result<u64>>;

/// Tells CPU time so far, in nanoseconds.
pub(crate) type Meter = Box<dyn Fn() -> f64>;

/// One way to do the work of a line.
pub(crate) struct Contender {
    /// Whose way it is.
    pub(crate) who: Who,
    /// Makes ready: connects, and takes the memory that is needed. Where it is not our own CPU time that counts, the second one
    /// tells it.
    pub(crate) prepare: Box<dyn FnOnce() -> Result<(Round, Option<Meter>)>>,
}

/// What a line has to keep to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target {
    /// Ours takes at most this many times what the limit takes.
    pub(crate) limit: Option<f64>,
    /// The best peer takes at least this many times what ours takes.
    pub(crate) peer: Option<f64>,
    /// This peer instead of the best one.
    pub(crate) rival: Option<&'static str>,
}

impl Target {
    /// Against the limit and against the best peer.
    pub(crate) fn new(limit: f64, peer: f64) -> Self {
        Self { limit: Some(limit), peer: Some(peer), rival: None }
    }

    /// Against the limit alone: no peer has it, or none is promised to be beaten.
    pub(crate) fn limit(limit: f64) -> Self {
        Self { limit: Some(limit), peer: None, rival: None }
    }

    /// The same, but against this peer.
    pub(crate) fn rival(self, rival: &'static str) -> Self {
        Self { rival: Some(rival), ..self }
    }
}

/// Whose CPU time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// That of the thread which does the work. What the other end takes, if it is a thread of ours, is not counted.
    Thread,
    /// That of the whole process: some of the work is done on other threads.
    Process,
}

/// One kind of work, and who does it.
pub(crate) struct Line {
    /// What is done, as `micro: decode …`.
    pub(crate) name: String,
    /// What one operation is.
    pub(crate) unit: &'static str,
    /// Operations in a round.
    pub(crate) operations: u64,
    /// What is promised.
    pub(crate) target: Target,
    /// What is measured.
    pub(crate) clock: Clock,
    /// Whether a round is so long that one turn is enough for a sample, and so that no second one is needed to warm up.
    pub(crate) long: bool,
    /// Who does it.
    pub(crate) contenders: Vec<Contender>,
}

impl Line {
    /// A line of short rounds, without contenders.
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

    /// The same with rounds of a second or so.
    pub(crate) fn long(self) -> Self {
        Self { long: true, ..self }
    }

    /// The same by another clock.
    pub(crate) fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Adds a contender that is ready.
    pub(crate) fn with(self, who: Who, round: impl FnMut() -> Result<u64> + 'static) -> Self {
        self.prepared(who, || Ok(Box::new(round)))
    }

    /// Adds a contender that has to make ready.
    pub(crate) fn prepared(mut self, who: Who, prepare: impl FnOnce() -> Result<Round> + 'static) -> Self {
        let prepare = Box::new(|| Ok((prepare()?, None)));
        self.contenders.push(Contender { who, prepare });
        self
    }

    /// Adds a contender whose work is done by another process.
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
