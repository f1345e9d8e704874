//! A received row of a COPY, and its fields.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::error::{CopyError, CopyErrorKind};
use crate::basic::enums::FormatCode;
use crate::basic::oid::Oid;
use crate::value::{Column, FromValue};

/// Position of a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// Index of the first byte of the field. If `kind` is [`Unescaped`](Kind::Unescaped), this is an index into the buffer for fields from
    /// which escapes and quotes have been removed. Otherwise, this is an index into the row.
    pub(super) start: u32,
    /// Index after the last byte.
    pub(super) end: u32,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes of the row. The field is NULL if these bytes are equal to the NULL string.
    Raw,
    /// Bytes of the row. The field is never NULL.
    Value,
    Null,
    /// The string of the option DEFAULT: the column gets its default value.
    Default,
    /// Bytes of the row from which escapes or quotes have to be removed.
    Escaped,
    /// Bytes from which escapes or quotes have been removed. These bytes are stored in a separate buffer.
    Unescaped,
}

/// Properties of the columns, which are the same for all rows.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) format: FormatCode,
    /// The NULL string; empty for the binary format.
    pub(super) null: Box<[u8]>,
    pub(super) names: Vec<String>,
    pub(super) types: Vec<Oid>,
    /// Name of the encoding of the text, if the encoding is not UTF-8.
    pub(super) encoding: Option<Box<str>>,
    /// Whether the text is UTF-8 and the reader does not apply the option DEFAULT.
    pub(super) is_plain: bool,
}

impl Shape {
    pub(super) fn error(&self, row: u64, column: Option<usize>, kind: CopyErrorKind) -> CopyError {
        let error = CopyError::new(kind).in_row(row);
        match column {
            Some(column) => error.in_column(column, self.names.get(column).map(String::as_str)),
            None => error,
        }
    }
}

/// A row that was received with COPY. The fields are lent from the input or from the buffers of the reader: one buffer for a row that was
/// received in several pieces, and one buffer for fields from which escapes or quotes have been removed.
#[derive(Clone, Copy, Debug)]
pub struct CopyRow<'r> {
    pub(super) number: u64,
    pub(super) fields: &'r [Field],
    pub(super) raw: &'r [u8],
    pub(super) unescaped: &'r [u8],
    pub(super) shape: &'r Shape,
}

impl<'r> CopyRow<'r> {
    /// Returns the number of the row, counted from 1. The header is not counted.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the number of fields.
    #[inline]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether the row has no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Returns the bytes of a field, without escapes and quotes. Returns `None` for NULL, for the string of the option DEFAULT, and if
    /// the row has no field with this index.
    #[inline]
    pub fn bytes(&self, index: usize) -> Option<&'r [u8]> {
        self.fields.get(index).and_then(|field| self.value(field))
    }

    /// Whether a field is equal to the string of the option DEFAULT, which represents the default value of the column.
    pub fn is_default(&self, index: usize) -> bool {
        self.fields.get(index).is_some_and(|field| field.kind == Kind::Default)
    }

    /// Returns the bytes of all fields, in order. `None` stands for NULL, or for the string of the option DEFAULT.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&'r [u8]>> + use<'r> {
        let row = *self;
        row.fields.iter().map(move |field| row.value(field))
    }

    #[inline(always)]
    fn value(&self, field: &Field) -> Option<&'r [u8]> {
        let range = field.start as usize..field.end as usize;
        let bytes = match field.kind {
            Kind::Raw | Kind::Value | Kind::Escaped => self.raw.get(range).unwrap_or_default(),
            Kind::Unescaped => self.unescaped.get(range).unwrap_or_default(),
            Kind::Null | Kind::Default => return None,
        };
        if field.kind == Kind::Raw && bytes.len() == self.shape.null.len() && *bytes == *self.shape.null {
            return None;
        }
        Some(bytes)
    }

    /// Reads a field as a Rust type.
    ///
    /// # Errors
    /// The error names the row and the column.
    ///
    /// - [`CopyErrorKind::NoColumn`] when the row has no field with this index.
    /// - [`CopyErrorKind::Value`] when the field cannot be read as a `T`.
    /// - [`CopyErrorKind::IsDefault`] when the field is equal to the string of the option DEFAULT.
    /// - [`CopyErrorKind::ValueEncoding`] when the encoding is not UTF-8 and the field has characters other than ASCII.
    #[inline(always)]
    pub fn get<T: FromValue<'r>>(&self, index: usize) -> Result<T, CopyError> {
        let Some(field) = self.fields.get(index) else {
            return Err(self.error(index, CopyErrorKind::NoColumn { columns: self.len() }));
        };
        let type_oid = self.shape.types.get(index).copied().unwrap_or_default();
        let column = Column { type_oid, format: self.shape.format };
        let value = self.value(field);
        if !self.shape.is_plain {
            self.check(index, value)?;
        }
        if let Some(value) = T::from_value_fast(value, column) {
            return Ok(value);
        }
        match T::from_value(value, column) {
            Ok(value) => Ok(value),
            Err(mismatch) => Err(self.error(index, CopyErrorKind::Value(mismatch))),
        }
    }

    /// Checks that a field is a value in UTF-8.
    fn check(&self, index: usize, value: Option<&[u8]>) -> Result<(), CopyError> {
        if self.is_default(index) {
            return Err(self.error(index, CopyErrorKind::IsDefault));
        }
        match &self.shape.encoding {
            Some(name) if !value.is_none_or(<[u8]>::is_ascii) => {
                Err(self.error(index, CopyErrorKind::ValueEncoding(name.clone())))
            }
            _ => Ok(()),
        }
    }

    /// Reads all fields as a tuple.
    ///
    /// # Errors
    /// The errors of [`get`](Self::get), and [`CopyErrorKind::Width`] when the number of members of the tuple differs from the number of
    /// fields.
    #[inline(always)]
    pub fn decode<R: FromCopyRow<'r>>(&self) -> Result<R, CopyError> {
        R::from_copy_row(self)
    }

    #[cold]
    fn error(&self, column: usize, kind: CopyErrorKind) -> CopyError {
        self.shape.error(self.number, Some(column), kind)
    }
}

