//! Tests of `pg-proxy` with hostile clients, in front of a real server.
//!
//! Each hostile client is a row of a table: its name and the bytes that it sends. The test sends these bytes to the proxy, and also
//! directly to the server. The proxy and the server must give the same answer, message by message. After each hostile client, the proxy
//! must serve an honest client.

#[path = "proxy/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the proxy, which use other parts")]
mod process;
#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;
#[path = "proxy/wire.rs"]
#[allow(dead_code, reason = "shared with the tests of the proxy, which use other parts")]
mod wire;

use std::net::SocketAddr;

use pg_wire::SqlState;

use process::{Proxy, until};
use support::Server;
use wire::{Client, GSSENC_REQUEST, SSL_REQUEST, query, startup, startup_with};

/// A hostile client: its name, the bytes that it sends, and the way in which it sends them.
struct Row {
    name: String,
    bytes: Vec<u8>,
    how: How,
}

/// The way in which a client sends its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// The client sends all bytes at once, then half-closes.
    AtOnce,
    /// The client sends byte by byte, then half-closes.
    Drip,
    /// The client sends all bytes at once, then stays connected until the server closes.
    Stay,
}

/// The answer that a client receives: the one-byte answers to its requests for encryption, the codes of the messages, and the SQLSTATE of
/// the last error.
#[derive(Debug, PartialEq)]
struct Heard {
    answers: String,
    codes: String,
    state: Option<SqlState>,
}

/// Creates a row whose client sends all bytes at once, then half-closes.
fn same(name: &str, parts: &[&[u8]]) -> Row {
    Row { name: name.into(), bytes: parts.concat(), how: How::AtOnce }
}

/// Creates a row whose client stays connected until the server closes.
fn closed(name: &str, parts: &[&[u8]]) -> Row {
    Row { how: How::Stay, ..same(name, parts) }
}

/// Encodes a message with this code and this body.
fn message(code: u8, body: &[u8]) -> Vec<u8> {
    announced(code, i32::try_from(body.len() + 4).expect("the body is short"), body)
}

/// Encodes a message with `length` in its length field. `length` may differ from the real length.
fn announced(code: u8, length: i32, body: &[u8]) -> Vec<u8> {
    [&[code][..], &length.to_be_bytes(), body].concat()
}

/// Encodes a packet without a code, as at the start of a connection.
fn packet(body: &[u8]) -> Vec<u8> {
    [&i32::try_from(body.len() + 4).expect("the body is short").to_be_bytes()[..], body].concat()
}

/// Encodes a packet with this protocol version, followed by `rest`.
fn version(major: u16, minor: u16, rest: &[u8]) -> Vec<u8> {
    packet(&[&major.to_be_bytes()[..], &minor.to_be_bytes(), rest].concat())
}

const PARAMETERS: &[u8] = b"user\0trust\0database\0test\0\0";

