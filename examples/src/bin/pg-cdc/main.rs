//! Writes the committed changes of a PostgreSQL database to a file: one JSON object per line, each change exactly once.
//!
//! `cargo run -p examples --bin pg-cdc -- postgres://user:secret@localhost/mydb --publication p --slot s --create-slot --out changes.json`

mod arguments;
mod changes;
mod copy;
mod failure;
mod follow;
mod held;
mod line;
mod meter;
mod output;
mod print;
mod report;
mod session;
mod signals;
mod snapshot;
mod spill;
mod table;
mod value;

use std::path::{Path, PathBuf};
use std::process::exit;
use std::time::Duration;

use pg_wire::replication::Lsn;
use pg_wire::replication::command::Snapshot;

use arguments::{Task, Until};
use changes::Changes;
use failure::Failure;
use follow::Follow;
use held::Held;
use meter::Meter;
use output::{Output, Piece, Progress};
use session::Session;
use signals::Signals;
use snapshot::{answered, send};

/// Wait before the first attempt to connect again. Each later wait is twice as long as the wait before it, up to `LONGEST_WAIT`.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Longest wait between two attempts to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let task = arguments::task();
    let mut meter = Meter::new(task.quiet);
    let outcome = run(&task, &mut meter).await;
    meter.clear();
    let code = match outcome {
        Ok(()) => 0,
        Err(failure) => {
            report::say(format_args!("pg-cdc: {failure}"));
            failure.code()
        }
    };
    // `exit` ends the program even while a write of the output thread to standard output is blocked.
    exit(code)
}

async fn run(task: &Task, meter: &mut Meter) -> Result<(), Failure> {
    let signals = Signals::new();
    let (output, found) = Output::open(task.out.as_deref(), task.state.clone(), &task.slot, task.format)?;
    if task.temporary && found.length.is_some_and(|length| length > 0) {
        let reason =
            "--out is not empty, but a temporary slot cannot continue an earlier output: give a new file";
        return Err(Failure::Refused(reason.into()));
    }
    let mut program = Program::new(task, &output, found, signals, meter);
    match program.run().await {
        Ok(()) => output.finish(),
        // The output thread has ended early. Its error is the result of `finish`.
        Err(Failure::OutputEnded) => Err(output.finish().err().unwrap_or(Failure::OutputEnded)),
        Err(failure) => Err(failure),
    }
}

/// The state that the program keeps from one connection to the next.
struct Program<'a> {
    task: &'a Task,
    output: &'a Output,
    changes: Changes,
    signals: Signals,
    meter: &'a mut Meter,
    /// `system_identifier` of the server; empty before the first connection.
    system: String,
    /// Timeline of the server at the last connection; 0 before the first connection.
    timeline: u32,
    /// Whether the output contains a snapshot that has begun and has not ended.
    in_snapshot: bool,
    /// Whether this process has connected to the server at least once.
    has_connected: bool,
    wait: Duration,
}

impl<'a> Program<'a> {
    fn new(
        task: &'a Task,
        output: &'a Output,
        found: Progress,
        signals: Signals,
        meter: &'a mut Meter,
    ) -> Self {
        Self {
            task,
            output,
            changes: Changes::new(task.format),
            signals,
            meter,
            system: found.system,
            timeline: found.timeline,
            in_snapshot: found.in_snapshot,
            has_connected: false,
            wait: FIRST_WAIT,
        }
    }

