//! Names of statements and portals.

/// The name of a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a>(pub &'a str);

/// The name of a portal.
///
/// If a statement is passed instead of a portal, the compiler reports an error:
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
    /// The unnamed statement. The next Parse without a name, or the next simple query, replaces the unnamed statement.
    pub const UNNAMED: Statement<'static> = Statement("");
}

impl Portal<'_> {
    /// The unnamed portal. The next Bind without a name, or the next simple query, replaces the unnamed portal.
    pub const UNNAMED: Portal<'static> = Portal("");
}
