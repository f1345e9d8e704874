//! ErrorResponse and NoticeResponse: two messages with the same fields.

use bytes::Bytes;
use core::fmt;

use crate::basic::error::DecodeError;
use crate::basic::sqlstate::SqlState;
use crate::basic::text::Text;
use crate::codec::field::Field;
use crate::codec::list::{Entry, Iter, Terminated};
use crate::codec::message::Decode;
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;
use crate::message::table::message;

message! {
    /// Reports an error of the server.
    ///
    /// `E`, length, (Byte1 code, String value) for each of fields, Byte1 0.
    ///
    /// After an error in a pipeline, the server discards all messages up to the next Sync.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-ERRORRESPONSE)
    ERROR_RESPONSE => pub struct ErrorResponse<'a> {
        /// The fields of the error.
        pub fields: ErrorFields<'a>,
    }
}

message! {
    /// Reports a notice or a warning. The message has no effect on the running command, and may arrive between any two messages.
    ///
    /// `N`, length, (Byte1 code, String value) for each of fields, Byte1 0.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-NOTICERESPONSE)
    NOTICE_RESPONSE => pub struct NoticeResponse<'a> {
        /// The fields of the notice.
        pub fields: ErrorFields<'a>,
    }
}

/// The fields of an error or a notice, each with a code. Any field may be missing, and unknown fields may be present.
///
/// Texts are in the client encoding of the session. Before this encoding is set, texts are in the encoding of the server. So texts need not
/// be UTF-8.
///
/// [The fields](https://www.postgresql.org/docs/current/protocol-error-fields.html)
#[derive(Clone, Copy, PartialEq)]
pub struct ErrorFields<'a>(Terminated<'a, ErrorField<'a>>);

/// One field of an error or a notice.
///
/// Byte1 code, String value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorField<'a> {
    /// Code of the field: a letter, never 0.
    pub code: u8,
    /// Text of the field.
    pub value: Text<'a>,
}

impl<'a> ErrorField<'a> {
    /// Creates the four fields that clients expect in every ErrorResponse and NoticeResponse: severity, untranslated severity, SQLSTATE,
    /// message.
    ///
    /// ```
    /// use pg_wire::backend::{ErrorField, ErrorResponse};
    /// use pg_wire::SqlState;
    ///
    /// let fields = ErrorField::four("FATAL", &SqlState::ADMIN_SHUTDOWN, "terminating connection");
    /// let error = ErrorResponse { fields: (&fields).into() };
    /// assert_eq!(error.to_string(), "FATAL 57P01: terminating connection");
    /// ```
    pub fn four(severity: &'a str, state: &'a SqlState, message: &'a str) -> [Self; 4] {
        [(b'S', severity), (b'V', severity), (b'C', state.as_str()), (b'M', message)]
            .map(|(code, value)| Self { code, value: value.into() })
    }
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])*
        #[doc = concat!("\n\nField `", stringify!($code), "`.")]
        pub fn $name(&self) -> Option<Text<'a>> {
            self.get($code)
        })*
    };
}

impl<'a> ErrorFields<'a> {
    /// Returns an iterator over the fields, in the order in which they were received.
    pub fn iter(&self) -> Iter<'a, ErrorField<'a>> {
        self.0.iter()
    }

    /// Returns the text of the first field with this code.
    pub fn get(&self, code: u8) -> Option<Text<'a>> {
        self.iter().find(|field| field.code == code).map(|field| field.value)
    }

    /// Returns the severity: `ERROR`, `FATAL`, `PANIC`, `WARNING`, `NOTICE`, `DEBUG`, `INFO` or `LOG`.
    ///
    /// The result is field `V`, which is never translated. Servers before 9.6 and some poolers do not send `V`. Then the result is field
    /// `S`, which may be translated.
    pub fn severity(&self) -> Option<Text<'a>> {
        self.get(b'V').or_else(|| self.get(b'S'))
    }

    /// Whether the severity is FATAL or PANIC. After such an error, the server ends the session.
    pub fn is_fatal(&self) -> bool {
        self.severity().is_some_and(|severity| severity == "FATAL" || severity == "PANIC")
    }

    /// Returns the SQLSTATE, which is field `C`.
    pub fn sqlstate(&self) -> Option<SqlState> {
        SqlState::from_bytes(self.get(b'C')?.as_bytes())
    }

    accessors! {
        /// Severity of the error, in the language of the server's messages.
        localized_severity = b'S';
        /// Description of the error in one line.
        message = b'M';
        /// Details of the error.
        detail = b'D';
        /// A suggestion for solving the problem.
        hint = b'H';
        /// Text of a failed query that the server itself generated, such as a query of a PL/pgSQL function.
        internal_query = b'q';
        /// Call stack in which the error occurred, innermost call first.
        context = b'W';
        /// Name of the schema of the object that caused the error.
        schema = b's';
        /// Name of the table that caused the error.
        table = b't';
        /// Name of the column that caused the error.
        column = b'c';
        /// Name of the data type that caused the error.
        data_type = b'd';
        /// Name of the constraint that was violated.
        constraint = b'n';
        /// Name of the file in the server's source code that reported the error.
        file = b'F';
        /// Number of the line in [`file`](Self::file) that reported the error.
        line = b'L';
        /// Name of the routine in the server's source code that reported the error.
        routine = b'R';
    }

    /// Returns the position of the error in the query text, in characters (not bytes) from 1. The position is field `P`.
    pub fn position(&self) -> Option<u32> {
        self.get(b'P')?.to_str().ok()?.parse().ok()
    }

    /// Returns the position of the error in [`internal_query`](Self::internal_query), in characters from 1. The position is field `p`.
    pub fn internal_position(&self) -> Option<u32> {
        self.get(b'p')?.to_str().ok()?.parse().ok()
    }
}

