//! Values received from the server.
//!
//! A row's values are bytes in one of two formats. The RowDescription before the rows states their types and formats: keep it as
//! [`Columns`], and decode the rows with that.
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
//! assert_eq!(error.to_string(), "column 1 \"name\" of type text: the value is not an i32");
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

/// The type and the format of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Oid of the type; 0 if unknown: then only the length of a binary value is checked.
    pub type_oid: Oid,
    /// The format of the bytes.
    pub format: FormatCode,
}

/// A Rust type into which a value can be decoded.
///
/// | Rust | PostgreSQL |
/// | --- | --- |
/// | `bool` | `bool` |
/// | `i16`, `i32`, `i64`, `u32` | any of `int2`, `int4`, `int8`, `oid`, if the number fits |
/// | `f32` | `float4` |
/// | `f64` | `float4`, `float8` |
/// | `&str`, `String` | `text`, `varchar`, `name`, `bpchar`, `json`, `xml`; any type in its text form |
/// | `&[u8]` | `bytea` in binary |
/// | `Vec<u8>` | `bytea` |
/// | `uuid::Uuid` | `uuid` |
/// | `Option<T>` | as `T`, or NULL |
/// | `Sql<T>` | the types that `postgres_types::FromSql` accepts for `T`, in binary |
///
/// In both formats, unless stated otherwise.
pub trait FromValue<'a>: Sized {
    /// Decodes a value; `None` is NULL.
    ///
    /// # Errors
    /// When the value has another type, or does not fit.
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch>;
}

/// The reason why a value cannot be decoded into the requested type. [`ValueError`] adds the column.
#[derive(Debug)]
#[non_exhaustive]
pub enum Mismatch {
    /// The value is NULL; request an `Option`.
    Null,
    /// The value's type in PostgreSQL, or its format, cannot be decoded into the requested type.
    Type {
        /// The requested type.
        wanted: &'static str,
    },
    /// The number does not fit.
    Range {
        /// The requested type.
        wanted: &'static str,
    },
    /// The bytes are not a value of the type in this format.
    Malformed,
    /// The text is not UTF-8.
    Utf8,
    /// The column does not exist.
    Missing,
    /// The row has more columns than requested.
    Surplus,
    /// The row is malformed.
    Row(DecodeError),
    /// An error of another library.
    Other(alloc::boxed::Box<dyn core::error::Error + Send + Sync>),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("the value is NULL"),
            Self::Type { wanted } => write!(f, "the value is not {wanted}"),
            Self::Range { wanted } => write!(f, "the value does not fit {wanted}"),
            Self::Malformed => f.write_str("the bytes are not a value of this type"),
            Self::Utf8 => f.write_str("the text is not UTF-8"),
            Self::Missing => f.write_str("the column does not exist"),
            Self::Surplus => f.write_str("the row has more columns than requested"),
            Self::Row(error) => error.fmt(f),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Mismatch {}
