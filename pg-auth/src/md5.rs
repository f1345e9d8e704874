//! The MD5 response, for servers that still store passwords as MD5 hashes.
//!
//! PostgreSQL 18 calls MD5 passwords deprecated: the stored hash is enough to log in, and an attacker who records one login can guess the
//! password fast. [PostgreSQL manual](https://www.postgresql.org/docs/current/auth-password.html)

use std::fmt;
use std::str::FromStr;

use ::md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{AuthError, ConfigError};
use crate::secret::{Password, fill_random, wiping_stack};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The answer to AuthenticationMD5Password: `md5` and 32 hexadecimal digits, to be sent as a PasswordMessage.
///
/// The response is `"md5" + hex(md5(hex(md5(password + user)) + salt))`. The password is used unchanged; SASLprep is for SCRAM only.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-AUTHENTICATIONMD5PASSWORD)
///
/// ```
/// let response = pg_auth::md5::response(b"alice", &"secret".into(), [1, 2, 3, 4]);
/// assert_eq!(response.as_bytes(), b"md598a0412b9c31436fc53776e863350083");
/// ```
pub fn response(user: &[u8], password: &Password, salt: [u8; 4]) -> Password {
    Verifier::new(user, password).response(salt)
}

/// Makes a salt for AuthenticationMD5Password: 32 random bits from the operating system.
///
/// # Errors
/// [`AuthError::Entropy`] if the operating system returns no random bytes, or if the feature `getrandom` is off.
pub(crate) fn fresh_salt() -> Result<[u8; 4], AuthError> {
    let mut salt = [0; 4];
    fill_random(&mut salt).ok_or(AuthError::Entropy)?;
    Ok(salt)
}

/// A stored password, as in `pg_authid.rolpassword`: `md5` and the 32 lower-case hexadecimal digits of `md5(password + user)`.
///
/// Read a stored password with [`str::parse`], write it with [`to_string`](ToString::to_string). The stored form is enough to log in as the
/// user, so `Debug` does not show this form.
///
/// ```
/// use pg_auth::md5::Verifier;
///
/// let stored: Verifier = "md54a0a68b43b6cd5cf266fa02f196e2371".parse()?;
/// assert!(stored.accepts(b"md598a0412b9c31436fc53776e863350083", [1, 2, 3, 4]));
/// # Ok::<(), pg_auth::error::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Verifier(Hex);

/// 32 digits on the heap: moving the value moves only a pointer, and leaves no copy of the digits on the stack.
type Hex = Box<Zeroizing<[u8; 32]>>;

impl Verifier {
    /// Makes the stored form of this user's password.
    pub fn new(user: &[u8], password: &Password) -> Self {
        Self(hex_md5(&[password.as_bytes(), user]))
    }

    /// Computes the response of 35 bytes with which a client proves that it knows this password. `salt` is the salt in the server's
    /// AuthenticationMD5Password.
    pub fn response(&self, salt: [u8; 4]) -> Password {
        let digest = hex_md5(&[self.0.as_slice(), &salt]);
        [b"md5", digest.as_slice()].concat().into()
    }

    /// Whether a client's response to a salt is correct. The duration of this check depends only on the length of the response.
    pub fn accepts(&self, response: &[u8], salt: [u8; 4]) -> bool {
        self.response(salt) == *response
    }

    /// Whether a password that arrived in clear text is the stored password of this user. The duration of the comparison does not depend on
    /// the stored form.
    pub fn matches(&self, user: &[u8], password: &Password) -> bool {
        Self::new(user, password).0.ct_eq(self.0.as_slice()).into()
    }
}

impl FromStr for Verifier {
    type Err = ConfigError;

