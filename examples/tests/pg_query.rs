//! `pg-query` as its user meets it: what it prints, what it says about failures, and how it ends.

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use pg_wire::backend::{
    Authentication, BackendKeyData, CommandComplete, CopyBothResponse, CopyInResponse, DataRow, ErrorField,
    ErrorFields, ErrorResponse, NoticeResponse, NotificationResponse, ParameterStatus, ReadyForQuery,
};
use pg_wire::{
    TransactionStatus,
    backend::CopyFormat,
    codec::{List, Secret, Values},
};
use support::{Ended, PATIENCE, Server, finish, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pg-query");

fn query(url: &str, sql: &str) -> Ended {
    run(PROGRAM, &[url, sql])
}

fn ended(code: i32, stdout: &str, stderr: &str) -> Ended {
    Ended { code: Some(code), stdout: stdout.into(), stderr: stderr.into() }
}

// How it is called.

#[test]
fn wrong_usage_is_told_without_repeating_what_was_given() {
    let url = "postgres://me:hunter2@localhost/shop";
    for arguments in [
        &[][..],
        &[url],
        &[url, "SELECT 1", url],
        &["SELECT 1", "--option", url],
        &["SELECT 1", url],
        &["postgres://me:hunter2@localhost:port/shop", "SELECT 1"],
        &["postgres://me:hunter2@localhost/shop?colour=hunter2", "SELECT 1"],
        &["postgres://me:hunter2@localhost/shop?sslmode=hunter2", "SELECT 1"],
        &["postgres://me:hun%ter2@localhost/shop", "SELECT 1"],
        &["postgres://localhost/shop", "SELECT 1"],
        &["postgres://:hunter2@localhost/shop", "SELECT 1"],
        &["", "SELECT 1"],
    ] {
        let Ended { code, stdout, stderr } = run(PROGRAM, arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.starts_with("pg-query: "), "{stderr}");
        assert!(stderr.contains("Usage: pg-query <URL> <SQL>"), "{stderr}");
        for given in ["hunter2", "postgres://", "shop", "SELECT"] {
            assert!(!stderr.contains(given), "{stderr}");
        }
    }
}

#[test]
fn help_and_version_are_answers_and_no_errors() {
    let help = run(PROGRAM, &["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for word in ["<URL>", "<SQL>", r"\N", "COPY", "Ctrl-C", "Exit status"] {
        assert!(help.stdout.contains(word), "{word}");
    }
    let version = format!("pg-query {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(PROGRAM, &["--version"]), ended(0, &version, ""));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let Ended { code, stdout, stderr } = query("postgres://me:hunter2@127.0.0.1:1/shop", "SELECT 1");
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("pg-query: 127.0.0.1:1: cannot connect: "), "{stderr}");
    assert_eq!(stderr.matches('\n').count(), 1, "{stderr}");
}

// What only a server can be asked to say that does what the test wants.

/// A server that lets everybody in and then says what it was told to, whatever it is asked.
struct Scripted {
    listener: TcpListener,
}

/// What a [`Scripted`] server was told.
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
        format!("postgres://me:hunter2@{}/shop", self.listener.local_addr().expect("an address"))
    }

    /// Takes a connection through the start-up, up to the query.
    fn accept(&self) -> (TcpStream, Heard) {
        let (mut stream, _) = self.listener.accept().expect("a connection");
        let startup = packet(&mut stream);
        let mut welcome = Vec::new();
        let key = BackendKeyData { pid: 7, key: Secret(b"hush") };
        put(&mut welcome, &Authentication::Ok);
        put(&mut welcome, &key);
        put(&mut welcome, &READY);
        stream.write_all(&welcome).expect("the program listens");
        let mut code = [0];
        stream.read_exact(&mut code).expect("a query");
        assert_eq!(code, *b"Q");
        let query = packet(&mut stream);
        (stream, Heard { startup, query, after: Vec::new() })
    }

    /// Says this in answer to the query, and nothing more.
    fn says(self, script: Vec<u8>) -> JoinHandle<Heard> {
        thread::spawn(move || {
            let (mut stream, mut heard) = self.accept();
            // Neither need be heard: the program may have ended at half of it.
            let _ = stream.write_all(&script).and_then(|()| stream.shutdown(Shutdown::Write));
            let _ = stream.read_to_end(&mut heard.after);
            heard
        })
    }
}

/// A length and as many bytes.
fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body).expect("a body");
    body
}

const READY: ReadyForQuery = ReadyForQuery { status: TransactionStatus::Idle };

fn put(script: &mut Vec<u8>, message: &impl pg_wire::Encode) {
    message.encode(script).expect("it can be sent");
}