/// A type that reads a whole row of a COPY: a tuple of 1 to 16 [`FromValue`] types.
pub trait FromCopyRow<'r>: Sized {
    /// Reads the row.
    ///
    /// # Errors
    /// The errors of [`CopyRow::decode`].
    fn from_copy_row(row: &CopyRow<'r>) -> Result<Self, CopyError>;

    /// Fast path: reads the row in binary format at the beginning of `bytes`, and returns the row and the bytes after the row. `types` has
    /// the type of each column. Returns `None` if the row is not complete or not valid, if the number of columns differs from the number of
    /// members of the tuple, or if a value has no fast path. The caller then reads the row with `from_copy_row`. Implementations need not
    /// provide this method.
    ///
    /// The caller must ignore a row of more than `i32::MAX` bytes: such a row may be the result of a negative length (see [`field`]).
    #[doc(hidden)]
    #[inline(always)]
    fn from_tuple(bytes: &'r [u8], types: &[Oid]) -> Option<(Self, &'r [u8])> {
        let _ = (bytes, types);
        None
    }

    /// Returns the length of the row in binary format at the beginning of `bytes`. Returns `None` if the row is not complete or is
    /// malformed, or if the number of fields or of columns differs from the number of members of the tuple. Implementations need not
    /// provide this method.
    ///
    /// The caller must ignore a row of more than `i32::MAX` bytes, as after [`from_tuple`](Self::from_tuple).
    #[doc(hidden)]
    #[inline(always)]
    fn tuple_length(bytes: &[u8], columns: usize) -> Option<usize> {
        let _ = (bytes, columns);
        None
    }
}

/// Returns the value of the field at the beginning of `bytes` (`None` for NULL), and the bytes after the field.
///
/// Reads the Int32 length as an unsigned number. A negative length is then more than `i32::MAX`, which is longer than any received row, so
/// one comparison finds both a negative length and an incomplete value. In a slice of more than `i32::MAX` bytes, the function can accept a
/// negative length; see [`FromCopyRow::from_tuple`].
#[inline(always)]
fn field(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u32::from_be_bytes(*length);
    match rest.split_at_checked(length as usize) {
        Some((value, rest)) => Some((Some(value), rest)),
        // -1 stands for NULL.
        None => (length == u32::MAX).then_some((None, rest)),
    }
}

/// Reads the field at the beginning of `bytes` as a `T`. Returns the value and the bytes after the field.
#[inline(always)]
fn read_field<'r, T: FromValue<'r>>(bytes: &'r [u8], type_oid: Oid) -> Option<(T, &'r [u8])> {
    let (value, rest) = field(bytes)?;
    Some((T::from_value_fast(value, Column { type_oid, format: FormatCode::Binary })?, rest))
}

macro_rules! tuples {
    ($(($($name:ident $index:literal),+))*) => {
        $(impl<'r, $($name: FromValue<'r>),+> FromCopyRow<'r> for ($($name,)+) {
            #[inline(always)]
            fn from_copy_row(row: &CopyRow<'r>) -> Result<Self, CopyError> {
                let wanted = [$($index),+].len();
                if row.len() != wanted {
                    let kind = CopyErrorKind::Width { wanted, columns: row.len() };
                    return Err(row.shape.error(row.number, None, kind));
                }
                Ok(($(row.get::<$name>($index)?,)+))
            }

            #[inline(always)]
            #[allow(non_snake_case)]
            fn from_tuple(bytes: &'r [u8], types: &[Oid]) -> Option<(Self, &'r [u8])> {
                let (count, rest) = bytes.split_first_chunk()?;
                let types: &[Oid; [$($index),+].len()] = types.try_into().ok()?;
                if usize::from(u16::from_be_bytes(*count)) != types.len() {
                    return None;
                }
                $(let ($name, rest) = read_field(rest, types[$index])?;)+
                Some((($($name,)+), rest))
            }

            #[inline(always)]
            fn tuple_length(bytes: &[u8], columns: usize) -> Option<usize> {
                let (count, rest) = bytes.split_first_chunk()?;
                let fields = [$($index),+];
                if usize::from(u16::from_be_bytes(*count)) != fields.len() || columns != fields.len() {
                    return None;
                }
                let mut rest = rest;
                for _ in fields {
                    (_, rest) = field(rest)?;
                }
                Some(bytes.len() - rest.len())
            }
        })*
    };
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15)
}
