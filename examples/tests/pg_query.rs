//! Tests of the output, the error texts and the exit status of `pg-query`.

#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use pg_wire::backend::{
    Authentication, BackendKeyData, CommandComplete, CopyBothResponse, CopyInResponse, DataRow,
    EmptyQueryResponse, ErrorField, ErrorFields, ErrorResponse, FieldDescription, NoticeResponse,
    NotificationResponse, ParameterStatus, ReadyForQuery, RowDescription,
};
use pg_wire::{
    TransactionStatus,
    backend::CopyFormat,
    codec::{List, Secret, Values},
    oid,
};
use support::{Ended, PATIENCE, Server, finish};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pg-query");

/// Returns a command that runs the program without settings from the environment of the tests.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PG") && !name.contains('_')) {
            command.env_remove(name);
        }
    }
    command.env("HOME", "/nonexistent").args(arguments);
    command
}

fn run(arguments: &[&str]) -> Ended {
    finish(&mut command(arguments))
}

fn query(url: &str, sql: &str) -> Ended {
    run(&[url, sql])
}

fn ended(code: i32, stdout: &str, stderr: &str) -> Ended {
    Ended { code: Some(code), stdout: stdout.into(), stderr: stderr.into() }
}

// Tests of the command line.

#[test]
fn the_error_for_wrong_usage_does_not_repeat_the_arguments() {
    let url = "postgres://me:hunter2@localhost/shop";
    for arguments in [
        &[][..],
        &[url],
        &[url, "SELECT 1", url],
        &[url, "SELECT 1", "--file", "shop"],
        &["SELECT 1", "--option", url],
        &["SELECT 1", url],
        &["postgres://me:hunter2@localhost:port/shop", "SELECT 1"],
        &["postgres://me:hunter2@localhost/shop?colour=hunter2", "SELECT 1"],
        &["postgres://me:hunter2@localhost/shop?sslmode=hunter2", "SELECT 1"],
        &["postgres://me:hun%ter2@localhost/shop", "SELECT 1"],
        &["postgres://me:hunter2@localhost/shop?service=hunter", "SELECT 1"],
    ] {
        let Ended { code, stdout, stderr } = run(arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.starts_with("pg-query: "), "{stderr}");
        assert!(stderr.contains("Usage: pg-query [OPTIONS] <URL> <SQL>"), "{stderr}");
        for given in ["hunter2", "postgres://", "shop", "SELECT"] {
            assert!(!stderr.contains(given), "{stderr}");
        }
    }
}

#[test]
fn help_and_version_are_printed_on_standard_output() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for word in
        ["<URL>", "<SQL>", "--file", "--verbose", r"\N", "COPY", "PGHOST", "SIGPIPE", "Ctrl-C", "Exit status"]
    {
        assert!(help.stdout.contains(word), "{word}");
    }
    let version = format!("pg-query {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]), ended(0, &version, ""));
}

#[test]
fn every_host_that_failed_is_reported_with_its_reason() {
    let hosts = "postgres://me:hunter2@127.0.0.1:1,127.0.0.1:2/shop?sslmode=disable";
    let Ended { code, stdout, stderr } = query(hosts, "SELECT 1");
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    for (line, port) in lines.iter().zip([1, 2]) {
        assert!(line.starts_with(&format!("pg-query: 127.0.0.1:{port}: cannot connect: ")), "{stderr}");
    }
}

#[test]
fn missing_settings_are_taken_from_the_environment_and_files() {
    let home = tempfile::tempdir().expect("a directory");
    let connects = |url: &str, set: &dyn Fn(&mut Command, u16)| {
        let server = Scripted::new();
        let port = server.port();
        let mut script = Vec::new();
        put_answer(&mut script, &[&[Some(b"1")]]);
        let heard = server.says(script);
        let mut command = command(&[url, "SELECT 1"]);
        command.env("HOME", home.path()).env("PGSSLMODE", "disable");
        set(&mut command, port);
        assert_eq!(finish(&mut command), ended(0, "1\n", ""), "{url}");
        let startup = heard.join().expect("the server has not panicked").startup;
        String::from_utf8_lossy(&startup).into_owned()
    };
    let startup = connects("", &|command, port| {
        command.env("PGHOST", "127.0.0.1").env("PGPORT", port.to_string()).env("PGUSER", "ada");
        command.env("PGDATABASE", "shop").env("PGAPPNAME", "till").env("PGOPTIONS", "-c geqo=off");
    });
    for parameter in ["user\0ada\0", "database\0shop\0", "application_name\0till\0", "options\0-c geqo=off\0"]
    {
        assert!(startup.contains(parameter), "{startup:?}");
    }
    std::fs::write(home.path().join(".pg_service.conf"), "[till]\nuser=grace\nhost=127.0.0.1\n")
        .expect("a file");
    let startup = connects("service=till dbname=shop", &|command, port| {
        command.env("PGPORT", port.to_string());
    });
    assert!(
        startup.contains("user\0grace\0") && startup.contains("application_name\0pg-query\0"),
        "{startup:?}"
    );
}

