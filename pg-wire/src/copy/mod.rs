//! The rows of a COPY: a writer and a reader for the text, CSV and binary formats. The writer and the reader need no connection.
//!
//! [`CopyWriter`] writes tuples and slices of [`CopyValue`]s. [`CopyReader`] reads the data in pieces of any length, and lends the fields
//! of each row, which [`CopyRow::get`] reads with [`FromValue`](crate::FromValue). [`CopyOptions`] has the format and the options of the
//! COPY statement, and prints the options for the statement. On a connection, use `Connection::copy_in` and `Connection::copy_out`.
//!
//! ```
//! use pg_wire::copy::{CopyOptions, CopyReader, CopyWriter, Header};
//!
//! let options = CopyOptions::csv().header(Header::Present);
//! let mut writer = CopyWriter::with_names(&options, &["name", "moons"])?;
//! writer.row(&("Mars, \"red\"", 2i32))?;
//! writer.finish()?;
//! assert_eq!(writer.data(), b"name,moons\n\"Mars, \"\"red\"\"\",2\n");
//!
//! let mut reader = CopyReader::new(&options)?;
//! let mut piece = writer.data();
//! while let Some(row) = reader.row(&mut piece)? {
//!     assert_eq!(row.decode::<(&str, i32)>()?, ("Mars, \"red\"", 2));
//! }
//! # Ok::<_, pg_wire::copy::CopyError>(())
//! ```

mod encoding;
pub(crate) mod error;
mod field;
mod lines;
mod markers;
pub(crate) mod options;
pub(crate) mod reader;
pub(crate) mod row;
mod tuples;
pub(crate) mod value;
pub(crate) mod writer;

pub use error::{CopyError, CopyErrorKind};
pub use field::TextField;
pub use options::{CopyOptions, ForceColumns, Header, LogVerbosity, OnError, RowFormat};
pub use reader::CopyReader;
pub use row::{CopyRow, FromCopyRow};
pub use value::{CopyValue, CopyValues, OrDefault, VisitCopyValue};
pub use writer::CopyWriter;
