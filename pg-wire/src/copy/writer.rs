//! Writer of the rows of a COPY.

use alloc::string::String;
use alloc::vec::Vec;

use super::error::{CopyError, CopyErrorKind};
use super::field::{Dialect, TextField};
use super::markers::Forced;
use super::options::{CopyOptions, Header, RowFormat};
use super::value::{CopyValue, CopyValues, VisitCopyValue};
use crate::basic::short;

/// Signature: the first 11 bytes of data in binary format.
pub(super) const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// Writes rows in the format of a COPY.
///
/// The writer collects the rows in a buffer. The caller sends the bytes of [`data`](Self::data) in CopyData messages, which may be cut at
/// any byte, and then calls [`clear`](Self::clear). The header is written before the first row. An error leaves the buffer as it was before
/// the call.
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
/// let mut writer = CopyWriter::new(&CopyOptions::text())?;
/// writer.row(&(1i32, "tab\there", Some(0.5f64)))?;
/// writer.row(&(2i32, "", None::<f64>))?;
/// writer.finish()?;
/// assert_eq!(writer.data(), b"1\ttab\\there\t0.5\n2\t\t\\N\n");
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
    /// The written bytes, then unused bytes. In text and CSV format there are no unused bytes.
    bytes: Vec<u8>,
    /// Number of written bytes.
    written: usize,
}

/// Size in bytes of the first buffer for rows in binary format. The buffer grows if the rows need more.
const FIRST_BUFFER: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has been written.
    Start,
    Rows,
    Finished,
}

impl CopyWriter {
    /// Creates a writer.
    ///
    /// # Errors
    /// The errors of [`with_names`](Self::with_names), and [`CopyErrorKind::NoNames`] when the options need the names of the columns.
    pub fn new(options: &CopyOptions) -> Result<Self, CopyError> {
        if options.header != Header::Absent || options.force_quote.has_names() {
            options.check()?;
            return Err(CopyErrorKind::NoNames.into());
        }
        Self::with_names(options, &[] as &[&str]).map(|writer| Self { columns: None, ..writer })
    }

