//! The trait of values that can be written to a row of a COPY, in every format.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::field::TextField;
use crate::param::bindable::Bindable;
use crate::param::bound::Bound;

/// A value of a row that is sent with COPY.
///
/// In binary format the value is written as [`Bindable::bound`] returns it, and must be in the binary form of the column's type: an `i32`
/// for an `int4`. For text types the binary form is the text itself. In text and CSV format the value is written in its text form, which is
/// the same form that the server writes:
///
/// | Rust | text form |
/// | --- | --- |
/// | `bool` | `t`, `f` |
/// | `i16`, `i32`, `i64`, `u32` | decimal |
/// | `f32`, `f64` | the shortest text that is read back as the same number: `1.5`, `1e+20`, `NaN`, `-Infinity` |
/// | `str`, `String`, `Cow<str>` | the string |
/// | `[u8]`, `Vec<u8>`, `Bytes` | `\x` and hexadecimal digits |
/// | `uuid::Uuid` | with hyphens, in lower case |
/// | `Option<T>` | the text form of `T`; `None` is NULL |
///
/// [`AsText`](crate::value::AsText) does not implement this trait: in binary format, a server would read the text as a binary value.
///
/// ```
/// use core::fmt::Write;
/// use pg_wire::{Bindable, Bound, copy::{CopyValue, TextField}};
///
/// /// A `point`: two float8.
/// struct Point { x: f64, y: f64 }
///
/// impl Bindable for Point {
///     fn bound(&self) -> Bound<'_> {
///         let mut bytes = [0; 16];
///         bytes[..8].copy_from_slice(&self.x.to_be_bytes());
///         bytes[8..].copy_from_slice(&self.y.to_be_bytes());
///         Bound::from(bytes)
///     }
/// }
///
/// impl CopyValue for Point {
///     fn write_text(&self, field: &mut TextField<'_>) {
///         let _ = write!(field, "({},{})", self.x, self.y);
///     }
/// }
/// ```
pub trait CopyValue: Bindable {
    /// Writes the text form of the value. For NULL, an implementation must call [`TextField::put_null`].
    fn write_text(&self, field: &mut TextField<'_>);

    /// Whether the value stands for the default value of the column. If so, the writer writes the DEFAULT string of the options, and does
    /// not call `write_text`. See [`OrDefault`].
    #[inline(always)]
    fn is_default(&self) -> bool {
        false
    }
}

/// A value, or the default value of the column, for a COPY with [`CopyOptions::default_string`](super::CopyOptions::default_string).
///
/// ```
/// use pg_wire::copy::{CopyOptions, CopyWriter, OrDefault};
///
/// let options = CopyOptions::text().default_string("\\D");
/// let mut writer = CopyWriter::new(&options)?;
/// writer.row(&(1i32, OrDefault::Value("a")))?;
/// writer.row(&(2i32, OrDefault::<&str>::Default))?;
/// assert_eq!(writer.data(), b"1\ta\n2\t\\D\n");
/// # Ok::<_, pg_wire::copy::CopyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrDefault<T> {
    /// A value.
    Value(T),
    /// The default value of the column.
    Default,
}

impl<T: Bindable> Bindable for OrDefault<T> {
    /// Returns NULL for `Default`. A [`CopyWriter`](super::CopyWriter) does not send this NULL, because the writer calls
    /// [`CopyValue::is_default`] first.
    #[inline]
    fn bound(&self) -> Bound<'_> {
        match self {
            Self::Value(value) => value.bound(),
            Self::Default => Bound::NULL,
        }
    }
}

impl<T: CopyValue> CopyValue for OrDefault<T> {
    #[inline]
    fn write_text(&self, field: &mut TextField<'_>) {
        match self {
            Self::Value(value) => value.write_text(field),
            Self::Default => field.put_null(),
        }
    }

    #[inline]
    fn is_default(&self) -> bool {
        match self {
            Self::Value(value) => value.is_default(),
            Self::Default => true,
        }
    }
}

impl CopyValue for bool {
    #[inline]
    fn write_text(&self, field: &mut TextField<'_>) {
        field.put_plain(if *self { b"t" } else { b"f" });
    }
}