#[test]
fn a_password_file_that_others_can_read_is_ignored_with_a_warning() {
    let home = tempfile::tempdir().expect("a directory");
    let passwords = home.path().join(".pgpass");
    std::fs::write(&passwords, "*:*:*:*:hunter2\n").expect("a file");
    std::fs::set_permissions(&passwords, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let mut command = command(&["postgres://me@127.0.0.1:1/shop?sslmode=disable", "SELECT 1"]);
    let Ended { code, stderr, .. } = finish(command.env("HOME", home.path()));
    assert_eq!(code, Some(2));
    assert!(stderr.starts_with("pg-query: warning: password file "), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

// Tests that need a scripted server.

/// A server that accepts every login, and answers a query with bytes that the test supplies.
struct Scripted {
    listener: TcpListener,
}

/// The bytes that a [`Scripted`] server has received.
struct Heard {
    startup: Vec<u8>,
    query: Vec<u8>,
    after: Vec<u8>,
}

impl Scripted {
    fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").expect("a port") }
    }

    fn url(&self) -> String {
        format!("postgres://me:hunter2@127.0.0.1:{}/shop?sslmode=disable", self.port())
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().expect("an address").port()
    }

    /// Accepts a connection, performs the start-up and reads the query.
    fn accept(&self) -> (TcpStream, Heard) {
        self.accept_with(&[])
    }

    /// Does the same as `accept`, but sends the bytes `surplus` directly after the ReadyForQuery that ends the start-up.
    fn accept_with(&self, surplus: &[u8]) -> (TcpStream, Heard) {
        let (mut stream, _) = self.listener.accept().expect("a connection");
        let startup = packet(&mut stream);
        let mut welcome = Vec::new();
        let key = BackendKeyData { pid: 7, key: Secret(b"hush") };
        put(&mut welcome, &Authentication::Ok);
        put(&mut welcome, &key);
        put(&mut welcome, &READY);
        welcome.extend_from_slice(surplus);
        stream.write_all(&welcome).expect("the program listens");
        let mut code = [0];
        stream.read_exact(&mut code).expect("a query");
        assert_eq!(code, *b"Q");
        let query = packet(&mut stream);
        (stream, Heard { startup, query, after: Vec::new() })
    }

    /// Accepts the program's connection on a new thread, answers the query with these bytes, and half-closes.
    fn says(self, script: Vec<u8>) -> JoinHandle<Heard> {
        thread::spawn(move || {
            let (mut stream, mut heard) = self.accept();
            // Errors are ignored: the program may have ended before all bytes are sent.
            let _ = stream.write_all(&script).and_then(|()| stream.shutdown(Shutdown::Write));
            let _ = stream.read_to_end(&mut heard.after);
            heard
        })
    }
}

/// Reads a length field and the body after it. Returns the body.
fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body).expect("a body");
    body
}

const READY: ReadyForQuery = ReadyForQuery { status: TransactionStatus::Idle };

fn put(script: &mut Vec<u8>, message: &impl pg_wire::Encode) {
    message.encode(script).expect("the message can be encoded");
}

/// Appends a RowDescription with `count` columns of text.
fn put_columns(script: &mut Vec<u8>, count: usize) {
    let field = FieldDescription { name: "a".into(), type_oid: oid::TEXT, ..Default::default() };
    put(script, &RowDescription { fields: List::from(vec![field; count].as_slice()) });
}

/// Appends a complete answer with these rows, which all have the same number of values.
fn put_answer(script: &mut Vec<u8>, rows: &[&[Option<&[u8]>]]) {
    put_columns(script, rows[0].len());
    rows.iter().for_each(|row| put_row(script, row));
    put(script, &CommandComplete { tag: "SELECT".into() });
    put(script, &READY);
}

fn put_row(script: &mut Vec<u8>, values: &[Option<&[u8]>]) {
    put(script, &DataRow { values: Values::from(values) });
}

/// Creates the fields of an ErrorResponse or a NoticeResponse. Each pair is the code and the text of a field.
fn fields<'a>(fields: &[(u8, &'a str)]) -> Vec<ErrorField<'a>> {
    fields.iter().map(|&(code, value)| ErrorField { code, value: value.into() }).collect()
}

fn put_error(script: &mut Vec<u8>, of: &[(u8, &str)]) {
    put(script, &ErrorResponse { fields: ErrorFields::from(fields(of).as_slice()) });
}

fn put_notice(script: &mut Vec<u8>, of: &[(u8, &str)]) {
    put(script, &NoticeResponse { fields: ErrorFields::from(fields(of).as_slice()) });
}

/// Runs a query on a server that answers with this script. Returns the program's result, and the bytes that the server has received.
fn answered(script: Vec<u8>) -> (Ended, Heard) {
    let server = Scripted::new();
    let url = server.url();
    let heard = server.says(script);
    let ended = query(&url, "SELECT 1");
    (ended, heard.join().expect("the server has not panicked"))
}

#[test]
fn the_encoding_is_set_only_if_given_and_the_session_ends_with_terminate() {
    for (more, expected) in [("", None), ("&client_encoding=LATIN1", Some("\0client_encoding\0LATIN1\0"))] {
        let mut script = Vec::new();
        put(&mut script, &EmptyQueryResponse {});
        put(&mut script, &READY);
        let server = Scripted::new();
        let url = server.url() + more;
        let heard = server.says(script);
        assert_eq!(query(&url, "SELECT 1"), ended(0, "", ""));
        let heard = heard.join().expect("the server has not panicked");
        let startup = String::from_utf8_lossy(&heard.startup).into_owned();
        assert_eq!(startup.contains("client_encoding"), expected.is_some(), "{startup:?}");
        assert!(expected.is_none_or(|expected| startup.contains(expected)), "{startup:?}");
        assert_eq!(heard.query, b"SELECT 1\0");
        assert_eq!(heard.after, b"X\0\0\0\x04");
    }
}

#[test]
fn asynchronous_messages_may_arrive_anywhere_in_the_answer() {
    let mut script = Vec::new();
    let chatter = |script: &mut Vec<u8>| {
        put_notice(script, &[(b'S', "AVIS"), (b'V', "NOTICE"), (b'C', "00000"), (b'M', "by the way")]);
        put(script, &ParameterStatus { name: "TimeZone".into(), value: "UTC".into() });
        put(script, &NotificationResponse { pid: 7, channel: "jobs".into(), payload: "4\u{1b}2".into() });
    };
    put_columns(&mut script, 2);
    for value in ["one", "two"] {
        chatter(&mut script);
        put_row(&mut script, &[Some(value.as_bytes()), None]);
    }
    chatter(&mut script);
    put(&mut script, &CommandComplete { tag: "SELECT 2".into() });
    chatter(&mut script);
    put(&mut script, &READY);
    let (end, heard) = answered(script);
    let said = "AVIS:  by the way\nNOTIFY:  channel \"jobs\", payload \"4\\u{1b}2\", from server process 7\n";
    assert_eq!(end, ended(0, "one\t\\N\ntwo\t\\N\n", &said.repeat(4)));
    assert_eq!(heard.after, b"X\0\0\0\x04");
}

#[test]
fn command_tags_are_printed_with_verbose() {
    let mut script = Vec::new();
    put_answer(&mut script, &[&[Some(b"1")]]);
    let server = Scripted::new();
    let url = server.url();
    let heard = server.says(script);
    assert_eq!(run(&["--verbose", &url, "SELECT 1"]), ended(0, "1\n", "SELECT\n"));
    heard.join().expect("the server has not panicked");
}