    /// Creates a writer for columns with these names. The writer rejects a row whose number of values differs from the number of names.
    ///
    /// # Errors
    /// [`CopyErrorKind::Option`] for options that the server would reject, [`CopyErrorKind::NoColumnNamed`] when FORCE_QUOTE names a column
    /// that is not in `names`, and [`CopyErrorKind::WriterEncoding`] when the encoding of a text or CSV format is not UTF-8.
    pub fn with_names(options: &CopyOptions, names: &[impl AsRef<str>]) -> Result<Self, CopyError> {
        options.check()?;
        let names: Vec<String> = names.iter().map(|name| name.as_ref().into()).collect();
        let force_quote = Forced::new("FORCE_QUOTE", &options.force_quote, &names)?;
        if let Some(name) = options.foreign_encoding() {
            return Err(CopyErrorKind::WriterEncoding(name.into()).into());
        }
        Ok(Self {
            dialect: (options.format != RowFormat::Binary).then(|| Dialect::new(options)),
            header: options.header,
            force_quote,
            columns: Some(names.len()),
            names,
            rows: 0,
            state: State::Start,
            bytes: Vec::new(),
            written: 0,
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

    /// Returns the bytes that have been written since the last [`clear`](Self::clear).
    #[inline]
    pub fn data(&self) -> &[u8] {
        self.bytes.get(..self.written).unwrap_or_default()
    }

    /// Empties the buffer, and keeps its memory for further rows.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    fn truncate(&mut self, length: usize) {
        self.written = length;
        if self.dialect.is_some() {
            self.bytes.truncate(length);
        }
    }

    /// Appends a row to the buffer.
    ///
    /// # Errors
    /// [`CopyErrorKind::Count`] when the number of values differs from the number of columns, [`CopyErrorKind::Nul`] when a text contains
    /// NUL (in text and CSV format), and other kinds for values that cannot be written. The error names the row and the column.
    #[inline(always)]
    pub fn row<R: CopyValues + ?Sized>(&mut self, row: &R) -> Result<(), CopyError> {
        if self.row_fast(row) {
            return Ok(());
        }
        self.row_slowly(row)
    }

    /// Fast path: writes a row in binary format to the unused part of the buffer. Returns false if the row does not fit there, if a value
    /// is not valid, or if the format is not binary.
    #[inline(always)]
    fn row_fast<R: CopyValues + ?Sized>(&mut self, row: &R) -> bool {
        if self.state != State::Rows || self.dialect.is_some() {
            return false;
        }
        let count = row.count();
        if self.columns.is_some_and(|columns| columns != count) {
            return false;
        }
        let Ok(fields) = i16::try_from(count) else { return false };
        let Some(room) = self.bytes.get_mut(self.written..) else { return false };
        let whole = room.len();
        let Some((field, rest)) = room.split_first_chunk_mut() else { return false };
        *field = fields.to_be_bytes();
        let mut tuple = Tuple { rest, is_refused: false };
        row.each(&mut tuple);
        if tuple.is_refused {
            return false;
        }
        self.written += whole - tuple.rest.len();
        self.rows += 1;
        true
    }

    #[inline(never)]
    fn row_slowly<R: CopyValues + ?Sized>(&mut self, row: &R) -> Result<(), CopyError> {
        let (start, count) = (self.written, row.count());
        if self.state != State::Rows {
            self.begin()?;
        }
        let failure = if let Some(columns) = self.columns.filter(|columns| *columns != count) {
            Some((CopyErrorKind::Count { fields: count, columns }, None))
        } else if let Some(dialect) = &self.dialect {
            let mut line = Line {
                dialect,
                out: &mut self.bytes,
                forced: &self.force_quote,
                count,
                index: 0,
                failure: None,
            };
            row.each(&mut line);
            let failure = line.end();
            self.written = self.bytes.len();
            self.rows += u64::from(failure.is_none());
            failure
        } else {
            self.tuple_slowly(row, count)
        };
        let Some((kind, column)) = failure else { return Ok(()) };
        if self.rows == 0 {
            self.state = State::Start;
        }
        self.truncate(start);
        Err(self.error(kind, column))
    }

    /// Enlarges the buffer so that a row in binary format fits, and writes the row.
    fn tuple_slowly<R: CopyValues + ?Sized>(&mut self, row: &R, count: usize) -> Option<Failure> {
        if i16::try_from(count).is_err() {
            return Some((CopyErrorKind::TooManyFields, None));
        }
        let mut size = TupleSize { length: 2, index: 0, failure: None };
        row.each(&mut size);
        if size.failure.is_some() {
            return size.failure;
        }
        self.reserve(size.length);
        match self.row_fast(row) {
            true => None,
            // The buffer is large enough, so the values have changed between two calls of `Bindable::bound`, or their number differs from
            // `CopyValues::count`.
            false => Some((CopyErrorKind::Count { fields: size.index, columns: count }, None)),
        }
    }

    /// Makes the unused part of the buffer at least `length` bytes long. A call that enlarges the buffer at least doubles the buffer. So
    /// few calls enlarge the buffer and set the new bytes to zero.
    fn reserve(&mut self, length: usize) {
        let needed = self.written.saturating_add(length);
        if needed > self.bytes.len() {
            self.bytes.resize(needed.max(2 * self.bytes.len()).max(FIRST_BUFFER), 0);
        }
    }

    /// Appends bytes that belong to no row.
    fn append(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        if let Some(room) = self.bytes.get_mut(self.written..self.written + bytes.len()) {
            room.copy_from_slice(bytes);
            self.written += bytes.len();
        }
    }

    /// Compares the number of columns and the format that the server has announced with the settings of the writer. Stores the number of
    /// columns.
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

    /// Appends the end of the data to the buffer: in binary format the trailer, and otherwise nothing. If no row has been written, the
    /// header is written first.
    ///
    /// # Errors
    /// [`CopyErrorKind::Ended`] when this method has already been called, and the errors of [`row`](Self::row) when the
    /// header cannot be written.
    pub fn finish(&mut self) -> Result<(), CopyError> {
        if self.state != State::Rows {
            self.begin()?;
        }
        self.state = State::Finished;
        if self.dialect.is_none() {
            self.append(&(-1i16).to_be_bytes());
        }
        Ok(())
    }

    /// Writes the header.
    #[cold]
    fn begin(&mut self) -> Result<(), CopyError> {
        if self.state == State::Finished {
            return Err(self.error(CopyErrorKind::Ended, None));
        }
        self.state = State::Rows;
        let Some(dialect) = &self.dialect else {
            self.append(SIGNATURE);
            self.append(&[0; 8]);
            return Ok(());
        };
        if self.header != Header::Absent {
            let (start, count) = (self.written, self.names.len());
            let out = &mut self.bytes;
            let mut line = Line { dialect, out, forced: &Forced::None, count, index: 0, failure: None };
            self.names.each(&mut line);
            if let Some((kind, column)) = line.end() {
                self.truncate(start);
                self.state = State::Start;
                let error = CopyError::new(kind).in_row(0);
                return Err(match column {
                    Some(column) => error.in_column(column, self.names.get(column).map(String::as_str)),
                    None => error,
                });
            }
            self.written = self.bytes.len();
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
    fn end(self) -> Option<Failure> {
        self.out.push(b'\n');
        self.failure
    }
}

impl VisitCopyValue for Line<'_> {
    #[inline(always)]
    fn visit<V: CopyValue + ?Sized>(&mut self, value: &V) {
        if self.index > 0 {
            self.out.push(self.dialect.delimiter);
        }
        let mut field = TextField::new(self.dialect, self.out);
        let ended = if value.is_default() {
            field.end_default()
        } else {
            value.write_text(&mut field);
            field.end(self.forced.at(self.index), self.count == 1)
        };
        if let Err(kind) = ended
            && self.failure.is_none()
        {
            self.failure = Some((kind, Some(self.index)));
        }
        self.index += 1;
    }
}

/// The length of a row in binary format.
struct TupleSize {
    /// Number of bytes of the fields that have been measured.
    length: usize,
    /// Index of the next field.
    index: usize,
    /// Reason why the first invalid field cannot be sent.
    failure: Option<Failure>,
}

impl VisitCopyValue for TupleSize {
    #[inline]
    fn visit<V: CopyValue + ?Sized>(&mut self, value: &V) {
        let length = value.bound().as_bytes().map_or(0, <[u8]>::len);
        let kind = if value.is_default() {
            Some(CopyErrorKind::NoDefault)
        } else {
            i32::try_from(length).is_err().then_some(CopyErrorKind::ValueTooLong)
        };
        if let (None, Some(kind)) = (&self.failure, kind) {
            self.failure = Some((kind, Some(self.index)));
        }
        self.length = self.length.saturating_add(4 + length);
        self.index += 1;
    }
}

/// A row in binary format.
struct Tuple<'w> {
    /// The part of the buffer after the fields that have been written.
    rest: &'w mut [u8],
    /// Whether a field did not fit or is not valid.
    is_refused: bool,
}

impl VisitCopyValue for Tuple<'_> {
    #[inline(always)]
    fn visit<V: CopyValue + ?Sized>(&mut self, value: &V) {
        if value.is_default() {
            self.is_refused = true;
            return;
        }
        let bound = value.bound();
        let (length, bytes) = match bound.as_bytes() {
            None => (Ok(-1), &[][..]),
            Some(bytes) => (i32::try_from(bytes.len()), bytes),
        };
        let rest = core::mem::take(&mut self.rest);
        let (Ok(length), Some((room, rest))) = (length, rest.split_at_mut_checked(4 + bytes.len())) else {
            self.is_refused = true;
            return;
        };
        if let Some((field, value)) = room.split_first_chunk_mut() {
            *field = length.to_be_bytes();
            short::copy(value, bytes);
        }
        self.rest = rest;
    }
}