/// The decimal digits of the numbers from 0 to 99, two digits for each number.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut at = 0;
    while at < 100 {
        #[allow(clippy::indexing_slicing)]
        {
            pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        }
        at += 1;
    }
    pairs
};

/// Writes a number in decimal.
#[inline]
fn write_integer(is_negative: bool, magnitude: u64, field: &mut TextField<'_>) {
    // A u64 has at most 20 digits; one more byte is for the sign.
    let mut text = [b'-'; 21];
    let mut end = text.len();
    let mut rest = magnitude;
    let mut place = |bytes: &[u8]| {
        end -= bytes.len();
        if let Some(room) = text.get_mut(end..end + bytes.len()) {
            room.copy_from_slice(bytes);
        }
    };
    while rest >= 100 {
        place(PAIRS.get((rest % 100) as usize).unwrap_or(&[0; 2]));
        rest /= 100;
    }
    match rest {
        0..=9 => place(&[b'0' + rest as u8]),
        _ => place(PAIRS.get(rest as usize).unwrap_or(&[0; 2])),
    }
    // `text` was filled with `-`, so the byte before the first digit is the sign of a negative number.
    field.put_plain(text.get(end - usize::from(is_negative)..).unwrap_or_default());
}

macro_rules! integer {
    ($($type:ty)*) => {
        $(impl CopyValue for $type {
            #[inline]
            fn write_text(&self, field: &mut TextField<'_>) {
                let number = i64::from(*self);
                write_integer(number < 0, number.unsigned_abs(), field);
            }
        })*
    };
}

integer!(i16 i32 i64 u32);

/// A short text on the stack.
struct Short {
    bytes: [u8; 32],
    length: usize,
}

impl Short {
    fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

macro_rules! float {
    ($($type:ty, $largest:literal;)*) => {
        $(impl CopyValue for $type {
            /// Writes the same text as the server. The text has an exponent if the magnitude is below 0.0001 or at least `$largest`.
            fn write_text(&self, field: &mut TextField<'_>) {
                let magnitude = self.abs();
                let mut short = Short { bytes: [0; 32], length: 0 };
                if self.is_nan() {
                    field.put_plain(b"NaN");
                } else if self.is_infinite() {
                    field.put_plain(if *self > 0.0 { b"Infinity" } else { b"-Infinity" });
                } else if magnitude == 0.0 || (1e-4..$largest).contains(&magnitude) {
                    // The text fits into `short`: a number in this range has at most 17 digits, a sign, a point and five zeros.
                    let _ = write!(short, "{self}");
                    field.put_plain(short.text());
                } else {
                    let _ = write!(short, "{self:e}");
                    write_exponent(short.text(), field);
                }
            }
        })*
    };
}

float! {
    f32, 1e6;
    f64, 1e15;
}

/// Writes `1.5e20` as `1.5e+20`, and `1e-5` as `1e-05`.
fn write_exponent(text: &[u8], field: &mut TextField<'_>) {
    let at = text.iter().position(|byte| *byte == b'e').map_or(text.len(), |at| at + 1);
    let (digits, exponent) = text.split_at(at);
    let (sign, exponent) = match exponent {
        [b'-', exponent @ ..] => (b"-", exponent),
        exponent => (b"+", exponent),
    };
    field.put_plain(digits);
    field.put_plain(sign);
    if exponent.len() < 2 {
        field.put_plain(b"0");
    }
    field.put_plain(exponent);
}

macro_rules! strings {
    ($($type:ty)*) => {
        $(impl CopyValue for $type {
            #[inline]
            fn write_text(&self, field: &mut TextField<'_>) {
                field.put_str(self);
            }
        })*
    };
}

strings!(str String Cow<'_, str>);

/// Writes a `bytea` in hexadecimal form.
fn write_bytea(bytes: &[u8], field: &mut TextField<'_>) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    field.put(b"\\x");
    for piece in bytes.chunks(32) {
        let mut text = [[0; 2]; 32];
        for (byte, pair) in piece.iter().zip(&mut text) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        field.put_plain(text.get(..piece.len()).unwrap_or_default().as_flattened());
    }
}

macro_rules! byteas {
    ($($type:ty)*) => {
        $(impl CopyValue for $type {
            fn write_text(&self, field: &mut TextField<'_>) {
                write_bytea(self, field);
            }
        })*
    };
}

byteas!([u8] Vec<u8> bytes::Bytes);

impl<const N: usize> CopyValue for [u8; N] {
    fn write_text(&self, field: &mut TextField<'_>) {
        write_bytea(self, field);
    }
}

#[cfg(feature = "uuid")]
impl CopyValue for uuid::Uuid {
    fn write_text(&self, field: &mut TextField<'_>) {
        field.put_str(self.hyphenated().encode_lower(&mut [0; uuid::fmt::Hyphenated::LENGTH]));
    }
}

macro_rules! through {
    ($($pointer:ty),*) => {
        $(impl<T: CopyValue + ?Sized> CopyValue for $pointer {
            #[inline(always)]
            fn write_text(&self, field: &mut TextField<'_>) {
                (**self).write_text(field);
            }

            #[inline(always)]
            fn is_default(&self) -> bool {
                (**self).is_default()
            }
        })*
    };
}

through!(&T, Box<T>);

impl<T: CopyValue> CopyValue for Option<T> {
    #[inline(always)]
    fn write_text(&self, field: &mut TextField<'_>) {
        match self {
            Some(value) => value.write_text(field),
            None => field.put_null(),
        }
    }

    #[inline(always)]
    fn is_default(&self) -> bool {
        self.as_ref().is_some_and(T::is_default)
    }
}

/// The values of one row:
///
/// - a tuple of up to 16 [`CopyValue`]s;
/// - a slice, an array or a `Vec` of [`CopyValue`]s of one type;
/// - `&[&dyn CopyValue]`, for mixed types that are known only at run time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a row of a COPY",
    note = "a row of a single value is written `(value,)`",
    note = "values that can be written are listed at `CopyValue`"
)]
pub trait CopyValues {
    /// Returns the number of values, which must be the number of values that [`each`](Self::each) visits.
    fn count(&self) -> usize;

