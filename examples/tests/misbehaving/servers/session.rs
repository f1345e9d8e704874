//! Servers that send unexpected messages after AuthenticationOk, or floods of messages before and after AuthenticationOk.

use super::{Row, SESSION, answer, check, row, say, scram};
use crate::peer::{Act, Scram, Script};
use crate::wire::{KEY, OK, READY, fatal, message, notice, notification, parameter, sasl, welcome};

/// Creates a row with a server that sends these bytes after AuthenticationOk, and stays connected.
fn settles(name: &str, bytes: impl AsRef<[u8]>, expected: &'static str) -> Row {
    row(name, answer([OK, bytes.as_ref()].concat()), expected)
}

/// Creates a row with a server that sends the bytes `first`, and then 64 MiB of copies of the message `again`.
fn floods(name: &str, first: impl AsRef<[u8]>, again: Vec<u8>, expected: &'static str) -> Row {
    // The client must return the error `expected` before it has received 64 MiB. A client that accepted all messages would take too much
    // memory, and its login would succeed.
    let times = (64 << 20) / again.len();
    let script = [answer(first), vec![Act::Flood(again, times), say(welcome()), say(READY)]].concat();
    row(name, script, expected)
}

/// Creates a row with a server that sends AuthenticationOk, `times` copies of the message `again`, and ReadyForQuery.
fn repeats(name: &str, again: Vec<u8>, times: usize) -> Row {
    row(name, [answer(OK), vec![Act::Flood(again, times), say(READY)]].concat(), SESSION)
}

const FLOOD: &str = "the server sent too many notices or parameters";

#[test]
fn unexpected_messages_after_authentication_ok_have_the_expected_outcome() {
    check(&[
        settles(
            "an error",
            fatal("57P01", "terminating connection due to administrator command"),
            "FATAL 57P01: terminating connection",
        ),
        settles("a row", message(b'D', b"\0\0"), "the server sent DataRow where ReadyForQuery was expected"),
        settles(
            "a description",
            message(b'T', b"\0\0"),
            "the server sent RowDescription where ReadyForQuery was expected",
        ),
        settles(
            "the start of a COPY",
            message(b'G', b"\0\0\0"),
            "the server sent CopyInResponse where ReadyForQuery was expected",
        ),
        settles(
            "the start of replication",
            message(b'W', b"\0\0\0"),
            "the server sent CopyBothResponse where ReadyForQuery was expected",
        ),
        settles(
            "the end of a command",
            message(b'C', b"SELECT 1\0"),
            "the server sent CommandComplete where ReadyForQuery was expected",
        ),
        settles("an unknown message", message(b'x', b""), "where ReadyForQuery was expected"),
        settles("a message of a client", message(b'Q', b"select 1\0"), "where ReadyForQuery was expected"),
        settles("ReadyForQuery inside of a transaction", b"Z\0\0\0\x05T", SESSION),
        settles("ReadyForQuery with an unknown status", b"Z\0\0\0\x05x", SESSION),
        settles("two keys", [KEY, KEY, READY].concat(), SESSION),
        settles("bytes after ReadyForQuery", [READY, READY].concat(), SESSION),
        settles("a parameter without a name", [&parameter("", "x")[..], READY].concat(), SESSION),
        settles(
            "a parameter outside of UTF-8",
            [&message(b'S', b"\xff\xfe\0\x80\0")[..], READY].concat(),
            SESSION,
        ),
        settles("a notice that is empty", [&message(b'N', b"\0")[..], READY].concat(), SESSION),
        settles("a notification", [&notification("x")[..], READY].concat(), SESSION),
    ]);
}

#[test]
fn a_flood_before_authentication_ok_is_rejected() {
    let offer: Script = vec![Act::Packet, say(sasl(&["SCRAM-SHA-256"])), Act::Message];
    let inside = |again: Vec<u8>| {
        let times = (64 << 20) / again.len();
        [offer.clone(), vec![Act::Flood(again, times), say(welcome())]].concat()
    };
    check(&[
        floods("notices", b"", notice("beware"), FLOOD),
        floods("empty notices", b"", message(b'N', b"\0"), FLOOD),
        floods("notices of 20 KB", b"", notice(&"x".repeat(20_000)), FLOOD),
        floods(
            "notices of many fields",
            b"",
            message(b'N', [b"Mx\0".repeat(6_000), vec![0]].concat()),
            FLOOD,
        ),
        row("notices inside of SCRAM", inside(notice("beware")), FLOOD),
        floods(
            "notifications",
            b"",
            notification("x"),
            "the server sent NotificationResponse where a request for authentication was expected",
        ),
        floods(
            "parameters",
            b"",
            parameter("a", "b"),
            "the server sent ParameterStatus where a request for authentication was expected",
        ),
        floods(
            "offers",
            b"",
            sasl(&["SCRAM-SHA-256"]),
            "the server sent AuthenticationSASL where AuthenticationSASLContinue was expected",
        ),
        floods("headers without a terminator", b"", b"R\0\0\x75\x34".to_vec(), "not supported"),
        row(
            "fifty notices and a good login",
            [vec![
                Act::Packet,
                say(notice("beware").repeat(50)),
                say(sasl(&["SCRAM-SHA-256"])),
                Act::Scram(Scram::HONEST),
                say(welcome()),
            ]]
            .concat(),
            SESSION,
        ),
    ]);
}

#[test]
fn a_flood_after_authentication_ok_is_rejected() {
    // The client keeps at most 4 MiB of notices and notifications, in vectors whose capacity may be twice as large.
    const KEPT: u64 = 8 << 20;
    let names: Vec<u8> = (0..100_000).flat_map(|number| parameter(&format!("p{number}"), "")).collect();
    let long: Vec<u8> =
        (0..100).flat_map(|number| parameter(&format!("p{number}"), &"x".repeat(20_000))).collect();
    check(&[
        floods("notices", OK, notice("beware"), FLOOD).most(KEPT),
        floods("empty notices", OK, message(b'N', b"\0"), FLOOD).most(KEPT),
        floods("notices of 1 MB", OK, notice(&"x".repeat(1_000_000)), FLOOD).most(KEPT),
        floods("notifications", OK, notification("x"), FLOOD).most(KEPT),
        floods("empty notifications", OK, message(b'A', b"\0\0\0\x07\0\0"), FLOOD).most(KEPT),
        settles("parameters of many names", names, FLOOD),
        settles("parameters of many long values", long, FLOOD),
        floods("keys", OK, KEY.to_vec(), FLOOD),
        repeats("a parameter 100,000 times", parameter("TimeZone", "UTC"), 100_000),
        repeats("a parameter of 20 KB 1,000 times", parameter("TimeZone", &"x".repeat(20_000)), 1_000),
        repeats("a thousand notices", notice("beware"), 1_000),
        row(
            "a thousand notifications after SCRAM",
            [scram(Scram::HONEST), vec![say(OK), Act::Flood(notification("x"), 1_000), say(READY)]].concat(),
            SESSION,
        ),
    ]);
}
