//! Strings of the protocol.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;
use core::str::Utf8Error;

use ascii::AsciiStr;

/// Returns the bytes as a string.
///
/// Most strings are ASCII. For these strings, the check is twice as fast as [`core::str::from_utf8`], which checks short and unaligned
/// strings byte by byte. For a string with other characters, the check for ASCII is added to the time (NOTES.md, "Text").
#[inline(always)]
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Utf8Error> {
    match AsciiStr::from_ascii(bytes) {
        Ok(text) => Ok(text.as_str()),
        Err(_) => core::str::from_utf8(bytes),
    }
}

/// A string of the protocol: any bytes except NUL, in the session's client encoding.
///
/// A received string is not always UTF-8. For example, before `client_encoding` is set, the texts of errors are in the encoding of the
/// server. So a `Text` holds the bytes, and decodes them on demand.
///
/// To send a string, create a `Text` from a `&str` or a `&[u8]`. A message with a string that contains a NUL cannot be encoded.
///
/// ```
/// use pg_wire::Text;
///
/// let name = Text::from("portal");
/// assert_eq!(name, "portal");
/// assert_eq!(name.to_str(), Ok("portal"));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// The empty string, which is the name of the unnamed statement and of the unnamed portal.
    pub const EMPTY: Text<'static> = Text(b"");

    /// Creates a string from received bytes. Precondition: the bytes contain no NUL.
    #[inline]
    pub(crate) fn without_nul(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, without the terminating NUL.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Returns the string as UTF-8.
    ///
    /// # Errors
    /// When the bytes are not UTF-8.
    pub fn to_str(&self) -> Result<&'a str, Utf8Error> {
        utf8(self.0)
    }

    /// Returns the string as UTF-8, with U+FFFD for invalid bytes.
    pub fn to_string_lossy(&self) -> Cow<'a, str> {
        // For valid strings, `utf8` is several times as fast as `from_utf8_lossy`, because `utf8` checks several ASCII characters at once.
        self.to_str().map_or_else(|_| String::from_utf8_lossy(self.0), Cow::Borrowed)
    }

    /// Whether the string is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the length in bytes, without the terminating NUL.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl<'a> From<&'a String> for Text<'a> {
    #[inline]
    fn from(text: &'a String) -> Self {
        Self(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Text<'a> {
    #[inline]
    fn from(text: &'a [u8]) -> Self {
        Self(text)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Text<'a> {
    #[inline]
    fn from(text: &'a [u8; N]) -> Self {
        Self(text)
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Display for Text<'_> {
    /// Prints the string, with U+FFFD for bytes that are not UTF-8.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_string_lossy())
    }
}

impl fmt::Debug for Text<'_> {
    /// Prints the string in quotes, with an escape for every byte that is not printable ASCII.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn bytes_are_utf8_if_the_standard_library_accepts_the_bytes() {
        let texts = ["", "a", "~\u{7f}", "é", "€", "🦀", "ab", "e\u{301}"].map(str::as_bytes);
        let invalid =
            [&b"\x80"[..], b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf0\x9f\xa6", b"\xf5\x80\x80\x80"];
        // For a long string, `utf8` checks several bytes at once. So each text is placed at each index of a long string.
        for part in texts.into_iter().chain(invalid) {
            for before in 0..70 {
                let bytes = [&b"x".repeat(before), part, b"yz"].concat();
                assert_eq!(utf8(&bytes), core::str::from_utf8(&bytes), "{bytes:?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_kept_and_printed_as_replacement_characters() {
        let text = Text::from(b"caf\xe9");
        assert!(text.to_str().is_err());
        assert_eq!(text.as_bytes(), b"caf\xe9");
        assert_eq!(text.to_string_lossy(), "caf\u{fffd}");
        assert_eq!(format!("{text:?}"), r#""caf\xe9""#);
    }
}
