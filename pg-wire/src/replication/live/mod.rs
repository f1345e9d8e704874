//! A replication stream over a connection.

mod clock;
mod core;
mod error;
mod finish;
mod halves;
mod payload;
mod receive;
mod send;
mod start;
mod whole;

pub use clock::Clock;
pub use error::{StartError, StreamError, StreamErrorKind};
pub use finish::Finished;
pub use halves::{FinishedReader, StatusHandle, StatusSender, StreamReader};
pub use payload::{Changes, Payload, Raw};
pub use start::StartCommand;
pub use whole::ReplicationStream;
