//! The secrets of the targets, and functions that search for a secret.

/// The password of the user. Other data of a target must not contain this text; otherwise a search would find the text in these data.
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

/// Whether the input itself contains a secret. libFuzzer observes comparisons, and so can put the secrets into its inputs. With such an
/// input, the peer of the tested state machine would know the secrets.
pub(crate) fn is_known(input: &[u8]) -> bool {
    [PASSWORD, TOKEN].iter().any(|secret| contains(input, secret.as_bytes()))
}
