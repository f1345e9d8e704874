//! The client's chair.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::attributes::{Attributes, is_nonce};
use super::{ClientKey, Derivation, Nonce, SaltedPassword, ServerKey};
use crate::error::{AuthError, PolicyError, ScramFault};
use crate::secret::Password;

/// What the client says about channel binding in its first message.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/sasl-authentication.html#SASL-SCRAM-SHA-256),
/// [RFC 5802, section 6](https://www.rfc-editor.org/rfc/rfc5802#section-6)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// `n`: the client has no channel to bind, as without TLS, or does not want to.
    Unsupported,
    /// `y`: the client could have, but the server did not offer `SCRAM-SHA-256-PLUS`. A server that did will know that somebody cut
    /// its offer.
    NotOffered,
    /// `p=tls-server-end-point`, for `SCRAM-SHA-256-PLUS`: the hash of the server's certificate. Its length is that of the hash.
    TlsServerEndPoint(Vec<u8>),
}

/// How many iterations a server may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iterations {
    /// The least; fewer make a stolen proof cheap to guess the password from.
    pub min: u32,
    /// The most; more let a hostile server burn the client's CPU.
    pub max: u32,
}

/// 1 to 100,000.
impl Default for Iterations {
    fn default() -> Self {
        Self {
            min: 1,
            max: 100_000,
        }
    }
}

/// The client's first state: [`message`](Self::message) is to be sent, and the server's answer goes to
/// [`server_first`](Self::server_first).
///
/// The states follow one another, each made from the last, and only a checked server signature makes a [`Proven`]:
///
/// ```text
/// ClientFirst ──server-first──▶ ClientChallenged ──keys──▶ ClientFinal ──server-final──▶ Proven
/// ```
///
/// A whole login, with the messages of [RFC 7677, section 3](https://www.rfc-editor.org/rfc/rfc7677#section-3):
///
/// ```
/// use pg_auth::scram::{ChannelBinding, ClientFirst, Iterations};
///
/// let nonce = "rOprNGfwEbeRWgbNEkqO".parse()?; // in earnest: Nonce::random()
/// let first = ClientFirst::with_user(nonce, ChannelBinding::Unsupported, "user");
/// assert_eq!(first.message(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
///
/// let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
/// let challenged = first.server_first(challenge, Iterations::default())?;
/// let salted = challenged.derivation(&"pencil".into()).run(); // slow: on a thread that has the time
/// let last = challenged.finish(&salted);
/// assert!(last.message().ends_with(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
///
/// let proven = last.server_final(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")?;
/// assert!(!proven.is_bound());
/// # Ok::<(), pg_auth::error::AuthError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientFirst {
    header: &'static str,
    binding: Vec<u8>,
    bound: bool,
    bare: String,
    nonce: Nonce,
}

impl ClientFirst {
    /// Starts an exchange. The user name is left empty, as libpq does: PostgreSQL takes the one of the start-up message.
    pub fn new(nonce: Nonce, binding: ChannelBinding) -> Self {
        Self::with_user(nonce, binding, "")
    }

    /// Starts an exchange with a user name, for servers that look at it. `=` and `,` are escaped; SASLprep is not applied.
    pub fn with_user(nonce: Nonce, binding: ChannelBinding, user: &str) -> Self {
        let (header, binding, bound) = match binding {
            ChannelBinding::Unsupported => ("n,,", Vec::new(), false),
            ChannelBinding::NotOffered => ("y,,", Vec::new(), false),
            ChannelBinding::TlsServerEndPoint(hash) => ("p=tls-server-end-point,,", hash, true),
        };
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={}", nonce.as_str());
        Self {
            header,
            binding,
            bound,
            bare,
            nonce,
        }
    }

    /// The client-first-message: `n,,n=,r=<nonce>`, where `n` may be `y` or `p=tls-server-end-point`.
    pub fn message(&self) -> Vec<u8> {
        [self.header, &self.bare].concat().into_bytes()
    }

