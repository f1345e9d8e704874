//! The values of a row, of a bind, of a function call.

use core::fmt;

use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::basic::length::LONGEST;
use crate::codec::field::Field;
use crate::codec::put::Put;
use crate::codec::reader::Reader;

/// Values one after the other behind their count: `Int16 n`, then n times `Int32 length` (-1 for NULL) and as many
/// bytes. Up to 65,535 of them.
///
/// As they came, or as given in a slice. A [`DataRow`](crate::backend::DataRow) is not walked when it is decoded, so
/// every step of the iteration may find the row damaged; a damaged value is an error and never NULL.
///
/// ```
/// use pg_wire::Values;
///
/// let columns = [Some(&b"1"[..]), None];
/// let mut columns = Values::from(&columns).iter();
/// assert_eq!(columns.next(), Some(Ok(Some(&b"1"[..]))));
/// assert_eq!(columns.next(), Some(Ok(None)));
/// assert_eq!(columns.next(), None);
/// ```
#[derive(Clone, Copy)]
pub struct Values<'a>(Repr<'a>);

#[derive(Clone, Copy)]
enum Repr<'a> {
    /// The count and what follows it.
    Wire(&'a [u8]),
    Given(&'a [Option<&'a [u8]>]),
}

impl<'a> Values<'a> {
    /// No values.
    pub const EMPTY: Values<'static> = Values(Repr::Given(&[]));

    /// The rest of a body, unwalked.
    #[inline]
    pub(crate) fn read_last(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut whole = *body;
        body.u16()?;
        body.rest();
        Ok(Self(Repr::Wire(whole.rest())))
    }

    /// How many values there are.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0 {
            Repr::Wire(bytes) => bytes.first_chunk().map_or(0, |count| u16::from_be_bytes(*count).into()),
            Repr::Given(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values in order; `None` is NULL.
    #[inline]
    pub fn iter(&self) -> ValuesIter<'a> {
        ValuesIter(match self.0 {
            Repr::Wire(bytes) => {
                // Of other messages the values were walked when they were decoded: only a row can be found damaged here.
                let mut body = Reader::new("DataRow", bytes);
                IterRepr::Wire { left: body.u16().unwrap_or(0), body }
            }
            Repr::Given(values) => IterRepr::Given(values.iter()),
        })
    }

    /// The value at `index`, counted from 0; `Ok(None)` past the last. Walks there: for several columns out of order
    /// walk once and keep what is needed.
    ///
    /// # Errors
    /// When a value on the way is malformed.
    pub fn get(&self, index: usize) -> Result<Option<Option<&'a [u8]>>, DecodeError> {
        self.iter().nth(index).transpose()
    }

    /// Walks all values and sees that nothing is left over.
    ///
    /// # Errors
    /// When one is malformed, or the body goes on after the last.
    #[inline]
    pub fn validate(&self) -> Result<(), DecodeError> {
        match self.0 {
            Repr::Wire(bytes) if is_sound(bytes) => Ok(()),
            // What is wrong with it is told by the one that tells it of each value.
            _ => self.iter().try_for_each(|value| value.map(drop)),
        }
    }
}

/// Whether as many values as are told are there, and nothing behind them.
fn is_sound(bytes: &[u8]) -> bool {
    let Some((&count, mut rest)) = bytes.split_first_chunk() else { return false };
    // No frame has more, so that a length which is negative, and not the one of NULL, is longer than what is left.
    if rest.len() > LONGEST {
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

/// Iterator over [`Values`]. After an error it ends.
#[derive(Clone, Debug)]
pub struct ValuesIter<'a>(IterRepr<'a>);

#[derive(Clone, Debug)]
enum IterRepr<'a> {
    Wire { left: u16, body: Reader<'a> },
    Given(core::slice::Iter<'a, Option<&'a [u8]>>),
}

impl<'a> Iterator for ValuesIter<'a> {
    type Item = Result<Option<&'a [u8]>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            IterRepr::Wire { left: 0, body } => {
                // Leftovers are told once, after the last value.
                let rest = body.rest();
                if rest.is_empty() {
                    None
                } else {
                    Some(Err(body.error_before(rest, DecodeErrorKind::Trailing)))
                }
            }
            IterRepr::Wire { left, body } => {
                let value = body.value();
                *left -= 1;
                if value.is_err() {
                    *left = 0;
                    body.rest();
                }
                Some(value)
            }
            IterRepr::Given(values) => values.next().map(|value| Ok(*value)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            // One more where something is left over, fewer after an error.
            IterRepr::Wire { left, .. } => (0, Some(usize::from(*left) + 1)),
            IterRepr::Given(values) => values.size_hint(),
        }
    }
}

impl<'a> Field<'a> for Values<'a> {
    /// Walks the values to find their end: what follows is another field.
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = *body;
        for _ in 0..body.u16()? {
            body.value()?;
        }
        Ok(Self(Repr::Wire(start.until(body))))
    }

    #[inline]
    fn write<P: Put + ?Sized>(&self, out: &mut P) {
        match self.0 {
            // Also a damaged row leaves as it came: whoever does not look need not judge.
            Repr::Wire(bytes) if !out.wants_fields() => out.bytes(bytes),
            Repr::Wire(_) => {
                out.count("values", self.len());
                for value in self.iter().map_while(Result::ok) {
                    out.value(value);
                }
            }
            Repr::Given(values) => {
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
        Self(Repr::Given(values))
    }
}

impl<'a, const N: usize> From<&'a [Option<&'a [u8]>; N]> for Values<'a> {
    #[inline]
    fn from(values: &'a [Option<&'a [u8]>; N]) -> Self {
        Self(Repr::Given(values))
    }
}

impl PartialEq for Values<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
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
