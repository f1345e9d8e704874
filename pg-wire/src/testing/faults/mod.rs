//! Faults of a network or of a peer: a table of faults, and a transformer that adds the faults to the bytes of one direction.

mod end;
mod fault;
mod injector;
mod message;
mod random;
mod spec;
mod table;

pub use end::FaultyEnd;
pub use fault::{Fault, FaultKind};
pub use injector::{FaultInjector, FaultStep};
pub use spec::FaultTableError;
pub use table::FaultTable;
