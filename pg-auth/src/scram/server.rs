//! SCRAM in the server role.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::attributes::{Attributes, fault, is_nonce};
use super::{ClientKey, Nonce, ScramKeys, ServerKey, Verifier};
use crate::error::{AuthError, ScramFault};

/// Name of the client's first message, for errors.
pub(crate) const CLIENT_FIRST: &str = "client-first-message";
/// Name of the client's last message, for errors.
const CLIENT_FINAL: &str = "client-final-message";

/// The channel binding that the server offered, and the client's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfferedBinding {
    /// `SCRAM-SHA-256-PLUS` was not offered.
    NotOffered,
    /// `SCRAM-SHA-256-PLUS` was offered, and the client chose `SCRAM-SHA-256`.
    Declined,
    /// The client chose `SCRAM-SHA-256-PLUS`. Contains the `tls-server-end-point` hash of the server's own certificate.
    TlsServerEndPoint(Vec<u8>),
}

/// The server's first state. Pass the client's first message to [`client_first`](Self::client_first).
///
/// ```text
/// ServerFirst ──client-first──▶ ServerChallenge ──client-final──▶ ServerFinal
/// ```
///
/// For a user who does not exist, use a [mock verifier](Verifier::mock). The exchange then has the same steps as for an existing user, and
/// fails at its end, as with a wrong password.
///
/// ```
/// use pg_auth::scram::{OfferedBinding, ServerFirst, Verifier};
///
/// let stored = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
///     WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
/// let verifier: Verifier = stored.parse()?;
/// let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".parse()?; // in a real program: Nonce::random()
///
/// let first = ServerFirst::new(verifier, nonce, OfferedBinding::NotOffered);
/// let challenge = first.client_first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")?;
/// assert_eq!(
///     challenge.message(),
///     b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
/// );
/// let accepted = challenge.client_final(
///     b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
/// )?;
/// assert_eq!(accepted.message(), b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
/// # Ok::<(), pg_auth::error::AuthError>(())
/// ```
#[derive(Debug)]
pub struct ServerFirst {
    verifier: Verifier,
    nonce: Nonce,
    binding: OfferedBinding,
}

impl ServerFirst {
    /// Starts an exchange with the stored verifier of the user in the start-up message.
    pub fn new(verifier: Verifier, nonce: Nonce, binding: OfferedBinding) -> Self {
        Self { verifier, nonce, binding }
    }

    /// Processes the client-first-message. The message contains:
    /// - a binding flag: `n`, `y` or `p=tls-server-end-point`;
    /// - an authorization identity, which must be empty;
    /// - a user name, which is ignored as in PostgreSQL;
    /// - the client's nonce.
    ///
    /// # Errors
    /// [`AuthError::Peer`]: the message is malformed, or has a mandatory extension or an authorization identity. Or the binding flag
    /// contradicts the [`OfferedBinding`], for example `n` although the client chose `SCRAM-SHA-256-PLUS`.
    pub fn client_first(self, message: &[u8]) -> Result<ServerChallenge, AuthError> {
        let syntax = |offset| fault(CLIENT_FIRST, offset, ScramFault::Syntax);

        let mut parts = message.splitn(3, |&byte| byte == b',');
        let (Some(flag), Some(identity), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(syntax(message.len()));
        };
        let identity_at = flag.len() + 1;
        let bare_at = identity_at + identity.len() + 1;

        let binding: &[u8] = match (flag, &self.binding) {
            (b"n", OfferedBinding::NotOffered | OfferedBinding::Declined) => b"",
            (b"y", OfferedBinding::NotOffered) => b"",
            // RFC 5802: "If the flag is set to 'y' and the server supports channel binding, the server MUST fail authentication."
            (b"y", OfferedBinding::Declined) => {
                return Err(fault(CLIENT_FIRST, 0, ScramFault::Downgrade));
            }
            (b"p=tls-server-end-point", OfferedBinding::TlsServerEndPoint(hash)) => hash,
            ([b'p', b'=', kind @ ..], OfferedBinding::TlsServerEndPoint(_))
                if kind != b"tls-server-end-point" =>
            {
                return Err(fault(CLIENT_FIRST, 0, ScramFault::BindingType));
            }
            (b"n" | b"y", _) | ([b'p', b'=', ..], _) => {
                return Err(fault(CLIENT_FIRST, 0, ScramFault::Binding));
            }
            _ => return Err(syntax(0)),
        };
        match identity {
            b"" => {}
            [b'a', b'=', ..] => {
                return Err(fault(CLIENT_FIRST, identity_at, ScramFault::AuthorizationIdentity));
            }
            _ => return Err(syntax(identity_at)),
        }

        let mut attributes = Attributes::new(CLIENT_FIRST, bare, bare_at);
        attributes.expect(b'n')?;
        let nonce = attributes.expect(b'r')?;
        if !is_nonce(nonce.value) {
            return Err(nonce.fault(ScramFault::Nonce));
        }
        attributes.skip_extensions()?;

        let header = message.get(..bare_at).unwrap_or_default();
        let nonce = [nonce.value, self.nonce.as_str().as_bytes()].concat();
        let rest = format!(",s={},i={}", STANDARD.encode(self.verifier.salt()), self.verifier.iterations());
        let answer = [b"r=", nonce.as_slice(), rest.as_bytes()].concat();
        Ok(ServerChallenge {
            auth_message: [bare, b",", &answer, b","].concat(),
            input: STANDARD.encode([header, binding].concat()),
            verifier: self.verifier,
            message: answer,
            nonce,
        })
    }
}

