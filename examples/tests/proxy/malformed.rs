//! Tests of messages with a valid header and a body that cannot be decoded. The proxy must pass on such a message without an error of its
//! own, so that the receiver reports the error.

use std::io::Write;
use std::net::SocketAddr;

use pg_wire::backend::Backend;

use crate::process::Proxy;
use crate::support::Server;
use crate::wire::{Client, done, polite_server, query, server, take_packet, to_the_end, welcome};

/// Encodes a message with this code and this body.
fn message(code: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short one").to_be_bytes();
    [&[code][..], &length, body].concat()
}

/// Sequences of messages. In each sequence, one message cannot be decoded. The first value is the name of this message in the trace, the
/// second value is the bytes of the whole sequence.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let sync = message(b'S', b"");
    let bind =
        |body: &[u8]| [message(b'P', b"\0select $1::text\0\0\0"), message(b'B', body), sync.clone()].concat();
    vec![
        ("Query", message(b'Q', b"select 1\0select 2\0")),
        ("Query", message(b'Q', b"select 1")),
        ("Parse", [message(b'P', b"\0select 1"), sync.clone()].concat()),
        ("Sync", message(b'S', b"zz")),
        (
            "Bind",
            [message(b'P', b"\0select 1\0\0\0"), message(b'B', b"\0\0\0\0\0\0\0\0zz"), sync.clone()].concat(),
        ),
        ("Bind", bind(b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0")),
        ("Bind", bind(b"\0\0\0\x01\0\x05")),
    ]
}

/// Sends these messages to the address, inside a transaction. Returns the answers: codes, errors, rows and transaction states.
fn answers(address: SocketAddr, said: &[u8]) -> Vec<String> {
    let mut client = Client::let_in(address);
    client.say(&[&query("begin")[..], said, &query("rollback"), &query("select 7")].concat());
    let mut heard = Vec::new();
    let mut left = 4;
    while left > 0 {
        let frame = client.hear().expect("the session goes on");
        heard.push(match frame.backend().expect("well-formed") {
            Backend::ErrorResponse(error) => error.to_owned().to_string(),
            Backend::DataRow(row) => format!("{row:?}"),
            Backend::ReadyForQuery(ready) => {
                left -= 1;
                format!("{:?}", ready.status)
            }
            _ => char::from(frame.code.0).to_string(),
        });
    }
    heard
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_malformed_message_of_the_client_is_passed_to_the_server() {
    for server in Server::both() {
        for options in [&["--check", "--trace", "TRACE"][..], &["--raw"]] {
            let proxy = Proxy::with(server.address, options);
            let raw = options[0] == "--raw";
            for (name, said) in malformed() {
                let ours = answers(proxy.address(), &said);
                assert_eq!(ours, answers(server.address, &said), "{name}");
                let errors = ours.iter().filter(|answer| answer.starts_with("ERROR ")).count();
                assert_eq!(errors, 1, "{name}: {ours:?}");
                let line = format!("\tmalformed {name}: ");
                assert!(
                    raw || proxy.trace().lines().any(|traced| traced.contains(&line)),
                    "{}",
                    proxy.trace()
                );
            }
            let stopped = proxy.stop();
            let all = malformed().len() as u64;
            assert_eq!((stopped.code, stopped.counts[2]), (Some(0), 0), "nothing was changed");
            assert_eq!(stopped.malformed, if raw { 0 } else { all });
            assert_eq!(stopped.said.len() as u64, stopped.malformed, "{:?}", stopped.said);
        }
    }
}

#[test]
fn each_connection_reports_its_first_malformed_message() {
    let proxy = Proxy::start(polite_server());
    let mut client = Client::let_in(proxy.address());
    // The client sends four messages in one write. The second and the fourth message are malformed.
    client.say(&[&query("")[..], b"Q\0\0\0\x05x", &query(""), b"H\0\0\0\x05x"].concat());
    for _ in 0..3 {
        client.until_ready();
    }
    drop(client);
    let stopped = proxy.stop();
    // The proxy has decoded eleven messages: StartupMessage, AuthenticationOk, ReadyForQuery, the two valid Query messages, and the
    // server's answers to all three Query messages. Each answer has two messages.
    assert_eq!((stopped.code, stopped.counts, stopped.malformed), (Some(0), [1, 11, 0, 0], 2));
    assert_eq!(
        stopped.said,
        [
            "connection 1: from the client, forwarded unchanged: malformed Query: a string has no terminating NUL (at byte 0)"
        ]
    );
}

#[test]
fn a_malformed_message_of_the_server_is_passed_to_the_client() {
    // A DataRow that contains one value, although its column count is 2.
    const ROW: &[u8] = b"D\0\0\0\x0a\0\x02\0\0\0\0";
    let upstream = server(|_, mut stream| {
        let _ = take_packet(&mut stream);
        let _ = stream.write_all(&[&welcome()[..], ROW, &done()].concat());
        drop(to_the_end(&mut stream));
    });
    let proxy = Proxy::before_script(upstream);
    let mut client = Client::let_in(proxy.address());
    let heard: Vec<u8> = client.until_ready().iter().map(|frame| frame.code.0).collect();
    assert_eq!(heard, b"DCZ");
    drop(client);
    let stopped = proxy.stop();
    assert_eq!((stopped.code, stopped.counts[2], stopped.malformed), (Some(0), 0, 1));
    assert!(
        stopped.said[0]
            .starts_with("connection 1: from the server, forwarded unchanged: malformed DataRow: "),
        "{:?}",
        stopped.said
    );
}

#[test]
fn an_invalid_header_ends_the_connection_after_the_messages_before_it() {
    let proxy = Proxy::start(polite_server());
    let mut good = Client::let_in(proxy.address());
    // After an invalid length, the proxy must close the connection without an error message, as PostgreSQL does.
    let mut bad = Client::let_in(proxy.address());
    bad.say(&[&query("")[..], b"Q\0\0\0\x03"].concat());
    assert_eq!(bad.outcome(), ("CZ".into(), None));
    good.is_served();
    let stopped = proxy.stop();
    assert_eq!(
        stopped.said,
        ["connection 2: from the client: message 'Q' has the invalid length 3: expected at least 4"]
    );
}
