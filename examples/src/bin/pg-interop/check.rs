//! A check: its name, its place in PostgreSQL's manual, its preconditions and its function; and the outcome of a check.

use std::fmt;

use clap::ValueEnum;

use crate::target::Target;

/// A check: a row of the table of checks.
#[derive(Debug)]
pub(crate) struct Check {
    /// The rule that the check verifies, as a sentence. No two checks have the same name.
    pub(crate) name: &'static str,
    /// The page of PostgreSQL's manual that states the rule, with an anchor.
    link: &'static str,
    /// Features that the server must have. Without them, the check is not run.
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

    /// The address of the page in PostgreSQL's manual that states the rule.
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
    /// A server that does not require TLS from the user that the connection string names.
    Clear,
    /// A server that uses this authentication method for the user that the connection string names.
    Method(Method),
}

/// The server must understand PostgreSQL's SQL.
pub(crate) const SQL: Need = Need::Has(Feature::Sql);
/// The server must understand SQL, and its session must belong to one client until this client disconnects.
pub(crate) const SESSION: Need = Need::Has(Feature::Session);
/// A prepared statement must remain after the end of a transaction.
pub(crate) const PREPARED: Need = Need::Has(Feature::Prepared);
/// The client's connection must end when the session of the server ends.
pub(crate) const DIRECT: Need = Need::Has(Feature::Direct);

/// The server must accept several connections at the same time.
pub(crate) const CONCURRENT: Need = Need::Has(Feature::Concurrent);

/// A feature that a server may lack according to its own documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Feature {
    /// The SQL of PostgreSQL
    Sql,
    /// A session of the server that belongs to one client, from the login to the end of the session. Transaction poolers lack this
    Session,
    /// Prepared statements that last longer than a transaction
    Prepared,
    /// A direct connection: when one side closes its connection, the connection of the other side ends too
    Direct,
    /// Several connections at the same time. A server that lacks this closes a second connection. With such a server, pg-interop opens one
    /// connection after the other
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
    /// The server lacks a feature that the check needs. The server reports the lack, or its documentation mentions it.
    NotSupported(String),
    /// A precondition of the check is not met, for example the user of the connection string has no password.
    NotChecked(String),
}

/// Result of a check, or of a step of a check.
pub(crate) type Checked<T = ()> = Result<T, Problem>;

/// Returns [`Problem::Failed`] with this description.
pub(crate) fn failed<T>(description: impl fmt::Display) -> Checked<T> {
    Err(Problem::Failed(description.to_string()))
}

/// Returns [`Problem::Failed`] with this description if the condition is false.
pub(crate) fn ensure(condition: bool, description: impl FnOnce() -> String) -> Checked {
    if condition { Ok(()) } else { Err(Problem::Failed(description())) }
}
