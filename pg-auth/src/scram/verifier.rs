//! The SCRAM verifier: a server's stored form of a password.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::client::iteration_count;
use super::keys::hmac;
use super::{
    ClientKey, DEFAULT_SALT_LENGTH, Derivation, SCRAM_SHA_256, SaltedPassword, ServerKey, StoredKey,
};
use crate::error::{AuthError, ConfigError};
use crate::secret::{Password, fill_random};

/// A stored password, as in `pg_authid.rolpassword`: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`. The salt and the keys are
/// in base64; each key has 32 bytes.
///
/// Read a stored password with [`str::parse`], write it with [`to_string`](ToString::to_string). Keep the text secret: with this text, an
/// attacker can impersonate the server. `Debug` does not show the text.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/catalog-pg-authid.html)
///
/// ```
/// use pg_auth::scram::{DEFAULT_ITERATIONS, Verifier};
///
/// let stored = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
///     WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
/// let verifier: Verifier = stored.parse()?;
/// assert!(verifier.matches(&verifier.derivation(&"pencil".into()).run()));
///
/// let made = Verifier::new(&"pencil".into(), verifier.salt().to_vec(), DEFAULT_ITERATIONS);
/// assert_eq!(made.to_string(), stored);
/// # Ok::<(), pg_auth::error::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Verifier {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: StoredKey,
    server_key: ServerKey,
    mock: bool,
}

impl Verifier {
    /// Makes the verifier of a password. The salt should be 16 random bytes. This call takes as long as `iterations` hashes. To do this
    /// work on another thread, run a [`Derivation`] there and call [`from_salted`](Self::from_salted).
    pub fn new(password: &Password, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let salted = Derivation::new(password, salt.clone(), iterations).run();
        Self::from_salted(&salted, salt, iterations)
    }

    /// Like [`new`](Self::new), but with a random salt of 16 bytes from the operating system.
    ///
    /// # Errors
    /// [`AuthError::Entropy`] if the operating system returns no random bytes, or if the feature `getrandom` is off.
    pub fn random(password: &Password, iterations: NonZeroU32) -> Result<Self, AuthError> {
        let mut salt = vec![0; DEFAULT_SALT_LENGTH];
        fill_random(&mut salt).ok_or(AuthError::Entropy)?;
        Ok(Self::new(password, salt, iterations))
    }

    /// Makes a verifier from the result of a [`Derivation`]. `salt` and `iterations` must be the values that were used in this derivation.
    pub fn from_salted(salted: &SaltedPassword, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let (stored_key, server_key) = (salted.client_key().stored_key(), salted.server_key());
        Self { iterations, salt, stored_key, server_key, mock: false }
    }

    /// Makes a verifier that no password matches, for a user who does not exist or has no SCRAM password.
    ///
    /// An attacker must not learn whether a user exists. So the exchange for an unknown user has the same messages as an exchange for any
    /// other user. The salt is the same at each attempt, because the salt is computed from the user's name and `secret`. The secret should
    /// be random. Do not change the secret while the stored passwords exist. The salt's length (at most 32 bytes) and `iterations` should
    /// be equal to the values of real users, usually [`DEFAULT_SALT_LENGTH`] and [`DEFAULT_ITERATIONS`](super::DEFAULT_ITERATIONS).
    pub fn mock(secret: &[u8], user: &[u8], salt_length: usize, iterations: NonZeroU32) -> Self {
        let derive = |what: &[u8]| {
            let mut derived = [0; 32];
            hmac(secret, &[what, b"\0", user], &mut derived);
            derived
        };
        let salt = derive(b"salt").into_iter().take(salt_length.max(1)).collect();
        let (stored_key, server_key) = (derive(b"stored key").into(), derive(b"server key").into());
        Self { iterations, salt, stored_key, server_key, mock: true }
    }

    /// The salt with which the password was hashed.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The number of times that the password was hashed.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// Makes the job that derives keys from `password`, which a client has sent in clear text. The job uses this verifier's salt and
    /// iteration count. Pass the result of the job to [`matches`](Self::matches).
    pub fn derivation(&self, password: &Password) -> Derivation {
        Derivation::new(password, self.salt.clone(), self.iterations)
    }

    /// Whether this verifier and `salted` come from the same password. Compares in constant time.
    pub fn matches(&self, salted: &SaltedPassword) -> bool {
        let same = salted.client_key().stored_key() == self.stored_key;
        same & !self.mock
    }

    /// Recovers the client's key from the client's proof, if the proof is right.
    pub(super) fn recover(&self, proof: &[u8; 32], auth_message: &[u8]) -> Option<ClientKey> {
        self.stored_key.recover(proof, auth_message).filter(|_| !self.mock)
    }

    pub(super) fn server_key(&self) -> &ServerKey {
        &self.server_key
    }
}

impl FromStr for Verifier {
    type Err = ConfigError;

    fn from_str(stored: &str) -> Result<Self, ConfigError> {
        parse(stored)
            .ok_or(ConfigError::StoredPassword("SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>"))
    }
}

fn parse(stored: &str) -> Option<Verifier> {
    let stored = stored.strip_prefix(SCRAM_SHA_256)?.strip_prefix('$')?;
    let (parameters, keys) = stored.split_once('$')?;
    let (iterations, salt) = parameters.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    Some(Verifier {
        iterations: iteration_count(iterations.as_bytes())?,
        salt: STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?,
        stored_key: key(stored_key)?.into(),
        server_key: key(server_key)?.into(),
        mock: false,
    })
}

