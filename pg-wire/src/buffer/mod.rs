//! The buffers of a connection, without I/O.

mod header;
pub(crate) mod inbox;
pub(crate) mod limits;
pub(crate) mod outbox;
pub(crate) mod run;
