//! The values of a row.

use core::fmt;

use crate::basic::enums::FormatCode;
use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::basic::hint::cold_path;
use crate::basic::oid::Oid;
use crate::codec::field::Field;
use crate::codec::reader::Reader;
use crate::codec::unread::{Item, Unread, UnreadIter};
use crate::codec::writer::Writer;
use crate::value::{Column, FromValue, Mismatch};

/// One value of a [`Tuple`].
///
/// Byte1 form, then for `t` and `b`: Int32 length, bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TupleValue<'a> {
    /// `n`: NULL. In an [`OldRow::Key`](super::OldRow::Key), a column that is not part of the key also has this form.
    Null,
    /// `u`: the UPDATE did not change the value. The server did not send the value, because the value is stored out of line (TOAST).
    Unchanged,
    /// `t`: a value in text format.
    Text(&'a [u8]),
    /// `b`: a value in binary format. Sent only with the option [`binary`](crate::replication::command::PgOutput::binary).
    Binary(&'a [u8]),
}

impl<'a> TupleValue<'a> {
    /// Returns the bytes of a value in text or binary format; `None` for NULL and for an unchanged value.
    #[inline]
    pub fn as_bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Null | Self::Unchanged => None,
            Self::Text(bytes) | Self::Binary(bytes) => Some(bytes),
        }
    }

    /// Reads the value as a Rust type. `type_oid` is the type of the column in the [`Relation`](super::Relation).
    ///
    /// ```
    /// use pg_wire::{oid, replication::pgoutput::TupleValue};
    ///
    /// assert_eq!(TupleValue::Text(b"7").value::<i32>(oid::INT4)?, 7);
    /// assert_eq!(TupleValue::Binary(b"\0\0\0\x07").value::<i32>(oid::INT4)?, 7);
    /// assert_eq!(TupleValue::Null.value::<Option<i32>>(oid::INT4)?, None);
    /// assert!(TupleValue::Unchanged.value::<Option<i32>>(oid::INT4).is_err());
    /// # Ok::<_, pg_wire::value::Mismatch>(())
    /// ```
    ///
    /// # Errors
    /// [`Mismatch::Unchanged`] if the value was not sent, and the other errors of [`FromValue`].
    pub fn value<T: FromValue<'a>>(self, type_oid: Oid) -> Result<T, Mismatch> {
        let (value, format) = match self {
            Self::Null => (None, FormatCode::Text),
            Self::Unchanged => return Err(Mismatch::Unchanged),
            Self::Text(bytes) => (Some(bytes), FormatCode::Text),
            Self::Binary(bytes) => (Some(bytes), FormatCode::Binary),
        };
        T::from_value(value, Column { type_oid, format })
    }
}

impl fmt::Debug for TupleValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Text(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::Binary(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
        }
    }
}

impl<'a> Field<'a> for TupleValue<'a> {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        // Fast path with one bounds check for the form and the length. No error is created here, so the compiler keeps the reader in
        // registers. The length is read as unsigned: a negative length is then longer than every message, so the bounds check rejects a
        // negative length.
        if let Some((form, bytes)) = body.formed([b't', b'b']) {
            return Ok(if form == b't' { Self::Text(bytes) } else { Self::Binary(bytes) });
        }
        match body.u8()? {
            b'n' => Ok(Self::Null),
            form => {
                // A separate `match`: with all forms in one `match`, the compiler emits an indirect jump, which takes longer than
                // comparisons (NOTES.md of the benchmark).
                cold_path();
                match form {
                    b'u' => Ok(Self::Unchanged),
                    b't' | b'b' => Err(malformed(body)),
                    found => Err(body.error_before(&[found], DecodeErrorKind::UnknownForm { found })),
                }
            }
        }
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        match self {
            Self::Null => out.byte1(b'n'),
            Self::Unchanged => out.byte1(b'u'),
            Self::Text(bytes) => {
                out.byte1(b't');
                out.value(Some(bytes));
            }
            Self::Binary(bytes) => {
                out.byte1(b'b');
                out.value(Some(bytes));
            }
        }
    }
}

