//! Receives Ctrl-C and SIGTERM: the first signal ends the task cleanly, the second signal ends the program at once.

use std::future::pending;
use std::io;
use std::process::exit;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::report::say;

/// A flag that is set when SIGINT or SIGTERM arrives. The program ends its work when the flag is set.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Begins to listen for signals. Precondition: the call is made in a Tokio runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (send, receive) = watch::channel(false);
        tokio::spawn(async move {
            for number in 0.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if number > 0 {
                    say("pg-receive: interrupted a second time");
                    exit(1);
                }
                send.send_replace(true);
            }
        });
        Ok(Self(receive))
    }

    /// Returns a `Stop` that does not listen for signals. Its flag is never set.
    pub(crate) fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether a signal has arrived.
    pub(crate) fn is_given(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until a signal has arrived.
    pub(crate) async fn given(&mut self) {
        if self.0.wait_for(|given| *given).await.is_err() {
            // The sender is dropped, so no signal can arrive.
            pending().await
        }
    }
}
