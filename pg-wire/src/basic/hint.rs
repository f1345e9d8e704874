//! A hint for the optimiser.

/// Marks the branch that calls this function as rarely taken: the compiler moves the branch out of line, and does not merge
/// the condition of the branch with the next condition. Adds no instruction to the fast path.
#[cold]
#[inline(never)]
pub(crate) fn cold_path() {}
