//! Connection strings of the form `name = value name='quoted value' …`. A character after `\` is taken literally.

use zeroize::Zeroizing;

use crate::config::parameters::{Value, Values};
use crate::config::parse::cursor::{Cursor, is_space};
use crate::error::ConfigError;

/// Reads keywords and their values.
pub(super) fn read(mut string: Cursor<'_>, values: &mut Values) -> Result<(), ConfigError> {
    string.skip_spaces();
    while !string.is_empty() {
        let name = string.until(&['=', ' ', '\t', '\n', '\x0b', '\x0c', '\r']);
        string.skip_spaces();
        if !string.eat("=") {
            return Err(name.fault("a parameter has no \"=\""));
        }
        string.skip_spaces();
        values.set(name.rest, value(&mut string)?)?;
        string.skip_spaces();
    }
    Ok(())
}

fn value(string: &mut Cursor<'_>) -> Result<Value, ConfigError> {
    let start = *string;
    let quoted = string.eat("'");
    let mut escaped = false;
    let end = string.rest.find(|c| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        escaped = c == '\\';
        if quoted { c == '\'' } else { is_space(c) }
    });
    let piece = match end {
        Some(end) => string.take(end),
        None if quoted => return Err(start.fault("a quoted value is not closed")),
        None => string.take(string.rest.len()),
    };
    if quoted {
        string.eat("'");
    }
    Ok(unescaped(piece.rest))
}

/// Removes the backslashes of escapes. A single backslash at the end of the text is dropped.
fn unescaped(text: &str) -> Value {
    let mut value = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'\\' { bytes.next() } else { Some(byte) };
        value.extend(byte);
    }
    value
}
