//! A replication stream over a connection.

mod busy;
mod clock;
mod error;
mod finish;
mod next;
mod payload;
mod receive;
mod start;
mod whole;

pub use clock::Clock;
pub use error::{StartError, StreamError, StreamErrorKind};
pub use finish::Finished;
pub use payload::{Changes, Raw};
pub use start::StartCommand;
pub use whole::ReplicationStream;
