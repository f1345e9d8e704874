//! Reading rows with the RowDescription that was received before the rows.

use alloc::string::String;
use alloc::vec::Vec;

use super::error::{Mismatch, RowError, ValueError};
use super::{Column, FromValue};
use crate::basic::enums::FormatCode;
use crate::basic::error::DecodeError;
use crate::basic::oid::Oid;
use crate::codec::list::List;
use crate::codec::values::{Values, ValuesIter};
use crate::message::backend::{Backend, DataRow, RowDescription};

/// Names, types and formats of the columns of a result. `Columns` reads the rows of the result, and checks that each row has as
/// many values as the RowDescription has columns.
///
/// A RowDescription does not always contain the formats of the rows. This depends on the request that the RowDescription answers:
///
/// | request | formats in the RowDescription | constructor |
/// | --- | --- | --- |
/// | Query | the formats of the rows | [`of_portal`](Self::of_portal) |
/// | Describe of a portal | the formats of the rows | [`of_portal`](Self::of_portal) |
/// | Describe of a statement | always text; a later Bind selects the formats of the rows | [`of_statement`](Self::of_statement) |
///
/// [`follow`](Self::follow) selects the right case from the messages of the server.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    columns: Vec<Named>,
    /// Names of all columns, concatenated.
    names: String,
    formats: Formats,
    /// Whether the result has ended and no other result has begun.
    over: bool,
    /// Whether a ParameterDescription was received, so that the next RowDescription or NoData describes a statement.
    of_statement: bool,
}

#[derive(Clone, Copy, Debug)]
struct Named {
    column: Column,
    /// Index in `Columns::names` after the last byte of the column's name.
    end: usize,
}

/// State of knowledge about the formats of the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Formats {
    /// No RowDescription has been received.
    #[default]
    Undescribed,
    /// The RowDescription describes a statement, so the formats are not known.
    Unknown,
    Known,
}

impl Columns {
    /// Creates the columns for the result of a Query or of a portal.
    pub fn of_portal(description: &RowDescription<'_>) -> Self {
        let mut columns = Self::default();
        columns.describe(description, Formats::Known);
        columns
    }

    /// Creates the columns for the result of a statement that is bound with these result formats: an empty list for text, one format for
    /// all columns, or one format for each column.
    ///
    /// # Errors
    /// [`RowError::FormatCount`] when the number of formats is wrong.
    pub fn of_statement(description: &RowDescription<'_>, formats: &[FormatCode]) -> Result<Self, RowError> {
        let mut columns = Self::default();
        columns.describe(description, Formats::Unknown);
        columns.set_formats(formats)?;
        Ok(columns)
    }

    /// Updates the columns from a message of the server. Pass the messages in the order in which they are received.
    ///
    /// A RowDescription replaces the columns, and a DataRow is checked against the columns. All other messages may also be passed. One
    /// `Columns` follows one statement at a time.
    ///
    /// ```
    /// use pg_wire::{Connection, Limits, PgProtocol, backend::Backend, testing::{Script, block_on}, value::Columns};
    ///
    /// # block_on(async {
    /// // In place of a socket: a complete answer of a server, and then a row without a RowDescription.
    /// let socket = Script::says(
    ///     b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0D\0\0\0\x0b\0\x01\0\0\0\x017C\0\0\0\x0dSELECT 1\0\
    ///       D\0\0\0\x0b\0\x01\0\0\0\x018",
    /// );
    /// let mut conn = Connection::new(socket, Limits::BACKEND);
    /// let mut columns = Columns::default();
    /// let error = loop {
    ///     let message = conn.recv().await?.backend()?;
    ///     if let Err(error) = columns.follow(&message) {
    ///         break error;
    ///     }
    ///     if let Backend::DataRow(row) = message {
    ///         assert_eq!(columns.decode::<(i32,)>(&row)?, (7,));
    ///     }
    /// };
    /// assert_eq!(error.to_string(), "the row has 1 value but no RowDescription was received");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`RowError::Undescribed`] or [`RowError::Count`] when a DataRow does not match the columns.
    #[inline]
    pub fn follow(&mut self, message: &Backend<'_>) -> Result<(), RowError> {
        match message {
            Backend::DataRow(row) => self.check(row),
            other => {
                self.note(other);
                Ok(())
            }
        }
    }

