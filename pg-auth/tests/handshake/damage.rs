//! Tests of damaged conversations: bytes or messages from the server are cut, changed, left out, doubled or swapped.

use std::ops::Range;

use pg_auth::config::AuthMethod;
use pg_auth::{Config, Handshake, Link, md5};

use crate::support::*;
use crate::wire::{Method, Server};

/// Returns the server's messages in a successful login, and the range of messages that must arrive unchanged. AuthenticationOk is the last
/// message of the range: a change in a later message only affects the reported parameters.
fn script(method: Method) -> (Vec<Vec<u8>>, Range<usize>) {
    let config = with_password();
    let mut server = Server::new(method);
    let mut machine = machine(&config);
    let mut script = Vec::new();
    while machine.outcome.is_none() {
        let answers = server.receive(&machine.sent());
        assert!(!answers.is_empty(), "the server must answer");
        for answer in answers {
            machine.receive(&answer, usize::MAX);
            script.push(answer);
        }
    }
    assert!(machine.is_ready());
    let ok = script
        .iter()
        .position(|message| message.starts_with(b"R\0\0\0\x08\0\0\0\0"))
        .expect("the script has an AuthenticationOk");
    (script, 0..ok + 1)
}

fn scripts() -> Vec<(AuthMethod, Vec<Vec<u8>>, Range<usize>)> {
    let stored = md5::Verifier::new(b"user", &PASSWORD.into());
    [
        (AuthMethod::None, Method::Trust),
        (AuthMethod::Password, Method::Cleartext(PASSWORD.into())),
        (AuthMethod::Md5, Method::Md5(stored)),
        (AuthMethod::ScramSha256, Method::Scram(verifier(), nonce(SERVER_NONCE))),
    ]
    .map(|(name, method)| {
        let (script, proof) = script(method);
        (name, script, proof)
    })
    .into()
}

fn machine(config: &Config) -> Machine<'_> {
    let handshake = Handshake::new(config, Link::Unix).expect("a valid configuration");
    Machine::new(handshake.nonce(nonce(CLIENT_NONCE)))
}

/// Returns the client's state machine after it has received the bytes of `stream` from a server.
fn machine_after<'c>(config: &'c Config, stream: &[u8]) -> Machine<'c> {
    let mut machine = machine(config);
    machine.receive(stream, usize::MAX);
    machine
}

/// Whether the login has succeeded by this method.
fn is_in(machine: &Machine<'_>, method: AuthMethod) -> bool {
    matches!(&machine.outcome, Some(Ok(session)) if session.auth_method == method)
}

#[test]
fn a_truncated_login_has_no_outcome() {
    let config = with_password();
    for (method, script, _) in scripts() {
        let stream = script.concat();
        for end in 0..stream.len() {
            assert!(machine_after(&config, &stream[..end]).outcome.is_none(), "{method}, cut at {end}");
        }
        assert!(is_in(&machine_after(&config, &stream), method));
    }
}

#[test]
fn no_bit_of_a_proof_can_be_changed() {
    let config = with_password();
    for (method, script, proof) in scripts() {
        let good = script.concat();
        let proven = script[proof].concat().len();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut stream = good.clone();
                stream[at] ^= 1 << bit;
                let machine = machine_after(&config, &stream);
                // Every MD5 salt is valid for the client. Only the server can check the answer.
                let is_salt = method == AuthMethod::Md5 && (9..13).contains(&at);
                if at < proven && !is_salt {
                    assert!(!machine.is_ready(), "{method}, byte {at}, bit {bit}: {machine:?}");
                } else if machine.is_ready() {
                    assert!(is_in(&machine, method), "{method}, byte {at}, bit {bit}: {machine:?}");
                }
                let shown = format!("{machine:?}");
                assert!(!shows(&shown, PASSWORD.as_bytes()), "{shown}");
            }
        }
    }
}

#[test]
fn no_message_of_a_proof_can_be_left_out_doubled_or_swapped() {
    let config = with_password();
    for (method, script, proof) in scripts() {
        let refused = |changed: Vec<Vec<u8>>, how: &str| {
            let machine = machine_after(&config, &changed.concat());
            assert!(!is_in(&machine, method), "{method}, {how}: {machine:?}");
            // A server may accept a client without asking for a password, so the client may be ready. But a server that has begun SCRAM
            // must finish the exchange.
            assert!(method != AuthMethod::ScramSha256 || !machine.is_ready(), "{how}: {machine:?}");
        };
        for at in proof {
            let mut missing = script.clone();
            missing.remove(at);
            refused(missing, &format!("without {at}"));
            let mut doubled = script.clone();
            doubled.insert(at, script[at].clone());
            refused(doubled, &format!("{at} twice"));
            for other in at + 1..script.len() {
                let mut swapped = script.clone();
                swapped.swap(at, other);
                refused(swapped, &format!("{at} and {other} swapped"));
            }
        }
    }
}

/// An attacker has recorded a whole login, and sends the server's messages again, to a client whose nonce differs from the recorded nonce.
#[test]
fn a_replayed_login_is_rejected() {
    let config = with_password();
    let (_, script, _) = scripts().pop().expect("SCRAM is the last");
    let handshake = Handshake::new(&config, Link::Tcp).expect("a valid configuration");
    let mut machine = Machine::new(handshake);
    machine.receive(&script.concat(), usize::MAX);
    assert!(matches!(machine.outcome, Some(Err(_))), "{machine:?}");
}