/// The server's second state. Send [`message`](Self::message), and pass the client's answer to [`client_final`](Self::client_final).
pub struct ServerChallenge {
    verifier: Verifier,
    message: Vec<u8>,
    nonce: Vec<u8>,
    /// The expected value of `c=`. It is the base64 of two parts: the header of the client-first-message, then the binding data.
    input: String,
    /// The AuthMessage without its last part, the client-final-message-without-proof.
    auth_message: Vec<u8>,
}

impl ServerChallenge {
    /// The server-first-message: `r=<both nonces>,s=<base64 salt>,i=<iterations>`.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Processes the client-final-message, `c=<base64 binding>,r=<both nonces>,p=<base64 proof of 32 bytes>`.
    ///
    /// # Errors
    /// - [`AuthError::Peer`]: the message is malformed, or belongs to a different TLS channel or a different exchange.
    /// - [`AuthError::Denied`]: the proof is wrong, or the verifier is a [mock](Verifier::mock).
    pub fn client_final(mut self, message: &[u8]) -> Result<ServerFinal, AuthError> {
        let mut attributes = Attributes::new(CLIENT_FINAL, message, 0);
        let input = attributes.expect(b'c')?;
        if input.value != self.input.as_bytes() {
            return Err(input.fault(ScramFault::OtherChannel));
        }
        let nonce = attributes.expect(b'r')?;
        if nonce.value != self.nonce {
            return Err(nonce.fault(ScramFault::Nonce));
        }
        // Extensions may precede the proof, which is the last attribute.
        let proof = loop {
            match attributes.next()? {
                Some(attribute) if attribute.name == b'p' => break attribute,
                Some(_) => {}
                None => return Err(fault(CLIENT_FINAL, message.len(), ScramFault::Syntax)),
            }
        };
        if attributes.next()?.is_some() {
            return Err(proof.fault(ScramFault::Syntax));
        }
        let bytes = proof.base64_32()?;

        let without_proof =
            proof.offset.checked_sub(1).and_then(|end| message.get(..end)).unwrap_or_default();
        self.auth_message.extend_from_slice(without_proof);
        let client_key = self.verifier.recover(&bytes, &self.auth_message).ok_or(AuthError::Denied)?;
        let server_key = self.verifier.server_key().clone();
        let message = format!("v={}", STANDARD.encode(server_key.signature(&self.auth_message).as_slice()));
        Ok(ServerFinal { message: message.into_bytes(), client_key, server_key })
    }
}

