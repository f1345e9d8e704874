//! The secrets of the targets, and a search for them.

/// The password of the user. No part of it appears in other data of a target.
pub(crate) const PASSWORD: &str = "Xq7-hush-Zw9";

/// The user's bearer token.
pub(crate) const TOKEN: &str = "Tk5-quiet-Vb3";

/// Whether `haystack` contains `needle`.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Checks that a text contains neither the password nor the token.
#[track_caller]
pub(crate) fn assert_hidden(text: &str) {
    for secret in [PASSWORD, TOKEN] {
        assert!(!text.contains(secret), "the text contains a secret: {text}");
    }
}