#[test]
fn an_error_that_ends_the_session_is_reported() {
    let mut script = Vec::new();
    put_columns(&mut script, 1);
    put_row(&mut script, &[Some(b"1")]);
    put_error(&mut script, &[(b'S', "FATAL"), (b'C', "57P01"), (b'M', "going down")]);
    assert_eq!(answered(script).0, ended(2, "1\n", "FATAL:  57P01: going down\n"));
}

#[test]
fn the_first_of_several_errors_is_reported() {
    let mut script = Vec::new();
    put_error(&mut script, &[(b'S', "ERROR"), (b'C', "42601"), (b'M', "syntax error"), (b'P', "3")]);
    put_error(&mut script, &[(b'S', "FATAL"), (b'C', "57P01"), (b'M', "going down")]);
    let said = "ERROR:  42601: syntax error\nLINE 1: SELECT 1\n          ^\n";
    assert_eq!(answered(script).0, ended(2, "", said));
}

#[test]
fn an_error_is_a_sentence_and_cannot_control_the_terminal() {
    for (of, said) in [
        (&[][..], "ERROR:  no error message available\n"),
        (&[(b'M', "only message")], "ERROR:  only message\n"),
        (&[(b'S', ""), (b'C', ""), (b'M', "")], "ERROR:  no error message available\n"),
        (&[(b'C', "28000"), (b'H', "a hint")], "ERROR:  28000: no error message available\nHINT:  a hint\n"),
        (
            &[(b'S', "ERROR\r"), (b'M', "\u{1b}[2Ja\rb\nc\td\u{202e}")],
            "ERROR\\r:  \\u{1b}[2Ja\\rb\nc\td\\u{202e}\n",
        ),
    ] {
        let mut script = Vec::new();
        put_error(&mut script, of);
        put(&mut script, &READY);
        assert_eq!(answered(script).0, ended(1, "", said));
    }
}

#[test]
fn an_error_before_the_login_is_printed_on_one_line() {
    for (of, said) in [
        (&[][..], "no error message available"),
        (
            &[(b'S', "FATAL"), (b'C', "28000"), (b'M', "no\npg-query: yes\u{1b}[2J")],
            "FATAL 28000: no\\npg-query: yes\\u{1b}[2J",
        ),
        (&[(b'S', "FATAL"), (b'C', "28000"), (b'M', "no"), (b'H', "a\nb")], "FATAL 28000: no\nHINT:  a\\nb"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut script = Vec::new();
        put_error(&mut script, of);
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            packet(&mut stream);
            stream.write_all(&script).expect("the program listens");
        });
        let end = query(&format!("postgres://me:hunter2@{address}/shop?sslmode=disable"), "SELECT 1");
        server.join().expect("the server has not panicked");
        assert_eq!(end, ended(2, "", &format!("pg-query: {address}: {said}\n")));
    }
}

#[test]
fn a_closed_connection_is_reported_after_the_received_rows() {
    let mut script = Vec::new();
    put_columns(&mut script, 1);
    put_row(&mut script, &[Some(b"1")]);
    let said = "pg-query: the peer closed the connection\n";
    assert_eq!(answered(script.clone()).0, ended(2, "1\n", said));
    script.extend_from_slice(b"D\0\0");
    let said = "pg-query: the peer closed the connection in the middle of a message\n";
    assert_eq!(answered(script).0, ended(2, "1\n", said));
}

#[test]
fn an_invalid_message_is_reported_after_the_received_rows() {
    let mut script = Vec::new();
    put_columns(&mut script, 1);
    put_row(&mut script, &[Some(b"1")]);
    let with = |bytes: &[u8]| [&script[..], bytes].concat();
    let mut both = script.clone();
    put(&mut both, &CopyBothResponse { format: CopyFormat::Text, columns: List::EMPTY });
    for (script, named) in [
        (with(b"D\0\0\0\x0a\0\x01\0\0\0\x02"), "malformed"),
        (with(b"d\0\0\0\x06x\n"), "CopyData"),
        (both, "CopyBothResponse"),
    ] {
        let Ended { code, stdout, stderr } = answered(script).0;
        assert_eq!((code, stdout.as_str()), (Some(1), "1\n"));
        assert!(stderr.starts_with("pg-query: ") && stderr.contains(named), "{stderr}");
        assert_eq!(stderr.matches('\n').count(), 1, "{stderr}");
    }
}

#[test]
fn a_row_that_does_not_match_its_description_is_an_error_with_both_counts() {
    let rows = |described: Option<usize>, values: usize| {
        let mut script = Vec::new();
        if let Some(count) = described {
            put_columns(&mut script, count);
        }
        put_row(&mut script, &vec![Some(&b"1"[..]); values]);
        put(&mut script, &CommandComplete { tag: "SELECT 1".into() });
        put(&mut script, &READY);
        script
    };
    let mut again = rows(Some(1), 1);
    again.truncate(again.len() - 6);
    put_row(&mut again, &[Some(b"2")]);
    for (script, printed, said) in [
        (rows(Some(2), 3), "", "the row has 3 values but the RowDescription has 2 columns"),
        (rows(Some(2), 1), "", "the row has 1 value but the RowDescription has 2 columns"),
        (rows(None, 2), "", "the row has 2 values but no RowDescription was received"),
        (again, "1\n", "the row has 1 value but no RowDescription was received"),
    ] {
        assert_eq!(answered(script).0, ended(1, printed, &format!("pg-query: {said}\n")));
    }
}

const SURPLUS: &str = "pg-query: a ReadyForQuery that answers no Query was skipped\n";

#[test]
fn an_unexpected_ready_for_query_does_not_answer_the_query() {
    let mut ready = Vec::new();
    put(&mut ready, &READY);
    let mut answer = Vec::new();
    put_answer(&mut answer, &[&[Some(b"1")]]);

    // The server sends `count` further ReadyForQuery messages, directly after the ReadyForQuery that ends the start-up.
    for count in [1, 3] {
        let server = Scripted::new();
        let url = server.url();
        let (surplus, answer) = (ready.repeat(count), answer.clone());
        let heard = thread::spawn(move || {
            let (mut stream, _) = server.accept_with(&surplus);
            stream.write_all(&answer).expect("the program listens");
        });
        assert_eq!(query(&url, "SELECT 1"), ended(0, "1\n", &SURPLUS.repeat(count)));
        heard.join().expect("the server has not panicked");
    }
    let (end, heard) = answered([ready, answer].concat());
    assert_eq!(end, ended(0, "1\n", SURPLUS));
    // The program has sent a Sync after the ReadyForQuery that answers no Query. The server answers the Query before the Sync. So if the
    // ReadyForQuery of the Sync arrived without an answer to the Query, the answer would never arrive, and the program would end with an
    // error.
    assert_eq!(heard.after, b"S\0\0\0\x04X\0\0\0\x04");
}