    fn note(&mut self, message: &Backend<'_>) {
        match message {
            Backend::ParameterDescription(_) => self.of_statement = true,
            Backend::RowDescription(description) => {
                let formats = if self.of_statement { Formats::Unknown } else { Formats::Known };
                self.describe(description, formats);
            }
            Backend::NoData(_) => self.describe(&RowDescription { fields: List::EMPTY }, Formats::Known),
            // BindComplete begins the result of a portal whose statement was described earlier.
            Backend::BindComplete(_) => self.over = false,
            Backend::CommandComplete(_) | Backend::EmptyQueryResponse(_) => self.over = true,
            Backend::ErrorResponse(_) => {
                self.over = true;
                self.of_statement = false;
            }
            _ => {}
        }
    }

    fn describe(&mut self, description: &RowDescription<'_>, formats: Formats) {
        self.columns.clear();
        self.names.clear();
        // Reserving memory for the length of the list is safe, because decoding has read the list to its end.
        self.columns.reserve(description.fields.len());
        for field in description.fields {
            self.names.push_str(&field.name.to_string_lossy());
            let column = Column { type_oid: field.type_oid, format: field.format };
            self.columns.push(Named { column, end: self.names.len() });
        }
        self.formats = formats;
        self.over = false;
        self.of_statement = false;
    }

    /// Sets the formats of the columns to the result formats of a Bind: an empty list for text, one format for all columns, or one format
    /// for each column. This call is required after the description of a statement.
    ///
    /// # Errors
    /// [`RowError::FormatCount`] when the number of formats is wrong.
    pub fn set_formats(&mut self, formats: &[FormatCode]) -> Result<(), RowError> {
        let count = self.columns.len();
        let columns = self.columns.iter_mut().map(|named| &mut named.column.format);
        match formats {
            [] => columns.for_each(|format| *format = FormatCode::Text),
            [all] => columns.for_each(|format| *format = *all),
            each if each.len() == count => {
                columns.zip(each).for_each(|(format, given)| *format = *given);
            }
            _ => return Err(RowError::FormatCount { formats: formats.len(), columns: count }),
        }
        if self.formats == Formats::Unknown {
            self.formats = Formats::Known;
        }
        Ok(())
    }

    /// Sets the type of a column. Use this method for a column whose type is not built into PostgreSQL, because this crate does not know
    /// the binary format of such a type. For example, set `oid::TEXT` for an enum.
    ///
    /// # Errors
    /// [`RowError::NoColumn`] when no column has this index.
    pub fn set_type(&mut self, index: usize, type_oid: Oid) -> Result<(), RowError> {
        let columns = self.columns.len();
        let named = self.columns.get_mut(index).ok_or(RowError::NoColumn { index, columns })?;
        named.column.type_oid = type_oid;
        Ok(())
    }

    /// Returns the number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Returns the names of the columns, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.columns.len()).map(|index| self.name(index).unwrap_or_default())
    }

    /// Returns the name of the column at `index`, counted from 0.
    pub fn name(&self, index: usize) -> Option<&str> {
        let end = self.columns.get(index)?.end;
        let start =
            index.checked_sub(1).and_then(|before| self.columns.get(before)).map_or(0, |named| named.end);
        self.names.get(start..end)
    }

    /// Returns the index of the first column with this name, counted from 0.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names().position(|column| column == name)
    }

    /// Returns type and format of the column at `index`, counted from 0. Takes constant time.
    pub fn get(&self, index: usize) -> Option<Column> {
        self.columns.get(index).map(|named| named.column)
    }

    /// Checks that a row has as many values as `self` has columns. The values are not decoded.
    ///
    /// # Errors
    /// [`RowError::Undescribed`] or [`RowError::Count`] when the row does not match the columns.
    #[inline]
    pub fn check(&self, row: &DataRow<'_>) -> Result<(), RowError> {
        let values = row.values.len();
        if values != self.columns.len() || self.over || self.formats == Formats::Undescribed {
            return Err(self.unexpected(values));
        }
        Ok(())
    }

    #[cold]
    fn unexpected(&self, values: usize) -> RowError {
        if self.over || self.formats == Formats::Undescribed {
            RowError::Undescribed { values }
        } else {
            RowError::Count { values, columns: self.columns.len() }
        }
    }

    /// Reads a whole row as a tuple with one member for each column: `let (id, name): (i32, &str) = columns.decode(&row)?`. See
    /// [the module](crate::value) for a complete example.
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn decode<'a, R: FromRow<'a>>(&self, row: &DataRow<'a>) -> Result<R, RowError> {
        R::from_row(row, self)
    }

    /// Reads the value of one column. The time is proportional to `index`. To read many columns of one row, use [`read`](Self::read).
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn value<'a, T: FromValue<'a>>(&self, row: &DataRow<'a>, index: usize) -> Result<T, RowError> {
        self.read(row)?.value(index)
    }

    /// Returns a reader for the values of a row. If the columns are read in ascending order, each value of the row is visited only once.
    ///
    /// # Errors
    /// [`RowError::Undescribed`], [`RowError::Count`] and [`RowError::Formats`].
    pub fn read<'a>(&self, row: &DataRow<'a>) -> Result<RowReader<'_, 'a>, RowError> {
        self.check(row)?;
        if self.formats == Formats::Unknown {
            return Err(RowError::Formats);
        }
        Ok(RowReader { columns: self, values: row.values, rest: row.values.iter(), at: 0 })
    }

    #[cold]
    fn error(&self, index: usize, mismatch: Mismatch) -> RowError {
        let type_oid = self.get(index).map_or(0, |column| column.type_oid);
        let name = self.name(index).unwrap_or_default().into();
        RowError::Value(ValueError { index, name, type_oid, mismatch })
    }
}

