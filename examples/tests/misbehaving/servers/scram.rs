//! Servers that send SCRAM messages with malformed fields.

use pg_auth::scram::Iterations;

use super::{Row, SESSION, check, row, say, scram};
use crate::peer::Scram;
use crate::wire::welcome;

/// Creates a row with a server that sends an altered server-first-message.
fn first(name: &str, alter: fn(&str, &str) -> String, expected: &'static str) -> Row {
    row(name, scram(Scram { first: alter, ..Scram::HONEST }), expected)
}

/// Creates a row with a server that sends an altered server-final-message, and then the remaining messages of a valid login.
fn last(name: &str, alter: fn(&str) -> String, expected: &'static str) -> Row {
    row(name, [scram(Scram { last: alter, ..Scram::HONEST }), vec![say(welcome())]].concat(), expected)
}

/// Returns the message with one attribute replaced.
fn with(message: &str, name: &str, value: &str) -> String {
    let replaced = |attribute: &str| match attribute.split_once('=') {
        Some((known, _)) if known == name => format!("{name}={value}"),
        _ => attribute.to_owned(),
    };
    message.split(',').map(replaced).collect::<Vec<_>>().join(",")
}

/// Returns the message without one attribute.
fn without(message: &str, name: &str) -> String {
    let kept = message
        .split(',')
        .filter(|attribute| attribute.split_once('=').is_none_or(|(known, _)| known != name));
    kept.collect::<Vec<_>>().join(",")
}

/// Returns the client's nonce from its client-first-message.
fn nonce(client_first: &str) -> &str {
    client_first.rsplit_once("r=").expect("a nonce").1
}

const NONCE: &str = "invalid SCRAM server-first-message, at byte 2: invalid nonce";
const FIRST: &str = "invalid SCRAM server-first-message, at byte";
const LAST: &str = "invalid SCRAM server-final-message, at byte";

#[test]
fn an_invalid_server_first_message_is_rejected() {
    check(&[
        first("the client's nonce alone", |message, ours| with(message, "r", nonce(ours)), NONCE),
        first("the server's nonce alone", |message, _| with(message, "r", "another-nonce"), NONCE),
        first(
            "the nonces in the wrong order",
            |message, ours| with(message, "r", &format!("server{}", nonce(ours))),
            NONCE,
        ),
        first(
            "the client's nonce with its last character changed",
            |message, ours| {
                let ours = nonce(ours);
                with(message, "r", &format!("{}~{}", &ours[..ours.len() - 1], "server"))
            },
            NONCE,
        ),
        first("an empty nonce", |message, _| with(message, "r", ""), NONCE),
        first(
            "a nonce with a space",
            |message, ours| with(message, "r", &format!("{} x", nonce(ours))),
            NONCE,
        ),
        first(
            "a nonce with an escape",
            |message, ours| with(message, "r", &format!("{}\x1b[2J", nonce(ours))),
            NONCE,
        )
        .hides("\x1b"),
        first(
            "a nonce outside of ASCII",
            |message, ours| with(message, "r", &format!("{}ü", nonce(ours))),
            NONCE,
        ),
        first("no nonce", |message, _| without(message, "r"), FIRST),
        first("no salt", |message, _| without(message, "s"), FIRST),
        first("no iteration count", |message, _| without(message, "i"), FIRST),
        first("an empty salt", |message, _| with(message, "s", ""), "invalid base64 or length"),
        first(
            "a salt that is no base64",
            |message, _| with(message, "s", "a!b="),
            "invalid base64 or length",
        ),
        first(
            "a salt without its padding",
            |message, _| with(message, "s", "c2FsdA"),
            "invalid base64 or length",
        ),
        first(
            "a salt that is not canonical",
            |message, _| with(message, "s", "c2FsdB=="),
            "invalid base64 or length",
        ),
        first("a salt of 21 KB", |message, _| with(message, "s", &"AAAA".repeat(7_000)), SCRAM_GOES_ON),
        first("0 iterations", |message, _| with(message, "i", "0"), "invalid iteration count"),
        first("-1 iterations", |message, _| with(message, "i", "-1"), "invalid iteration count"),
        first("01 iterations", |message, _| with(message, "i", "01"), "invalid iteration count"),
        first("1.5 iterations", |message, _| with(message, "i", "1.5"), "invalid iteration count"),
        first("no number of iterations", |message, _| with(message, "i", ""), "invalid iteration count"),
        first(
            "1,000,001 iterations",
            |message, _| with(message, "i", "1000001"),
            "asked for 1000001 SCRAM iterations, more than the 1000000",
        ),
        first(
            "2^31 iterations",
            |message, _| with(message, "i", "2147483648"),
            "asked for 2147483648 SCRAM iterations, more than",
        ),
        first("2^32 iterations", |message, _| with(message, "i", "4294967296"), "invalid iteration count"),
        first(
            "10^30 iterations",
            |message, _| with(message, "i", &format!("1{}", "0".repeat(30))),
            "invalid iteration count",
        ),
        first(
            "an extension that is mandatory",
            |message, _| format!("m=ext,{message}"),
            "unknown mandatory extension",
        ),
        first(
            "an extension that is mandatory, at the end",
            |message, _| format!("{message},m=ext"),
            "unknown mandatory extension",
        ),
        first(
            "an error in place of the challenge",
            |_, _| "e=no-resources".into(),
            "the server refused the SCRAM exchange: no-resources",
        ),
        first(
            "an error with an escape",
            |_, _| "e=\x1b[2J".into(),
            "the server refused the SCRAM exchange: ?[2J",
        )
        .hides("\x1b"),
        first(
            "an error without a terminator",
            |_, _| format!("e={}", "x".repeat(20_000)),
            "the server refused the SCRAM exchange: xxxx",
        ),
        first(
            "the attributes in another order",
            |message, _| message.split(',').rev().collect::<Vec<_>>().join(","),
            FIRST,
        ),
        first("a comma at the end", |message, _| format!("{message},"), "malformed"),
        first("a zero byte", |message, _| format!("{message},x=\0"), "malformed"),
        first("no message", |_, _| String::new(), FIRST),
        first("a message without attributes", |_, _| "hello".into(), FIRST),
        first(
            "a flood of extensions",
            |message, _| format!("{message}{}", ",x=y".repeat(7_000)),
            SCRAM_GOES_ON,
        ),
    ]);
}

