//! A hint for the optimiser.

/// Marks the branch that calls it as rarely taken: the compiler moves the branch out of line and does not merge its
/// condition with the next one. Compiles to nothing else that runs on the fast path.
#[cold]
#[inline(never)]
pub(crate) fn cold_path() {}
