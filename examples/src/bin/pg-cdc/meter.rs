//! Reports the progress on standard error. On a terminal, shows a progress bar. Otherwise prints a line every five seconds.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pg_stream_tokio::{Config, PgProtocol};
use pg_wire::replication::Lsn;

use crate::report::say;
use crate::session::Session;

/// Time between two updates of the progress bar.
const BAR: Duration = Duration::from_secs(1);

/// Time between two progress lines if standard error is not a terminal.
const LINE: Duration = Duration::from_secs(5);

/// Progress report: the confirmed position, the distance to the end of the WAL, and the number of changes per second.
#[derive(Debug)]
pub(crate) struct Meter {
    /// The progress bar; `None` if standard error is not a terminal or `quiet` is true.
    bar: Option<ProgressBar>,
    quiet: bool,
    /// The time of the last report, with the position and the number of changes that it showed.
    last: (Instant, Lsn, u64),
    /// The end of the WAL, which a task reads over a separate connection; 0 if the end is not known.
    end: Arc<AtomicU64>,
}

impl Meter {
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            match ProgressStyle::with_template("{spinner} {msg}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self { bar, quiet, last: (Instant::now(), Lsn::INVALID, 0), end: Arc::default() }
    }

    /// Starts a task that reads the end of the WAL on a separate connection. The replication stream does not show this position: the server
    /// sends nothing for WAL that it has not decoded yet, or that contains no published changes.
    pub(crate) fn watch(&self, config: &Config) {
        if self.quiet {
            return;
        }
        let (config, end) = (config.clone(), Arc::downgrade(&self.end));
        tokio::spawn(async move {
            loop {
                // After an error the task connects again, perhaps to another host.
                if let Ok(mut session) = Session::open(&config).await {
                    while let Ok(lsn) = session.end_of_wal().await {
                        match end.upgrade() {
                            Some(end) => end.store(lsn.0, Ordering::Relaxed),
                            None => return drop(session.conn.terminate().close().await),
                        }
                        tokio::time::sleep(BAR).await;
                    }
                }
                tokio::time::sleep(LINE).await;
            }
        });
    }

    /// Shows the progress if enough time has passed since the last report. `end` is the end of the WAL according to the replication stream.
    pub(crate) fn show(&mut self, confirmed: Lsn, end: Lsn, changes: u64, bytes: u64) {
        let (at, before, counted) = self.last;
        let pause = if self.bar.is_some() { BAR } else { LINE };
        if self.quiet
            || at.elapsed() < pause
            || self.bar.is_none() && before == confirmed && counted == changes
        {
            return;
        }
        let end = Lsn(self.end.load(Ordering::Relaxed)).max(end);
        let lag = end.bytes_since(confirmed).unwrap_or_default();
        // The conversion to a float may lose digits of a large number. The shown rate stays exact enough.
        let rate = (changes - counted) as f64 / at.elapsed().as_secs_f64();
        let text = format!(
            "{confirmed}, {lag} bytes behind, {} changes/s, {} changes, {}",
            HumanCount(rate as u64),
            HumanCount(changes),
            HumanBytes(bytes)
        );
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            None => say(format_args!("pg-cdc: {text}")),
        }
        self.last = (Instant::now(), confirmed, changes);
    }

    /// Prints a line. If there is a progress bar, the line appears above it.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("pg-cdc: {line}")),
            None => say(format_args!("pg-cdc: {line}")),
        }
    }

    /// Removes the progress bar from the terminal.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