fn put_row(script: &mut Vec<u8>, values: &[Option<&[u8]>]) {
    put(script, &DataRow { values: Values::from(values) });
}

/// Fields of an error or a notice, by their letters.
fn fields<'a>(fields: &[(u8, &'a str)]) -> Vec<ErrorField<'a>> {
    fields.iter().map(|&(code, value)| ErrorField { code, value: value.into() }).collect()
}

fn put_error(script: &mut Vec<u8>, of: &[(u8, &str)]) {
    put(script, &ErrorResponse { fields: ErrorFields::from(fields(of).as_slice()) });
}

fn put_notice(script: &mut Vec<u8>, of: &[(u8, &str)]) {
    put(script, &NoticeResponse { fields: ErrorFields::from(fields(of).as_slice()) });
}

/// What comes of a query to a server that answers so.
fn answered(script: Vec<u8>) -> (Ended, Heard) {
    let server = Scripted::new();
    let url = server.url();
    let heard = server.says(script);
    let ended = query(&url, "SELECT 1");
    (ended, heard.join().expect("the server has not panicked"))
}

#[test]
fn the_session_begins_in_utf8_and_ends_with_terminate() {
    let mut script = Vec::new();
    put(&mut script, &READY);
    let (end, heard) = answered(script);
    assert_eq!(end, ended(0, "", ""));
    let startup = String::from_utf8_lossy(&heard.startup).into_owned();
    assert!(startup.contains("\0client_encoding\0UTF8\0"), "{startup:?}");
    assert_eq!(heard.query, b"SELECT 1\0");
    assert_eq!(heard.after, b"X\0\0\0\x04");
}

#[test]
fn an_encoding_in_the_url_is_kept() {
    let mut script = Vec::new();
    put(&mut script, &READY);
    let server = Scripted::new();
    let url = server.url() + "?client_encoding=LATIN1";
    let heard = server.says(script);
    assert_eq!(query(&url, "SELECT 1"), ended(0, "", ""));
    let startup = heard.join().expect("the server has not panicked").startup;
    let startup = String::from_utf8_lossy(&startup).into_owned();
    assert!(startup.contains("\0client_encoding\0LATIN1\0"), "{startup:?}");
    assert_eq!(startup.matches("client_encoding").count(), 1, "{startup:?}");
}

#[test]
fn what_may_come_at_any_time_does_not_disturb() {
    let mut script = Vec::new();
    let chatter = |script: &mut Vec<u8>| {
        put_notice(script, &[(b'S', "AVIS"), (b'V', "NOTICE"), (b'C', "00000"), (b'M', "by the way")]);
        put(script, &ParameterStatus { name: "TimeZone".into(), value: "UTC".into() });
        put(script, &NotificationResponse { pid: 7, channel: "jobs".into(), payload: "42".into() });
    };
    for value in ["one", "two"] {
        chatter(&mut script);
        put_row(&mut script, &[Some(value.as_bytes()), None]);
    }
    chatter(&mut script);
    put(&mut script, &CommandComplete { tag: "SELECT 2".into() });
    chatter(&mut script);
    put(&mut script, &READY);
    let (end, heard) = answered(script);
    assert_eq!(end, ended(0, "one\t\\N\ntwo\t\\N\n", &"NOTICE: by the way\n".repeat(4)));
    assert_eq!(heard.after, b"X\0\0\0\x04");
}

#[test]
fn a_server_that_ends_the_session_has_the_last_word() {
    let mut script = Vec::new();
    put_row(&mut script, &[Some(b"1")]);
    put_error(&mut script, &[(b'S', "FATAL"), (b'C', "57P01"), (b'M', "going down")]);
    assert_eq!(answered(script).0, ended(1, "1\n", "57P01 going down\n"));
}

#[test]
fn the_first_error_is_the_one_that_is_told() {
    let mut script = Vec::new();
    put_error(&mut script, &[(b'S', "ERROR"), (b'C', "42601"), (b'M', "syntax error"), (b'P', "3")]);
    put_error(&mut script, &[(b'S', "FATAL"), (b'C', "57P01"), (b'M', "going down")]);
    assert_eq!(answered(script).0, ended(1, "", "42601 syntax error\nPOSITION: 3\n"));
}

#[test]
fn a_connection_that_breaks_is_told_after_the_rows_that_came() {
    let mut script = Vec::new();
    put_row(&mut script, &[Some(b"1")]);
    let said = "pg-query: the peer closed the connection\n";
    assert_eq!(answered(script.clone()).0, ended(1, "1\n", said));
    script.extend_from_slice(b"D\0\0");
    let said = "pg-query: the peer closed the connection in the middle of a message\n";
    assert_eq!(answered(script).0, ended(1, "1\n", said));
}

