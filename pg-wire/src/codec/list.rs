//! Lists of fields: [`List`] has a count before the items, [`Terminated`] has a zero byte after the items.

use core::fmt;
use core::marker::PhantomData;

use crate::basic::error::{DecodeError, EncodeErrorKind};
use crate::basic::text::Text;
use crate::codec::field::Field;
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;

/// A list with a count: `N count` (Int16, or Int32 in some messages), then the items.
///
/// A list holds either a slice of items or received bytes that have been checked. In both forms, the list can be iterated, compared and
/// encoded without allocation.
///
/// ```
/// use pg_wire::{oid, Oid, codec::List};
///
/// let types: List<'_, Oid> = List::from(&[oid::INT4, oid::TEXT]);
/// assert_eq!(types.len(), 2);
/// assert_eq!(types.iter().last(), Some(oid::TEXT));
/// ```
pub struct List<'a, T, N = u16>(Items<'a, T>, PhantomData<N>);

/// A list with a zero byte after the last item. Unlike a [`List`], it has no count.
///
/// ```
/// use pg_wire::{Encode, codec::Terminated, frontend::{ProtocolVersion, StartupMessage}};
///
/// let parameters = [("user".into(), "alice".into()), ("database".into(), "shop".into())];
/// let startup = StartupMessage { version: ProtocolVersion::V3_0, parameters: Terminated::from(&parameters) };
/// let mut out = Vec::new();
/// startup.encode(&mut out)?;
/// # Ok::<_, pg_wire::EncodeError>(())
/// ```
pub struct Terminated<'a, T>(Items<'a, T>);

/// An item of a [`Terminated`] list. The first byte of an item must not be zero, because a zero byte ends the list.
pub trait Entry<'a>: Field<'a> + Copy {
    /// Whether the item begins with a zero byte, which would be read as the end of the list.
    fn is_end(&self) -> bool;

    /// Writes the zero byte that ends the list. The trace of libpq shows this byte in some messages and hides the byte in others. So each
    /// implementation calls the method of [`Writer`] that shows or hides the byte as libpq does.
    fn end<P: Writer + ?Sized>(out: &mut P);
}

/// The integer type of the count of a [`List`].
pub trait Count: for<'a> Field<'a> {
    /// Converts the count to a number of items.
    fn to_len(self) -> usize;

    /// Converts a number of items to a count.
    ///
    /// # Errors
    /// Returns the largest possible count if `len` is larger.
    fn from_len(len: usize) -> Result<Self, usize>;
}

/// Items of a list: received bytes, or a slice.
enum Items<'a, T> {
    Wire { count: usize, bytes: &'a [u8] },
    Given(&'a [T]),
}

/// Iterator over the items of a [`List`] or a [`Terminated`].
pub struct Iter<'a, T>(Items<'a, T>);

impl<'a, T: Field<'a> + Copy, N: Count> List<'a, T, N> {
    /// A list without items.
    pub const EMPTY: Self = Self(Items::Given(&[]), PhantomData);

    /// Returns the number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the list is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Returns an iterator over the items. Received items can only be read in order. To look up an item by its index, collect the items
    /// into a `Vec`.
    #[inline]
    pub fn iter(&self) -> Iter<'a, T> {
        Iter(self.0)
    }
}

/// Reads and writes the count and the items of a list separately. In some messages, the count is not directly before the items: a field of
/// the message is between the count and the items.
impl<'a, T: Field<'a> + Copy, N: Count> List<'a, T, N> {
    /// Reads `count` items. The caller has already read the count.
    pub(crate) fn read_items(body: &mut Reader<'a>, count: N) -> Result<Self, DecodeError> {
        let count = count.to_len();
        let start = *body;
        // A hostile count may be larger than the number of items in the body. No memory is reserved for the count: reading fails at the end
        // of the body.
        for _ in 0..count {
            T::read(body)?;
        }
        Ok(Self(Items::Wire { count, bytes: start.until(body) }, PhantomData))
    }

    /// Writes the count. Rejects the message if the field cannot hold the count.
    #[inline(always)]
    pub(crate) fn write_count<P: Writer + ?Sized>(&self, out: &mut P) {
        match N::from_len(self.len()) {
            Ok(count) => count.write(out),
            Err(most) => out.refuse(EncodeErrorKind::TooMany { what: "items", given: self.len(), most }),
        }
    }

    /// Writes the items.
    #[inline(always)]
    pub(crate) fn write_items<P: Writer + ?Sized>(&self, out: &mut P) {
        match self.0 {
            Items::Given(items) => items.iter().for_each(|item| item.write(out)),
            Items::Wire { bytes, .. } if !out.wants_fields() => out.bytes(bytes),
            Items::Wire { .. } => self.iter().for_each(|item| item.write(out)),
        }
    }
}

impl<'a, T: Entry<'a>> Terminated<'a, T> {
    /// A list without items.
    pub const EMPTY: Self = Self(Items::Given(&[]));

    /// Returns the number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the list is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Returns an iterator over the items, in order.
    #[inline]
    pub fn iter(&self) -> Iter<'a, T> {
        Iter(self.0)
    }
}

