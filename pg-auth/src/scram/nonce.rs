//! The random part of an exchange.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::attributes::is_nonce;
use crate::error::ConfigError;

/// One side's nonce: printable ASCII without a comma, unpredictable and never used twice. It is sent as it is, so it is no secret.
///
/// ```
/// use pg_auth::scram::Nonce;
///
/// // Where there is no operating system to ask:
/// let entropy = [7; 18]; // eighteen bytes from a generator you trust
/// assert_eq!(Nonce::from_entropy(entropy).as_str(), "BwcHBwcHBwcHBwcHBwcHBwcH");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// Makes a nonce of 18 bytes from the operating system, as PostgreSQL does.
    ///
    /// # Errors
    /// [`AuthError::Entropy`](crate::error::AuthError::Entropy) when the operating system returns no random bytes.
    #[cfg(feature = "getrandom")]
    pub fn random() -> Result<Self, crate::error::AuthError> {
        let mut entropy = [0; 18];
        getrandom::fill(&mut entropy).map_err(|_| crate::error::AuthError::Entropy)?;
        Ok(Self::from_entropy(entropy))
    }

    /// A random one if the operating system may be asked, or else the error that says so.
    pub(crate) fn fresh() -> Result<Self, crate::error::AuthError> {
        #[cfg(feature = "getrandom")]
        return Self::random();
        #[cfg(not(feature = "getrandom"))]
        return Err(crate::error::AuthError::Entropy);
    }

    /// Makes a nonce of random bytes from elsewhere: 24 characters of base64. It may never be given the same bytes again.
    pub fn from_entropy(entropy: [u8; 18]) -> Self {
        Self(STANDARD.encode(entropy))
    }

    /// The characters as they are sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes the characters as they are, for a nonce made elsewhere.
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
        assert_eq!("a=b~!".parse::<Nonce>().expect("it is printable").as_str(), "a=b~!");
    }

    #[test]
    #[cfg(feature = "getrandom")]
    fn random_nonces_differ() {
        let nonce = Nonce::random().expect("the system has entropy");
        assert_eq!(nonce.as_str().len(), 24);
        assert_ne!(nonce, Nonce::random().expect("the system has entropy"));
    }
}