/// Returns the error for a value whose length is missing, negative, or longer than the rest of the message.
#[inline(always)]
fn malformed(body: &mut Reader<'_>) -> DecodeError {
    match body.i32() {
        Err(short) => short,
        // NULL has its own form, so a negative length is an error.
        Ok(..0) => body.error_before(&[0; 4], DecodeErrorKind::NegativeLength),
        Ok(_) => body.error(DecodeErrorKind::Short),
    }
}

/// The values of a row, in the order of the columns of the [`Relation`](super::Relation): `Int16 n`, then n times a [`TupleValue`].
///
/// A tuple holds received bytes or a slice of values. Decoding a change does not read the values of its last tuple, so each step of the
/// iteration may return an error. A malformed value is an error, never NULL.
///
/// ```
/// use pg_wire::replication::pgoutput::{Tuple, TupleValue};
///
/// let values = [TupleValue::Text(b"1"), TupleValue::Null];
/// let mut values = Tuple::from(&values).iter();
/// assert_eq!(values.next(), Some(Ok(TupleValue::Text(b"1"))));
/// assert_eq!(values.next(), Some(Ok(TupleValue::Null)));
/// assert_eq!(values.next(), None);
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct Tuple<'a>(Unread<'a, TupleValue<'a>>);

impl<'a> Item<'a> for TupleValue<'a> {
    const LIST: &'static str = "TupleData";
}

impl<'a> Tuple<'a> {
    #[cfg(test)]
    pub(super) const fn given(values: &'a [TupleValue<'a>]) -> Self {
        Self(Unread::Given(values))
    }

    /// Takes all remaining bytes of the message as the tuple, without reading the values.
    #[inline(always)]
    pub(super) fn read_last(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Unread::read_last(body).map(Self)
    }

    /// Reads a tuple that is followed by another field. The values are read to find the end of the tuple.
    pub(super) fn read_first(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Unread::read_first(body).map(Self)
    }

    #[inline]
    pub(super) fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        match self.0 {
            // Received bytes are written unchanged, even if a value is malformed.
            Unread::Wire(bytes) => out.bytes(bytes),
            Unread::Given(values) => {
                out.count("values", values.len());
                values.iter().for_each(|value| value.write(out));
            }
        }
    }

    /// Returns the number of values.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the tuple has no values.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns an iterator over the values, in the order of the columns.
    #[inline]
    pub fn iter(&self) -> TupleIter<'a> {
        TupleIter(self.0.iter())
    }

    /// Returns the value at `index`, counted from 0; `Ok(None)` after the last value. Each call reads all values before `index`. To read
    /// several values, use [`iter`](Self::iter).
    ///
    /// # Errors
    /// When this value or a value before it is malformed.
    pub fn get(&self, index: usize) -> Result<Option<TupleValue<'a>>, DecodeError> {
        self.iter().nth(index).transpose()
    }

    /// Reads all values, and checks that no bytes are left over.
    ///
    /// # Errors
    /// When a value is malformed, or bytes are left over after the last value.
    pub fn validate(&self) -> Result<(), DecodeError> {
        self.iter().try_for_each(|value| value.map(drop))
    }
}

/// Iterator over a [`Tuple`]. The iteration ends after an error.
#[derive(Clone, Debug)]
pub struct TupleIter<'a>(UnreadIter<'a, TupleValue<'a>>);

impl<'a> Iterator for TupleIter<'a> {
    type Item = Result<TupleValue<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<'a> From<&'a [TupleValue<'a>]> for Tuple<'a> {
    fn from(values: &'a [TupleValue<'a>]) -> Self {
        Self(Unread::Given(values))
    }
}

impl<'a, const N: usize> From<&'a [TupleValue<'a>; N]> for Tuple<'a> {
    fn from(values: &'a [TupleValue<'a>; N]) -> Self {
        Self(Unread::Given(values))
    }
}

impl<'a> IntoIterator for Tuple<'a> {
    type Item = Result<TupleValue<'a>, DecodeError>;
    type IntoIter = TupleIter<'a>;
    #[inline]
    fn into_iter(self) -> TupleIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Tuple<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Value<'a>(Result<TupleValue<'a>, DecodeError>);
        impl fmt::Debug for Value<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match &self.0 {
                    Ok(value) => value.fmt(f),
                    Err(error) => error.fmt(f),
                }
            }
        }
        f.debug_list().entries(self.iter().map(Value)).finish()
    }
}
