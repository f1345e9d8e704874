//! Reading rows with the RowDescription that was received before the rows.

use alloc::string::String;
use alloc::vec::Vec;

use super::column::Column;
use super::error::{Mismatch, RowError, ValueError};
use crate::basic::enums::FormatCode;
use crate::basic::oid::Oid;
use crate::codec::list::List;
use crate::message::backend::{Backend, DataRow, RowDescription};

/// Names, types and formats of the columns of a result. `Columns` reads the rows of the result, and checks that each row has as
/// many values as the RowDescription has columns.
///
/// A RowDescription does not always contain the formats of the rows. This depends on the request to which the RowDescription is a reply:
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
    /// Whether the result has ended and the next result has not begun.
    over: bool,
    /// Whether a ParameterDescription was received, so that the next RowDescription or NoData describes a statement.
    of_statement: bool,
    /// The columns that [`prepare`](Self::prepare) has found for the members of a row type.
    pub(super) prepared: Prepared,
}

/// The columns that belong to the members of a row type, if the row type is read by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Prepared {
    /// Fingerprint of the names of the members; 0 if `prepare` was not called or has failed.
    pub(super) fingerprint: u128,
    /// Index of the column of each member.
    pub(super) order: Vec<usize>,
    /// Whether the members are the first columns, in the same order.
    pub(super) in_order: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) column: Column,
    /// Index in `Columns::names` at which the column's name ends, exclusive.
    end: usize,
}

/// Whether the formats of the columns are known.
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
    /// [`RowError::FormatCount`] when the number of formats is not 0, 1 or the number of columns.
    pub fn of_statement(description: &RowDescription<'_>, formats: &[FormatCode]) -> Result<Self, RowError> {
        let mut columns = Self::of_any_format(description);
        columns.set_formats(formats)?;
        Ok(columns)
    }

    /// Creates the columns of a statement, without formats.
    pub(super) fn of_any_format(description: &RowDescription<'_>) -> Self {
        let mut columns = Self::default();
        columns.describe(description, Formats::Unknown);
        columns
    }

    /// Updates the columns from a message of the server. Pass the messages in the order in which they are received.
    ///
    /// A RowDescription replaces the columns, and a DataRow is checked against the columns. All other messages may also be passed. One
    /// `Columns` can follow only one statement at a time.
    ///
    /// ```
    /// use pg_wire::{Connection, Limits, PgProtocol, backend::Backend, testing::{Script, block_on}, value::Columns};
    ///
    /// # block_on(async {
    /// // A stream in memory instead of a socket. It returns a complete answer of a server, and then a row without a RowDescription.
    /// let socket = Script::sends(
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
        // A wrong number of fields cannot make this reserve too much memory: decoding the RowDescription has already read all fields.
        self.columns.reserve(description.fields.len());
        for field in description.fields {
            self.names.push_str(&field.name.to_string_lossy());
            let column = Column { type_oid: field.type_oid, format: field.format };
            self.columns.push(Named { column, end: self.names.len() });
        }
        self.formats = formats;
        self.over = false;
        self.of_statement = false;
        self.prepared = Prepared::default();
    }

    /// Sets the formats of the columns to the result formats of a Bind: an empty list for text, one format for all columns, or one format
    /// for each column. This call is required after the description of a statement.
    ///
    /// # Errors
    /// [`RowError::FormatCount`] when the number of formats is not 0, 1 or the number of columns.
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

    /// Returns the error of a value that cannot be read as a `T`.
    #[cold]
    pub(super) fn error<T>(&self, index: usize, mismatch: Mismatch) -> RowError {
        let column = self.get(index).unwrap_or(Column { type_oid: 0, format: FormatCode::Text });
        let name = self.name(index).unwrap_or_default().into();
        let rust_type = core::any::type_name::<T>();
        RowError::Value(ValueError { index, name, column, rust_type, mismatch })
    }

    /// Returns the columns if the formats of the rows are known and the current result has not ended.
    #[inline(always)]
    pub(super) fn of_rows(&self) -> Option<&[Named]> {
        if self.over || self.formats != Formats::Known { None } else { Some(&self.columns) }
    }

    /// Whether the columns describe a statement, and no formats have been set.
    pub(super) fn needs_formats(&self) -> bool {
        self.formats == Formats::Unknown
    }

    /// Checks that a row can be read: the row passes [`check`](Self::check), and the formats are known.
    pub(super) fn check_formats(&self, row: &DataRow<'_>) -> Result<(), RowError> {
        self.check(row)?;
        if self.formats == Formats::Unknown { Err(RowError::Formats) } else { Ok(()) }
    }
}
