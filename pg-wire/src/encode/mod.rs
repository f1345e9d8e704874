//! The writers: count a message, write it into a buffer, print it as a line of trace.

pub(crate) mod frames;
mod trace;
