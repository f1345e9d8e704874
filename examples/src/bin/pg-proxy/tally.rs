//! What there is to tell at the end.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that all connections share.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    connections: AtomicU64,
    decoded: AtomicU64,
    mismatches: AtomicU64,
    not_decoded: AtomicU64,
}

impl Tally {
    /// One more connection; returns its number, from 1.
    pub(crate) fn connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// This many more messages were decoded.
    pub(crate) fn decoded(&self, messages: u64) {
        self.decoded.fetch_add(messages, Ordering::Relaxed);
    }

    /// A message was not the same bytes once it was encoded again.
    pub(crate) fn mismatch(&self) {
        self.mismatches.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection is passed on as it is.
    pub(crate) fn not_decoded(&self) {
        self.not_decoded.fetch_add(1, Ordering::Relaxed);
    }

    /// How many messages were not the same.
    pub(crate) fn mismatches(&self) -> u64 {
        self.mismatches.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [connections, decoded, mismatches, not_decoded] =
            [&self.connections, &self.decoded, &self.mismatches, &self.not_decoded]
                .map(|counter| counter.load(Ordering::Relaxed));
        write!(
            f,
            "{connections} connections, {decoded} messages decoded, {mismatches} mismatches, \
             {not_decoded} connections not decoded"
        )
    }
}
