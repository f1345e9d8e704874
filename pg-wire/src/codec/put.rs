//! Where the fields of a message go: to a count, into a buffer, or into a line of trace.

use bytes::BufMut;

use crate::basic::code::MessageCode;
use crate::basic::error::EncodeErrorKind;
use crate::basic::short;
use crate::basic::text::Text;
use crate::codec::message::LONGEST;
use crate::codec::values::write_value;
use crate::param::params::{
    Bindable, Formats, Mixed, Params, VisitParam, Write, Written, write_format_of_all, write_params,
};

/// A taker of fields, in wire order.
///
/// A message says once what it is made of ([`Message::write`](crate::Message::write)) and is read by takers that count,
/// write, or print the trace line. So length, bytes and trace cannot drift apart.
///
/// Taking cannot fail. What the wire cannot carry is [refused](Self::refuse), and then nothing of the message leaves.
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
    /// A parameter or an argument: an Int32 length, -1 for NULL, and as many bytes.
    #[inline]
    fn param<B: Bindable + ?Sized>(&mut self, value: &B) {
        write_value(value.bound().as_bytes(), self);
    }
    /// Parameters or arguments: Int16 n, Int16\[n\] formats, Int16 m and m times [`param`](Self::param).
    #[inline(always)]
    fn params<T: Params>(&mut self, params: &T) {
        write_params(params, self);
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
        // Saturating: two slices that overlap may add up to more than an address space.
        self.length = self.length.saturating_add(value.len());
    }
    #[cold]
    fn refuse(&mut self, reason: EncodeErrorKind) {
        self.refusal.get_or_insert(reason);
    }
}

/// Counts bytes, and sees that nothing is longer than a message can be.
#[derive(Default)]
pub(crate) struct Extent {
    length: usize,
    /// The bits of all lengths that are not constants.
    bits: usize,
}

impl Extent {
    /// How many bytes, if they are not more than `room`.
    #[inline(always)]
    pub(crate) fn within(&self, room: usize) -> Option<usize> {
        (self.length <= room).then_some(self.length)
    }

    /// Whether no field is longer than a message. To be asked behind the writing: where the compiler knows it, it drops the masks,
    /// and with them what it knows of the sum.
    #[inline(always)]
    pub(crate) fn is_sendable(&self) -> bool {
        self.bits <= LONGEST
    }

    #[inline(always)]
    fn add(&mut self, length: usize) {
        self.length = self.length.wrapping_add(length);
    }
}

/// The bytes, of which [`Extent`] has seen that they are not more than a message has. The mask tells the compiler, which then sees that
/// no sum of lengths wraps, and that every field fits where all of them do.
#[inline(always)]
fn sendable(bytes: &[u8]) -> &[u8] {
    bytes.get(..bytes.len() as u32 as usize).unwrap_or_default()
}

// Everywhere in line: of most messages the length is a constant then, or a sum of two or three.
impl Put for Extent {
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
    /// Of those that take a call each, only what all have in common: the two counts.
    #[inline(always)]
    fn params<T: Params>(&mut self, params: &T) {
        if T::KNOWN { write_params(params, self) } else { self.add(4) }
    }
}

/// Fills room with a frame, and sees whether it fits there and can be sent.
pub(crate) struct Fill<'a> {
    /// The length field.
    field: &'a mut [u8; 4],
    /// Length of the room behind it.
    room: usize,
    rest: &'a mut [u8],
    refused: bool,
}

impl<'a> Fill<'a> {
    /// Begins with the code, if there is one; what is written then is the body.
    #[inline(always)]
    pub(crate) fn frame(code: Option<MessageCode>, room: &'a mut [u8]) -> Option<Self> {
        let room = match code {
            Some(code) => {
                let ([first], room) = room.split_first_chunk_mut()?;
                *first = code.0;
                room
            }
            None => room,
        };
        let (field, rest) = room.split_first_chunk_mut()?;
        Some(Self { field, room: rest.len(), rest, refused: false })
    }

