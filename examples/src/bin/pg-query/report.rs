//! Formats and prints the text for standard error.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

use pg_stream_tokio::ConnectError;
use pg_wire::Text;
use pg_wire::backend::ErrorFields;

/// Largest number of characters that are shown of a line of SQL.
const LINE: usize = 60;

/// Least number of characters that are shown before the position of the error, if the line of SQL is longer than `LINE` characters.
const BEFORE: usize = 20;

/// Formats an error of the server: `ERROR:  42601: syntax error`, the line of SQL with a caret, and the details.
pub(crate) fn error(fields: ErrorFields<'_>, sql: &[u8]) -> String {
    let mut text = message(fields, "ERROR");
    match (fields.position(), fields.internal_position(), fields.internal_query()) {
        (Some(position), _, _) => text += &excerpt(&String::from_utf8_lossy(sql), position),
        (None, Some(position), Some(query)) => text += &excerpt(&query.to_string_lossy(), position),
        _ => {}
    }
    add(&mut text, fields, &[("QUERY", fields.internal_query()), ("CONTEXT", fields.context())]);
    text
}

/// Formats a notice: `NOTICE:  01000: text`, and the details. The code 00000 is left out.
pub(crate) fn notice(fields: ErrorFields<'_>) -> String {
    let mut text = message(fields, "NOTICE");
    add(&mut text, fields, &[]);
    text
}

/// Formats a notification: `NOTIFY:  channel "jobs", payload "text", from server process 42`.
pub(crate) fn notification(channel: &str, payload: &str, pid: i32) -> String {
    let payload =
        if payload.is_empty() { String::new() } else { format!(", payload \"{}\"", escaped(payload)) };
    format!("NOTIFY:  channel \"{}\"{payload}, from server process {pid}", escaped(channel))
}

/// Formats the failed attempts to connect, one per line. If the server has sent DETAIL and HINT, they follow the line of the attempt.
pub(crate) fn attempts(error: &ConnectError) -> String {
    let mut text = String::new();
    for error in error.earlier().iter().chain([error]) {
        let place = error.place().map(|place| format!("{place}: ")).unwrap_or_default();
        if !text.is_empty() {
            text.push('\n');
        }
        // The server is not authenticated yet, so its text is escaped: with a line break, the text could imitate a line of this program.
        text += &format!("pg-query: {}", escaped(&format!("{place}{}", error.kind())));
        if let Some(fields) = error.server_error().map(|error| error.fields()) {
            for (label, value) in [("DETAIL", fields.detail()), ("HINT", fields.hint())] {
                if let Some(value) = value {
                    let _ = write!(text, "\n{label}:  {}", escaped(&value.to_string_lossy()));
                }
            }
        }
    }
    text
}

/// Prints a line on standard error. An error is ignored, because it cannot be reported.
pub(crate) fn say(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Prints a few bytes on standard error, unless the write would block.
pub(crate) fn say_if_possible(line: &str) {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let stderr = io::stderr();
        let mut stderr = [PollFd::new(&stderr, PollFlags::OUT)];
        if !matches!(poll(&mut stderr, Some(&Timespec::default())), Ok(1)) {
            return;
        }
    }
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Escapes control characters and characters that change the direction of writing. Unescaped, the text could control a terminal.
pub(crate) fn escaped(text: &str) -> String {
    escaped_except(text, &[])
}

/// Escapes text that a server sends after the login. Like [`escaped`], but keeps line breaks and tabs.
fn lines(text: Text<'_>) -> String {
    escaped_except(&text.to_string_lossy(), &['\n', '\t'])
}

fn escaped_except(text: &str, kept: &[char]) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && !kept.contains(&c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Formats the severity, the code and the message of an error or notice. `severity` replaces a missing severity; other missing parts are
/// left out.
fn message(fields: ErrorFields<'_>, severity: &str) -> String {
    let present = |part: Option<Text<'_>>| part.map(lines).filter(|part| !part.is_empty());
    // The field `S` is the severity in the language of the session. psql prints this field too.
    let severity = present(fields.get(b'S').or(fields.severity())).unwrap_or_else(|| severity.into());
    let code = present(fields.get(b'C')).filter(|code| code != "00000");
    let code = code.map(|code| format!("{code}: ")).unwrap_or_default();
    let text = present(fields.message()).unwrap_or_else(|| "no error message available".into());
    format!("{severity}:  {code}{text}")
}

fn add(text: &mut String, fields: ErrorFields<'_>, more: &[(&str, Option<Text<'_>>)]) {
    let usual = [("DETAIL", fields.detail()), ("HINT", fields.hint())];
    for (label, value) in usual.iter().chain(more) {
        if let Some(value) = value.map(lines) {
            let _ = write!(text, "\n{label}:  {value}");
        }
    }
}

/// Returns the line of `sql` that contains the character at `position` (counted from 1), with a caret below this character.
fn excerpt(sql: &str, position: u32) -> String {
    let Some(at) = usize::try_from(position).ok().and_then(|position| position.checked_sub(1)) else {
        return String::new();
    };
    let mut start = 0;
    for (number, line) in sql.split('\n').enumerate() {
        let line: Vec<char> = line.chars().collect();
        // `at` may be the length of the line: the error is then after the last character of the line.
        if at > start + line.len() {
            start += line.len() + 1;
            continue;
        }
        let at = at - start;
        let first = if line.len() > LINE { at.saturating_sub(BEFORE).min(line.len() - LINE) } else { 0 };
        let shown = line.iter().skip(first).take(LINE).map(|c| if c.is_control() { ' ' } else { *c });
        let shown: String = shown.collect();
        let (before, after) =
            (if first > 0 { "..." } else { "" }, if first + LINE < line.len() { "..." } else { "" });
        let head = format!("LINE {}: {before}", number + 1);
        let caret = " ".repeat(head.len() + at - first);
        return format!("\n{head}{shown}{after}\n{caret}^");
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::{escaped, excerpt};

    #[test]
    fn a_caret_stands_below_the_character() {
        assert_eq!(excerpt("SELECT é, no", 11), "\nLINE 1: SELECT é, no\n                  ^");
        assert_eq!(excerpt("a\nbc\nd", 4), "\nLINE 2: bc\n         ^");
        assert_eq!(excerpt("SELECT", 7), "\nLINE 1: SELECT\n              ^");
        assert_eq!(excerpt("a\tb", 3), "\nLINE 1: a b\n          ^");
        assert_eq!(excerpt("SELECT", 0), "");
        assert_eq!(excerpt("SELECT", 99), "");
    }

    #[test]
    fn a_long_line_is_cut_to_the_part_around_the_character() {
        let sql = format!("{}!{}", "x".repeat(100), "y".repeat(100));
        let shown = excerpt(&sql, 101);
        let (_, shown) = shown.split_once('\n').expect("a line");
        let (line, caret) = shown.split_once('\n').expect("and a caret");
        assert_eq!(line.chars().count(), "LINE 1: ...".len() + 60 + "...".len());
        assert_eq!(line.chars().nth(caret.chars().count() - 1), Some('!'));
    }

    #[test]
    fn text_that_could_control_a_terminal_is_escaped() {
        assert_eq!(escaped("\u{1b}[2J\r\n\u{202e}é"), r"\u{1b}[2J\r\n\u{202e}é");
    }
}
