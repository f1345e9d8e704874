//! Values received from the server.
//!
//! The values of a row are bytes, in text or in binary format. A RowDescription, which is received before the rows, states the type and the
//! format of each column. Create [`Columns`] from the RowDescription, and decode the rows with `Columns`.
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
//! assert_eq!(error.to_string(), "column 1 \"name\" of type text: the value is not an i32: use &str or String");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! A struct with `#[derive(FromRow)]` (feature `derive`) is read by the names of the columns. [`Columns::prepare`] checks names and types
//! before the first row. For a prepared statement, store a [`StatementDescription`]. It checks parameters before a Bind, and returns the
//! columns with the formats that the Bind requests.

mod column;
mod columns;
#[cfg(feature = "postgres-types")]
mod convert;
mod error;
mod row;
mod scalar;
#[cfg(feature = "postgres-types")]
mod sound;
#[cfg(feature = "postgres-types")]
mod sql;
#[cfg(feature = "postgres-types")]
mod sql_param;
mod statement;
mod text;

pub use column::Column;
pub use columns::Columns;
pub use error::{Mismatch, RowError, ValueError};
pub use row::{CheckTypes, Fields, FromRow, RowReader};

/// Implements [`FromRow`](trait@FromRow) for a struct.
///
/// The columns of a struct with named fields are found by name. The name of a column is the name of the field, or the name in `rename`. The
/// row may have further columns. A tuple struct, or a struct with `by_position`, is read by position: the row must have exactly one column
/// for each field.
///
/// | attribute | place | effect |
/// | --- | --- | --- |
/// | `#[from_row(by_position)]` | the struct | read the columns by position |
/// | `#[from_row(crate = "path")]` | the struct | path of this crate, if it is not `::pg_wire` |
/// | `#[from_row(rename = "column")]` | a field | name of the column |
///
/// A struct can borrow from the row, with one lifetime.
///
/// ```
/// use pg_wire::{Decode, FormatCode, backend::{DataRow, FieldDescription, RowDescription}, codec::List, oid};
/// use pg_wire::value::{Columns, FromRow};
///
/// #[derive(FromRow, Debug, PartialEq)]
/// struct User<'a> {
///     id: i32,
///     #[from_row(rename = "user name")]
///     name: Option<&'a str>,
/// }
///
/// let field = |name: &'static str, type_oid| FieldDescription { name: name.into(), type_oid, ..Default::default() };
/// let fields = [field("id", oid::INT4), field("user name", oid::TEXT)];
/// let mut columns = Columns::of_portal(&RowDescription { fields: List::from(&fields) });
/// // Checks names and types before the first row, and makes reading by name as fast as by position.
/// columns.prepare::<User<'_>>()?;
///
/// let row = DataRow::decode(b"\0\x02\0\0\0\x017\0\0\0\x03Ada")?;
/// assert_eq!(columns.decode::<User<'_>>(&row)?, User { id: 7, name: Some("Ada") });
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "derive")]
pub use pg_wire_derive::FromRow;
#[cfg(feature = "postgres-types")]
pub use sql::{Sql, SqlRef};
#[cfg(feature = "postgres-types")]
pub use sql_param::{SqlParam, SqlParams};
pub use statement::{ParamsError, StatementDescription};
pub use text::AsText;

/// A Rust type that reads a value of a column.
///
/// | Rust | PostgreSQL |
/// | --- | --- |
/// | `bool` | `bool` |
/// | `i16`, `i32`, `i64`, `u32`, `u64` | `int2`, `int4`, `int8`, `oid`, `xid`, `cid`, `xid8`, `pg_lsn` if the number fits; `regclass` and the other `reg` types, in binary as their `oid`, in text if the text is a number |
/// | `f32` | `float4` |
/// | `f64` | `float4`, `float8` |
/// | `&str`, `String` | any type in its text form; in binary `text`, `varchar`, `name`, `bpchar`, `json`, `jsonb`, `jsonpath`, `xml`, `"char"`, `cstring`, `refcursor`, `void` |
/// | `&[u8]` | `bytea` in binary |
/// | `Vec<u8>` | `bytea` |
/// | `uuid::Uuid` | `uuid` |
/// | `Option<T>` | NULL, and the types that `T` reads |
/// | `Sql<T>` | the types that `T` reads with `postgres_types::FromSql`; in text, the types that are listed at `Sql` |
/// | `SqlRef<T>` | the same, for a `T` that borrows from the row; in text, only types whose text is also the binary form |
///
/// If the table names no format, both formats are read, with the same result. For a type that is not built into PostgreSQL, such as an
/// enum, call [`Columns::set_type`]. Except for `Sql<T>` and `SqlRef<T>`, reading allocates at most as many bytes as the value has.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a column",
    note = "a type with `postgres_types::FromSql` is read as `Sql<{Self}>` (feature `postgres-types`)",
    note = "types that can be read are listed at `FromValue`; PostgreSQL has no `u8` and no `usize`: use an `i64`"
)]
pub trait FromValue<'a>: Sized {
    /// Reads a value; `None` is NULL.
    ///
    /// # Errors
    /// When the column's type or the value does not fit the Rust type, or when the value is malformed.
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch>;

    /// Fast path of [`from_value`](Self::from_value): returns the same value for the most frequent columns, and `None` for all other values
    /// and for all errors. Implementations need not provide this method.
    ///
    /// The result does not contain the reason of an error, so that the compiler keeps the result in registers.
    #[doc(hidden)]
    #[inline(always)]
    fn from_value_fast(value: Option<&'a [u8]>, column: Column) -> Option<Self> {
        let _ = (value, column);
        None
    }

    /// Checks that the type can read values of the column, before a value is received; see [`Columns::prepare`]. If an implementation does
    /// not provide this method, a mismatch is only found when the first value is read.
    ///
    /// # Errors
    /// [`Mismatch::Type`].
    fn check(column: Column) -> Result<(), Mismatch> {
        let _ = column;
        Ok(())
    }
}
