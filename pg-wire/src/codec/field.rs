//! The trait of fields, and the fields that contain a single value: integers, strings, bytes.

use core::fmt;

use crate::basic::enums::{CopyFormat, FormatCode, Target, TransactionStatus};
use crate::basic::error::DecodeError;
use crate::basic::text::Text;
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;

/// A field of a message body. A message declares its fields once, for reading and for writing.
pub trait Field<'a>: Sized {
    /// Reads the field from `body`.
    ///
    /// # Errors
    /// When the field is malformed.
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Passes the field to `out`.
    fn write<P: Writer + ?Sized>(&self, out: &mut P);
}

impl<'a> Field<'a> for FormatCode {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.u16().map(Self::from)
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.int16(self.code());
    }
}

macro_rules! bytes {
    ($($name:ident)*) => {
        $(impl<'a> Field<'a> for $name {
            #[inline]
            fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
                body.u8().map(Self::from)
            }
            #[inline]
            fn write<P: Writer + ?Sized>(&self, out: &mut P) {
                out.byte1(self.byte());
            }
        })*
    };
}

bytes! { CopyFormat Target TransactionStatus }

/// A value that may be NULL. Its layout is Int32 length (-1 for NULL), then that many bytes.
impl<'a> Field<'a> for Option<&'a [u8]> {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.value()
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.value(*self);
    }
}

impl<'a> Field<'a> for u16 {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.u16()
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.int16(*self);
    }
}

impl<'a> Field<'a> for i16 {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.array().map(Self::from_be_bytes)
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.int16(self.cast_unsigned());
    }
}

impl<'a> Field<'a> for u32 {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.u32()
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.int32(*self);
    }
}

impl<'a> Field<'a> for i32 {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.i32()
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.int32(self.cast_unsigned());
    }
}

impl<'a> Field<'a> for Text<'a> {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.text()
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.text(*self);
    }
}

/// Raw bytes to the end of the body, such as the data of a COPY.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Payload<'a>(pub &'a [u8]);

impl<'a> Payload<'a> {
    /// Returns the bytes.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Field<'a> for Payload<'a> {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self(body.rest()))
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.bytes(self.0);
    }
}

impl fmt::Debug for Payload<'_> {
    /// Prints only the length, because the data may be long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// Secret bytes to the end of the body: a key, a password, a token.
///
/// Neither `Debug` nor a trace shows the bytes. The operator `==` does not run in constant time, so do not authenticate a peer with `==`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Secret<'a>(pub &'a [u8]);

impl<'a> Secret<'a> {
    /// Returns the secret bytes, for sending or for checking.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Field<'a> for Secret<'a> {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self(body.rest()))
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.secret_bytes(self.0);
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A string that neither `Debug` nor a trace shows: a password in clear text.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SecretText<'a>(pub Text<'a>);

impl<'a> Field<'a> for SecretText<'a> {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.text().map(Self)
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.secret_text(self.0);
    }
}

impl fmt::Debug for SecretText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(***)")
    }
}
