//! A table of clients that misbehave or are unusual, against the accepting side of both adapters.
//!
//! A row has these fields:
//!
//! - the name of the client
//! - the client's script
//! - the expected outcome of the adapter: [`LOGIN`], [`CANCEL`], or a part of the error's text
//! - a part of the bytes that the client must receive, with bytes outside of ASCII escaped

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use pg_auth::connect::Accepted;
use pg_auth::{ConnectErrorKind, Credentials, Startup, StoredPassword};
use pg_stream_tokio::rustls::tokio_rustls::rustls::pki_types::ServerName;
use pg_stream_tokio::rustls::tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::adapters::{Accepting, Adapter, Misbehaviour, check};
use crate::certificates::made;
use crate::peer::{PASSWORD, PATIENCE, verifier};
use crate::wire::{GSSENC_REQUEST, SSL_REQUEST, message, packet, startup};

/// Expected outcome: the client logs in.
const LOGIN: &str = "a login";
/// Expected outcome: the client sends a cancel request.
const CANCEL: &str = "a cancel request";

/// The largest amount of memory that accepting one client may take, in bytes, whatever the client sends.
const MAX_MEMORY: u64 = 512 * 1024;

/// Time limit of most logins. If such a login lasts until this limit, the test fails.
const LONG: Duration = Duration::from_secs(40);
/// Time limit of a login with a silent client. Only the time limit can end such a login.
const SHORT: Duration = Duration::from_millis(200);

/// One step of a client's script.
#[derive(Clone)]
enum Act {
    Send(Vec<u8>),
    /// Sends bytes one by one.
    Drip(Vec<u8>),
    /// Reads this number of bytes.
    Read(usize),
    /// Sends the bytes this number of times. Stops earlier if the server closes the connection.
    Flood(Vec<u8>, usize),
    Tls(Arc<ClientConfig>),
    /// Half-closes the connection.
    End,
}

struct Row {
    name: String,
    tls: bool,
    time_limit: Duration,
    script: Vec<Act>,
    expected: &'static str,
    native: Option<&'static str>,
    answer: &'static str,
}

/// Creates a row with a client that connects to a server without TLS.
fn row(
    name: impl Into<String>,
    script: impl Into<Vec<Act>>,
    expected: &'static str,
    answer: &'static str,
) -> Row {
    let (name, script) = (name.into(), script.into());
    Row { name, tls: false, time_limit: LONG, script, expected, native: None, answer }
}

/// Creates a row with a client that connects to a server with TLS.
fn tls(
    name: impl Into<String>,
    script: impl Into<Vec<Act>>,
    expected: &'static str,
    answer: &'static str,
) -> Row {
    Row { tls: true, ..row(name, script, expected, answer) }
}

impl Row {
    fn native(mut self, expected: &'static str) -> Self {
        self.native = Some(expected);
        self
    }

    fn impatient(mut self) -> Self {
        self.time_limit = SHORT;
        self
    }
}

impl Misbehaviour for Row {
    const PEERS: &'static str = "clients";

    fn name(&self) -> &str {
        &self.name
    }

    fn play(&self, adapter: Adapter) -> Result<u64, String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the socket is bound");
        let script = self.script.clone();
        let client =
            thread::spawn(move || play(TcpStream::connect(address).expect("the server listens"), &script));
        let (socket, _) = listener.accept().expect("the client connects");
        let how = Accepting { tls: self.tls, time_limit: self.time_limit, credentials };
        let outcome = adapter.accept(socket, &how);
        let heard = client.join().expect("the client does not panic").escape_ascii().to_string();
        let expected = match adapter {
            Adapter::Tokio => self.expected,
            Adapter::Smol | Adapter::AsyncStd => self.native.unwrap_or(self.expected),
        };
        let found = match &outcome.result {
            Ok(Accepted::Login(_)) => LOGIN.into(),
            Ok(Accepted::Cancel(_)) => CANCEL.into(),
            Err(error) => {
                if matches!(error.kind(), ConnectErrorKind::Timeout(_)) && self.time_limit == LONG {
                    return Err(format!("the time limit was waited for: {error}"));
                }
                error.to_string()
            }
        };
        let is_expected =
            if [LOGIN, CANCEL].contains(&expected) { found == expected } else { found.contains(expected) };
        if !is_expected {
            return Err(format!("expected \"{expected}\", found \"{found}\""));
        }
        if !heard.contains(self.answer) && self.native.is_none_or(|_| adapter == Adapter::Tokio) {
            return Err(format!("the client received \"{heard}\", without \"{}\"", self.answer));
        }
        if heard.contains(PASSWORD) || found.contains(PASSWORD) {
            return Err(format!("the password is shown: {heard}, {found}"));
        }
        if outcome.bytes > MAX_MEMORY {
            return Err(format!("{} bytes were taken", outcome.bytes));
        }
        Ok(outcome.bytes)
    }
}

