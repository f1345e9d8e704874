//! Reader of the rows of a COPY.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::encoding;
use super::error::{CopyError, CopyErrorKind};
use super::lines::{Found, Lines};
use super::markers::Markers;
use super::options::{CopyOptions, Header, RowFormat};
use super::row::{CopyRow, Field, FromCopyRow, Shape};
use super::tuples::{Read, Tuples};
use crate::basic::enums::FormatCode;
use crate::basic::oid::Oid;

/// Default limit for the length of a row: 1 GiB - 1, the longest message that a PostgreSQL server sends.
const LIMIT: usize = 0x3fff_ffff;

/// Reads rows from the data of a COPY.
///
/// The data may be cut into pieces at any byte. A row that lies in one piece is lent from the piece. A row that lies in several pieces is
/// copied into a buffer of at most [`limit`](Self::limit) bytes. A field is also copied if escapes or quotes must be removed from it.
///
/// The options FORCE_NULL, FORCE_NOT_NULL and DEFAULT exist only for `COPY … FROM`. The reader applies these options, as the server does in
/// `COPY … FROM`. The reader of a `CopyOut` ignores these options, because a `CopyOut` receives the data of `COPY … TO`.
///
/// ```
/// use pg_wire::copy::{CopyOptions, CopyReader};
///
/// let mut reader = CopyReader::new(&CopyOptions::text())?;
/// let mut planets = Vec::new();
/// for mut piece in [&b"1\tMercury\t\\N\n2\tVe"[..], b"nus\t0.5\n"] {
///     while let Some(row) = reader.row(&mut piece)? {
///         planets.push((row.get::<i32>(0)?, row.get::<String>(1)?, row.get::<Option<f64>>(2)?));
///     }
/// }
/// assert!(reader.finish()?.is_none());
/// assert_eq!(planets, [(1, "Mercury".into(), None), (2, "Venus".into(), Some(0.5))]);
/// # Ok::<_, pg_wire::copy::CopyError>(())
/// ```
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9)
#[derive(Clone, Debug)]
pub struct CopyReader {
    format: Format,
    shape: Shape,
    header: Header,
    /// The options that decide which fields are NULL or the default value of a column; `None` if no such option is set.
    markers: Option<Box<Markers>>,
    /// Number of columns, if known.
    columns: Option<usize>,
    limit: usize,
    rows: u64,
    /// Whether the next line is the header.
    is_before_header: bool,
    state: State,
    /// Whether the fast path of [`decode`](Self::decode) can read the next row: the format is binary, the next byte is the first byte of a
    /// row, no part of a row is stored, and `limit` is at most `i32::MAX`. If so, `shape.types` has one type for each column.
    is_before_tuple: bool,
    /// Fields of the current row.
    fields: Vec<Field>,
    /// The bytes of the current row that were received in earlier pieces.
    partial: Vec<u8>,
    /// The fields of the current row that had escapes or quotes, after the escapes and quotes have been removed.
    unescaped: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Format {
    Lines(Lines),
    Tuples(Tuples),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a row. The buffers may contain the previous row, which the caller may have borrowed.
    Between,
    /// Inside a row.
    Inside,
    /// After the end marker, or after the end of the data.
    Ended,
    /// After an error.
    Failed,
}

/// Result of a search for the end of the current row.
enum Step {
    /// The row has ended. The number is the length in bytes of the part of the row that lies in the input.
    Row(usize),
    /// The input contains no end of a row.
    Nothing,
}

impl CopyReader {
    /// Creates a reader. The first row determines the number of columns.
    ///
    /// # Errors
    /// The errors of [`with_names`](Self::with_names), and [`CopyErrorKind::NoNames`] when the options need the names of the columns.
    pub fn new(options: &CopyOptions) -> Result<Self, CopyError> {
        options.check()?;
        if options.header == Header::Match
            || options.force_null.has_names()
            || options.force_not_null.has_names()
        {
            return Err(CopyErrorKind::NoNames.into());
        }
        Self::with_names(options, &[] as &[&str]).map(|reader| Self { columns: None, ..reader })
    }

