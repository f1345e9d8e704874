//! Prints and escapes texts for standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints a line on standard error. An error is ignored, because it cannot be reported.
pub(crate) fn say(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Escapes control characters and characters that change the direction of writing. Unescaped, a text of the server could control a
/// terminal.
pub(crate) fn escaped(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}