impl<'a> From<&'a [ErrorField<'a>]> for ErrorFields<'a> {
    fn from(fields: &'a [ErrorField<'a>]) -> Self {
        Self(fields.into())
    }
}

impl<'a, const N: usize> From<&'a [ErrorField<'a>; N]> for ErrorFields<'a> {
    fn from(fields: &'a [ErrorField<'a>; N]) -> Self {
        Self(fields.into())
    }
}

impl<'a> Field<'a> for ErrorFields<'a> {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Field::read(body).map(Self)
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        self.0.write(out);
    }
}

impl<'a> Field<'a> for ErrorField<'a> {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { code: body.u8()?, value: body.text()? })
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.byte1(self.code);
        out.text(self.value);
    }
}

impl<'a> Entry<'a> for ErrorField<'a> {
    fn is_end(&self) -> bool {
        self.code == 0
    }
    fn end<P: Writer + ?Sized>(out: &mut P) {
        out.byte1(0);
    }
}

impl<'a> fmt::Display for ErrorFields<'a> {
    /// Prints `SEVERITY SQLSTATE: message`, without missing parts. If the message is missing, prints the detail instead. If the detail is
    /// missing too, prints the hint. If all three are missing, prints a fixed sentence.
    ///
    /// `{:#}` adds a line for each of these fields that is present: `DETAIL`, `HINT`, `POSITION` and `CONSTRAINT NAME`, named as in psql.
    /// The detail can contain confidential data of a table.
    ///
    /// The server may be hostile, so characters that control a terminal or break a log line are escaped. The accessors return
    /// the bytes unchanged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = |part: Option<Text<'a>>| part.filter(|part| !part.is_empty()).map(Shown);
        match (present(self.severity()), present(self.get(b'C'))) {
            (Some(severity), Some(code)) => write!(f, "{severity} {code}: ")?,
            (Some(word), None) | (None, Some(word)) => write!(f, "{word}: ")?,
            (None, None) => {}
        }
        let texts = [self.message(), self.detail(), self.hint()];
        match texts.into_iter().flatten().find(|text| !text.is_empty()) {
            Some(text) => Shown(text).fmt(f)?,
            None => f.write_str("no error message available")?,
        }
        if f.alternate() { self.fmt_fields(f, |code| b"DHPn".contains(&code)) } else { Ok(()) }
    }
}

impl ErrorFields<'_> {
    /// Prints one line for each field whose code `select` accepts. Skips the severity, the SQLSTATE and the message.
    fn fmt_fields(&self, f: &mut fmt::Formatter<'_>, select: impl Fn(u8) -> bool) -> fmt::Result {
        for field in self.iter().filter(|field| select(field.code)) {
            let name = match field.code {
                // Severity, SQLSTATE and message. The caller has printed these fields in the first line.
                b'S' | b'V' | b'C' | b'M' => continue,
                b'D' => "DETAIL",
                b'H' => "HINT",
                b'P' => "POSITION",
                b'p' => "INTERNAL POSITION",
                b'q' => "INTERNAL QUERY",
                b'W' => "CONTEXT",
                b's' => "SCHEMA NAME",
                b't' => "TABLE NAME",
                b'c' => "COLUMN NAME",
                b'd' => "DATATYPE NAME",
                b'n' => "CONSTRAINT NAME",
                b'F' => "FILE",
                b'L' => "LINE",
                b'R' => "ROUTINE",
                code => {
                    write!(f, "\nFIELD {:?}: {}", char::from(code), Shown(field.value))?;
                    continue;
                }
            };
            write!(f, "\n{name}: {}", Shown(field.value))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ErrorFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |field: ErrorField<'_>| char::from(field.code);
        f.debug_map().entries(self.iter().map(|field| (name(field), field.value))).finish()
    }
}

