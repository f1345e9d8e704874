//! The options of a COPY.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::encoding;
use super::error::{CopyError, CopyErrorKind};

/// Format of the rows of a COPY.
///
/// The messages of the protocol have only two formats ([`CopyFormat`](crate::backend::CopyFormat)), text and binary. For a COPY in CSV
/// format, the server announces text format.
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

/// The columns to which an option of the CSV format applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ForceColumns {
    /// No column.
    #[default]
    None,
    /// All columns.
    All,
    /// The columns with these names. An empty list means no column.
    Columns(Vec<String>),
}

impl ForceColumns {
    /// Whether the list has no column.
    fn is_empty(&self) -> bool {
        match self {
            Self::None => true,
            Self::All => false,
            Self::Columns(names) => names.is_empty(),
        }
    }

    /// Whether the list has names of columns.
    pub(super) fn has_names(&self) -> bool {
        matches!(self, Self::Columns(names) if !names.is_empty())
    }
}

/// Reaction of the server to a value that cannot be converted to the type of its column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnError {
    /// The COPY fails.
    #[default]
    Stop,
    /// The row is skipped.
    Ignore,
}

/// The messages that the server sends about skipped rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogVerbosity {
    /// One notice with the number of skipped rows.
    #[default]
    Default,
    /// Also one notice for each skipped row.
    Verbose,
    /// No notice. Requires PostgreSQL 18 or later.
    Silent,
}

