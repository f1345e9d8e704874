//! Servers that send wrong counts and lengths, and messages whose length is at a limit or above a limit. Some servers send such a message
//! before AuthenticationOk, other servers after AuthenticationOk.

use super::{Row, SESSION, answer, check, row};
use crate::wire::{OK, READY, announced, auth, message, negotiate, welcome};

/// Creates a row with a server that answers the start-up message with these bytes, and stays connected.
fn says(name: &str, bytes: impl AsRef<[u8]>, expected: &'static str) -> Row {
    row(name, answer(bytes), expected)
}

/// Creates a row with a server that sends AuthenticationOk, then these bytes, and stays connected.
fn settles(name: &str, bytes: impl AsRef<[u8]>, expected: &'static str) -> Row {
    row(name, answer([OK, bytes.as_ref()].concat()), expected)
}

#[test]
fn a_message_with_an_invalid_length_is_rejected() {
    let mut rows = Vec::new();
    for code in [b'R', b'E', b'N', b'v'] {
        let code_name = char::from(code);
        let name = |length: i32| format!("{code_name} with the length {length}");
        for length in [-1, 0, 3, i32::MIN] {
            rows.push(row(name(length), answer(announced(code, length, b"")), "invalid length"));
        }
        for length in [30_005, 0x2000_0000, i32::MAX] {
            rows.push(row(name(length), answer(announced(code, length, b"")), "over the limit of 30000"));
        }
    }
    for code in [b'S', b'K', b'Z', b'A', b'x'] {
        let code_name = char::from(code);
        let bytes = [OK, &announced(code, i32::MAX, b"")].concat();
        rows.push(row(
            format!("{code_name} with the largest length after AuthenticationOk"),
            answer(bytes),
            "over the limit of",
        ));
        let bytes = [OK, &announced(code, 3, b"")].concat();
        rows.push(row(
            format!("{code_name} with the length 3 after AuthenticationOk"),
            answer(bytes),
            "invalid length 3",
        ));
    }
    check(&rows);
}

#[test]
fn a_body_that_contradicts_itself_is_rejected() {
    check(&[
        says(
            "Authentication without a kind",
            message(b'R', b""),
            "malformed Authentication: the body ends inside a field",
        ),
        says("Authentication with half a kind", message(b'R', b"\0\0"), "malformed Authentication"),
        says(
            "AuthenticationOk with an extra byte",
            message(b'R', b"\0\0\0\0x"),
            "malformed Authentication: bytes are left over",
        ),
        says("MD5 with a salt of three bytes", auth(5, b"sal"), "malformed Authentication"),
        says("MD5 with a salt of five bytes", auth(5, b"salts"), "malformed Authentication"),
        says("a request for a clear-text password with a salt", auth(3, b"salt"), "malformed Authentication"),
        says(
            "an offer of mechanisms without a terminator",
            auth(10, b"SCRAM-SHA-256\0"),
            "malformed Authentication",
        ),
        says("an offer of half a mechanism", auth(10, b"SCRAM-SHA"), "malformed Authentication"),
        says(
            "an offer with bytes after its end",
            auth(10, b"SCRAM-SHA-256\0\0x"),
            "malformed Authentication",
        ),
        says("an offer that is empty", auth(10, b"\0"), "no supported SASL mechanism"),
        says("an offer with an empty body", auth(10, b""), "malformed Authentication"),
        says(
            "an offer of 7,000 mechanisms",
            auth(10, b"abc\0".repeat(7_000).into_iter().chain([0]).collect::<Vec<_>>()),
            "no supported SASL mechanism",
        ),
        says("a version with a count of -1", negotiate(3, 0, -1, ""), "malformed NegotiateProtocolVersion"),
        says(
            "a version with the largest count",
            negotiate(3, 0, i32::MAX, ""),
            "malformed NegotiateProtocolVersion",
        ),
        says(
            "a version with one name fewer than its count",
            negotiate(3, 0, 2, "_pq_.a\0"),
            "malformed NegotiateProtocolVersion",
        ),
        says(
            "a version with one name more than its count",
            negotiate(3, 0, 0, "_pq_.a\0"),
            "malformed NegotiateProtocolVersion",
        ),
        says(
            "a version with half a name",
            negotiate(3, 0, 1, "_pq_.a"),
            "malformed NegotiateProtocolVersion",
        ),
        says("half a version", message(b'v', b"\0\x03"), "malformed NegotiateProtocolVersion"),
        says("an error without a terminator", message(b'E', b"SFATAL\0Mno\0"), "malformed ErrorResponse"),
        says("an error with half a field", message(b'E', b"SFATAL\0Mno"), "malformed ErrorResponse"),
        says("an error with bytes after its end", message(b'E', b"SFATAL\0\0x"), "malformed ErrorResponse"),
        says("an error with an empty body", message(b'E', b""), "malformed ErrorResponse"),
        says("a notice without a terminator", message(b'N', b"SNOTICE\0"), "malformed NoticeResponse"),
        settles("a parameter without a value", message(b'S', b"name\0"), "malformed ParameterStatus"),
        settles(
            "a parameter whose value has no end",
            message(b'S', b"name\0value"),
            "malformed ParameterStatus",
        ),
        settles(
            "a parameter with bytes after its end",
            message(b'S', b"name\0value\0x"),
            "malformed ParameterStatus",
        ),
        settles("a key without a process id", message(b'K', b"\0\0\0"), "malformed BackendKeyData"),
        settles("an empty key", message(b'K', b"\0\0\0\x07"), "a cancel key of 0 bytes"),
        settles("a key of three bytes", message(b'K', b"\0\0\0\x07abc"), "a cancel key of 3 bytes"),
        settles(
            "a key of eight bytes in protocol 3.0",
            message(b'K', b"\0\0\0\x0712345678"),
            "a cancel key of 8 bytes",
        ),
        settles("ReadyForQuery without a status", message(b'Z', b""), "malformed ReadyForQuery"),
        settles("ReadyForQuery with two statuses", message(b'Z', b"II"), "malformed ReadyForQuery"),
        settles(
            "a notification without a payload",
            message(b'A', b"\0\0\0\x07channel\0"),
            "malformed NotificationResponse",
        ),
        settles("a notification with an empty body", message(b'A', b""), "malformed NotificationResponse"),
    ]);
}

