//! Our trace is libpq's: libpq holds conversations with real servers and prints its trace of each, a tap in the connection prints
//! ours, and the two are the same, line by line.
//!
//! Where they cannot be, [`Libpq`] brings its text to ours, and that is all there is of differences.

#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use pg_wire::backend::{Authentication, Backend};
use pg_wire::frontend::{Frontend, Initial, PasswordMessage, SaslInitialResponse, SaslResponse};
use pg_wire::{Direction, Frame, Inbox, Limits, Message};
use support::{Server, output};

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn start_up_with_every_method() {
    for user in [
        "user=trust",
        "user=cleartext password=cleartext-secret",
        "user=md5 password=md5-secret",
        "user=scram password=scram-secret",
        "user=trust options='-c geqo=off' application_name='caf\u{e9}' client_encoding=latin1",
    ] {
        same("start_up", &format!("{user} sslmode=disable"), Order::Whole);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn start_up_where_encryption_is_declined() {
    same("start_up", "user=scram password=scram-secret sslmode=prefer", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn start_up_with_protocol_3_2() {
    for versions in ["max_protocol_version=3.2", "min_protocol_version=3.0 max_protocol_version=latest"] {
        same("start_up", &format!("user=trust sslmode=disable {versions}"), Order::Whole);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_refusal() {
    same("refused", "user=scram password=wrong sslmode=disable", Order::Whole);
    same("refused", "user=nobody sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn simple_queries() {
    same("simple", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn errors_and_notices() {
    same("errors", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn extended_queries() {
    same("extended", "user=trust sslmode=disable", Order::Whole);
    same("nulls", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_pipeline() {
    same("pipeline", "user=trust sslmode=disable", Order::ByDirection);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn copies() {
    same("copy", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn notifications_and_parameters() {
    same("notify", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn strings_that_are_not_utf8() {
    same("encoding", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn replication() {
    same("replication", "user=admin replication=database sslmode=disable", Order::ByDirection);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn function_calls() {
    same("function_call", "user=trust sslmode=disable", Order::Whole);
}

/// Which lines are compared with which.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    /// All, in one sequence: the two sides take turns, so both traces see the same order.
    Whole,
    /// Those of each direction by themselves: both sides speak when they like.
    ByDirection,
}

/// libpq's trace of this conversation and ours are the same, on both servers.
#[track_caller]
fn same(conversation: &str, conninfo: &str, order: Order) {
    for server in Server::both() {
        let name = format!("{conversation} ({conninfo}) with PostgreSQL {}", server.major);
        let (theirs, ours) = traces(&server, conversation, conninfo);
        let theirs = Libpq::read(&theirs);
        let of = |lines: &[String], who: char| -> Vec<String> {
            lines.iter().filter(|line| line.starts_with(who)).cloned().collect()
        };
        for who in ['F', 'B'] {
            compare(&format!("{name}, {who}"), &of(&theirs, who), &of(&ours, who));
        }
        if order == Order::Whole {
            compare(&name, &theirs, &ours);
        }
    }
}

/// The first difference fails, with both lines.
#[track_caller]
fn compare(name: &str, theirs: &[String], ours: &[String]) {
    assert!(!theirs.is_empty(), "{name}: libpq has printed nothing");
    for (at, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
        assert_eq!(theirs, ours, "{name}, message {at}: libpq's and ours");
    }
    assert_eq!(theirs.len(), ours.len(), "{name}: one of the two goes on behind {:?}", theirs.last());
}

/// What libpq prints of a conversation, and our lines of it.
#[track_caller]
fn traces(server: &Server, conversation: &str, conninfo: &str) -> (Vec<u8>, Vec<String>) {
    let python = std::env::var("PSYCOPG_PYTHON").expect("PSYCOPG_PYTHON is not set: run `cargo xtask test`");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its number");
    let tap = Tap::default();
    let printed = thread::scope(|scope| {
        let tapping = scope.spawn(|| tap.run(&listener, server.address));
        let (host, port) = (address.ip(), address.port());
        let conninfo = format!("host={host} port={port} dbname=test gssencmode=disable {conninfo}");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/libpq_trace.py");
        let mut program = Command::new(python);
        // What libpq takes from its environment is not of this test; the locale decides what is printable.
        program.env_clear().env("LC_ALL", "C").env("HOME", "/nonexistent");
        let ended = output(program.args([script, conversation, &conninfo]));
        // Should libpq not have come, this ends the wait for it.
        drop(TcpStream::connect(address));
        tapping.join().expect("the tap has no trouble");
        assert!(ended.status.success(), "{conversation}: {}", String::from_utf8_lossy(&ended.stderr));
        ended.stdout
    });
    (printed, tap.log.into_inner().unwrap_or_else(PoisonError::into_inner).lines)
}

/// libpq's own text.
struct Libpq;

impl Libpq {
    /// One entry a message, as we would print it.
    fn read(text: &[u8]) -> Vec<String> {
        let mut messages: Vec<String> = Vec::new();
        // Strings are printed as they come. A trace of ours is text, so it shows U+FFFD for what is not.
        for line in String::from_utf8_lossy(text).lines() {
            // libpq skips the salt, and complains about itself.
            if line == "mismatched message length: consumed 8, expected 12" {
                assert_eq!(messages.last().map(String::as_str), Some("B\t12\tAuthenticationMD5Password"));
                continue;
            }
            match messages.last_mut() {
                // A string with a newline in it.
                Some(message) if !Self::is_head(line) => {
                    message.push('\n');
                    message.push_str(line);
                }
                _ => messages.push(line.to_owned()),
            }
        }
        messages.iter().map(|message| Self::mask(message)).collect()
    }

    /// Whether a line is the first of a message.
    fn is_head(line: &str) -> bool {
        let mut words = line.splitn(3, '\t');
        matches!(words.next(), Some("F" | "B"))
            && words.next().is_some_and(|length| length.parse::<u32>().is_ok())
            && words.next().is_some()
    }

    /// Without the secret, which libpq prints unless it is in its regression mode.
    fn mask(message: &str) -> String {
        let (quote, masked) = match message.split('\t').nth(2) {
            Some("PasswordMessage") => ('"', "\"SSSS\""),
            Some(
                "BackendKeyData"
                | "SASLInitialResponse"
                | "SASLResponse"
                | "AuthenticationSASLContinue"
                | "AuthenticationSASLFinal",
            ) => ('\'', "'BBBB'"),
            _ => return message.to_owned(),
        };
        let (before, _) = message.split_once(quote).expect("there is a secret in it");
        format!("{before}{masked}")
    }

    /// Whether libpq prints such a message at all: it passes over this one, though it has a name for it.
    fn prints(line: &str) -> bool {
        line != "B\t8\tAuthenticationOk"
    }
}

/// Passes one connection on to a server, and keeps what is said there. Encryption it declines: then there would be nothing to read.
#[derive(Debug, Default)]
struct Tap {
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<String>,
    /// What the client's next answer is an answer to.
    authentication: u32,
    started: bool,
}

impl Tap {
    fn run(&self, listener: &TcpListener, server: SocketAddr) {
        let (client, _) = listener.accept().expect("libpq comes");
        let server = TcpStream::connect(server).expect("the server is there");
        thread::scope(|scope| {
            scope.spawn(|| self.forward(Direction::Frontend, &client, &server));
            self.forward(Direction::Backend, &server, &client);
        });
    }

    fn forward(&self, direction: Direction, mut from: &TcpStream, mut to: &TcpStream) {
        let limits = match direction {
            Direction::Frontend => Limits::FRONTEND,
            Direction::Backend => Limits::BACKEND,
        };
        let (mut inbox, mut buffer) = (Inbox::new(limits), [0; 8192]);
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..length];
            // Before it is passed on: so whatever answers it is noted after it.
            let declined = self.log.lock().expect("nobody has panicked").note(direction, bytes, &mut inbox);
            let passed_on = if declined { from.write_all(b"N") } else { to.write_all(bytes) };
            if passed_on.is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

impl Log {
    /// Keeps what is said, and says whether it asks for encryption, which is declined.
    fn note(&mut self, direction: Direction, bytes: &[u8], inbox: &mut Inbox) -> bool {
        inbox.extend(bytes);
        if direction == Direction::Frontend && !self.started {
            let packet = inbox.next_packet(10_000).expect("libpq's packets are well-formed");
            let Some(packet) = packet else { return false };
            let packet = Initial::decode(packet).expect("libpq's packets are well-formed");
            self.lines.push(packet.trace(direction).to_string());
            if let Initial::Ssl(_) = packet {
                // There is no message around the answer, but libpq has a line for it.
                self.lines.push("B\t1\tSSLResponse\t N".to_owned());
                return true;
            }
            self.started = true;
        }
        if self.started {
            while let Some(frame) = inbox.next().expect("frames are well-formed") {
                let line = match direction {
                    Direction::Frontend => self.client(frame),
                    Direction::Backend => self.server(frame),
                };
                if Libpq::prints(&line) {
                    self.lines.push(line);
                }
            }
        }
        false
    }

    fn client(&self, frame: Frame<'_>) -> String {
        match frame.frontend().expect("libpq's messages are well-formed") {
            Frontend::AuthenticationResponse(response) => match self.authentication {
                3 | 5 => line(&response.decode_as::<PasswordMessage<'_>>().expect("it is one")),
                10 => line(&response.decode_as::<SaslInitialResponse<'_>>().expect("it is one")),
                _ => line(&response.decode_as::<SaslResponse<'_>>().expect("it is one")),
            },
            message => line(&message),
        }
    }

    fn server(&mut self, frame: Frame<'_>) -> String {
        let message = frame.backend().expect("the server's messages are well-formed");
        if let Backend::Authentication(authentication) = &message {
            self.authentication = Authentication::kind(authentication);
        }
        message.trace(Direction::Backend).to_string()
    }
}

fn line(message: &impl Message) -> String {
    message.trace(Direction::Frontend).to_string()
}