    /// Creates a reader for columns with these names, which are used for [`Header::Match`], for FORCE_NULL and FORCE_NOT_NULL, and in
    /// errors. The reader rejects a row whose number of fields differs from the number of names.
    ///
    /// # Errors
    /// [`CopyErrorKind::Option`] for options that the server would reject, [`CopyErrorKind::NoColumnNamed`] when an option names a column
    /// that is not in `names`, and [`CopyErrorKind::ReaderEncoding`] for an [encoding](CopyOptions::encoding) in which delimiters cannot
    /// be found.
    pub fn with_names(options: &CopyOptions, names: &[impl AsRef<str>]) -> Result<Self, CopyError> {
        options.check()?;
        let is_binary = options.format == RowFormat::Binary;
        let null = if is_binary { "" } else { options.null_string() };
        let encoding = options.foreign_encoding();
        if let Some(name) = encoding {
            if !encoding::is_ascii_safe(name) {
                return Err(CopyErrorKind::ReaderEncoding(name.into()).into());
            }
            if !null.is_ascii() || !options.default.as_deref().is_none_or(str::is_ascii) {
                return Err(CopyErrorKind::Option(
                    "a reader of another encoding than UTF-8 needs a NULL string and a DEFAULT string of ASCII characters",
                )
                .into());
            }
        }
        let names: Vec<String> = names.iter().map(|name| String::from(name.as_ref())).collect();
        if encoding.is_some() && options.header == Header::Match && !names.iter().all(|name| name.is_ascii())
        {
            return Err(CopyErrorKind::Option(
                "a reader of another encoding than UTF-8 compares the header only with names of ASCII characters",
            )
            .into());
        }
        let (columns, markers) = (names.len(), Markers::new(options, &names)?);
        Ok(Self {
            format: if is_binary {
                Format::Tuples(Tuples::new())
            } else {
                Format::Lines(Lines::new(options))
            },
            shape: Shape {
                format: if is_binary { FormatCode::Binary } else { FormatCode::Text },
                null: null.as_bytes().into(),
                types: Vec::new(),
                encoding: encoding.map(Into::into),
                is_plain: encoding.is_none() && options.default.is_none(),
                names,
            },
            header: options.header,
            markers,
            columns: Some(columns),
            limit: LIMIT,
            rows: 0,
            is_before_header: options.header != Header::Absent,
            state: State::Between,
            is_before_tuple: false,
            fields: Vec::new(),
            partial: Vec::new(),
            unescaped: Vec::new(),
        })
    }

    /// Sets the number of columns. The reader then rejects a row whose number of fields differs from this number.
    pub fn columns(self, columns: usize) -> Self {
        Self { columns: Some(columns), ..self }
    }

    /// Sets the types of the columns, in order. A column without a type has the unknown type 0. For an unknown type, only the length of a
    /// binary value is checked.
    pub fn types(mut self, types: &[Oid]) -> Self {
        self.shape.types = types.into();
        self
    }

    /// Sets the limit for the length of a row in bytes, including escapes, delimiters and the line end. Default: 1,073,741,823. A limit
    /// above 4,294,967,295 is reduced to 4,294,967,295.
    pub fn limit(self, limit: usize) -> Self {
        Self { limit: limit.min(u32::MAX as usize), ..self }
    }

    /// Returns the number of rows that have been read, without the header.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the next row that ends in `input`, and removes the bytes of the row from `input`. Returns `None` when no further row ends in
    /// `input`. The reader has then stored the rest of `input`, and `input` is empty.
    ///
    /// After the end marker of the text format, and of the CSV format with [`CopyOptions::csv_end_marker`], the reader skips all data, as
    /// the server does.
    ///
    /// # Errors
    /// The error names the row and the column. The reader cannot continue after an error.
    #[inline(always)]
    pub fn row<'r, 'd: 'r>(&'r mut self, input: &mut &'d [u8]) -> Result<Option<CopyRow<'r>>, CopyError> {
        let row = self.take_row(input)?;
        Ok(row.map(|row| self.lend(row)))
    }

