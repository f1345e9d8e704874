//! The result of all checks against one server, as text or as a table in Markdown.

use std::fmt::Write as _;
use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use crate::arguments::{Arguments, Format};
use crate::check::{Check, Problem};
use crate::checks::AREAS;
use crate::deviations::{self, Deviation, Kind};
use crate::target::Target;

/// Number of checks that run at the same time against one server. With several threads, other checks run while a check waits.
const THREADS: usize = 6;

/// Time limit of a check with a known deviation. It is short, because the deviation may be that the server does not answer.
const IMPATIENCE: Duration = Duration::from_secs(3);

/// The outcome of one check, after a comparison with the known deviations of the server.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// The check failed, and the list of deviations has the reason.
    Deviates(&'static str),
    Failed(String),
    NotSupported(String),
    NotChecked(String),
}

impl Outcome {
    fn new(problem: Option<Problem>, known: Option<&Deviation>) -> Self {
        match (problem, known) {
            (Some(Problem::Failed(_)), Some(known)) => Self::Deviates(known.reason),
            (Some(Problem::Failed(reason)), None) => Self::Failed(reason),
            (None, Some(known)) if known.kind == Kind::ByTiming => Self::Passed,
            (_, Some(known)) => {
                Self::Failed(format!("no longer deviates: remove the entry \"{}\"", known.reason))
            }
            (None, None) => Self::Passed,
            (Some(Problem::NotSupported(reason)), None) => Self::NotSupported(reason),
            (Some(Problem::NotChecked(reason)), None) => Self::NotChecked(reason),
        }
    }

    /// The name of the outcome and the reason.
    fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Passed => ("passed", ""),
            Self::Deviates(reason) => ("deviates", reason),
            Self::Failed(reason) => ("FAILED", reason),
            Self::NotSupported(reason) => ("not supported", reason),
            Self::NotChecked(reason) => ("not checked", reason),
        }
    }
}

/// One line of a report.
#[derive(Debug)]
struct Row {
    area: &'static str,
    check: &'static Check,
    outcome: Outcome,
}

/// The outcomes of all selected checks against one server.
#[derive(Debug)]
pub(crate) struct Report {
    heading: String,
    rows: Vec<Row>,
    verbose: bool,
}

