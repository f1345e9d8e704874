//! Tests of all orders in which a server could send its messages.

use pg_auth::config::{AuthMethod, RequireAuth};
use pg_auth::{Config, Handshake, Link};
use pg_wire::backend::{Authentication as Auth, NegotiateProtocolVersion};
use pg_wire::codec::{List, Secret};
use pg_wire::frontend::ProtocolVersion;

use crate::support::*;

/// The messages of a server, one letter for each.
///
/// `o` AuthenticationOk, `p` a request for the password, `m` a request for an MD5 hash, `s` a request for SCRAM, `c` the SCRAM challenge,
/// `f` the server's proof, `x` a wrong proof, `v` an older version, `n` a notice, `t` a parameter, `k` the cancel key, `z` ReadyForQuery.
const LETTERS: &str = "opmscfxvntkz";

fn word(letter: u8) -> Vec<u8> {
    match letter {
        b'o' => encoded(&Auth::Ok),
        b'p' => encoded(&Auth::CleartextPassword),
        b'm' => encoded(&Auth::Md5Password { salt: [1, 2, 3, 4] }),
        b's' => sasl(&["SCRAM-SHA-256"]),
        b'c' => encoded(&Auth::SaslContinue(Secret(CHALLENGE))),
        b'f' => encoded(&Auth::SaslFinal(Secret(PROOF))),
        b'x' => encoded(&Auth::SaslFinal(Secret(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))),
        b'v' => {
            encoded(&NegotiateProtocolVersion { version: ProtocolVersion::V3_0, unrecognized: List::EMPTY })
        }
        b'n' => b"N\0\0\0\x08Mx\0\0".to_vec(),
        b't' => encoded(&parameter("a", "b")),
        b'k' => encoded(&KEY),
        _ => encoded(&READY),
    }
}

/// A SCRAM challenge with one iteration, and the server's proof for the client's nonce and [`PASSWORD`].
const CHALLENGE: &[u8] =
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=c2l4dGVlbiBieXRlcy4uLg==,i=1";
const PROOF: &[u8] = b"v=D4qVMev0EAn0iU3QhN8raQ/QauutPc+vp5Cv+OG62+A=";

/// Returns whether this sequence of messages is valid so far, and whether the sequence is complete. This function follows the message flow
/// in the manual, and shares no code with the state machine.
fn may(sent: &str, methods: &str) -> (bool, bool) {
    let rest: String = sent.chars().filter(|letter| *letter != 'n').collect();
    let rest = rest.strip_prefix('v').unwrap_or(&rest);
    for (way, method) in [("o", 'o'), ("po", 'p'), ("mo", 'm'), ("scfo", 's')] {
        if !methods.contains(method) {
            continue;
        }
        if way.starts_with(rest) {
            return (true, false);
        }
        if let Some(rest) = rest.strip_prefix(way) {
            let rest = rest.trim_start_matches(['t', 'k']);
            if rest.is_empty() || rest == "z" {
                return (true, rest == "z");
            }
        }
    }
    (false, false)
}

fn replay<'c>(config: &'c Config, sent: &str) -> Machine<'c> {
    let handshake = Handshake::new(config, Link::Unix).expect("a valid configuration");
    let mut machine = Machine::new(handshake.nonce(nonce(CLIENT_NONCE)));
    for letter in sent.bytes() {
        machine.receive(&word(letter), usize::MAX);
    }
    machine
}

/// Appends each letter in turn to `sent`, and compares the state machine with `may`. Recurses while the sequence is valid.
fn explore(config: &Config, methods: &str, sent: &mut String, depth: usize, seen: &mut (usize, usize)) {
    for letter in LETTERS.chars() {
        sent.push(letter);
        let machine = replay(config, sent);
        let (alive, ready) = may(sent, methods);
        let refused = matches!(machine.outcome, Some(Err(_)));
        assert_eq!(
            (!refused, machine.is_ready()),
            (alive, ready),
            "{sent:?} with {methods:?}: {:?}",
            machine.outcome
        );
        seen.0 += 1;
        seen.1 += usize::from(ready);
        if alive && !ready && depth > 1 {
            explore(config, methods, sent, depth - 1, seen);
        }
        sent.pop();
    }
}

#[test]
fn only_message_orders_of_the_manual_lead_to_a_session() {
    let all = with_password().protocol_versions(ProtocolVersion::V3_0, ProtocolVersion::V3_2);
    let only = |method| all.clone().require_auth(RequireAuth::only(&[method]));
    for (config, methods) in [
        (all.clone(), "opms"),
        (only(AuthMethod::None), "o"),
        (only(AuthMethod::Password), "p"),
        (only(AuthMethod::Md5), "m"),
        (only(AuthMethod::ScramSha256), "s"),
    ] {
        let mut seen = (0, 0);
        explore(&config, methods, &mut String::new(), 6, &mut seen);
        assert!(seen.1 > 0, "none of {} leads to a session", seen.0);
    }
}
