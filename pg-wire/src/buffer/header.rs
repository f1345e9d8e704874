//! The header of a frame: the code and the length field.

use crate::basic::code::MessageCode;
use crate::basic::length::MAX_LENGTH;

/// A received frame header. The length in the header may be invalid or over the limit: the caller has to check the length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) code: MessageCode,
    /// Length of the body in bytes: the length field minus 4, because the field counts its own four bytes. For a field below 4
    /// the subtraction wraps around to a length over [`MAX_BODY`](Self::MAX_BODY). So one comparison detects fields that are
    /// too small and fields that are too large.
    pub(crate) body: usize,
}

impl Header {
    /// Length of a header in bytes.
    pub(crate) const LENGTH: usize = 5;

    /// Longest body in bytes that a length field can express.
    pub(crate) const MAX_BODY: usize = MAX_LENGTH - 4;

    /// Parses the header at the beginning of `bytes`. Returns the header and the bytes after the header; `None` if there are
    /// fewer than five bytes.
    #[inline(always)]
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&[code, a, b, c, d], rest) = bytes.split_first_chunk::<{ Self::LENGTH }>()?;
        let body = u32::from_be_bytes([a, b, c, d]).wrapping_sub(4) as usize;
        Some((Self { code: MessageCode(code), body }, rest))
    }

    /// Returns the length of the whole frame in bytes.
    pub(crate) fn frame(self) -> usize {
        Self::LENGTH.saturating_add(self.body)
    }

    /// Returns the length field, as it was received.
    pub(crate) fn field(self) -> i32 {
        (self.body as u32).wrapping_add(4).cast_signed()
    }
}
