//! A check: its name, its place in PostgreSQL's manual, its preconditions and its function; and the outcome of a check.

use std::fmt;

use clap::ValueEnum;

use crate::target::Target;

/// One row of the table of checks.
#[derive(Debug)]
pub(crate) struct Check {
    /// The statement that the check verifies. The names of all checks differ.
    pub(crate) name: &'static str,
    /// The page and the anchor in PostgreSQL's manual.
    link: &'static str,
    /// Features of the server without which the check is not run.
    pub(crate) needs: &'static [Need],
    pub(crate) run: fn(&Target) -> Checked,
}

impl Check {
    pub(crate) const fn new(
        name: &'static str,
        link: &'static str,
        needs: &'static [Need],
        run: fn(&Target) -> Checked,
    ) -> Self {
        Self { name, link, needs, run }
    }

    /// The address of the paragraph in PostgreSQL's manual.
    pub(crate) fn url(&self) -> String {
        format!("https://www.postgresql.org/docs/current/{}", self.link)
    }
}

/// The checks of one part of the protocol.
#[derive(Debug)]
pub(crate) struct Area {
    pub(crate) title: &'static str,
    pub(crate) checks: &'static [Check],
}

/// A precondition of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A feature that the server has, unless its documentation says otherwise.
    Has(Feature),
    /// PostgreSQL of this major version or a newer version.
    Since(u32),
    /// PostgreSQL older than this major version.
    Before(u32),
    /// A server that admits the user of the connection string without TLS.
    Clear,
    /// A server that authenticates the user of the connection string by this method.
    Method(Method),
}

/// The SQL of PostgreSQL.
pub(crate) const SQL: Need = Need::Has(Feature::Sql);
/// SQL, and a session of the server that belongs to the client until the client disconnects.
pub(crate) const SESSION: Need = Need::Has(Feature::Session);
/// Prepared statements that last longer than a transaction.
pub(crate) const PREPARED: Need = Need::Has(Feature::Prepared);
/// The client's connection ends when the session of the server ends.
pub(crate) const DIRECT: Need = Need::Has(Feature::Direct);

/// Several connections at the same time.
pub(crate) const CONCURRENT: Need = Need::Has(Feature::Concurrent);

/// A feature that a server may lack according to its own documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Feature {
    /// The SQL of PostgreSQL
    Sql,
    /// A session of the server that belongs to the client from its login to its end. Transaction poolers lack this
    Session,
    /// Prepared statements that last longer than a transaction
    Prepared,
    /// A direct connection: no program between client and server keeps the connection of one side open after the other side has closed its
    /// connection
    Direct,
    /// Several connections at the same time. A server that lacks this closes a second connection, and is checked by one connection after
    /// the other
    Concurrent,
}

/// A method of authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Scram,
    /// Any method that needs a password.
    Password,
}

/// Reason why a check has not passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The server's behaviour differs from the manual.
    Failed(String),
    /// The server reports, or its documentation says, that it lacks the feature.
    NotSupported(String),
    /// A precondition of the check is not fulfilled.
    NotChecked(String),
}

/// Result of a check, or of a step of a check.
pub(crate) type Checked<T = ()> = Result<T, Problem>;

/// Returns a failure with this description.
pub(crate) fn failed<T>(description: impl fmt::Display) -> Checked<T> {
    Err(Problem::Failed(description.to_string()))
}

/// Fails with the description unless the condition is true.
pub(crate) fn ensure(condition: bool, description: impl FnOnce() -> String) -> Checked {
    if condition { Ok(()) } else { Err(Problem::Failed(description())) }
}
