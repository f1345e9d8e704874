//! A list whose items are read only when the caller iterates over the list, and not when the message is decoded.

use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::codec::field::Field;
use crate::codec::reader::Reader;

/// An item of an [`Unread`] list.
pub(crate) trait Item<'a>: Field<'a> + Copy + PartialEq {
    /// Name of the list in errors.
    const LIST: &'static str;
}

/// A list whose items are read by its iterator. The layout is `Int16 n`, then n items.
#[derive(Clone, Copy)]
pub(crate) enum Unread<'a, T> {
    /// Received bytes: the count and the bytes after the count.
    Wire(&'a [u8]),
    /// Items to send.
    Given(&'a [T]),
}

impl<'a, T: Item<'a>> Unread<'a, T> {
    /// Takes all remaining bytes of a body as the list, without reading each item.
    #[inline(always)]
    pub(crate) fn read_last(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut whole = *body;
        body.u16()?;
        body.rest();
        Ok(Self::Wire(whole.rest()))
    }

    /// Reads a list that is followed by a field of the message. To find the end of the list, this method reads all items.
    #[inline]
    pub(crate) fn read_first(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = *body;
        for _ in 0..body.u16()? {
            T::read(body)?;
        }
        Ok(Self::Wire(start.until(body)))
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Wire(bytes) => bytes.first_chunk().map_or(0, |count| u16::from_be_bytes(*count).into()),
            Self::Given(items) => items.len(),
        }
    }

    #[inline]
    pub(crate) fn iter(self) -> UnreadIter<'a, T> {
        match self {
            Self::Wire(bytes) => {
                let mut body = Reader::new(T::LIST, bytes);
                UnreadIter::Wire { left: body.u16().unwrap_or(0), body }
            }
            Self::Given(items) => UnreadIter::Given(items.iter()),
        }
    }
}

impl<'a, T: Item<'a>> PartialEq for Unread<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

/// Iterator over an [`Unread`] list. The iteration ends after an error.
#[derive(Clone, Debug)]
pub(crate) enum UnreadIter<'a, T> {
    Wire { left: u16, body: Reader<'a> },
    Given(core::slice::Iter<'a, T>),
}

impl<'a, T: Item<'a>> Iterator for UnreadIter<'a, T> {
    type Item = Result<T, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Wire { left: 0, body } => {
                // If bytes are left over after the last item, the iterator returns one error.
                let rest = body.rest();
                if rest.is_empty() {
                    None
                } else {
                    Some(Err(body.error_before(rest, DecodeErrorKind::Trailing)))
                }
            }
            Self::Wire { left, body } => {
                let item = T::read(body);
                *left -= 1;
                if item.is_err() {
                    *left = 0;
                    body.rest();
                }
                Some(item)
            }
            Self::Given(items) => items.next().map(|item| Ok(*item)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            // The upper limit counts one more item: the error that reports bytes left over. The lower limit is 0, because a malformed item
            // ends the iteration early.
            Self::Wire { left, .. } => (0, Some(usize::from(*left) + 1)),
            Self::Given(items) => items.size_hint(),
        }
    }
}
