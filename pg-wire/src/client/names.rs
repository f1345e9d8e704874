//! Names of statements and portals.

/// A prepared statement, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a>(pub &'a str);

/// A portal, by its name.
///
/// A statement is rejected where a portal is expected:
///
/// ```compile_fail,E0308
/// # use pg_wire::{Outbox, PgProtocol, Statement};
/// # let mut out = Outbox::new(1024);
/// out.execute(Statement("s"), 0);
/// ```
///
/// ```
/// # use pg_wire::{Outbox, PgProtocol, Portal};
/// # let mut out = Outbox::new(1024);
/// out.execute(Portal("p"), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portal<'a>(pub &'a str);

impl Statement<'_> {
    /// The unnamed statement, which the next Parse without a name, or a simple query, replaces.
    pub const UNNAMED: Statement<'static> = Statement("");
}

impl Portal<'_> {
    /// The unnamed portal, which the next Bind without a name, or a simple query, replaces.
    pub const UNNAMED: Portal<'static> = Portal("");
}
