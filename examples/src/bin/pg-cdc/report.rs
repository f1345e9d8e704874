//! Formats and prints the text for standard error.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};

use pg_stream_tokio::ConnectError;
use pg_wire::backend::ErrorFields;

/// Prints a line on standard error. An error is ignored: there is no other place to report it.
pub(crate) fn say(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Escapes control characters, and characters that change the direction of writing, so that the text cannot control a terminal.
pub(crate) fn escaped(text: &str) -> String {
    let controls = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if controls(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Formats an error of the server on one line: `the server reported ERROR 42704: message (detail) (hint)`.
pub(crate) fn server_error(fields: ErrorFields<'_>) -> String {
    let text = |part: Option<pg_wire::Text<'_>>| part.map(|part| part.to_string_lossy().into_owned());
    let mut line = String::from("the server reported ");
    line += &text(fields.get(b'S').or(fields.severity())).unwrap_or_else(|| "ERROR".into());
    if let Some(code) = text(fields.get(b'C')) {
        let _ = write!(line, " {code}");
    }
    let _ = write!(line, ": {}", text(fields.message()).unwrap_or_default());
    for part in [text(fields.detail()), text(fields.hint())].into_iter().flatten() {
        let _ = write!(line, " ({part})");
    }
    escaped(&line)
}

/// Formats the errors of all attempts to connect, separated by semicolons.
pub(crate) fn attempts(error: &ConnectError) -> String {
    let one = |error: &ConnectError| {
        let place = error.place().map(|place| format!("{place}: ")).unwrap_or_default();
        escaped(&format!("{place}{}", error.kind()))
    };
    let all: Vec<_> = error.earlier().iter().chain([error]).map(one).collect();
    all.join("; ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_that_could_control_a_terminal_is_escaped() {
        assert_eq!(super::escaped("\u{1b}[2J\r\n\u{202e}é"), r"\u{1b}[2J\r\n\u{202e}é");
    }
}