    /// Writes the length, and gives back what is left of the room; `None` if the frame did not fit or cannot be sent.
    #[inline(always)]
    pub(crate) fn finish(self) -> Option<&'a mut [u8]> {
        let length = 4 + self.room - self.rest.len();
        if self.refused || length > LONGEST {
            return None;
        }
        *self.field = (length as u32).to_be_bytes();
        Some(self.rest)
    }

    /// Parameters whose formats come first, because they can be had without a call for each.
    #[inline(always)]
    fn known_params<T: Params>(&mut self, params: &T) {
        // Each code is written in case it is needed. There is room for that in every message for which there is room, because
        // a value takes more than a code.
        let Ok(count) = u16::try_from(params.count()) else { return self.fail() };
        let rest = core::mem::take(&mut self.rest);
        let Some(room) = rest.get_mut(2..2 + 2 * usize::from(count)) else { return self.fail() };
        let mut codes = Codes::new(room);
        params.each(&mut codes);
        let Some(formats) = codes.finish() else { return self.fail() };
        self.rest = rest;
        self.formats(formats, count);
        params.each(&mut Write(self));
    }

    /// Both counts, and the codes between them: where each has its own, they stand there already.
    #[inline(always)]
    fn formats(&mut self, formats: Formats, count: u16) {
        match formats.in_common() {
            Ok(format) => write_format_of_all(format, self),
            Err(Mixed) => {
                self.int16(count);
                self.take(2 * usize::from(count));
            }
        }
        self.int16(count);
    }

    #[inline(always)]
    fn fail(&mut self) {
        seldom();
        self.refused = true;
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Option<&mut [u8]> {
        match core::mem::take(&mut self.rest).split_at_mut_checked(length) {
            Some((head, rest)) => {
                self.rest = rest;
                Some(head)
            }
            None => {
                self.fail();
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
        let value = sendable(value.as_bytes());
        let mut clean = true;
        if let Some((nul, room)) = self.take(value.len() + 1).and_then(<[u8]>::split_last_mut) {
            *nul = 0;
            clean = short::copy_text(room, value);
        }
        self.refused |= !clean;
    }
    #[inline(always)]
    fn bytes(&mut self, value: &[u8]) {
        let value = sendable(value);
        if let Some(room) = self.take(value.len()) {
            short::copy(room, value);
        }
    }
    #[inline(always)]
    fn counted(&mut self, length: u32, value: &[u8]) {
        let value = sendable(value);
        if let Some((field, room)) = self.take(4 + value.len()).and_then(<[u8]>::split_first_chunk_mut) {
            *field = length.to_be_bytes();
            short::copy(room, value);
        }
    }
    #[inline(always)]
    fn param<B: Bindable + ?Sized>(&mut self, value: &B) {
        match value.bound().as_bytes() {
            None => self.int32(u32::MAX),
            Some(value) => {
                let value = sendable(value);
                self.counted(value.len() as u32, value);
            }
        }
    }
    #[inline(always)]
    fn params<T: Params>(&mut self, params: &T) {
        if T::KNOWN {
            return self.known_params(params);
        }
        let rest = core::mem::take(&mut self.rest);
        match params.write_to(rest).and_then(|length| rest.get_mut(length..)) {
            Some(rest) => self.rest = rest,
            None => self.fail(),
        }
    }
    #[inline(always)]
    fn refuse(&mut self, _: EncodeErrorKind) {
        self.refused = true;
    }
}

/// Says of the branch that calls it how seldom it is taken.
#[cold]
#[inline(never)]
pub(crate) fn seldom() {}

/// Writes the format of each into its place.
struct Codes<'a> {
    places: core::slice::IterMut<'a, [u8; 2]>,
    formats: Formats,
    /// There were more than places.
    more: bool,
}

impl<'a> Codes<'a> {
    #[inline(always)]
    fn new(room: &'a mut [u8]) -> Self {
        Self { places: room.as_chunks_mut().0.iter_mut(), formats: Formats::default(), more: false }
    }

    /// What they have in common, if they were as many as had been told.
    #[inline(always)]
    fn finish(self) -> Option<Formats> {
        (!self.more && self.places.len() == 0).then_some(self.formats)
    }
}

impl VisitParam for Codes<'_> {
    #[inline(always)]
    fn visit<B: Bindable + ?Sized>(&mut self, value: &B) {
        let format = Formats::of(value.format());
        self.formats.see(format);
        match self.places.next() {
            Some(place) => *place = format.code(),
            None => self.more = true,
        }
    }
}

/// Parameters as a Bind has them, at the beginning of `room`, and how many bytes they take; `None` where they do not fit or cannot
/// be sent.
///
/// For those that cost a call each: it is one, in which a value writes itself and says in which format. There is a code for each,
/// which most have; where one does for all, the values move up. In line, because where the values are written beside it, as with
/// [`params!`](crate::params), the compiler then knows whom it calls.
#[inline(always)]
pub(crate) fn write_slice<T: Bindable>(params: &[T], room: &mut [u8]) -> Option<usize> {
    let count = u16::try_from(params.len()).ok()?;
    // Behind the codes and the second count.
    let start = 4 + 2 * usize::from(count);
    let most = room.len().min(LONGEST);
    let Some((head, mut rest)) = room.get_mut(..most)?.split_at_mut_checked(start) else {
        return write_one_by_one(params, room);
    };
    let (places, _) = head.get_mut(2..)?.as_chunks_mut();
    let mut all = Written::NONE;
    for (value, place) in params.iter().zip(places) {
        let written = value.write_to(rest);
        all.see(written);
        *place = written.formats().code();
        match rest.get_mut(written.length()..) {
            Some(behind) => rest = behind,
            // One code for all may take less.
            None => return write_one_by_one(params, room),
        }
    }
    let values = start..most - rest.len();
    let [high, low] = count.to_be_bytes();
    let head = match all.formats().in_common() {
        Err(Mixed) => {
            *room.first_chunk_mut()? = [high, low];
            *room.get_mut(start - 2..)?.first_chunk_mut()? = [high, low];
            return Some(values.end);
        }
        Ok(None) => {
            *room.first_chunk_mut()? = [0, 0, high, low];
            4
        }
        Ok(Some(format)) => {
            let [format_high, format_low] = format.code().to_be_bytes();
            *room.first_chunk_mut()? = [0, 1, format_high, format_low, high, low];
            6
        }
    };
    let length = values.len();
    if head < start {
        room.copy_within(values, head);
    }
    Some(head + length)
}

/// The same field by field, looking at each value as often as it takes.
#[cold]
#[inline(never)]
pub(crate) fn write_one_by_one<T: Params + ?Sized>(params: &T, room: &mut [u8]) -> Option<usize> {
    let mut extent = Extent::default();
    write_params(params, &mut extent);
    extent.within(room.len())?;
    let all = room.len();
    let mut fill = Fill { field: &mut [0; 4], room: all, rest: room, refused: false };
    write_params(params, &mut fill);
    let length = all - fill.finish()?.len();
    extent.is_sendable().then_some(length)
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
        // It has none when it is measured, but then it may be another by now.
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
