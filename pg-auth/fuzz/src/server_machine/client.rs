//! A client that sends arbitrary bytes, well-formed messages, and right answers to each method of authentication.

use std::collections::BTreeSet;

use pg_auth::config::AuthMethod;
use pg_auth::md5;
use pg_auth::scram::{ChannelBinding, ClientFirst, Iterations, SCRAM_SHA_256};
use pg_wire::backend::{Authentication, Backend};
use pg_wire::codec::Secret;
use pg_wire::frontend::SaslInitialResponse;
use pg_wire::{Encode, Inbox, Limits};

use super::{SALT, USER};
use crate::input::Input;
use crate::secrets::{PASSWORD, TOKEN};

/// The token by which GSSAPI authenticates the user.
pub(super) const TICKET: &[u8] = b"Gs8-ticket-Pk2";

#[derive(Default)]
pub(super) struct Client {
    /// The methods for which the client has sent the right secret or proof.
    proven: BTreeSet<&'static str>,
    first: Option<ClientFirst>,
}

impl Client {
    pub(super) fn has_proven(&self, method: AuthMethod) -> bool {
        self.proven.contains(method.as_str())
    }

    /// Returns the next bytes of the client. `said` contains all bytes that the server has sent.
    pub(super) fn send(&mut self, said: &[u8], input: &mut Input<'_>) -> Vec<u8> {
        let action = input.byte();
        match action & 15 {
            0 => input.bytes(usize::from(action >> 4) + 1).to_vec(),
            1 => {
                let code = input.byte();
                let length = input.byte();
                message(Some(code), input.bytes(length.into()))
            }
            2 => message(None, b"\0\x03\0\0user\0alice\0database\0shop\0\0"),
            3 => message(None, b"\0\x03\0\x02user\0alice\0_pq_.x\0y\0\0"),
            4 => message(None, b"\x04\xd2\x16\x2f"),
            5 => message(None, b"\x04\xd2\x16\x30"),
            6 => message(None, b"\x04\xd2\x16\x2e\0\0\0\x07key."),
            7 => {
                let length = input.byte();
                message(None, input.bytes(length.into()))
            }
            8 => {
                self.proven.insert(AuthMethod::Password.as_str());
                message(Some(b'p'), &[PASSWORD.as_bytes(), b"\0"].concat())
            }
            9 => {
                self.proven.insert(AuthMethod::Md5.as_str());
                let response = md5::response(USER.as_bytes(), &PASSWORD.into(), SALT);
                message(Some(b'p'), &[response.as_bytes(), b"\0"].concat())
            }
            10 => {
                let nonce = "rOprNGfwEbeRWgbNEkqO".parse().expect("a nonce");
                let first = ClientFirst::new(nonce, ChannelBinding::Unsupported);
                let data = first.message();
                self.first = Some(first);
                initial_response(SCRAM_SHA_256, &data)
            }
            11 => self.proof(said).map(|proof| message(Some(b'p'), &proof)).unwrap_or_default(),
            12 => {
                self.proven.insert(AuthMethod::OAuth.as_str());
                initial_response("OAUTHBEARER", format!("n,,\x01auth=Bearer {TOKEN}\x01\x01").as_bytes())
            }
            13 => {
                let length = input.byte();
                let mechanism = if action & 16 == 0 { "OAUTHBEARER" } else { SCRAM_SHA_256 };
                initial_response(mechanism, input.bytes(length.into()))
            }
            14 => {
                self.proven.insert(AuthMethod::Gss.as_str());
                message(Some(b'p'), TICKET)
            }
            _ => {
                let length = input.byte();
                message(Some(b'p'), input.bytes(length.into()))
            }
        }
    }

    /// Returns the client's last SCRAM message, with the proof, if the server has sent a challenge.
    fn proof(&mut self, said: &[u8]) -> Option<Vec<u8>> {
        let mut inbox = Inbox::new(Limits::BACKEND);
        inbox.extend(&said[said.iter().take_while(|byte| **byte == b'N').count()..]);
        while let Ok(Some(frame)) = inbox.next() {
            if let Ok(Backend::Authentication(Authentication::SaslContinue(challenge))) = frame.backend() {
                let challenged = self.first.take()?.server_first(challenge.0, Iterations::default()).ok()?;
                let salted = challenged.derivation(&PASSWORD.into()).run();
                self.proven.insert(AuthMethod::ScramSha256.as_str());
                return Some(challenged.finish(&salted).message().to_vec());
            }
        }
        None
    }
}

fn initial_response(mechanism: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let response = SaslInitialResponse { mechanism: mechanism.into(), data: Some(Secret(data)) };
    response.encode(&mut out).expect("an input is short");
    out
}

/// Encodes a message with this code and this body. `code` is `None` for the packets that have no code: the start-up message, and the
/// requests before it.
fn message(code: Option<u8>, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("an input is short");
    let code: Vec<u8> = code.into_iter().collect();
    [&code, &length.to_be_bytes()[..], body].concat()
}