/// Expected error if the client accepts the altered challenge. The client then sends a proof that does not match the original challenge,
/// and the scripted server rejects this proof.
const SCRAM_GOES_ON: &str = "FATAL 28P01: the proof is wrong";

#[test]
fn iteration_counts_outside_of_the_limits_are_refused() {
    let counted = |iterations, min, max, expected| {
        let name = format!("{iterations} iterations where {min} to {max} are allowed");
        let script = [scram(Scram { iterations, ..Scram::HONEST }), vec![say(welcome())]].concat();
        row(name, script, expected).with(|config| config.scram_iterations(Iterations { min, max }))
    };
    let Iterations { min, max } = Iterations::default();
    check(&[
        counted(1, min, max, SESSION),
        counted(
            1,
            4096,
            max,
            "asked for 1 SCRAM iterations, fewer than the 4096 that scram_iterations_min demands",
        ),
        counted(4095, 4096, max, "asked for 4095 SCRAM iterations, fewer than the 4096"),
        counted(4096, 4096, max, SESSION),
        counted(5000, 1, 5000, SESSION),
        counted(
            5001,
            1,
            5000,
            "asked for 5001 SCRAM iterations, more than the 5000 that scram_iterations_max allows",
        ),
    ]);
}

#[test]
fn an_invalid_server_final_message_is_rejected() {
    check(&[
        last("a valid message", |message| message.into(), SESSION),
        last("a valid message with an extension", |message| format!("{message},x=y"), SESSION),
        last("a wrong signature", |_| format!("v={}=", "A".repeat(43)), "wrong server signature"),
        last(
            "a signature whose last byte is wrong",
            |message| {
                let mut signature = message.to_owned();
                let at = signature.len() - 3;
                let other = if &signature[at..=at] == "A" { "B" } else { "A" };
                signature.replace_range(at..=at, other);
                signature
            },
            "wrong server signature",
        ),
        last(
            "a signature of 31 bytes",
            |_| format!("v={}", "A".repeat(40) + "AA=="),
            "invalid base64 or length",
        ),
        last("an empty signature", |_| "v=".into(), "invalid base64 or length"),
        last("a signature that is no base64", |_| "v=!!!!".into(), "invalid base64 or length"),
        last("no signature", |_| "x=y".into(), LAST),
        last("no message", |_| String::new(), LAST),
        last(
            "an error that is known",
            |_| "e=invalid-proof".into(),
            "the server refused the SCRAM exchange: invalid-proof",
        ),
        last(
            "an error with an escape",
            |_| "e=\x1b[2J".into(),
            "the server refused the SCRAM exchange: ?[2J",
        )
        .hides("\x1b"),
        last(
            "an extension that is mandatory",
            |message| format!("m=ext,{message}"),
            "unknown mandatory extension",
        ),
        last("a second challenge in its place", |_| "r=abc,s=c2FsdA==,i=1".into(), LAST),
        last("the client's own proof sent back", |_| "p=AAAA".into(), LAST),
        last(
            "two signatures, the first wrong",
            |message| format!("v={}=,{message}", "A".repeat(43)),
            "wrong server signature",
        ),
    ]);
}