/// The format of the rows of a COPY, and the options of the COPY.
///
/// | option | default in text format | in CSV format | in binary format | direction | PostgreSQL |
/// | --- | --- | --- | --- | --- | --- |
/// | [`delimiter`](Self::delimiter) | tab | `,` | - | both | |
/// | [`null`](Self::null) | `\N` | empty string | - | both | |
/// | [`default_string`](Self::default_string) | none | none | - | FROM | 16 |
/// | [`header`](Self::header) | absent | absent | - | both | |
/// | [`quote`](Self::quote) | - | `"` | - | both | |
/// | [`escape`](Self::escape) | - | the quote | - | both | |
/// | [`force_quote`](Self::force_quote) | - | no column | - | TO | |
/// | [`force_not_null`](Self::force_not_null) | - | no column | - | FROM | |
/// | [`force_null`](Self::force_null) | - | no column | - | FROM | |
/// | [`encoding`](Self::encoding) | of the client | of the client | of the client | both | |
/// | [`freeze`](Self::freeze) | false | false | false | FROM | |
/// | [`on_error`](Self::on_error) | stop | stop | stop | FROM | 17 |
/// | [`reject_limit`](Self::reject_limit) | none | none | - | FROM | 18 |
/// | [`log_verbosity`](Self::log_verbosity) | default | default | default | FROM | 17 |
///
/// The options must be equal to the options of the COPY statement. [`copy_from`](Self::copy_from) and [`copy_to`](Self::copy_to) print the
/// options for the statement. `copy_from` does not print the options of the direction TO, and `copy_to` does not print the options of the
/// direction FROM, because the server would reject these options. The last column of the table is the oldest version that knows the option.
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
    pub(super) force_quote: ForceColumns,
    pub(super) force_not_null: ForceColumns,
    pub(super) force_null: ForceColumns,
    pub(super) default: Option<String>,
    pub(super) encoding: Option<String>,
    freeze: bool,
    on_error: OnError,
    reject_limit: Option<u64>,
    log_verbosity: LogVerbosity,
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

    /// Sets the columns whose values are always quoted in CSV format, even if a value needs no quotes. NULL is never quoted. A reader
    /// ignores this option.
    pub fn force_quote(self, force_quote: ForceColumns) -> Self {
        Self { force_quote, ..self }
    }

    /// Sets the columns in which an unquoted field that is equal to the string of the option NULL is read as this string and not as NULL,
    /// in CSV format. The default string is empty, so an empty field in such a column is read as an empty string. A `None` that a writer
    /// writes in such a column is also read as a string. PostgreSQL 15 and 16 do not accept [`ForceColumns::All`] here.
    pub fn force_not_null(self, force_not_null: ForceColumns) -> Self {
        Self { force_not_null, ..self }
    }

    /// Sets the columns in which a value that is equal to the string of the option NULL is NULL in CSV format, even if the value is quoted.
    /// So a writer cannot write this string as a value in such a column: the string is read as NULL. PostgreSQL 15 and 16 do not accept
    /// [`ForceColumns::All`] here.
    pub fn force_null(self, force_null: ForceColumns) -> Self {
        Self { force_null, ..self }
    }

    /// Sets the string that represents the default value of a column, in text and CSV format. A writer writes this string for
    /// [`OrDefault::Default`](super::OrDefault). A reader reports such a field by [`CopyRow::is_default`](super::CopyRow::is_default).
    pub fn default_string(self, default: impl Into<String>) -> Self {
        Self { default: Some(default.into()), ..self }
    }

    /// Sets the encoding of the text, by the name that the server uses, such as `LATIN1`. Without this option, the encoding is the
    /// parameter `client_encoding` of the session, which must then be UTF-8.
    ///
    /// A [`CopyWriter`](super::CopyWriter) writes UTF-8 and rejects other encodings. A [`CopyReader`](super::CopyReader) reads the rows of
    /// other encodings, but [`CopyRow::get`](super::CopyRow::get) rejects values with characters other than ASCII; read these values with
    /// [`CopyRow::bytes`](super::CopyRow::bytes). The reader rejects the encodings in which a part of a character can look like a
    /// delimiter: BIG5, GB18030, GBK, JOHAB, SHIFT_JIS_2004, SJIS and UHC. In binary format, writer and reader ignore this option, as the
    /// server does.
    pub fn encoding(self, encoding: impl Into<String>) -> Self {
        Self { encoding: Some(encoding.into()), ..self }
    }

    /// Sets whether the server stores the rows as frozen, as after VACUUM FREEZE. The server requires that the current transaction has
    /// created or truncated the table.
    pub fn freeze(self, freeze: bool) -> Self {
        Self { freeze, ..self }
    }

    /// Sets the reaction of the server to a value that cannot be converted to the type of its column.
    pub fn on_error(self, on_error: OnError) -> Self {
        Self { on_error, ..self }
    }

    /// Sets the largest number of rows that [`OnError::Ignore`] skips. When more rows are invalid, the COPY fails. The limit must be
    /// between 1 and 9,223,372,036,854,775,807.
    pub fn reject_limit(self, reject_limit: u64) -> Self {
        Self { reject_limit: Some(reject_limit), ..self }
    }

    /// Sets the messages that the server sends about skipped rows.
    pub fn log_verbosity(self, log_verbosity: LogVerbosity) -> Self {
        Self { log_verbosity, ..self }
    }

    /// Sets whether an unquoted line `\.` ends the data in CSV format, as on servers before version 18. Without this option, a
    /// [`CopyReader`](super::CopyReader) reads the line as a value, as servers of version 18 do. A writer ignores this option: it always
    /// quotes the value `\.` of a row with one column, because all versions read the quoted form as the same value.
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

    /// Checks the combination of options. Every combination that the server rejects is an error.
    ///
    /// The server accepts three further kinds of options, but would then read other rows than the writer has written. They are errors too:
    ///
    /// - a newline as quote or escape;
    /// - a NULL string or DEFAULT string that is equal to the end marker `\.`;
    /// - in text format, a NULL string or DEFAULT string that contains the end marker or ends with an unpaired backslash.
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
        self.format_reason().or_else(|| self.marker_reason()).or_else(|| self.error_reason())
    }

    /// Returns the error text for the first option that the format does not have. Returns `None` if the format has all set options.
    fn format_reason(&self) -> Option<&'static str> {
        let forced = |columns: &ForceColumns| !columns.is_empty();
        let binary = [
            (self.delimiter.is_some(), "the binary format has no delimiter"),
            (self.null.is_some(), "the binary format has no NULL string"),
            (self.default.is_some(), "the binary format has no DEFAULT string"),
            (self.header != Header::Absent, "the binary format has no header"),
            (self.on_error != OnError::Stop, "the binary format cannot skip invalid rows"),
        ];
        let not_csv = [
            (self.quote.is_some(), "only the CSV format has a quote"),
            (self.escape.is_some(), "only the CSV format has an escape"),
            (forced(&self.force_quote), "only the CSV format has FORCE_QUOTE"),
            (forced(&self.force_not_null), "only the CSV format has FORCE_NOT_NULL"),
            (forced(&self.force_null), "only the CSV format has FORCE_NULL"),
            (self.csv_end_marker, "only the CSV format has an optional end marker"),
        ];
        let binary = if self.format == RowFormat::Binary { &binary[..] } else { &[] };
        let not_csv = if self.format == RowFormat::Csv { &[] } else { &not_csv[..] };
        binary.iter().chain(not_csv).find(|(is_set, _)| *is_set).map(|(_, reason)| *reason)
    }

    /// Checks the delimiter, the quote, the escape, the NULL string and the DEFAULT string. Returns the first error text.
    fn marker_reason(&self) -> Option<&'static str> {
        let is_csv = self.format == RowFormat::Csv;
        let [delimiter, quote, escape] = [self.delimiter_byte(), self.quote_byte(), self.escape_byte()];
        if [delimiter, quote, escape].iter().any(|byte| !matches!(byte, 1..=127)) {
            return Some("the delimiter, the quote and the escape must be ASCII characters other than NUL");
        }
        if [delimiter, quote, escape].iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Some("the delimiter, the quote and the escape cannot be a newline or a carriage return");
        }
        let markers = || [Some(self.null_string()), self.default.as_deref()].into_iter().flatten();
        let contain = |byte: u8| markers().any(|marker| marker.as_bytes().contains(&byte));
        if contain(b'\n') || contain(b'\r') || contain(0) {
            return Some(
                "the NULL string and the DEFAULT string cannot contain a newline, a carriage return or a NUL",
            );
        }
        if markers().any(|marker| marker == "\\.") {
            return Some("the NULL string and the DEFAULT string cannot be the end marker");
        }
        if self.format == RowFormat::Text && markers().any(has_unsafe_backslash) {
            return Some(
                "in text format the NULL string and the DEFAULT string cannot contain the end marker, \
                 and cannot end with an unpaired backslash",
            );
        }
        if self.format == RowFormat::Text && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
            return Some(
                "in text format the delimiter cannot be a lower-case letter, a digit, a point or a backslash",
            );
        }
        if self.format != RowFormat::Binary && contain(delimiter) {
            return Some("the delimiter cannot appear in the NULL string or the DEFAULT string");
        }
        if is_csv && delimiter == quote {
            return Some("the delimiter and the quote must differ");
        }
        if is_csv && contain(quote) {
            return Some("the quote cannot appear in the NULL string or the DEFAULT string");
        }
        if self.default.as_deref() == Some(self.null_string()) {
            return Some("the NULL string and the DEFAULT string must differ");
        }
        None
    }

    /// Checks the options that concern invalid rows, such as `reject_limit`. Returns the first error text.
    fn error_reason(&self) -> Option<&'static str> {
        match self.reject_limit {
            None => None,
            Some(_) if self.on_error != OnError::Ignore => Some("REJECT_LIMIT needs ON_ERROR ignore"),
            Some(limit) if limit == 0 || i64::try_from(limit).is_err() => {
                Some("the REJECT_LIMIT must be between 1 and 9,223,372,036,854,775,807")
            }
            Some(_) => None,
        }
    }

    /// Returns the name of the encoding if the encoding is not UTF-8 and the format is text or CSV.
    pub(super) fn foreign_encoding(&self) -> Option<&str> {
        let encoding = self.encoding.as_deref().filter(|_| self.format != RowFormat::Binary);
        encoding.filter(|name| !encoding::is_utf8(name))
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

/// Whether a NULL string or DEFAULT string in text format contains the end marker, or ends with a backslash that would escape the next
/// delimiter or line end. The server accepts such a string as an option, but reads the rows in another way than the writer writes them.
fn has_unsafe_backslash(marker: &str) -> bool {
    let mut bytes = marker.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && matches!(bytes.next(), None | Some(b'.')) {
            return true;
        }
    }
    false
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
                write!(f, ", {name} {}", Literal(char::from(byte).encode_utf8(&mut text)))?;
            }
        }
        if let Some(null) = &options.null {
            write!(f, ", NULL {}", Literal(null))?;
        }
        match options.header {
            Header::Absent => {}
            Header::Match if *is_from => f.write_str(", HEADER match")?,
            Header::Present | Header::Match => f.write_str(", HEADER true")?,
        }
        if let Some(encoding) = &options.encoding {
            write!(f, ", ENCODING {}", Literal(encoding))?;
        }
        if !is_from {
            return force(f, "FORCE_QUOTE", &options.force_quote);
        }
        force(f, "FORCE_NOT_NULL", &options.force_not_null)?;
        force(f, "FORCE_NULL", &options.force_null)?;
        if let Some(default) = &options.default {
            write!(f, ", DEFAULT {}", Literal(default))?;
        }
        if options.freeze {
            f.write_str(", FREEZE true")?;
        }
        f.write_str(match options.on_error {
            OnError::Stop => "",
            OnError::Ignore => ", ON_ERROR ignore",
        })?;
        if let Some(limit) = options.reject_limit {
            write!(f, ", REJECT_LIMIT {limit}")?;
        }
        f.write_str(match options.log_verbosity {
            LogVerbosity::Default => "",
            LogVerbosity::Verbose => ", LOG_VERBOSITY verbose",
            LogVerbosity::Silent => ", LOG_VERBOSITY silent",
        })
    }
}

