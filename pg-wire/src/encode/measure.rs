//! The two writers that count bytes.

use crate::basic::error::EncodeErrorKind;
use crate::basic::length::MAX_LENGTH;
use crate::basic::text::Text;
use crate::codec::writer::{Writer, write_params};
use crate::param::bindable::Bindable;
use crate::param::params::Params;

/// Counts bytes exactly, and keeps the first reason for which the message is rejected.
#[derive(Default)]
pub(crate) struct Measure {
    /// Number of bytes of the body.
    pub(crate) length: usize,
    /// Reason why the message cannot be sent.
    pub(crate) refusal: Option<EncodeErrorKind>,
}

impl Measure {
    /// Returns the reason why the message cannot be sent: the reason that a field has reported. If no field has reported a reason, the
    /// message is too long.
    #[cold]
    pub(crate) fn kind(self) -> EncodeErrorKind {
        let length = self.length.saturating_add(4);
        self.refusal.unwrap_or(EncodeErrorKind::MessageTooLong { length })
    }
}

impl Writer for Measure {
    #[inline]
    fn byte1(&mut self, _: u8) {
        self.bytes(&[0; 1]);
    }
    #[inline]
    fn int16(&mut self, _: u16) {
        self.bytes(&[0; 2]);
    }
    #[inline]
    fn int32(&mut self, _: u32) {
        self.bytes(&[0; 4]);
    }
    #[inline]
    fn text(&mut self, value: Text<'_>) {
        if memchr::memchr(0, value.as_bytes()).is_some() {
            self.refuse(EncodeErrorKind::Nul);
        }
        self.bytes(value.as_bytes());
        self.bytes(&[0]);
    }
    #[inline]
    fn bytes(&mut self, value: &[u8]) {
        // The addition saturates: a message may contain the same slice many times, so the sum of the lengths can exceed `usize::MAX`.
        self.length = self.length.saturating_add(value.len());
    }
    #[cold]
    fn refuse(&mut self, reason: EncodeErrorKind) {
        self.refusal.get_or_insert(reason);
    }
}

/// Counts the bytes of frames for the fast path, in a form that the optimiser can compute at compile time for most messages.
///
/// Ignores `refuse`, because [`Fill`](crate::encode::fill::Fill) detects rejected messages while it writes. If [`Params::KNOWN`] is false,
/// the length of each parameter is known only after a call of `Bindable::bound`. Then this writer counts only the number of
/// format codes and the number of parameters (two Int16), and `Fill` checks whether each parameter fits.
#[derive(Default)]
pub(crate) struct Extent {
    length: usize,
    /// All lengths of strings and bytes, combined by OR: if the result is at most `MAX_LENGTH`, each length is at most `MAX_LENGTH`.
    bits: usize,
}

impl Extent {
    /// Returns the number of bytes, if this number is at most `room`.
    #[inline(always)]
    pub(crate) fn within(&self, room: usize) -> Option<usize> {
        (self.length <= room).then_some(self.length)
    }

    /// Returns true if no field is longer than a message may be.
    ///
    /// Call this method after the frame has been written. The optimiser needs the conversion to `u32` in [`sendable`] to prove that the sum
    /// of the lengths does not overflow. If this check came before the conversion, the optimiser would remove the conversion, and could no
    /// longer prove this.
    #[inline(always)]
    pub(crate) fn is_sendable(&self) -> bool {
        self.bits <= MAX_LENGTH
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, length: usize) {
        self.length = self.length.wrapping_add(length);
    }
}

/// Returns `bytes` unchanged. The optimiser knows that the length of the result is below 2³². The optimiser can then prove that no sum of
/// lengths overflows, and that each field fits if the sum of the fields fits.
///
/// Precondition: `bytes.len()` is at most `MAX_LENGTH`, as [`Extent::is_sendable`] checks before the frame is used.
#[inline(always)]
pub(crate) fn sendable(bytes: &[u8]) -> &[u8] {
    bytes.get(..bytes.len() as u32 as usize).unwrap_or_default()
}

// All methods are inlined: the length of most messages is then a constant, or a sum of two or three lengths.
impl Writer for Extent {
    #[inline(always)]
    fn byte1(&mut self, _: u8) {
        self.add(1);
    }
    #[inline(always)]
    fn int16(&mut self, _: u16) {
        self.add(2);
    }
    #[inline(always)]
    fn int32(&mut self, _: u32) {
        self.add(4);
    }
    #[inline(always)]
    fn text(&mut self, value: Text<'_>) {
        self.bytes(value.as_bytes());
        self.add(1);
    }
    #[inline(always)]
    fn bytes(&mut self, value: &[u8]) {
        self.bits |= value.len();
        self.add(sendable(value).len());
    }
    #[inline(always)]
    fn param<B: Bindable + ?Sized>(&mut self, value: &B) {
        self.add(4);
        if let Some(value) = value.bound().as_bytes() {
            self.bytes(value);
        }
    }
    #[inline(always)]
    fn params<T: Params>(&mut self, params: &T) {
        if T::KNOWN { write_params(params, self) } else { self.add(4) }
    }
}
