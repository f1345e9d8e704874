//! The writer for any [`BufMut`].

use bytes::BufMut;

use crate::basic::error::EncodeErrorKind;
use crate::basic::text::Text;
use crate::codec::writer::Writer;

/// Writes a frame to a [`BufMut`] field by field. Never writes more bytes than the measured length of the frame.
pub(crate) struct Append<'a, B: ?Sized> {
    out: &'a mut B,
    left: usize,
    overrun: bool,
}

impl<'a, B: BufMut + ?Sized> Append<'a, B> {
    pub(crate) fn new(out: &'a mut B, length: usize) -> Self {
        Self { out, left: length, overrun: false }
    }

    /// Ends the frame. If the message has written fewer bytes than were measured, fills the frame with zeros up to the measured length,
    /// because the length field has already been written. Returns true if the message has written exactly the measured number of bytes and
    /// can be sent.
    pub(crate) fn finish(self) -> bool {
        self.out.put_bytes(0, self.left);
        !self.overrun && self.left == 0
    }
}

impl<B: BufMut + ?Sized> Writer for Append<'_, B> {
    fn byte1(&mut self, value: u8) {
        self.bytes(&[value]);
    }
    fn int16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }
    fn int32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }
    fn text(&mut self, value: Text<'_>) {
        // `measure` found no NUL, but a faulty message may pass a different string in this call.
        self.overrun |= memchr::memchr(0, value.as_bytes()).is_some();
        self.bytes(value.as_bytes());
        self.bytes(&[0]);
    }
    fn refuse(&mut self, _: EncodeErrorKind) {
        self.overrun = true;
    }
    fn bytes(&mut self, value: &[u8]) {
        match self.left.checked_sub(value.len()) {
            Some(left) if !self.overrun => {
                self.left = left;
                self.out.put_slice(value);
            }
            _ => self.overrun = true,
        }
    }
}
