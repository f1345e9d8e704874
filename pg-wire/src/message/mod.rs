//! The messages of both directions.

pub mod backend;
pub(crate) mod copy;
pub mod frontend;
pub(crate) mod table;
