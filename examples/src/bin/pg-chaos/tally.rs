//! Counters for the report.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::Result;

/// Counters that all threads share.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Transactions whose commit was acknowledged.
    pub(crate) acknowledged: Count,
    /// Transactions whose commit was not acknowledged, and that a later look-up found in the database.
    pub(crate) found: Count,
    /// Transactions whose commit was not acknowledged, and that a later look-up did not find in the database. The client repeats these
    /// transactions.
    pub(crate) missing: Count,
    pub(crate) connections: Count,
    /// Operations that reached the client's time limit because of an injected stall. Only operations behind a proxy with stalls are
    /// counted: elsewhere, the time limit is a failure.
    pub(crate) timeouts: Count,
    pub(crate) terminated: Count,
    pub(crate) killed_proxies: Count,
    pub(crate) fast_restarts: Count,
    pub(crate) immediate_restarts: Count,
    /// Number of injected faults of each kind.
    faults: Mutex<BTreeMap<String, u64>>,
}

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tally {
    /// Counts an injected fault by its kind. `text` is the fault as the proxy prints it: for `server:message#3:delay 5ms`, the kind is
    /// `delay`.
    pub(crate) fn fault(&self, text: &str) {
        let action = text.rsplit(':').next().unwrap_or_default();
        let kind = action.split([' ', '@']).next().unwrap_or_default().to_owned();
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// Checks that at least one transaction was acknowledged and at least one fault was injected.
    pub(crate) fn check(&self) -> Result<()> {
        let faults: u64 = self.faults.lock().unwrap_or_else(PoisonError::into_inner).values().sum();
        match (self.acknowledged.get(), faults) {
            (0, _) => Err("no transaction was acknowledged".into()),
            (_, 0) => Err("no fault was injected".into()),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, found, missing, connections, timeouts, .. } = self;
        let Self { terminated, killed_proxies, fast_restarts, immediate_restarts, .. } = self;
        writeln!(
            f,
            "transactions: {acknowledged} acknowledged; without an answer: {found} found, {missing} repeated"
        )?;
        writeln!(
            f,
            "connections: {connections}, operations that reached a time limit because of a stall: {timeouts}"
        )?;
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let faults: Vec<String> = faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        writeln!(f, "faults: {}", faults.join(", "))?;
        write!(
            f,
            "restarts: {fast_restarts} fast, {immediate_restarts} immediate; {terminated} sessions terminated, \
             {killed_proxies} proxies killed"
        )
    }
}
