//! Writing of one field in text or CSV format.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::error::CopyErrorKind;
use super::options::{CopyOptions, RowFormat};

/// Action of the writer for one byte of a value.
mod action {
    /// Copies the byte.
    pub(super) const COPY: u8 = 0;
    /// The byte is NUL, which is an error.
    pub(super) const NUL: u8 = 0xff;
    /// In CSV format: copies the byte, and the field must be quoted.
    pub(super) const QUOTE: u8 = 0xfe;
    // Every other number is an ASCII character, and is used only in text format: the writer writes a backslash and then this character.
}

/// The options of the text or CSV format, converted so that the writer can look up the action for a byte.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    pub(super) is_csv: bool,
    pub(super) delimiter: u8,
    quote: u8,
    escape: u8,
    pub(super) null: Box<[u8]>,
    /// The string that represents the default value of a column.
    pub(super) default: Option<Box<[u8]>>,
    /// Action for each byte. The index is the value of the byte.
    actions: Box<[u8; 256]>,
    /// Whether ASCII letters, ASCII digits and the characters `+-.` need neither escapes nor quotes.
    is_plain_safe: bool,
}

impl Dialect {
    pub(super) fn new(options: &CopyOptions) -> Self {
        let is_csv = options.format == RowFormat::Csv;
        let [delimiter, quote, escape] =
            [options.delimiter_byte(), options.quote_byte(), options.escape_byte()];
        let mut actions = Box::new([action::COPY; 256]);
        let mut set = |byte: u8, action: u8| {
            if let Some(place) = actions.get_mut(usize::from(byte)) {
                *place = action;
            }
        };
        if is_csv {
            for byte in [delimiter, quote, b'\n', b'\r'] {
                set(byte, action::QUOTE);
            }
        } else {
            set(delimiter, delimiter);
            let escaped = [
                (0x08, b'b'),
                (0x0c, b'f'),
                (b'\n', b'n'),
                (b'\r', b'r'),
                (b'\t', b't'),
                (0x0b, b'v'),
                (b'\\', b'\\'),
            ];
            for (byte, letter) in escaped {
                set(byte, letter);
            }
        }
        set(0, action::NUL);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let is_plain_safe = !(is_plain(delimiter) || is_csv && is_plain(quote));
        let null = options.null_string().as_bytes().into();
        let default = options.default.as_deref().map(|default| default.as_bytes().into());
        Self { is_csv, delimiter, quote, escape, null, default, actions, is_plain_safe }
    }

    /// Whether a field with these bytes would be read as NULL or as the default value of the column.
    fn is_marker(&self, bytes: &[u8]) -> bool {
        *bytes == *self.null || self.default.as_deref() == Some(bytes)
    }

    #[inline(always)]
    fn action(&self, byte: u8) -> u8 {
        // `unwrap_or` never uses its argument, because the table has an entry for every byte.
        self.actions.get(usize::from(byte)).copied().unwrap_or(action::COPY)
    }
}

/// A field of a row in text or CSV format, into which a [`CopyValue`](super::CopyValue) writes its text form.
///
/// The field adds escapes and quotes where the format needs them. For a type with an implementation of `Display`, use
/// [`write!`](core::write).
#[derive(Debug)]
pub struct TextField<'w> {
    dialect: &'w Dialect,
    out: &'w mut Vec<u8>,
    /// Index in `out` of the first byte of the field.
    start: usize,
    is_null: bool,
    has_nul: bool,
    /// False if `end` must check the value. In CSV format, `end` searches for bytes that need quotes. If a DEFAULT string is set, `end`
    /// compares the value with this string.
    is_checked: bool,
}

impl<'w> TextField<'w> {
    #[inline(always)]
    pub(super) fn new(dialect: &'w Dialect, out: &'w mut Vec<u8>) -> Self {
        let start = out.len();
        let is_checked = dialect.default.is_none();
        Self { dialect, out, start, is_null: false, has_nul: false, is_checked }
    }

    /// Makes the field NULL.
    #[inline]
    pub fn put_null(&mut self) {
        self.is_null = true;
    }

    /// Appends text to the field.
    #[inline]
    pub fn put_str(&mut self, text: &str) {
        self.put(text.as_bytes());
    }

    /// Appends text that consists of ASCII letters, digits and the characters `+-.`.
    #[inline(always)]
    pub(super) fn put_plain(&mut self, text: &[u8]) {
        if self.dialect.is_plain_safe {
            self.out.extend_from_slice(text);
        } else {
            self.put(text);
        }
    }

