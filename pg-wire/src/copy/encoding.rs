//! The encoding of the text in a COPY.

use alloc::string::String;

/// Names of encodings in which a byte below 128 can be a part of a longer character. So the delimiters of a row cannot be found without
/// decoding the characters. PostgreSQL accepts these encodings as the encoding of a client or a file, but not as the encoding of a
/// database.
const EMBEDDING: [&str; 17] = [
    "big5",
    "gb18030",
    "gbk",
    "johab",
    "mskanji",
    "shiftjis",
    "shiftjis2004",
    "sjis",
    "uhc",
    "win932",
    "win936",
    "win949",
    "win950",
    "windows932",
    "windows936",
    "windows949",
    "windows950",
];

/// Whether an encoding is UTF-8.
pub(super) fn is_utf8(name: &str) -> bool {
    matches!(&plain(name)[..], "utf8" | "unicode")
}

/// Whether a byte below 128 is always a whole ASCII character.
pub(super) fn is_ascii_safe(name: &str) -> bool {
    !EMBEDDING.contains(&&plain(name)[..])
}

/// Returns the name in the form in which the server compares names: lower-case letters and digits.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_on_the_server() {
        for name in ["UTF8", "utf-8", "Unicode", "'UTF_8'"] {
            assert!(is_utf8(name) && is_ascii_safe(name), "{name}");
        }
        for name in ["LATIN1", "SQL_ASCII", "EUC_JP", "WIN1252", ""] {
            assert!(!is_utf8(name) && is_ascii_safe(name), "{name}");
        }
        for name in ["SJIS", "Shift_JIS_2004", "GB18030", "win-950", "BIG5"] {
            assert!(!is_utf8(name) && !is_ascii_safe(name), "{name}");
        }
    }
}
