//! Finds the fields of a row in text or CSV format. The bytes may arrive in pieces of any length.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::error::CopyErrorKind;
use super::options::{CopyOptions, RowFormat};
use super::row::{Field, Kind};

/// Class of a byte outside quotes.
mod class {
    pub(super) const OTHER: u8 = 0;
    pub(super) const DELIMITER: u8 = 1;
    pub(super) const NEWLINE: u8 = 2;
    pub(super) const RETURN: u8 = 3;
    /// A backslash in text format.
    pub(super) const BACKSLASH: u8 = 4;
    /// A quote in CSV format.
    pub(super) const QUOTE: u8 = 5;
}

/// Largest number of fields of a row. In binary format, an Int16 holds the number of fields. The reader has the same limit for text and
/// CSV format.
pub(super) const MOST_FIELDS: usize = 32_767;

/// Reader of lines: the options, and the progress inside the current row.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    classes: Box<[u8; 256]>,
    is_csv: bool,
    quote: u8,
    escape: u8,
    has_csv_end_marker: bool,
    line_end: LineEnd,
    mode: Mode,
    /// Position of the first byte of the current field, as an index in the row.
    start: usize,
    /// Kind of the current field.
    kind: Kind,
    /// In CSV format: whether the current field contains a quote.
    is_quoted: bool,
    /// Position of the last closing quote of the current field, as an index in the row.
    close: usize,
    /// Whether escapes or quotes have to be removed from a field of the row.
    has_escapes: bool,
}

/// The bytes that end a line. As on the server, all lines must have the same line end as the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    Unknown,
    Newline,
    Return,
    ReturnNewline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Outside quotes and escapes.
    Plain,
    /// After a backslash in text format.
    Backslash,
    /// After the characters `\.` of the end marker, before the line end.
    Marker,
    /// After a carriage return, which may be the first byte of a line end of two bytes.
    Return,
    /// Inside quotes.
    Quoted,
    /// Inside quotes, after the escape character. Only used if the escape character differs from the quote.
    Escape,
    /// After a quote, which either ends the quoted part or is the first of two quotes.
    Closed,
}

/// Result of a search for the end of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The bytes contain no end of the row.
    Nothing,
    /// The row has ended. The number is how many of the given bytes belong to the row.
    Row(usize),
    /// The end marker was found.
    End,
}

impl Lines {
    pub(super) fn new(options: &CopyOptions) -> Self {
        let is_csv = options.format == RowFormat::Csv;
        let mut classes = Box::new([class::OTHER; 256]);
        let mut set = |byte: u8, class: u8| {
            if let Some(place) = classes.get_mut(usize::from(byte)) {
                *place = class;
            }
        };
        set(b'\n', class::NEWLINE);
        set(b'\r', class::RETURN);
        if is_csv {
            set(options.quote_byte(), class::QUOTE);
        } else {
            set(b'\\', class::BACKSLASH);
        }
        set(options.delimiter_byte(), class::DELIMITER);
        Self {
            classes,
            is_csv,
            quote: options.quote_byte(),
            escape: options.escape_byte(),
            has_csv_end_marker: options.csv_end_marker,
            line_end: LineEnd::Unknown,
            mode: Mode::Plain,
            start: 0,
            kind: Kind::Raw,
            is_quoted: false,
            close: 0,
            has_escapes: false,
        }
    }

    pub(super) fn has_escapes(&self) -> bool {
        self.has_escapes
    }

    /// Prepares for the next field, whose first byte has the index `start` in the row.
    #[inline(always)]
    fn next_field(&mut self, start: usize) {
        self.start = start;
        self.kind = Kind::Raw;
        self.is_quoted = false;
    }

    /// Prepares for the next row.
    #[inline(always)]
    pub(super) fn begin_row(&mut self) {
        self.mode = Mode::Plain;
        self.next_field(0);
        self.has_escapes = false;
    }

    /// Stores the current field, which ends before the byte with the index `end` in the row.
    #[inline(always)]
    fn end_field(&mut self, end: usize, fields: &mut Vec<Field>) -> Result<(), CopyErrorKind> {
        if fields.len() == MOST_FIELDS {
            return Err(CopyErrorKind::TooManyFields);
        }
        let mut field = Field { start: self.start as u32, end: end as u32, kind: self.kind };
        if self.is_quoted && self.kind != Kind::Escaped {
            if self.close + 1 == end {
                field = Field { start: field.start + 1, end: field.end - 1, kind: Kind::Value };
            } else {
                field.kind = Kind::Escaped;
            }
        }
        self.has_escapes |= field.kind == Kind::Escaped;
        fields.push(field);
        Ok(())
    }

