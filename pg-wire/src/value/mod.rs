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
//! let columns = Columns::of_portal(&description);
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
mod error;
mod scalar;
#[cfg(feature = "postgres-types")]
mod sound;
#[cfg(feature = "postgres-types")]
mod sql;
mod text;

pub use columns::{Columns, FromRow, RowReader};
pub use error::{Mismatch, RowError, ValueError};
#[cfg(feature = "postgres-types")]
pub use sql::{Sql, SqlParam};
pub use text::AsText;

use crate::basic::enums::FormatCode;
use crate::basic::oid::Oid;

/// Type and format of a column: what is needed to read its values.
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
/// | `i16`, `i32`, `i64`, `u32`, `u64` | `int2`, `int4`, `int8`, `oid`, `xid`, `cid`, `xid8`, `pg_lsn` if the number fits; `regclass` and the other types of names in binary, as the `oid` that they are |
/// | `f32` | `float4` |
/// | `f64` | `float4`, `float8` |
/// | `&str`, `String` | any type in its text form; in binary `text`, `varchar`, `name`, `bpchar`, `json`, `jsonb`, `jsonpath`, `xml`, `"char"`, `cstring`, `refcursor`, `void` |
/// | `&[u8]` | `bytea` in binary |
/// | `Vec<u8>` | `bytea` |
/// | `uuid::Uuid` | `uuid` |
/// | `Option<T>` | as `T`, or NULL |
/// | `Sql<T>` | whatever `postgres_types::FromSql` reads for `T`, in binary |
///
/// Both formats, unless noted otherwise; a value is the same in either. A type that is not built into PostgreSQL, such as an enum, is
/// named by [`Columns::set_type`]. No memory is allocated beyond the bytes of the value.
pub trait FromValue<'a>: Sized {
    /// Reads a value; `None` is NULL.
    ///
    /// # Errors
    /// When the value is not one of this type, or does not fit it.
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch>;
}
