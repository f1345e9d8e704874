use std::num::NonZeroU32;

use pg_auth::error::AuthError;
use pg_auth::scram::{ChannelBinding, ClientFirst, Iterations, Nonce, OfferedBinding, ServerFirst, Verifier};

use crate::input::Input;
use crate::secrets::{PASSWORD, assert_hidden};

/// Reads arbitrary messages of SCRAM in both roles, and arbitrary stored verifiers. Also damages one message of a valid exchange: the
/// exchange must then fail.
pub fn scram(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = input.byte();
    let binding = match settings & 0x30 {
        0x00 => Binding::Unsupported,
        0x10 => Binding::NotOffered,
        _ => Binding::Bound,
    };
    match settings & 7 {
        0 => drop(binding.client().server_first(input.rest(), few()).map_err(shown)),
        1 => {
            let first = binding.client().server_first(b"r=rOprNGfwEbeRWgbNEkqOabc,s=c2FsdA==,i=1", few());
            let first = first.expect("a valid challenge");
            let salted = first.derivation(&PASSWORD.into()).run();
            assert!(
                first.finish(&salted).server_final(input.rest()).map_err(shown).is_err(),
                "a forged signature"
            );
        }
        2 => drop(binding.server().client_first(input.rest()).map_err(shown)),
        3 => {
            let challenge =
                binding.server().client_first(&binding.client().message()).expect("a valid message");
            assert!(challenge.client_final(input.rest()).map_err(shown).is_err(), "a forged proof");
        }
        4 => verifier(input.rest()),
        _ => damaged_exchange(binding, &mut input),
    }
}

/// The channel binding of an exchange.
#[derive(Clone, Copy)]
enum Binding {
    Unsupported,
    NotOffered,
    Bound,
}

impl Binding {
    fn client(self) -> ClientFirst {
        let binding = match self {
            Self::Unsupported => ChannelBinding::Unsupported,
            Self::NotOffered => ChannelBinding::NotOffered,
            Self::Bound => ChannelBinding::TlsServerEndPoint(vec![7; 32]),
        };
        ClientFirst::new(nonce("rOprNGfwEbeRWgbNEkqO"), binding)
    }

    fn server(self) -> ServerFirst {
        let offered = match self {
            Self::Unsupported => OfferedBinding::Declined,
            Self::NotOffered => OfferedBinding::NotOffered,
            Self::Bound => OfferedBinding::TlsServerEndPoint(vec![7; 32]),
        };
        ServerFirst::new(stored(), nonce("3rfcNHYJY1ZVvWVs7j"), offered)
    }
}

fn nonce(text: &str) -> Nonce {
    text.parse().expect("a nonce")
}

fn stored() -> Verifier {
    Verifier::new(&PASSWORD.into(), b"salt".to_vec(), NonZeroU32::MIN)
}

/// Returns the iteration counts that the client accepts: 1 and 2. The derivation of keys takes most of the time of an input, so a larger
/// count would make the target slow.
fn few() -> Iterations {
    Iterations { min: 1, max: 2 }
}

fn shown(error: AuthError) -> AuthError {
    assert_hidden(&format!("{error} {error:?}"));
    error
}

/// Parses a stored verifier and writes it as text. The text must be parsed as the same verifier.
fn verifier(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let verifier: Verifier = match text.parse() {
        Ok(verifier) => verifier,
        Err(error) => return drop(format!("{error} {error:?}")),
    };
    let printed = verifier.to_string();
    let again: Verifier = printed.parse().expect("a printed verifier is valid");
    assert_eq!(again.to_string(), printed);
    assert_eq!((again.salt(), again.iterations()), (verifier.salt(), verifier.iterations()));
}

/// Runs a valid exchange in which one message is replaced or changed. At least one side must reject the exchange.
fn damaged_exchange(binding: Binding, input: &mut Input<'_>) {
    let which = input.byte() & 3;
    let (at, mask) = (usize::from(input.byte()), input.byte());
    let insert = input.rest();
    let mut is_damaged = false;
    let mut send = |index: u8, message: &[u8]| {
        let mut sent = message.to_vec();
        if index == which {
            let at = at % (sent.len() + 1);
            if let Some(byte) = sent.get_mut(at) {
                *byte ^= mask;
            }
            sent.splice(at..at, insert.iter().copied());
        }
        // In the server's last message, an extension may follow the signature. The signature does not cover this extension, so the client
        // must ignore the extension.
        let is_extended = index == 3 && sent.strip_prefix(message).is_some_and(|rest| rest.starts_with(b","));
        is_damaged |= sent != message && !is_extended;
        sent
    };
    let result = (|| {
        let client = binding.client();
        let challenge = binding.server().client_first(&send(0, &client.message()))?;
        let challenged = client.server_first(&send(1, challenge.message()), few())?;
        let salted = challenged.derivation(&PASSWORD.into()).run();
        let last = challenged.finish(&salted);
        let accepted = challenge.client_final(&send(2, last.message()))?;
        last.server_final(&send(3, accepted.message())).map(drop)
    })();
    // The server ignores unknown extensions in the client's messages, and the client ignores unknown extensions in the server's challenge.
    // But these extensions are part of the signed text, so the exchange fails if such an extension was inserted.
    match result {
        Ok(()) => assert!(!is_damaged, "a damaged exchange is accepted"),
        Err(error) => {
            shown(error);
            assert!(is_damaged || which == 3 && !insert.is_empty(), "a valid exchange is rejected");
        }
    }
}