impl<'a, T: Field<'a> + Copy, N: Count> Field<'a> for List<'a, T, N> {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = N::read(body)?;
        Self::read_items(body, count)
    }

    #[inline(always)]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        self.write_count(out);
        self.write_items(out);
    }
}

impl<'a, T: Entry<'a>> Field<'a> for Terminated<'a, T> {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = *body;
        let mut count = 0;
        loop {
            let mut ahead = *body;
            if ahead.u8()? == 0 {
                let items = Items::Wire { count, bytes: start.until(body) };
                *body = ahead;
                return Ok(Self(items));
            }
            T::read(body)?;
            count += 1;
        }
    }

    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        for item in self.iter() {
            if item.is_end() {
                out.refuse(EncodeErrorKind::Empty);
            }
            item.write(out);
        }
        T::end(out);
    }
}

/// A string can be an item of a [`Terminated`] list: the name of a SASL mechanism.
impl<'a> Entry<'a> for Text<'a> {
    #[inline]
    fn is_end(&self) -> bool {
        self.is_empty()
    }
    #[inline]
    fn end<P: Writer + ?Sized>(out: &mut P) {
        out.text(Text::EMPTY);
    }
}

/// A pair of strings can be an item of a [`Terminated`] list: the name and the value of a parameter in a StartupMessage.
impl<'a> Field<'a> for (Text<'a>, Text<'a>) {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok((body.text()?, body.text()?))
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.text(self.0);
        out.text(self.1);
    }
}

impl<'a> Entry<'a> for (Text<'a>, Text<'a>) {
    fn is_end(&self) -> bool {
        self.0.is_empty()
    }
    fn end<P: Writer + ?Sized>(out: &mut P) {
        out.unprinted(&[0]);
    }
}

impl Count for u16 {
    #[inline]
    fn to_len(self) -> usize {
        usize::from(self)
    }
    #[inline]
    fn from_len(len: usize) -> Result<Self, usize> {
        Self::try_from(len).map_err(|_| usize::from(Self::MAX))
    }
}

impl Count for u32 {
    #[inline]
    fn to_len(self) -> usize {
        usize::try_from(self).unwrap_or(usize::MAX)
    }
    #[inline]
    fn from_len(len: usize) -> Result<Self, usize> {
        const MAX: usize = i32::MAX as usize;
        if len <= MAX { Self::try_from(len).map_err(|_| MAX) } else { Err(MAX) }
    }
}

impl<T> Items<'_, T> {
    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Wire { count, .. } => *count,
            Self::Given(items) => items.len(),
        }
    }
}

impl<'a, T: Field<'a> + Copy> Iterator for Iter<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Items::Given(items) => {
                let (first, rest) = items.split_first()?;
                *items = rest;
                Some(*first)
            }
            Items::Wire { count: 0, .. } => None,
            Items::Wire { count, bytes } => {
                let mut body = Reader::new("list", bytes);
                // Cannot fail: each item was read once when the list was decoded.
                let item = T::read(&mut body).ok();
                *count -= 1;
                *bytes = body.rest();
                item
            }
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl<'a, T: Field<'a> + Copy> ExactSizeIterator for Iter<'a, T> {}

impl<'a, T: Field<'a> + Copy, N: Count> IntoIterator for List<'a, T, N> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    #[inline]
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Entry<'a>> IntoIterator for Terminated<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    #[inline]
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T, N> From<&'a [T]> for List<'a, T, N> {
    #[inline]
    fn from(items: &'a [T]) -> Self {
        Self(Items::Given(items), PhantomData)
    }
}

impl<'a, T, N, const LEN: usize> From<&'a [T; LEN]> for List<'a, T, N> {
    #[inline]
    fn from(items: &'a [T; LEN]) -> Self {
        Self(Items::Given(items), PhantomData)
    }
}

impl<'a, T> From<&'a [T]> for Terminated<'a, T> {
    fn from(items: &'a [T]) -> Self {
        Self(Items::Given(items))
    }
}

impl<'a, T, const LEN: usize> From<&'a [T; LEN]> for Terminated<'a, T> {
    fn from(items: &'a [T; LEN]) -> Self {
        Self(Items::Given(items))
    }
}

impl<T> Clone for Items<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Items<'_, T> {}

impl<T, N> Clone for List<'_, T, N> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}
impl<T, N> Copy for List<'_, T, N> {}

impl<T> Clone for Terminated<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Terminated<'_, T> {}

impl<T> Clone for Iter<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<'a, T: Field<'a> + Copy + PartialEq, N: Count> PartialEq for List<'a, T, N> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Entry<'a> + PartialEq> PartialEq for Terminated<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Field<'a> + Copy + fmt::Debug, N: Count> fmt::Debug for List<'a, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Entry<'a> + fmt::Debug> fmt::Debug for Terminated<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Field<'a> + Copy + fmt::Debug> fmt::Debug for Iter<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