impl Report {
    /// Runs the selected checks. `known` is the name of the server in the list of deviations.
    pub(crate) fn of(arguments: &Arguments, target: &Target, known: Option<&str>) -> io::Result<Self> {
        let all = AREAS.iter().flat_map(|area| area.checks.iter().map(move |check| (area, check)));
        let selected: Vec<_> = all.filter(|(area, check)| arguments.selects(area, check)).collect();
        if selected.is_empty() {
            return Err(io::Error::other("no area and no name of a check contains the text of --only"));
        }
        let next = AtomicUsize::new(0);
        let work = || {
            let target = target.with_patience(arguments.patience())?;
            let impatient = target.with_patience(IMPATIENCE)?;
            let mut rows = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some((area, check)) = selected.get(place) else { return Ok(rows) };
                let known = known.and_then(|server| deviations::find(server, check.name));
                let is_run = known.is_none_or(|known| known.kind != Kind::NotRun);
                if is_run && !target.is_concurrent() {
                    target.reset().map_err(|problem| stopped(check, &problem))?;
                }
                let outcome = match known {
                    None => Outcome::new(target.run(check).err(), None),
                    Some(known) if known.kind == Kind::NotRun => Outcome::Deviates(known.reason),
                    Some(known) => Outcome::new(impatient.run(check).err(), Some(known)),
                };
                rows.push((place, Row { area: area.title, check, outcome }));
            }
        };
        let mut rows = thread::scope(|scope| {
            let threads = if target.is_concurrent() { THREADS } else { 1 };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let joined = threads.into_iter().map(ScopedJoinHandle::join);
            joined.map(|rows| rows.unwrap_or_else(|panic| resume_unwind(panic))).try_fold(
                Vec::new(),
                |mut all, rows: io::Result<Vec<_>>| {
                    all.extend(rows?);
                    io::Result::Ok(all)
                },
            )
        })?;
        rows.sort_unstable_by_key(|(place, _)| *place);
        let mut rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
        if let Some(reason) = known.and_then(deviations::disturbance) {
            for row in rows.iter_mut().filter(|row| matches!(row.outcome, Outcome::Failed(_))) {
                let known = known.and_then(|server| deviations::find(server, row.check.name));
                if known.is_none() && target.run(row.check).is_ok() {
                    row.outcome = Outcome::Deviates(reason);
                }
            }
        }
        let name = known.map(|name| format!("{name}: ")).unwrap_or_default();
        Ok(Self { heading: format!("{name}{}", target.description()), rows, verbose: arguments.verbose })
    }

    /// Whether no check failed.
    pub(crate) fn is_success(&self) -> bool {
        !self.rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)))
    }

    pub(crate) fn to_text(&self, format: Format) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = match format {
            Format::Text => self.lines(&mut text),
            Format::Markdown => self.markdown(&mut text),
        };
        text
    }

    fn lines(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "{}", self.heading)?;
        for Row { area, check, outcome } in &self.rows {
            if *outcome == Outcome::Passed && !self.verbose {
                continue;
            }
            let (word, reason) = outcome.words();
            writeln!(text, "  {word:<14} {area}: {}", check.name)?;
            if !reason.is_empty() {
                writeln!(text, "  {:<14}     {reason}", "")?;
            }
            if let Outcome::Failed(_) = outcome {
                writeln!(text, "  {:<14}     {}", "", check.url())?;
            }
        }
        writeln!(text, "  {}\n", self.summary())
    }

    fn markdown(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "## {}\n\n| area | check | outcome |\n| --- | --- | --- |", self.heading)?;
        for Row { area, check, outcome } in &self.rows {
            let (word, reason) = outcome.words();
            let colon = if reason.is_empty() { "" } else { ": " };
            let reason = reason.replace('|', "\\|").replace('\n', " ");
            writeln!(text, "| {area} | [{}]({}) | {word}{colon}{reason} |", check.name, check.url())?;
        }
        writeln!(text, "\n{}\n", self.summary())
    }

    fn summary(&self) -> String {
        let count = |word: &str| self.rows.iter().filter(|row| row.outcome.words().0 == word).count();
        format!(
            "{} checks: {} passed, {} failed, {} known deviations, {} not supported, {} not checked",
            self.rows.len(),
            count("passed"),
            count("FAILED"),
            count("deviates"),
            count("not supported"),
            count("not checked")
        )
    }
}

/// Returns the error for a server that allows only one connection and could not be reset. Without the reset, no further check can be run.
fn stopped(next: &Check, problem: &Problem) -> io::Error {
    let (Problem::Failed(reason) | Problem::NotSupported(reason) | Problem::NotChecked(reason)) = problem;
    io::Error::other(format!("an earlier check has stopped the server before \"{}\": {reason}", next.name))
}

#[cfg(test)]
mod tests {
    use super::Outcome;
    use crate::check::Problem;
    use crate::deviations::{Deviation, Kind};

    const KNOWN: Deviation = Deviation { servers: &["s"], reason: "why", kind: Kind::Always, checks: &["c"] };

    #[test]
    fn a_known_deviation_is_no_failure() {
        let problem = || Some(Problem::Failed("x".into()));
        assert_eq!(Outcome::new(problem(), Some(&KNOWN)), Outcome::Deviates("why"));
        assert_eq!(Outcome::new(problem(), None), Outcome::Failed("x".into()));
    }

    #[test]
    fn a_deviation_by_timing_may_pass() {
        let known = Deviation { kind: Kind::ByTiming, ..KNOWN };
        assert_eq!(Outcome::new(None, Some(&known)), Outcome::Passed);
    }

    #[test]
    fn a_deviation_that_has_disappeared_is_a_failure() {
        for problem in [None, Some(Problem::NotSupported("x".into())), Some(Problem::NotChecked("x".into()))]
        {
            assert!(matches!(Outcome::new(problem, Some(&KNOWN)), Outcome::Failed(_)));
        }
    }
}
