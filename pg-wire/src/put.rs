//! Where the fields of a message go: to a count, into a buffer, or into a line of trace.

use bytes::BufMut;

use crate::error::EncodeErrorKind;
use crate::text::Text;

/// A taker of fields, in wire order.
///
/// A message says once what it is made of ([`Message::write`](crate::Message::write)) and is read by three takers: one
/// measures, one writes, one prints the trace line. So length, bytes and trace cannot drift apart.
///
/// Taking cannot fail. What the wire cannot carry is [refused](Self::refuse) while measuring, before a byte is
/// written.
pub trait Put {
    /// One byte that stands for a character: a kind, a status, a field code.
    fn byte1(&mut self, value: u8);
    /// An Int16.
    fn int16(&mut self, value: u16);
    /// An Int32.
    fn int32(&mut self, value: u32);
    /// A string and its terminating NUL.
    fn text(&mut self, value: Text<'_>);
    /// Bytes whose length is told elsewhere.
    fn bytes(&mut self, value: &[u8]);

    /// An Int32 length, and as many bytes.
    #[inline]
    fn counted(&mut self, length: u32, value: &[u8]) {
        self.int32(length);
        self.bytes(value);
    }
    /// A string that must not be printed, and its terminating NUL.
    #[inline]
    fn secret_text(&mut self, value: Text<'_>) {
        self.text(value);
    }
    /// Bytes that must not be printed.
    #[inline]
    fn secret_bytes(&mut self, value: &[u8]) {
        self.bytes(value);
    }
    /// Bytes of which libpq's trace says nothing.
    #[inline]
    fn unprinted(&mut self, value: &[u8]) {
        self.bytes(value);
    }
    /// The name under which libpq's trace knows this message, where fields decide it. Not on the wire.
    #[inline]
    fn rename(&mut self, name: core::fmt::Arguments<'_>) {
        let _ = name;
    }
    /// Passes over `length` bytes that would come now and were measured before, if bytes are all that is wanted to be
    /// known of them; and says so.
    #[inline]
    fn skip_measured(&mut self, length: usize) -> bool {
        let _ = length;
        false
    }
    /// Whether fields that came from the wire as one run of bytes are wanted one by one.
    #[inline]
    fn wants_fields(&self) -> bool {
        false
    }
    /// Refuses the message; the first reason given stands.
    #[inline]
    fn refuse(&mut self, reason: EncodeErrorKind) {
        let _ = reason;
    }
}

/// Counts bytes and collects the first refusal.
#[derive(Default)]
pub(crate) struct Measure {
    pub(crate) length: usize,
    pub(crate) refusal: Option<EncodeErrorKind>,
}

impl Measure {
    /// Why the message is refused; if no field is, because of its length.
    #[cold]
    pub(crate) fn kind(self) -> EncodeErrorKind {
        let length = self.length.saturating_add(4);
        self.refusal.unwrap_or(EncodeErrorKind::MessageTooLong { length })
    }
}

impl Put for Measure {
    #[inline]
    fn byte1(&mut self, _: u8) {
        self.length += 1;
    }
    #[inline]
    fn int16(&mut self, _: u16) {
        self.length += 2;
    }
    #[inline]
    fn int32(&mut self, _: u32) {
        self.length += 4;
    }
    #[inline]
    fn text(&mut self, value: Text<'_>) {
        if has_nul(value.as_bytes()) {
            self.refuse(EncodeErrorKind::Nul);
        }
        self.length += value.len() + 1;
    }
    #[inline]
    fn bytes(&mut self, value: &[u8]) {
        // Saturating: two slices that overlap may add up to more than an address space.
        self.length = self.length.saturating_add(value.len());
    }
    #[inline]
    fn skip_measured(&mut self, length: usize) -> bool {
        self.length = self.length.saturating_add(length);
        true
    }
    #[cold]
    fn refuse(&mut self, reason: EncodeErrorKind) {
        self.refusal.get_or_insert(reason);
    }
}

/// Fills room that was measured before.
pub(crate) struct Fill<'a> {
    rest: &'a mut [u8],
    overrun: bool,
}

impl<'a> Fill<'a> {
    #[inline]
    pub(crate) fn new(room: &'a mut [u8]) -> Self {
        Self { rest: room, overrun: false }
    }

