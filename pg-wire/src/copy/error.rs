//! Errors when rows of a COPY are written or read.

use alloc::boxed::Box;
use core::fmt;

use crate::value::Mismatch;

/// Error when a row of a COPY is written or read: the reason, with the row and the column if they are known.
pub struct CopyError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    row: Option<u64>,
    column: Option<usize>,
    name: Option<Box<str>>,
    kind: CopyErrorKind,
}

/// Reason of a [`CopyError`].
#[derive(Debug)]
#[non_exhaustive]
pub enum CopyErrorKind {
    /// The combination of options is invalid; the string is the reason.
    Option(&'static str),
    /// The writer or the reader has no names of columns, but the options need names: for a header, or for an option that names columns.
    NoNames,
    /// An option names a column that the rows do not have.
    NoColumnNamed {
        /// Name of the option, such as FORCE_QUOTE.
        option: &'static str,
        /// Name of the column.
        name: Box<str>,
    },
    /// The options set an encoding other than UTF-8, but a writer writes only UTF-8; the string is the name of the encoding.
    WriterEncoding(Box<str>),
    /// The options set an encoding in which a part of a character can look like a delimiter; the string is the name of the encoding.
    ReaderEncoding(Box<str>),
    /// The options set an encoding other than UTF-8, and the value has characters other than ASCII; the string is the name of the encoding.
    ValueEncoding(Box<str>),
    /// The number of fields in the row differs from the expected number of columns.
    Count {
        /// Number of fields in the row.
        fields: usize,
        /// Expected number of columns.
        columns: usize,
    },
    /// The row has more than 32,767 fields. A writer of the text and CSV format does not check this limit.
    TooManyFields,
    /// The row is longer than the limit.
    RowTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A value is longer than 2,147,483,647 bytes, the longest value of the binary format.
    ValueTooLong,
    /// A text value contains a NUL character, which the server rejects.
    Nul,
    /// The value is an empty string. The options set an empty NULL string for the text format, so the value would be read as NULL.
    EmptyIsNull,
    /// The value is an empty string. The options set an empty DEFAULT string for the text format, so the value would be read as the default
    /// value of the column.
    EmptyIsDefault,
    /// The value is [`OrDefault::Default`](super::OrDefault::Default), but the option DEFAULT is not set.
    NoDefault,
    /// The field is equal to the string of the option DEFAULT, so the field has no value.
    IsDefault,
    /// A row was written, or the COPY was ended again, after the end of the data.
    Ended,
    /// An earlier error has ended the reader.
    AfterError,
    /// The row has no field with the requested index. [`CopyError::column`] returns this index.
    NoColumn {
        /// Number of fields in the row.
        columns: usize,
    },
    /// The number of members of the requested tuple differs from the number of fields in the row.
    Width {
        /// Number of members of the requested tuple.
        wanted: usize,
        /// Number of fields in the row.
        columns: usize,
    },
    /// The value cannot be read as the requested Rust type.
    Value(Mismatch),
    /// A field of the header line differs from the name of its column.
    HeaderName,
    /// A line contains an unescaped and unquoted carriage return or newline that differs from the line end of the first line.
    Newline,
    /// The end marker `\.` is not alone on its line.
    EndMarker,
    /// The data ended inside a quoted field.
    UnterminatedQuote,
    /// Binary format: the data ended before the trailer.
    Truncated,
    /// The data does not begin with the signature of the binary format.
    Signature,
    /// The header of the binary format has a critical flag (bits 16 to 31). This reader supports no critical flag. The flag for OIDs is not
    /// supported either, because PostgreSQL 12 removed the flag.
    Flags(u32),
    /// A length or a count in binary format is negative, and is not the -1 of NULL or of the trailer.
    Length(i32),
    /// Data follows the trailer of the binary format.
    AfterTrailer,
    /// The server did not send the expected message; the string is the name of the expected message.
    Unexpected(&'static str),
    /// The format that the server announced differs from the format of the options.
    Format,
}

impl CopyError {
    #[cold]
    pub(crate) fn new(kind: CopyErrorKind) -> Self {
        Self(Box::new(Parts { row: None, column: None, name: None, kind }))
    }

    /// Adds the number of the row.
    pub(super) fn in_row(mut self, row: u64) -> Self {
        self.0.row = Some(row);
        self
    }

    /// Adds the column.
    pub(super) fn in_column(mut self, column: usize, name: Option<&str>) -> Self {
        self.0.column = Some(column);
        self.0.name = name.map(Into::into);
        self
    }

    /// Returns the number of the row, counted from 1. Returns 0 for the header, and `None` if the error concerns no row.
    pub fn row(&self) -> Option<u64> {
        self.0.row
    }

    /// Returns the index of the column, counted from 0. Returns `None` if the error concerns no column.
    pub fn column(&self) -> Option<usize> {
        self.0.column
    }

    /// Returns the name of the column, if the column and its name are known.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Returns the reason.
    pub fn kind(&self) -> &CopyErrorKind {
        &self.0.kind
    }
}

impl From<CopyErrorKind> for CopyError {
    fn from(kind: CopyErrorKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Debug for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { row, column, name, kind } = &*self.0;
        let mut all = f.debug_struct("CopyError");
        all.field("row", row).field("column", column).field("name", name).field("kind", kind).finish()
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("COPY")?;
        match self.0.row {
            Some(0) => f.write_str(" header")?,
            Some(row) => write!(f, " row {row}")?,
            None => {}
        }
        if let Some(column) = self.0.column {
            write!(f, "{} column {column}", if self.0.row.is_some() { "," } else { "" })?;
        }
        if let Some(name) = &self.0.name {
            write!(f, " {name:?}")?;
        }
        write!(f, ": {}", self.0.kind)
    }
}

impl fmt::Display for CopyErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(reason) => f.write_str(reason),
            Self::NoNames => f.write_str("the options need the names of the columns: use `with_names`"),
            Self::NoColumnNamed { option, name } => {
                write!(f, "{option} names {name:?}, but no column has this name")
            }
            Self::WriterEncoding(name) => {
                write!(f, "the writer writes UTF-8, but the options have the encoding {name}")
            }
            Self::ReaderEncoding(name) => {
                write!(f, "in the encoding {name} a part of a character can look like a delimiter: use UTF8")
            }
            Self::ValueEncoding(name) => {
                write!(f, "the value has the encoding {name} instead of UTF-8: use `CopyRow::bytes`")
            }
            Self::Count { fields, columns } => write!(f, "expected {columns} fields, found {fields}"),
            Self::TooManyFields => f.write_str("the row has more than 32,767 fields"),
            Self::RowTooLong { limit } => write!(f, "the row is longer than the limit of {limit} bytes"),
            Self::ValueTooLong => f.write_str("the value is longer than 2,147,483,647 bytes"),
            Self::Nul => f.write_str("the text contains a NUL character, which the server rejects"),
            Self::EmptyIsNull => {
                f.write_str("an empty string would be read as NULL: use another NULL string")
            }
            Self::EmptyIsDefault => {
                f.write_str("an empty string would be read as the DEFAULT string: use another DEFAULT string")
            }
            Self::NoDefault => f.write_str("the options have no DEFAULT string"),
            Self::IsDefault => {
                f.write_str("the field is the DEFAULT string and has no value: use `CopyRow::is_default`")
            }
            Self::Ended => f.write_str("the data has already ended"),
            Self::AfterError => f.write_str("no row can be read after an error"),
            Self::NoColumn { columns } => write!(f, "the row has only {columns} fields"),
            Self::Width { wanted, columns } => {
                write!(f, "the row has {columns} fields but the tuple has {wanted} members")
            }
            Self::Value(mismatch) => mismatch.fmt(f),
            Self::HeaderName => f.write_str("the name in the header differs from the name of the column"),
            Self::Newline => f.write_str("found a line end that differs from the line end of the first line"),
            Self::EndMarker => f.write_str("the end marker \\. is not alone on its line"),
            Self::UnterminatedQuote => f.write_str("the data ended inside a quoted field"),
            Self::Truncated => f.write_str("the data ended before the trailer"),
            Self::Signature => f.write_str("the data does not begin with the signature of the binary format"),
            Self::Flags(flags) => write!(f, "the header has unknown critical flags: {flags:#010x}"),
            Self::Length(length) => write!(f, "expected a length or a number of fields, found {length}"),
            Self::AfterTrailer => f.write_str("data follows the trailer"),
            Self::Unexpected(expected) => {
                write!(f, "the server did not send {expected}")
            }
            Self::Format => f.write_str("the format of the statement differs from the format of the options"),
        }
    }
}

impl core::error::Error for CopyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.0.kind {
            CopyErrorKind::Value(Mismatch::Other(error)) => Some(&**error),
            _ => None,
        }
    }
}
