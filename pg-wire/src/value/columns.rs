//! Rows decoded with the description that was received before them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::{Column, FromValue, Mismatch};
use crate::basic::error::DecodeError;
use crate::basic::oid;
use crate::message::backend::{DataRow, RowDescription};

/// The columns of a RowDescription, owned: name, type and format, with which the rows after it are decoded.
#[derive(Clone, Debug, Default)]
pub struct Columns(Vec<(Column, Box<str>)>);

impl From<&RowDescription<'_>> for Columns {
    fn from(description: &RowDescription<'_>) -> Self {
        let column = |field: crate::message::backend::FieldDescription<'_>| {
            let column = Column { type_oid: field.type_oid, format: field.format };
            (column, field.name.to_string_lossy().into())
        };
        Self(description.fields.iter().map(column).collect())
    }
}

impl Columns {
    /// Number of columns.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|(_, name)| &**name)
    }

    /// Index of the first column with this name, counted from 0.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names().position(|column| column == name)
    }

    /// The column at `index`, counted from 0.
    pub fn get(&self, index: usize) -> Option<Column> {
        self.0.get(index).map(|(column, _)| *column)
    }

    /// The same columns with this format for each. Needed after describing a *statement*, which always reports text, when its
    /// portal is bound with [`result_formats`](crate::BindBuilder::result_formats).
    pub fn with_format(mut self, format: crate::FormatCode) -> Self {
        self.0.iter_mut().for_each(|(column, _)| column.format = format);
        self
    }

    /// Decodes a whole row into a tuple with one value for each column: `let (id, name): (i32, &str) =
    /// columns.decode(&row)?`. See [the module](crate::value) for a whole example.
    ///
    /// # Errors
    /// When a value has another type or does not fit, the row is malformed, or the number of columns differs. The error names
    /// the column.
    pub fn decode<'a, R: FromRow<'a>>(&self, row: &DataRow<'a>) -> Result<R, ValueError> {
        R::from_row(row, self)
    }

    /// Decodes the value of one column. Reads the values before it.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn value<'a, T: FromValue<'a>>(&self, row: &DataRow<'a>, index: usize) -> Result<T, ValueError> {
        self.read(index, row.values.iter().nth(index))
    }

    /// Decodes `value`, the value of the column at `index`.
    #[inline]
    fn read<'a, T: FromValue<'a>>(
        &self,
        index: usize,
        value: Option<Result<Option<&'a [u8]>, DecodeError>>,
    ) -> Result<T, ValueError> {
        let (Some(column), Some(value)) = (self.get(index), value) else {
            return Err(self.error(index, Mismatch::Missing));
        };
        value
            .map_err(Mismatch::Row)
            .and_then(|value| T::from_value(value, column))
            .map_err(|mismatch| self.error(index, mismatch))
    }

    #[cold]
    fn error(&self, index: usize, mismatch: Mismatch) -> ValueError {
        let (type_oid, name) =
            self.0.get(index).map_or((0, "".into()), |(column, name)| (column.type_oid, name.clone()));
        ValueError { index, name, type_oid, mismatch }
    }
}

/// A value that cannot be decoded, and its column.
#[derive(Debug)]
pub struct ValueError {
    /// The column, counted from 0.
    pub index: usize,
    /// The column's name; empty if the column does not exist.
    pub name: Box<str>,
    /// The column's type.
    pub type_oid: crate::Oid,
    /// The error.
    pub mismatch: Mismatch,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, name, type_oid, mismatch } = self;
        write!(f, "column {index} {name:?}")?;
        match oid::name(*type_oid) {
            Some(type_name) => write!(f, " of type {type_name}: {mismatch}"),
            None => write!(f, " of type {type_oid}: {mismatch}"),
        }
    }
}

impl core::error::Error for ValueError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.mismatch {
            Mismatch::Row(error) => Some(error),
            Mismatch::Other(error) => Some(&**error),
            _ => None,
        }
    }
}

/// A whole row: a tuple of up to 16 [`FromValue`]s.
pub trait FromRow<'a>: Sized {
    /// Decodes the row, column by column.
    ///
    /// # Errors
    /// As [`Columns::decode`].
    fn from_row(row: &DataRow<'a>, columns: &Columns) -> Result<Self, ValueError>;
}

macro_rules! tuples {
    ($(($($name:ident)+))*) => {
        $(impl<'a, $($name: FromValue<'a>),+> FromRow<'a> for ($($name,)+) {
            fn from_row(row: &DataRow<'a>, columns: &Columns) -> Result<Self, ValueError> {
                let mut values = row.values.iter();
                let mut index = 0;
                let tuple = ($({
                    let value = columns.read::<$name>(index, values.next())?;
                    index += 1;
                    value
                },)+);
                match values.next() {
                    None => Ok(tuple),
                    Some(Err(error)) => Err(columns.error(index, Mismatch::Row(error))),
                    Some(Ok(_)) => Err(columns.error(index, Mismatch::Surplus)),
                }
            }
        })*
    };
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) (A B C D E F G H I)
    (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L) (A B C D E F G H I J K L M)
    (A B C D E F G H I J K L M N) (A B C D E F G H I J K L M N O) (A B C D E F G H I J K L M N O P)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::backend::FieldDescription;
    use crate::{FormatCode, List, Values};
    use alloc::string::ToString;

    fn columns() -> Columns {
        let id = FieldDescription {
            name: "id".into(),
            type_oid: oid::INT8,
            format: FormatCode::Binary,
            ..Default::default()
        };
        let name = FieldDescription { name: "name".into(), type_oid: oid::TEXT, ..Default::default() };
        Columns::from(&RowDescription { fields: List::from(&[id, name]) })
    }

    #[test]
    fn an_error_names_the_column() {
        let values = [Some(&b"\0\0\x01\0\0\0\0\0"[..]), None];
        let row = DataRow { values: Values::from(&values) };
        let columns = columns();
        let error = columns.decode::<(i32, Option<&str>)>(&row).expect_err("2^40 is no i32");
        assert_eq!(error.to_string(), "column 0 \"id\" of type int8: the value does not fit an i32");
        let error = columns.decode::<(i64, &str)>(&row).expect_err("the value is NULL");
        assert_eq!(error.to_string(), "column 1 \"name\" of type text: the value is NULL");
        assert_eq!(columns.decode::<(i64, Option<&str>)>(&row).expect("both fit"), (1 << 40, None));
        assert_eq!(columns.value::<i64>(&row, 0).expect("it fits"), 1 << 40);
    }

    #[test]
    fn a_different_number_of_columns_is_an_error() {
        let values = [Some(&b"\0\0\0\0\0\0\0\x01"[..]), Some(b"x")];
        let row = DataRow { values: Values::from(&values) };
        let columns = columns();
        assert_eq!(columns.decode::<(i64,)>(&row).expect_err("one is left").index, 1);
        let error = columns.decode::<(i64, &str, &str)>(&row).expect_err("there are two");
        assert!(matches!(error.mismatch, Mismatch::Missing));
        assert!(columns.value::<i64>(&row, 9).is_err());
    }
}