impl fmt::Debug for ServerChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerChallenge").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

/// The server's last state: the client has proven that it knows the password. Send [`message`](Self::message), then AuthenticationOk.
///
/// With the client's key and the server's key, a pooler can log in as this user at any server that stores the same verifier as this server:
/// see [`ClientChallenged::finish_with_keys`](super::ClientChallenged::finish_with_keys).
pub struct ServerFinal {
    message: Vec<u8>,
    client_key: ClientKey,
    server_key: ServerKey,
}

impl ServerFinal {
    /// The server-final-message: `v=<base64 signature of 32 bytes>`.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The client's key and the server's key.
    pub fn keys(&self) -> ScramKeys {
        ScramKeys { client: self.client_key.clone(), server: self.server_key.clone() }
    }

    /// The client's key, recovered from the client's proof.
    pub fn client_key(&self) -> &ClientKey {
        &self.client_key
    }

    /// Returns the server's key, which is a part of the verifier.
    pub fn server_key(&self) -> &ServerKey {
        &self.server_key
    }
}

impl fmt::Debug for ServerFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerFinal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::PeerError;
    use crate::scram::{DEFAULT_ITERATIONS, DEFAULT_SALT_LENGTH};

    fn first(binding: OfferedBinding) -> ServerFirst {
        let verifier = Verifier::mock(b"secret", b"alice", DEFAULT_SALT_LENGTH, DEFAULT_ITERATIONS);
        ServerFirst::new(verifier, "def".parse().expect("a printable nonce"), binding)
    }

    #[track_caller]
    fn rejected(binding: OfferedBinding, message: &[u8], offset: usize, fault: ScramFault) {
        let error = PeerError::Scram { message: CLIENT_FIRST, offset, fault };
        let text = String::from_utf8_lossy(message);
        assert_eq!(first(binding).client_first(message).err(), Some(error.into()), "{text:?}");
    }

    #[test]
    fn the_user_name_and_unknown_extensions_are_ignored() {
        for message in ["n,,n=,r=abc", "n,,n=bob,r=abc", "n,,n=a=2Cb==\u{e9},r=abc,x=1,y="] {
            let challenge = first(OfferedBinding::NotOffered).client_first(message.as_bytes());
            let challenge = challenge.expect("a valid message");
            assert!(challenge.message().starts_with(b"r=abcdef,s="));
            assert!(challenge.message().ends_with(b",i=4096"));
        }
    }

    #[test]
    fn the_binding_flag_must_fit_the_offer_and_the_choice() {
        use OfferedBinding::{Declined, NotOffered, TlsServerEndPoint};
        let bound = || TlsServerEndPoint(vec![1, 2, 3]);
        for (flag, binding) in
            [("n", NotOffered), ("y", NotOffered), ("n", Declined), ("p=tls-server-end-point", bound())]
        {
            let message = format!("{flag},,n=,r=abc");
            assert!(first(binding).client_first(message.as_bytes()).is_ok(), "{flag}");
        }
        rejected(Declined, b"y,,n=,r=abc", 0, ScramFault::Downgrade);
        rejected(bound(), b"y,,n=,r=abc", 0, ScramFault::Binding);
        rejected(bound(), b"n,,n=,r=abc", 0, ScramFault::Binding);
        rejected(bound(), b"p=tls-unique,,n=,r=abc", 0, ScramFault::BindingType);
        rejected(bound(), b"p=,,n=,r=abc", 0, ScramFault::BindingType);
        rejected(NotOffered, b"p=tls-server-end-point,,n=,r=abc", 0, ScramFault::Binding);
        rejected(Declined, b"p=tls-server-end-point,,n=,r=abc", 0, ScramFault::Binding);
        rejected(bound(), b"p,,n=,r=abc", 0, ScramFault::Syntax);
        rejected(NotOffered, b"N,,n=,r=abc", 0, ScramFault::Syntax);
        rejected(NotOffered, b",,n=,r=abc", 0, ScramFault::Syntax);
    }

    #[test]
    fn a_malformed_first_message_is_rejected() {
        let plain = |message, offset, fault| rejected(OfferedBinding::NotOffered, message, offset, fault);
        plain(b"", 0, ScramFault::Syntax);
        plain(b"n", 1, ScramFault::Syntax);
        plain(b"n,", 2, ScramFault::Syntax);
        plain(b"n,,", 3, ScramFault::Syntax);
        plain(b"n,a=bob,n=,r=abc", 2, ScramFault::AuthorizationIdentity);
        plain(b"n,bob,n=,r=abc", 2, ScramFault::Syntax);
        plain(b"n,,m=x,n=,r=abc", 3, ScramFault::Extension);
        plain(b"n,,n=,r=abc,m=x", 12, ScramFault::Extension);
        plain(b"n,,r=abc", 3, ScramFault::Syntax);
        plain(b"n,,n=", 6, ScramFault::Syntax);
        plain(b"n,,n=,r=", 8, ScramFault::Nonce);
        plain(b"n,,n=,r=a b", 8, ScramFault::Nonce);
        plain(b"n,,n=,r=\xc3\xa9", 8, ScramFault::Nonce);
        plain(b"n,,n=,r=abc,", 12, ScramFault::Syntax);
    }

    #[test]
    fn a_malformed_final_message_is_rejected() {
        let challenge = || first(OfferedBinding::NotOffered).client_first(b"n,,n=,r=abc");
        let answer = |message: &[u8]| challenge().and_then(|challenge| challenge.client_final(message)).err();
        let rejected = |message: &str, offset, fault| {
            let error = PeerError::Scram { message: CLIENT_FINAL, offset, fault };
            assert_eq!(answer(message.as_bytes()), Some(error.into()), "{message:?}");
        };
        let proof = format!("p={}", STANDARD.encode([0; 32]));
        assert_eq!(answer(format!("c=biws,r=abcdef,{proof}").as_bytes()), Some(AuthError::Denied));
        assert_eq!(answer(format!("c=biws,r=abcdef,x=1,y=,{proof}").as_bytes()), Some(AuthError::Denied));

        rejected(&format!("c=eSws,r=abcdef,{proof}"), 2, ScramFault::OtherChannel);
        rejected(&format!("c=,r=abcdef,{proof}"), 2, ScramFault::OtherChannel);
        rejected(&format!("c=biws,r=abc,{proof}"), 9, ScramFault::Nonce);
        rejected(&format!("c=biws,r=abcdefg,{proof}"), 9, ScramFault::Nonce);
        rejected(&format!("r=abcdef,c=biws,{proof}"), 0, ScramFault::Syntax);
        rejected(&format!("m=x,c=biws,r=abcdef,{proof}"), 0, ScramFault::Extension);
        rejected(&format!("c=biws,r=abcdef,m=x,{proof}"), 16, ScramFault::Extension);
        rejected(&format!("c=biws,r=abcdef,{proof},x=1"), 18, ScramFault::Syntax);
        rejected(&format!("c=biws,r=abcdef,{proof},"), 63, ScramFault::Syntax);
        rejected("c=biws,r=abcdef", 15, ScramFault::Syntax);
        rejected("c=biws,r=abcdef,p=", 18, ScramFault::Base64);
        rejected("c=biws,r=abcdef,p=AAAA", 18, ScramFault::Base64);
        rejected("", 0, ScramFault::Syntax);
    }

    #[test]
    fn debug_output_hides_the_secrets_of_the_states() -> Result<(), AuthError> {
        let first = first(OfferedBinding::NotOffered);
        assert!(format!("{first:?}").contains("verifier: Verifier { iterations: 4096, .. }"));
        let challenge = first.client_first(b"n,,n=,r=abc")?;
        assert_eq!(
            format!("{challenge:?}"),
            "ServerChallenge { verifier: Verifier { iterations: 4096, .. }, .. }"
        );
        Ok(())
    }
}
