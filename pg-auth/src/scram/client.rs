//! SCRAM in the client role.

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

/// The channel binding that the client announces in its first message.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/sasl-authentication.html#SASL-SCRAM-SHA-256),
/// [RFC 5802, section 6](https://www.rfc-editor.org/rfc/rfc5802#section-6)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// `n`: the client has no channel to bind to, for example no TLS, or is configured without channel binding.
    Unsupported,
    /// `y`: the client supports channel binding, but received no offer of `SCRAM-SHA-256-PLUS`. If the server has sent this offer, the
    /// server learns from `y` that an attacker has removed the offer.
    NotOffered,
    /// `p=tls-server-end-point`, for `SCRAM-SHA-256-PLUS`: the hash of the server's certificate.
    TlsServerEndPoint(Vec<u8>),
}

/// Range of the iteration counts that a server may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iterations {
    /// The minimum iteration count. With fewer iterations, the password can be guessed cheaply from a stolen proof.
    pub min: u32,
    /// The maximum iteration count. With more iterations, a hostile server could waste the client's CPU time.
    pub max: u32,
}

/// The default range is 1 to 1,000,000 iterations. PostgreSQL's default is 4,096 iterations; 600,000 is a common recommendation.
impl Default for Iterations {
    fn default() -> Self {
        Self { min: 1, max: 1_000_000 }
    }
}

/// The client's first state. Send [`message`](Self::message), and pass the server's answer to [`server_first`](Self::server_first).
///
/// Each step consumes one state and returns the next. Only a checked server signature leads to [`Proven`]:
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
/// let nonce = "rOprNGfwEbeRWgbNEkqO".parse()?; // in a real program: Nonce::random()
/// let first = ClientFirst::with_user(nonce, ChannelBinding::Unsupported, "user");
/// assert_eq!(first.message(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
///
/// let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
/// let challenged = first.server_first(challenge, Iterations::default())?;
/// let salted = challenged.derivation(&"pencil".into()).run(); // slow: run this on another thread
/// let last = challenged.finish(&salted);
/// assert!(last.message().ends_with(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
///
/// let proven = last.server_final(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")?;
/// assert!(!proven.is_bound());
/// # Ok::<(), pg_auth::error::AuthError>(())
/// ```
#[derive(Clone)]
pub struct ClientFirst {
    header: &'static str,
    binding: Vec<u8>,
    bound: bool,
    bare: String,
    nonce: Nonce,
}

impl ClientFirst {
    /// Starts an exchange. The user name is left empty, as in libpq: PostgreSQL takes the user of the start-up message.
    pub fn new(nonce: Nonce, binding: ChannelBinding) -> Self {
        Self::with_user(nonce, binding, "")
    }

    /// Starts an exchange with a user name, for servers that use this name. `=` and `,` are escaped; SASLprep is not applied.
    pub fn with_user(nonce: Nonce, binding: ChannelBinding, user: &str) -> Self {
        let (header, binding, bound) = match binding {
            ChannelBinding::Unsupported => ("n,,", Vec::new(), false),
            ChannelBinding::NotOffered => ("y,,", Vec::new(), false),
            ChannelBinding::TlsServerEndPoint(hash) => ("p=tls-server-end-point,,", hash, true),
        };
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={}", nonce.as_str());
        Self { header, binding, bound, bare, nonce }
    }

    /// The client-first-message: a binding flag (`n`, `y` or `p=tls-server-end-point`), then `,,n=<user>,r=<nonce>`.
    pub fn message(&self) -> Vec<u8> {
        [self.header, &self.bare].concat().into_bytes()
    }

    /// Processes the server-first-message, `r=<both nonces>,s=<base64 salt>,i=<iterations>`. Extensions after the iteration count are
    /// ignored.
    ///
    /// # Errors
    /// - [`AuthError::Peer`]: the message is malformed, has a mandatory extension, or the nonce in the message does not extend the client's
    ///   nonce.
    /// - [`AuthError::Policy`]: the iteration count is outside of `accepted`.
    /// - [`AuthError::Server`]: the server sent an error (`e=`) instead of the three values.
    pub fn server_first(self, message: &[u8], accepted: Iterations) -> Result<ClientChallenged, AuthError> {
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
        let iterations = iteration_count(count.value).ok_or_else(|| count.fault(ScramFault::Iterations))?;
        attributes.skip_extensions()?;
        let asked = iterations.get();
        if asked > accepted.max {
            return Err(PolicyError::TooManyIterations { asked, max: accepted.max }.into());
        }
        if asked < accepted.min {
            return Err(PolicyError::TooFewIterations { asked, min: accepted.min }.into());
        }

        // Builds client-final-message-without-proof, and then the AuthMessage. The AuthMessage is client-first-message-bare ","
        // server-first-message "," client-final-message-without-proof.
        let input = STANDARD.encode([self.header.as_bytes(), &self.binding].concat());
        let without_proof = [b"c=", input.as_bytes(), b",r=", nonce.value].concat();
        let auth_message = [self.bare.as_bytes(), b",", message, b",", &without_proof].concat();
        Ok(ClientChallenged { salt, iterations, without_proof, auth_message, bound: self.bound })
    }
}

