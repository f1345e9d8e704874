//! Receives SIGTERM and Ctrl-C. After the first signal, the program ends when the current transaction is complete. A second signal ends the
//! program at once.

use std::future::pending;

use crate::failure::Failure;

/// Receiver of the signals that end the program.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    signals: Option<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)>,
    stopping: bool,
}

impl Signals {
    /// Installs the signal handlers.
    pub(crate) fn new() -> Self {
        #[cfg(unix)]
        let signals = {
            use tokio::signal::unix::{SignalKind, signal};
            signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok())
        };
        Self {
            #[cfg(unix)]
            signals,
            stopping: false,
        }
    }

    /// Whether a signal that ends the program has arrived.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Waits for the next signal. Dropping the future loses no signal.
    ///
    /// # Errors
    /// Returns an error if this is the second signal.
    pub(crate) async fn next(&mut self) -> Result<(), Failure> {
        self.wait().await;
        if self.stopping {
            return Err(Failure::Interrupted("by a second signal"));
        }
        self.stopping = true;
        Ok(())
    }

    #[cfg(unix)]
    async fn wait(&mut self) {
        match &mut self.signals {
            Some((interrupt, terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            None => pending().await,
        }
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            pending().await
        }
    }
}
