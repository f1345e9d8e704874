//! A server that sends arbitrary bytes, well-formed messages, and right answers to the client's SCRAM messages.

use pg_auth::scram::{OfferedBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ServerChallenge, ServerFirst};
use pg_wire::frontend::{Initial, SaslInitialResponse};
use pg_wire::{Decode, Frame, Inbox, Limits, MessageCode};

use super::Policy;
use crate::input::Input;

pub(super) struct Server {
    challenge: Option<ServerChallenge>,
    /// Whether the server has sent its signature, which proves that the server knows the user's verifier.
    pub(super) has_proven: bool,
}

impl Server {
    pub(super) fn new() -> Self {
        Self { challenge: None, has_proven: false }
    }

    /// Returns the next bytes of the server. `said` contains all bytes that the client has sent.
    pub(super) fn send(&mut self, said: &[u8], input: &mut Input<'_>) -> Vec<u8> {
        let action = input.byte();
        let authentication = |kind: u8, data: &[u8]| message(b'R', &[&[0, 0, 0, kind], data].concat());
        match action & 15 {
            0 => input.bytes(usize::from(action >> 4) + 1).to_vec(),
            1 => {
                let code = input.byte();
                let length = input.byte();
                message(code, input.bytes(length.into()))
            }
            2 => authentication(0, b""),
            3 => authentication(3, b""),
            4 => authentication(5, b"salt"),
            5 => authentication(10, &[SCRAM_SHA_256.as_bytes(), b"\0\0"].concat()),
            6 => {
                let both = [SCRAM_SHA_256_PLUS, "\0", SCRAM_SHA_256, "\0OAUTHBEARER\0\0"].concat();
                authentication(10, both.as_bytes())
            }
            7 => authentication(10, b"OAUTHBEARER\0\0"),
            8 => self.challenge(said).map(|data| authentication(11, &data)).unwrap_or_default(),
            9 => self.sign(said).map(|data| authentication(12, &data)).unwrap_or_default(),
            10 => authentication(7 + 2 * (action >> 7), b""),
            11 => {
                let length = input.byte();
                authentication(8, input.bytes(length.into()))
            }
            12 => {
                let length = input.byte();
                authentication(11, input.bytes(length.into()))
            }
            13 => message(b'S', b"server_version\x0018\0"),
            14 => message(b'K', b"\0\0\0\x01\0\0\0\x02"),
            _ => message(b'Z', b"I"),
        }
    }

    /// Returns the server's first SCRAM message (the challenge), if the client has sent a valid first message.
    fn challenge(&mut self, said: &[u8]) -> Option<Vec<u8>> {
        let bodies = responses(said);
        let first = bodies.iter().find_map(|body| SaslInitialResponse::decode(body).ok()?.data)?;
        let is_bound = first.0.starts_with(b"p=");
        let offered = if is_bound {
            OfferedBinding::TlsServerEndPoint(vec![7; 32])
        } else {
            OfferedBinding::NotOffered
        };
        let nonce = "3rfcNHYJY1ZVvWVs7j".parse().expect("a nonce");
        let challenge = ServerFirst::new(Policy::verifier(), nonce, offered).client_first(first.0).ok()?;
        let data = challenge.message().to_vec();
        self.challenge = Some(challenge);
        Some(data)
    }

    /// Returns the server's last SCRAM message (the signature), if the client's proof is right.
    fn sign(&mut self, said: &[u8]) -> Option<Vec<u8>> {
        let bodies = responses(said);
        let proof = bodies.last()?;
        let accepted = self.challenge.take()?.client_final(proof).ok()?;
        self.has_proven = true;
        Some(accepted.message().to_vec())
    }
}

/// Returns the bodies of the messages with code `p` that directly follow the first packet in `said`: passwords, and messages of SASL and
/// GSSAPI.
fn responses(said: &[u8]) -> Vec<Vec<u8>> {
    let mut inbox = Inbox::new(Limits::FRONTEND);
    inbox.extend(said);
    let _ = inbox.next_packet(Initial::MAX_LENGTH);
    let mut bodies = Vec::new();
    while let Ok(Some(Frame { code: MessageCode::AUTHENTICATION_RESPONSE, body })) = inbox.next() {
        bodies.push(body.to_vec());
    }
    bodies
}

/// Encodes a message with this code and this body.
fn message(code: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("an input is short");
    [&[code][..], &length.to_be_bytes(), body].concat()
}
