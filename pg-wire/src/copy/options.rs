//! The options of a COPY.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::error::{CopyError, CopyErrorKind};

/// Format of the rows of a COPY.
///
/// The messages of the protocol have only two formats ([`CopyFormat`](crate::backend::CopyFormat)): the messages of a COPY in CSV format
/// state text format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RowFormat {
    /// One line for each row; special characters are escaped with a backslash.
    #[default]
    Text,
    /// One record for each row; fields with special characters are quoted.
    Csv,
    /// For each field: its length and its bytes.
    Binary,
}

/// The line of column names before the rows, in text and CSV format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Header {
    /// No line of names.
    #[default]
    Absent,
    /// A line of names. A reader skips the line.
    Present,
    /// A line of names. A reader compares the line with the names given to the reader, as the server does with `HEADER MATCH`.
    Match,
}

/// The columns whose values are always quoted in CSV format, even if a value needs no quotes. NULL is never quoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ForceQuote {
    /// No column.
    #[default]
    None,
    /// All columns.
    All,
    /// The columns with these names.
    Columns(Vec<String>),
}

/// The format of the rows of a COPY, and the options of the format.
///
/// | option | text | CSV | binary |
/// | --- | --- | --- | --- |
/// | delimiter | tab | `,` | - |
/// | NULL string | `\N` | empty string | - |
/// | quote | - | `"` | - |
/// | escape | - | the quote | - |
/// | header | absent | absent | - |
/// | force quote | - | none | - |
///
/// The options must be equal to the options of the COPY statement. [`copy_from`](Self::copy_from) and [`copy_to`](Self::copy_to) print the
/// options for the statement:
///
/// ```
/// use pg_wire::copy::{CopyOptions, Header};
///
/// let options = CopyOptions::csv().delimiter(b';').header(Header::Present);
/// let sql = format!("COPY planets FROM STDIN ({})", options.copy_from());
/// assert_eq!(sql, "COPY planets FROM STDIN (FORMAT csv, DELIMITER ';', HEADER true)");
/// ```
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/sql-copy.html)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    pub(super) format: RowFormat,
    pub(super) delimiter: Option<u8>,
    pub(super) null: Option<String>,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    pub(super) header: Header,
    pub(super) force_quote: ForceQuote,
    pub(super) csv_end_marker: bool,
}

impl CopyOptions {
    /// Creates the options of the text format.
    pub fn text() -> Self {
        Self::default()
    }

    /// Creates the options of the CSV format.
    pub fn csv() -> Self {
        Self { format: RowFormat::Csv, ..Self::default() }
    }

    /// Creates the options of the binary format.
    pub fn binary() -> Self {
        Self { format: RowFormat::Binary, ..Self::default() }
    }

    /// Returns the format.
    pub fn format(&self) -> RowFormat {
        self.format
    }

    /// Sets the byte between two fields. The byte must be an ASCII character.
    pub fn delimiter(self, delimiter: u8) -> Self {
        Self { delimiter: Some(delimiter), ..self }
    }

    /// Sets the string that represents NULL.
    pub fn null(self, null: impl Into<String>) -> Self {
        Self { null: Some(null.into()), ..self }
    }

    /// Sets the quote of the CSV format. The byte must be an ASCII character.
    pub fn quote(self, quote: u8) -> Self {
        Self { quote: Some(quote), ..self }
    }

    /// Sets the byte that is written before each quote and each escape inside a quoted field of the CSV format. The byte must be an ASCII
    /// character.
    pub fn escape(self, escape: u8) -> Self {
        Self { escape: Some(escape), ..self }
    }

    /// Sets whether a line of column names precedes the rows, and whether a reader compares this line with the expected names.
    pub fn header(self, header: Header) -> Self {
        Self { header, ..self }
    }

    /// Sets the columns whose values are always quoted in CSV format. A reader ignores this option.
    pub fn force_quote(self, force_quote: ForceQuote) -> Self {
        Self { force_quote, ..self }
    }

