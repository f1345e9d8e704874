//! The writer of the fast path, which writes one frame into the existing room of a buffer.

use crate::basic::code::MessageCode;
use crate::basic::error::EncodeErrorKind;
use crate::basic::hint::cold_path;
use crate::basic::length::MAX_LENGTH;
use crate::basic::short;
use crate::basic::text::Text;
use crate::codec::writer::{ParamValues, Writer, write_common_format, write_params};
use crate::encode::measure::{Extent, sendable};
use crate::param::bindable::Bindable;
use crate::param::formats::{Formats, Mixed};
use crate::param::params::{FieldByField, Params, VisitParam};

/// Writes one frame to the beginning of a slice, and detects whether the frame fits and can be sent.
///
/// This writer does not detect a field that is longer than a message may be. So the frame is valid only if [`Extent::is_sendable`] returns
/// true for the same message.
pub(crate) struct Fill<'a> {
    /// The length field of the frame, which is written last.
    field: &'a mut [u8; 4],
    /// Number of bytes of the slice after the length field.
    room: usize,
    /// The part of the slice after the last written field. Set to the empty slice when a field does not fit.
    rest: &'a mut [u8],
    refused: bool,
}

impl<'a> Fill<'a> {
    /// Starts a frame: writes the code, if there is one, and reserves the length field. The body follows.
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

    /// Ends the frame: writes its length, and returns the unused part of the slice. Returns `None` if the frame does not fit or cannot be
    /// sent.
    #[inline(always)]
    pub(crate) fn finish(self) -> Option<&'a mut [u8]> {
        let length = 4 + self.room - self.rest.len();
        if self.refused || length > MAX_LENGTH {
            return None;
        }
        *self.field = (length as u32).to_be_bytes();
        Some(self.rest)
    }

    /// Writes parameters whose formats and lengths the compiler knows: first the format codes, then the values.
    #[inline(always)]
    fn known_params<T: Params>(&mut self, params: &T) {
        // First writes one code for each parameter. If all parameters have the same format, the message needs at most one code, and the
        // fields that follow overwrite the other codes. Every message that fits has room for one code for each parameter, because each
        // value takes at least four bytes, and each code takes two bytes.
        let Ok(count) = u16::try_from(params.count()) else { return self.fail() };
        let rest = core::mem::take(&mut self.rest);
        let Some(room) = rest.get_mut(2..2 + 2 * usize::from(count)) else { return self.fail() };
        let mut codes = CodePlaces::new(room);
        params.each(&mut codes);
        let Some(formats) = codes.finish() else { return self.fail() };
        self.rest = rest;
        self.format_list(formats, count);
        params.each(&mut ParamValues(self));
    }

    /// Writes the number of format codes, the codes, and the number of parameters. Precondition: [`CodePlaces`] has written one code for
    /// each parameter. If the parameters have different formats, this method keeps these codes; otherwise this method overwrites the codes
    /// with a shorter list.
    #[inline(always)]
    fn format_list(&mut self, formats: Formats, count: u16) {
        match formats.in_common() {
            Ok(format) => write_common_format(format, self),
            Err(Mixed) => {
                self.int16(count);
                self.take(2 * usize::from(count));
            }
        }
        self.int16(count);
    }

    #[inline(always)]
    fn fail(&mut self) {
        cold_path();
        self.refused = true;
    }

    /// Takes the next `length` bytes of the slice.
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
    fn store<const N: usize>(&mut self, value: [u8; N]) {
        if let Some(room) = self.take(N) {
            room.copy_from_slice(&value);
        }
    }
}

// All methods are inlined: otherwise each call would force the compiler to keep the state of the writer in memory instead of registers.
impl Writer for Fill<'_> {
    #[inline(always)]
    fn byte1(&mut self, value: u8) {
        self.store([value]);
    }
    #[inline(always)]
    fn int16(&mut self, value: u16) {
        self.store(value.to_be_bytes());
    }
    #[inline(always)]
    fn int32(&mut self, value: u32) {
        self.store(value.to_be_bytes());
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
        match params.write_to::<OneByOne>(rest).and_then(|length| rest.get_mut(length..)) {
            Some(rest) => self.rest = rest,
            None => self.fail(),
        }
    }
    #[inline(always)]
    fn refuse(&mut self, _: EncodeErrorKind) {
        self.refused = true;
    }
}

/// Writes the format code of each parameter into a list of places. A place is the two bytes that are reserved for one code.
struct CodePlaces<'a> {
    places: core::slice::IterMut<'a, [u8; 2]>,
    formats: Formats,
    /// Whether more parameters were visited than format codes were reserved.
    more: bool,
}

impl<'a> CodePlaces<'a> {
    #[inline(always)]
    fn new(room: &'a mut [u8]) -> Self {
        Self { places: room.as_chunks_mut().0.iter_mut(), formats: Formats::default(), more: false }
    }

    /// Returns the formats that occur among the parameters; `None` if the number of parameters differs from the number of reserved format
    /// codes.
    #[inline(always)]
    fn finish(self) -> Option<Formats> {
        (!self.more && self.places.len() == 0).then_some(self.formats)
    }
}