/// Creates rows whose clients send the first packets of a connection. Most of these packets are invalid.
fn openings() -> Vec<Row> {
    let long = |length: usize| {
        let filler = length - 4 - 4 - PARAMETERS.len() - b"application_name\0\0".len();
        let name = [b"application_name\0".to_vec(), vec![b'x'; filler], vec![0]].concat();
        let whole = version(3, 0, &[&name, PARAMETERS].concat());
        assert_eq!(whole.len(), length);
        whole
    };
    let mut rows = vec![
        same("nothing", &[]),
        same("one byte", &[b"\0"]),
        same("three bytes of a length", &[b"\0\0\0"]),
        same("a length of 0", &[b"\0\0\0\0\0\x03\0\0"]),
        same("a length of 3", &[b"\0\0\0\x03\0\x03\0\0"]),
        same("a length of 4 without a body", &[b"\0\0\0\x04"]),
        same("a length that ends inside the version", &[b"\0\0\0\x07\0\x03\0"]),
        same("a length of -1", &[b"\xff\xff\xff\xff\0\x03\0\0"]),
        same("the smallest length", &[b"\x80\0\0\0\0\x03\0\0"]),
        same("the largest length", &[b"\x7f\xff\xff\xff\0\x03\0\0"]),
        same("a length of 10,005", &[b"\0\0\x27\x15\0\x03\0\0"]),
        same("a packet of the maximum length", &[&long(10_004)]),
        same("a packet one byte over the maximum length", &[&long(10_005)]),
        same("HTTP", &[b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"]),
        same("SSH", &[b"SSH-2.0-OpenSSH_9.6\r\n"]),
        same("TLS", &[b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", &[7; 500]]),
        same("TLS, its first byte alone", &[b"\x16"]),
        same("a message before the start-up message", &[&query("select 1")]),
        same("a flood of one byte", &[&[b'A'; 1 << 20]]),
        same("a flood of zeros", &[&[0; 1 << 20]]),
        same("a start-up message after a flood", &[&[0; 4096], &startup()]),
        same("version 0.0", &[&version(0, 0, PARAMETERS)]),
        same("version 1.0", &[&version(1, 0, PARAMETERS)]),
        same("version 2.0", &[&version(2, 0, PARAMETERS)]),
        same("version 2.0 in its own layout", &[&version(2, 0, &[b'x'; 288])]),
        same("version 3.1", &[&version(3, 1, PARAMETERS)]),
        same("version 3.9999", &[&version(3, 9999, PARAMETERS)]),
        same("version 4.0", &[&version(4, 0, PARAMETERS)]),
        same("version 1234.0", &[&version(1234, 0, PARAMETERS)]),
        same("version 65535.65535", &[&version(0xffff, 0xffff, PARAMETERS)]),
        same("a version without parameters", &[&version(3, 0, b"")]),
        same("a version and a terminator", &[&version(3, 0, b"\0")]),
        same("parameters without a terminator", &[&version(3, 0, b"user\0trust\0")]),
        same("a value without a terminator", &[&version(3, 0, b"user\0trust")]),
        same("a name without a terminator", &[&version(3, 0, b"user")]),
        same("a name without a value", &[&version(3, 0, b"user\0trust\0database\0\0")]),
        same("bytes after the terminator", &[&version(3, 0, b"user\0trust\0\0x")]),
        same("a second terminator", &[&version(3, 0, b"user\0trust\0\0\0")]),
        same("no user", &[&version(3, 0, b"database\0test\0\0")]),
        same("an empty user", &[&version(3, 0, b"user\0\0database\0test\0\0")]),
        same("two users", &[&version(3, 0, b"user\0trust\0user\0nobody\0database\0test\0\0")]),
        same("an unknown user", &[&version(3, 0, b"user\0nobody\0\0")]),
        same("a user that is not UTF-8", &[&version(3, 0, b"user\0\xff\xfe\x80\0\0")]),
        same("an unknown database, not UTF-8", &[&version(3, 0, b"user\0trust\0database\0\xc3\x28\0\0")]),
        same("an unknown parameter", &[&version(3, 0, b"user\0trust\0nonsense\0x\0\0")]),
        same("an unknown protocol option", &[&version(3, 0, b"user\0trust\0_pq_.x\0y\0\0")]),
        same("a thousand parameters", &[&version(3, 0, &[&b"a\0b\0".repeat(1000), PARAMETERS].concat())]),
        same("SSLRequest alone", &[SSL_REQUEST]),
        same("SSLRequest followed by a start-up message", &[SSL_REQUEST, &startup()]),
        same("SSLRequest followed by TLS", &[SSL_REQUEST, b"\x16\x03\x01\0\x05hello"]),
        same("GSSENCRequest followed by a start-up message", &[GSSENC_REQUEST, &startup()]),
        same("SSLRequest a hundred times", &[&SSL_REQUEST.repeat(100)]),
        same("seven bytes of an SSLRequest", &[&SSL_REQUEST[..7]]),
        same("SSLRequest with a body", &[&version(1234, 5679, b"x")]),
        same("CancelRequest with an unknown key", &[&version(1234, 5678, b"\0\0\0\x01\x01\x02\x03\x04")]),
        same("CancelRequest without a key", &[&version(1234, 5678, b"\0\0\0\x01")]),
        same("CancelRequest without a process id", &[&version(1234, 5678, b"")]),
        same(
            "CancelRequest with a key that is too short",
            &[&version(1234, 5678, b"\0\0\0\x01\x01\x02\x03")],
        ),
        same("CancelRequest with a key that is too long", &[&version(1234, 5678, &[1; 261])]),
        same(
            "CancelRequest followed by a session",
            &[&version(1234, 5678, b"\0\0\0\x01\x01\x02\x03\x04"), &startup(), &query("select 1")],
        ),
        same("CancelRequest followed by nonsense", &[&version(1234, 5678, &[1; 8]), &[0xff; 1000]]),
    ];
    for length in [5, 6] {
        rows.push(same("a length that ends inside the code", &[&packet(&[0; 4][..length - 4])]));
    }
    rows.extend(answers());
    rows.extend(truncated("start-up message", &[], &startup()));
    rows.push(Row { how: How::Drip, ..same("a session byte by byte", &[&startup(), &query("select 1")]) });
    rows.push(Row { how: How::Drip, ..same("nonsense byte by byte", &[b"nonsense"]) });
    rows
}

/// Creates rows whose clients answer an authentication request. Some clients answer with a response, some with a message of another kind.
fn answers() -> Vec<Row> {
    let cleartext = startup_with(&[("user", "cleartext"), ("database", "test")]);
    let md5 = startup_with(&[("user", "md5"), ("database", "test")]);
    let scram = startup_with(&[("user", "scram"), ("database", "test")]);
    let first = |length: i32, data: &[u8]| {
        message(b'p', &[&b"SCRAM-SHA-256\0"[..], &length.to_be_bytes(), data].concat())
    };
    vec![
        same("no password", &[&cleartext]),
        same("an empty password", &[&cleartext, &message(b'p', b"\0")]),
        same("a wrong password", &[&cleartext, &message(b'p', b"hunter2\0")]),
        same("a query instead of a password", &[&cleartext, &query("select 1")]),
        same(
            "a password followed by a query",
            &[&cleartext, &message(b'p', b"cleartext-secret\0"), &query("select 1")],
        ),
        same("a password with length 3", &[&cleartext, &announced(b'p', 3, b"")]),
        same("a password with a negative length", &[&cleartext, &announced(b'p', -5, b"x\0")]),
        same("a password with a length of a gigabyte", &[&cleartext, &announced(b'p', 1 << 30, b"x\0")]),
        same("a password over the limit", &[&cleartext, &message(b'p', &[b'x'; 70_000])]),
        closed("a password one byte over the limit", &[&cleartext, &announced(b'p', 65_536, b"")]),
        same(
            "a password of the maximum length",
            &[&cleartext, &message(b'p', &[&[b'x'; 65_530][..], b"\0"].concat())],
        ),
        same("half a password", &[&cleartext, &announced(b'p', 100, b"half")]),
        same("a password without a terminator", &[&cleartext, &message(b'p', b"cleartext-secret")]),
        same("a password with bytes after its terminator", &[&cleartext, &message(b'p', b"x\0y\0")]),
        same("a password with an empty body", &[&cleartext, &message(b'p', b"")]),
        same("an unknown message instead of a password", &[&cleartext, &message(b'z', b"")]),
        same("a clear-text password instead of an MD5 hash", &[&md5, &message(b'p', b"md5-secret\0")]),
        same("an unknown mechanism", &[&scram, &message(b'p', b"SCRAM-MD5\0\xff\xff\xff\xff")]),
        same("a mechanism without a terminator", &[&scram, &message(b'p', b"SCRAM-SHA-256")]),
        same("a first message with a length that is too large", &[&scram, &first(1000, b"n,,n=,r=x")]),
        same("a first message with a length that is too small", &[&scram, &first(3, b"n,,n=,r=x")]),
        same("a first message with a negative length", &[&scram, &first(-2, b"")]),
        same("a first message that is nonsense", &[&scram, &first(8, b"nonsense")]),
        same("a first message twice", &[&scram, &first(9, b"n,,n=,r=x"), &first(9, b"n,,n=,r=x")]),
        same("a clear-text password instead of SCRAM", &[&scram, &message(b'p', b"scram-secret\0\0\0\0\0")]),
        same("a query instead of SCRAM", &[&scram, &query("select 1")]),
    ]
}

/// Creates rows whose clients send messages after the login. Most of these messages are invalid or unexpected.
fn sessions() -> Vec<Row> {
    let bind = |body: &[u8]| [message(b'P', b"\0select $1::text\0\0\0"), message(b'B', body)].concat();
    let mut rows = vec![
        same("an unknown code", &[&message(b'z', b"")]),
        same("a code of 0", &[&message(0, b"")]),
        same("a code of 255", &[&message(255, b"x")]),
        same("a code of a server message", &[&message(b'Z', b"I")]),
        same("a second start-up message", &[&startup()]),
        same("an SSLRequest, late", &[SSL_REQUEST]),
        same("TLS, late", &[b"\x16\x03\x01\0\x05hello"]),
        same("a password that was not requested", &[&message(b'p', b"secret\0")]),
        same("a length of 3", &[&announced(b'Q', 3, b"")]),
        same("a length of 0", &[&announced(b'S', 0, b"")]),
        same("a length of -1", &[&announced(b'Q', -1, b"")]),
        same("the smallest length", &[&announced(b'P', i32::MIN, b"")]),
        same("the largest length", &[&announced(b'Q', i32::MAX, b"select 1\0")]),
        same("a gigabyte and one byte", &[&announced(b'd', 0x4000_0000, b"x")]),
        same("a length of a gigabyte with few bytes", &[&announced(b'Q', 0x3fff_ffff, b"select 1\0")]),
        same("a Sync of a megabyte", &[&announced(b'S', 1 << 20, b"x")]),
        same("a Describe over its limit", &[&message(b'D', &[&b"S"[..], &[b'x'; 20_000], b"\0"].concat())]),
        same("an Execute far over its limit", &[&message(b'E', &[b'x'; 70_000])]),
        same("a valid query followed by an invalid length", &[&query("select 1"), &announced(b'Q', 2, b"")]),
        same("a valid query followed by an unknown code", &[&query("select 1"), &message(b'!', b"")]),
        same("a query without a statement", &[&query("")]),
        same("a query that is nonsense", &[&query("\u{1f4a5}\u{7f}")]),
        same("a query that is not UTF-8", &[&message(b'Q', b"select '\xff\xfe'\0")]),
        same("a query without a terminator", &[&message(b'Q', b"select 1")]),
        same("a query with an empty body", &[&message(b'Q', b"")]),
        same("a query with a second text after its terminator", &[&message(b'Q', b"select 1\0select 2\0")]),
        same("a Parse without a terminator", &[&message(b'P', b"name")]),
        same("a Parse without types", &[&message(b'P', b"\0select 1\0")]),
        same("a Parse with half a count", &[&message(b'P', b"\0select 1\0\0")]),
        same(
            "a Parse of 65,535 types that contains only one",
            &[&message(b'P', b"\0select 1\0\xff\xff\0\0\0\x17")],
        ),
        same("a Parse with bytes after its end", &[&message(b'P', b"\0select 1\0\0\0x")]),
        same("a Bind with an empty body", &[&bind(b"")]),
        same("a Bind with names only", &[&bind(b"\0\0")]),
        same("a Bind of 65,535 formats that contains only one", &[&bind(b"\0\0\xff\xff\0\0")]),
        same("a Bind of 65,535 values that contains none", &[&bind(b"\0\0\0\0\xff\xff")]),
        same("a Bind with a value length that is too large", &[&bind(b"\0\0\0\0\0\x01\0\0\0\x09x\0\0")]),
        same("a Bind with a value length of a gigabyte", &[&bind(b"\0\0\0\0\0\x01\x3f\xff\xff\xffx\0\0")]),
        same("a Bind with a value of length -2", &[&bind(b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0")]),
        same("a Bind with the smallest value length", &[&bind(b"\0\0\0\0\0\x01\x80\0\0\0\0\0")]),
        same("a Bind without formats of the result", &[&bind(b"\0\0\0\0\0\x01\0\0\0\x01x")]),
        same("a Bind with bytes after its end", &[&bind(b"\0\0\0\0\0\x01\0\0\0\x01x\0\0x")]),
        same("a Bind of an unknown statement", &[&message(b'B', b"\0nobody\0\0\0\0\0\0\0")]),
        same("a Bind with an unknown format", &[&bind(b"\0\0\0\x01\0\x07\0\x01\0\0\0\x01x\0\0")]),
        same("a Bind with two formats for one value", &[&bind(b"\0\0\0\x02\0\0\0\x01\0\x01\0\0\0\x01x\0\0")]),
        same(
            "a Bind with two values for one parameter",
            &[&bind(b"\0\0\0\0\0\x02\0\0\0\x01x\0\0\0\x01x\0\0")],
        ),
        same(
            "a Bind with two formats for one column",
            &[&bind(b"\0\0\0\0\0\x01\0\0\0\x01x\0\x02\0\0\0\x01")],
        ),
        same("a Describe of neither a statement nor a portal", &[&message(b'D', b"X\0")]),
        same("a Describe without a name", &[&message(b'D', b"S")]),
        same("a Close of neither a statement nor a portal", &[&message(b'C', b"\0\0")]),
        same("a Close without a terminator", &[&message(b'C', b"Pname")]),
        same("a Close with an empty body", &[&message(b'C', b"")]),
        same("half an Execute", &[&message(b'E', b"\0\0\0")]),
        same("an Execute without a terminator", &[&message(b'E', b"name")]),
        same("an Execute with a limit of -1 rows", &[&message(b'E', b"\0\xff\xff\xff\xff")]),
        same("a Sync with a body", &[&message(b'S', b"x")]),
        same("a Flush with a body", &[&message(b'H', b"x")]),
        same("half a FunctionCall", &[&message(b'F', b"\0\0\x05")]),
        same(
            "a FunctionCall of 65,535 values that contains none",
            &[&message(b'F', b"\0\0\x05\x40\0\0\xff\xff")],
        ),
        same("a FunctionCall of an unknown function", &[&message(b'F', b"\xff\xff\xff\xff\0\0\0\0\0\0")]),
        same("CopyData outside of a COPY", &[&message(b'd', b"x"), &message(b'c', b""), &query("select 1")]),
        same(
            "nonsense in a COPY",
            &[&query("copy pg_temp.none from stdin"), &message(b'd', b"x"), &message(b'c', b"")],
        ),
        same(
            "an unknown message in a COPY",
            &[
                &query("create temp table t (x text); copy t from stdin"),
                &message(b'd', b"x\n"),
                &message(b'E', b"\0\0\0\0\0"),
            ],
        ),
        closed("a Sync over its limit", &[&announced(b'S', 10_001, &[b'z'; 200])]),
        closed("a Flush over its limit", &[&announced(b'H', 10_001, b"")]),
        closed("a Close over its limit", &[&announced(b'C', 10_001, b"")]),
        closed("a Describe over its limit", &[&announced(b'D', 10_001, b"")]),
        closed("an Execute over its limit", &[&announced(b'E', 10_001, b"")]),
        closed("a CopyDone over its limit", &[&announced(b'c', 10_001, b"")]),
        closed("a CopyFail over its limit", &[&announced(b'f', 10_001, b"")]),
        closed("a Terminate over its limit", &[&announced(b'X', 10_001, b"")]),
        closed("a Query over its limit", &[&announced(b'Q', 0x3fff_ffff, b"")]),
        closed("a Parse over its limit", &[&announced(b'P', 0x3fff_ffff, b"")]),
        closed("a Bind over its limit", &[&announced(b'B', 0x3fff_ffff, b"")]),
        closed("a FunctionCall over its limit", &[&announced(b'F', 0x3fff_ffff, b"")]),
        closed("a CopyData over its limit", &[&announced(b'd', 0x3fff_ffff, b"")]),
        closed(
            "a Sync over its limit in a COPY",
            &[
                &query("create temp table t (x text); copy t from stdin"),
                &announced(b'S', 10_001, &[b'z'; 200]),
            ],
        ),
        same("a Sync of the maximum length", &[&message(b'S', &[b'z'; 9_996])]),
        same(
            "a Describe of the maximum length",
            &[&message(b'D', &[&b"S"[..], &[b'x'; 9_994], b"\0"].concat())],
        ),
        same(
            "a Close of the maximum length",
            &[&message(b'C', &[&b"S"[..], &[b'x'; 9_994], b"\0"].concat()), &message(b'S', b"")],
        ),
        same("a CopyDone of the maximum length", &[&message(b'c', &[b'z'; 9_996]), &query("")]),
        same("a flood of Syncs", &[&message(b'S', b"").repeat(10_000)]),
        same("a flood of Flushes", &[&message(b'H', b"").repeat(100_000)]),
        same("a flood of unknown codes", &[&message(b'?', b"").repeat(10_000)]),
        same("a flood of zeros", &[&[0; 1 << 20]]),
        same("a Terminate with a body", &[&message(b'X', b"x")]),
        same("a CopyDone with a body, outside of a COPY", &[&message(b'c', b"x")]),
        same("a CopyFail without an end, outside of a COPY", &[&message(b'f', b"x")]),
    ];
    let conversation = [
        message(b'P', b"s\0select $1::text\0\0\0"),
        message(b'D', b"Ss\0"),
        message(b'B', b"\0s\0\0\0\0\x01\0\0\0\x02hi\0\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'S', b""),
        query("select 1"),
    ]
    .concat();
    rows.extend(truncated("conversation", &[], &conversation));
    rows.push(Row { how: How::Drip, ..same("a conversation byte by byte", &[&conversation]) });
    rows
}

/// Creates rows in which a message is incomplete: the client sends `before`, then only the first bytes of `whole`. There is one row for
/// each possible number of bytes.
fn truncated(what: &str, before: &[u8], whole: &[u8]) -> Vec<Row> {
    let cut = |end: usize| same(&format!("{end} bytes of a {what}"), &[before, &whole[..end]]);
    (1..whole.len()).map(cut).collect()
}

/// Plays the client of a row: sends its bytes to an address, and returns the answer, up to the end of the stream.
fn hear(address: SocketAddr, in_session: bool, row: &Row) -> Heard {
    let mut client = if in_session { Client::let_in(address) } else { Client::new(address) };
    match row.how {
        How::AtOnce | How::Stay => client.try_to_say(&row.bytes),
        How::Drip => row.bytes.iter().for_each(|byte| client.try_to_say(&[*byte])),
    }
    if row.how != How::Stay {
        client.finish();
    }
    let heard = client.rest();
    // The answer to a request for encryption is a single byte. The byte `N` can also be the code of a NoticeResponse. In a NoticeResponse,
    // the next byte is zero, because it is the first byte of the length.
    let single = |at: &usize| b"NSG".contains(&heard[*at]) && heard.get(at + 1) != Some(&0);
    let answers = (0..heard.len()).take_while(single).count();
    let (answers, mut rest) = heard.split_at(answers);
    let (mut codes, mut state) = (String::new(), None);
    // The client sends bytes that are not TLS, although the server has answered `S`. So the server sends a TLS alert (record type 21) and
    // closes. The alert may be lost, so it is not compared.
    if answers == b"S" && rest.first() == Some(&21) {
        rest = &[];
    }
    // A server reports an error in text form to a client of a protocol version before 3.
    if let Some([line @ .., b'\n', 0]) = rest.strip_prefix(b"EFATAL:  ") {
        codes = String::from_utf8_lossy(line).into_owned();
        rest = &[];
    }
    while let [code, a, b, c, d, after @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
        let whole = after.split_at_checked(length);
        let (body, next) = whole.unwrap_or_else(|| panic!("{}: an incomplete message: {heard:?}", row.name));
        let frame = pg_wire::Frame { code: pg_wire::MessageCode(*code), body };
        if let Ok(pg_wire::backend::Backend::ErrorResponse(error)) = frame.backend() {
            state = error.fields.sqlstate();
        }
        codes.push(char::from(*code));
        rest = next;
    }
    assert_eq!(rest, b"", "{}: an incomplete header: {heard:?}", row.name);
    Heard { answers: String::from_utf8_lossy(answers).into_owned(), codes, state }
}

/// Plays the clients of all rows in two rounds against a proxy in front of each server. In the first round, also plays each client directly
/// against the server: the proxy and the server must give the client the same answer. After each round, the proxy must hold as many
/// descriptors as before the first round. After the second round, the proxy must hold about the same memory as after the first round.
fn withstands(rows: &[Row], in_session: bool) {
    for server in Server::both() {
        let proxy = Proxy::with(server.address, &["--check"]);
        let mut good = Client::let_in(proxy.address());
        let descriptors = proxy.descriptors();
        let mut memory = None;
        let mut wrong = Vec::new();
        for round in 0..2 {
            for row in rows {
                let heard = hear(proxy.address(), in_session, row);
                good.is_served();
                if round > 0 {
                    continue;
                }
                let theirs = hear(server.address, in_session, row);
                if heard != theirs {
                    let major = server.major;
                    wrong.push(format!("{} ({major}): {heard:?}, and from the server {theirs:?}", row.name));
                }
            }
            until("all connections are closed", || proxy.descriptors() == descriptors);
            let now = proxy.memory();
            let before = *memory.get_or_insert(now);
            println!("{} rows; the proxy holds {now} bytes", rows.len());
            assert!(now < before + (2 << 20), "the memory grew from {before} to {now} bytes");
        }
        assert!(
            wrong.is_empty(),
            "{} clients received different answers from the proxy and from the server:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
        drop(good);
        let stopped = proxy.stop();
        assert_eq!((stopped.code, stopped.counts[2]), (Some(0), 0), "{:?}", stopped.said);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn hostile_first_packets_get_the_same_answers_as_from_postgresql() {
    withstands(&openings(), false);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn hostile_sessions_get_the_same_answers_as_from_postgresql() {
    withstands(&sessions(), true);
}