    /// Returns the next row that ends in `input` as a tuple, and removes the bytes of the row from `input`. The result is the same as from
    /// [`row`](Self::row) and then [`CopyRow::decode`]. In binary format, this method is faster than those two calls, because no list of
    /// the fields is made.
    ///
    /// # Errors
    /// The errors of [`row`](Self::row) and of [`CopyRow::decode`]. After an error of `CopyRow::decode`, the reader can
    /// continue with the next row.
    #[inline(always)]
    pub fn decode<'r, 'd: 'r, R: FromCopyRow<'r>>(
        &'r mut self,
        input: &mut &'d [u8],
    ) -> Result<Option<R>, CopyError> {
        // A server sends one row in each message. So after each row, this method is called once with an empty `input`.
        if input.is_empty() {
            return Ok(None);
        }
        if let Some(row) = self.decode_fast(input) {
            return Ok(Some(row));
        }
        self.decode_slowly(input)
    }

    /// Fast path of [`decode`](Self::decode): a row in binary format that lies in one piece.
    #[inline(always)]
    fn decode_fast<'r, 'd: 'r, R: FromCopyRow<'r>>(&mut self, input: &mut &'d [u8]) -> Option<R> {
        if !self.is_before_tuple {
            return None;
        }
        let (row, rest) = R::from_tuple(input, &self.shape.types)?;
        let length = input.len() - rest.len();
        if length > self.limit {
            return None;
        }
        *input = input.get(length..)?;
        self.rows += 1;
        Some(row)
    }

    /// Returns the length of the row in binary format at the beginning of `input`. Returns `None` if the row is not complete or is
    /// malformed, or if `R` is not a tuple with a member for each column. After `Some`, call [`decode_whole`](Self::decode_whole) with the
    /// bytes of the row.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn whole_tuple<'r, R: FromCopyRow<'r>>(&self, input: &[u8]) -> Option<usize> {
        if !self.is_before_tuple {
            return None;
        }
        R::tuple_length(input, self.shape.types.len()).filter(|length| *length <= self.limit)
    }