    /// Fast path: finds the fields of the row at the beginning of `bytes`. Returns the length of the row, including the line end. Returns
    /// `None` if the row is not complete, does not have `fields.len()` fields, does not end with `\n`, or has escapes or quotes. Also
    /// returns `None` for the first line, whose line end is unknown, and for CSV data with an end marker. After `None`, the content of
    /// `fields` is undefined, and [`scan`](Self::scan) must read the row from its beginning.
    #[inline(always)]
    pub(super) fn scan_fast(&self, bytes: &[u8], fields: &mut [Field]) -> Option<usize> {
        if self.line_end != LineEnd::Newline || self.has_csv_end_marker {
            return None;
        }
        let (last, others) = fields.split_last_mut()?;
        let mut start = 0;
        for field in others {
            let (end, class) = self.next_special(bytes, start)?;
            if class != class::DELIMITER {
                return None;
            }
            *field = Field { start: start as u32, end: end as u32, kind: Kind::Raw };
            start = end + 1;
        }
        let (end, class) = self.next_special(bytes, start)?;
        if class != class::NEWLINE {
            return None;
        }
        *last = Field { start: start as u32, end: end as u32, kind: Kind::Raw };
        Some(end + 1)
    }

    /// Returns the index and the class of the first byte at or after `start` that is not ordinary: a byte that can end a field, begin an
    /// escape (in text format) or begin a quoted part (in CSV format).
    #[inline(always)]
    fn next_special(&self, bytes: &[u8], start: usize) -> Option<(usize, u8)> {
        for (at, byte) in bytes.get(start..)?.iter().enumerate() {
            let class = self.class(*byte);
            if class != class::OTHER {
                return Some((start + at, class));
            }
        }
        None
    }

    /// Continues the search in the current row. `base` is the number of bytes of the row that precede `bytes`.
    #[inline]
    pub(super) fn scan(
        &mut self,
        bytes: &[u8],
        base: usize,
        fields: &mut Vec<Field>,
    ) -> Result<Found, CopyErrorKind> {
        let mut at = 0;
        loop {
            if self.mode == Mode::Plain {
                let rest = bytes.get(at..).unwrap_or_default();
                let found = rest.iter().position(|byte| self.class(*byte) != class::OTHER);
                let Some(offset) = found else { return Ok(Found::Nothing) };
                at += offset;
                let class = rest.get(offset).map_or(class::OTHER, |byte| self.class(*byte));
                if class == class::DELIMITER {
                    self.end_field(base + at, fields)?;
                    self.next_field(base + at + 1);
                    at += 1;
                    continue;
                }
                if class == class::NEWLINE && self.line_end == LineEnd::Newline {
                    return self.end_row(base + at, at + 1, fields);
                }
            }
            let Some(byte) = bytes.get(at) else { return Ok(Found::Nothing) };
            if let Some(found) = self.special(*byte, bytes, &mut at, base, fields)? {
                return Ok(found);
            }
        }
    }

    #[inline(always)]
    fn class(&self, byte: u8) -> u8 {
        // `unwrap_or` never uses its argument, because the table has an entry for every byte.
        self.classes.get(usize::from(byte)).copied().unwrap_or(class::OTHER)
    }

    #[inline(always)]
    fn end_row(
        &mut self,
        end: usize,
        consumed: usize,
        fields: &mut Vec<Field>,
    ) -> Result<Found, CopyErrorKind> {
        self.end_field(end, fields)?;
        Ok(Found::Row(consumed))
    }

    /// Processes the byte at `at`, and moves `at` after the processed bytes. In the mode `Plain`, the caller must first skip the ordinary
    /// bytes, which have the class `OTHER`.
    #[inline(never)]
    fn special(
        &mut self,
        byte: u8,
        bytes: &[u8],
        at: &mut usize,
        base: usize,
        fields: &mut Vec<Field>,
    ) -> Result<Option<Found>, CopyErrorKind> {
        let here = base + *at;
        match self.mode {
            Mode::Plain => {
                *at += 1;
                match self.class(byte) {
                    class::NEWLINE => match self.line_end {
                        LineEnd::Unknown | LineEnd::Newline => {
                            self.line_end = LineEnd::Newline;
                            return self.end_row(here, *at, fields).map(Some);
                        }
                        LineEnd::Return | LineEnd::ReturnNewline => return Err(CopyErrorKind::Newline),
                    },
                    class::RETURN => match self.line_end {
                        LineEnd::Newline => return Err(CopyErrorKind::Newline),
                        LineEnd::Return => return self.end_row(here, *at, fields).map(Some),
                        LineEnd::Unknown | LineEnd::ReturnNewline => self.mode = Mode::Return,
                    },
                    class::BACKSLASH => {
                        self.kind = Kind::Escaped;
                        self.mode = Mode::Backslash;
                    }
                    class::QUOTE => {
                        if self.is_quoted || here != self.start {
                            self.kind = Kind::Escaped;
                        }
                        self.is_quoted = true;
                        self.mode = Mode::Quoted;
                    }
                    _ => {}
                }
            }
            Mode::Backslash => {
                *at += 1;
                self.mode = Mode::Plain;
                if byte == b'.' {
                    if here != 1 {
                        return Err(CopyErrorKind::EndMarker);
                    }
                    self.mode = Mode::Marker;
                }
            }
            Mode::Marker => {
                let is_end = match self.line_end {
                    LineEnd::Unknown => matches!(byte, b'\n' | b'\r'),
                    LineEnd::Newline => byte == b'\n',
                    LineEnd::Return | LineEnd::ReturnNewline => byte == b'\r',
                };
                return if is_end { Ok(Some(Found::End)) } else { Err(CopyErrorKind::EndMarker) };
            }
            Mode::Return => {
                let end = here - 1;
                if byte == b'\n' {
                    self.line_end = LineEnd::ReturnNewline;
                    return self.end_row(end, *at + 1, fields).map(Some);
                }
                if self.line_end == LineEnd::ReturnNewline {
                    return Err(CopyErrorKind::Newline);
                }
                self.line_end = LineEnd::Return;
                return self.end_row(end, *at, fields).map(Some);
            }
            Mode::Quoted => {
                let rest = bytes.get(*at..).unwrap_or_default();
                let Some(offset) = memchr::memchr2(self.quote, self.escape, rest) else {
                    *at = bytes.len();
                    return Ok(None);
                };
                self.mode = if rest.get(offset) == Some(&self.quote) { Mode::Closed } else { Mode::Escape };
                self.close = here + offset;
                *at += offset + 1;
            }
            Mode::Escape => {
                self.mode = Mode::Quoted;
                if byte == self.quote || byte == self.escape {
                    self.kind = Kind::Escaped;
                    *at += 1;
                }
            }
            Mode::Closed => {
                self.mode = Mode::Plain;
                if self.quote == self.escape && byte == self.quote {
                    self.kind = Kind::Escaped;
                    self.mode = Mode::Quoted;
                    *at += 1;
                }
            }
        }
        Ok(None)
    }

