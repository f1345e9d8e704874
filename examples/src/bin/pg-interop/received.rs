//! A received message, and its comparison with an expected line.

use std::borrow::Cow;

use pg_wire::backend::{Backend, ErrorFields};
use pg_wire::{Direction, Encode, FrameBuf, Message, MessageCode, SqlState};

use crate::check::Problem;

/// Length in bytes of the longest body that is written into a line. For a longer body, the line has only the name and the length of the
/// message, and the function of the check has to compare the values.
const LONGEST: usize = 64 << 10;

/// A received message.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) frame: FrameBuf,
    /// The message as a line.
    ///
    /// An error or notice is `ErrorResponse ERROR 22012`: name, severity, SQLSTATE. Any other message has the format of
    /// [`Message::trace`] without direction and length, for example `DataRow 1 1 '7'`.
    line: String,
}

impl Received {
    /// Decodes a message. Checks that encoding the message again gives the received bytes.
    pub(crate) fn new(frame: FrameBuf) -> Result<Self, Problem> {
        let malformed = |error| Problem::Failed(format!("a malformed message was received: {error}"));
        let message = frame.frame().backend().map_err(malformed)?;
        if let Backend::DataRow(row) = &message {
            // Decoding a row does not read its values, so they are checked here.
            row.values.validate().map_err(malformed)?;
        }
        let line = match &message {
            Backend::ErrorResponse(error) => fault("ErrorResponse", &error.fields),
            Backend::NoticeResponse(notice) => fault("NoticeResponse", &notice.fields),
            _ if frame.body.len() > LONGEST => format!("{} of {} bytes", message.name(), frame.body.len()),
            message => traced(message),
        };
        let mut again = Vec::new();
        let is_same = message.encode(&mut again).is_ok() && again.get(5..) == Some(&frame.body[..]);
        if !is_same {
            return Err(Problem::Failed(format!("not the canonical form of the message: {line}")));
        }
        Ok(Self { frame, line })
    }

    pub(crate) fn code(&self) -> MessageCode {
        self.frame.code
    }

    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    /// The line and, for an error or notice, the message text.
    pub(crate) fn shown(&self) -> Cow<'_, str> {
        match self.field(b'M') {
            Some(message) => Cow::Owned(format!("{} ({message})", self.line)),
            None => Cow::Borrowed(&self.line),
        }
    }

    /// A field of an error or notice.
    pub(crate) fn field(&self, code: u8) -> Option<String> {
        let fields = match self.frame.frame().backend() {
            Ok(Backend::ErrorResponse(error)) => error.fields,
            Ok(Backend::NoticeResponse(notice)) => notice.fields,
            _ => return None,
        };
        fields.get(code).map(|text| text.to_string_lossy().into_owned())
    }

    /// The values of a DataRow. Other messages have none.
    pub(crate) fn values(&self) -> Vec<Option<Vec<u8>>> {
        match self.frame.frame().backend() {
            Ok(Backend::DataRow(row)) => {
                row.values.iter().map(|value| value.ok().flatten().map(<[u8]>::to_vec)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether the server may send this kind of message between any two other messages.
    pub(crate) fn is_aside(&self) -> bool {
        [MessageCode::NOTICE_RESPONSE, MessageCode::PARAMETER_STATUS, MessageCode::NOTIFICATION_RESPONSE]
            .contains(&self.code())
    }

    /// Whether the message is an error with the SQLSTATE `feature_not_supported`.
    pub(crate) fn names_a_missing_feature(&self) -> bool {
        self.line.starts_with("ErrorResponse ")
            && self.field(b'C').as_deref() == Some(SqlState::FEATURE_NOT_SUPPORTED.as_str())
    }

    /// Compares the message with an expected line. `*` in the line stands for any text, ` | ` separates alternatives.
    pub(crate) fn is(&self, expected: &str) -> bool {
        expected.split(" | ").any(|expected| fits(&self.line, expected))
    }
}

fn fault(name: &str, fields: &ErrorFields<'_>) -> String {
    let text = |field: Option<pg_wire::Text<'_>>| {
        field.map_or_else(|| "-".into(), |text| text.to_string_lossy().into_owned())
    };
    format!("{name} {} {}", text(fields.severity()), text(fields.get(b'C')))
}

/// Returns the trace of a message, without its direction and length.
fn traced(message: &impl Message) -> String {
    let trace = message.trace(Direction::Backend).to_string();
    trace.splitn(4, '\t').skip(2).collect()
}

/// Whether `text` has the form of `pattern`, in which `*` stands for any text.
pub(crate) fn fits(text: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(text) = text.strip_prefix(start) else { return false };
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.into_iter().any(|at| fits(&text[at..], rest))
}

#[cfg(test)]
mod tests {
    use super::{Received, fits};
    use pg_wire::{Frame, MessageCode};

    fn received(code: MessageCode, body: &[u8]) -> Received {
        Received::new(Frame { code, body }.to_owned()).expect("a valid message")
    }

    #[test]
    fn an_asterisk_stands_for_any_text() {
        assert!(fits("DataRow 1 1 '7'", "DataRow 1 * '7'"));
        assert!(fits("DataRow 1 1 '7'", "DataRow 1 1 '7'*"));
        assert!(!fits("DataRow 1 1 '7'", "DataRow 1 1 '*8'"));
        assert!(!fits("ReadyForQuery I", "ReadyForQuery"));
    }

    #[test]
    fn a_message_is_compared_with_all_alternatives() {
        let ready = received(MessageCode::READY_FOR_QUERY, b"I");
        assert!(ready.is("NoData | ReadyForQuery I"));
        assert!(!ready.is("NoData | ReadyForQuery T"));
    }

    #[test]
    fn the_line_of_an_error_has_the_severity_and_the_sqlstate() {
        let error = received(MessageCode::ERROR_RESPONSE, b"SFEHLER\0VERROR\0C22012\0Mdivision by zero\0\0");
        assert_eq!(error.line(), "ErrorResponse ERROR 22012");
        assert_eq!(error.shown(), "ErrorResponse ERROR 22012 (division by zero)");
        assert!(!error.names_a_missing_feature());
        let missing = received(MessageCode::ERROR_RESPONSE, b"SERROR\0C0A000\0Mno COPY\0\0");
        assert!(missing.names_a_missing_feature());
    }

    #[test]
    fn a_malformed_message_is_a_failure() {
        let frame = Frame { code: MessageCode::DATA_ROW, body: b"\0\x01\0\0\0\x05x" };
        assert!(Received::new(frame.to_owned()).is_err());
    }
}
