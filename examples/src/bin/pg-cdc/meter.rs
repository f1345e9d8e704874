//! The progress on standard error: a bar on a terminal, else a line from time to time.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pg_stream_tokio::{Config, PgProtocol};
use pg_wire::replication::Lsn;

use crate::report::say;
use crate::session::Session;

/// Time between two texts of the bar.
const BAR: Duration = Duration::from_secs(1);

/// Time between two lines where standard error is not a terminal.
const LINE: Duration = Duration::from_secs(10);

/// Shows the position, the distance to the end of the WAL, and the changes in a second.
#[derive(Debug)]
pub(crate) struct Meter {
    /// `None` where standard error is not a terminal.
    bar: Option<ProgressBar>,
    quiet: bool,
    /// Time, position and number of changes of the last text.
    last: (Instant, Lsn, u64),
    /// The end of the WAL as an ordinary session sees it; 0 if there is none.
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

    /// Starts to ask for the end of the WAL on a session of its own: the stream does not show WAL without published changes, nor WAL that the
    /// server has not decoded yet.
    pub(crate) fn watch(&self, config: &Config) {
        if self.quiet {
            return;
        }
        let (config, end) = (config.clone(), Arc::downgrade(&self.end));
        tokio::spawn(async move {
            loop {
                // An error ends the session; the next one may be with another host.
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

    /// Shows the progress if it is time. `end` is the end of the WAL as far as the stream shows it.
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
        // A float is exact enough for a rate.
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

    /// Prints a line, above the bar if there is one.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("pg-cdc: {line}")),
            None => say(format_args!("pg-cdc: {line}")),
        }
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