    /// Reads the row that [`whole_tuple`](Self::whole_tuple) has found. An error concerns the value of a field.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn decode_whole<'r, 'd: 'r, R: FromCopyRow<'r>>(
        &'r mut self,
        mut row: &'d [u8],
    ) -> Result<Option<R>, CopyError> {
        if let Some((values, _)) = R::from_tuple(row, &self.shape.types) {
            self.rows += 1;
            return Ok(Some(values));
        }
        self.decode_slowly(&mut row)
    }

    #[inline(never)]
    fn decode_slowly<'r, 'd: 'r, R: FromCopyRow<'r>>(
        &'r mut self,
        input: &mut &'d [u8],
    ) -> Result<Option<R>, CopyError> {
        self.row(input)?.map(|row| row.decode()).transpose()
    }

    /// Does the same as [`row`](Self::row), but returns only the bytes of the row that lie in `input`. Pass these bytes to
    /// [`lend`](Self::lend), which lends the row.
    #[inline(always)]
    pub(crate) fn take_row<'d>(&mut self, input: &mut &'d [u8]) -> Result<Option<&'d [u8]>, CopyError> {
        if let Some(row) = self.take_row_fast(input) {
            return Ok(Some(row));
        }
        // A server sends one row in each message. So after each row, this method is called once with an empty `input`.
        if input.is_empty() { Ok(None) } else { self.take_row_slowly(input) }
    }

    /// Fast path: reads a row that lies in one piece, has the known number of fields, and has no escapes or quotes to remove.
    #[inline(always)]
    fn take_row_fast<'d>(&mut self, input: &mut &'d [u8]) -> Option<&'d [u8]> {
        if self.state != State::Between || !self.partial.is_empty() || self.is_before_header {
            return None;
        }
        if self.markers.is_some() {
            return None;
        }
        let columns = self.columns?;
        if self.fields.len() != columns {
            return None;
        }
        let length = match &mut self.format {
            Format::Lines(lines) => lines.scan_fast(input, &mut self.fields)?,
            Format::Tuples(tuples) => tuples.read_fast(input, &mut self.fields)?,
        };
        if length > self.limit {
            return None;
        }
        let (row, rest) = input.split_at_checked(length)?;
        *input = rest;
        self.rows += 1;
        Some(row)
    }

    #[inline(never)]
    fn take_row_slowly<'d>(&mut self, input: &mut &'d [u8]) -> Result<Option<&'d [u8]>, CopyError> {
        let row = self.search_row(input);
        let is_at_start = match &self.format {
            Format::Tuples(tuples) => tuples.is_before_count() && self.limit <= i32::MAX as usize,
            Format::Lines(_) => false,
        };
        self.is_before_tuple = is_at_start && self.state == State::Between && self.partial.is_empty();
        if let (true, Some(columns)) = (self.is_before_tuple, self.columns) {
            self.shape.types.resize(columns, 0);
        }
        row
    }

    fn search_row<'d>(&mut self, input: &mut &'d [u8]) -> Result<Option<&'d [u8]>, CopyError> {
        loop {
            let consumed = match self.advance(input) {
                Ok(Step::Row(consumed)) => consumed,
                Ok(Step::Nothing) => {
                    *input = &[];
                    return Ok(None);
                }
                Err(kind) => return Err(self.fail_at_field(kind)),
            };
            let whole = *input;
            let (row, rest) = whole.split_at_checked(consumed).unwrap_or((whole, &[]));
            *input = rest;
            match self.accept(row) {
                Ok(true) => return Ok(Some(row)),
                Ok(false) => {}
                Err((kind, column)) => return Err(self.fail(kind, column)),
            }
        }
    }

    /// Ignores FORCE_NULL, FORCE_NOT_NULL and DEFAULT from now on: the server does not apply these options in `COPY … TO`.
    #[cfg(feature = "std")]
    pub(crate) fn ignore_copy_from_options(&mut self) {
        self.markers = None;
        self.shape.is_plain = self.shape.encoding.is_none();
    }

    /// Compares the number of columns and the format that the server has announced with the settings of the reader. Stores the number of
    /// columns.
    #[cfg(feature = "std")]
    pub(crate) fn expect(&mut self, columns: usize, format: FormatCode) -> Result<(), CopyErrorKind> {
        if format != self.shape.format {
            return Err(CopyErrorKind::Format);
        }
        match self.columns.replace(columns) {
            Some(expected) if expected != columns => {
                Err(CopyErrorKind::Count { fields: columns, columns: expected })
            }
            _ => Ok(()),
        }
    }

    /// Ends the data. Call this method after the last piece. Returns the last row if the row has no line end: the server also accepts a
    /// last row without a line end.
    ///
    /// # Errors
    /// [`CopyErrorKind::Truncated`] when the trailer of the binary format is missing, [`CopyErrorKind::UnterminatedQuote`] when CSV data
    /// ends inside quotes, and the errors of [`row`](Self::row).
    pub fn finish(&mut self) -> Result<Option<CopyRow<'_>>, CopyError> {
        match self.state {
            State::Failed => return Err(self.fail(CopyErrorKind::AfterError, None)),
            State::Ended => return Ok(None),
            State::Between | State::Inside => {}
        }
        self.is_before_tuple = false;
        let is_inside = self.state == State::Inside && !self.partial.is_empty();
        let found = match &mut self.format {
            Format::Tuples(tuples) if tuples.is_over() => Ok(Found::End),
            Format::Tuples(_) if is_inside => return Err(self.fail_at_field(CopyErrorKind::Truncated)),
            Format::Tuples(_) => return Err(self.fail(CopyErrorKind::Truncated, None)),
            Format::Lines(_) if !is_inside => Ok(Found::End),
            Format::Lines(lines) => lines.finish(self.partial.len(), &mut self.fields),
        };
        let is_row = match found {
            Ok(Found::Row(_)) => match self.accept(&[]) {
                Ok(is_row) => is_row,
                Err((kind, column)) => return Err(self.fail(kind, column)),
            },
            Ok(Found::Nothing | Found::End) => false,
            Err(kind) => return Err(self.fail_at_field(kind)),
        };
        self.state = State::Ended;
        Ok(is_row.then(|| self.lend(&[])))
    }

    /// Lends the row that the reader has found last. If this row was received in one piece, `whole` must be the bytes of the row; otherwise
    /// `whole` is ignored.
    #[inline(always)]
    pub(crate) fn lend<'r>(&'r self, whole: &'r [u8]) -> CopyRow<'r> {
        CopyRow {
            number: self.rows,
            fields: &self.fields,
            raw: if self.partial.is_empty() { whole } else { &self.partial },
            unescaped: &self.unescaped,
            shape: &self.shape,
        }
    }

    /// Searches for the end of the current row in the input. Stores the input if the row does not end there.
    #[inline(always)]
    fn advance(&mut self, input: &mut &[u8]) -> Result<Step, CopyErrorKind> {
        if self.state != State::Inside && !self.begin_row()? {
            return Ok(Step::Nothing);
        }
        match &mut self.format {
            Format::Lines(lines) => match lines.scan(input, self.partial.len(), &mut self.fields)? {
                Found::Row(consumed) => Ok(Step::Row(consumed)),
                Found::Nothing => self.store(input),
                // The limit is shorter than the end marker. `store` returns the same error if the marker arrives in pieces.
                Found::End if self.limit < b"\\.".len() => {
                    Err(CopyErrorKind::RowTooLong { limit: self.limit })
                }
                Found::End => {
                    self.state = State::Ended;
                    Ok(Step::Nothing)
                }
            },
            Format::Tuples(tuples) => {
                let bytes = if self.partial.is_empty() { *input } else { &self.partial[..] };
                match tuples.read(bytes, self.columns, self.limit, &mut self.fields)? {
                    Read::Row(consumed) if self.partial.is_empty() => Ok(Step::Row(consumed)),
                    read => self.advance_in_pieces(input, read),
                }
            }
        }
    }

    /// Reads the header or the trailer of the binary format, or a row that lies in several pieces. Stores only the bytes of this row.
    #[inline(never)]
    fn advance_in_pieces(&mut self, input: &mut &[u8], mut read: Read) -> Result<Step, CopyErrorKind> {
        let Format::Tuples(tuples) = &mut self.format else { return Ok(Step::Nothing) };
        loop {
            let is_stored = !self.partial.is_empty();
            match read {
                // If `partial` is not empty, all bytes of the row have been moved from `input` to `partial`.
                Read::Row(consumed) => return Ok(Step::Row(if is_stored { 0 } else { consumed })),
                Read::Skip(_) if is_stored => self.partial.clear(),
                Read::Skip(count) => *input = input.get(count..).unwrap_or_default(),
                Read::Need(_) if input.is_empty() => return Ok(Step::Nothing),
                Read::Need(needed) => {
                    let count = needed.saturating_sub(self.partial.len()).min(input.len());
                    let (piece, rest) = input.split_at(count);
                    self.partial.extend_from_slice(piece);
                    *input = rest;
                }
            }
            let bytes = if self.partial.is_empty() { *input } else { &self.partial[..] };
            read = tuples.read(bytes, self.columns, self.limit, &mut self.fields)?;
        }
    }

    /// Prepares the buffers for the next row. Returns whether rows can follow.
    #[inline(always)]
    fn begin_row(&mut self) -> Result<bool, CopyErrorKind> {
        match self.state {
            State::Between | State::Inside => {}
            State::Ended => return Ok(false),
            State::Failed => return Err(CopyErrorKind::AfterError),
        }
        self.fields.clear();
        self.partial.clear();
        self.unescaped.clear();
        if let Format::Lines(lines) = &mut self.format {
            lines.begin_row();
        }
        self.state = State::Inside;
        Ok(true)
    }

    #[inline(never)]
    fn store(&mut self, input: &[u8]) -> Result<Step, CopyErrorKind> {
        if self.partial.len().saturating_add(input.len()) > self.limit {
            return Err(CopyErrorKind::RowTooLong { limit: self.limit });
        }
        self.partial.extend_from_slice(input);
        Ok(Step::Nothing)
    }

    /// Completes the current row, whose last bytes are `tail`. Returns false if the line is not a row, but the header or an end marker.
    #[inline(always)]
    fn accept(&mut self, tail: &[u8]) -> Result<bool, (CopyErrorKind, Option<usize>)> {
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(tail);
        }
        let raw = if self.partial.is_empty() { tail } else { &self.partial[..] };
        if raw.len() > self.limit {
            return Err((CopyErrorKind::RowTooLong { limit: self.limit }, None));
        }
        if let Format::Lines(lines) = &mut self.format {
            let markers = self.markers.as_deref().filter(|_| !self.is_before_header);
            if let Some(markers) = markers {
                markers.find_defaults(raw, &mut self.fields);
            }
            if lines.has_escapes() {
                lines.unescape(raw, &self.shape.null, &mut self.fields, &mut self.unescaped);
            }
            if let Some(markers) = markers {
                markers.force(raw, &self.unescaped, &self.shape.null, &mut self.fields);
            }
            if lines.is_csv_end(raw, &self.fields) {
                self.state = State::Ended;
                return Ok(false);
            }
            // An empty line is a row without fields if the COPY has no columns.
            if self.columns == Some(0) && matches!(self.fields[..], [Field { start: 0, end: 0, .. }]) {
                self.fields.clear();
            }
        }
        let count = self.fields.len();
        match self.columns {
            Some(columns) if columns == count => {}
            Some(columns) => {
                return Err((CopyErrorKind::Count { fields: count, columns }, Some(count.min(columns))));
            }
            None => self.columns = Some(count),
        }
        self.state = State::Between;
        if self.is_before_header {
            self.read_header(tail)?;
            return Ok(false);
        }
        self.rows += 1;
        Ok(true)
    }

    /// With [`Header::Match`], compares the header with the names. If no names are set, takes the names from the header.
    #[cold]
    fn read_header(&mut self, tail: &[u8]) -> Result<(), (CopyErrorKind, Option<usize>)> {
        let mut names = Vec::new();
        for (index, value) in self.lend(tail).iter().enumerate() {
            let expected = self.shape.names.get(index).map(String::as_bytes);
            if self.header == Header::Match && (value.is_none() || value != expected) {
                return Err((CopyErrorKind::HeaderName, Some(index)));
            }
            names.push(String::from_utf8_lossy(value.unwrap_or_default()).into_owned());
        }
        if self.shape.names.is_empty() {
            self.shape.names = names;
        }
        self.is_before_header = false;
        Ok(())
    }

    /// Ends the reader with an error. The error names the field that was being read.
    #[cold]
    fn fail_at_field(&mut self, kind: CopyErrorKind) -> CopyError {
        let is_in_row = match &self.format {
            // The error for a line that is too long names no field: the field that was being read depends on the lengths of the pieces.
            Format::Lines(_) => !matches!(kind, CopyErrorKind::RowTooLong { .. }),
            Format::Tuples(tuples) => tuples.is_in_rows(),
        };
        let column = if is_in_row && self.state == State::Inside { Some(self.fields.len()) } else { None };
        self.fail(kind, column)
    }

    /// Ends the reader with an error for the current row.
    #[cold]
    fn fail(&mut self, kind: CopyErrorKind, column: Option<usize>) -> CopyError {
        self.state = State::Failed;
        let is_header = match &self.format {
            Format::Lines(_) => self.is_before_header,
            Format::Tuples(tuples) => tuples.is_before_rows(),
        };
        self.shape.error(if is_header { 0 } else { self.rows + 1 }, column, kind)
    }
}
