//! The client's messages as methods.

pub(crate) mod protocol;