impl VisitParam for CodePlaces<'_> {
    #[inline(always)]
    fn visit<B: Bindable + ?Sized>(&mut self, value: &B) {
        let format = Formats::of(value.format());
        self.formats.add(format);
        match self.places.next() {
            Some(place) => *place = format.code(),
            None => self.more = true,
        }
    }
}

/// Slow path for parameters. Visits each parameter several times: to count the parameters, to write the format code, and to write the
/// value.
struct OneByOne;

impl FieldByField for OneByOne {
    #[cold]
    #[inline(never)]
    fn write<T: Params + ?Sized>(params: &T, room: &mut [u8]) -> Option<usize> {
        let mut extent = Extent::default();
        write_params(params, &mut extent);
        extent.within(room.len())?;
        let all = room.len();
        let mut fill = Fill { field: &mut [0; 4], room: all, rest: room, refused: false };
        write_params(params, &mut fill);
        let length = all - fill.finish()?.len();
        extent.is_sendable().then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::measure::Measure;
    use crate::params;
    use alloc::boxed::Box;
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    fn written<T: Params>(params: T) -> Vec<u8> {
        let mut measure = Measure::default();
        write_params(&params, &mut measure);
        let mut extent = Extent::default();
        write_params(&params, &mut extent);
        assert_eq!(extent.within(usize::MAX), Some(measure.length));
        // Writes the expected bytes field by field, as a writer without a fast path does.
        let mut bytes = vec![0; measure.length + 4];
        let mut fill = Fill::frame(None, &mut bytes).expect("there is room");
        write_params(&params, &mut fill);
        assert_eq!(fill.finish(), Some(&mut [][..]));
        // Parameters in a slice are first written with one format code for each parameter. Tests buffers with and without room for all of
        // these codes.
        for spare in [0, 1, 2 * params.count(), 2 * params.count() + 100] {
            let mut room = vec![0xee; bytes.len() + spare];
            let mut fill = Fill::frame(None, &mut room).expect("there is room");
            fill.params(&params);
            assert_eq!(fill.finish().map(|rest| rest.len()), Some(spare), "{spare} spare bytes");
            assert_eq!(room.get(..bytes.len()), Some(&bytes[..]), "{spare} spare bytes");
        }
        for short in 4..bytes.len() {
            let mut room = vec![0; short];
            let mut fill = Fill::frame(None, &mut room).expect("there is room for the length");
            fill.params(&params);
            assert_eq!(fill.finish(), None, "{short} bytes for {}", bytes.len());
        }
        bytes.split_off(4)
    }

    #[test]
    fn all_text_sends_no_format_code() {
        assert_eq!(written(("a", String::from("b"))), b"\0\0\0\x02\0\0\0\x01a\0\0\0\x01b");
        assert_eq!(written(()), b"\0\0\0\0");
    }

    #[test]
    fn all_binary_sends_one_format_code() {
        assert_eq!(written((1i16, true)), b"\0\x01\0\x01\0\x02\0\0\0\x02\0\x01\0\0\0\x01\x01");
    }

    #[test]
    fn mixed_formats_send_one_format_code_each() {
        assert_eq!(written((1i16, "a")), b"\0\x02\0\x01\0\0\0\x02\0\0\0\x02\0\x01\0\0\0\x01a");
    }

    #[test]
    fn a_null_does_not_change_the_format_codes() {
        let null = b"\xff\xff\xff\xff";
        assert_eq!(
            written((1i16, None::<&str>)),
            [&b"\0\x01\0\x01\0\x02\0\0\0\x02\0\x01"[..], null].concat()
        );
        assert_eq!(written(("a", None::<i16>)), [&b"\0\0\0\x02\0\0\0\x01a"[..], null].concat());
        assert_eq!(written((None::<i16>,)), [&b"\0\0\0\x01"[..], null].concat());
    }

    #[test]
    fn mixed_formats_send_one_code_for_each_parameter_whatever_their_number() {
        for count in [2usize, 63, 64, 65, 300] {
            let values: Vec<Box<dyn Bindable>> = (0..count)
                .map(|at| if at % 3 == 0 { Box::new(7i32) as Box<dyn Bindable> } else { Box::new("x") })
                .collect();
            let bytes = written(values);
            let codes = bytes[2..].as_chunks::<2>().0.iter().take(count);
            assert_eq!(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])), count);
            for (at, code) in codes.enumerate() {
                assert_eq!(*code, [0, u8::from(at % 3 == 0)], "{at} of {count}");
            }
        }
    }

    #[test]
    fn tuples_slices_and_dynamic_parameters_are_written_as_the_same_bytes() {
        let tuple = written((7i32, "x", Some(1.5f64), None::<bool>));
        let dynamic: &[&dyn Bindable] = &[&7i32, &"x", &Some(1.5f64), &None::<bool>];
        assert_eq!(written(dynamic), tuple);
        assert_eq!(written(params![7i32, "x", Some(1.5f64), None::<bool>]), tuple);
        assert_eq!(written([1i32, 2]), written((1i32, 2i32)));
        assert_eq!(written(vec![1i32, 2]), written((1i32, 2i32)));
    }
}
