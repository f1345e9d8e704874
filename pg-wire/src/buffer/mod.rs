//! The buffers of a connection, without I/O.

pub(crate) mod inbox;
pub(crate) mod limits;
pub(crate) mod outbox;
pub(crate) mod run;