#[test]
fn an_incomplete_answer_is_an_error() {
    let unanswered = "pg-query: the server sent ReadyForQuery without CommandComplete, EmptyQueryResponse or \
                      ErrorResponse before it: the statements may not have run\n";
    let mut rows = Vec::new();
    put_columns(&mut rows, 1);
    put_row(&mut rows, &[Some(b"1")]);
    put(&mut rows, &READY);
    assert_eq!(answered(rows).0, ended(1, "1\n", unanswered));

    let mut ready = Vec::new();
    put(&mut ready, &READY);
    // The server sends two ReadyForQuery messages without a result before them. The first is for the Query, the second is for the program's
    // Sync.
    assert_eq!(answered(ready.repeat(2)).0, ended(1, "", &format!("{SURPLUS}{unanswered}")));
}

#[test]
fn values_are_bytes_and_need_not_be_utf8() {
    let mut script = Vec::new();
    put_answer(&mut script, &[&[Some(b"Schl\xfcssel\0\r\n\\"), Some(b"")]]);
    let server = Scripted::new();
    let url = server.url();
    let heard = server.says(script);
    let output = command(&[&url, "SELECT 1"]).output().expect("the program starts");
    heard.join().expect("the server has not panicked");
    assert_eq!(output.stdout, b"Schl\xfcssel\0\r\n\\\t\n");
    assert!(output.status.success());
}

#[test]
fn sql_is_read_from_a_file_or_from_standard_input() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("query.sql");
    // This SQL is not UTF-8, and is longer than the longest command-line argument, 128 KiB on Linux.
    let sql = [&b"SELECT '\xff"[..], &[b'x'; 200_000], b"'"].concat();
    std::fs::write(&file, &sql).expect("a file");
    let name = file.to_str().expect("UTF-8");
    for (arguments, on_stdin) in [(&["--file", name][..], false), (&["-f", "-"], true), (&["-"], true)] {
        let mut script = Vec::new();
        put_answer(&mut script, &[&[Some(b"1")]]);
        let server = Scripted::new();
        let url = server.url();
        let heard = server.says(script);
        let mut program = command(&[&url]);
        program.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        if on_stdin {
            program.stdin(File::open(&file).expect("the file"));
        }
        let output = program.output().expect("the program starts");
        assert_eq!(
            (output.status.code(), &output.stdout[..], &output.stderr[..]),
            (Some(0), &b"1\n"[..], &b""[..])
        );
        let heard = heard.join().expect("the server has not panicked");
        assert!(heard.query.strip_suffix(b"\0") == Some(&sql), "{} bytes", heard.query.len());
    }
    let missing = run(&["postgres://me@127.0.0.1:1/shop", "--file", "/nonexistent/x"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(1), ""));
    assert!(
        missing.stderr.starts_with("pg-query: cannot read the SQL from /nonexistent/x: "),
        "{}",
        missing.stderr
    );
}

#[test]
fn copy_from_stdin_fails_if_standard_input_contained_the_sql() {
    let server = Scripted::new();
    let mut program = Running::of(command(&[&server.url(), "-"]));
    program.stdin.take().expect("a pipe").write_all(b"COPY t FROM STDIN").expect("the program reads");
    let (mut stream, heard) = server.accept();
    assert_eq!(heard.query, b"COPY t FROM STDIN\0");
    let mut script = Vec::new();
    put(&mut script, &CopyInResponse { format: CopyFormat::Text, columns: List::EMPTY });
    stream.write_all(&script).expect("the program listens");
    let mut code = [0];
    stream.read_exact(&mut code).expect("an answer");
    assert_eq!((code, packet(&mut stream).as_slice()), (*b"f", &b"standard input held the SQL\0"[..]));
    let mut script = Vec::new();
    put_error(&mut script, &[(b'S', "ERROR"), (b'C', "57014"), (b'M', "as you like")]);
    put(&mut script, &READY);
    stream.write_all(&script).expect("the program listens");
    let said = "ERROR:  57014: as you like\n\
                pg-query: COPY FROM STDIN cannot read standard input, which held the SQL: use --file FILE\n";
    assert_eq!(program.finish(), ended(1, "", said));
}

#[test]
fn the_first_ctrl_c_sends_a_cancel_request_and_the_second_ends_the_program() {
    let server = Scripted::new();
    let url = server.url();
    let mut program = Running::start(&url, "SELECT 1");
    let (mut stream, _) = server.accept();
    let mut script = Vec::new();
    put_columns(&mut script, 1);
    put_row(&mut script, &[Some(b"1")]);
    stream.write_all(&script).expect("the program listens");
    // When the program prints a row, it already handles Ctrl-C.
    assert_eq!(program.line(), "1\n");
    program.interrupt();
    let (mut request, _) = server.listener.accept().expect("a cancel request");
    assert_eq!(packet(&mut request), b"\x04\xd2\x16\x2e\0\0\0\x07hush");
    program.interrupt();
    assert_eq!(program.end(), ended(1, "", "pg-query: interrupted\n"));
}

#[test]
fn ctrl_c_before_the_login_ends_the_program() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("postgres://me@{}/shop?sslmode=disable", listener.local_addr().expect("an address"));
    let program = Running::start(&url, "SELECT 1");
    let (mut stream, _) = listener.accept().expect("a connection");
    packet(&mut stream);
    program.interrupt();
    assert_eq!(program.end(), ended(1, "", "pg-query: interrupted\n"));
}

