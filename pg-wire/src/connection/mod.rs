//! A connection: sends and receives messages over any byte stream that can be polled.

mod channel;
mod copy_end;
mod copy_in;
mod copy_out;
pub(crate) mod error;
pub(crate) mod halves;
mod receiving;
mod send_copy_data;
mod sending;
pub(crate) mod stream;
mod tracked;
mod until_ready;
mod whole;

pub use copy_end::CopyComplete;
pub use copy_in::CopyIn;
pub use copy_out::CopyOut;
pub use error::{Error, Fault};
pub use halves::{ReadHalf, WriteHalf};
pub use stream::{Sink, Source, Split, Transport};
pub use tracked::TrackedConnection;
pub use whole::Connection;
