//! The SCRAM keys, and their derivation from a password.

use std::fmt;
use std::num::NonZeroU32;

use hmac::digest::FixedOutput;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::saslprep::saslprep;
use crate::secret::{Password, wiping_stack};

/// The derivation of SCRAM keys from a password, as a job: PBKDF2-HMAC-SHA-256 over password, salt and iteration count.
///
/// With PostgreSQL's default of 4,096 iterations, the job takes some milliseconds of CPU time; with 100,000 iterations, tens of
/// milliseconds. Run the job where it does not block an executor. The job is `Send + 'static`, owns all its data, and wipes the password
/// when the job is done or dropped. The result depends only on password, salt and iteration count, so the result can be kept for the next
/// connection.
///
/// ```
/// use pg_auth::scram::{DEFAULT_ITERATIONS, Derivation};
///
/// let job = Derivation::new(&"pencil".into(), b"salt".to_vec(), DEFAULT_ITERATIONS);
/// let salted = std::thread::spawn(move || job.run()).join().expect("the job does not panic");
/// assert_eq!(format!("{salted:?}"), "SaltedPassword(***)");
/// ```
pub struct Derivation {
    password: Password,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl Derivation {
    /// Prepares the job. Applies [`saslprep`] to the password.
    pub fn new(password: &Password, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        Self { password: saslprep(password), salt, iterations }
    }

    /// The salt. Password, salt and [`iterations`](Self::iterations) identify the result, for example in a cache.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The number of times that the password is hashed.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// Runs the job: `Hi(password, salt, iterations)` of [RFC 5802, section 2.2](https://www.rfc-editor.org/rfc/rfc5802#section-2.2), which
    /// is PBKDF2 with HMAC-SHA-256 and one block of output.
    pub fn run(self) -> SaltedPassword {
        SaltedPassword::filled(|out| {
            wiping_stack(|| {
                pbkdf2::pbkdf2_hmac::<Sha256>(
                    self.password.as_bytes(),
                    &self.salt,
                    self.iterations.get(),
                    out,
                );
            });
        })
    }
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derivation").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// 32 secret bytes on the heap, wiped when dropped. Moving the value copies a pointer only, so no copy of a key is left on the stack.
pub(super) type Bytes = Box<Zeroizing<[u8; 32]>>;

/// Allocates 32 bytes on the heap. `fill` writes these bytes in place.
pub(super) fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Bytes {
    let mut bytes = Bytes::default();
    fill(&mut bytes);
    bytes
}

/// Defines a newtype over 32 secret bytes.
macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Bytes);

        impl $name {
            fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Self {
                Self(filled(fill))
            }

            /// The 32 secret bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                let bytes = Zeroizing::new(bytes);
                Self::filled(|out| out.copy_from_slice(&*bytes))
            }
        }

        /// Compares two keys in constant time.
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(other.0.as_slice()).into()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }
    };
}

key! {
    /// The result of [`Derivation::run`]: 32 bytes from which both keys are computed. These bytes are enough to log in at any server that
    /// stores this password with this salt and iteration count.
    SaltedPassword
}

key! {
    /// The key with which a client proves its identity: `HMAC(SaltedPassword, "Client Key")`, 32 bytes. This key is enough to log in as the
    /// user at every server that stores this password with the same salt and iteration count. A server can compute this key from a valid
    /// proof. So a pooler gets the key from the pooler's client, and uses the key to log in to the upstream server.
    ClientKey
}

key! {
    /// The key with which a server proves its identity: `HMAC(SaltedPassword, "Server Key")`, 32 bytes. With this key, an attacker can
    /// impersonate the server. Part of the stored verifier.
    ServerKey
}

key! {
    /// The hash with which a server checks a client's proof: `SHA-256(ClientKey)`, 32 bytes. This hash is not enough to make a proof. Part
    /// of the stored verifier.
    StoredKey
}

impl SaltedPassword {
    /// The key by which the client proves its identity.
    pub fn client_key(&self) -> ClientKey {
        ClientKey::filled(|out| hmac(&**self.0, &[b"Client Key"], out))
    }

    /// The key by which the server proves its identity.
    pub fn server_key(&self) -> ServerKey {
        ServerKey::filled(|out| hmac(&**self.0, &[b"Server Key"], out))
    }
}

impl ClientKey {
    /// The hash of this key, as a server stores it.
    pub fn stored_key(&self) -> StoredKey {
        StoredKey::filled(|out| {
            wiping_stack(|| {
                Digest::finalize_into(Sha256::new_with_prefix(self.0.as_slice()), out.into());
            });
        })
    }

    /// Computes the client's proof: `ClientProof := ClientKey XOR ClientSignature`.
    pub(super) fn proof(&self, auth_message: &[u8]) -> Bytes {
        xored(self.stored_key().signature(auth_message), &self.0)
    }
}

impl StoredKey {
    /// Computes the client's signature: `ClientSignature := HMAC(StoredKey, AuthMessage)`.
    fn signature(&self, auth_message: &[u8]) -> Bytes {
        filled(|out| hmac(&**self.0, &[auth_message], out))
    }

    /// Recovers the client's key from the client's proof, if the proof is valid.
    pub(super) fn recover(&self, proof: &[u8; 32], auth_message: &[u8]) -> Option<ClientKey> {
        let key = ClientKey(xored(self.signature(auth_message), proof));
        (key.stored_key() == *self).then_some(key)
    }
}

impl ServerKey {
    /// Computes the server's signature: `ServerSignature := HMAC(ServerKey, AuthMessage)`.
    pub(super) fn signature(&self, auth_message: &[u8]) -> Bytes {
        filled(|out| hmac(&**self.0, &[auth_message], out))
    }
}

/// Writes the HMAC-SHA-256 of the concatenated parts to `out`.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]], out: &mut [u8; 32]) {
    wiping_stack(|| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(part);
        }
        FixedOutput::finalize_into(mac, out.into());
    });
}

fn xored(mut bytes: Bytes, with: &[u8; 32]) -> Bytes {
    bytes.iter_mut().zip(with).for_each(|(byte, with)| *byte ^= with);
    bytes
}

/// The two keys for a SCRAM login without the password: the client's key, which proves the client's identity, and the server's
/// key, which proves the server's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramKeys {
    /// The client's key, recovered from a client's proof or derived from the password.
    pub client: ClientKey,
    /// The server's key, which is a part of the verifier.
    pub server: ServerKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_send<T: Send + 'static>() {}

    #[test]
    fn a_job_can_be_sent_to_another_thread() {
        assert_send::<Derivation>();
        assert_send::<SaltedPassword>();
    }

    #[test]
    fn debug_output_hides_keys() {
        let job = Derivation::new(&"secret".into(), b"salt".to_vec(), NonZeroU32::MIN);
        assert_eq!(format!("{job:?}"), "Derivation { iterations: 1, .. }");
        let salted = job.run();
        assert_eq!(
            format!("{:?} {:?}", salted.client_key(), salted.server_key()),
            "ClientKey(***) ServerKey(***)"
        );
        assert_eq!(format!("{:?}", salted.client_key().stored_key()), "StoredKey(***)");
    }
}
