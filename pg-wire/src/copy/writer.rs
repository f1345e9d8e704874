//! Writer of the rows of a COPY.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::error::{CopyError, CopyErrorKind};
use super::field::{Dialect, TextField};
use super::options::{CopyOptions, ForceQuote, Header, RowFormat};
use super::value::{CopyValue, CopyValues, VisitCopyValue};
use crate::basic::enums::FormatCode;

/// Signature: the first 11 bytes of data in binary format.
pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Writes rows in the format of a COPY.
///
/// The writer appends the rows to a buffer. The caller sends the bytes of the buffer in CopyData messages, which may be cut at any byte.
/// The header is written before the first row. An error leaves the buffer as it was before the call.
///
/// | format | bytes |
/// | --- | --- |
/// | text | for each row: the fields, with a delimiter between two fields, and `\n` |
/// | CSV | as in text format, with quotes instead of escapes |
/// | binary | 11 bytes signature, Int32 flags (0), Int32 length of the extension (0); for each row Int16 n, n fields, each of them Int32 length (-1 for NULL) and the bytes; at the end Int16 -1 |
///
/// ```
/// use pg_wire::copy::{CopyOptions, CopyWriter};
///
/// let mut data = Vec::new();
/// let mut writer = CopyWriter::new(&CopyOptions::text())?;
/// writer.row(&(1i32, "tab\there", Some(0.5f64)), &mut data)?;
/// writer.row(&(2i32, "", None::<f64>), &mut data)?;
/// writer.finish(&mut data)?;
/// assert_eq!(data, b"1\ttab\\there\t0.5\n2\t\t\\N\n");
/// # Ok::<_, pg_wire::copy::CopyError>(())
/// ```
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9)
#[derive(Clone, Debug)]
pub struct CopyWriter {
    /// `None` for the binary format.
    dialect: Option<Dialect>,
    header: Header,
    names: Vec<String>,
    force_quote: Forced,
    /// Number of columns, if known.
    columns: Option<usize>,
    rows: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has been written.
    Start,
    Rows,
    Finished,
}

/// The columns that are always quoted.
#[derive(Clone, Debug)]
enum Forced {
    None,
    All,
    /// For each column: whether its values are always quoted.
    Some(Box<[bool]>),
}

impl Forced {
    #[inline(always)]
    fn at(&self, column: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(columns) => columns.get(column).copied().unwrap_or_default(),
        }
    }
}

impl CopyWriter {
    /// Creates a writer.
    ///
    /// # Errors
    /// [`CopyErrorKind::Option`] for options that the server would reject, and [`CopyErrorKind::NoNames`] when the options need the names
    /// of the columns.
    pub fn new(options: &CopyOptions) -> Result<Self, CopyError> {
        if options.header != Header::Absent || matches!(options.force_quote, ForceQuote::Columns(_)) {
            options.check()?;
            return Err(CopyErrorKind::NoNames.into());
        }
        Self::with_names(options, &[] as &[&str]).map(|writer| Self { columns: None, ..writer })
    }

    /// Creates a writer for columns with these names. The writer rejects a row whose number of values differs from the number of names.
    ///
    /// # Errors
    /// [`CopyErrorKind::Option`] for options that the server would reject, and [`CopyErrorKind::NoColumnNamed`] when FORCE_QUOTE names a
    /// column that is not in `names`.
    pub fn with_names(options: &CopyOptions, names: &[impl AsRef<str>]) -> Result<Self, CopyError> {
        options.check()?;
        let names: Vec<String> = names.iter().map(|name| name.as_ref().into()).collect();
        let force_quote = match &options.force_quote {
            ForceQuote::None => Forced::None,
            ForceQuote::All => Forced::All,
            ForceQuote::Columns(forced) => {
                if let Some(unknown) = forced.iter().find(|name| !names.contains(name)) {
                    return Err(CopyErrorKind::NoColumnNamed(unknown.as_str().into()).into());
                }
                Forced::Some(names.iter().map(|name| forced.contains(name)).collect())
            }
        };
        Ok(Self {
            dialect: (options.format != RowFormat::Binary).then(|| Dialect::new(options)),
            header: options.header,
            force_quote,
            columns: Some(names.len()),
            names,
            rows: 0,
            state: State::Start,
        })
    }

