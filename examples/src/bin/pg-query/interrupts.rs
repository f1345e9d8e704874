//! Handles Ctrl-C: the first Ctrl-C sends a cancel request, the second Ctrl-C ends the program.

use std::future::pending;

use pg_stream_tokio::{CancelTarget, Config};

use crate::report;

/// Error: the user has pressed Ctrl-C, and the program must end without waiting for the server.
#[derive(Debug)]
pub(crate) struct Interrupted;

/// Receives Ctrl-C, and stores the target of the cancel request that the first Ctrl-C sends.
#[derive(Debug)]
pub(crate) struct Interrupts {
    signals: Signals,
    /// The target of a cancel request. `None` before a statement runs, and after the first Ctrl-C.
    target: Option<(Config, CancelTarget)>,
    given_up: bool,
}

impl Interrupts {
    /// Starts to receive Ctrl-C.
    pub(crate) fn new() -> Self {
        Self { signals: Signals::new(), target: None, given_up: false }
    }

    /// Sets the target of the cancel request. Before this call, the first Ctrl-C ends the program. After this call, the first Ctrl-C sends
    /// the cancel request.
    pub(crate) fn can_cancel(&mut self, config: Config, target: CancelTarget) {
        self.target = Some((config, target));
    }

    /// Whether the user has pressed Ctrl-C.
    pub(crate) fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// Waits for Ctrl-C. At the first Ctrl-C, returns the target of the cancel request.
    ///
    /// # Errors
    /// Ctrl-C was pressed a second time, or no statement is running that could be cancelled.
    pub(crate) async fn heard(&mut self) -> Result<(Config, CancelTarget), Interrupted> {
        self.signals.next().await;
        self.given_up = true;
        self.target.take().ok_or(Interrupted)
    }
}

/// Prints on standard error that the program was interrupted. If the write would block, prints nothing. Returns the exit status.
pub(crate) fn give_up() -> i32 {
    report::say_if_possible("pg-query: interrupted\n");
    1
}

/// Receiver of the signal that Ctrl-C sends. It is `None` if the program cannot receive this signal, and `next` then waits forever.
#[derive(Debug)]
#[cfg(unix)]
struct Signals(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self(signal(SignalKind::interrupt()).ok())
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => signal.recv().await.unwrap_or(()),
            None => pending().await,
        }
    }
}

#[derive(Debug)]
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            pending().await
        }
    }
}
