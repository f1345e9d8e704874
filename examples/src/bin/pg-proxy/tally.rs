//! Counters for the summary that the proxy prints at its end.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that all connections share.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    connections: AtomicU64,
    decoded: AtomicU64,
    malformed: AtomicU64,
    mismatches: AtomicU64,
    not_decoded: AtomicU64,
    unexplained: AtomicU64,
}

impl Tally {
    /// Counts a connection and returns its number, from 1.
    pub(crate) fn connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts messages that were decoded.
    pub(crate) fn decoded(&self, messages: u64) {
        self.decoded.fetch_add(messages, Ordering::Relaxed);
    }

    /// Counts a message that could not be decoded. The proxy passes such a message on unchanged.
    pub(crate) fn malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a message whose bytes changed when it was encoded again.
    pub(crate) fn mismatch(&self) {
        self.mismatches.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection whose session is passed on without decoding.
    pub(crate) fn not_decoded(&self) {
        self.not_decoded.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a session with a message that `SessionState` does not expect. `SessionState` is the model of a session in `pg-wire`.
    pub(crate) fn unexplained(&self) {
        self.unexplained.fetch_add(1, Ordering::Relaxed);
    }

    /// Number of failed checks: messages whose bytes changed when they were encoded again, plus sessions with an unexpected message.
    pub(crate) fn failures(&self) -> u64 {
        self.mismatches.load(Ordering::Relaxed) + self.unexplained.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [connections, decoded, malformed, mismatches, not_decoded, unexplained] = [
            &self.connections,
            &self.decoded,
            &self.malformed,
            &self.mismatches,
            &self.not_decoded,
            &self.unexplained,
        ]
        .map(|counter| counter.load(Ordering::Relaxed));
        write!(
            f,
            "{connections} connections, {decoded} messages decoded, {malformed} malformed, {mismatches} mismatches, \
             {not_decoded} connections not decoded, {unexplained} unexplained sessions"
        )
    }
}