/// Writes an option with a list of columns.
fn force(f: &mut fmt::Formatter<'_>, option: &str, columns: &ForceColumns) -> fmt::Result {
    match columns {
        ForceColumns::All => write!(f, ", {option} *"),
        ForceColumns::Columns(names) if !names.is_empty() => {
            write!(f, ", {option} (")?;
            for (at, name) in names.iter().enumerate() {
                let quoted = name.replace('"', "\"\"");
                write!(f, "{}\"{quoted}\"", if at == 0 { "" } else { ", " })?;
            }
            f.write_str(")")
        }
        ForceColumns::None | ForceColumns::Columns(_) => Ok(()),
    }
}

/// A string as an SQL literal. A string with a backslash is written as `E'…'`, which has the same meaning with every setting of
/// `standard_conforming_strings`.
struct Literal<'a>(&'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doubled = self.0.replace('\'', "''");
        if doubled.contains('\\') {
            return write!(f, "E'{}'", doubled.replace('\\', "\\\\"));
        }
        write!(f, "'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn combinations_that_the_server_rejects_or_misreads_are_errors() {
        let (text, csv, binary) = (CopyOptions::text, CopyOptions::csv, CopyOptions::binary);
        for options in [
            binary().delimiter(b','),
            binary().null(""),
            binary().header(Header::Present),
            binary().quote(b'"'),
            text().quote(b'"'),
            text().escape(b'"'),
            text().force_quote(ForceColumns::All),
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
            binary().default_string("x"),
            binary().on_error(OnError::Ignore),
            binary().force_null(ForceColumns::All),
            text().force_null(ForceColumns::All),
            text().force_not_null(ForceColumns::Columns(["a".into()].into())),
            text().default_string("a\tb"),
            text().default_string("a\nb"),
            text().default_string("\\."),
            // These three are accepted by the server, which then reads rows in another way than a writer writes them.
            text().default_string("x\\"),
            text().null("\\"),
            text().null("a\\.b"),
            text().default_string("\\N"),
            csv().default_string(""),
            csv().default_string("a\"b"),
            csv().default_string("a,b"),
            text().reject_limit(1),
            text().on_error(OnError::Ignore).reject_limit(0),
            text().on_error(OnError::Ignore).reject_limit(u64::MAX),
        ] {
            assert!(options.check().is_err(), "{options:?}");
        }
        for options in [
            text(),
            csv(),
            binary(),
            csv().delimiter(b'a'),
            csv().escape(b'\\'),
            text().null(""),
            text().null("\\\\"),
            text().null("a\\\\.b"),
            text().force_null(ForceColumns::Columns([].into())),
            text().default_string(""),
            text().default_string("\\D").on_error(OnError::Ignore).reject_limit(i64::MAX as u64),
            csv().force_null(ForceColumns::All).force_not_null(ForceColumns::All),
            binary().freeze(true).encoding("LATIN1").log_verbosity(LogVerbosity::Verbose),
        ] {
            assert!(options.check().is_ok(), "{options:?}");
        }
    }

    #[test]
    fn an_option_is_printed_for_its_direction_only() {
        let names = |names: &[&str]| ForceColumns::Columns(names.iter().copied().map(String::from).collect());
        let options = CopyOptions::csv()
            .default_string("it's \\D")
            .encoding("LATIN1")
            .freeze(true)
            .on_error(OnError::Ignore)
            .reject_limit(10)
            .log_verbosity(LogVerbosity::Silent)
            .force_null(ForceColumns::All)
            .force_not_null(names(&["a", "b\"c"]))
            .force_quote(names(&[]));
        assert_eq!(
            options.copy_from().to_string(),
            "FORMAT csv, ENCODING 'LATIN1', FORCE_NOT_NULL (\"a\", \"b\"\"c\"), FORCE_NULL *, \
             DEFAULT E'it''s \\\\D', FREEZE true, ON_ERROR ignore, REJECT_LIMIT 10, LOG_VERBOSITY silent"
        );
        assert_eq!(options.copy_to().to_string(), "FORMAT csv, ENCODING 'LATIN1'");
    }

    #[test]
    fn the_options_are_printed_for_the_statement() {
        let options = CopyOptions::csv()
            .delimiter(b'\'')
            .null("\\N")
            .header(Header::Match)
            .force_quote(ForceColumns::Columns(["a".into(), "b\"c".into()].into()));
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