    #[inline]
    pub(super) fn put(&mut self, text: &[u8]) {
        if self.dialect.is_csv {
            // The text is copied without a search, because `end` searches the whole field for bytes that need quotes.
            self.is_checked = false;
            self.out.extend_from_slice(text);
            return;
        }
        let mut rest = text;
        while let Some(at) = rest.iter().position(|byte| self.dialect.action(*byte) != action::COPY) {
            let (plain, tail) = rest.split_at(at);
            self.out.extend_from_slice(plain);
            let Some((byte, tail)) = tail.split_first() else { return };
            match self.dialect.action(*byte) {
                action::NUL => self.has_nul = true,
                letter => self.out.extend_from_slice(&[b'\\', letter]),
            }
            rest = tail;
        }
        self.out.extend_from_slice(rest);
    }

    /// Ends the field as the default value of the column: writes the string of the option DEFAULT.
    pub(super) fn end_default(self) -> Result<(), CopyErrorKind> {
        let default = self.dialect.default.as_ref().ok_or(CopyErrorKind::NoDefault)?;
        self.out.extend_from_slice(default);
        Ok(())
    }

    /// Ends the field: writes the NULL string for a NULL, and adds quotes if they are needed. If `is_forced` is true, a field that is not
    /// NULL is always quoted. If `is_alone` is true, the row has no other field.
    #[inline(always)]
    pub(super) fn end(self, is_forced: bool, is_alone: bool) -> Result<(), CopyErrorKind> {
        let value = self.out.get(self.start..).unwrap_or_default();
        let is_like_null = value.len() == self.dialect.null.len() && *value == *self.dialect.null;
        if self.is_null || is_like_null || !self.is_checked || is_forced || self.has_nul {
            return self.end_slowly(is_forced, is_alone);
        }
        Ok(())
    }

    fn end_slowly(self, is_forced: bool, is_alone: bool) -> Result<(), CopyErrorKind> {
        let Self { dialect, out, start, .. } = self;
        if self.is_null {
            out.truncate(start);
            out.extend_from_slice(&dialect.null);
            return Ok(());
        }
        let value = out.get(start..).unwrap_or_default();
        let is_marker = dialect.is_marker(value);
        if !dialect.is_csv {
            if self.has_nul {
                return Err(CopyErrorKind::Nul);
            }
            return if is_marker { escape_first(dialect, out, start) } else { Ok(()) };
        }
        let (mut is_quoted, mut has_nul) = (is_forced || is_marker, false);
        for byte in value {
            let action = dialect.action(*byte);
            is_quoted |= action == action::QUOTE;
            has_nul |= action == action::NUL;
        }
        if has_nul {
            return Err(CopyErrorKind::Nul);
        }
        // A value `\.` that is alone in its row is quoted, because a server before version 18 reads an unquoted line `\.` as the end of the
        // data.
        if is_quoted || is_alone && value == b"\\." {
            let Dialect { quote, escape, .. } = *dialect;
            let is_escaped = |byte: u8| byte == quote || byte == escape;
            let extra = value.iter().filter(|byte| is_escaped(**byte)).count();
            if extra == 0 {
                out.insert(start, quote);
            } else {
                let value = out.split_off(start);
                out.reserve(value.len() + extra + 2);
                out.push(quote);
                for byte in value {
                    if is_escaped(byte) {
                        out.push(escape);
                    }
                    out.push(byte);
                }
            }
            out.push(quote);
        }
        Ok(())
    }
}

/// Replaces the first character of a field in text format by numeric escapes, one for each byte. All bytes of the character are escaped,
/// because the server checks the encoding of a line before it removes the escapes. Precondition: the field is equal to the string of the
/// option NULL or DEFAULT, so without the escape the value would be read as NULL or as the default value of the column.
#[cold]
fn escape_first(dialect: &Dialect, out: &mut Vec<u8>, start: usize) -> Result<(), CopyErrorKind> {
    let field = out.split_off(start);
    let single;
    let (bytes, rest) = match *field {
        [] if dialect.null.is_empty() => return Err(CopyErrorKind::EmptyIsNull),
        [] => return Err(CopyErrorKind::EmptyIsDefault),
        [b'\\', letter, ref rest @ ..] => {
            let byte = (0..=u8::MAX).find(|byte| dialect.action(*byte) == letter && *byte != action::NUL);
            single = [byte.unwrap_or(letter)];
            (&single[..], rest)
        }
        [_, ref rest @ ..] => {
            let is_continuation = |byte: &&u8| matches!(byte, 0x80..=0xbf);
            field.split_at(1 + rest.iter().take_while(is_continuation).count())
        }
    };
    for is_octal in [true, false] {
        out.truncate(start);
        for byte in bytes {
            let escape =
                if is_octal { alloc::format!("\\{byte:03o}") } else { alloc::format!("\\x{byte:02x}") };
            out.extend_from_slice(escape.as_bytes());
        }
        out.extend_from_slice(rest);
        if !out.get(start..).is_some_and(|field| dialect.is_marker(field)) {
            break;
        }
    }
    Ok(())
}

impl fmt::Write for TextField<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put_str(text);
        Ok(())
    }
}
