//! Errors of the rows of a COPY.

use alloc::boxed::Box;
use core::fmt;

use crate::value::Mismatch;

/// Error of a row of a COPY: the reason, the row and the column.
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
    /// The options need the names of the columns, for a header or for FORCE_QUOTE, and the names are not set.
    NoNames,
    /// FORCE_QUOTE names a column that the rows do not have.
    NoColumnNamed(Box<str>),
    /// The row has another number of fields than the COPY has columns.
    Count {
        /// Number of fields in the row. For a received row with too many fields, the number up to the first field too many.
        fields: usize,
        /// Expected number of columns.
        columns: usize,
    },
    /// The row has more fields than a row of a COPY can have: 32,767 in binary format.
    TooManyFields,
    /// The row is longer than the limit.
    RowTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A value is longer than 2,147,483,647 bytes, or than a buffer can be.
    ValueTooLong,
    /// A text value contains a NUL character, which the server rejects.
    Nul,
    /// The value is an empty string, and the NULL string of the text format is empty too, so the value would be read as NULL.
    EmptyIsNull,
    /// A row was written after the end of the data.
    Ended,
    /// An earlier error has ended the reader.
    AfterError,
    /// The reader has no column with this index. The member of [`CopyError::column`] is the index.
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
    /// A line contains a carriage return or a newline that is neither escaped nor quoted, and differs from the end of the first line.
    Newline,
    /// The end marker `\.` is not alone on its line.
    EndMarker,
    /// The data ended inside a quoted field.
    UnterminatedQuote,
    /// The data ended inside a row, or in binary format before the trailer.
    Truncated,
    /// The data does not begin with the signature of the binary format.
    Signature,
    /// The header of the binary format has flags that are critical and unknown, or the flag for OIDs, which PostgreSQL 12 removed.
    Flags(u32),
    /// A length or a count in binary format is negative.
    Length(i32),
    /// Data follows the trailer of the binary format.
    AfterTrailer,
    /// The server answered with another message than the statement should cause; the string is the expected message.
    Unexpected(&'static str),
    /// The server announced another format than the options have.
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

    /// Returns the index of the column, counted from 0; `None` if the error concerns no column.
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
            Self::NoNames => f.write_str("the options need the names of the columns: set the names"),
            Self::NoColumnNamed(name) => write!(f, "FORCE_QUOTE names {name:?}, which is no column"),
            Self::Count { fields, columns } => write!(f, "found {fields} fields, expected {columns}"),
            Self::TooManyFields => f.write_str("the row has more than 32,767 fields"),
            Self::RowTooLong { limit } => write!(f, "the row is longer than the limit of {limit} bytes"),
            Self::ValueTooLong => f.write_str("the value is longer than a value of a COPY can be"),
            Self::Nul => f.write_str("the text contains a NUL character, which the server rejects"),
            Self::EmptyIsNull => {
                f.write_str("an empty string would be read as NULL: set another NULL string")
            }
            Self::Ended => f.write_str("the data has ended"),
            Self::AfterError => f.write_str("an earlier error has ended the data"),
            Self::NoColumn { columns } => write!(f, "no such column: the row has {columns} fields"),
            Self::Width { wanted, columns } => {
                write!(f, "the row has {columns} fields but the tuple has {wanted} members")
            }
            Self::Value(mismatch) => mismatch.fmt(f),
            Self::HeaderName => f.write_str("the header has another name for this column"),
            Self::Newline => {
                f.write_str("found a newline or carriage return that differs from the end of the first line")
            }
            Self::EndMarker => f.write_str("the end marker \\. is not alone on its line"),
            Self::UnterminatedQuote => f.write_str("the data ended inside a quoted field"),
            Self::Truncated => f.write_str("the data ended too early"),
            Self::Signature => f.write_str("the data does not begin with the signature of the binary format"),
            Self::Flags(flags) => write!(f, "the header has unknown critical flags: {flags:#010x}"),
            Self::Length(length) => write!(f, "found the length or count {length}"),
            Self::AfterTrailer => f.write_str("data follows the trailer"),
            Self::Unexpected(expected) => {
                write!(f, "the statement caused no {expected}")
            }
            Self::Format => f.write_str("the statement has another format than the options"),
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
