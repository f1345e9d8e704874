//! A cursor over the text form of a value.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::str::FromStr;

use crate::basic::text::utf8;
use crate::value::Mismatch;

/// The part of a text that has not been read. Each method that reads returns [`Mismatch::Malformed`] if the text does not continue as
/// expected.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'t>(pub(super) &'t [u8]);

impl<'t> Cursor<'t> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Reads `word` if the text continues with `word`. Returns true if `word` was read.
    pub(super) fn skip(&mut self, word: &[u8]) -> bool {
        match self.0.strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(&mut self, word: &[u8]) -> Result<(), Mismatch> {
        if self.skip(word) { Ok(()) } else { Err(Mismatch::Malformed) }
    }

    /// Reads one of two bytes. Returns whether the byte is the first of the two.
    pub(super) fn either(&mut self, first: u8, second: u8) -> Result<bool, Mismatch> {
        let is_first = self.skip(&[first]);
        if !is_first {
            self.expect(&[second])?;
        }
        Ok(is_first)
    }

    pub(super) fn take_while(&mut self, accepts: impl Fn(u8) -> bool) -> &'t [u8] {
        let end = self.0.iter().position(|byte| !accepts(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at_checked(end).unwrap_or((self.0, &[]));
        self.0 = rest;
        taken
    }

    pub(super) fn digits(&mut self) -> &'t [u8] {
        self.take_while(|byte| byte.is_ascii_digit())
    }

    /// Reads decimal digits. A minus may precede the digits if `T` is signed.
    pub(super) fn integer<T: FromStr>(&mut self) -> Result<T, Mismatch> {
        let text = self.0;
        self.skip(b"-");
        self.digits();
        let length = text.len() - self.0.len();
        parse(text.get(..length).unwrap_or_default())
    }

    /// Reads a number below 100 of exactly two digits.
    pub(super) fn two_digits(&mut self) -> Result<u8, Mismatch> {
        let (&[tens, ones], rest) = self.0.split_first_chunk().ok_or(Mismatch::Malformed)?;
        if !(tens.is_ascii_digit() && ones.is_ascii_digit()) {
            return Err(Mismatch::Malformed);
        }
        self.0 = rest;
        Ok(10 * (tens - b'0') + (ones - b'0'))
    }

    /// Reads a byte of two hexadecimal digits.
    pub(super) fn hex_byte(&mut self) -> Result<u8, Mismatch> {
        let (pair, rest) = self.0.split_first_chunk::<2>().ok_or(Mismatch::Malformed)?;
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        let byte = high.zip(low).map(|(high, low)| high << 4 | low).ok_or(Mismatch::Malformed)?;
        self.0 = rest;
        u8::try_from(byte).map_err(|_| Mismatch::Malformed)
    }

    /// Reads a string in quotes. A backslash escapes the next byte. If `is_doubled`, two quotes in the string stand for one quote.
    pub(super) fn quoted(&mut self, quote: u8, is_doubled: bool) -> Result<Cow<'t, [u8]>, Mismatch> {
        let is_plain = |byte| byte != quote && byte != b'\\';
        self.expect(&[quote])?;
        let plain = self.take_while(is_plain);
        let mut unescaped = Vec::new();
        loop {
            let escaped = match *self.0 {
                [b'\\', escaped, ..] => escaped,
                [first, second, ..] if is_doubled && first == quote && second == quote => quote,
                _ => break,
            };
            if unescaped.is_empty() {
                unescaped.extend(plain);
            }
            self.0 = self.0.get(2..).unwrap_or_default();
            unescaped.push(escaped);
            unescaped.extend(self.take_while(is_plain));
        }
        self.expect(&[quote])?;
        Ok(if unescaped.is_empty() { Cow::Borrowed(plain) } else { Cow::Owned(unescaped) })
    }

    /// Reads all text that is left.
    pub(super) fn rest(&mut self) -> &'t [u8] {
        core::mem::take(&mut self.0)
    }

    pub(super) fn end(&self) -> Result<(), Mismatch> {
        if self.0.is_empty() { Ok(()) } else { Err(Mismatch::Malformed) }
    }
}

/// Parses a whole text by `FromStr`.
pub(super) fn parse<T: FromStr>(text: &[u8]) -> Result<T, Mismatch> {
    utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Mismatch::Malformed)
}