/// Reads the values of a row one by one. [`Columns::read`] returns this reader.
#[derive(Clone, Debug)]
pub struct RowReader<'c, 'a> {
    columns: &'c Columns,
    values: Values<'a>,
    rest: ValuesIter<'a>,
    /// Index of the column whose value `rest` returns next.
    at: usize,
}

impl<'a> RowReader<'_, 'a> {
    /// Reads the value of the column at `index`, counted from 0. If `index` is after the column that was read last, the search continues
    /// after that column. Otherwise the search begins at the first value.
    ///
    /// # Errors
    /// [`RowError::NoColumn`], [`RowError::Damaged`] and [`RowError::Value`].
    pub fn value<T: FromValue<'a>>(&mut self, index: usize) -> Result<T, RowError> {
        if index < self.at {
            (self.rest, self.at) = (self.values.iter(), 0);
        }
        let value = self.rest.nth(index - self.at);
        self.at = index + 1;
        self.columns.value_of(index, value)
    }
}

impl Columns {
    /// Converts `value`, the value of the column at `index`.
    #[inline]
    fn value_of<'a, T: FromValue<'a>>(
        &self,
        index: usize,
        value: Option<Result<Option<&'a [u8]>, DecodeError>>,
    ) -> Result<T, RowError> {
        match (self.get(index), value) {
            (Some(column), Some(Ok(value))) => {
                T::from_value(value, column).map_err(|mismatch| self.error(index, mismatch))
            }
            (Some(_), Some(Err(error))) => Err(RowError::Damaged(error)),
            _ => Err(RowError::NoColumn { index, columns: self.columns.len() }),
        }
    }
}

/// A type that reads a whole row: a tuple of 1 to 16 [`FromValue`] types.
pub trait FromRow<'a>: Sized {
    /// Reads the row, column by column.
    ///
    /// # Errors
    /// The errors of [`Columns::decode`].
    fn from_row(row: &DataRow<'a>, columns: &Columns) -> Result<Self, RowError>;
}