#[test]
fn nonsense_is_told_after_the_rows_that_came() {
    let mut script = Vec::new();
    put_row(&mut script, &[Some(b"1")]);
    let mut short = script.clone();
    short.extend_from_slice(b"D\0\0\0\x0a\0\x01\0\0\0\x02");
    put(&mut script, &CopyBothResponse { format: CopyFormat::Text, columns: List::EMPTY });
    for (script, named) in [(short, "malformed"), (script, "CopyBothResponse")] {
        let Ended { code, stdout, stderr } = answered(script).0;
        assert_eq!((code, stdout.as_str()), (Some(1), "1\n"));
        assert!(stderr.starts_with("pg-query: ") && stderr.contains(named), "{stderr}");
        assert_eq!(stderr.matches('\n').count(), 1, "{stderr}");
    }
}

#[test]
fn values_are_bytes_and_need_not_be_utf8() {
    let mut script = Vec::new();
    put_row(&mut script, &[Some(b"Schl\xfcssel\0\r\n\\"), Some(b"")]);
    put(&mut script, &READY);
    let server = Scripted::new();
    let url = server.url();
    let heard = server.says(script);
    let output = Command::new(PROGRAM).args([&url, "SELECT 1"]).output().expect("it starts");
    heard.join().expect("the server has not panicked");
    assert_eq!(output.stdout, b"Schl\xfcssel\0\r\n\\\t\n");
    assert!(output.status.success());
}

#[test]
fn ctrl_c_sends_the_key_and_another_does_not_wait() {
    let server = Scripted::new();
    let url = server.url();
    let mut program = Running::start(&url, "SELECT 1");
    let (mut stream, _) = server.accept();
    let mut script = Vec::new();
    put_row(&mut script, &[Some(b"1")]);
    stream.write_all(&script).expect("the program listens");
    // A row has been printed, so the program listens to Ctrl-C.
    assert_eq!(program.line(), "1\n");
    program.interrupt();
    let (mut request, _) = server.listener.accept().expect("a cancel request");
    assert_eq!(packet(&mut request), b"\x04\xd2\x16\x2e\0\0\0\x07hush");
    program.interrupt();
    assert_eq!(program.end(), ended(1, "", "pg-query: interrupted\n"));
}

#[test]
fn a_copy_that_begins_after_ctrl_c_gets_no_data() {
    let server = Scripted::new();
    let mut program = Running::start(&server.url(), "SELECT 1; COPY t FROM STDIN");
    let stdin = program.stdin.take();
    let (mut stream, _) = server.accept();
    let mut script = Vec::new();
    put_row(&mut script, &[Some(b"1")]);
    stream.write_all(&script).expect("the program listens");
    assert_eq!(program.line(), "1\n");
    program.interrupt();
    let (mut request, _) = server.listener.accept().expect("a cancel request");
    packet(&mut request);

    // A server that waits for data does not look at cancel requests, so it has to be told in another way.
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
    assert_eq!(program.finish(), ended(1, "", "57014 as you like\n"));
    drop(stdin);
}

/// A program that is talked to while it runs; one that hangs is killed.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// Dropped when the program has ended.
    _running: mpsc::Sender<()>,
}

