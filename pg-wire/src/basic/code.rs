//! The code of a message, and its size class.

use core::fmt;

/// Code of a message: its first byte, which the manual calls the message-type byte.
///
/// Some bytes are codes in both directions (`S` is Sync from a client and ParameterStatus from a server). So a code has a meaning only
/// together with its direction. For each message, this type has a constant with the code of the message. A frame can be forwarded even if
/// its code is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MessageCode(pub u8);

impl fmt::Debug for MessageCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.escape_ascii())
    }
}

/// Size class of a message. [`Limits`](crate::Limits) has one limit for each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A message with rows, data, SQL, parameters, descriptions or error texts. When a message exceeds the limit of this class, the inbox
    /// skips the message, and the next message can be read.
    Bulk,
    /// A message that belongs to no other size class.
    Control,
    /// A client's response to an authentication request.
    Authentication,
}
