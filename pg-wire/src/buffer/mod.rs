//! The buffers of a connection, without I/O.

mod backoff;
pub(crate) mod frames;
mod header;
pub(crate) mod inbox;
pub(crate) mod limits;
pub(crate) mod outbox;

pub use frames::{Frames, FramesIter};
pub use inbox::{Head, Inbox};
pub use limits::Limits;
pub use outbox::Outbox;
