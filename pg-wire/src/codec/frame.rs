//! Messages that are not decoded: a code and a body.

use bytes::Bytes;

use crate::basic::code::MessageCode;
use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::codec::message::{Decode, Message};
use crate::codec::writer::Writer;

/// One whole message, borrowed: the code, and the bytes after the length field.
///
/// [`backend`](Self::backend) decodes a frame of a server, and [`frontend`](Self::frontend) decodes a frame of a client. To forward a frame
/// unchanged, send the frame itself: a frame is a [`Message`].
///
/// ```
/// use pg_wire::{Frame, MessageCode, backend::Backend};
///
/// let frame = Frame { code: MessageCode::READY_FOR_QUERY, body: b"I" };
/// assert!(matches!(frame.backend()?, Backend::ReadyForQuery(_)));
/// # Ok::<_, pg_wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Code of the message. Its meaning depends on the direction.
    pub code: MessageCode,
    /// Body of the message: the bytes after the length field.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Decodes the body as a message of type `M`.
    ///
    /// ```
    /// use pg_wire::{Frame, MessageCode, backend::{DataRow, CommandComplete}};
    ///
    /// let frame = Frame { code: MessageCode::COMMAND_COMPLETE, body: b"SELECT 1\0" };
    /// assert_eq!(frame.decode::<CommandComplete>()?.rows(), Some(1));
    /// assert!(frame.decode::<DataRow>().is_err());
    /// # Ok::<_, pg_wire::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// [`WrongCode`](DecodeErrorKind::WrongCode) when the frame has a different code than `M`; other errors when the body is malformed.
    #[inline]
    pub fn decode<M: Decode<'a>>(self) -> Result<M, DecodeError> {
        if M::CODE == Some(self.code) {
            M::decode(self.body)
        } else {
            Err(DecodeError { message: M::NAME, offset: 0, kind: DecodeErrorKind::WrongCode })
        }
    }

    /// Returns the length on the wire in bytes: the code, the length field and the body.
    #[inline]
    pub fn wire_len(self) -> usize {
        5 + self.body.len()
    }

    /// Returns an owned frame, with a copy of the body.
    pub fn to_owned(self) -> FrameBuf {
        FrameBuf { code: self.code, body: Bytes::copy_from_slice(self.body) }
    }
}

impl Message for Frame<'_> {
    #[inline]
    fn code(&self) -> Option<MessageCode> {
        Some(self.code)
    }
    #[inline]
    fn name(&self) -> &'static str {
        "Unknown message"
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.rename(format_args!("Unknown message: {:02x}", self.code.0));
        out.unprinted(self.body);
    }
}

impl core::fmt::Debug for Frame<'_> {
    /// Prints the code and the length, but not the body, because a body may contain a password.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Frame({:?}, {} bytes)", self.code, self.body.len())
    }
}

/// One whole message, owned: the code, and the bytes after the length field.
///
/// Clones and slices share the bytes by reference count, without a copy.
#[derive(Clone, PartialEq, Eq)]
pub struct FrameBuf {
    /// Code of the message. Its meaning depends on the direction.
    pub code: MessageCode,
    /// Body of the message: the bytes after the length field.
    pub body: Bytes,
}

impl FrameBuf {
    /// Returns the message as a borrowed frame.
    #[inline]
    pub fn frame(&self) -> Frame<'_> {
        Frame { code: self.code, body: &self.body }
    }

    /// Returns a part of the body, such as the value of a column, as an owned slice that shares the memory of the body.
    ///
    /// ```
    /// use pg_wire::{Frame, MessageCode, backend::DataRow};
    ///
    /// let kept = Frame { code: MessageCode::DATA_ROW, body: b"\0\x01\0\0\0\x02hi" }.to_owned();
    /// let value = kept.frame().decode::<DataRow>()?.values.get(0)?.flatten().map(|value| kept.slice(value));
    /// assert_eq!(value.flatten().as_deref(), Some(&b"hi"[..]));
    /// # Ok::<_, pg_wire::DecodeError>(())
    /// ```
    ///
    /// Returns `None` when `part` is not a slice of this body.
    pub fn slice(&self, part: &[u8]) -> Option<Bytes> {
        let start = (part.as_ptr() as usize).checked_sub(self.body.as_ptr() as usize)?;
        let end = start.checked_add(part.len())?;
        (end <= self.body.len()).then(|| self.body.slice(start..end))
    }
}

impl core::fmt::Debug for FrameBuf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.frame().fmt(f)
    }
}