    /// Whether the room was filled to its last byte and no further.
    #[inline]
    pub(crate) fn is_exact(&self) -> bool {
        !self.overrun && self.rest.is_empty()
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Option<&mut [u8]> {
        match core::mem::take(&mut self.rest).split_at_mut_checked(length) {
            Some((head, rest)) => {
                self.rest = rest;
                Some(head)
            }
            None => {
                self.overrun = true;
                None
            }
        }
    }

    #[inline(always)]
    fn put<const N: usize>(&mut self, value: [u8; N]) {
        if let Some(room) = self.take(N) {
            room.copy_from_slice(&value);
        }
    }
}

// Everywhere in line: called, it would have to keep its state in memory.
impl Put for Fill<'_> {
    #[inline(always)]
    fn byte1(&mut self, value: u8) {
        self.put([value]);
    }
    #[inline(always)]
    fn int16(&mut self, value: u16) {
        self.put(value.to_be_bytes());
    }
    #[inline(always)]
    fn int32(&mut self, value: u32) {
        self.put(value.to_be_bytes());
    }
    #[inline(always)]
    fn text(&mut self, value: Text<'_>) {
        if value.is_empty() {
            // As most names are; a copy of nothing is a call all the same.
            return self.put([0]);
        }
        if let Some((nul, text)) = self.take(value.len() + 1).and_then(<[u8]>::split_last_mut) {
            text.copy_from_slice(value.as_bytes());
            *nul = 0;
        }
    }
    #[inline(always)]
    fn bytes(&mut self, value: &[u8]) {
        if let Some(room) = self.take(value.len()) {
            room.copy_from_slice(value);
        }
    }
    #[inline(always)]
    fn counted(&mut self, length: u32, value: &[u8]) {
        if let Some((field, room)) = self.take(4 + value.len()).and_then(<[u8]>::split_first_chunk_mut) {
            *field = length.to_be_bytes();
            room.copy_from_slice(value);
        }
    }
}

/// Writes to a [`BufMut`] field by field, never more than was measured before.
pub(crate) struct Append<'a, B: ?Sized> {
    out: &'a mut B,
    left: usize,
    overrun: bool,
}

impl<'a, B: BufMut + ?Sized> Append<'a, B> {
    pub(crate) fn new(out: &'a mut B, length: usize) -> Self {
        Self { out, left: length, overrun: false }
    }

    /// Makes up what is missing with zeros, so that the frame has the length its header tells, and says whether
    /// there was anything to make up.
    pub(crate) fn finish(self) -> bool {
        self.out.put_bytes(0, self.left);
        !self.overrun && self.left == 0
    }
}

impl<B: BufMut + ?Sized> Put for Append<'_, B> {
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
        self.bytes(value.as_bytes());
        self.bytes(&[0]);
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

/// Whether a string holds a NUL. Names and statements are short, and to call for help costs more than to look at them: eight
/// bytes at a time, the last eight once more where they overlap.
#[inline]
fn has_nul(text: &[u8]) -> bool {
    if text.len() > 256 {
        return memchr::memchr(0, text).is_some();
    }
    let Some(last) = text.last_chunk::<8>() else { return text.contains(&0) };
    let (words, _) = text.as_chunks::<8>();
    words.iter().fold(nul_in(last), |found, word| found | nul_in(word)) != 0
}

/// Not zero if one of eight bytes is: taking one from each borrows from the highest bit of a byte only where it is 0, or
/// where that bit was set, which does not count.
#[inline]
fn nul_in(word: &[u8; 8]) -> u64 {
    let word = u64::from_ne_bytes(*word);
    word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_nul_is_found_wherever_it_stands_and_nothing_else_is_taken_for_one() {
        for length in (0..70).chain([255, 256, 257, 300]) {
            for filler in [1, 0x7f, 0x80, 0x81, 0xff] {
                let mut text = vec![filler; length];
                assert!(!has_nul(&text), "{length} times {filler}");
                for at in 0..length {
                    text[at] = 0;
                    assert!(has_nul(&text), "{at} of {length} among {filler}");
                    text[at] = filler;
                }
            }
        }
    }
}
