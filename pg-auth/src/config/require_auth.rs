//! The setting `require_auth`: the methods by which a server may authenticate the user.

use std::fmt;
use std::str::FromStr;

use crate::config::error::ConfigError;
use crate::config::words::words;

words! {
    /// A method by which a server may authenticate the user.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    AuthMethod, "require_auth":
        /// The server asks for no credentials, as with `trust`, `peer` or a TLS certificate.
        None = "none",
        /// The client sends the password in clear text.
        Password = "password",
        /// The client sends a hash of the password, computed with MD5.
        Md5 = "md5",
        /// GSSAPI, as with Kerberos.
        Gss = "gss",
        /// SSPI, the counterpart of GSSAPI on Windows.
        Sspi = "sspi",
        /// SCRAM-SHA-256, with channel binding or without.
        ScramSha256 = "scram-sha-256",
        /// The client sends a bearer token (OAUTHBEARER).
        OAuth = "oauth",
}

/// The methods by which the server may authenticate the user. Default: every method.
///
/// [`str::parse`] reads a list as in libpq's
/// [`require_auth`](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH): `scram-sha-256,gss` allows only
/// these two methods; `!password,!md5` allows all methods except these two.
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
    /// The allowed methods, one bit for each: see [`bit`].
    allowed: u8,
}

impl RequireAuth {
    /// Allows every authentication method.
    pub const ANY: Self = Self { allowed: u8::MAX };

    /// Allows only these authentication methods.
    pub fn only(methods: &[AuthMethod]) -> Self {
        Self { allowed: methods.iter().fold(0, |bits, &method| bits | bit(method)) }
    }

    /// Allows every authentication method except these methods.
    pub fn except(methods: &[AuthMethod]) -> Self {
        Self { allowed: !Self::only(methods).allowed }
    }

    /// Whether the server may authenticate the user by this method.
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

/// Reads a list of methods with commas between them. An empty list allows every method. Each method may occur once. Either every method has
/// a `!` before it, or none has.
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
    fn a_list_allows_the_methods_it_names_or_all_but_the_negated_methods() {
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
    fn a_list_that_libpq_rejects_is_rejected() {
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
