//! The writers: count a message, write it into a buffer, print it as a line of trace.

pub(crate) mod append;
pub(crate) mod fill;
pub(crate) mod measure;
pub(crate) mod messages;
mod trace;

pub use messages::{Encode, Messages, VisitMessage};
