//! By which methods a server may authenticate the user.

use std::fmt;
use std::str::FromStr;

use crate::config::error::ConfigError;
use crate::config::words::words;

words! {
    /// A way in which a server may authenticate the user.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    AuthMethod, "require_auth":
        /// The server asks for nothing, as with `trust`, `peer` or a TLS certificate.
        None = "none",
        /// The password in clear text.
        Password = "password",
        /// The MD5 response.
        Md5 = "md5",
        /// GSSAPI, as with Kerberos.
        Gss = "gss",
        /// SSPI of Windows.
        Sspi = "sspi",
        /// SCRAM-SHA-256, with channel binding or without.
        ScramSha256 = "scram-sha-256",
        /// A bearer token (OAUTHBEARER).
        OAuth = "oauth",
}

/// The methods by which the server may authenticate the user; by default any.
///
/// It is read from a list as in libpq's
/// [`require_auth`](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH): `scram-sha-256,gss` allows
/// those two and nothing else, `!password,!md5` allows all but those.
///
/// ```
/// use pg_auth::config::{AuthMethod, RequireAuth};
///
/// let required: RequireAuth = "!password,!none".parse()?;
/// assert!(required.allows(AuthMethod::ScramSha256));
/// assert!(!required.allows(AuthMethod::None));
/// # Ok::<(), pg_auth::error::ConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequireAuth {
    /// One bit for each method, in the order of its variants.
    allowed: u8,
}

impl RequireAuth {
    /// Any method.
    pub const ANY: Self = Self { allowed: u8::MAX };

    /// These methods and no other.
    pub fn only(methods: &[AuthMethod]) -> Self {
        Self { allowed: methods.iter().fold(0, |bits, &method| bits | bit(method)) }
    }

    /// Every method but these.
    pub fn except(methods: &[AuthMethod]) -> Self {
        Self { allowed: !Self::only(methods).allowed }
    }

    /// Whether the server may authenticate the user in this way.
    pub fn allows(self, method: AuthMethod) -> bool {
        self.allowed & bit(method) != 0
    }
}

fn bit(method: AuthMethod) -> u8 {
    match method {
        AuthMethod::None => 1,
        AuthMethod::Password => 2,
        AuthMethod::Md5 => 4,
        AuthMethod::Gss => 8,
        AuthMethod::Sspi => 16,
        AuthMethod::ScramSha256 => 32,
        AuthMethod::OAuth => 64,
    }
}

impl Default for RequireAuth {
    fn default() -> Self {
        Self::ANY
    }
}

/// Nothing in the list allows any method. A method may stand in it once, and either all are negated or none is.
impl FromStr for RequireAuth {
    type Err = ConfigError;

    fn from_str(list: &str) -> Result<Self, ConfigError> {
        if list.is_empty() {
            return Ok(Self::ANY);
        }
        let negated = list.starts_with('!');
        let mut methods = Vec::new();
        for word in list.split(',') {
            let word = if negated { word.strip_prefix('!') } else { Some(word) };
            let method: AuthMethod = word.ok_or(ConfigError::InvalidValue("require_auth"))?.parse()?;
            if methods.contains(&method) {
                return Err(ConfigError::InvalidValue("require_auth"));
            }
            methods.push(method);
        }
        Ok(if negated { Self::except(&methods) } else { Self::only(&methods) })
    }
}

impl fmt::Debug for RequireAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = AuthMethod::ALL.iter().filter(|&&method| self.allows(method));
        f.debug_set().entries(allowed).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_allows_what_it_names_or_what_it_does_not_negate() {
        let two = RequireAuth::only(&[AuthMethod::ScramSha256, AuthMethod::Gss]);
        assert_eq!("scram-sha-256,gss".parse(), Ok(two));
        assert_eq!(
            "!password,!md5".parse(),
            Ok(RequireAuth::except(&[AuthMethod::Md5, AuthMethod::Password]))
        );
        assert_eq!("".parse(), Ok(RequireAuth::ANY));
        assert_eq!(format!("{two:?}"), "{Gss, ScramSha256}");
    }

    #[test]
    fn a_list_that_libpq_refuses_is_refused() {
        for bad in [
            "scram",
            "md5,!gss",
            "!gss,md5",
            "md5,md5",
            "!md5,!md5",
            "md5,",
            ",",
            "!",
            "!!md5",
            "MD5",
            " md5",
        ] {
            assert_eq!(bad.parse::<RequireAuth>(), Err(ConfigError::InvalidValue("require_auth")), "{bad:?}");
        }
    }
}