    /// Takes the server-first-message, `r=<both nonces>,s=<base64 salt>,i=<iterations>`; extensions behind it are passed over.
    ///
    /// # Errors
    /// - [`AuthError::Peer`]: it is malformed, names a mandatory extension, or its nonce does not begin with the client's and go on.
    /// - [`AuthError::Policy`]: the iteration count is outside of `accepted`.
    /// - [`AuthError::Server`]: the server gave an error instead (`e=`).
    pub fn server_first(
        self,
        message: &[u8],
        accepted: Iterations,
    ) -> Result<ClientChallenged, AuthError> {
        let mut attributes = Attributes::new("server-first-message", message, 0);

        let nonce = attributes.expect_from_server(b'r')?;
        let ours = self.nonce.as_str().as_bytes();
        if !nonce.value.strip_prefix(ours).is_some_and(is_nonce) {
            return Err(nonce.fault(ScramFault::Nonce));
        }

        let salt_attribute = attributes.expect(b's')?;
        let salt = salt_attribute.base64()?;
        if salt.is_empty() {
            return Err(salt_attribute.fault(ScramFault::Base64));
        }

        let count = attributes.expect(b'i')?;
        let iterations =
            iteration_count(count.value).ok_or_else(|| count.fault(ScramFault::Iterations))?;
        attributes.skip_extensions()?;
        let asked = iterations.get();
        if asked > accepted.max {
            return Err(PolicyError::TooManyIterations {
                asked,
                max: accepted.max,
            }
            .into());
        }
        if asked < accepted.min {
            return Err(PolicyError::TooFewIterations {
                asked,
                min: accepted.min,
            }
            .into());
        }

        // client-final-message-without-proof, then AuthMessage: client-first-message-bare "," server-first-message "," the former.
        let input = STANDARD.encode([self.header.as_bytes(), &self.binding].concat());
        let without_proof = [b"c=", input.as_bytes(), b",r=", nonce.value].concat();
        let auth_message = [self.bare.as_bytes(), b",", message, b",", &without_proof].concat();
        Ok(ClientChallenged {
            salt,
            iterations,
            without_proof,
            auth_message,
            bound: self.bound,
        })
    }
}

/// `posit-number = %x31-39 *DIGIT`, as far as 32 bits go.
pub(super) fn iteration_count(digits: &[u8]) -> Option<NonZeroU32> {
    if !digits.first()?.is_ascii_digit() || digits.starts_with(b"0") {
        return None; // `parse` would take a plus sign
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// The server has named salt and iteration count; the keys are needed next.
///
/// They come from [`derivation`](Self::derivation) and [`finish`](Self::finish), or from elsewhere, to
/// [`finish_with_keys`](Self::finish_with_keys).
#[derive(Clone)]
pub struct ClientChallenged {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    without_proof: Vec<u8>,
    auth_message: Vec<u8>,
    bound: bool,
}

impl ClientChallenged {
    /// The salt that the server stores with the password.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iteration count that the server stores with the password.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// The slow step as a job, to be run where there is time; its result goes to [`finish`](Self::finish).
    pub fn derivation(&self, password: &Password) -> Derivation {
        Derivation::new(password, self.salt.clone(), self.iterations)
    }

    /// Makes the proof from the derived password.
    pub fn finish(self, salted: &SaltedPassword) -> ClientFinal {
        self.finish_with_keys(&salted.client_key(), &salted.server_key())
    }

    /// Makes the proof from keys that were kept or passed through. They must belong to this [`salt`](Self::salt) and iteration count,
    /// or the server will refuse the proof.
    pub fn finish_with_keys(self, client_key: &ClientKey, server_key: &ServerKey) -> ClientFinal {
        let proof = client_key.proof(&self.auth_message);
        let proof = Zeroizing::new(STANDARD.encode(proof.as_slice()));
        ClientFinal {
            message: Zeroizing::new(
                [&self.without_proof, b",p=".as_slice(), proof.as_bytes()].concat(),
            ),
            signature: server_key.signature(&self.auth_message),
            bound: self.bound,
        }
    }
}

impl fmt::Debug for ClientChallenged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientChallenged")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// The proof is made: [`message`](Self::message) is to be sent, and the server's answer goes to [`server_final`](Self::server_final).
pub struct ClientFinal {
    message: Zeroizing<Vec<u8>>,
    signature: [u8; 32],
    bound: bool,
}

impl ClientFinal {
    /// The client-final-message: `c=<base64 binding>,r=<both nonces>,p=<base64 proof of 32 bytes>`.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Takes the server-final-message, `v=<base64 signature of 32 bytes>`; extensions behind it are passed over.
    ///
    /// # Errors
    /// - [`AuthError::Peer`]: it is malformed, or the signature is wrong, so that whoever sent it does not know the verifier.
    /// - [`AuthError::Server`]: the server gave an error instead (`e=`).
    pub fn server_final(self, message: &[u8]) -> Result<Proven, AuthError> {
        let mut attributes = Attributes::new("server-final-message", message, 0);
        let signature = attributes.expect_from_server(b'v')?;
        let given = signature.base64_32()?;
        attributes.skip_extensions()?;
        if bool::from(given.ct_eq(&self.signature)) {
            Ok(Proven { bound: self.bound })
        } else {
            Err(signature.fault(ScramFault::Signature))
        }
    }
}

impl fmt::Debug for ClientFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFinal")
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// The server has proven that it knows the password's verifier. Nothing but [`ClientFinal::server_final`] makes one.
#[derive(Debug)]
pub struct Proven {
    bound: bool,
}

impl Proven {
    /// Whether the exchange was bound to the TLS channel, so that nobody stands between.
    pub fn is_bound(&self) -> bool {
        self.bound
    }
}
