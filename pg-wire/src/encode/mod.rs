//! The writers: they count the bytes of a message, write the message into a buffer, or print the message as a trace line.

pub(crate) mod append;
pub(crate) mod fill;
pub(crate) mod measure;
pub(crate) mod messages;
mod trace;

pub use messages::{Encode, Messages, VisitMessage};
