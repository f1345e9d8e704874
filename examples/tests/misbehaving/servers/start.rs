//! Servers at the start of a connection: servers of other protocols, servers that close early or stay silent, several hosts, and
//! Unix-domain sockets.

use pg_auth::config::SslMode;

use super::{Row, SESSION, answer, check, good, row, say};
use crate::peer::{Act, Script};
use crate::wire::{OK, cleartext, fatal, message, parameter, welcome};

fn ending(bytes: impl AsRef<[u8]>) -> Script {
    vec![Act::Packet, say(bytes), Act::HalfClose]
}

const CLOSED: &str = "the peer closed the connection during the login";
const LATE: &str = "no session within the time limit of 0.2 s";

/// Script of a server that is starting up.
fn starting() -> Script {
    answer(fatal("57P03", "the database system is starting up"))
}

#[test]
fn another_protocol_on_the_port_is_reported() {
    check(&[
        row(
            "HTTP",
            answer(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"),
            "does not use the PostgreSQL protocol: its answer begins with \"HTTP/1.1 400 Bad Request\"",
        ),
        row(
            "SSH, whose server sends first",
            vec![say(b"SSH-2.0-OpenSSH_9.6\r\n")],
            "its answer begins with \"SSH-2.0-OpenSSH_9.6\"",
        ),
        row(
            "SMTP",
            vec![say(b"220 mail.example ESMTP\r\n")],
            "its answer begins with \"220 mail.example ESMTP\"",
        ),
        row("Redis", answer(b"-ERR unknown command\r\n"), "its answer begins with \"-ERR unknown command\""),
        row(
            "MySQL, whose server sends first",
            vec![say(b"\x4a\0\0\0\x0a8.0.36\0"), Act::HalfClose],
            "the server sent",
        ),
        row("a TLS alert", answer(b"\x15\x03\x03\0\x02\x02\x28"), "the server answers with TLS"),
        row(
            "a text in place of a message",
            answer(b"Ecould not fork new process: \x1b[2J\n\0"),
            "the server refused the connection: could not fork new process: ?[2J",
        )
        .hides("\x1b"),
        row(
            "a flood of text",
            vec![Act::Packet, Act::Flood(vec![b'A'; 4096], 4096)],
            "its answer begins with \"AAAAAAAA",
        ),
        row("a flood of zeros", vec![Act::Packet, Act::Flood(vec![0; 4096], 4096)], "invalid length 0"),
        row(
            "a flood of text after E",
            vec![Act::Packet, say(b"E"), Act::Flood(vec![b'A'; 4096], 4096)],
            "the server refused the connection: AAAA",
        ),
    ]);
}

#[test]
fn a_server_that_closes_early_or_is_silent_is_an_error() {
    check(&[
        row("the end at once", vec![Act::HalfClose], CLOSED),
        row("the end after the start-up message", ending(b""), CLOSED),
        row(
            "a reset after the start-up message",
            vec![Act::Packet, Act::Reset],
            "the connection failed during the login",
        ),
        row("the end in a header", ending(b"R\0\0"), CLOSED),
        row("the end in a body", ending(b"R\0\0\0\x08\0\0"), CLOSED),
        row("the end after AuthenticationOk", ending(OK), CLOSED),
        row("the end before ReadyForQuery", ending(&welcome()[..welcome().len() - 6]), CLOSED),
        row("an error and the end", ending(fatal("28000", "no entry for you")), "no entry for you"),
        row(
            "an error before the start-up message",
            vec![say(fatal("53300", "sorry, too many clients already"))],
            "sorry, too many clients already",
        ),
        row("silence", vec![Act::Packet], LATE).impatient(),
        row("silence after a byte", answer(b"R"), LATE).impatient(),
        row("silence in a body", answer(b"R\0\0\0\x08\0"), LATE).impatient(),
        row("silence after AuthenticationOk", answer(OK), LATE).impatient(),
        row("silence after the parameters", answer([OK, &parameter("a", "b")].concat()), LATE).impatient(),
        row("byte by byte", vec![Act::Packet, Act::Drip(welcome())], SESSION),
        row("a good login", good(), SESSION),
        row("a login that does not wait for the start-up message", vec![say(welcome())], SESSION),
    ]);
}

#[test]
fn the_next_host_is_tried_only_after_some_errors() {
    let clients = || answer(fatal("53300", "sorry, too many clients already"));
    check(&[
        row("57P03 on the first of two", starting(), SESSION).second(good()),
        row("57P03 on both", starting(), "the database system is starting up").second(starting()),
        row("57P03 without a field V", answer(message(b'E', b"SFATAL\0C57P03\0Mnot yet\0\0")), SESSION)
            .second(good()),
        row("57P03 after AuthenticationOk", answer([OK, &fatal("57P03", "not yet")].concat()), SESSION)
            .second(good()),
        stops("53300 on the first of two", clients(), "sorry, too many clients already"),
        stops("the end on the first of two", ending(b""), CLOSED),
        stops(
            "HTTP on the first of two",
            answer(b"HTTP/1.1 400 Bad Request\r\n"),
            "its answer begins with \"HTTP/1.1",
        ),
        row("silence on the first of two", vec![Act::Packet], SESSION).impatient().second(good()),
    ]);
}

/// Creates a row with a second host. The client must not try the second host after the first host's script.
fn stops(name: &str, script: Script, expected: &'static str) -> Row {
    // No server listens on port 1 of the loopback address. If the client tried this host, the client's error would contain the name
    // "unreachable".
    let unreachable = pg_auth::Host::at_address("unreachable", [127, 0, 0, 1], 1);
    let mut row = row(name, script, expected).hides("unreachable");
    row.last_host = Some(unreachable);
    row
}

#[test]
fn servers_on_a_unix_domain_socket_have_the_same_outcomes() {
    check(&[
        row("a good login", good(), SESSION).unix(),
        row("a good login where TLS is demanded", good(), SESSION).unix().sslmode(SslMode::Require),
        row("the end at once", vec![Act::HalfClose], CLOSED).unix(),
        row("HTTP", answer(b"HTTP/1.1 400 Bad Request\r\n"), "its answer begins with \"HTTP/1.1").unix(),
        row("silence", vec![Act::Packet], LATE).unix().impatient(),
        row(
            "the password in clear text, and an error",
            [answer(cleartext()), vec![Act::Message, say(fatal("28P01", "wrong"))]].concat(),
            "FATAL 28P01: wrong",
        )
        .unix(),
        row("channel binding demanded", vec![], "channel binding is required").unix().binding(),
        row("byte by byte", vec![Act::Packet, Act::Drip(welcome())], SESSION).unix(),
    ]);
}