#[test]
fn ctrl_c_works_while_standard_output_is_blocked() {
    let server = Scripted::new();
    let program = Running::start(&server.url(), "SELECT 1");
    let (mut stream, _) = server.accept();
    let mut script = Vec::new();
    put_columns(&mut script, 1);
    stream.write_all(&script).expect("the program listens");
    // Sends rows until the program has ended. The rows do not fit into the pipe, the program's queue and both sockets, so the program
    // blocks.
    let feeder = thread::spawn(move || {
        let mut rows = Vec::new();
        (0..10_000).for_each(|_| put_row(&mut rows, &[Some(&[b'x'; 1000])]));
        while stream.write_all(&rows).is_ok() {}
    });
    program.wait_until_blocked();
    program.interrupt();
    let (mut request, _) = server.listener.accept().expect("a cancel request");
    assert_eq!(packet(&mut request), b"\x04\xd2\x16\x2e\0\0\0\x07hush");
    program.interrupt();
    // Reads the output only after the program has ended, so that the pipe stays full until the end.
    let Running { mut child, mut stdout, .. } = program;
    assert_eq!(child.wait().expect("the program ends").code(), Some(1));
    feeder.join().expect("a writer does not panic");
    let mut printed = Vec::new();
    stdout.read_to_end(&mut printed).expect("the pipe can be read");
    assert!(printed.len() > 60_000, "{} bytes", printed.len());
}

#[test]
fn ctrl_c_works_while_standard_error_is_blocked() {
    let server = Scripted::new();
    let program = Running::start(&server.url(), "SELECT 1");
    let (mut stream, _) = server.accept();
    let feeder = thread::spawn(move || {
        let mut notices = Vec::new();
        (0..1000).for_each(|_| put_notice(&mut notices, &[(b'M', &"x".repeat(10_000))]));
        while stream.write_all(&notices).is_ok() {}
    });
    program.wait_until_blocked();
    program.interrupt();
    let (mut request, _) = server.listener.accept().expect("a cancel request");
    packet(&mut request);
    program.interrupt();
    let Running { mut child, stdout: _stdout, .. } = program;
    assert_eq!(child.wait().expect("the program ends").code(), Some(1));
    feeder.join().expect("a writer does not panic");
}

#[test]
fn rows_that_were_dropped_after_ctrl_c_are_an_error() {
    let server = Scripted::new();
    let mut program = Running::start(&server.url(), "SELECT 1");
    let (mut stream, _) = server.accept();
    let mut script = Vec::new();
    put_columns(&mut script, 1);
    put_row(&mut script, &[Some(b"1")]);
    stream.write_all(&script).expect("the program listens");
    assert_eq!(program.line(), "1\n");
    program.interrupt();
    let (mut request, _) = server.listener.accept().expect("a cancel request");
    packet(&mut request);
    // The server sends the rest of the result. In this test, it has executed the whole query before the cancel request arrives.
    let mut script = Vec::new();
    put_row(&mut script, &[Some(b"2")]);
    put(&mut script, &CommandComplete { tag: "SELECT 2".into() });
    put(&mut script, &READY);
    stream.write_all(&script).expect("the program listens");
    assert_eq!(program.end(), ended(1, "", "pg-query: interrupted\n"));
}

#[test]
fn a_copy_that_begins_after_ctrl_c_gets_no_data() {
    let server = Scripted::new();
    let mut program = Running::start(&server.url(), "SELECT 1; COPY t FROM STDIN");
    let stdin = program.stdin.take();
    let (mut stream, _) = server.accept();
    let mut script = Vec::new();
    put_columns(&mut script, 1);
    put_row(&mut script, &[Some(b"1")]);
    stream.write_all(&script).expect("the program listens");
    assert_eq!(program.line(), "1\n");
    program.interrupt();
    let (mut request, _) = server.listener.accept().expect("a cancel request");
    packet(&mut request);

    // A server that waits for COPY data ignores cancel requests. So the program must send CopyFail.
    let mut script = Vec::new();
    put(&mut script, &CopyInResponse { format: CopyFormat::Text, columns: List::EMPTY });
    stream.write_all(&script).expect("the program listens");
    let mut code = [0];
    stream.read_exact(&mut code).expect("an answer");
    assert_eq!((code, packet(&mut stream).as_slice()), (*b"f", &b"interrupted by the user\0"[..]));
    let mut script = Vec::new();
    put_error(&mut script, &[(b'S', "ERROR"), (b'C', "57014"), (b'M', "as you like")]);
    put(&mut script, &READY);
    stream.write_all(&script).expect("the program listens");
    assert_eq!(program.finish(), ended(1, "", "ERROR:  57014: as you like\n"));
    drop(stdin);
}

/// A running program, to which a test can send input and signals. If the program hangs, a thread kills it.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// Channel to the thread that kills the program if it hangs. When this sender is dropped, the thread ends.
    _running: mpsc::Sender<()>,
}

impl Running {
    fn start(url: &str, sql: &str) -> Self {
        Self::of(command(&[url, sql]))
    }

    fn of(mut program: Command) -> Self {
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().expect("the program starts");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (running, ended) = mpsc::channel::<()>();
        let pid = child.id();
        thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                signal("-KILL", pid);
            }
        });
        Self { child, stdin, stdout, _running: running }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line
    }

    /// Waits until a thread of the program is blocked because it writes to a full pipe.
    fn wait_until_blocked(&self) {
        let tasks = format!("/proc/{}/task", self.child.id());
        let is_writing = |task: std::fs::DirEntry| {
            let waits_in = std::fs::read_to_string(task.path().join("wchan")).unwrap_or_default();
            waits_in.contains("pipe_w")
        };
        while !std::fs::read_dir(&tasks).expect("the program is running").flatten().any(is_writing) {
            thread::yield_now();
        }
    }

    fn interrupt(&self) {
        signal("-INT", self.child.id());
    }

    /// Returns the peak of the program's resident memory, in bytes.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the program is running");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a running program");
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// Closes standard input, and waits for the end of the program.
    fn end(mut self) -> Ended {
        drop(self.stdin.take());
        self.finish()
    }

    /// Waits for the end of the program. Returns the exit code, and the output that the test has not read yet.
    fn finish(mut self) -> Ended {
        let mut stderr = self.child.stderr.take().expect("a pipe");
        let said = thread::spawn(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).map(|_| said)
        });
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).expect("the rest");
        let code = self.child.wait().expect("the program ends").code();
        let stderr = said.join().expect("a reader does not panic").expect("UTF-8");
        Ended { code, stdout, stderr }
    }
}

fn signal(which: &str, pid: u32) {
    let sent = Command::new("kill").args([which, &pid.to_string()]).status();
    assert!(sent.expect("the program kill is installed").success());
}

// Tests with real servers.

