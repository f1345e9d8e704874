//! The small fields: integers, codes and bytes.

use core::fmt;

use crate::basic::error::DecodeError;
use crate::basic::text::Text;
use crate::codec::list::Entry;
use crate::codec::message::Field;
use crate::codec::put::Put;
use crate::codec::reader::Reader;

/// An object identifier: of a type, a table, a function. 0 stands for "none" or "let the server find out".
pub type Oid = u32;

/// Two are the same when the wire has the same for both: `Other` of a known code is that code.
macro_rules! by_code {
    ($name:ident, $code:ident) => {
        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                self.$code() == other.$code()
            }
        }

        impl Eq for $name {}

        impl core::hash::Hash for $name {
            fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
                self.$code().hash(state);
            }
        }
    };
}

/// How a value is written: as text, or in the type's binary form.
///
/// Int16 on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub enum FormatCode {
    /// 0: the type's text form, in the session's client encoding.
    #[default]
    Text,
    /// 1: the type's binary form, as its send function makes it.
    Binary,
    /// A code that PostgreSQL has not given a meaning.
    Other(u16),
}

impl FormatCode {
    /// The code on the wire.
    #[inline]
    pub fn code(self) -> u16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
            Self::Other(code) => code,
        }
    }
}

by_code!(FormatCode, code);

impl From<u16> for FormatCode {
    #[inline]
    fn from(code: u16) -> Self {
        match code {
            0 => Self::Text,
            1 => Self::Binary,
            code => Self::Other(code),
        }
    }
}

impl<'a> Field<'a> for FormatCode {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.u16().map(Self::from)
    }
    #[inline]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.int16(self.code());
    }
}

/// Declares a byte whose known values have names and whose others are kept.
macro_rules! byte_enum {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $byte:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// A byte that PostgreSQL has not given a meaning.
            Other(u8),
        }

        impl $name {
            /// The byte on the wire.
            #[inline]
            pub fn byte(self) -> u8 {
                match self {
                    $(Self::$variant => $byte,)*
                    Self::Other(byte) => byte,
                }
            }
        }

        by_code!($name, byte);

        impl From<u8> for $name {
            #[inline]
            fn from(byte: u8) -> Self {
                match byte {
                    $($byte => Self::$variant,)*
                    byte => Self::Other(byte),
                }
            }
        }

        impl<'a> Field<'a> for $name {
            #[inline]
            fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
                body.u8().map(Self::from)
            }
            #[inline]
            fn write<P: Put + ?Sized>(&self, out: &mut P) {
                out.byte1(self.byte());
            }
        }
    };
}

byte_enum! {
    /// What a name names. Byte1 on the wire.
    pub enum Target {
        /// `S`: a prepared statement.
        Statement = b'S',
        /// `P`: a portal.
        Portal = b'P',
    }
}

byte_enum! {
    /// Where the session stands towards a transaction. Byte1 on the wire.
    pub enum TransactionStatus {
        /// `I`: not in a transaction block.
        Idle = b'I',
        /// `T`: in a transaction block.
        InTransaction = b'T',
        /// `E`: in a failed transaction block; all but its end is refused.
        Failed = b'E',
    }
}

byte_enum! {
    /// The form of a COPY as a whole. Int8 on the wire.
    pub enum CopyFormat {
        /// 0: rows of text, separated by newlines.
        Text = 0,
        /// 1: binary.
        Binary = 1,
    }
}

/// A value that may be NULL, on its own: Int32 length (-1 for NULL), then that many bytes.
impl<'a> Field<'a> for Option<&'a [u8]> {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.value()
    }
    #[inline]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        crate::codec::values::write_value(*self, out);
    }
}

impl<'a> Field<'a> for u16 {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.u16()
    }
    #[inline]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.int16(*self);
    }
}

impl<'a> Field<'a> for i16 {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.array().map(Self::from_be_bytes)
    }
    #[inline]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.int16(self.cast_unsigned());
    }
}

impl<'a> Field<'a> for u32 {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.u32()
    }
    #[inline]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.int32(*self);
    }
}

impl<'a> Field<'a> for i32 {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.i32()
    }
    #[inline]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.int32(self.cast_unsigned());
    }
}

impl<'a> Field<'a> for Text<'a> {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.text()
    }
    #[inline]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.text(*self);
    }
}

/// A SASL mechanism in a list of them.
impl<'a> Entry<'a> for Text<'a> {
    #[inline]
    fn is_end(&self) -> bool {
        self.is_empty()
    }
    #[inline]
    fn end<P: Put + ?Sized>(out: &mut P) {
        out.text(Text::EMPTY);
    }
}

/// A name and its value in a start-up packet.
impl<'a> Field<'a> for (Text<'a>, Text<'a>) {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok((body.text()?, body.text()?))
    }
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.text(self.0);
        out.text(self.1);
    }
}

impl<'a> Entry<'a> for (Text<'a>, Text<'a>) {
    fn is_end(&self) -> bool {
        self.0.is_empty()
    }
    fn end<P: Put + ?Sized>(out: &mut P) {
        out.unprinted(&[0]);
    }
}

/// Raw bytes up to the end of the body, such as the data of a COPY.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Payload<'a>(pub &'a [u8]);

impl<'a> Payload<'a> {
    /// The bytes.
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
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.bytes(self.0);
    }
}

impl fmt::Debug for Payload<'_> {
    /// The length alone: there may be much of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// Bytes to the end of the body that must not be printed: a key, a password, a token.
///
/// Neither `Debug` nor a trace shows them. `==` is for tests and proxies; what authenticates compares in constant time.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Secret<'a>(pub &'a [u8]);

impl<'a> Secret<'a> {
    /// The bytes, for whoever sends or checks them.
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
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.secret_bytes(self.0);
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A string that must not be printed: a clear-text password.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SecretText<'a>(pub Text<'a>);

impl<'a> Field<'a> for SecretText<'a> {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.text().map(Self)
    }
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        out.secret_text(self.0);
    }
}

impl fmt::Debug for SecretText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(***)")
    }
}