#[test]
fn a_message_is_accepted_up_to_its_limit_and_rejected_over_it() {
    let sized_notice = |body: usize| message(b'N', [b"M", &vec![b'x'; body - 3][..], b"\0\0"].concat());
    let sized_error = |body: usize| message(b'E', [b"M", &vec![b'x'; body - 3][..], b"\0\0"].concat());
    let sized_parameter = |body: usize| message(b'S', [b"p\0", &vec![b'x'; body - 3][..], b"\0"].concat());
    let sized_notification =
        |body: usize| message(b'A', [b"\0\0\0\x07c\0", &vec![b'x'; body - 7][..], b"\0"].concat());
    let key = |bytes: usize| message(b'K', [&b"\0\0\0\x07"[..], &vec![b'k'; bytes]].concat());
    let v3_2 = |row: Row| {
        row.with(|config| {
            let newest = pg_auth::config::ProtocolVersion::V3_2;
            config.protocol_versions(pg_auth::config::ProtocolVersion::V3_0, newest)
        })
    };
    let then_ready = |bytes: Vec<u8>| [bytes, READY.to_vec()].concat();
    check(&[
        says("a notice of 30,000 bytes", [sized_notice(30_000), welcome()].concat(), SESSION),
        says("a notice of 30,001 bytes", sized_notice(30_001), "of 30001 bytes is over the limit of 30000"),
        says("an error of 30,000 bytes", sized_error(30_000), "xxxxxxxx"),
        says("an error of 30,001 bytes", sized_error(30_001), "of 30001 bytes is over the limit of 30000"),
        says(
            "a kind of authentication of 30,000 bytes",
            auth(99, vec![b'x'; 29_996]),
            "kind 99, which is not supported",
        ),
        says(
            "a kind of authentication of 30,001 bytes",
            auth(99, vec![b'x'; 29_997]),
            "of 30001 bytes is over the limit",
        ),
        settles("a parameter of 30,000 bytes", then_ready(sized_parameter(30_000)), SESSION),
        settles(
            "a parameter of 30,001 bytes",
            sized_parameter(30_001),
            "of 30001 bytes is over the limit of 30000",
        ),
        settles("a notice of 1 MiB", then_ready(sized_notice(1 << 20)), SESSION).most(3 << 20),
        settles(
            "a notice of 1 MiB and one byte",
            sized_notice((1 << 20) + 1),
            "of 1048577 bytes is over the limit of 1048576",
        ),
        settles("an error of 1 MiB", sized_error(1 << 20), "xxxxxxxx").most(3 << 20),
        settles(
            "an error of 1 MiB and one byte",
            sized_error((1 << 20) + 1),
            "of 1048577 bytes is over the limit of 1048576",
        ),
        settles("a notification of 1 MiB", then_ready(sized_notification(1 << 20)), SESSION).most(3 << 20),
        settles(
            "a notification of 1 MiB and one byte",
            sized_notification((1 << 20) + 1),
            "of 1048577 bytes is over the limit of 1048576",
        ),
        v3_2(settles("a key of 256 bytes", then_ready(key(256)), SESSION)),
        v3_2(settles("a key of 257 bytes", key(257), "a cancel key of 257 bytes")),
        v3_2(settles("a key of three bytes in protocol 3.2", key(3), "a cancel key of 3 bytes")),
    ]);
}