/// Prints a text of the server, with control characters escaped.
struct Shown<'a>(Text<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        let mut plain = &*text;
        while let Some(at) = plain.find(controls_terminal) {
            let (before, rest) = plain.split_at(at);
            f.write_str(before)?;
            let mut chars = rest.chars();
            for c in chars.by_ref().take(1) {
                write!(f, "{}", c.escape_default())?;
            }
            plain = chars.as_str();
        }
        f.write_str(plain)
    }
}

/// Whether the character can control a terminal: control characters, line separators, and characters that change the text
/// direction.
fn controls_terminal(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for ErrorResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.fmt(f)
    }
}

impl fmt::Display for NoticeResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.fmt(f)
    }
}

impl core::error::Error for ErrorResponse<'_> {}

impl ErrorResponse<'_> {
    /// Returns an owned copy of all fields, as an error type.
    pub fn to_owned(&self) -> ServerError {
        ServerError::from_fields(&self.fields)
    }
}

impl NoticeResponse<'_> {
    /// Returns an owned copy of all fields.
    pub fn to_owned(&self) -> ServerError {
        ServerError::from_fields(&self.fields)
    }
}

/// An owned copy of an error or a notice of the server. Contains all fields, byte for byte.
///
/// `{}` prints the message, `{:#}` also the detail, the hint, the position and the constraint, and `{:?}` all fields. A program whose `main`
/// returns the error prints `{:?}`.
///
/// ```
/// use pg_wire::{Decode, SqlState, backend::ErrorResponse};
///
/// let error = ErrorResponse::decode(b"SERROR\0C42P01\0Mrelation \"x\" does not exist\0\0")?.to_owned();
/// assert_eq!(error.fields().sqlstate(), Some(SqlState::UNDEFINED_TABLE));
/// assert_eq!(error.to_string(), "ERROR 42P01: relation \"x\" does not exist");
/// # Ok::<_, pg_wire::DecodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ServerError {
    body: Bytes,
}

impl ServerError {
    fn from_fields(fields: &ErrorFields<'_>) -> Self {
        // Reserves the exact length. Without this, the vector could have twice the needed capacity, for as long as the error exists.
        let length: usize = fields.iter().map(|field| field.value.as_bytes().len() + 2).sum();
        let mut body = alloc::vec::Vec::with_capacity(length + 1);
        for field in fields.iter() {
            body.push(field.code);
            body.extend_from_slice(field.value.as_bytes());
            body.push(0);
        }
        body.push(0);
        Self { body: body.into() }
    }