fn key(base64: &str) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(STANDARD.decode(base64).ok()?);
    bytes.as_slice().try_into().ok()
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |bytes: &[u8]| Zeroizing::new(STANDARD.encode(bytes));
        let (salt, stored_key) = (encode(&self.salt), encode(self.stored_key.as_bytes()));
        let server_key = encode(self.server_key.as_bytes());
        write!(f, "{SCRAM_SHA_256}${}:{}${}:{}", self.iterations, *salt, *stored_key, *server_key)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scram::DEFAULT_ITERATIONS;

    /// Password, salt, iterations and verifier. The verifier was computed by Python's `hashlib` and `hmac`. For the second password, Python
    /// was given the result of SASLprep.
    type Golden = (&'static [u8], &'static [u8], u32, &'static str);
    const GOLDEN: [Golden; 3] = [
        (
            b"pencil",
            b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81",
            4096,
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        ),
        (
            "\u{2168}\u{a0}u\u{308}".as_bytes(),
            b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
            1000,
            "SCRAM-SHA-256$1000:AAECAwQFBgcICQoLDA0ODw==$riqqSE9XsrwTawZ4oK67uAWpOvZNIq0KXtqZEJ8jQ38=:R+HQk4EeE/uAa2A7ktxAWb8doOqoVhj70/A1RKdPTyE=",
        ),
        (
            b"\xff\xfe raw",
            b"salt",
            1,
            "SCRAM-SHA-256$1:c2FsdA==$K6FKqOEUBhFfqVDrbRqUZnuJ+Tkg90+d8q/3+w9Y4dg=:RYad4xa+QOlhqFCQkfp8GUGIRyxlf2tKUDhq1rVBcS0=",
        ),
    ];

    #[test]
    fn verifiers_agree_with_hashlib() -> Result<(), ConfigError> {
        for (password, salt, iterations, stored) in GOLDEN {
            let password = Password::from(password);
            let iterations = NonZeroU32::new(iterations).expect("the number is not zero");
            assert_eq!(Verifier::new(&password, salt.to_vec(), iterations).to_string(), stored);

            let parsed: Verifier = stored.parse()?;
            assert_eq!(parsed.to_string(), stored);
            assert_eq!((parsed.salt(), parsed.iterations()), (salt, iterations));
            assert!(parsed.matches(&parsed.derivation(&password).run()));
            assert!(!parsed.matches(&parsed.derivation(&"wrong".into()).run()));
        }
        Ok(())
    }

    #[test]
    fn a_truncated_verifier_is_rejected_and_every_verifier_has_one_spelling() {
        for (_, _, _, stored) in GOLDEN {
            for at in 0..stored.len() {
                assert!(stored[..at].parse::<Verifier>().is_err(), "{at}");
                for byte in 0..=127u8 {
                    let mut bytes = stored.as_bytes().to_vec();
                    bytes[at] = byte;
                    let text = String::from_utf8(bytes).expect("the text is ASCII");
                    if let Ok(parsed) = text.parse::<Verifier>() {
                        assert_eq!(parsed.to_string(), text); // one spelling for each verifier
                    }
                }
            }
            assert!(format!("{stored} ").parse::<Verifier>().is_err());
            assert!(format!("{stored}:").parse::<Verifier>().is_err());
        }
    }

    #[test]
    fn a_mock_verifier_has_the_same_salt_at_each_attempt_and_looks_real() {
        let mock = |secret: &[u8], user: &[u8]| {
            Verifier::mock(secret, user, DEFAULT_SALT_LENGTH, DEFAULT_ITERATIONS)
        };
        let alice = mock(b"secret", b"alice");
        assert_eq!(alice.salt(), mock(b"secret", b"alice").salt());
        assert_ne!(alice.salt(), mock(b"secret", b"bob").salt());
        assert_ne!(alice.salt(), mock(b"other", b"alice").salt());
        assert_eq!((alice.salt().len(), alice.iterations().get()), (16, 4096));
        let real = Verifier::new(&"pencil".into(), vec![0; 16], DEFAULT_ITERATIONS);
        assert_eq!(alice.to_string().len(), real.to_string().len());
    }

    /// The expected salt was computed by Python: `hmac.new(b"secret", b"salt\0alice", "sha256").digest()[:16]`. The salt must be the same
    /// in every version of this library. If a user's salt changes after an update, an attacker learns that the user does not exist.
    #[test]
    fn a_mock_verifier_has_the_same_salt_in_every_version() {
        let mock = Verifier::mock(b"secret", b"alice", DEFAULT_SALT_LENGTH, DEFAULT_ITERATIONS);
        assert_eq!(STANDARD.encode(mock.salt()), "Gd4Tq1kaSgFSF56p4yt7MQ==");
    }

    #[test]
    fn a_mock_verifier_matches_no_password_even_with_the_correct_key() {
        let mut mock = Verifier::mock(b"secret", b"alice", DEFAULT_SALT_LENGTH, NonZeroU32::MIN);
        let salted = mock.derivation(&"guess".into()).run();
        assert!(!mock.matches(&salted));
        mock.stored_key = salted.client_key().stored_key();
        assert!(!mock.matches(&salted));
        let proof = salted.client_key().proof(b"message");
        assert!(mock.recover(&proof, b"message").is_none());
        mock.mock = false;
        assert!(mock.recover(&proof, b"message").is_some());
    }
}
