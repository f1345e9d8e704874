//! A cursor over one body.

use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::basic::short;
use crate::basic::text::Text;

/// Reads the fields of one message body in order, and never reads beyond the end of the body.
///
/// Integers are big-endian. Every read is checked. Call [`finish`](Self::finish) after the last field: a body with bytes left over is
/// malformed.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    whole: usize,
    message: &'static str,
}

impl<'a> Reader<'a> {
    /// Creates a reader at the first byte of `body`. Errors contain the name `message`.
    #[inline]
    pub fn new(message: &'static str, body: &'a [u8]) -> Self {
        Self { rest: body, whole: body.len(), message }
    }

    /// Returns the number of bytes that have been read.
    #[inline]
    pub fn offset(&self) -> usize {
        self.whole - self.rest.len()
    }

    /// Returns the number of bytes that are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Creates an error of this kind at the current offset.
    #[inline]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { message: self.message, offset: self.offset(), kind }
    }

    /// Creates an error of this kind for bytes that have just been read. The error contains the offset of the first of these bytes.
    /// Precondition: `rest` has the length of these bytes. The content of `rest` is not used.
    #[inline]
    pub(crate) fn error_before(&self, rest: &[u8], kind: DecodeErrorKind) -> DecodeError {
        DecodeError { message: self.message, offset: self.offset() - rest.len(), kind }
    }

    /// Reads the next `N` bytes as an array.
    ///
    /// # Errors
    /// [`Short`](DecodeErrorKind::Short) when fewer than `N` bytes are left.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(*head)
            }
            None => Err(self.error(DecodeErrorKind::Short)),
        }
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`Short`](DecodeErrorKind::Short) when no byte is left.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    /// Reads an Int16 as an unsigned number. Counts in this protocol are unsigned: a list can have 65,535 items.
    ///
    /// # Errors
    /// [`Short`](DecodeErrorKind::Short) when fewer than two bytes are left.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads an Int32 as an unsigned number.
    ///
    /// # Errors
    /// [`Short`](DecodeErrorKind::Short) when fewer than four bytes are left.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads an Int32 as a signed number.
    ///
    /// # Errors
    /// [`Short`](DecodeErrorKind::Short) when fewer than four bytes are left.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Reads the next `count` bytes.
    ///
    /// # Errors
    /// [`Short`](DecodeErrorKind::Short) when fewer than `count` bytes are left.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(count) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.error(DecodeErrorKind::Short)),
        }
    }

    /// Reads three parts: a byte that is one of `forms`, an unsigned Int32 length, and that many bytes. Returns `None` and reads nothing if
    /// the body does not continue with these parts.
    #[inline(always)]
    pub(crate) fn formed(&mut self, forms: [u8; 2]) -> Option<(u8, &'a [u8])> {
        let (&[form, a, b, c, d], rest) = self.rest.split_first_chunk()?;
        if !forms.contains(&form) {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize)?;
        self.rest = rest;
        Some((form, bytes))
    }

    /// Reads a value: Int32 length, then that many bytes; a length of -1 is NULL.
    ///
    /// # Errors
    /// [`NegativeLength`](DecodeErrorKind::NegativeLength) when the length is below -1, [`Short`](DecodeErrorKind::Short) when
    /// the body ends inside the value.
    #[inline]
    pub fn value(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        let length = self.i32()?;
        match usize::try_from(length) {
            Ok(length) => self.bytes(length).map(Some),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(self.error(DecodeErrorKind::NegativeLength)),
        }
    }

    /// Reads a string, which ends with a NUL byte. The result does not contain the NUL byte.
    ///
    /// # Errors
    /// [`Unterminated`](DecodeErrorKind::Unterminated) when there is no NUL.
    #[inline]
    pub fn text(&mut self) -> Result<Text<'a>, DecodeError> {
        let end = short::find_nul(self.rest);
        match end.and_then(|end| Some((self.rest.get(..end)?, self.rest.get(end + 1..)?))) {
            Some((text, rest)) => {
                self.rest = rest;
                Ok(Text::without_nul(text))
            }
            None => Err(self.error(DecodeErrorKind::Unterminated)),
        }
    }

    /// Reads all remaining bytes.
    #[inline]
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Returns the bytes between the position of this reader and the position of `end`. Precondition: `end` is a copy of this reader that
    /// has read more bytes.
    pub(crate) fn until(&self, end: &Reader<'a>) -> &'a [u8] {
        let taken = self.rest.len().saturating_sub(end.rest.len());
        self.rest.get(..taken).unwrap_or_default()
    }

    /// Checks that the whole body has been read.
    ///
    /// # Errors
    /// [`Trailing`](DecodeErrorKind::Trailing) when bytes are left.
    #[inline]
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorKind::Trailing)) }
    }
}