impl fmt::Debug for ClientFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFirst").field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// Reads `posit-number = %x31-39 *DIGIT`, if the number fits into 32 bits.
pub(super) fn iteration_count(digits: &[u8]) -> Option<NonZeroU32> {
    if !digits.first()?.is_ascii_digit() || digits.starts_with(b"0") {
        return None; // `parse` would accept a plus sign
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// The client's second state: the server has sent the salt and the iteration count, and the client needs the keys to make its proof.
///
/// Derive the keys with [`derivation`](Self::derivation) and call [`finish`](Self::finish), or pass known keys to
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

    /// The slow step, the derivation of the keys, as a job. Run the job where it does not block other tasks, and pass the result to
    /// [`finish`](Self::finish).
    pub fn derivation(&self, password: &Password) -> Derivation {
        Derivation::new(password, self.salt.clone(), self.iterations)
    }

    /// Makes the proof from the result of the [`derivation`](Self::derivation).
    pub fn finish(self, salted: &SaltedPassword) -> ClientFinal {
        self.finish_with_keys(&salted.client_key(), &salted.server_key())
    }

    /// Makes the proof from known keys: cached keys, or the keys of a client that has logged in to this program. The keys must belong to
    /// this [`salt`](Self::salt) and iteration count; otherwise the server rejects the proof.
    pub fn finish_with_keys(self, client_key: &ClientKey, server_key: &ServerKey) -> ClientFinal {
        let proof = client_key.proof(&self.auth_message);
        let proof = Zeroizing::new(STANDARD.encode(proof.as_slice()));
        ClientFinal {
            message: Zeroizing::new([&self.without_proof, b",p=".as_slice(), proof.as_bytes()].concat()),
            signature: server_key.signature(&self.auth_message),
            bound: self.bound,
        }
    }
}

impl fmt::Debug for ClientChallenged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientChallenged").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The client's third state, with the proof. Send [`message`](Self::message), and pass the server's answer to
/// [`server_final`](Self::server_final).
pub struct ClientFinal {
    message: Zeroizing<Vec<u8>>,
    signature: Box<Zeroizing<[u8; 32]>>,
    bound: bool,
}

impl ClientFinal {
    /// The client-final-message: `c=<base64 binding>,r=<both nonces>,p=<base64 proof of 32 bytes>`.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Processes the server-final-message: `v=<base64 signature of 32 bytes>`. Extensions after the signature are ignored.
    ///
    /// # Errors
    /// - [`AuthError::Peer`]: the message is malformed, or the signature is wrong: the server does not have the verifier.
    /// - [`AuthError::Server`]: the server sent an error (`e=`) instead of the signature.
    pub fn server_final(self, message: &[u8]) -> Result<Proven, AuthError> {
        let mut attributes = Attributes::new("server-final-message", message, 0);
        let signature = attributes.expect_from_server(b'v')?;
        let given = signature.base64_32()?;
        attributes.skip_extensions()?;
        if bool::from(given.ct_eq(self.signature.as_slice())) {
            Ok(Proven { bound: self.bound })
        } else {
            Err(signature.fault(ScramFault::Signature))
        }
    }
}

impl fmt::Debug for ClientFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFinal").field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// The proof that the server has the password's verifier. Only [`ClientFinal::server_final`] makes a `Proven`.
#[derive(Debug)]
pub struct Proven {
    bound: bool,
}

impl Proven {
    /// Whether the exchange was bound to the TLS channel, which excludes a man in the middle.
    pub fn is_bound(&self) -> bool {
        self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{PeerError, Refusal};

    fn first(binding: ChannelBinding) -> ClientFirst {
        ClientFirst::new("abc".parse().expect("a printable nonce"), binding)
    }

    fn challenged(server_first: &[u8]) -> Result<ClientChallenged, AuthError> {
        first(ChannelBinding::Unsupported).server_first(server_first, Iterations::default())
    }

    #[track_caller]
    fn rejected(server_first: &[u8], offset: usize, fault: ScramFault) {
        let error = PeerError::Scram { message: "server-first-message", offset, fault };
        let text = String::from_utf8_lossy(server_first);
        assert_eq!(challenged(server_first).err(), Some(error.into()), "{text:?}");
    }

    #[test]
    fn the_first_message_carries_the_binding_flag_and_no_user() {
        assert_eq!(first(ChannelBinding::Unsupported).message(), b"n,,n=,r=abc");
        assert_eq!(first(ChannelBinding::NotOffered).message(), b"y,,n=,r=abc");
        let bound = first(ChannelBinding::TlsServerEndPoint(vec![1, 2, 3]));
        assert_eq!(bound.message(), b"p=tls-server-end-point,,n=,r=abc");
    }

    #[test]
    fn a_user_name_is_escaped() {
        let nonce = "abc".parse().expect("a printable nonce");
        let first = ClientFirst::with_user(nonce, ChannelBinding::Unsupported, "a=2C,b");
        assert_eq!(first.message(), b"n,,n=a=3D2C=2Cb,r=abc");
    }

    #[test]
    fn the_final_message_carries_the_header_and_the_binding_data() -> Result<(), AuthError> {
        let cases = [
            (ChannelBinding::Unsupported, "c=biws,r=abcdef,p=", false),
            (ChannelBinding::NotOffered, "c=eSws,r=abcdef,p=", false),
            (
                ChannelBinding::TlsServerEndPoint(vec![1, 2, 3]),
                "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAQID,r=abcdef,p=",
                true,
            ),
        ];
        for (binding, start, bound) in cases {
            let challenged =
                first(binding).server_first(b"r=abcdef,s=c2FsdA==,i=1", Iterations::default())?;
            let last = challenged.clone().finish(&challenged.derivation(&"x".into()).run());
            assert!(last.message().starts_with(start.as_bytes()));
            assert_eq!(last.message().len(), start.len() + 44);
            assert_eq!(last.bound, bound);
        }
        Ok(())
    }

    #[test]
    fn unknown_extensions_of_a_challenge_are_ignored() -> Result<(), AuthError> {
        let challenged = challenged(b"r=abcd,s=c2FsdA==,i=4096,x=unknown,Y=,z==\xff")?;
        assert_eq!((challenged.salt(), challenged.iterations().get()), (&b"salt"[..], 4096));
        Ok(())
    }

    #[test]
    fn the_servers_nonce_must_extend_the_clients_nonce() {
        rejected(b"r=abc,s=c2FsdA==,i=1", 2, ScramFault::Nonce);
        rejected(b"r=ab,s=c2FsdA==,i=1", 2, ScramFault::Nonce);
        rejected(b"r=abd1,s=c2FsdA==,i=1", 2, ScramFault::Nonce);
        rejected(b"r=1abc,s=c2FsdA==,i=1", 2, ScramFault::Nonce);
        rejected(b"r=,s=c2FsdA==,i=1", 2, ScramFault::Nonce);
        rejected(b"r=abc d,s=c2FsdA==,i=1", 2, ScramFault::Nonce);
        rejected(b"r=abc\xc3\xa9,s=c2FsdA==,i=1", 2, ScramFault::Nonce);
        rejected(b"r=abc\x7f,s=c2FsdA==,i=1", 2, ScramFault::Nonce);
    }

    #[test]
    fn the_salt_must_be_canonical_base64() {
        rejected(b"r=abcd,s=c2FsdA,i=1", 9, ScramFault::Base64); // no padding
        rejected(b"r=abcd,s=c2FsdB==,i=1", 9, ScramFault::Base64); // extra bits after the end
        rejected(b"r=abcd,s=c2F*dA==,i=1", 9, ScramFault::Base64);
        rejected(b"r=abcd,s=c2Fs dA==,i=1", 9, ScramFault::Base64);
        rejected(b"r=abcd,s=,i=1", 9, ScramFault::Base64);
    }

    #[test]
    fn the_iteration_count_must_be_a_positive_number() {
        for count in [
            "",
            "0",
            "00",
            "01",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1x",
            "0x10",
            "1e3",
            "4294967296",
            "99999999999999999999",
        ] {
            rejected(format!("r=abcd,s=c2FsdA==,i={count}").as_bytes(), 20, ScramFault::Iterations);
        }
    }

    #[test]
    fn the_iteration_count_must_be_within_the_bounds() {
        let count = |count: u32, accepted| {
            let message = format!("r=abcd,s=c2FsdA==,i={count}");
            first(ChannelBinding::Unsupported).server_first(message.as_bytes(), accepted).err()
        };
        let default = Iterations::default();
        assert_eq!(count(1, default), None);
        assert_eq!(count(1_000_000, default), None);
        let too_many = |asked| Some(PolicyError::TooManyIterations { asked, max: 1_000_000 }.into());
        assert_eq!(count(1_000_001, default), too_many(1_000_001));
        assert_eq!(count(u32::MAX, default), too_many(u32::MAX));
        let strict = Iterations { min: 4096, ..default };
        assert_eq!(count(4096, strict), None);
        assert_eq!(
            count(4095, strict),
            Some(PolicyError::TooFewIterations { asked: 4095, min: 4096 }.into())
        );
    }

    #[test]
    fn a_mandatory_extension_is_rejected_at_every_position() {
        rejected(b"m=x,r=abcd,s=c2FsdA==,i=1", 0, ScramFault::Extension);
        rejected(b"r=abcd,m=x,s=c2FsdA==,i=1", 7, ScramFault::Extension);
        rejected(b"r=abcd,s=c2FsdA==,i=1,m=", 22, ScramFault::Extension);
    }

    #[test]
    fn a_malformed_challenge_is_rejected() {
        rejected(b"", 0, ScramFault::Syntax);
        rejected(b"r", 0, ScramFault::Syntax);
        rejected(b"s=c2FsdA==,r=abcd,i=1", 0, ScramFault::Syntax);
        rejected(b"r=abcd", 7, ScramFault::Syntax);
        rejected(b"r=abcd,", 7, ScramFault::Syntax);
        rejected(b"r=abcd,i=1,s=c2FsdA==", 7, ScramFault::Syntax);
        rejected(b"r=abcd,s=c2FsdA==,i=1,", 22, ScramFault::Syntax);
        rejected(b"r=abcd,s=c2FsdA==,i=1,xx", 22, ScramFault::Syntax);
        rejected(b"r=abcd,s=c2FsdA==,i=1,1=2", 22, ScramFault::Syntax);
        rejected(b"r=abcd,s=c2FsdA==,i=1,x=\0", 22, ScramFault::Syntax);
        rejected(b"R=abcd,s=c2FsdA==,i=1", 0, ScramFault::Syntax);
    }

    #[test]
    fn an_error_from_the_server_is_shown_in_printable_ascii() {
        let reason = |message: &[u8]| match challenged(message) {
            Err(AuthError::Server(Refusal::Scram(reason))) => Some(reason.into_string()),
            _ => None,
        };
        assert_eq!(reason(b"e=unknown-user").as_deref(), Some("unknown-user"));
        assert_eq!(reason(b"e=other-error,x=1").as_deref(), Some("other-error"));
        assert_eq!(reason(b"e=\x1b[31m\n\xc3\xa9").as_deref(), Some("?[31m???"));
        assert_eq!(reason(&[b"e=".as_slice(), &[b'x'; 999]].concat()).map(|reason| reason.len()), Some(64));
    }

    #[test]
    fn only_the_correct_signature_proves_the_server() -> Result<(), AuthError> {
        let challenged = challenged(b"r=abcdef,s=c2FsdA==,i=1")?;
        let salted = challenged.derivation(&"secret".into()).run();
        let last = || challenged.clone().finish(&salted);
        let right = format!("v={}", STANDARD.encode(last().signature.as_slice()));

        assert!(!last().server_final(right.as_bytes())?.is_bound());
        last().server_final(format!("{right},x=unknown").as_bytes())?;

        let rejected = |message: &[u8], offset, fault| {
            let error = PeerError::Scram { message: "server-final-message", offset, fault };
            assert_eq!(last().server_final(message).err(), Some(error.into()));
        };
        rejected(format!("v={}", STANDARD.encode([0; 32])).as_bytes(), 2, ScramFault::Signature);
        rejected(format!("v={}", STANDARD.encode([0; 31])).as_bytes(), 2, ScramFault::Base64);
        rejected(b"v=", 2, ScramFault::Base64);
        rejected(b"", 0, ScramFault::Syntax);
        rejected(format!("{right},").as_bytes(), right.len() + 1, ScramFault::Syntax);
        rejected(format!("{right},m=x").as_bytes(), right.len() + 1, ScramFault::Extension);
        rejected(format!("m=x,{right}").as_bytes(), 0, ScramFault::Extension);
        let denied = Refusal::Scram("invalid-proof".into());
        assert_eq!(last().server_final(b"e=invalid-proof").err(), Some(denied.into()));
        Ok(())
    }

    #[test]
    fn debug_output_hides_the_secrets_of_the_states() -> Result<(), AuthError> {
        let bound = first(ChannelBinding::TlsServerEndPoint(vec![1, 2, 3]));
        assert_eq!(format!("{bound:?}"), "ClientFirst { bound: true, .. }");
        let challenged = challenged(b"r=abcdef,s=c2FsdA==,i=1")?;
        assert_eq!(format!("{challenged:?}"), "ClientChallenged { iterations: 1, .. }");
        let last = challenged.clone().finish(&challenged.derivation(&"secret".into()).run());
        assert_eq!(format!("{last:?}"), "ClientFinal { bound: false, .. }");
        Ok(())
    }
}
