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

/// The slow step as a job, to be run where it does not block others: PBKDF2-HMAC-SHA-256 over password, salt and iteration count.
///
/// With PostgreSQL's default of 4,096 iterations it takes some milliseconds of CPU, with 100,000 some tens: an adapter moves it off its
/// executor. It is `Send + 'static`, owns everything it needs, and wipes the password when it is done or dropped. The result depends on
/// nothing but these three values, so it may be kept for the next connection.
///
/// ```
/// use pg_auth::scram::{DEFAULT_ITERATIONS, Derivation};
///
/// let job = Derivation::new(&"pencil".into(), b"salt".to_vec(), DEFAULT_ITERATIONS);
/// let salted = std::thread::spawn(move || job.run()).join().expect("it does not panic");
/// assert_eq!(format!("{salted:?}"), "SaltedPassword(***)");
/// ```
pub struct Derivation {
    password: Password,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl Derivation {
    /// Prepares the job; the password goes through [`saslprep`] here.
    pub fn new(password: &Password, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        Self { password: saslprep(password), salt, iterations }
    }

    /// The salt: with the password and [`iterations`](Self::iterations) it identifies the result, such as in a cache.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The number of times that the password is hashed.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// Does the work: `Hi(password, salt, iterations)` of [RFC 5802, section 2.2](https://www.rfc-editor.org/rfc/rfc5802#section-2.2),
    /// which is PBKDF2 with HMAC-SHA-256 and one block of output.
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

/// 32 secret bytes on the heap, wiped when dropped: a key that moves, with a future or into a struct, leaves no copy behind.
pub(super) type Bytes = Box<Zeroizing<[u8; 32]>>;

/// Lets `fill` write the bytes in place.
pub(super) fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Bytes {
    let mut bytes = Bytes::default();
    fill(&mut bytes);
    bytes
}

/// A newtype over 32 secret bytes.
macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Bytes);

        impl $name {
            fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Self {
                Self(filled(fill))
            }

            /// The 32 bytes.
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

        /// Compares in constant time.
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
    /// The password after [`Derivation::run`]: 32 bytes from which both keys follow. As good as the password for that salt.
    SaltedPassword
}

key! {
    /// `HMAC(SaltedPassword, "Client Key")`, 32 bytes: who has it can log in as the user, wherever the same salt and iteration count
    /// are stored. A server learns it from a good proof, which is how a pooler can log in upstream.
    ClientKey
}

key! {
    /// `HMAC(SaltedPassword, "Server Key")`, 32 bytes: its owner can impersonate the server. Part of the stored verifier.
    ServerKey
}

key! {
    /// `SHA-256(ClientKey)`, 32 bytes: enough to check a proof, but not to make a proof. Part of the stored verifier.
    StoredKey
}

impl SaltedPassword {
    /// The key that the client proves to have.
    pub fn client_key(&self) -> ClientKey {
        ClientKey::filled(|out| hmac(&**self.0, &[b"Client Key"], out))
    }

    /// The key that the server proves to have.
    pub fn server_key(&self) -> ServerKey {
        ServerKey::filled(|out| hmac(&**self.0, &[b"Server Key"], out))
    }
}

impl ClientKey {
    /// What the server stores of this key.
    pub fn stored_key(&self) -> StoredKey {
        StoredKey::filled(|out| {
            wiping_stack(|| {
                Digest::finalize_into(Sha256::new_with_prefix(self.0.as_slice()), out.into());
            });
        })
    }

    /// `ClientProof := ClientKey XOR ClientSignature`.
    pub(super) fn proof(&self, auth_message: &[u8]) -> Bytes {
        xored(self.stored_key().signature(auth_message), &self.0)
    }
}

impl StoredKey {
    /// `ClientSignature := HMAC(StoredKey, AuthMessage)`.
    fn signature(&self, auth_message: &[u8]) -> Bytes {
        filled(|out| hmac(&**self.0, &[auth_message], out))
    }

    /// The client's key out of its proof, if the proof is good.
    pub(super) fn recover(&self, proof: &[u8; 32], auth_message: &[u8]) -> Option<ClientKey> {
        let key = ClientKey(xored(self.signature(auth_message), proof));
        (key.stored_key() == *self).then_some(key)
    }
}

impl ServerKey {
    /// `ServerSignature := HMAC(ServerKey, AuthMessage)`.
    pub(super) fn signature(&self, auth_message: &[u8]) -> Bytes {
        filled(|out| hmac(&**self.0, &[auth_message], out))
    }
}

/// HMAC-SHA-256 over the parts one after the other, written to `out`.
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
    /// Recovered from a client's proof, or derived from its password.
    pub client: ClientKey,
    /// Stored in the verifier.
    pub server: ServerKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_send<T: Send + 'static>() {}

    #[test]
    fn a_job_may_go_to_another_thread() {
        assert_send::<Derivation>();
        assert_send::<SaltedPassword>();
    }

    #[test]
    fn keys_do_not_print() {
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
