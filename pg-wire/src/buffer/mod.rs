//! The buffers of a connection, without I/O.

mod header;
pub(crate) mod inbox;
pub(crate) mod limits;
pub(crate) mod outbox;
pub(crate) mod run;

pub use inbox::{Head, Inbox};
pub use limits::Limits;
pub use outbox::Outbox;
pub use run::{Frames, Run};