impl Running {
    fn start(url: &str, sql: &str) -> Self {
        let mut program = Command::new(PROGRAM);
        program.args([url, sql]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().expect("the program starts");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
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

    fn interrupt(&self) {
        signal("-INT", self.child.id());
    }

    /// The most memory that it has had so far, in bytes.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it is running");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a running program");
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// Gives it nothing more to read, and waits for its end.
    fn end(mut self) -> Ended {
        drop(self.stdin.take());
        self.finish()
    }

    /// Waits for its end, with what is left of its output.
    fn finish(mut self) -> Ended {
        let mut stderr = self.child.stderr.take().expect("it is a pipe");
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
    assert!(sent.expect("there is a `kill`").success());
}

// Real servers.

/// A connection string for another role, in the same place.
fn with_login(url: &str, login: &str) -> String {
    url.replace("scram:scram-secret", login)
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn every_way_to_log_in_works_over_tcp_and_over_the_socket() {
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
fn a_wrong_password_is_told_in_the_servers_words() {
    for server in Server::both() {
        for url in [server.by_tcp() + "?sslmode=disable", server.by_socket()] {
            for user in ["cleartext", "md5", "scram", "saslprep"] {
                let url = with_login(&url, &format!("{user}:hunter2"));
                let said = format!("28P01 password authentication failed for user \"{user}\"\n");
                assert_eq!(query(&url, "SELECT 1"), ended(1, "", &said), "{url}");
            }
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_password_in_clear_text_goes_over_tcp_only_where_sslmode_says_so() {
    for server in Server::both() {
        let url = with_login(&server.by_tcp(), "cleartext:cleartext-secret");
        let Ended { code, stdout, stderr } = query(&url, "SELECT user");
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains("clear-text password over TCP"), "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
        assert_eq!(query(&(url + "?sslmode=disable"), "SELECT user"), ended(0, "cleartext\n", ""));
    }
}

/// The program prints this, on both servers and over both kinds of socket.
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
fn rows_are_lines_and_values_stand_between_tabs() {
    prints("SELECT 1, NULL, 'café', ''", &ended(0, "1\t\\N\tcafé\t\n", ""));
    prints("SELECT NULL", &ended(0, "\\N\n", ""));
    prints(r"SELECT E'a\\b\tc\nd'", &ended(0, "a\\b\tc\nd\n", ""));
    prints(r"SELECT '\xdeadbeef'::bytea, 1.50, true", &ended(0, "\\xdeadbeef\t1.50\tt\n", ""));
    prints("SELECT FROM generate_series(1, 3)", &ended(0, "\n\n\n", ""));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn result_sets_come_in_their_order() {
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
fn notices_go_to_standard_error() {
    prints(
        "SELECT 1; DO $$ BEGIN RAISE NOTICE 'by the way' USING DETAIL = 'more', HINT = 'less'; END $$;
         DO $$ BEGIN RAISE WARNING E'two\nlines'; END $$; SELECT 2",
        &ended(0, "1\n2\n", "NOTICE: by the way\nDETAIL: more\nHINT: less\nWARNING: two\nlines\n"),
    );
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_error_is_told_with_all_that_helps() {
    prints(
        "SELECT é, nothing FROM (SELECT 1 AS é) AS x",
        &ended(1, "", "42703 column \"nothing\" does not exist\nPOSITION: 11\n"),
    );
    prints(
        "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'XY123', DETAIL = 'more', HINT = 'less'; END $$",
        &ended(
            1,
            "",
            "XY123 no\nDETAIL: more\nHINT: less\n\
             CONTEXT: PL/pgSQL function inline_code_block line 1 at RAISE\n",
        ),
    );
    for server in Server::both() {
        let url = server.by_tcp().replace("/test", "/nowhere");
        assert_eq!(query(&url, ""), ended(1, "", "3D000 database \"nowhere\" does not exist\n"));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn rows_before_an_error_stay() {
    prints(
        "SELECT 'first'; SELECT 6 / n FROM generate_series(3, 0, -1) AS n; SELECT 'never'",
        &ended(1, "first\n2\n3\n6\n", "22012 division by zero\n"),
    );
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn notifications_and_changed_parameters_are_not_shown() {
    prints("LISTEN a; NOTIFY a, 'b'; SET timezone TO 'Europe/Rome'; SELECT 1", &ended(0, "1\n", ""));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn streaming_replication_is_refused() {
    for server in Server::both() {
        let url = with_login(&server.by_tcp(), "admin") + "?replication=true";
        let Ended { code, stdout, stderr } = query(&url, "START_REPLICATION 0/0");
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains("CopyBothResponse"), "{stderr}");
    }
}

// COPY.

/// Some megabytes, with lines of every length up to 3200.
const DATA: &str = "SELECT n, repeat(md5(n::text), n % 101), NULL FROM generate_series(1, 5000) AS n";

/// Runs it with this on standard input, all of it.
fn query_with(url: &str, sql: &str, input: Vec<u8>) -> Ended {
    let mut program = Running::start(url, sql);
    let mut stdin = program.stdin.take().expect("it is a pipe");
    let feeder = thread::spawn(move || stdin.write_all(&input));
    let ended = program.finish();
    // Whether all was taken is for the program to say.
    let _ = feeder.join().expect("a writer does not panic");
    ended
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn what_a_copy_gives_another_takes() {
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
fn a_binary_copy_is_not_touched() {
    for server in Server::both() {
        let url = server.by_tcp();
        let mut copy = Command::new(PROGRAM);
        copy.args([&url, "COPY (SELECT 1, NULL, 'é') TO STDOUT (FORMAT binary)"]);
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
fn a_copy_without_data_is_no_error_and_a_second_one_finds_the_end() {
    let sql = "CREATE TEMP TABLE t (a int); COPY t FROM STDIN; COPY t FROM STDIN; SELECT count(*) FROM t";
    prints(sql, &ended(0, "0\n", ""));
    for server in Server::both() {
        assert_eq!(query_with(&server.by_tcp(), sql, b"1\n2\n".to_vec()), ended(0, "2\n", ""));
    }
}

const COPY_NUMBERS: &str = "CREATE TEMP TABLE t (a int); COPY t FROM STDIN; SELECT 'never'";

const NO_NUMBER: &str = "22P02 invalid input syntax for type integer: \"x\"\n\
                         CONTEXT: COPY t, line 1, column a: \"x\"\n";

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_error_of_the_server_ends_a_copy_whose_input_has_no_end() {
    for server in Server::both() {
        for url in [server.by_tcp(), server.by_socket()] {
            let mut program = Running::start(&url, COPY_NUMBERS);
            let mut stdin = program.stdin.take().expect("it is a pipe");
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
        let mut stdin = program.stdin.take().expect("it is a pipe");
        stdin.write_all(b"x\n").expect("the program reads");
        assert_eq!(program.finish(), ended(1, "", NO_NUMBER));
        drop(stdin);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn input_that_cannot_be_read_fails_the_copy() {
    for server in Server::both() {
        let mut program = Command::new(PROGRAM);
        program.args([&server.by_tcp(), COPY_NUMBERS]);
        let directory = File::open("/").expect("there is a root");
        let output = program.stdin(directory).output().expect("the program starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.starts_with("57014 COPY from stdin failed: cannot read standard input: "), "{stderr}");
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn notices_in_the_middle_of_a_copy_are_told_and_hold_nothing_up() {
    // The first rows make the server say more than may wait to be read, before it takes what fills the socket meanwhile.
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
            let notice = format!("NOTICE: {}\n", "z".repeat(1_000_000));
            assert!(end.stderr == notice.repeat(NOTICES), "{} bytes", end.stderr.len());
        }
    }
}

// Size.

/// Begins a query and then a COPY, whose input holds the program up until all that came before has been printed.
fn start_and_wait(url: &str, sql: &str) -> Running {
    Running::start(url, &format!("CREATE TEMP TABLE t (a int); {sql}; COPY t FROM STDIN"))
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_million_rows_take_no_more_memory_than_one() {
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
fn a_value_of_64_mib_is_held_once() {
    const SIZE: usize = 64 << 20;
    for server in Server::both() {
        for sql in
            [format!("SELECT repeat('x', {SIZE})"), format!("COPY (SELECT repeat('x', {SIZE})) TO STDOUT")]
        {
            let mut program = start_and_wait(&server.by_tcp(), &sql);
            let mut value = vec![0; SIZE + 1];
            program.stdout.read_exact(&mut value).expect("all of it");
            assert!(value.ends_with(b"x\n") && value[..SIZE].iter().all(|byte| *byte == b'x'));
            let peak = program.peak();
            assert!(peak < SIZE as u64 + (32 << 20), "{peak} bytes");
            assert_eq!(program.end(), ended(0, "", ""));
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_reader_who_has_read_enough_ends_it_quietly() {
    for server in Server::both() {
        let mut program = Command::new("sh");
        program.args(["-c", r#""$0" "$1" "SELECT generate_series(1, 1000000)" | head -n 1"#]);
        assert_eq!(finish(program.args([PROGRAM, &server.by_tcp()])), ended(0, "1\n", ""));

        let mut program = Running::start(&server.by_tcp(), "SELECT generate_series(1, 1000000)");
        assert_eq!(program.line(), "1\n");
        let Running { child, stdout, .. } = program;
        drop(stdout);
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    }
}

// Ctrl-C.

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn ctrl_c_cancels_the_statement_wherever_the_session_is() {
    // A notice is sent at once, and tells that the statement runs and the program listens.
    let sql = "DO $$ BEGIN RAISE NOTICE 'asleep'; PERFORM pg_sleep(3600); END $$; SELECT 'never'";
    for server in Server::both() {
        let nobody_then = server.by_tcp().replace('@', "@127.0.0.1:1,");
        for url in [server.by_tcp(), server.by_socket(), nobody_then] {
            let mut program = Running::start(&url, sql);
            let mut stderr = BufReader::new(program.child.stderr.take().expect("it is a pipe"));
            let mut notice = String::new();
            stderr.read_line(&mut notice).expect("a notice");
            assert_eq!(notice, "NOTICE: asleep\n", "{url}");
            program.interrupt();
            let mut said = String::new();
            stderr.read_to_string(&mut said).expect("UTF-8");
            assert!(said.starts_with("57014 canceling statement due to user request\n"), "{said}");
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
        assert!(stderr.starts_with("57014 "), "{stderr}");
        drop(stdin);
    }
}