    /// Returns the fields.
    pub fn fields(&self) -> ErrorFields<'_> {
        // Decoding cannot fail: `from_fields` wrote the body.
        ErrorResponse::decode(&self.body).map_or(ErrorFields(Terminated::EMPTY), |error| error.fields)
    }

    /// Returns the SQLSTATE, if the server sent one.
    pub fn sqlstate(&self) -> Option<SqlState> {
        self.fields().sqlstate()
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields().fmt(f)
    }
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Debug` prints a readable form with all fields, because Rust uses `Debug` when `main` returns the error.
        let fields = self.fields();
        write!(f, "{fields}")?;
        fields.fmt_fields(f, |_| true)
    }
}

impl core::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn the_detail_of_a_unique_violation_is_printed() {
        let error = ErrorResponse::decode(
            b"SERROR\0VERROR\0C23505\0Mduplicate key value violates unique constraint \"t_pkey\"\0\
              DKey (i)=(1) already exists.\0spublic\0tt\0nt_pkey\0Fnbtinsert.c\0L664\0R_bt_check_unique\0Yx\x1b\0\0",
        );
        let error = error.expect("an error").to_owned();
        let line = "ERROR 23505: duplicate key value violates unique constraint \"t_pkey\"";
        assert_eq!(format!("{error}"), line);
        let detail = "DETAIL: Key (i)=(1) already exists.";
        assert_eq!(format!("{error:#}"), format!("{line}\n{detail}\nCONSTRAINT NAME: t_pkey"));
        assert_eq!(
            format!("{error:?}"),
            format!(
                "{line}\n{detail}\nSCHEMA NAME: public\nTABLE NAME: t\nCONSTRAINT NAME: t_pkey\nFILE: nbtinsert.c\nLINE: 664\n\
                 ROUTINE: _bt_check_unique\nFIELD 'Y': x\\u{{1b}}"
            )
        );
    }

    fn field(code: u8, value: &'static str) -> ErrorField<'static> {
        ErrorField { code, value: value.into() }
    }

    #[test]
    fn an_error_with_an_unknown_field_is_encoded_and_decoded() {
        golden(
            ErrorResponse {
                fields: ErrorFields::from(&[
                    field(b'S', "ERROR"),
                    field(b'V', "ERROR"),
                    field(b'C', "42601"),
                    field(b'M', "syntax error"),
                    field(b'?', "who knows"),
                ]),
            },
            b"E\0\0\0\x33SERROR\0VERROR\0C42601\0Msyntax error\0?who knows\0\0",
            "B\t51\tErrorResponse\t S \"ERROR\" V \"ERROR\" C \"42601\" M \"syntax error\" ? \"who knows\" \\x00",
        );
    }

    #[test]
    fn a_notice_is_encoded_and_decoded() {
        golden(
            NoticeResponse { fields: ErrorFields::from(&[field(b'M', "hello")]) },
            b"N\0\0\0\x0cMhello\0\0",
            "B\t12\tNoticeResponse\t M \"hello\" \\x00",
        );
    }

    #[test]
    fn a_severity_is_found_without_the_field_v() {
        // PgBouncer sends this ErrorResponse without field V.
        let error =
            ErrorResponse::decode(b"SFATAL\0C08P01\0Mno more connections allowed\0\0").expect("well-formed");
        assert_eq!(error.fields.severity(), Some("FATAL".into()));
        assert_eq!(error.to_string(), "FATAL 08P01: no more connections allowed");
    }

    #[test]
    fn text_in_another_encoding_is_kept_and_printed_with_replacement_characters() {
        let error = ErrorResponse::decode(b"Mdoppelter Schl\xfcssel\0\0").expect("well-formed");
        assert_eq!(error.fields.message().map(|text| text.as_bytes()), Some(&b"doppelter Schl\xfcssel"[..]));
        assert_eq!(error.to_owned().to_string(), "doppelter Schl\u{fffd}ssel");
    }

    #[test]
    fn characters_that_control_a_terminal_are_escaped() {
        let body =
            b"SFA\x1bTAL\0C28\r00\0M\x1b]0;title\x07line\nline\x7f\xc2\x9b2J \xe2\x80\xaeright to left\0\0";
        let error = ErrorResponse::decode(body).expect("well-formed");
        let shown =
            "FA\\u{1b}TAL 28\\r00: \\u{1b}]0;title\\u{7}line\\nline\\u{7f}\\u{9b}2J \\u{202e}right to left";
        assert_eq!(error.to_string(), shown);
        assert_eq!(error.to_owned().to_string(), shown);
        for debug in [alloc::format!("{error:?}"), alloc::format!("{:?}", error.to_owned())] {
            assert!(!debug.contains(controls_terminal), "{debug}");
        }
        assert!(error.fields.message().is_some_and(|text| text.as_bytes().starts_with(b"\x1b]0;title\x07")));
    }

    #[test]
    fn an_error_with_missing_fields_is_printed_without_them() {
        for (body, shown) in [
            (&b"\0"[..], "no error message available"),
            (b"Monly message\0\0", "only message"),
            (b"M\0\0", "no error message available"),
            (b"SERROR\0\0", "ERROR: no error message available"),
            (b"C28000\0\0", "28000: no error message available"),
            (b"SERROR\0C28000\0\0", "ERROR 28000: no error message available"),
            (b"S\0C\0Mx\0\0", "x"),
            (b"SERROR\0Ddetail\0Hhint\0\0", "ERROR: detail"),
            (b"SERROR\0Hhint\0\0", "ERROR: hint"),
        ] {
            let error = ErrorResponse::decode(body).expect("well-formed");
            assert_eq!(error.to_string(), shown);
        }
    }

    #[test]
    fn an_owned_error_has_all_fields() {
        let body = b"SERROR\0Zodd\0Zagain\0\0";
        let kept = ErrorResponse::decode(body).expect("well-formed").to_owned();
        assert_eq!(&kept.body[..], body);
        assert_eq!(kept.fields().iter().count(), 3);
    }
}
