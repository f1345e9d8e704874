//! Limits on the memory of a connection.

use crate::basic::code::Size;
use crate::basic::error::{FrameError, FrameErrorKind};
use crate::buffer::header::Header;
use crate::codec::message::Direction;
use crate::message::backend::Backend;
use crate::message::frontend::Frontend;

/// Limits on the memory of a connection, so that a peer cannot exhaust the memory. [`BACKEND`](Self::BACKEND) and
/// [`FRONTEND`](Self::FRONTEND) are the defaults.
///
/// The length of a message is checked when the five bytes of the header have arrived, before memory is reserved. Memory then grows with
/// the bytes that arrive, not with the announced length.
///
/// ```
/// use pg_wire::Limits;
///
/// let limits = Limits::BACKEND.bulk(16 << 20).read_size(8192);
/// assert_eq!(limits.control, Limits::BACKEND.control);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest body, in bytes, of a message that carries rows, data, SQL, parameters, descriptions or error texts.
    ///
    /// Default for messages of a server: 1,073,741,823 (`0x3fffffff`), because PostgreSQL never sends more. Default for messages of a
    /// client: 1,073,741,818, because PostgreSQL accepts 1,073,741,822 bytes, including the four bytes of the length field.
    pub bulk: usize,
    /// Longest body, in bytes, of every message to which neither [`bulk`](Self::bulk) nor
    /// [`authentication`](Self::authentication) applies.
    ///
    /// Default for messages of a server: 65,536. Default for messages of a client (Sync, Flush, Close, Describe, Execute, CopyDone,
    /// CopyFail and Terminate): 9,996, because PostgreSQL's own limit is 10,000 bytes, including the four bytes of the length field.
    pub control: usize,
    /// Longest body, in bytes, of a client's response to an authentication request. A server sends no such message.
    ///
    /// Default 65,531: PostgreSQL accepts 65,535 bytes, including the four bytes of the length field, because a GSSAPI token can be that
    /// long.
    pub authentication: usize,
    /// Number of buffered bytes at which [`flush`](crate::Connection::flush) stops reading and returns
    /// [`InboxFull`](crate::Error::InboxFull). `flush` reads while the peer does not read, because the peer may be waiting until its own
    /// messages are read.
    ///
    /// Default 16 MiB. This memory is allocated only if a pipeline needs it.
    pub read_ahead: usize,
    /// Size of one read from the transport, in bytes. The first reads are smaller. After a full read, the next read has twice the size.
    ///
    /// Default 65,536. The buffer has twice the size of one read. The buffer grows for a larger message, and shrinks again after the
    /// message. A connection that waits while no bytes are buffered frees a buffer of more than 24 KiB; see
    /// [`Inbox::waiting`](crate::Inbox::waiting).
    pub read_size: usize,
    /// Largest capacity in bytes that the outbox keeps when it is empty. A larger buffer is freed after the flush. A smaller buffer may be
    /// freed while the connection waits for the peer; see [`Outbox::waiting`](crate::Outbox::waiting).
    ///
    /// Default 131,072.
    pub write_retain: usize,
    /// Sender of the messages that are read. The sender matters, because a client and a server use some codes for different messages.
    pub reads: Direction,
}

impl Limits {
    /// Limits for a client, which reads the messages of a server.
    pub const BACKEND: Self = Self {
        bulk: 0x3fff_ffff,
        control: 65_536,
        authentication: 65_531,
        read_ahead: 16 << 20,
        read_size: 65_536,
        write_retain: 131_072,
        reads: Direction::Backend,
    };

    /// Limits for a server, which reads the messages of a client.
    pub const FRONTEND: Self =
        Self { bulk: 0x3fff_fffa, control: 9_996, reads: Direction::Frontend, ..Self::BACKEND };

    /// Sets [`bulk`](Self#structfield.bulk), in bytes.
    pub const fn bulk(self, bulk: usize) -> Self {
        Self { bulk, ..self }
    }

    /// Sets [`control`](Self#structfield.control), in bytes.
    pub const fn control(self, control: usize) -> Self {
        Self { control, ..self }
    }

    /// Sets [`authentication`](Self#structfield.authentication), in bytes.
    pub const fn authentication(self, authentication: usize) -> Self {
        Self { authentication, ..self }
    }

    /// Sets [`read_ahead`](Self#structfield.read_ahead), in bytes.
    pub const fn read_ahead(self, read_ahead: usize) -> Self {
        Self { read_ahead, ..self }
    }

    /// Sets [`read_size`](Self#structfield.read_size), in bytes.
    pub const fn read_size(self, read_size: usize) -> Self {
        Self { read_size, ..self }
    }

    /// Sets [`write_retain`](Self#structfield.write_retain), in bytes.
    pub const fn write_retain(self, write_retain: usize) -> Self {
        Self { write_retain, ..self }
    }

    /// Returns these limits, lowered for the time before authentication: 30,000 bytes for each message, and 65,536 bytes of
    /// [`read_ahead`](Self::read_ahead). libpq uses the same limit of 30,000 bytes for the messages of a server before login.
    pub const fn before_authentication(self) -> Self {
        Self {
            control: lower(self.control, 30_000),
            authentication: lower(self.authentication, 30_000),
            bulk: lower(self.bulk, 30_000),
            read_ahead: lower(self.read_ahead, 65_536),
            ..self
        }
    }

    /// Returns these limits, lowered for the time between AuthenticationOk and the first ReadyForQuery. A message to which the limit
    /// [`bulk`](Self::bulk) applies may have 1 MiB, because a login trigger can raise long notices. Any other message may have 30,000
    /// bytes.
    pub const fn while_starting(self) -> Self {
        Self { bulk: lower(self.bulk, 1 << 20), control: lower(self.control, 30_000), ..self }
    }

    /// Returns the largest length in bytes of a body that needs no [`check`](Self::check). This length is within all limits and within the
    /// range of the length field.
    pub(crate) fn unchecked(&self) -> usize {
        self.control.min(self.authentication).min(self.bulk).min(Header::MAX_BODY)
    }

    /// Checks the length of a body against the limit for its code.
    ///
    /// # Errors
    /// When the length field is below 4, or the body is over the limit.
    #[cold]
    pub(crate) fn check(&self, header: Header) -> Result<(), FrameError> {
        let Header { code, body } = header;
        if body > Header::MAX_BODY {
            let kind = FrameErrorKind::BadLength { length: header.field() };
            return Err(FrameError { code, kind });
        }
        let size = match self.reads {
            Direction::Backend => Backend::size(code),
            Direction::Frontend => Frontend::size(code),
        };
        let (limit, skipped) = match size {
            Size::Bulk => (self.bulk, true),
            Size::Control => (self.control, false),
            Size::Authentication => (self.authentication, false),
        };
        if body <= limit {
            return Ok(());
        }
        Err(FrameError { code, kind: FrameErrorKind::TooLong { length: body, limit, skipped } })
    }
}

/// Returns the lower of two numbers. `Ord::min` cannot be called in a `const fn`.
const fn lower(limit: usize, bound: usize) -> usize {
    if limit < bound { limit } else { bound }
}

impl Default for Limits {
    /// Returns [`Limits::BACKEND`].
    fn default() -> Self {
        Self::BACKEND
    }
}