    /// Connects and follows the changes. Connects again after a failure that may be temporary.
    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            let failure = match self.attempt().await {
                Err(failure) if self.may_retry(&failure) => failure,
                outcome => return outcome,
            };
            self.meter.say(&format!("{failure}; trying again in {:?}", self.wait));
            self.changes.forget();
            let settled = async {
                send(self.output, Piece::Forget).await?;
                answered(self.output, Piece::Settle).await?;
                tokio::time::sleep(self.wait).await;
                Ok::<_, Failure>(())
            };
            tokio::select! {
                biased;
                settled = settled => settled?,
                // No complete transaction is lost: the output thread makes all complete transactions durable before the program ends.
                stopped = self.signals.next() => return stopped,
            }
            self.wait = LONGEST_WAIT.min(self.wait * 2);
        }
    }

    fn may_retry(&self, failure: &Failure) -> bool {
        let is_lost = self.task.temporary && self.has_connected;
        !is_lost
            && !self.signals.is_stopping()
            && if self.has_connected { failure.is_temporary() } else { failure.is_not_yet() }
    }

    /// Connects once, and follows the changes on this connection.
    async fn attempt(&mut self) -> Result<(), Failure> {
        let task = self.task;
        let opened = async {
            let mut session = Session::connect(&task.config).await?;
            let system = session.identify().await?;
            Ok::<_, Failure>((session, system))
        };
        let (mut session, system) = tokio::select! {
            opened = opened => opened?,
            stopped = self.signals.next() => return stopped,
        };
        if !self.has_connected {
            self.has_connected = true;
            self.meter.watch(&task.config);
        }
        if !self.system.is_empty() && self.system != system.id {
            return Err(Failure::Refused(format!(
                "the server has system identifier {}, but the earlier changes are from the server with system identifier {}",
                system.id, self.system
            )));
        }
        let recorded = self.output.durable.borrow().lsn;
        if let Some(recorded) = recorded {
            let mut server = system.end;
            if self.timeline != 0 && self.timeline != system.timeline {
                let common = session.end_of_timeline(self.timeline, system.timeline).await?;
                server = server.min(common.unwrap_or(Lsn::INVALID));
            }
            if recorded > server {
                return Err(Failure::Behind { recorded, server });
            }
        }
        send(self.output, Piece::System(system.id.clone(), system.timeline)).await?;
        (self.system, self.timeline) = (system.id, system.timeline);
        session.load_types(&mut self.changes.types).await?;
        let recorded = self.prepare_slot(&mut session, recorded).await?;
        self.changes.until = match (self.changes.until, task.until) {
            (Some(until), _) | (None, Some(Until::Lsn(until))) => Some(until),
            (None, Some(Until::Now)) => Some(session.end_of_wal().await?),
            (None, None) => None,
        };
        let start = recorded.max(task.start).unwrap_or(Lsn::INVALID);
        let dir = spill_dir(task);
        let stream = session.start(task, start, &dir).await?;
        self.wait = FIRST_WAIT;
        let follow = Follow {
            stream,
            task,
            changes: &mut self.changes,
            output: self.output,
            signals: &mut self.signals,
            meter: self.meter,
            // Lines cannot be removed from standard output. So each transaction is held back until its end has arrived.
            held: task.out.is_none().then(|| Held::new(dir)),
            given: self.output.durable.borrow().lsn,
        };
        follow.run().await
    }

    /// Creates the slot if it does not exist, and writes the snapshot if `--snapshot` was given. Returns the position at which the stream
    /// has to start, or `None` if it has to start at the position of the slot.
    async fn prepare_slot(
        &mut self,
        session: &mut Session,
        recorded: Option<Lsn>,
    ) -> Result<Option<Lsn>, Failure> {
        let task = self.task;
        let mut exists = session.has_slot(&task.slot).await?;
        if self.in_snapshot {
            if !task.snapshot {
                let reason = "the last snapshot did not end: start again with --snapshot and --create-slot";
                return Err(Failure::Refused(reason.into()));
            }
            if exists {
                session.drop_slot(&task.slot).await?;
                exists = false;
            }
        }
        match (exists, recorded) {
            (true, Some(_)) => Ok(recorded),
            (true, None) if task.snapshot => Err(Failure::Refused(format!(
                "slot {} exists, but --snapshot needs a new slot: drop the slot, or give another name",
                task.slot
            ))),
            (true, None) => Ok(None),
            (false, Some(recorded)) => Err(Failure::Refused(format!(
                "slot {} does not exist, but the output is complete up to {recorded}: changes after this position may be lost. To accept \
                 this loss, start with new --out and --state files",
                task.slot
            ))),
            (false, None) if !task.create_slot => {
                Err(Failure::Refused(format!("slot {} does not exist: give --create-slot", task.slot)))
            }
            (false, None) if task.snapshot => {
                self.in_snapshot = true;
                let (types, output) = (&self.changes.types, self.output);
                let lsn = snapshot::take(session, task, types, output, &mut self.signals).await?;
                self.in_snapshot = false;
                Ok(Some(lsn))
            }
            (false, None) => session.create_slot(task, Snapshot::Nothing).await.map(Some),
        }
    }
}

/// Returns the directory for temporary files with unfinished transactions.
///
/// For an output file, this is the directory of the file: the disk of this directory must have space for the transactions in any case. For
/// standard output, it is the system's directory for temporary files.
fn spill_dir(task: &Task) -> PathBuf {
    match task.out.as_deref().map(Path::parent) {
        Some(Some(dir)) if !dir.as_os_str().is_empty() => dir.into(),
        Some(_) => ".".into(),
        None => std::env::temp_dir(),
    }
}
