//! The trait of writers, which receive the fields of a message.

use crate::basic::enums::FormatCode;
use crate::basic::error::EncodeErrorKind;
use crate::basic::text::Text;
use crate::param::bindable::Bindable;
use crate::param::formats::{Formats, Mixed};
use crate::param::params::{Params, VisitParam};

/// Receives the fields of a message in wire order.
///
/// A message lists its fields once, in [`Message::write`](crate::Message::write). One writer counts the bytes of the fields, a second
/// writer writes the bytes into a buffer, and a third writer prints a trace line. So length, bytes and trace always agree.
///
/// The methods return no errors. A field that cannot be sent is reported with [`refuse`](Self::refuse), and then no part of the
/// message is sent.
pub trait Writer {
    /// Takes one byte that represents a character: a kind, a status, a field code.
    fn byte1(&mut self, value: u8);
    /// Takes an Int16.
    fn int16(&mut self, value: u16);
    /// Takes an Int32.
    fn int32(&mut self, value: u32);
    /// Takes a string, which is sent with a terminating NUL.
    fn text(&mut self, value: Text<'_>);
    /// Takes bytes without a length field. Another field contains the length of these bytes, or the bytes are the last field of the
    /// message.
    fn bytes(&mut self, value: &[u8]);

    /// Takes an Int32 length and that many bytes. Precondition: `length` is the length of `value`.
    #[inline]
    fn counted(&mut self, length: u32, value: &[u8]) {
        self.int32(length);
        self.bytes(value);
    }
    /// Takes a value: Int32 length and that many bytes, or an Int32 of -1 for NULL. Rejects a value of more than 2,147,483,647 bytes.
    #[inline]
    fn value(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.int32(u32::MAX),
            Some(value) => match i32::try_from(value.len()) {
                Ok(length) => self.counted(length.cast_unsigned(), value),
                Err(_) => self.refuse(EncodeErrorKind::ValueTooLong { length: value.len() }),
            },
        }
    }
    /// Takes an Int16 count. Rejects a count above 65,535; `what` names the counted items in the error.
    #[inline]
    fn count(&mut self, what: &'static str, count: usize) {
        match u16::try_from(count) {
            Ok(count) => self.int16(count),
            Err(_) => {
                self.refuse(EncodeErrorKind::TooMany { what, given: count, most: usize::from(u16::MAX) });
            }
        }
    }
    /// Takes a parameter or an argument, which is sent in the form of a [`value`](Self::value).
    #[inline]
    fn param<B: Bindable + ?Sized>(&mut self, value: &B) {
        self.value(value.bound().as_bytes());
    }
    /// Takes parameters or arguments: Int16 n, Int16\[n\] formats, Int16 m and m times [`param`](Self::param).
    #[inline(always)]
    fn params<T: Params>(&mut self, params: &T) {
        write_params(params, self);
    }
    /// Takes a secret string, which is sent with a terminating NUL. A trace must not print the string.
    #[inline]
    fn secret_text(&mut self, value: Text<'_>) {
        self.text(value);
    }
    /// Takes secret bytes. A trace must not print the bytes.
    #[inline]
    fn secret_bytes(&mut self, value: &[u8]) {
        self.bytes(value);
    }
    /// Takes bytes that libpq's trace does not show.
    #[inline]
    fn unprinted(&mut self, value: &[u8]) {
        self.bytes(value);
    }
    /// Sets the name that a trace prints for this message. Call this method for a message whose name depends on a field. The name is not
    /// sent.
    #[inline]
    fn rename(&mut self, name: core::fmt::Arguments<'_>) {
        let _ = name;
    }
    /// Whether this writer needs a received list field by field. If `false`, all bytes of the list are passed to
    /// [`bytes`](Self::bytes) in one call.
    #[inline]
    fn wants_fields(&self) -> bool {
        false
    }
    /// Rejects the message with this reason. If this method is called more than once, the error contains the first reason.
    #[inline]
    fn refuse(&mut self, reason: EncodeErrorKind) {
        let _ = reason;
    }
}

/// Writes parameters field by field: Int16 n, Int16\[n\] formats, Int16 m and m values. Used by writers without a fast path.
#[inline(always)]
pub(crate) fn write_params<T: Params + ?Sized, P: Writer + ?Sized>(params: &T, out: &mut P) {
    let mut summary = Summary::default();
    params.each(&mut summary);
    if summary.count != params.count() {
        return out.refuse(EncodeErrorKind::Unstable);
    }
    match summary.formats.in_common() {
        Ok(format) => write_common_format(format, out),
        Err(Mixed) => {
            out.count("parameters", params.count());
            params.each(&mut FormatCodes(out));
        }
    }
    out.count("parameters", params.count());
    params.each(&mut ParamValues(out));
}

/// Writes the list of format codes for values that share one format: empty for text, and one code for any other format.
#[inline(always)]
pub(crate) fn write_common_format<P: Writer + ?Sized>(format: Option<FormatCode>, out: &mut P) {
    match format {
        None => out.int16(0),
        Some(format) if out.wants_fields() => {
            out.int16(1);
            out.int16(format.code());
        }
        Some(format) => out.int32(1 << 16 | u32::from(format.code())),
    }
}

/// Number of parameters, and the formats that occur among them.
#[derive(Default)]
struct Summary {
    formats: Formats,
    count: usize,
}

impl VisitParam for Summary {
    #[inline(always)]
    fn visit<B: Bindable + ?Sized>(&mut self, value: &B) {
        self.formats.add(Formats::of(value.format()));
        self.count += 1;
    }
}

/// Writes the format code of each parameter.
struct FormatCodes<'a, P: ?Sized>(&'a mut P);

impl<P: Writer + ?Sized> VisitParam for FormatCodes<'_, P> {
    #[inline(always)]
    fn visit<B: Bindable + ?Sized>(&mut self, value: &B) {
        self.0.int16(u16::from_be_bytes(Formats::of(value.format()).code()));
    }
}

/// Writes each parameter.
pub(crate) struct ParamValues<'a, P: ?Sized>(pub(crate) &'a mut P);

impl<P: Writer + ?Sized> VisitParam for ParamValues<'_, P> {
    #[inline(always)]
    fn visit<B: Bindable + ?Sized>(&mut self, value: &B) {
        self.0.param(value);
    }
}