    /// Ends the last row at the end of the data. `length` is the length in bytes of this row, which has no complete line end.
    pub(super) fn finish(&mut self, length: usize, fields: &mut Vec<Field>) -> Result<Found, CopyErrorKind> {
        match self.mode {
            Mode::Plain | Mode::Backslash | Mode::Closed => self.end_row(length, length, fields),
            Mode::Return if self.line_end == LineEnd::Unknown => self.end_row(length - 1, length, fields),
            Mode::Return => Err(CopyErrorKind::Newline),
            Mode::Marker => Ok(Found::End),
            Mode::Quoted | Mode::Escape => Err(CopyErrorKind::UnterminatedQuote),
        }
    }

    /// Whether the row is the end marker `\.`, which servers before version 18 recognise in CSV data.
    #[inline(always)]
    pub(super) fn is_csv_end(&self, raw: &[u8], fields: &[Field]) -> bool {
        self.has_csv_end_marker
            && matches!(fields, [Field { start: 0, end: 2, kind: Kind::Raw }])
            && raw.starts_with(b"\\.")
    }

    /// Removes escapes and quotes from the fields of a row. The bytes of the changed fields are appended to `out`.
    #[cold]
    pub(super) fn unescape(&self, raw: &[u8], null: &[u8], fields: &mut [Field], out: &mut Vec<u8>) {
        for field in fields.iter_mut().filter(|field| field.kind == Kind::Escaped) {
            let bytes = raw.get(field.start as usize..field.end as usize).unwrap_or_default();
            if !self.is_csv && bytes == null {
                field.kind = Kind::Null;
                continue;
            }
            let start = out.len();
            if self.is_csv {
                self.unquote(bytes, out);
            } else {
                unescape_text(bytes, out);
            }
            // The casts do not truncate: the removal of escapes makes no field longer, so all fields together are not longer than the row.
            // The length of the row fits into 32 bits.
            *field = Field { start: start as u32, end: out.len() as u32, kind: Kind::Unescaped };
        }
    }

    fn unquote(&self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut is_inside = false;
        let mut bytes = bytes.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            if is_inside
                && byte == self.escape
                && let Some(next) = bytes.next_if(|next| *next == self.escape || *next == self.quote)
            {
                out.push(next);
            } else if byte == self.quote {
                is_inside = !is_inside;
            } else {
                out.push(byte);
            }
        }
    }
}

/// Removes the escapes of the text format.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2)
fn unescape_text(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let [_, byte, tail @ ..] = tail else {
            // As on the server, a backslash at the end of the field is dropped.
            return;
        };
        rest = tail;
        let mut number = |radix: u32, most: usize, first: u32| {
            let mut value = first;
            for _ in 0..most {
                let Some((digit, tail)) = rest.split_first() else { break };
                let Some(digit) = char::from(*digit).to_digit(radix) else { break };
                value = value * radix + digit;
                rest = tail;
            }
            // As on the server, only the lower eight bits count: `\777` is the byte 0xff.
            value as u8
        };
        out.push(match byte {
            b'0'..=b'7' => number(8, 2, u32::from(byte - b'0')),
            b'x' if tail.first().is_some_and(u8::is_ascii_hexdigit) => number(16, 2, 0),
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            other => *other,
        });
    }
    out.extend_from_slice(rest);
}
