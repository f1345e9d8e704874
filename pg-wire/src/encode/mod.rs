//! The writers: count a message, write it into a buffer, print it as a line of trace.

pub(crate) mod append;
pub(crate) mod fill;
pub(crate) mod frames;
pub(crate) mod measure;
mod trace;

pub use frames::{Encode, Messages, VisitMessage};