    /// Passes each value to `visit`, in order.
    fn each(&self, visit: &mut impl VisitCopyValue);
}

/// A visitor of the values of a row, for [`CopyValues::each`].
pub trait VisitCopyValue {
    /// Visits the next value.
    fn visit<V: CopyValue + ?Sized>(&mut self, value: &V);
}

impl<V: CopyValue> CopyValues for [V] {
    #[inline(always)]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn each(&self, visit: &mut impl VisitCopyValue) {
        for value in self {
            visit.visit(value);
        }
    }
}

impl<V: CopyValue, const N: usize> CopyValues for [V; N] {
    #[inline(always)]
    fn count(&self) -> usize {
        N
    }

    #[inline(always)]
    fn each(&self, visit: &mut impl VisitCopyValue) {
        self.as_slice().each(visit);
    }
}

impl<V: CopyValue> CopyValues for Vec<V> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn each(&self, visit: &mut impl VisitCopyValue) {
        self.as_slice().each(visit);
    }
}

impl<R: CopyValues + ?Sized> CopyValues for &R {
    #[inline(always)]
    fn count(&self) -> usize {
        (**self).count()
    }

    #[inline(always)]
    fn each(&self, visit: &mut impl VisitCopyValue) {
        (**self).each(visit);
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {
        $(impl<$($name: CopyValue),*> CopyValues for ($($name,)*) {
            #[inline(always)]
            fn count(&self) -> usize {
                <[&str]>::len(&[$(stringify!($name)),*])
            }

            #[inline(always)]
            #[allow(non_snake_case, unused_variables)]
            fn each(&self, visit: &mut impl VisitCopyValue) {
                let ($($name,)*) = self;
                $(visit.visit($name);)*
            }
        })*
    };
}

tuples! {
    () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) (A B C D E F G H I)
    (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L) (A B C D E F G H I J K L M)
    (A B C D E F G H I J K L M N) (A B C D E F G H I J K L M N O) (A B C D E F G H I J K L M N O P)
}