macro_rules! tuples {
    ($(($($name:ident)+))*) => {
        $(impl<'a, $($name: FromValue<'a>),+> FromRow<'a> for ($($name,)+) {
            fn from_row(row: &DataRow<'a>, columns: &Columns) -> Result<Self, RowError> {
                let mut values = columns.read(row)?.rest;
                let wanted = [$(stringify!($name)),+].len();
                if columns.len() != wanted {
                    return Err(RowError::Width { wanted, columns: columns.len() });
                }
                let mut index = 0;
                let tuple = ($({
                    let value = columns.value_of::<$name>(index, values.next())?;
                    index += 1;
                    value
                },)+);
                // After the last value, the iterator returns an error if bytes are left over.
                match values.next() {
                    Some(Err(error)) => Err(RowError::Damaged(error)),
                    Some(Ok(_)) => Err(RowError::NoColumn { index, columns: index }),
                    None => Ok(tuple),
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
    use crate::basic::oid;
    use crate::codec::message::Decode;
    use crate::message::backend::{
        BindComplete, CommandComplete, FieldDescription, NoData, ParameterDescription,
    };
    use alloc::string::ToString;
    use alloc::vec;

    fn field(name: &str, type_oid: Oid, format: FormatCode) -> FieldDescription<'_> {
        FieldDescription { name: name.into(), type_oid, format, ..Default::default() }
    }

    fn columns() -> Columns {
        let fields = [field("id", oid::INT8, FormatCode::Binary), field("name", oid::TEXT, FormatCode::Text)];
        Columns::of_portal(&RowDescription { fields: List::from(&fields) })
    }

    fn row<'a>(values: &'a [Option<&'a [u8]>]) -> DataRow<'a> {
        DataRow { values: Values::from(values) }
    }

    const ONE: Option<&[u8]> = Some(b"\0\0\0\0\0\0\0\x01");

    #[test]
    fn an_error_contains_the_index_and_the_name_of_the_column() {
        let values = [Some(&b"\0\0\x01\0\0\0\0\0"[..]), None];
        let (row, columns) = (row(&values), columns());
        let error = columns.decode::<(i32, Option<&str>)>(&row).expect_err("2^40 is no i32");
        assert_eq!(error.to_string(), "column 0 \"id\" of type int8: the value does not fit an i32");
        let error = columns.decode::<(i64, &str)>(&row).expect_err("the value is NULL");
        assert_eq!(error.to_string(), "column 1 \"name\" of type text: the value is NULL");
        assert_eq!(columns.decode::<(i64, Option<&str>)>(&row).expect("both fit"), (1 << 40, None));
        assert_eq!(columns.value::<i64>(&row, 0).expect("it fits"), 1 << 40);
        assert_eq!(columns.names().collect::<Vec<_>>(), ["id", "name"]);
        assert_eq!((columns.position("name"), columns.position("Name")), (Some(1), None));
    }

    #[test]
    fn an_error_contains_both_counts() {
        let values = [ONE, Some(b"x"), None];
        let message = |outcome: Result<(), RowError>| outcome.expect_err("the counts differ").to_string();
        let columns = columns();
        for (count, error) in [
            (0, "the row has 0 values but the RowDescription has 2 columns"),
            (1, "the row has 1 value but the RowDescription has 2 columns"),
            (3, "the row has 3 values but the RowDescription has 2 columns"),
        ] {
            let row = row(&values[..count]);
            assert_eq!(message(columns.check(&row)), error);
            assert_eq!(message(columns.decode::<(i64, &str)>(&row).map(drop)), error);
            assert_eq!(message(columns.value::<i64>(&row, 0).map(drop)), error);
        }
        let row = row(&values[..2]);
        let narrow = columns.decode::<(i64,)>(&row).map(drop);
        assert_eq!(message(narrow), "the row has 2 columns but the tuple has 1 member");
        let wide = columns.decode::<(i64, &str, &str)>(&row).map(drop);
        assert_eq!(message(wide), "the row has 2 columns but the tuple has 3 members");
        let beyond = columns.value::<i64>(&row, 9).map(drop);
        assert_eq!(message(beyond), "there is no column 9: the row has 2 columns");
    }

    #[test]
    fn bytes_after_the_last_value_are_an_error() {
        let row = DataRow::decode(b"\0\x02\0\0\0\x08\0\0\0\0\0\0\0\x01\0\0\0\x01xy")
            .expect("decoding does not read the values");
        let error = columns().decode::<(i64, &str)>(&row).expect_err("one byte is left over");
        assert!(matches!(error, RowError::Damaged(_)), "{error}");
    }

    #[test]
    fn the_values_of_a_statement_are_read_in_the_result_formats_of_its_bind() {
        let fields = [field("a", oid::INT4, FormatCode::Text), field("b", oid::INT4, FormatCode::Text)];
        let description = RowDescription { fields: List::from(&fields) };
        let values = [Some(&b"1234"[..]), Some(b"1234")];
        let row = row(&values);
        let read = |formats: &[FormatCode]| {
            let columns = Columns::of_statement(&description, formats).expect("formats for two columns");
            columns.decode::<(i32, i32)>(&row).expect("four bytes, or four digits")
        };
        use FormatCode::{Binary, Text};
        assert_eq!(read(&[]), (1234, 1234));
        assert_eq!(read(&[Binary]), (825_373_492, 825_373_492));
        assert_eq!(read(&[Text, Binary]), (1234, 825_373_492));
        let error = Columns::of_statement(&description, &[Text; 3]).expect_err("three formats");
        let said = "3 result formats for 2 columns: expected none, one, or one for each column";
        assert_eq!(error.to_string(), said);
    }

    /// Returns the `Columns` after a RowDescription with one column of type int4 in text format. If `of_statement` is true, a
    /// ParameterDescription precedes the RowDescription.
    fn described(of_statement: bool) -> Columns {
        let mut columns = Columns::default();
        if of_statement {
            let parameters = ParameterDescription { types: List::EMPTY };
            columns.follow(&Backend::ParameterDescription(parameters)).expect("no row");
        }
        let fields = [field("a", oid::INT4, FormatCode::Text)];
        let description = RowDescription { fields: List::from(&fields) };
        columns.follow(&Backend::RowDescription(description)).expect("no row");
        columns
    }

    #[test]
    fn reading_a_row_with_unknown_formats_is_an_error() {
        let values = [Some(&b"1234"[..])];
        let row = row(&values);
        let mut columns = described(true);
        columns.follow(&Backend::BindComplete(BindComplete {})).expect("no row");
        columns.follow(&Backend::DataRow(row)).expect("one value for one column");
        assert!(matches!(columns.decode::<(i32,)>(&row), Err(RowError::Formats)));
        assert!(matches!(columns.value::<&str>(&row, 0), Err(RowError::Formats)));
        columns.set_formats(&[FormatCode::Binary]).expect("one format");
        assert_eq!(columns.decode::<(i32,)>(&row).expect("four bytes"), (825_373_492,));
        assert_eq!(described(false).decode::<(i32,)>(&row).expect("four digits"), (1234,));
    }

    #[test]
    fn a_row_without_a_description_of_its_result_is_rejected() {
        let values = [Some(&b"1"[..])];
        let row = Backend::DataRow(row(&values));
        let undescribed = |columns: &mut Columns| {
            let error = columns.follow(&row).expect_err("nothing describes the row");
            assert_eq!(error.to_string(), "the row has 1 value but no RowDescription was received");
        };
        undescribed(&mut Columns::default());

        let mut columns = described(false);
        columns.follow(&row).expect("one value for one column");
        columns
            .follow(&Backend::CommandComplete(CommandComplete { tag: "SELECT 1".into() }))
            .expect("no row");
        undescribed(&mut columns);
        // A BindComplete begins the result of another portal of the same statement.
        columns.follow(&Backend::BindComplete(BindComplete {})).expect("no row");
        columns.follow(&row).expect("one value for one column");

        columns.follow(&Backend::NoData(NoData {})).expect("no row");
        let error = columns.follow(&row).expect_err("no columns");
        assert_eq!(error.to_string(), "the row has 1 value but the RowDescription has 0 columns");
    }

    #[test]
    fn the_type_of_a_column_can_be_replaced() {
        const ENUM: Oid = 16_384;
        let fields = [field("mood", ENUM, FormatCode::Binary)];
        let mut columns = Columns::of_portal(&RowDescription { fields: List::from(&fields) });
        let values = [Some(&b"happy"[..])];
        let row = row(&values);
        let error = columns.decode::<(&str,)>(&row).expect_err("the type is not known");
        assert_eq!(error.to_string(), "column 0 \"mood\" of type 16384: the value is not a string");
        columns.set_type(0, oid::TEXT).expect("there is a column 0");
        assert_eq!(columns.decode::<(&str,)>(&row).expect("text"), ("happy",));
        assert!(matches!(columns.set_type(1, oid::TEXT), Err(RowError::NoColumn { index: 1, columns: 1 })));
    }

    /// Checks the values and the running time. If the search for each value began at the first value, this test would take many minutes.
    #[test]
    fn each_value_of_a_row_with_65535_columns_is_visited_once() {
        const MAX: usize = u16::MAX as usize;
        let fields = vec![field("n", oid::INT4, FormatCode::Text); MAX];
        let columns = Columns::of_portal(&RowDescription { fields: List::from(&fields[..]) });
        let values = vec![Some(&b"7"[..]); MAX];
        let mut body = Vec::from([0xff, 0xff]);
        body.extend_from_slice(&b"\0\0\0\x017".repeat(MAX));
        let wire = DataRow::decode(&body).expect("a row");
        for row in [row(&values), wire] {
            for _ in 0..4 {
                let mut reader = columns.read(&row).expect("as many values as columns");
                let sum: usize =
                    (0..MAX).map(|index| reader.value::<i32>(index).expect("a number") as usize).sum();
                assert_eq!(sum, 7 * MAX);
            }
        }
        let mut reader = columns.read(&wire).expect("as many values as columns");
        for index in [9, 3, 3, MAX - 1, 0] {
            assert_eq!(reader.value::<i32>(index).expect("a number"), 7);
        }
        assert!((0..MAX).all(|index| columns.get(index).is_some() && columns.name(index) == Some("n")));
    }
}