    /// Sets whether an unquoted line `\.` ends the data in CSV format. Servers before version 18 read CSV data in this way. Version 18, and
    /// a [`CopyReader`](super::CopyReader) without this option, read the line as a value. A writer ignores this option: it always quotes
    /// the value `\.` of a row with one column, because all versions read the quoted form as the same value.
    pub fn csv_end_marker(self, csv_end_marker: bool) -> Self {
        Self { csv_end_marker, ..self }
    }

    /// Returns the options as they are written in a `COPY … FROM` statement, between the parentheses.
    pub fn copy_from(&self) -> impl fmt::Display {
        Sql { options: self, is_from: true }
    }

    /// Returns the options as they are written in a `COPY … TO` statement, between the parentheses.
    pub fn copy_to(&self) -> impl fmt::Display {
        Sql { options: self, is_from: false }
    }

    /// Checks the combination of options. The rules are the same as on the server.
    ///
    /// # Errors
    /// [`CopyErrorKind::Option`] with the reason.
    pub fn check(&self) -> Result<(), CopyError> {
        match self.reason() {
            None => Ok(()),
            Some(reason) => Err(CopyError::new(CopyErrorKind::Option(reason))),
        }
    }

    fn reason(&self) -> Option<&'static str> {
        let is_csv = self.format == RowFormat::Csv;
        if self.format == RowFormat::Binary {
            if self.delimiter.is_some() {
                return Some("the binary format has no delimiter");
            }
            if self.null.is_some() {
                return Some("the binary format has no NULL string");
            }
            if self.header != Header::Absent {
                return Some("the binary format has no header");
            }
        }
        if !is_csv {
            if self.quote.is_some() {
                return Some("only the CSV format has a quote");
            }
            if self.escape.is_some() {
                return Some("only the CSV format has an escape");
            }
            if self.force_quote != ForceQuote::None {
                return Some("only the CSV format has FORCE_QUOTE");
            }
            if self.csv_end_marker {
                return Some("only the CSV format has an optional end marker");
            }
        }
        let [delimiter, quote, escape] = [self.delimiter_byte(), self.quote_byte(), self.escape_byte()];
        if [delimiter, quote, escape].iter().any(|byte| !matches!(byte, 1..=127)) {
            return Some("the delimiter, the quote and the escape must be ASCII characters other than NUL");
        }
        if [delimiter, quote, escape].iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Some("the delimiter, the quote and the escape cannot be a newline or a carriage return");
        }
        let null = self.null_string();
        if null.bytes().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
            return Some("the NULL string cannot contain a newline, a carriage return or a NUL");
        }
        if null == "\\." {
            return Some("the NULL string cannot be the end marker");
        }
        if self.format == RowFormat::Text && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
            return Some(
                "in text format the delimiter cannot be a lower-case letter, a digit, a point or a backslash",
            );
        }
        if self.format != RowFormat::Binary && null.as_bytes().contains(&delimiter) {
            return Some("the delimiter cannot appear in the NULL string");
        }
        if is_csv && delimiter == quote {
            return Some("the delimiter and the quote must differ");
        }
        if is_csv && null.as_bytes().contains(&quote) {
            return Some("the quote cannot appear in the NULL string");
        }
        None
    }

    pub(super) fn delimiter_byte(&self) -> u8 {
        self.delimiter.unwrap_or(if self.format == RowFormat::Csv { b',' } else { b'\t' })
    }

    pub(super) fn quote_byte(&self) -> u8 {
        self.quote.unwrap_or(b'"')
    }

    pub(super) fn escape_byte(&self) -> u8 {
        self.escape.unwrap_or(self.quote_byte())
    }

    pub(super) fn null_string(&self) -> &str {
        match (&self.null, self.format) {
            (Some(null), _) => null,
            (None, RowFormat::Csv) => "",
            (None, _) => "\\N",
        }
    }
}