    /// Sets the number of columns. The writer then rejects a row whose number of values differs from this number.
    pub fn columns(self, columns: usize) -> Self {
        Self { columns: Some(columns), ..self }
    }

    /// Returns the number of rows that have been written.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Appends a row to `out`.
    ///
    /// # Errors
    /// [`CopyErrorKind::Count`] when the number of values differs from the number of columns, [`CopyErrorKind::Nul`] when a text contains
    /// NUL (in text and CSV format), and other kinds for values that cannot be written. The error names the row and the column.
    #[inline]
    pub fn row<R: CopyValues + ?Sized>(&mut self, row: &R, out: &mut Vec<u8>) -> Result<(), CopyError> {
        let start = out.len();
        if self.state != State::Rows {
            self.begin(out)?;
        }
        let count = row.count();
        let done = if self.columns.is_some_and(|columns| columns != count) {
            Err((CopyErrorKind::Count { fields: count, columns: self.columns.unwrap_or_default() }, None))
        } else if let Some(dialect) = &self.dialect {
            let mut line = Line { dialect, out, forced: &self.force_quote, count, index: 0, failure: None };
            row.each(&mut line);
            line.end()
        } else {
            write_tuple(row, count, out)
        };
        match done {
            Ok(()) => {
                self.rows += 1;
                Ok(())
            }
            Err((kind, column)) => {
                if self.rows == 0 {
                    self.state = State::Start;
                }
                out.truncate(start);
                Err(self.error(kind, column))
            }
        }
    }

    /// Checks the number of columns and the format that the server has announced.
    #[cfg(feature = "std")]
    pub(crate) fn expect(&mut self, columns: usize, is_binary: bool) -> Result<(), CopyErrorKind> {
        if is_binary != self.dialect.is_none() {
            return Err(CopyErrorKind::Format);
        }
        match self.columns.replace(columns) {
            Some(expected) if expected != columns => Err(CopyErrorKind::Count { fields: expected, columns }),
            _ => Ok(()),
        }
    }

    #[cold]
    fn error(&self, kind: CopyErrorKind, column: Option<usize>) -> CopyError {
        let error = CopyError::new(kind).in_row(self.rows + 1);
        match column {
            Some(column) => error.in_column(column, self.names.get(column).map(String::as_str)),
            None => error,
        }
    }

    /// Appends the end of the data to `out`: in binary format the trailer, and otherwise nothing. If no row has been written, the header
    /// is written first.
    ///
    /// # Errors
    /// [`CopyErrorKind::Ended`] when this method has already been called, and the errors of [`row`](Self::row) for a header.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CopyError> {
        if self.state != State::Rows {
            self.begin(out)?;
        }
        self.state = State::Finished;
        if self.dialect.is_none() {
            out.extend_from_slice(&(-1i16).to_be_bytes());
        }
        Ok(())
    }

    /// Writes the header.
    #[cold]
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), CopyError> {
        if self.state == State::Finished {
            return Err(self.error(CopyErrorKind::Ended, None));
        }
        self.state = State::Rows;
        let Some(dialect) = &self.dialect else {
            out.extend_from_slice(SIGNATURE);
            out.extend_from_slice(&[0; 8]);
            return Ok(());
        };
        if self.header != Header::Absent {
            let (start, count) = (out.len(), self.names.len());
            let mut line = Line { dialect, out, forced: &Forced::None, count, index: 0, failure: None };
            self.names.each(&mut line);
            if let Err((kind, column)) = line.end() {
                out.truncate(start);
                self.state = State::Start;
                let error = CopyError::new(kind).in_row(0);
                return Err(match column {
                    Some(column) => error.in_column(column, self.names.get(column).map(String::as_str)),
                    None => error,
                });
            }
        }
        Ok(())
    }
}