    fn from_str(stored: &str) -> Result<Self, ConfigError> {
        stored
            .strip_prefix("md5")
            .and_then(|digits| digits.as_bytes().try_into().ok())
            .filter(|digits: &[u8; 32]| digits.iter().all(|digit| DIGITS.contains(digit)))
            .map(|digits| Self(Hex::new(Zeroizing::new(digits))))
            .ok_or(ConfigError::StoredPassword("md5<32 hexadecimal digits>"))
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("md5")?;
        f.write_str(str::from_utf8(self.0.as_slice()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(***)")
    }
}

/// The MD5 digest of the concatenated parts, in lower-case hexadecimal digits.
fn hex_md5(parts: &[&[u8]]) -> Hex {
    let mut hex = Hex::new(Zeroizing::new([0; 32]));
    wiping_stack(|| {
        let mut hash = Md5::new();
        for part in parts {
            hash.update(part);
        }
        for (pair, byte) in hex.chunks_exact_mut(2).zip(hash.finalize()) {
            let digits = [byte >> 4, byte & 0xf];
            pair.iter_mut()
                .zip(digits)
                .for_each(|(out, digit)| *out = if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
        }
    });
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    /// User, password, salt, stored form and response, computed by Python's `hashlib`.
    type Golden = (&'static [u8], &'static [u8], [u8; 4], &'static str, &'static str);
    const GOLDEN: [Golden; 3] = [
        (
            b"alice",
            b"secret",
            [1, 2, 3, 4],
            "md54a0a68b43b6cd5cf266fa02f196e2371",
            "md598a0412b9c31436fc53776e863350083",
        ),
        (
            "zo\u{eb}".as_bytes(),
            b"p\xe4ss",
            *b"\0\xff,\n",
            "md52ed8e75458ef7c811516154b67784d5f",
            "md5ea4c10a1bffd1332baa83f9e2a2b638b",
        ),
        (
            b"md5_user",
            b"",
            *b"salt",
            "md5f93d72dd408c298dd8cb943ecd19b542",
            "md5a6edc6f32bc7c21826272a04cf602ec1",
        ),
    ];

    #[test]
    fn responses_and_stored_forms_agree_with_hashlib() {
        for (user, password, salt, stored, expected) in GOLDEN {
            let password = Password::from(password);
            assert_eq!(response(user, &password, salt).as_bytes(), expected.as_bytes());
            assert_eq!(Verifier::new(user, &password).to_string(), stored);
            let parsed: Verifier = stored.parse().expect("a stored form");
            assert_eq!(parsed.to_string(), stored);
            assert!(parsed.accepts(expected.as_bytes(), salt));
            assert!(parsed.matches(user, &password));
        }
    }

    #[test]
    fn a_wrong_response_is_rejected() {
        for (user, password, salt, stored, expected) in GOLDEN {
            let parsed: Verifier = stored.parse().expect("a stored form");
            for at in 0..expected.len() {
                assert!(!parsed.accepts(&expected.as_bytes()[..at], salt));
                let mut wrong = expected.as_bytes().to_vec();
                wrong[at] ^= 1;
                assert!(!parsed.accepts(&wrong, salt));
            }
            assert!(!parsed.accepts(&[expected.as_bytes(), b"\0"].concat(), salt));
            assert!(!parsed.accepts(expected.as_bytes(), [salt[0] ^ 1, salt[1], salt[2], salt[3]]));
            assert!(!parsed.accepts(stored.as_bytes(), salt));
            assert!(!parsed.matches(b"bob", &Password::from(password)));
            assert!(!parsed.matches(user, &Password::from("wrong")));
        }
    }

    #[test]
    fn a_stored_password_of_another_form_is_rejected() {
        for bad in [
            "",
            "md5",
            "4a0a68b43b6cd5cf266fa02f196e2371",
            "md54a0a68b43b6cd5cf266fa02f196e237",
            "md54a0a68b43b6cd5cf266fa02f196e23711",
            "md54A0A68B43B6CD5CF266FA02F196E2371",
            "MD54a0a68b43b6cd5cf266fa02f196e2371",
            "md54a0a68b43b6cd5cf266fa02f196e237g",
        ] {
            assert!(bad.parse::<Verifier>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn debug_output_hides_a_stored_password() {
        assert_eq!(format!("{:?}", Verifier::new(b"alice", &"secret".into())), "Verifier(***)");
    }
}