/// The options as a part of a statement.
struct Sql<'a> {
    options: &'a CopyOptions,
    is_from: bool,
}

impl fmt::Display for Sql<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, is_from } = self;
        f.write_str(match options.format {
            RowFormat::Text => "FORMAT text",
            RowFormat::Csv => "FORMAT csv",
            RowFormat::Binary => "FORMAT binary",
        })?;
        let bytes = [("DELIMITER", options.delimiter), ("QUOTE", options.quote), ("ESCAPE", options.escape)];
        for (name, byte) in bytes {
            if let Some(byte) = byte {
                let mut text = [0; 4];
                write!(f, ", {name} ")?;
                literal(f, char::from(byte).encode_utf8(&mut text))?;
            }
        }
        if let Some(null) = &options.null {
            f.write_str(", NULL ")?;
            literal(f, null)?;
        }
        match options.header {
            Header::Absent => {}
            Header::Match if *is_from => f.write_str(", HEADER match")?,
            Header::Present | Header::Match => f.write_str(", HEADER true")?,
        }
        match &options.force_quote {
            ForceQuote::All if !is_from => f.write_str(", FORCE_QUOTE *"),
            ForceQuote::Columns(names) if !is_from => {
                for (at, name) in names.iter().enumerate() {
                    let quoted = name.replace('"', "\"\"");
                    write!(f, "{}\"{quoted}\"", if at == 0 { ", FORCE_QUOTE (" } else { ", " })?;
                }
                f.write_str(if names.is_empty() { "" } else { ")" })
            }
            // `COPY … FROM` gets no FORCE_QUOTE, because the server accepts this option only in `COPY … TO`.
            _ => Ok(()),
        }
    }
}

/// Writes a string as an SQL literal. A string with a backslash is written as `E'…'`, which has the same meaning with every setting of
/// `standard_conforming_strings`.
fn literal(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') {
        return write!(f, "E'{}'", doubled.replace('\\', "\\\\"));
    }
    write!(f, "'{doubled}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn combinations_that_the_server_rejects_are_errors() {
        let (text, csv, binary) = (CopyOptions::text, CopyOptions::csv, CopyOptions::binary);
        for options in [
            binary().delimiter(b','),
            binary().null(""),
            binary().header(Header::Present),
            binary().quote(b'"'),
            text().quote(b'"'),
            text().escape(b'"'),
            text().force_quote(ForceQuote::All),
            text().delimiter(b'a'),
            text().delimiter(b'0'),
            text().delimiter(b'.'),
            text().delimiter(b'\\'),
            text().delimiter(b'\n'),
            text().delimiter(0),
            text().delimiter(0x80),
            text().delimiter(b'N'),
            text().null("a\nb"),
            text().null("a\tb"),
            csv().delimiter(b'"'),
            csv().quote(b','),
            csv().null("a\"b"),
            csv().null("a,b"),
            csv().null("\r"),
        ] {
            assert!(options.check().is_err(), "{options:?}");
        }
        for options in [text(), csv(), binary(), csv().delimiter(b'a'), csv().escape(b'\\'), text().null("")]
        {
            assert!(options.check().is_ok(), "{options:?}");
        }
    }

    #[test]
    fn the_options_are_printed_for_the_statement() {
        let options = CopyOptions::csv()
            .delimiter(b'\'')
            .null("\\N")
            .header(Header::Match)
            .force_quote(ForceQuote::Columns(["a".into(), "b\"c".into()].into()));
        assert_eq!(
            options.copy_from().to_string(),
            "FORMAT csv, DELIMITER '''', NULL E'\\\\N', HEADER match"
        );
        assert_eq!(
            options.copy_to().to_string(),
            "FORMAT csv, DELIMITER '''', NULL E'\\\\N', HEADER true, FORCE_QUOTE (\"a\", \"b\"\"c\")"
        );
    }
}
