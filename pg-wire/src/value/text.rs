//! The text form of the built-in types.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use crate::param::{bindable::Bindable, bound::Bound};

/// A parameter that is sent in text format instead of binary format.
///
/// ```
/// use pg_wire::{Bindable, value::AsText};
///
/// assert_eq!(AsText::from(-1.5f64).as_str(), "-1.5e0");
/// assert_eq!(AsText::from(&b"\xff"[..]).as_str(), "\\xff");
/// assert_eq!(AsText::from(true).bound().as_bytes(), Some(&b"t"[..]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsText(String);

impl AsText {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Bindable for AsText {
    fn bound(&self) -> Bound<'_> {
        self.0.bound()
    }
}

macro_rules! display {
    ($($type:ty)*) => {
        $(impl From<$type> for AsText {
            fn from(value: $type) -> Self {
                Self(value.to_string())
            }
        })*
    };
}

display!(i16 i32 i64 u32 &str);

#[cfg(feature = "uuid")]
display!(uuid::Uuid);

macro_rules! float {
    ($($type:ty)*) => {
        $(impl From<$type> for AsText {
            /// Creates the shortest text that is read back as the same number, written with an exponent: `-1.5e0`.
            fn from(value: $type) -> Self {
                Self(format!("{value:e}"))
            }
        })*
    };
}

float!(f32 f64);

impl From<bool> for AsText {
    fn from(value: bool) -> Self {
        Self(if value { "t" } else { "f" }.into())
    }
}

impl From<String> for AsText {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl From<&[u8]> for AsText {
    /// Creates the hexadecimal form of a `bytea`: `\x00ff`.
    fn from(value: &[u8]) -> Self {
        let mut text = String::with_capacity(2 + 2 * value.len());
        text.push_str("\\x");
        for byte in value {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }
}

impl From<Vec<u8>> for AsText {
    fn from(value: Vec<u8>) -> Self {
        Self::from(&value[..])
    }
}

/// Decodes a `bytea` in text form: `\x` and hexadecimal digits, or the older escape form.
///
/// [Both forms](https://www.postgresql.org/docs/current/datatype-binary.html)
pub(super) fn bytea(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8, radix| char::from(byte).to_digit(radix).and_then(|digit| u8::try_from(digit).ok());
    if let Some(digits) = text.strip_prefix(b"\\x") {
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        return pairs.iter().map(|[high, low]| Some(digit(*high, 16)? << 4 | digit(*low, 16)?)).collect();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                bytes.push(b'\\');
                tail
            }
            (b'\\', [a @ b'0'..=b'3', b, c, tail @ ..]) => {
                bytes.push(digit(*a, 8)? << 6 | digit(*b, 8)? << 3 | digit(*c, 8)?);
                tail
            }
            (b'\\', _) => return None,
            (byte, tail) => {
                bytes.push(*byte);
                tail
            }
        };
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_text_forms_of_bytea_are_decoded() {
        assert_eq!(bytea(b"\\x00fF"), Some(Vec::from(*b"\x00\xff")));
        assert_eq!(bytea(b"\\x"), Some(Vec::new()));
        assert_eq!(bytea(b"a\\\\b\\000\\377"), Some(Vec::from(*b"a\\b\0\xff")));
        for wrong in [&b"\\x0"[..], b"\\xzz", b"\\", b"\\1", b"\\400", b"\\12", b"\\089"] {
            assert_eq!(bytea(wrong), None, "{wrong:?}");
        }
    }
}