/// Plays a client's script, up to its end or to the first step that fails. Then reads until the server has closed. Returns all received
/// bytes; with TLS, the decrypted bytes.
fn play(socket: TcpStream, script: &[Act]) -> Vec<u8> {
    socket.set_nodelay(true).expect("the socket is open");
    socket.set_read_timeout(Some(PATIENCE)).expect("the socket is open");
    socket.set_write_timeout(Some(PATIENCE)).expect("the socket is open");
    let mut stream = Stream { socket: Some(socket), tls: None };
    let mut heard = Vec::new();
    let _ = script.iter().try_for_each(|act| stream.act(act, &mut heard));
    let mut space = vec![0; 1 << 16];
    loop {
        match stream.read(&mut space) {
            Ok(0) => return heard,
            Ok(count) => heard.extend(&space[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("the server neither sends nor closes");
            }
            Err(_) => return heard,
        }
    }
}

struct Stream {
    socket: Option<TcpStream>,
    tls: Option<StreamOwned<ClientConnection, TcpStream>>,
}

impl Stream {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match (&mut self.tls, &mut self.socket) {
            (Some(tls), _) => tls.read(space),
            (None, Some(socket)) => socket.read(space),
            (None, None) => Ok(0),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match (&mut self.tls, &mut self.socket) {
            (Some(tls), _) => {
                tls.write_all(bytes)?;
                tls.flush()
            }
            (None, Some(socket)) => socket.write_all(bytes),
            (None, None) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn act(&mut self, act: &Act, heard: &mut Vec<u8>) -> io::Result<()> {
        match act {
            Act::Send(bytes) => self.write(bytes),
            Act::Drip(bytes) => bytes.chunks(1).try_for_each(|byte| self.write(byte)),
            Act::Read(count) => {
                for _ in 0..*count {
                    let mut byte = [0];
                    if self.read(&mut byte)? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    heard.extend(byte);
                }
                Ok(())
            }
            Act::Flood(bytes, times) => (0..*times).try_for_each(|_| self.write(bytes)),
            Act::Tls(config) => {
                let name = ServerName::try_from("localhost").expect("a name");
                let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                let socket = self.socket.take().ok_or(io::ErrorKind::NotConnected)?;
                let tls = self.tls.insert(StreamOwned::new(session, socket));
                while tls.conn.is_handshaking() {
                    if let Err(error) = tls.conn.complete_io(&mut tls.sock) {
                        // Sends the TLS alert that explains why the handshake failed.
                        let _ = tls.conn.write_tls(&mut tls.sock);
                        return Err(error);
                    }
                }
                Ok(())
            }
            Act::End => match (&mut self.tls, &self.socket) {
                (Some(tls), _) => {
                    tls.conn.send_close_notify();
                    tls.flush()?;
                    tls.sock.shutdown(Shutdown::Write)
                }
                (None, Some(socket)) => socket.shutdown(Shutdown::Write),
                (None, None) => Ok(()),
            },
        }
    }
}

/// Returns the credentials of a user. The name of the user selects the authentication method.
fn credentials(startup: &Startup) -> Credentials {
    match startup.user().to_string_lossy().as_ref() {
        "clear" => Credentials::Cleartext(StoredPassword::Plain(PASSWORD.into())),
        "scram" => Credentials::Scram(verifier(1)),
        "nobody" => Credentials::Reject,
        _ => Credentials::Trust,
    }
}

fn send(bytes: impl AsRef<[u8]>) -> Act {
    Act::Send(bytes.as_ref().to_vec())
}

fn sends(bytes: impl AsRef<[u8]>) -> Vec<Act> {
    vec![send(bytes)]
}

/// Returns the start-up message of this user.
fn user(name: &str) -> Vec<u8> {
    startup(&format!("user\0{name}\0"))
}

/// Script: sends the start-up message of this user, reads the request for authentication, and sends `reply`.
fn replies(name: &str, reply: impl AsRef<[u8]>) -> Vec<Act> {
    vec![send(user(name)), Act::Read(9), send(reply)]
}

/// Encodes a valid start-up message with this length in bytes.
fn long(length: usize) -> Vec<u8> {
    let filler = length - 4 - 4 - b"user\0me\0application_name\0\0\0".len();
    let packet = startup(&format!("user\0me\0application_name\0{}\0", "x".repeat(filler)));
    assert_eq!(packet.len(), length);
    packet
}

/// The first bytes of a TLS ClientHello.
const HELLO: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";

/// Encodes a SASLInitialResponse.
fn initial(mechanism: &str, data: &str) -> Vec<u8> {
    let length = i32::try_from(data.len()).expect("a short text").to_be_bytes();
    message(b'p', [mechanism.as_bytes(), b"\0", &length, data.as_bytes()].concat())
}

#[test]
fn unusual_first_packets_have_the_expected_outcome() {
    let refused = "the client's first packet claims";
    check(&[
        row("a good login", sends(user("me")), LOGIN, "server_version"),
        row("byte by byte", [Act::Drip(user("me"))], LOGIN, "server_version"),
        row("the end at once", [Act::End], "closed the connection", ""),
        row("the end in a length", [send(b"\0\0\0"), Act::End], "closed the connection", ""),
        row(
            "the end in a start-up message",
            [send(&user("me")[..12]), Act::End],
            "closed the connection",
            "",
        ),
        row("silence", vec![], "no session within the time limit of 0.2 s", "").impatient(),
        row("silence after a byte", sends(b"\0"), "no session within the time limit of 0.2 s", "")
            .impatient(),
        row("silence after SSLRequest", sends(SSL_REQUEST), "no session within the time limit of 0.2 s", "N")
            .impatient(),
        row(
            "silence where a password is asked for",
            sends(user("clear")),
            "no session within the time limit",
            "R\\x00\\x00\\x00\\x08\\x00\\x00\\x00\\x03",
        )
        .impatient(),
        row("a length of 10,000 and silence", sends(b"\0\0\x27\x10"), "no session within the time limit", "")
            .impatient(),
        row("a length of 0", sends(b"\0\0\0\0"), refused, ""),
        row("a length of 7", sends(b"\0\0\0\x07\0\x03\0"), "malformed first packet", ""),
        row("a length of -1", sends(b"\xff\xff\xff\xff"), refused, ""),
        row("the largest length", sends(b"\x7f\xff\xff\xff"), refused, ""),
        row("10,004 bytes", sends(long(10_004)), LOGIN, "server_version"),
        row("10,005 bytes", sends(long(10_005)), "the client's first packet claims 10005 bytes", ""),
        row("HTTP", sends(b"GET / HTTP/1.1\r\n\r\n"), refused, ""),
        row("a message before the start-up message", sends(message(b'Q', b"select 1\0")), refused, ""),
        row("a flood of zeros", [Act::Flood(vec![0; 4096], 4096)], refused, ""),
        row("a flood of text", [Act::Flood(vec![b'A'; 4096], 4096)], refused, ""),
        row(
            "protocol 2.0",
            sends(packet(b"\0\x02\0\0user\0me\0\0")),
            "the client uses protocol 2.0, which is not supported",
            "0A000",
        ),
        row(
            "protocol 4.0",
            sends(packet(b"\0\x04\0\0user\0me\0\0")),
            "the client uses protocol 4.0, which is not supported",
            "0A000",
        ),
        row(
            "protocol 3.9999",
            sends(packet(b"\0\x03\x27\x0fuser\0me\0\0")),
            LOGIN,
            "v\\x00\\x00\\x00\\x0c\\x00\\x03\\x00\\x02",
        ),
        row("no user", sends(startup("database\0x\0")), "the client names no user", "28000"),
        row("no end", sends(packet(b"\0\x03\0\0user\0me\0")), "malformed StartupMessage", "08P01"),
        row(
            "a name without a value",
            sends(packet(b"\0\x03\0\0user\0me\0x\0\0")),
            "malformed StartupMessage",
            "08P01",
        ),
        row(
            "bytes after the end",
            sends(packet(b"\0\x03\0\0user\0me\0\0x")),
            "malformed StartupMessage",
            "08P01",
        ),
        row(
            "a thousand unknown options",
            sends(startup(&format!("user\0me\0{}", "_pq_.x\0y\0".repeat(1_000)))),
            LOGIN,
            "_pq_.x",
        ),
        row("a cancel request", sends(packet(b"\x04\xd2\x16\x2e\0\0\0\x07key!")), CANCEL, ""),
        row(
            "a cancel request without a key",
            sends(packet(b"\x04\xd2\x16\x2e\0\0\0\x07")),
            "malformed CancelRequest",
            "",
        ),
        row(
            "a cancel request of 300 bytes",
            sends(packet([&b"\x04\xd2\x16\x2e\0\0\0\x07"[..], &[7; 300]].concat())),
            "malformed CancelRequest",
            "",
        ),
    ]);
}

#[test]
fn a_server_without_tls_declines_requests_for_encryption() {
    let unsupported = "which is not supported";
    check(&[
        row("TLS at once", sends(HELLO), "the client begins with TLS, which is not offered", ""),
        row(
            "TLS after it was declined",
            [send(SSL_REQUEST), Act::Read(1), send(HELLO)],
            "the client begins with TLS, which is not offered",
            "N",
        ),
        row(
            "TLS before it could be declined",
            sends([SSL_REQUEST, HELLO].concat()),
            "the client begins with TLS, which is not offered",
            "N",
        ),
        row("SSLRequest, and a good login", [send(SSL_REQUEST), Act::Read(1), send(user("me"))], LOGIN, "NR"),
        row("SSLRequest with a good login after it", sends([SSL_REQUEST, &user("me")].concat()), LOGIN, "NR"),
        row("SSLRequest twice", sends(SSL_REQUEST.repeat(2)), unsupported, "N"),
        row("GSSENCRequest twice", sends(GSSENC_REQUEST.repeat(2)), unsupported, "N"),
        row("SSLRequest a thousand times", [Act::Flood(SSL_REQUEST.to_vec(), 1_000)], unsupported, "N"),
        row(
            "both requests, and a good login",
            sends([GSSENC_REQUEST, SSL_REQUEST, &user("me")].concat()),
            LOGIN,
            "NNR",
        ),
        row("SSLRequest with a body", sends(packet(b"\x04\xd2\x16\x2fx")), "malformed SSLRequest", ""),
    ]);
}

#[test]
fn unusual_responses_to_an_authentication_request_have_the_expected_outcome() {
    let nonce = "n,,n=,r=abcdefghijklmnop";
    check(&[
        row(
            "a good password",
            replies("clear", message(b'p', format!("{PASSWORD}\0"))),
            LOGIN,
            "server_version",
        ),
        row(
            "a wrong password",
            replies("clear", message(b'p', b"wrong\0")),
            "authentication failed",
            "28P01",
        ),
        row(
            "an empty password",
            replies("clear", message(b'p', b"\0")),
            "the client sent an empty password",
            "28P01",
        ),
        row(
            "a password without a terminator",
            replies("clear", message(b'p', b"wrong")),
            "malformed PasswordMessage",
            "08P01",
        ),
        row(
            "a password with bytes after its end",
            replies("clear", message(b'p', b"wrong\0x")),
            "malformed PasswordMessage",
            "08P01",
        ),
        row(
            "a password of 30,001 bytes",
            replies("clear", message(b'p', vec![b'x'; 30_001])),
            "over the limit of 30000",
            "08P01",
        ),
        row("the largest length", replies("clear", b"p\x7f\xff\xff\xff"), "over the limit of 30000", "08P01"),
        row("a length of 3", replies("clear", b"p\0\0\0\x03"), "invalid length 3", "08P01"),
        row(
            "a query in place of a password",
            replies("clear", message(b'Q', b"select 1\0")),
            "the client sent Query where an answer",
            "08P01",
        ),
        row(
            "the end in place of a password",
            [send(user("clear")), Act::Read(9), Act::End],
            "closed the connection",
            "",
        ),
        row(
            "a flood in place of a password",
            [send(user("clear")), Act::Flood(vec![b'x'; 4096], 4096)],
            "over the limit of",
            "08P01",
        ),
        row("a user who may not log in", sends(user("nobody")), "the client's user may not log in", "28000"),
        row(
            "an unknown mechanism",
            replies("scram", initial("SCRAM-SHA-1", nonce)),
            "a SASL mechanism that was not offered",
            "08P01",
        ),
        row(
            "a binding that was not offered",
            replies("scram", initial("SCRAM-SHA-256-PLUS", nonce)),
            "a SASL mechanism that was not offered",
            "08P01",
        ),
        row(
            "a first message that is empty",
            replies("scram", initial("SCRAM-SHA-256", "")),
            "invalid SCRAM client-first-message",
            "08P01",
        ),
        row(
            "a first message without a nonce",
            replies("scram", initial("SCRAM-SHA-256", "n,,n=")),
            "invalid SCRAM client-first-message",
            "08P01",
        ),
        row(
            "a first message of 1,100 bytes",
            replies("scram", initial("SCRAM-SHA-256", &format!("{nonce}{}", "x".repeat(1_100)))),
            "over the limit of",
            "08P01",
        ),
        row(
            "a length of the data that is false",
            replies("scram", message(b'p', b"SCRAM-SHA-256\0\x7f\xff\xff\xffn,,")),
            "malformed SASLInitialResponse",
            "08P01",
        ),
        row(
            "a length of the data of -2",
            replies("scram", message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xfe")),
            "malformed SASLInitialResponse",
            "08P01",
        ),
        row(
            "an empty proof",
            [
                replies("scram", initial("SCRAM-SHA-256", nonce)),
                vec![Act::Read(40), send(message(b'p', b"c=biws,r=x,p=AAAA"))],
            ]
            .concat(),
            "invalid SCRAM client-final-message",
            "08P01",
        ),
    ]);
}

#[test]
fn unusual_clients_of_a_server_with_tls_have_the_expected_outcome() {
    let made = made();
    let good = || Act::Tls(made.client(true, &[b"postgresql"], None));
    let secured = |script: Vec<Act>| [vec![send(SSL_REQUEST), Act::Read(1), good()], script].concat();
    let upgrading = |config| [send(SSL_REQUEST), Act::Read(1), Act::Tls(config), send(user("me"))];
    let directly = |config| [Act::Tls(config), send(user("me"))];
    let not_tls = "the peer sent bytes that are not TLS";
    check(&[
        tls("a good login", secured(sends(user("me"))), LOGIN, "server_version"),
        tls("a good login in clear", sends(user("me")), LOGIN, "server_version"),
        tls(
            "a good login in clear after GSSENCRequest",
            sends([GSSENC_REQUEST, &user("me")].concat()),
            LOGIN,
            "NR",
        ),
        tls(
            "GSSENCRequest, SSLRequest, and a good login",
            [vec![send(GSSENC_REQUEST), Act::Read(1)], secured(sends(user("me")))].concat(),
            LOGIN,
            "NS",
        ),
        tls(
            "a good login directly",
            directly(made.client(true, &[b"postgresql"], None)),
            LOGIN,
            "server_version",
        )
        .native("(ALPN)"),
        tls(
            "directly without ALPN",
            directly(made.client(true, &[], None)),
            "TLS agreed on no protocol (ALPN)",
            "",
        ),
        tls("directly with another protocol", directly(made.client(true, &[b"h2"], None)), "ALPN", ""),
        tls("no ALPN after a request", upgrading(made.client(true, &[], None)), LOGIN, "server_version"),
        tls("another protocol after a request", upgrading(made.client(true, &[b"h2"], None)), "ALPN", "S")
            .native(LOGIN),
        tls(
            "the end after SSLRequest",
            [send(SSL_REQUEST), Act::Read(1), Act::End],
            "closed the connection in the middle of the handshake",
            "S",
        ),
        tls("silence after SSLRequest", sends(SSL_REQUEST), "no session within the time limit of 0.2 s", "S")
            .impatient(),
        tls("the end at once", [Act::End], "closed the connection", ""),
        tls("the end in an SSLRequest", [send(&SSL_REQUEST[..5]), Act::End], "closed the connection", ""),
        tls("silence at once", vec![], "no session within the time limit of 0.2 s", "").impatient(),
        tls("silence inside of TLS", secured(vec![]), "no session within the time limit of 0.2 s", "S")
            .impatient(),
        tls(
            "half a ClientHello and the end",
            [send([SSL_REQUEST, HELLO].concat()), Act::End],
            "closed the connection in the middle of the handshake",
            "S",
        ),
        tls(
            "half a ClientHello and silence",
            sends([SSL_REQUEST, HELLO].concat()),
            "no session within the time limit",
            "S",
        )
        .impatient(),
        tls(
            "half a ClientHello directly and the end",
            [send(HELLO), Act::End],
            "closed the connection in the middle of the handshake",
            "",
        ),
        tls("the first byte of TLS and silence", sends(b"\x16"), "no session within the time limit", "")
            .impatient(),
        tls("a login in clear after SSLRequest", sends([SSL_REQUEST, &user("me")].concat()), not_tls, "S"),
        tls("a login in clear after S", [send(SSL_REQUEST), Act::Read(1), send(user("me"))], not_tls, "S"),
        tls("SSLRequest twice", sends(SSL_REQUEST.repeat(2)), not_tls, "S"),
        tls("HTTP after S", [send(SSL_REQUEST), Act::Read(1), send(b"GET / HTTP/1.1\r\n\r\n")], not_tls, "S"),
        tls("HTTP at once", sends(b"GET / HTTP/1.1\r\n\r\n"), "the client's first packet claims", ""),
        tls("a flood after S", [send(SSL_REQUEST), Act::Flood(vec![b'A'; 4096], 4096)], not_tls, "S"),
        tls("GSSENCRequest twice", sends(GSSENC_REQUEST.repeat(2)), "which is not supported", "N"),
        tls("SSLRequest inside of TLS", secured(sends(SSL_REQUEST)), "which is not supported", "0A000"),
        tls("GSSENCRequest inside of TLS", secured(sends(GSSENC_REQUEST)), "which is not supported", "0A000"),
        tls("TLS inside of TLS", secured(sends(HELLO)), "the client begins with TLS", "S"),
        tls(
            "HTTP inside of TLS",
            secured(sends(b"GET / HTTP/1.1\r\n\r\n")),
            "the client's first packet claims",
            "S",
        ),
        tls("the end inside of TLS", secured(vec![Act::End]), "closed the connection", "S"),
        tls(
            "10,005 bytes inside of TLS",
            secured(sends(long(10_005))),
            "the client's first packet claims 10005 bytes",
            "S",
        ),
        tls(
            "a client that does not trust the server",
            upgrading(made.client(false, &[b"postgresql"], None)),
            "UnknownCA",
            "S",
        )
        .native("unknown ca"),
        // The acceptor with native-tls does not request a client certificate. So with native-tls the client logs in.
        tls(
            "a certificate of a foreign authority",
            upgrading(made.client(true, &[b"postgresql"], Some("foreign-client"))),
            "has signed the certificate",
            "S",
        )
        .native(LOGIN),
        tls(
            "a good certificate",
            upgrading(made.client(true, &[b"postgresql"], Some("client"))),
            LOGIN,
            "server_version",
        ),
        tls(
            "SCRAM with the flag that no binding was offered, although it was offered",
            secured(vec![
                send(user("scram")),
                Act::Read(9),
                send(initial("SCRAM-SHA-256", "y,,n=,r=abcdefghijklmnop")),
            ]),
            "the client did not see that channel binding was offered",
            "08P01",
        ),
        tls(
            "a binding of another type",
            secured(vec![
                send(user("scram")),
                Act::Read(9),
                send(initial("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=abcdefghijklmnop")),
            ]),
            "unknown type of channel binding",
            "08P01",
        ),
    ]);
}
