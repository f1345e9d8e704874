//! Checks that the trace of `pg-proxy` has libpq's format. libpq connects to real servers through `pg-proxy`. libpq and `pg-proxy` each
//! print a trace, and the two traces must be equal, line by line.
//!
//! In a few places, the two formats differ on purpose. [`Libpq`] converts these places in libpq's trace, so that the comparison does not
//! report them.

#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
#[path = "proxy/process.rs"]
mod process;
#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;

use std::fs;
use std::process::Command;
use std::thread;

use pg_stream_tokio::TokioIo;
use pg_wire::testing::Transcript;
use pg_wire::{Connection, Direction, Limits};
use process::Proxy;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::{Server, output};

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn start_up_with_every_method_is_traced_as_by_libpq() {
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
fn declined_encryption_is_traced_as_by_libpq() {
    same("start_up", "user=scram password=scram-secret sslmode=prefer", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn start_up_with_protocol_3_2_is_traced_as_by_libpq() {
    for versions in ["max_protocol_version=3.2", "min_protocol_version=3.0 max_protocol_version=latest"] {
        same("start_up", &format!("user=trust sslmode=disable {versions}"), Order::Whole);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn rejected_logins_are_traced_as_by_libpq() {
    same("refused", "user=scram password=wrong sslmode=disable", Order::Whole);
    same("refused", "user=nobody sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn simple_queries_are_traced_as_by_libpq() {
    same("simple", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn errors_and_notices_are_traced_as_by_libpq() {
    same("errors", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn extended_queries_are_traced_as_by_libpq() {
    same("extended", "user=trust sslmode=disable", Order::Whole);
    same("nulls", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_pipeline_is_traced_as_by_libpq() {
    same("pipeline", "user=trust sslmode=disable", Order::ByDirection);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn copies_are_traced_as_by_libpq() {
    same("copy", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn notifications_and_parameters_are_traced_as_by_libpq() {
    same("notify", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn strings_that_are_not_utf8_are_traced_as_by_libpq() {
    same("encoding", "user=trust sslmode=disable", Order::Whole);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn replication_is_traced_as_by_libpq() {
    same("replication", "user=admin replication=database sslmode=disable", Order::ByDirection);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn function_calls_are_traced_as_by_libpq() {
    same("function_call", "user=trust sslmode=disable", Order::Whole);
}

/// Checks that a trace of libpq can be played as a transcript. The player sends the client's messages in the trace to the server. The
/// server's answers must match the server's messages in the trace.
#[test]
#[ignore = "needs servers: cargo xtask test"]
fn traces_of_libpq_with_all_flags_can_be_played() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // The flags are PQTRACE_SUPPRESS_TIMESTAMPS (1) and PQTRACE_REGRESS_MODE (2). Regress mode masks values that differ between runs.
    // Without regress mode, a conversation can be played only if it has no such values.
    for (flags, conversations) in [("2", &["simple", "errors"][..]), ("3", &["errors"]), ("0", &["refused"])]
    {
        for (server, conversation) in
            Server::both().iter().flat_map(|server| conversations.iter().map(move |name| (server, *name)))
        {
            let user = if flags == "0" { "nobody" } else { "trust" };
            let address = server.address;
            let (host, port) = (address.ip(), address.port());
            let conninfo =
                format!("host={host} port={port} dbname=test user={user} sslmode=disable gssencmode=disable");
            let trace = libpq(conversation, &conninfo, &[("TRACE_FLAGS", flags)]);
            let trace = String::from_utf8(trace).expect("in UTF-8");
            assert_eq!(trace.starts_with('F'), flags == "3", "{trace}");
            // libpq does not print AuthenticationOk, so the test inserts this line.
            let trace = match trace.split_once('\n') {
                Some((startup, rest)) if user == "trust" => format!("{startup}\nB AuthenticationOk\n{rest}"),
                _ => trace,
            };
            // The name of the schema for temporary tables contains a number that differs between sessions. So `*` replaces the name.
            let trace = match trace.split_once("\"pg_temp_") {
                Some((before, after)) => {
                    let (_, after) = after.split_once('"').expect("a closing quote");
                    format!("{before}*{after}")
                }
                None => trace,
            };
            let name = format!("{conversation} with flags {flags} and PostgreSQL {}", server.major);
            let transcript: Transcript =
                trace.parse().unwrap_or_else(|error| panic!("{name}: {error}\n{trace}"));
            let played = runtime.block_on(async {
                let stream = tokio::net::TcpStream::connect(address).await.expect("the server listens");
                let mut conn = Connection::new(TokioIo(stream), Limits::BACKEND);
                transcript.play(Direction::Frontend, &mut conn).await
            });
            played.unwrap_or_else(|error| panic!("{name}: {error}\n{trace}"));
        }
    }
}

/// Selects the order in which the lines of two traces are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    /// All lines in one sequence. Possible if client and server take turns, because both traces then have the same order.
    Whole,
    /// The lines of each direction separately. Necessary if client and server may send at the same time, because the traces may then differ
    /// in order.
    ByDirection,
}

/// Checks, with both servers, that libpq and `pg-proxy` print the same trace of this conversation.
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

/// Compares the messages of two traces. Panics at the first difference, and prints both messages.
#[track_caller]
fn compare(name: &str, theirs: &[String], ours: &[String]) {
    assert!(!theirs.is_empty(), "{name}: libpq has printed nothing");
    for (at, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
        assert_eq!(theirs, ours, "{name}, message {at}: libpq's and ours");
    }
    assert_eq!(
        theirs.len(),
        ours.len(),
        "{name}: one of the two traces has further messages after {:?}",
        theirs.last()
    );
}

/// Returns two traces of a conversation: the trace of libpq, and the trace of a proxy between libpq and the server.
#[track_caller]
fn traces(server: &Server, conversation: &str, conninfo: &str) -> (Vec<u8>, Vec<String>) {
    // The proxy connects by a Unix-domain socket, because PostgreSQL declines TLS over such a socket. TLS would hide the messages from the
    // proxy.
    let upstream = format!("{}/.s.PGSQL.{}", server.socket_dir, server.address.port());
    let proxy = Proxy::with(upstream, &["--check", "--trace", "TRACE%d"]);
    // The proxy writes the trace of its first connection to this pipe. libpq ends before the proxy has written the whole trace. So the test
    // reads the pipe to its end.
    let mut pipe = proxy.trace_file().as_os_str().to_owned();
    pipe.push("1");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let reading = thread::spawn(move || fs::read_to_string(pipe).expect("a trace in UTF-8"));
    let (host, port) = (proxy.address().ip(), proxy.address().port());
    let conninfo = format!("host={host} port={port} dbname=test gssencmode=disable {conninfo}");
    let theirs = libpq(conversation, &conninfo, &[]);
    let trace = reading.join().expect("the trace is read");
    proxy.was_faithful();
    let ours = messages(&trace).into_iter().filter(|message| Libpq::prints(message)).collect();
    (theirs, ours)
}

/// Returns the trace that libpq prints of a conversation.
#[track_caller]
fn libpq(conversation: &str, conninfo: &str, environment: &[(&str, &str)]) -> Vec<u8> {
    let python = std::env::var("PSYCOPG_PYTHON").expect("PSYCOPG_PYTHON is not set: run `cargo xtask test`");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/libpq_trace.py");
    let mut program = Command::new(python);
    // libpq must not read settings from the environment. The locale is fixed, because it determines which characters libpq prints as
    // escapes.
    program.env_clear().env("LC_ALL", "C").env("HOME", "/nonexistent").envs(environment.iter().copied());
    let ended = output(program.args([script, conversation, conninfo]));
    assert!(ended.status.success(), "{conversation}: {}", String::from_utf8_lossy(&ended.stderr));
    ended.stdout
}

/// Splits a trace into messages. A message may have several lines, because a string in it may contain newlines.
fn messages(trace: &str) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    for line in trace.lines() {
        match messages.last_mut() {
            Some(message) if !is_head(line) => {
                message.push('\n');
                message.push_str(line);
            }
            _ => messages.push(line.to_owned()),
        }
    }
    messages
}

/// Whether a line is the first line of a message.
fn is_head(line: &str) -> bool {
    let mut words = line.splitn(3, '\t');
    matches!(words.next(), Some("F" | "B"))
        && words.next().is_some_and(|length| length.parse::<u32>().is_ok())
        && words.next().is_some()
}

/// Converts libpq's trace to the format of `pg-proxy`.
struct Libpq;

impl Libpq {
    /// Splits the trace into messages, in the form in which `pg-proxy` prints them.
    fn read(text: &[u8]) -> Vec<String> {
        // libpq prints strings as the bytes that it has received. `pg-proxy` prints U+FFFD for bytes that are not UTF-8.
        let text = String::from_utf8_lossy(text);
        // libpq's trace does not read the salt of an AuthenticationMD5Password, and so reports a wrong length. This report is removed.
        let salt = "B\t12\tAuthenticationMD5Password\n";
        let text = text.replace(&format!("{salt}mismatched message length: consumed 8, expected 12\n"), salt);
        messages(&text).iter().map(|message| Self::mask(message)).collect()
    }

    /// Masks the secret in a message. libpq prints secrets, except in regress mode.
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
        let (before, _) = message.split_once(quote).expect("the message contains a secret");
        format!("{before}{masked}")
    }

    /// Whether libpq prints this message. libpq prints every message except AuthenticationOk.
    fn prints(line: &str) -> bool {
        line != "B\t8\tAuthenticationOk"
    }
}
