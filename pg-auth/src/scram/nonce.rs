//! The nonces of a SCRAM exchange.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::attributes::is_nonce;
use crate::error::ConfigError;

/// The nonce of one side: printable ASCII without a comma, unpredictable and never used twice. A nonce is not secret, because it is sent
/// unencrypted.
///
/// ```
/// use pg_auth::scram::Nonce;
///
/// // On a platform without an operating system:
/// let entropy = [7; 18]; // eighteen bytes from a generator that you trust
/// assert_eq!(Nonce::from_entropy(entropy).as_str(), "BwcHBwcHBwcHBwcHBwcHBwcH");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// Makes a nonce from 18 random bytes of the operating system, as PostgreSQL does.
    ///
    /// # Errors
    /// [`AuthError::Entropy`](crate::error::AuthError::Entropy) if the operating system returns no random bytes.
    #[cfg(feature = "getrandom")]
    pub fn random() -> Result<Self, crate::error::AuthError> {
        let mut entropy = [0; 18];
        getrandom::fill(&mut entropy).map_err(|_| crate::error::AuthError::Entropy)?;
        Ok(Self::from_entropy(entropy))
    }

    /// A random nonce, or [`AuthError::Entropy`](crate::error::AuthError::Entropy) without the feature `getrandom`.
    pub(crate) fn fresh() -> Result<Self, crate::error::AuthError> {
        #[cfg(feature = "getrandom")]
        return Self::random();
        #[cfg(not(feature = "getrandom"))]
        return Err(crate::error::AuthError::Entropy);
    }

    /// Makes a nonce of 24 base64 characters from random bytes that the caller supplies. The same bytes must never be used twice.
    pub fn from_entropy(entropy: [u8; 18]) -> Self {
        Self(STANDARD.encode(entropy))
    }

    /// Returns the characters of the nonce.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes a nonce from the characters of a string.
impl FromStr for Nonce {
    type Err = ConfigError;

    fn from_str(nonce: &str) -> Result<Self, ConfigError> {
        if is_nonce(nonce.as_bytes()) {
            Ok(Self(nonce.into()))
        } else {
            Err(ConfigError::InvalidValue("nonce"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_printable_and_has_no_comma() {
        for bad in ["", "a,b", "a b", "a\0", "\u{7f}", "\u{e9}"] {
            assert_eq!(bad.parse::<Nonce>(), Err(ConfigError::InvalidValue("nonce")), "{bad:?}");
        }
        assert_eq!("a=b~!".parse::<Nonce>().expect("a printable nonce").as_str(), "a=b~!");
    }

    #[test]
    #[cfg(feature = "getrandom")]
    fn random_nonces_differ() {
        let nonce = Nonce::random().expect("the system has entropy");
        assert_eq!(nonce.as_str().len(), 24);
        assert_ne!(nonce, Nonce::random().expect("the system has entropy"));
    }
}
