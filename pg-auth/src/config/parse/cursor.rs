//! A position in a connection string.

use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use crate::config::parameters::Value;
use crate::error::ConfigError;

/// Whether C's `isspace` counts the character as a space.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// The part of a connection string that is still to be read, and its offset in the whole string.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a str,
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(string: &'a str) -> Self {
        Self { rest: string, offset: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Removes and returns the text before the first of these characters. If none of these characters occurs, removes and returns the whole
    /// text.
    pub(super) fn until(&mut self, stops: &[char]) -> Self {
        let end = self.rest.find(stops).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// Removes and returns this many bytes from the front. Precondition: the text has at least this many bytes, and the cut does not split
    /// a character. Otherwise removes and returns all bytes, so that there is no panic.
    pub(super) fn take(&mut self, bytes: usize) -> Self {
        let (piece, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        let taken = Self { rest: piece, offset: self.offset };
        self.move_to(rest);
        taken
    }

    /// Removes `expected` from the front, and returns true. If the text does not begin with `expected`, returns false.
    pub(super) fn eat(&mut self, expected: &str) -> bool {
        let rest = self.rest.strip_prefix(expected);
        rest.inspect(|rest| self.move_to(rest)).is_some()
    }

    pub(super) fn skip_spaces(&mut self) {
        self.move_to(self.rest.trim_start_matches(is_space));
    }

    /// Advances to `rest`. Precondition: `rest` is a suffix of `self.rest`.
    fn move_to(&mut self, rest: &'a str) {
        self.offset += self.rest.len() - rest.len();
        self.rest = rest;
    }

    pub(super) fn fault(&self, problem: &'static str) -> ConfigError {
        ConfigError::Syntax { problem, offset: self.offset }
    }

    /// Returns this piece of the string without its leading spaces.
    pub(super) fn trim_start(mut self) -> Self {
        self.move_to(self.rest.trim_start_matches(' '));
        self
    }

    /// Returns this piece of the string without its trailing spaces.
    pub(super) fn trim_end(self) -> Self {
        Self { rest: self.rest.trim_end_matches(' '), ..self }
    }

    /// Decodes percent-encoding. Rejects a space, an invalid escape, and an encoded NUL byte.
    pub(super) fn decode(self) -> Result<Value, ConfigError> {
        let bytes = self.rest.as_bytes();
        for (at, c) in self.rest.match_indices(['%', ' ']) {
            let problem = match (c, bytes.get(at + 1..at + 3)) {
                ("%", Some(b"00")) => "a NUL byte is encoded",
                ("%", Some(digits)) if digits.iter().all(u8::is_ascii_hexdigit) => continue,
                ("%", _) => "two hexadecimal digits are expected after \"%\"",
                _ => "a space is not percent-encoded",
            };
            return Err(ConfigError::Syntax { problem, offset: self.offset + at });
        }
        // Reserves the full capacity at once: a vector that grows would leave copies of a password in freed memory.
        let mut value = Zeroizing::new(Vec::with_capacity(bytes.len()));
        value.extend(percent_decode(bytes));
        Ok(value)
    }

    /// Like [`decode`](Self::decode), after removing leading and trailing spaces.
    pub(super) fn decode_trimmed(self) -> Result<Value, ConfigError> {
        self.trim_start().trim_end().decode()
    }
}
