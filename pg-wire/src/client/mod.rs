//! The client's messages as methods, on buffers and on connections.

pub(crate) mod builders;
pub(crate) mod names;
pub(crate) mod protocol;
pub(crate) mod target;

pub use builders::{BindBuilder, FnCallBuilder, ParseBuilder};
pub use names::{Portal, Statement};
pub use protocol::PgProtocol;
pub use target::PutMessage;
