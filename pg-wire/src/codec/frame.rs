//! A message before anyone has looked inside: its code and its body.

use bytes::Bytes;

use crate::basic::code::MessageCode;
use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::codec::message::{Decode, Message};
use crate::codec::put::Put;

/// One whole message, lent: the code and the bytes behind the length field.
///
/// Read it as a message of the direction it came from, or pass it on as it is: a frame is itself a
/// [`Message`], so that `put(&frame)` forwards it byte for byte.
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
    /// What kind of message it is, for the direction it came from.
    pub code: MessageCode,
    /// What comes after the length field.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the body as one particular message.
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
    /// [`WrongCode`](DecodeErrorKind::WrongCode) when the frame is another message, otherwise when the body is
    /// malformed.
    #[inline]
    pub fn decode<M: Decode<'a>>(self) -> Result<M, DecodeError> {
        if M::CODE == Some(self.code) {
            M::decode(self.body)
        } else {
            Err(DecodeError { message: M::NAME, offset: 0, kind: DecodeErrorKind::WrongCode })
        }
    }

    /// Bytes on the wire: the code, the length field and the body.
    #[inline]
    pub fn wire_len(self) -> usize {
        5 + self.body.len()
    }

    /// Keeps the frame: copies its body into memory of its own.
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
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.rename(format_args!("Unknown message: {:02x}", self.code.0));
        out.unprinted(self.body);
    }
}

impl core::fmt::Debug for Frame<'_> {
    /// The code and the length; the body may hold a password as well as a row.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Frame({:?}, {} bytes)", self.code, self.body.len())
    }
}

/// One whole message, kept: the code and the bytes behind the length field in memory of its own.
///
/// Cloning it and slicing columns out of it count references; nothing is copied.
#[derive(Clone, PartialEq, Eq)]
pub struct FrameBuf {
    /// What kind of message it is, for the direction it came from.
    pub code: MessageCode,
    /// What comes after the length field.
    pub body: Bytes,
}

impl FrameBuf {
    /// Lends it.
    #[inline]
    pub fn frame(&self) -> Frame<'_> {
        Frame { code: self.code, body: &self.body }
    }

    /// A part of the body, such as the value of a column, that keeps the body alive.
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
    /// `None` when `part` does not lie within this body.
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
