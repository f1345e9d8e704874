//! How much a peer may make us hold.

use crate::basic::code::{MessageCode, Size};
use crate::codec::message::Direction;
use crate::message::backend::Backend;
use crate::message::frontend::Frontend;

/// Bounds on what a peer can make a connection hold; each a knob with a default.
///
/// A length is judged from the five bytes of its header, before anything is reserved for it, and memory then grows
/// with the bytes that arrive and not with what they promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest body, in bytes, of a message that carries rows, data, SQL, parameters, descriptions or error texts.
    ///
    /// Default 1,073,741,823 (`0x3fffffff`) for what a server sends: PostgreSQL never sends more. For what a client sends
    /// 1,073,741,818: PostgreSQL accepts 1,073,741,822 bytes with the length field.
    pub bulk: usize,
    /// Longest body, in bytes, of every other message but the one of [`authentication`](Self::authentication).
    ///
    /// Default 65,536 for what a server sends. For what a client sends 9,996: Sync, Flush, Close, Describe, Execute, CopyDone,
    /// CopyFail and Terminate, for which PostgreSQL's own limit is 10,000 bytes with the length field.
    pub control: usize,
    /// Longest body, in bytes, of a client's response to an authentication request. A server sends no such message.
    ///
    /// Default 65,531: PostgreSQL accepts 65,535 bytes with the length field, because GSSAPI tokens are that long.
    pub authentication: usize,
    /// How many bytes [`flush`](crate::Connection::flush) will take in while the peer does not take ours, before it
    /// gives up with [`InboxFull`](crate::Error::InboxFull).
    ///
    /// Default 16 MiB. Memory is only used when a pipeline needs it.
    pub read_ahead: usize,
    /// Bytes asked of the transport in one read, once reads have been seen to come in full; the first ones are
    /// smaller.
    ///
    /// Default 65,536. The buffer holds twice that between messages, and goes back to it after larger ones.
    pub read_size: usize,
    /// Capacity in bytes that an empty buffer for sending keeps; what is more is given back after the flush.
    ///
    /// Default 131,072.
    pub write_retain: usize,
    /// Whose messages are read: the codes mean other messages in the other direction.
    pub reads: Direction,
}

impl Limits {
    /// For a client, which reads what a server says.
    pub const BACKEND: Self = Self {
        bulk: 0x3fff_ffff,
        control: 65_536,
        authentication: 65_531,
        read_ahead: 16 << 20,
        read_size: 65_536,
        write_retain: 131_072,
        reads: Direction::Backend,
    };

    /// For a server, which reads what a client says.
    pub const FRONTEND: Self =
        Self { bulk: 0x3fff_fffa, control: 9_996, reads: Direction::Frontend, ..Self::BACKEND };

    /// These limits, lowered to what a peer may use before it is authenticated: at most 30,000 bytes a message, which is all
    /// that libpq takes from a server before login, and 65,536 bytes of [`read_ahead`](Self::read_ahead).
    pub const fn before_authentication(self) -> Self {
        Self {
            control: lower(self.control, 30_000),
            authentication: lower(self.authentication, 30_000),
            bulk: lower(self.bulk, 30_000),
            read_ahead: lower(self.read_ahead, 65_536),
            ..self
        }
    }

    /// These limits, lowered to what a server may use between AuthenticationOk and the first ReadyForQuery: 1 MiB for a message of
    /// bulk, because a login trigger may raise long notices, and 30,000 bytes for any other.
    pub const fn while_starting(self) -> Self {
        Self { bulk: lower(self.bulk, 1 << 20), control: lower(self.control, 30_000), ..self }
    }

    /// The limit for the body of a message with this code, in bytes, and whether a body over it is skipped.
    pub(crate) fn of(&self, code: MessageCode) -> (usize, bool) {
        let size = match self.reads {
            Direction::Backend => Backend::size(code),
            Direction::Frontend => Frontend::size(code),
        };
        match size {
            Size::Bulk => (self.bulk, true),
            Size::Control => (self.control, false),
            Size::Authentication => (self.authentication, false),
        }
    }
}

/// `Ord::min` cannot be called in a constant.
const fn lower(limit: usize, bound: usize) -> usize {
    if limit < bound { limit } else { bound }
}

impl Default for Limits {
    /// [`Limits::BACKEND`].
    fn default() -> Self {
        Self::BACKEND
    }
}
