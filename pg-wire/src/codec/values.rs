//! The values of a row, a Bind, or a function call.

use core::fmt;

use crate::basic::error::DecodeError;
use crate::basic::length::MAX_LENGTH;
use crate::codec::field::Field;
use crate::codec::reader::Reader;
use crate::codec::unread::{Item, Unread, UnreadIter};
use crate::codec::writer::Writer;

/// A list of values: `Int16 n`, then n times `Int32 length` (-1 for NULL) and that many bytes. At most 65,535 values.
///
/// A list holds either a slice of values or received bytes. Decoding a [`DataRow`](crate::backend::DataRow) does not read the values of the
/// row. So each step of an iteration over received values may return an error: a malformed value is an error and never NULL.
///
/// ```
/// use pg_wire::codec::Values;
///
/// let columns = [Some(&b"1"[..]), None];
/// let mut columns = Values::from(&columns).iter();
/// assert_eq!(columns.next(), Some(Ok(Some(&b"1"[..]))));
/// assert_eq!(columns.next(), Some(Ok(None)));
/// assert_eq!(columns.next(), None);
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct Values<'a>(Unread<'a, Option<&'a [u8]>>);

impl<'a> Item<'a> for Option<&'a [u8]> {
    /// The name in errors is always DataRow. A DataRow is the only message that is decoded without reading the values, so an iteration
    /// finds errors only in a DataRow.
    const LIST: &'static str = "DataRow";
}

impl<'a> Values<'a> {
    /// An empty list of values.
    pub const EMPTY: Values<'static> = Values(Unread::Given(&[]));

    /// Takes all remaining bytes of a body as the list, without reading each value.
    #[inline]
    pub(crate) fn read_last(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Unread::read_last(body).map(Self)
    }

    /// Returns the number of values.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the list is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of a received list, beginning with the count; `None` if the list holds a slice.
    #[inline(always)]
    pub(crate) fn as_received(&self) -> Option<&'a [u8]> {
        match self.0 {
            Unread::Wire(bytes) => Some(bytes),
            Unread::Given(_) => None,
        }
    }

    /// Returns an iterator over the values, in order; `None` is NULL.
    #[inline]
    pub fn iter(&self) -> ValuesIter<'a> {
        ValuesIter(self.0.iter())
    }

    /// Returns the value at `index`, counted from 0; `Ok(None)` after the last value. Each call reads all earlier values. To read several
    /// values, use [`iter`](Self::iter).
    ///
    /// # Errors
    /// When this value or a value before it is malformed.
    pub fn get(&self, index: usize) -> Result<Option<Option<&'a [u8]>>, DecodeError> {
        self.iter().nth(index).transpose()
    }

    /// Reads all values, and checks that no bytes are left over.
    ///
    /// # Errors
    /// When a value is malformed, or bytes are left over after the last value.
    #[inline]
    pub fn validate(&self) -> Result<(), DecodeError> {
        match self.0 {
            Unread::Wire(bytes) if is_sound(bytes) => Ok(()),
            // `is_sound` does not return the error. So the values are iterated: the iteration returns the error.
            _ => self.iter().try_for_each(|value| value.map(drop)),
        }
    }
}

/// Whether the bytes consist of a count and exactly that number of values.
fn is_sound(bytes: &[u8]) -> bool {
    let Some((&count, mut rest)) = bytes.split_first_chunk() else { return false };
    // The loop reads each length as an unsigned number. A negative length is then larger than `MAX_LENGTH`. So in a body of at most
    // `MAX_LENGTH` bytes, no value can have this length, and the loop rejects the length. The length -1 (NULL) has its own match arm.
    if rest.len() > MAX_LENGTH {
        return false;
    }
    for _ in 0..u16::from_be_bytes(count) {
        let Some((&length, values)) = rest.split_first_chunk() else { return false };
        rest = match u32::from_be_bytes(length) {
            u32::MAX => values,
            length => match values.get(length as usize..) {
                Some(rest) => rest,
                None => return false,
            },
        };
    }
    rest.is_empty()
}

/// Iterator over [`Values`]. The iteration ends after an error.
#[derive(Clone, Debug)]
pub struct ValuesIter<'a>(UnreadIter<'a, Option<&'a [u8]>>);

impl<'a> Iterator for ValuesIter<'a> {
    type Item = Result<Option<&'a [u8]>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<'a> Field<'a> for Values<'a> {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Unread::read_first(body).map(Self)
    }

    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        match self.0 {
            // Received bytes are forwarded unchanged and without a check, even if a value is malformed.
            Unread::Wire(bytes) if !out.wants_fields() => out.bytes(bytes),
            Unread::Wire(_) => {
                out.count("values", self.len());
                for value in self.iter().map_while(Result::ok) {
                    out.value(value);
                }
            }
            Unread::Given(values) => {
                out.count("values", values.len());
                for value in values {
                    out.value(*value);
                }
            }
        }
    }
}

impl<'a> From<&'a [Option<&'a [u8]>]> for Values<'a> {
    #[inline]
    fn from(values: &'a [Option<&'a [u8]>]) -> Self {
        Self(Unread::Given(values))
    }
}

impl<'a, const N: usize> From<&'a [Option<&'a [u8]>; N]> for Values<'a> {
    #[inline]
    fn from(values: &'a [Option<&'a [u8]>; N]) -> Self {
        Self(Unread::Given(values))
    }
}

impl<'a> IntoIterator for Values<'a> {
    type Item = Result<Option<&'a [u8]>, DecodeError>;
    type IntoIter = ValuesIter<'a>;
    #[inline]
    fn into_iter(self) -> ValuesIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Value<'a>(Result<Option<&'a [u8]>, DecodeError>);
        impl fmt::Debug for Value<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    Ok(Some(bytes)) => write!(f, "\"{}\"", bytes.escape_ascii()),
                    Ok(None) => f.write_str("NULL"),
                    Err(error) => error.fmt(f),
                }
            }
        }
        f.debug_list().entries(self.iter().map(Value)).finish()
    }
}
