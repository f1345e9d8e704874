//! Values on their way from the server.
//!
//! A row's columns are bytes in one of two formats. What they mean is said once, by the RowDescription: keep it as
//! [`Columns`] and decode rows by it.
//!
//! ```
//! use pg_wire::{Decode, backend::{DataRow, RowDescription}, value::Columns};
//!
//! let description = RowDescription::decode(
//!     b"\0\x02id\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
//! )?;
//! let columns = Columns::from(&description);
//!
//! let row = DataRow::decode(b"\0\x02\0\0\0\x017\0\0\0\x03Ada")?;
//! let (id, name): (i32, &str) = columns.decode(&row)?;
//! assert_eq!((id, name), (7, "Ada"));
//!
//! let error = columns.decode::<(i32, i32)>(&row).unwrap_err();
//! assert_eq!(error.to_string(), "column 1 \"name\" of type text: it is not an i32");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod columns;
mod scalar;
#[cfg(feature = "postgres-types")]
mod sql;
mod text;

pub use columns::{Columns, FromRow, ValueError};
#[cfg(feature = "postgres-types")]
pub use sql::{Sql, SqlParam};
pub use text::AsText;

use core::fmt;

use crate::basic::enums::FormatCode;
use crate::basic::error::DecodeError;
use crate::basic::oid::Oid;

/// What is needed to read the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Oid of the type; 0 if it is not known: then only the length of a binary value can be checked.
    pub type_oid: Oid,
    /// The format of the bytes.
    pub format: FormatCode,
}

/// A type that a value can be read as.
///
/// | Rust | PostgreSQL |
/// | --- | --- |
/// | `bool` | `bool` |
/// | `i16`, `i32`, `i64`, `u32` | `int2`, `int4`, `int8`, `oid`, whichever of them the number fits |
/// | `f32` | `float4` |
/// | `f64` | `float4`, `float8` |
/// | `&str`, `String` | `text`, `varchar`, `name`, `bpchar`, `json`, `xml`; any type in its text form |
/// | `&[u8]` | `bytea` in binary |
/// | `Vec<u8>` | `bytea` |
/// | `uuid::Uuid` | `uuid` |
/// | `Option<T>` | as `T`, or NULL |
/// | `Sql<T>` | whatever `postgres_types::FromSql` reads for `T`, in binary |
///
/// Both formats, unless said otherwise.
pub trait FromValue<'a>: Sized {
    /// Reads a value; `None` is NULL.
    ///
    /// # Errors
    /// When the value is not one of this type, or does not fit it.
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch>;
}

/// Why a value cannot be read as the type it was asked for. [`ValueError`] adds which column it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum Mismatch {
    /// It is NULL; ask for an `Option`.
    Null,
    /// Its type in PostgreSQL, or its format, is not one that this type is read from.
    Type {
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// It is a number that does not fit.
    Range {
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// Its bytes are not what its type and format promise.
    Malformed,
    /// It is text, but not UTF-8.
    Utf8,
    /// There is no such column.
    Missing,
    /// The row has more columns than were asked for.
    Surplus,
    /// The row itself is damaged.
    Row(DecodeError),
    /// Another library's reason.
    Other(alloc::boxed::Box<dyn core::error::Error + Send + Sync>),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("it is NULL"),
            Self::Type { wanted } => write!(f, "it is not {wanted}"),
            Self::Range { wanted } => write!(f, "it does not fit {wanted}"),
            Self::Malformed => f.write_str("its bytes are not a value of its type"),
            Self::Utf8 => f.write_str("it is not UTF-8"),
            Self::Missing => f.write_str("there is no such column"),
            Self::Surplus => f.write_str("it was not asked for"),
            Self::Row(error) => error.fmt(f),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Mismatch {}
