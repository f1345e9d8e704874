//! What a server stores of a password.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::client::iteration_count;
use super::keys::hmac;
use super::{ClientKey, Derivation, SCRAM_SHA_256, SaltedPassword, ServerKey, StoredKey};
use crate::error::ConfigError;
use crate::secret::Password;

/// PostgreSQL uses salts of this length; a mock verifier must not stand out.
const SALT_LENGTH: usize = 16;

/// A stored password, as in `pg_authid.rolpassword`: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, the last three in
/// base64, the keys of 32 bytes each.
///
/// It is read with [`str::parse`] and written with [`to_string`](ToString::to_string), which shows what has to be stored: who knows it
/// can pass for the server. Its `Debug` shows nothing of it.
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
    /// Makes the verifier of a password. The salt should be 16 random bytes. This hashes `iterations` times on the spot; to do that
    /// elsewhere, run a [`Derivation`] and call [`from_salted`](Self::from_salted).
    pub fn new(password: &Password, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let salted = Derivation::new(password, salt.clone(), iterations).run();
        Self::from_salted(&salted, salt, iterations)
    }

    /// Makes the verifier of a password that was derived with this salt and iteration count.
    pub fn from_salted(salted: &SaltedPassword, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let (stored_key, server_key) = (salted.client_key().stored_key(), salted.server_key());
        Self {
            iterations,
            salt,
            stored_key,
            server_key,
            mock: false,
        }
    }

    /// Makes a verifier that no password fits, for a user who does not exist or has no SCRAM password.
    ///
    /// Such a user must see the same exchange as any other, to its end, and the same salt at each attempt. So the salt follows from the
    /// user's name and a secret of the server, which should be random and live as long as its stored passwords do. `iterations` should
    /// be what real users have, usually [`DEFAULT_ITERATIONS`](super::DEFAULT_ITERATIONS).
    pub fn mock(secret: &[u8], user: &[u8], iterations: NonZeroU32) -> Self {
        let derive = |what: &[u8]| hmac(secret, &[what, b"\0", user]);
        let salt = derive(b"salt").into_iter().take(SALT_LENGTH).collect();
        let (stored_key, server_key) = (derive(b"stored key").into(), derive(b"server key").into());
        Self {
            iterations,
            salt,
            stored_key,
            server_key,
            mock: true,
        }
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// How often the password was hashed.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// The job of deriving a password that arrived in clear text, the way this one was; its result goes to
    /// [`matches`](Self::matches).
    pub fn derivation(&self, password: &Password) -> Derivation {
        Derivation::new(password, self.salt.clone(), self.iterations)
    }

    /// Whether this is the password. Always takes the same time.
    pub fn matches(&self, salted: &SaltedPassword) -> bool {
        let same = salted.client_key().stored_key() == self.stored_key;
        same & !self.mock
    }

    /// The client's key out of its proof, if the proof is good.
    pub(super) fn recover(&self, proof: &[u8; 32], auth_message: &[u8]) -> Option<ClientKey> {
        self.stored_key
            .recover(proof, auth_message)
            .filter(|_| !self.mock)
    }

    pub(super) fn server_key(&self) -> &ServerKey {
        &self.server_key
    }
}

impl FromStr for Verifier {
    type Err = ConfigError;

    fn from_str(stored: &str) -> Result<Self, ConfigError> {
        parse(stored).ok_or(ConfigError::StoredPassword(
            "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>",
        ))
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
        write!(
            f,
            "{SCRAM_SHA_256}${}:{}${}:{}",
            self.iterations, *salt, *stored_key, *server_key
        )
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}