/// Reason why a row cannot be written, and the index of the column if the reason concerns a column.
type Failure = (CopyErrorKind, Option<usize>);

/// A row in text or CSV format.
struct Line<'w> {
    dialect: &'w Dialect,
    out: &'w mut Vec<u8>,
    forced: &'w Forced,
    /// Number of fields in the row.
    count: usize,
    /// Index of the next field.
    index: usize,
    failure: Option<Failure>,
}

impl Line<'_> {
    #[inline(always)]
    fn end(self) -> Result<(), Failure> {
        self.out.push(b'\n');
        match self.failure {
            None => Ok(()),
            Some(failure) => Err(failure),
        }
    }
}

impl VisitCopyValue for Line<'_> {
    #[inline(always)]
    fn visit<V: CopyValue + ?Sized>(&mut self, value: &V) {
        if self.index > 0 {
            self.out.push(self.dialect.delimiter);
        }
        let mut field = TextField::new(self.dialect, self.out);
        value.write_text(&mut field);
        if let Err(kind) = field.end(self.forced.at(self.index), self.count == 1)
            && self.failure.is_none()
        {
            self.failure = Some((kind, Some(self.index)));
        }
        self.index += 1;
    }
}

/// Writes a row in binary format.
#[inline(always)]
fn write_tuple<R: CopyValues + ?Sized>(row: &R, count: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    let Ok(fields) = i16::try_from(count) else { return Err((CopyErrorKind::TooManyFields, None)) };
    out.extend_from_slice(&fields.to_be_bytes());
    let mut tuple = Tuple { out, index: 0, failure: None };
    row.each(&mut tuple);
    match tuple.failure {
        None => Ok(()),
        Some(column) => Err((CopyErrorKind::ValueTooLong, Some(column))),
    }
}

/// A row in binary format.
struct Tuple<'w> {
    out: &'w mut Vec<u8>,
    /// Index of the next field.
    index: usize,
    /// Index of the first field that cannot be written.
    failure: Option<usize>,
}

impl Tuple<'_> {
    /// Writes the length and the bytes of a value of `N` bytes, `M` bytes in total. Returns false if the value does not have `N` bytes.
    #[inline(always)]
    fn put<const N: usize, const M: usize>(&mut self, bytes: &[u8]) -> bool {
        let Ok(bytes) = <&[u8; N]>::try_from(bytes) else { return false };
        let mut both = [0; M];
        let Some((length, value)) = both.split_first_chunk_mut::<4>() else { return false };
        *length = (N as u32).to_be_bytes();
        value.copy_from_slice(bytes);
        self.out.extend_from_slice(&both);
        true
    }
}

impl VisitCopyValue for Tuple<'_> {
    #[inline(always)]
    fn visit<V: CopyValue + ?Sized>(&mut self, value: &V) {
        let bound = value.bound();
        match bound.as_bytes() {
            None => self.out.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(bytes) => {
                // Length and value are appended as one array, so that the capacity is checked once instead of twice. For a number, the
                // compiler knows the length and keeps only one of these calls.
                let is_done = bound.format() == Some(FormatCode::Binary)
                    && (self.put::<1, 5>(bytes)
                        || self.put::<2, 6>(bytes)
                        || self.put::<4, 8>(bytes)
                        || self.put::<8, 12>(bytes)
                        || self.put::<16, 20>(bytes));
                if !is_done {
                    match i32::try_from(bytes.len()) {
                        Ok(length) => {
                            self.out.extend_from_slice(&length.to_be_bytes());
                            self.out.extend_from_slice(bytes);
                        }
                        Err(_) => self.failure = self.failure.or(Some(self.index)),
                    }
                }
            }
        }
        self.index += 1;
    }
}
