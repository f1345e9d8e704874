//! Errors that occur when rows and values are read.

use alloc::boxed::Box;
use core::error::Error;
use core::fmt;

use super::column::Column;
use crate::basic::enums::FormatCode;
use crate::basic::error::DecodeError;
use crate::basic::oid::{self, Oid};

/// Reason why a value cannot be read as the requested Rust type. [`ValueError`] adds the column.
#[derive(Debug)]
#[non_exhaustive]
pub enum Mismatch {
    /// The value is NULL. Request an `Option` if NULL is possible.
    Null,
    /// The requested Rust type cannot read the column's PostgreSQL type or format.
    Type {
        /// Name of the requested Rust type.
        wanted: &'static str,
    },
    /// The value is a number, a date or a time outside the range of the requested Rust type.
    Range {
        /// Name of the requested Rust type.
        wanted: &'static str,
    },
    /// The bytes are not a valid value of the column's type in the column's format.
    Malformed,
    /// The value is in text format, but is not UTF-8.
    Utf8,
    /// `postgres_types::FromSql` reads only the binary form, but the text form of the value, or of a member of the value, cannot be
    /// converted to the binary form. Request binary format.
    Text {
        /// Name of the PostgreSQL type that cannot be converted.
        type_name: Box<str>,
        /// The reason, as the rest of a sentence that begins with "the text form".
        reason: &'static str,
    },
    /// In logical replication: an UPDATE did not change the value, and the server did not send the value because it is stored
    /// out of line (TOAST).
    Unchanged,
    /// Another library, such as `postgres-types`, could not convert the value.
    Other(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("the value is NULL"),
            Self::Type { wanted } => write!(f, "the value is not {wanted}"),
            Self::Range { wanted } => write!(f, "the value does not fit {wanted}"),
            Self::Malformed => f.write_str("the bytes are not a valid value of the column's type"),
            Self::Utf8 => f.write_str("the text is not UTF-8"),
            Self::Text { type_name, reason } => {
                write!(f, "the text form of type {type_name} {reason}: request binary format")
            }
            Self::Unchanged => f.write_str("the value is unchanged, and the server did not send it"),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl Error for Mismatch {}

/// Error for a value that could not be read, with its column.
#[derive(Debug)]
pub struct ValueError {
    /// Index of the column, counted from 0.
    pub index: usize,
    /// Name of the column.
    pub name: Box<str>,
    /// Type and format of the column.
    pub column: Column,
    /// Name of the requested Rust type, as [`type_name`](core::any::type_name) returns the name.
    pub rust_type: &'static str,
    /// The reason why the value could not be read.
    pub mismatch: Mismatch,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, name, column, rust_type, mismatch } = self;
        write!(f, "column {index} {name:?} of type {}", TypeName(column.type_oid))?;
        if column.format == FormatCode::Binary {
            f.write_str(" in binary format")?;
        }
        write!(f, ": {mismatch}")?;
        let is_string = matches!(*rust_type, "&str" | "alloc::string::String");
        match mismatch {
            Mismatch::Null => write!(f, ": use Option<{}>", ShortName(rust_type)),
            Mismatch::Range { .. } => f.write_str(": use a type with a larger range"),
            Mismatch::Type { .. } if is_string => f.write_str(": request text format, or use `Sql<T>`"),
            Mismatch::Type { .. } if matches!(column.type_oid, oid::TEXT | oid::VARCHAR) => {
                f.write_str(": use &str or String")
            }
            _ => Ok(()),
        }
    }
}

/// A PostgreSQL type. `Display` prints the name of a built-in type, and the oid of any other type.
pub(super) struct TypeName(pub(super) Oid);

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match oid::name(self.0) {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

/// The name of a Rust type without the paths of modules: `Option<String>`.
pub(super) struct ShortName<'a>(pub(super) &'a str);

impl fmt::Display for ShortName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_delimiter = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'));
        self.0
            .split_inclusive(is_delimiter)
            .try_for_each(|part| f.write_str(part.rsplit_once("::").map_or(part, |(_, name)| name)))
    }
}

impl Error for ValueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.mismatch {
            Mismatch::Other(error) => Some(&**error),
            _ => None,
        }
    }
}

/// Reason why a row cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum RowError {
    /// No RowDescription was received for the row.
    Undescribed {
        /// Number of values in the row.
        values: usize,
    },
    /// The number of values in the row differs from the number of columns in the RowDescription.
    Count {
        /// Number of values in the row.
        values: usize,
        /// Number of columns in the RowDescription.
        columns: usize,
    },
    /// The RowDescription describes a statement, so the formats of the values are unknown. Call
    /// [`set_formats`](super::Columns::set_formats) first.
    Formats,
    /// The number of result formats is not zero, one, or the number of columns.
    FormatCount {
        /// Number of formats.
        formats: usize,
        /// Number of columns in the RowDescription.
        columns: usize,
    },
    /// The number of columns that the requested type reads differs from the number of columns in the row.
    Width {
        /// Number of columns that the requested type reads.
        wanted: usize,
        /// Number of columns in the RowDescription.
        columns: usize,
    },
    /// The row has no column with this index.
    NoColumn {
        /// The requested index, counted from 0.
        index: usize,
        /// Number of columns in the RowDescription.
        columns: usize,
    },
    /// The row has no column with this name.
    NoColumnNamed {
        /// The requested name.
        name: &'static str,
    },
    /// An implementation of [`FromRow`](super::FromRow) reads more columns than its `COUNT` or its `NAMES` declare.
    Members,
    /// The row is malformed.
    Damaged(DecodeError),
    /// A value cannot be read.
    Value(ValueError),
}

/// A number with its noun, printed in the singular or the plural: "1 value", "2 values".
pub(super) struct Counted(pub(super) usize, pub(super) &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = self;
        write!(f, "{count} {noun}{}", if *count == 1 { "" } else { "s" })
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undescribed { values } => {
                write!(f, "the row has {} but no RowDescription was received", Counted(*values, "value"))
            }
            Self::Count { values, columns } => {
                let (values, columns) = (Counted(*values, "value"), Counted(*columns, "column"));
                write!(f, "the row has {values} but the RowDescription has {columns}")
            }
            Self::Formats => f.write_str(
                "the formats of the values are unknown, because the RowDescription describes a statement: \
                 set the result formats of its Bind",
            ),
            Self::FormatCount { formats, columns } => {
                let (formats, columns) = (Counted(*formats, "result format"), Counted(*columns, "column"));
                write!(f, "{formats} for {columns}: expected none, one, or one for each column")
            }
            Self::Width { wanted, columns } => {
                let (wanted, columns) = (Counted(*wanted, "column"), Counted(*columns, "column"));
                write!(f, "the row has {columns} but the requested type reads {wanted}")
            }
            Self::NoColumn { index, columns } => {
                write!(f, "there is no column {index}: the row has {}", Counted(*columns, "column"))
            }
            Self::NoColumnNamed { name } => write!(f, "there is no column {name:?} in the row"),
            Self::Members => {
                f.write_str("the row type reads more columns than its COUNT or its NAMES announce")
            }
            Self::Damaged(error) => error.fmt(f),
            Self::Value(error) => error.fmt(f),
        }
    }
}

impl Error for RowError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Value(error) => error.source(),
            _ => None,
        }
    }
}

impl From<DecodeError> for RowError {
    fn from(error: DecodeError) -> Self {
        Self::Damaged(error)
    }
}
