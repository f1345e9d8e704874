//! Message bodies and their fields: the reader, the trait of all writers, and the types of fields.

pub(crate) mod field;
pub(crate) mod frame;
pub(crate) mod list;
pub(crate) mod message;
pub(crate) mod params;
pub(crate) mod reader;
pub(crate) mod unread;
pub(crate) mod values;
pub(crate) mod writer;

pub use field::{Field, Payload, Secret, SecretText};
pub use frame::{Frame, FrameBuf};
pub use list::{Count, Entry, Iter, List, Terminated};
pub use message::{Decode, Direction, Message, Trace};
pub use params::{EncodedParams, ParamList};
pub use reader::Reader;
pub use values::{Values, ValuesIter};
pub use writer::Writer;
