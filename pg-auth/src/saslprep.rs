//! SASLprep ([RFC 4013](https://www.rfc-editor.org/rfc/rfc4013)) of passwords, as PostgreSQL implements it.
//!
//! The server and libpq deviate from the RFC in two ways. A client must deviate in the same ways; otherwise the login fails. The two
//! deviations:
//! - A password that is not UTF-8, or has a prohibited character, is not rejected: the raw bytes of the password are used.
//! - Prohibited, unassigned and bidirectional characters are looked for after mapping but *before* normalisation; the RFC looks for them
//!   after normalisation. Example: U+1F100 was unassigned in Unicode 3.2. A password with this character stays raw, although the normal
//!   form `0.` would be valid.

use stringprep::tables;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::secret::Password;

/// Prepares a password for SCRAM: maps and normalises the password. If the rules of SASLprep reject the password, returns the bytes of the
/// password unchanged.
///
/// ```
/// use pg_auth::{saslprep::saslprep, secret::Password};
///
/// assert_eq!(saslprep(&Password::from("plain")), Password::from("plain"));
/// assert_eq!(saslprep(&Password::from("I\u{ad}X")), Password::from("IX"));
/// assert_eq!(saslprep(&Password::from(vec![0xff])), Password::from(vec![0xff]));
/// ```
pub fn saslprep(password: &Password) -> Password {
    prepared(password.as_bytes()).unwrap_or_else(|| password.clone())
}

/// The prepared password, or `None` if the raw bytes are to be used.
fn prepared(password: &[u8]) -> Option<Password> {
    // An ASCII password always stays raw. SASLprep neither maps nor normalises ASCII characters. A control character is prohibited, and a
    // password with a prohibited character stays raw.
    if password.is_ascii() {
        return None;
    }
    let text = str::from_utf8(password).ok()?;

    // Mapping never lengthens a text, so the buffer is never reallocated and leaves no copy in freed memory.
    let mut mapped = Zeroizing::new(String::with_capacity(text.len()));
    mapped.extend(text.chars().filter_map(map));
    if mapped.is_empty() || mapped.contains(prohibited) || breaks_bidi(&mapped) {
        return None;
    }

    // Count the bytes first, so that the buffer is never reallocated: the normal form may be many times as long as the mapped text.
    let length = mapped.nfkc().map(char::len_utf8).sum();
    let mut normal = String::with_capacity(length);
    normal.extend(mapped.nfkc());
    Some(normal.into())
}

/// Maps a character to a space, to nothing, or to itself. RFC 4013, 2.1: "non-ASCII space characters that can be mapped to SPACE, […] the
/// 'commonly mapped to nothing' characters". U+200B is in both tables; PostgreSQL looks in the table of spaces first.
fn map(c: char) -> Option<char> {
    if tables::non_ascii_space_character(c) {
        Some(' ')
    } else if tables::commonly_mapped_to_nothing(c) {
        None
    } else {
        Some(c)
    }
}

/// Whether the character is prohibited or unassigned. RFC 4013, 2.3 and 2.5: tables C.1.2 to C.9 and A.1.
fn prohibited(c: char) -> bool {
    tables::non_ascii_space_character(c)
        || tables::ascii_control_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::surrogate_code(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
        || tables::unassigned_code_point(c)
}

/// Whether the text breaks the rules for right-to-left characters (RandALCat). RFC 3454, 6: "If a string contains any RandALCat character,
/// the string MUST NOT contain any LCat character", and "a RandALCat character MUST be the first character of the string, and […] the
/// last".
fn breaks_bidi(text: &str) -> bool {
    text.contains(tables::bidi_r_or_al)
        && (text.contains(tables::bidi_l)
            || !text.starts_with(tables::bidi_r_or_al)
            || !text.ends_with(tables::bidi_r_or_al))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(password: &str, expected: &str) {
        assert_eq!(saslprep(&password.into()).as_bytes(), expected.as_bytes(), "{password:?}");
    }

    #[test]
    fn an_ascii_password_is_unchanged() {
        becomes("", "");
        becomes("user=PenciL 0%", "user=PenciL 0%");
        becomes("tab\tand\u{7f}", "tab\tand\u{7f}");
    }

    #[test]
    fn the_examples_of_rfc_4013_are_prepared_or_left_raw() {
        becomes("I\u{ad}X", "IX");
        becomes("user", "user");
        becomes("\u{aa}", "a");
        becomes("\u{2168}", "IX");
        becomes("\u{7}", "\u{7}"); // prohibited: raw
        becomes("\u{627}\u{31}", "\u{627}\u{31}"); // breaks the bidirectional rule: raw
    }

    #[test]
    fn other_spaces_become_ascii_spaces_and_some_characters_are_removed() {
        becomes("a\u{a0}b", "a b");
        becomes("a\u{3000}\u{200b}b", "a  b");
        becomes("a\u{200d}\u{feff}b", "ab");
    }

    #[test]
    fn characters_are_normalised() {
        becomes("e\u{301}", "\u{e9}");
        becomes("\u{fb01}ne\u{2082}", "fine2");
        // The longest normal form: one character becomes eighteen.
        becomes(
            "\u{fdfa}",
            "\u{635}\u{644}\u{649} \u{627}\u{644}\u{644}\u{647} \u{639}\u{644}\u{64a}\u{647} \u{648}\u{633}\u{644}\u{645}",
        );
    }

    #[test]
    fn a_prohibited_character_leaves_the_password_raw() {
        becomes("\u{a0}\u{e000}", "\u{a0}\u{e000}"); // private use
        becomes("\u{2168}\u{80}", "\u{2168}\u{80}"); // control
        becomes("\u{2168}\u{200e}", "\u{2168}\u{200e}"); // changes display
        becomes("\u{2168}\u{221}", "\u{2168}\u{221}"); // unassigned in Unicode 3.2
        becomes("\u{2168}\n", "\u{2168}\n");
    }

    #[test]
    fn a_password_that_would_become_empty_stays_raw() {
        becomes("\u{ad}\u{feff}", "\u{ad}\u{feff}");
    }

    #[test]
    fn prohibited_characters_are_looked_for_before_normalisation() {
        becomes("\u{1f100}", "\u{1f100}"); // would normalise to "0."
        becomes("\u{32ff}", "\u{32ff}"); // the era name Reiwa, of 2019
    }

    #[test]
    fn a_password_that_is_not_utf_8_stays_raw() {
        let latin1 = b"caf\xe9 \xa0".to_vec();
        assert_eq!(saslprep(&latin1.clone().into()).as_bytes(), latin1);
        let cut = "\u{2168}".as_bytes().get(..2).expect("the character has three bytes").to_vec();
        assert_eq!(saslprep(&cut.clone().into()).as_bytes(), cut);
    }
}