/// Replaces the role and the password in the connection string `url`.
fn with_login(url: &str, login: &str) -> String {
    url.replace("scram:scram-secret", login)
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn every_login_method_works_over_tcp_and_over_the_socket() {
    for server in Server::both() {
        for url in [server.by_tcp() + "?sslmode=disable", server.by_socket()] {
            for (login, user) in [
                ("trust", "trust"),
                ("cleartext:cleartext-secret", "cleartext"),
                ("md5:md5-secret", "md5"),
                ("scram:scram-secret", "scram"),
                ("s%63ram:%73cram%2Dsecret", "scram"),
                ("saslprep:pa%C2%A0ss%E2%85%A8", "saslprep"),
                ("saslprep:pa%20ssIX", "saslprep"),
            ] {
                let url = with_login(&url, login);
                assert_eq!(query(&url, "SELECT user"), ended(0, &format!("{user}\n"), ""), "{url}");
            }
        }
        let url = format!("postgres:///test?host={}&port={}", server.socket_dir, server.address.port());
        let url = url + "&user=scram&password=scram-secret";
        assert_eq!(query(&url, "SELECT user"), ended(0, "scram\n", ""), "{url}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_wrong_password_is_reported_with_the_servers_error() {
    for server in Server::both() {
        for url in [server.by_tcp() + "?sslmode=disable", server.by_socket()] {
            for user in ["cleartext", "md5", "scram", "saslprep"] {
                let url = with_login(&url, &format!("{user}:hunter2"));
                let Ended { code, stdout, stderr } = query(&url, "SELECT 1");
                assert_eq!((code, stdout.as_str()), (Some(2), ""), "{url}");
                let said = format!(": FATAL 28P01: password authentication failed for user \"{user}\"\n");
                assert!(stderr.starts_with("pg-query: ") && stderr.ends_with(&said), "{stderr}");
                assert_eq!(stderr.lines().count(), 1, "{stderr}");
            }
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_clear_text_password_is_sent_through_tls_or_with_sslmode_disable() {
    for server in Server::both() {
        let url = with_login(&server.by_tcp(), "cleartext:cleartext-secret");
        for mode in ["prefer", "require", "disable"] {
            let url = format!("{url}?sslmode={mode}");
            assert_eq!(query(&url, "SELECT user"), ended(0, "cleartext\n", ""), "{url}");
        }
        let is_tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert_eq!(query(&(server.by_tcp() + "?sslmode=require"), is_tls), ended(0, "t\n", ""));
        assert_eq!(query(&(server.by_tcp() + "?sslmode=disable"), is_tls), ended(0, "f\n", ""));
    }
}

/// Checks the result of `pg-query` with both servers, over TCP and over a Unix-domain socket.
#[track_caller]
fn prints(sql: &str, expected: &Ended) {
    for server in Server::both() {
        for url in [server.by_tcp(), server.by_socket()] {
            assert_eq!(query(&url, sql), *expected, "PostgreSQL {}: {sql}", server.major);
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn rows_are_lines_and_values_are_separated_by_tabs() {
    prints("SELECT 1, NULL, 'café', ''", &ended(0, "1\t\\N\tcafé\t\n", ""));
    prints("SELECT NULL", &ended(0, "\\N\n", ""));
    prints(r"SELECT E'a\\b\tc\nd'", &ended(0, "a\\b\tc\nd\n", ""));
    prints(r"SELECT '\xdeadbeef'::bytea, 1.50, true", &ended(0, "\\xdeadbeef\t1.50\tt\n", ""));
    prints("SELECT FROM generate_series(1, 3)", &ended(0, "\n\n\n", ""));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn result_sets_are_printed_in_order() {
    prints(
        "SELECT 1; CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (2), (3); SELECT 9 WHERE false;
         SELECT * FROM t ORDER BY a DESC; UPDATE t SET a = 4 RETURNING a, 'x'",
        &ended(0, "1\n3\n2\n4\tx\n4\tx\n", ""),
    );
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_empty_query_prints_nothing() {
    for sql in ["", ";", " ; ;; ", "-- nothing"] {
        prints(sql, &ended(0, "", ""));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn notices_are_printed_on_standard_error() {
    prints(
        "SELECT 1; DO $$ BEGIN RAISE NOTICE 'by the way' USING DETAIL = 'more', HINT = 'less'; END $$;
         DO $$ BEGIN RAISE WARNING E'two\nlines'; END $$; SELECT 2",
        &ended(0, "1\n2\n", "NOTICE:  by the way\nDETAIL:  more\nHINT:  less\nWARNING:  01000: two\nlines\n"),
    );
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_error_is_reported_with_position_detail_hint_and_context() {
    prints(
        "SELECT é, nothing FROM (SELECT 1 AS é) AS x",
        &ended(
            1,
            "",
            concat!(
                "ERROR:  42703: column \"nothing\" does not exist\n",
                "LINE 1: SELECT é, nothing FROM (SELECT 1 AS é) AS x\n",
                "                  ^\n"
            ),
        ),
    );
    prints(
        "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'XY123', DETAIL = 'more', HINT = 'less'; END $$",
        &ended(
            1,
            "",
            "ERROR:  XY123: no\nDETAIL:  more\nHINT:  less\n\
             CONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE\n",
        ),
    );
    for server in Server::both() {
        let url = server.by_tcp().replace("/test", "/nowhere");
        let Ended { code, stderr, .. } = query(&url, "");
        assert_eq!(code, Some(2));
        assert!(stderr.ends_with(": FATAL 3D000: database \"nowhere\" does not exist\n"), "{stderr}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn rows_before_an_error_are_printed() {
    prints(
        "SELECT 'first'; SELECT 6 / n FROM generate_series(3, 0, -1) AS n; SELECT 'never'",
        &ended(1, "first\n2\n3\n6\n", "ERROR:  22012: division by zero\n"),
    );
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn notifications_are_printed_and_changed_parameters_are_not() {
    for server in Server::both() {
        let sql = "LISTEN a; NOTIFY a, 'b'; SET timezone TO 'Europe/Rome'; SELECT 1";
        let Ended { code, stdout, stderr } = query(&server.by_tcp(), sql);
        assert_eq!((code, stdout.as_str()), (Some(0), "1\n"));
        assert!(
            stderr.starts_with("NOTIFY:  channel \"a\", payload \"b\", from server process "),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn bytes_of_a_database_without_encoding_are_printed_unchanged() {
    for server in Server::both() {
        let admin = with_login(&server.by_tcp(), "admin");
        let name = "bytes_without_encoding";
        let drop = format!("DROP DATABASE IF EXISTS {name}");
        assert_eq!(query(&admin, &drop).code, Some(0));
        let create = format!("CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
        assert_eq!(query(&admin, &create), ended(0, "", ""));
        let url = server.by_tcp().replace("/test", &format!("/{name}"));
        let output = command(&[&url, "SELECT convert_from('\\x636166e9', 'SQL_ASCII')"]).output();
        let output = output.expect("the program starts");
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"caf\xe9\n"[..]));
        assert_eq!(query(&admin, &drop), ended(0, "", ""));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn streaming_replication_is_an_error() {
    for server in Server::both() {
        let url = with_login(&server.by_tcp(), "admin") + "?replication=true";
        let Ended { code, stdout, stderr } = query(&url, "START_REPLICATION 0/0");
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains("CopyBothResponse"), "{stderr}");
    }
}

// Tests of COPY.

/// A query whose result has some megabytes, in lines of many lengths up to about 3200 bytes.
const DATA: &str = "SELECT n, repeat(md5(n::text), n % 101), NULL FROM generate_series(1, 5000) AS n";

/// Runs SQL with all of `input` on standard input.
fn query_with(url: &str, sql: &str, input: Vec<u8>) -> Ended {
    let mut program = Running::start(url, sql);
    let mut stdin = program.stdin.take().expect("a pipe");
    let feeder = thread::spawn(move || stdin.write_all(&input));
    let ended = program.finish();
    // A write error is ignored: the program may end before it has read all of its input.
    let _ = feeder.join().expect("a writer does not panic");
    ended
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_data_of_a_copy_can_be_copied_back() {
    for server in Server::both() {
        for url in [server.by_tcp(), server.by_socket()] {
            let out = query(&url, &format!("COPY ({DATA}) TO STDOUT"));
            assert_eq!((out.code, out.stderr.as_str()), (Some(0), ""));
            assert!(out.stdout.len() > 8_000_000, "{}", out.stdout.len());
            assert!(out.stdout.starts_with("1\tc4ca4238a0b923820dcc509a6f75849b\t\\N\n"));

            let sql = "CREATE TEMP TABLE t (n int, text text, nothing text); COPY t FROM STDIN;
                       SELECT 'and back'; COPY t TO STDOUT";
            let back = query_with(&url, sql, out.stdout.clone().into_bytes());
            assert_eq!((back.code, back.stderr.as_str()), (Some(0), ""));
            assert!(back.stdout.strip_prefix("and back\n") == Some(&out.stdout), "they differ");
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_binary_copy_is_not_changed() {
    for server in Server::both() {
        let url = server.by_tcp();
        let mut copy = command(&[&url, "COPY (SELECT 1, NULL, 'é') TO STDOUT (FORMAT binary)"]);
        let bytes = copy.output().expect("the program starts").stdout;
        assert_eq!(
            bytes,
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x01\xff\xff\xff\xff\0\0\0\x02\xc3\xa9\xff\xff"
        );
        let sql = "CREATE TEMP TABLE t (a int, b int, c text); COPY t FROM STDIN (FORMAT binary); TABLE t";
        assert_eq!(query_with(&url, sql, bytes), ended(0, "1\t\\N\té\n", ""));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_copy_without_data_is_no_error_and_a_second_copy_gets_no_data() {
    let sql = "CREATE TEMP TABLE t (a int); COPY t FROM STDIN; COPY t FROM STDIN; SELECT count(*) FROM t";
    prints(sql, &ended(0, "0\n", ""));
    for server in Server::both() {
        assert_eq!(query_with(&server.by_tcp(), sql, b"1\n2\n".to_vec()), ended(0, "2\n", ""));
    }
}

const COPY_NUMBERS: &str = "CREATE TEMP TABLE t (a int); COPY t FROM STDIN; SELECT 'never'";

const NO_NUMBER: &str = "ERROR:  22P02: invalid input syntax for type integer: \"x\"\n\
                         CONTEXT:  COPY t, line 1, column a: \"x\"\n";

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_error_of_the_server_ends_a_copy_with_endless_input() {
    for server in Server::both() {
        for url in [server.by_tcp(), server.by_socket()] {
            let mut program = Running::start(&url, COPY_NUMBERS);
            let mut stdin = program.stdin.take().expect("a pipe");
            let feeder = thread::spawn(move || while stdin.write_all(&b"x\n".repeat(100_000)).is_ok() {});
            assert_eq!(program.finish(), ended(1, "", NO_NUMBER));
            feeder.join().expect("a writer does not panic");
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_error_of_the_server_ends_a_copy_that_waits_for_its_input() {
    for server in Server::both() {
        let mut program = Running::start(&server.by_tcp(), COPY_NUMBERS);
        let mut stdin = program.stdin.take().expect("a pipe");
        stdin.write_all(b"x\n").expect("the program reads");
        assert_eq!(program.finish(), ended(1, "", NO_NUMBER));
        drop(stdin);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn input_that_cannot_be_read_fails_the_copy() {
    for server in Server::both() {
        let mut program = command(&[&server.by_tcp(), COPY_NUMBERS]);
        let directory = File::open("/").expect("there is a root");
        let output = program.stdin(directory).output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stderr.starts_with("ERROR:  57014: COPY from stdin failed: cannot read standard input: "),
            "{stderr}"
        );
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn notices_in_the_middle_of_a_copy_are_printed_and_block_nothing() {
    // The first 40 rows of the input cause more notices than the sockets can hold. The million rows after the first 40 rows do not fit into
    // the sockets either. If the program did not read notices while it sends rows, the server and the program would wait for each other.
    const NOTICES: usize = 40;
    const SILENT: usize = 1_000_000;
    let sql = "CREATE TEMP TABLE t (a int);
        CREATE FUNCTION pg_temp.chatter() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE NOTICE '%', repeat('z', 1000000); RETURN NEW; END $$;
        CREATE TRIGGER chatter BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.a = 1) EXECUTE FUNCTION pg_temp.chatter();
        COPY t FROM STDIN; SELECT count(*) FROM t";
    for server in Server::both() {
        for url in [server.by_tcp(), server.by_socket()] {
            let input = [b"1\n".repeat(NOTICES), b"0\n".repeat(SILENT)].concat();
            let end = query_with(&url, sql, input);
            assert_eq!((end.code, end.stdout), (Some(0), format!("{}\n", NOTICES + SILENT)));
            let notice = format!("NOTICE:  {}\n", "z".repeat(1_000_000));
            assert!(end.stderr == notice.repeat(NOTICES), "{} bytes", end.stderr.len());
        }
    }
}

// Tests of large results.

/// Starts the program with a query and then a COPY. The COPY waits for input, so the program is still running after the last row, and the
/// test can measure its memory.
fn start_and_wait(url: &str, sql: &str) -> Running {
    Running::start(url, &format!("CREATE TEMP TABLE t (a int); {sql}; COPY t FROM STDIN"))
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_million_rows_take_as_little_memory_as_one_row() {
    for server in Server::both() {
        for url in [server.by_tcp(), server.by_socket()] {
            let sql = "SELECT n, repeat('x', 100) FROM (SELECT generate_series(1, 1000000) AS n) AS series";
            let mut program = start_and_wait(&url, sql);
            let x = "x".repeat(100);
            let mut line = String::new();
            for n in 1..=1_000_000 {
                line.clear();
                program.stdout.read_line(&mut line).expect("a line");
                let value = line.strip_suffix('\n').and_then(|line| line.split_once('\t'));
                assert_eq!(value, Some((n.to_string().as_str(), x.as_str())));
            }
            let peak = program.peak();
            assert!(peak < 32 << 20, "{peak} bytes for 100 MB in all");
            assert_eq!(program.end(), ended(0, "", ""));
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_value_of_64_mib_is_in_memory_once() {
    const SIZE: usize = 64 << 20;
    for server in Server::both() {
        for sql in
            [format!("SELECT repeat('x', {SIZE})"), format!("COPY (SELECT repeat('x', {SIZE})) TO STDOUT")]
        {
            let mut program = start_and_wait(&server.by_tcp(), &sql);
            let mut value = vec![0; SIZE + 1];
            program.stdout.read_exact(&mut value).expect("the whole value");
            assert!(value.ends_with(b"x\n") && value[..SIZE].iter().all(|byte| *byte == b'x'));
            let peak = program.peak();
            assert!(peak < SIZE as u64 + (32 << 20), "{peak} bytes");
            assert_eq!(program.end(), ended(0, "", ""));
        }
    }
}

/// Runs SQL, reads one line of the output, and closes the pipe, as `head -1` does. Returns the program's result.
fn head(url: &str, sql: &str) -> Ended {
    let mut program = Running::start(url, sql);
    assert_eq!(program.line(), "1\n", "{sql}");
    let Running { child, stdout, .. } = program;
    drop(stdout);
    let output = child.wait_with_output().expect("the program ends");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    Ended { code: output.status.code(), stdout: String::new(), stderr }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_reader_that_closes_does_not_stop_the_statements() {
    for server in Server::both() {
        let url = server.by_tcp();
        let table = format!("reader_gone_{}", std::process::id());
        let create = format!("CREATE TABLE {table} AS SELECT a FROM generate_series(1, 300000) AS a");
        assert_eq!(query(&url, &create), ended(0, "", ""));
        let update = format!("UPDATE {table} SET a = a + 1 - 1 RETURNING a");
        let insert = format!("SELECT generate_series(1, 300000); INSERT INTO {table} VALUES (-1)");
        for sql in [&update, &insert] {
            assert_eq!(head(&url, sql), ended(0, "", ""), "{sql}");
        }
        let left = format!("SELECT count(*), min(a), count(DISTINCT xmin::text) FROM {table}");
        // Checks that the statements have taken effect: the update has changed all 300,000 rows, and the insert has added one row.
        assert_eq!(query(&url, &left), ended(0, "300001\t-1\t2\n", ""));
        assert_eq!(query(&url, &format!("DROP TABLE {table}")), ended(0, "", ""));
        let failing = "SELECT generate_series(1, 300000); SELECT 1 / 0";
        assert_eq!(head(&url, failing), ended(1, "", "ERROR:  22012: division by zero\n"));
        let copy = "COPY (SELECT generate_series(1, 300000)) TO STDOUT; SELECT 1 / 0";
        assert_eq!(head(&url, copy), ended(1, "", "ERROR:  22012: division by zero\n"));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn output_that_cannot_be_written_is_an_error() {
    for server in Server::both() {
        let mut program = command(&[&server.by_tcp(), "SELECT 1"]);
        let full = File::options().write(true).open("/dev/full").expect("a device");
        let output = program.stdout(full).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.starts_with("pg-query: cannot write to standard output: "), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
}

// Tests of Ctrl-C.

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn ctrl_c_cancels_the_statement_over_every_kind_of_connection() {
    // The server sends the notice, and then sleeps. When the program prints the notice, the statement is running, and the program handles
    // Ctrl-C.
    let sql = "DO $$ BEGIN RAISE NOTICE 'asleep'; PERFORM pg_sleep(3600); END $$; SELECT 'never'";
    for server in Server::both() {
        let nobody_then = server.by_tcp().replace('@', "@127.0.0.1:1,");
        for url in [server.by_tcp(), server.by_socket(), nobody_then] {
            let mut program = Running::start(&url, sql);
            let mut stderr = BufReader::new(program.child.stderr.take().expect("a pipe"));
            let mut notice = String::new();
            stderr.read_line(&mut notice).expect("a notice");
            assert_eq!(notice, "NOTICE:  asleep\n", "{url}");
            program.interrupt();
            let mut said = String::new();
            stderr.read_to_string(&mut said).expect("UTF-8");
            assert!(said.starts_with("ERROR:  57014: canceling statement due to user request\n"), "{said}");
            let mut rows = String::new();
            program.stdout.read_to_string(&mut rows).expect("UTF-8");
            let code = program.child.wait().expect("the program ends").code();
            assert_eq!((code, rows.as_str()), (Some(1), ""));
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn ctrl_c_ends_a_copy_that_waits_for_its_input() {
    for server in Server::both() {
        let mut program = Running::start(&server.by_tcp(), &format!("SELECT 1; {COPY_NUMBERS}"));
        let stdin = program.stdin.take();
        assert_eq!(program.line(), "1\n");
        program.interrupt();
        let Ended { code, stdout, stderr } = program.finish();
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.starts_with("ERROR:  57014: "), "{stderr}");
        drop(stdin);
    }
}
