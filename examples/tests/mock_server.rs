//! Tests of `mock_server` with three kinds of clients: psql, a client of this project, and transcripts.

#[path = "proxy/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the proxy, which use other parts")]
mod process;
#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;
#[path = "proxy/wire.rs"]
#[allow(dead_code, reason = "shared with the tests of the proxy, which use other parts")]
mod wire;

use std::process::Command;

use pg_auth::AuthError;
use pg_stream_tokio::{Config, Connection, PgProtocol, TokioIo, cancel, connect};
use pg_wire::backend::Backend;
use pg_wire::frontend::{PasswordMessage, SaslInitialResponse};
use pg_wire::testing::Transcript;
use pg_wire::{
    Direction, Limits, SqlState,
    codec::{Secret, SecretText},
};
use support::{Ended, Listening, finish};
use tokio::net::TcpStream;

/// The rows that every SELECT returns, as psql prints them with `-A -t`.
const ROWS: &str = "Earth|1\nMars|2\nPlanet Nine|\n";

/// A running `mock_server`. Dropping this value kills the process.
struct Mock(Listening);

impl Mock {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mock_server"));
        Self(Listening::start(command.args(["--listen", "127.0.0.1:0"]).args(arguments)))
    }

    fn port(&self) -> u16 {
        self.0.address.port()
    }

    /// Runs this SQL with psql 15 and with psql 18. Checks that both have the same exit code and output, and returns them.
    #[track_caller]
    fn psql(&self, user: &str, password: &str, sql: &str) -> Ended {
        let conninfo =
            format!("host=127.0.0.1 port={} user={user} dbname=any gssencmode=disable", self.port());
        let [old, new] = ["PG15_CLIENT_BIN", "PG18_CLIENT_BIN"].map(|name| {
            let bin =
                std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"));
            let mut psql = Command::new(format!("{bin}/psql"));
            psql.args(["-X", "-w", "-A", "-t", "-v", "VERBOSITY=verbose", "-c", sql, &conninfo]);
            // Clears the environment, which may contain settings such as another port or a password file.
            let path = std::env::var_os("PATH").unwrap_or_default();
            psql.env_clear().env("PATH", path).env("LC_ALL", "C").env("HOME", "/nonexistent");
            finish(psql.env("PGPASSWORD", password))
        });
        assert_eq!(old, new);
        new
    }

    /// Connects and logs in with a client of this project.
    async fn client(&self, more: &str) -> (Connection<pg_stream_tokio::Socket>, pg_stream_tokio::Session) {
        connect(&self.config(more)).await.expect("the password is right")
    }

    fn config(&self, more: &str) -> Config {
        let url = format!("postgres://mock:secret@127.0.0.1:{}/any?sslmode=disable{more}", self.port());
        url.parse().expect("a connection string")
    }

    /// Plays the client's messages of this transcript, and checks that the server's messages match the transcript.
    async fn play(&self, transcript: &str) {
        let transcript: Transcript = transcript.parse().unwrap_or_else(|error| panic!("{error}"));
        let stream = TcpStream::connect(("127.0.0.1", self.port())).await.expect("the server listens");
        let mut conn = Connection::new(TokioIo(stream), Limits::BACKEND);
        transcript.play(Direction::Frontend, &mut conn).await.unwrap_or_else(|error| panic!("{error}"));
    }
}

fn printed(stdout: &str) -> Ended {
    Ended { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn psql_logs_in_by_every_method_and_gets_the_rows() {
    for method in ["scram", "md5", "cleartext", "trust"] {
        let mock = Mock::start(&["--auth", method, "--user", "mock", "--password", "caf\u{e9} 'x'"]);
        assert_eq!(mock.psql("mock", "caf\u{e9} 'x'", "select * from planets"), printed(ROWS), "{method}");
        let ended = mock.psql("mock", "wrong", "select 1");
        let nobody = mock.psql("nobody", "caf\u{e9} 'x'", "select 1");
        if method == "trust" {
            assert_eq!((ended, nobody), (printed(ROWS), printed(ROWS)));
            continue;
        }
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{method}: {}", ended.stderr);
        let words = "FATAL:  password authentication failed for user \"mock\"";
        assert!(ended.stderr.contains(words), "{method}: {}", ended.stderr);
        // Checks that the error for an unknown user is the same as the error for a wrong password.
        let renamed = Ended { stderr: nobody.stderr.replace("nobody", "mock"), ..nobody };
        assert_eq!(renamed, ended, "{method}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn psql_gets_an_error_for_other_statements_than_select() {
    let mock = Mock::start(&[]);
    let ended = mock.psql("mock", "secret", "insert into planets values ('Vulcan')");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert_eq!(ended.stderr, "ERROR:  0A000: only SELECT is answered here, and not insert\n");
    // The server answers the first statement, reports an error for the second statement, and skips the third statement.
    let ended = mock.psql("mock", "secret", "select 1; drop table planets; select 2");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ROWS));
    assert!(ended.stderr.contains("0A000"), "{}", ended.stderr);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn psql_runs_empty_and_multiple_statements() {
    let mock = Mock::start(&["--auth", "trust"]);
    assert_eq!(mock.psql("mock", "", ""), printed(""));
    assert_eq!(mock.psql("mock", "", " ; "), printed(""));
    assert_eq!(mock.psql("mock", "", "select 1; SELECT 2;\nselect 3"), printed(&ROWS.repeat(3)));
}

#[tokio::test]
async fn several_clients_are_served_at_once() {
    let mock = Mock::start(&[]);
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(mock.client("").await.0);
    }
    // The first client's statement takes an hour. Meanwhile the server must answer the four other clients. The client that has connected
    // last sends its statement first.
    clients[0].query("select pg_sleep(3600)").flush().await.expect("the server is connected");
    for conn in clients.iter_mut().skip(1).rev() {
        conn.query("select 1").flush().await.expect("the server is connected");
        let mut rows = 0;
        examples::until_ready(conn, |message| {
            rows += usize::from(matches!(message, Backend::DataRow(_)));
            Ok(())
        })
        .await
        .expect("the rows");
        assert_eq!(rows, 3);
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_error() {
    let mock = Mock::start(&[]);
    let mut told = Vec::new();
    for (user, password) in [("mock", "wrong"), ("nobody", "secret")] {
        let url = format!("postgres://{user}:{password}@127.0.0.1:{}/any?sslmode=disable", mock.port());
        let error = connect(&url.parse().expect("a connection string")).await.expect_err("wrong credentials");
        let server = error.server_error().expect("the server rejects the login");
        assert_eq!(server.sqlstate(), Some(SqlState::INVALID_PASSWORD));
        told.push(server.to_string().replace(user, "USER"));
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn a_client_of_protocol_3_2_has_a_longer_key() {
    let mock = Mock::start(&[]);
    for (version, bytes) in [("3.0", 4), ("3.2", 32)] {
        let (_, session) = mock.client(&format!("&max_protocol_version={version}")).await;
        assert_eq!(session.version.to_string(), version);
        let key = session.cancel_key.expect("the server gives a key");
        assert_eq!(key.request().key.0.len(), bytes);
    }
}

/// Checks the bytes of many random values at each position. The bytes at one position must not all be equal, and must not all be base64
/// characters.
fn assert_random(values: &[Vec<u8>]) {
    for position in 0..values[0].len() {
        let at: Vec<u8> = values.iter().map(|value| value[position]).collect();
        let letters = at.iter().filter(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)).count();
        // About a quarter of the 256 byte values are base64 characters. The probability that 40 random bytes are all base64 characters is
        // 10^-24.
        assert!(letters < at.len(), "position {position} holds letters of base64 only");
        assert!(at.iter().any(|byte| *byte != at[0]), "position {position} never changes");
    }
}

#[tokio::test]
async fn cancel_keys_are_random_bytes() {
    let mock = Mock::start(&["--auth", "trust"]);
    for version in ["3.0", "3.2"] {
        let mut keys = Vec::new();
        for _ in 0..40 {
            let (_, session) = mock.client(&format!("&max_protocol_version={version}")).await;
            keys.push(session.cancel_key.expect("the server gives a key").request().key.0.to_vec());
        }
        assert_random(&keys);
    }
}

/// Returns two attributes of the server's first SCRAM message for this user: the salt (`s=`) and the iteration count (`i=`).
fn server_first(port: u16, user: &str) -> (Vec<u8>, String) {
    let mut client = wire::Client::new(([127, 0, 0, 1], port).into());
    client.say(&wire::startup_with(&[("user", user)]));
    client.hear().expect("a request for SASL");
    let data = b"n,,n=,r=abcdefghijklmnopqrstuvwx";
    let first = SaslInitialResponse { mechanism: "SCRAM-SHA-256".into(), data: Some(Secret(data)) };
    client.say(&wire::bytes(&first));
    let frame = client.hear().expect("an answer");
    let message = String::from_utf8(frame.body[4..].to_vec()).expect("the text is UTF-8");
    let mut parts = message.split(',').skip(1).map(str::to_owned);
    let salt = parts.next().expect("a salt").into_bytes();
    (salt, parts.next().expect("an iteration count"))
}

#[test]
fn an_unknown_user_has_a_salt_and_iterations_like_a_real_user() {
    let mut salts = Vec::new();
    for _ in 0..40 {
        let mock = Mock::start(&[]);
        let (real, nobody) = (server_first(mock.port(), "mock"), server_first(mock.port(), "nobody"));
        // The salt has 16 bytes, which base64 encodes as 24 characters. With `s=` before them, the attribute has 26 characters.
        assert_eq!((real.0.len(), &*real.1), (26, "i=4096"));
        assert_eq!((nobody.0.len(), &nobody.1), (real.0.len(), &real.1));
        assert_ne!(real.0, nobody.0);
        assert_eq!(nobody, server_first(mock.port(), "nobody"), "the salt of an unknown user stays the same");
        salts.push(real.0);
    }
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len(), 40, "each server has its own salt");
}

#[test]
fn no_password_is_left_in_memory_however_the_login_ended() {
    // The test later searches the memory of `mock_server` for the password. The program must not contain the password as a constant, so the
    // test computes the password at run time. The server can have the password only from a client.
    let secret = format!("{}-{}", "correct horse".to_uppercase(), "battery staple".to_uppercase());
    let mock = Mock::start(&["--auth", "cleartext", "--password", "something else"]);
    let message = wire::bytes(&PasswordMessage { password: SecretText(secret.as_str().into()) });
    let descriptors = || {
        std::fs::read_dir(format!("/proc/{}/fd", mock.0.child.id())).expect("the program is running").count()
    };
    let before = descriptors();
    let ask = || {
        let mut client = wire::Client::new(([127, 0, 0, 1], mock.port()).into());
        client.say(&wire::startup_with(&[("user", "mock")]));
        client.hear().expect("a request for the password");
        client
    };
    let mut half = ask();
    half.say(&message[..message.len() - 2]);
    let beginning = &secret.as_bytes()[..13];
    process::until("the search finds half a password", || process::remembers(mock.0.child.id(), beginning));
    drop(half);
    for end in 18..=message.len() {
        let mut client = ask();
        client.say(&message[..end]);
        // Every second client half-closes and reads the answer. The other clients close the socket without reading the answer.
        if end % 2 == 0 {
            client.finish();
            drop(client.rest());
        }
    }
    process::until("all connections are closed", || descriptors() == before);
    assert!(!process::remembers(mock.0.child.id(), beginning));
}

#[tokio::test]
async fn an_unknown_version_and_unknown_options_are_negotiated() {
    let mock = Mock::start(&["--auth", "trust"]);
    let transcript = r#"
        F SSLRequest 1234 5679
        B SSLResponse N
        F StartupMessage 3 9999 "user" "mock" "_pq_.test_protocol_negotiation" "" "application_name" "x"
        B NegotiateProtocolVersion 196610 1 "_pq_.test_protocol_negotiation"
        B AuthenticationOk
        B ParameterStatus "server_version" *
        B ParameterStatus "server_encoding" "UTF8"
        B ParameterStatus "client_encoding" "UTF8"
        B ParameterStatus "standard_conforming_strings" "on"
        B ParameterStatus "integer_datetimes" "on"
        B ParameterStatus "DateStyle" "ISO, MDY"
        B ParameterStatus "IntervalStyle" "postgres"
        B ParameterStatus "TimeZone" "UTC"
        B ParameterStatus "application_name" "x"
        B BackendKeyData 1 'BBBB'
        B ReadyForQuery I
        F Terminate
        B close
    "#;
    mock.play(transcript).await;
}

#[tokio::test]
async fn unsupported_messages_are_errors_and_the_session_goes_on() {
    let mock = Mock::start(&["--auth", "trust"]);
    let transcript = r#"
        F StartupMessage 3 0 "user" "anybody"
        B AuthenticationOk
        B ParameterStatus *
        B ParameterStatus *
        B ParameterStatus *
        B ParameterStatus *
        B ParameterStatus *
        B ParameterStatus *
        B ParameterStatus *
        B ParameterStatus *
        B ParameterStatus *
        B BackendKeyData * *
        B ReadyForQuery I
        # One error for a whole batch.
        F Parse "" "select 1" 0
        F Bind "" "" 0 0 0
        F Execute "" 0
        F Sync
        F Sync
        B ErrorResponse S "ERROR" V "ERROR" C "0A000" M * \x00
        B ReadyForQuery I
        B ReadyForQuery I
        F FunctionCall 1344 1 1 1 8 '\x40\x22\x00\x00\x00\x00\x00\x00' 1
        B ErrorResponse S "ERROR" V "ERROR" C "0A000" *
        B ReadyForQuery I
        F CopyDone
        F Query "select 1"
        B RowDescription 2 "name" 0 0 25 -1 -1 0 "moons" 0 0 23 4 -1 0
        B DataRow 2 5 'Earth' 1 '1'
        B DataRow 2 4 'Mars' 1 '2'
        B DataRow 2 11 'Planet Nine' -1
        B CommandComplete "SELECT 3"
        B ReadyForQuery I
        F raw '?\x00\x00\x00\x04'
        B ErrorResponse S "FATAL" V "FATAL" C "08P01" *
        B close
    "#;
    mock.play(transcript).await;
}

#[tokio::test]
async fn a_cancel_request_ends_only_the_statement_with_its_key() {
    let mock = Mock::start(&[]);
    let (mut conn, session) = mock.client("").await;
    let config = mock.config("");
    let target = session.cancel_target().expect("the server gives a key");
    let key = &target.key;

    // Sends a cancel request while no statement runs. This request must have no effect.
    cancel(&config, &target).await.expect("the request is accepted");
    conn.query("select 1; select pg_sleep(3600); select 2").flush().await.expect("the server is connected");
    let mut rows = 0;
    loop {
        match conn.recv().await.expect("the server is connected").backend().expect("well-formed") {
            Backend::DataRow(_) => rows += 1,
            // The server sends this notice when the statement `pg_sleep` begins. From now on, a cancel request ends the statement.
            Backend::NoticeResponse(_) => break,
            _ => {}
        }
    }
    let mut stranger = target.clone();
    stranger.key = pg_stream_tokio::CancelKey::new(key.pid(), b"nope");
    cancel(&config, &stranger).await.expect("the request is accepted, but has no effect");
    cancel(&config, &target).await.expect("the request is accepted");
    let error = examples::until_ready(&mut conn, |message| {
        rows += usize::from(matches!(message, Backend::DataRow(_)));
        Ok(())
    })
    .await
    .expect_err("the statement was cancelled");
    assert_eq!(
        (error.to_string().as_str(), rows),
        ("ERROR 57014: canceling statement due to user request", 3)
    );
    conn.query("select 1").flush().await.expect("the server is connected");
    examples::until_ready(&mut conn, |_| Ok(())).await.expect("the session goes on");

    assert_eq!(mock.0.next_line(), format!("cancel request for {}", key.pid()));
    assert_eq!(mock.0.next_line(), format!("cancel request for {}, but no session has this key", key.pid()));
    assert_eq!(mock.0.next_line(), format!("cancel request for {}", key.pid()));
}

#[tokio::test]
async fn a_client_refuses_a_method_that_require_auth_excludes() {
    let mock = Mock::start(&["--auth", "md5"]);
    let error = connect(&mock.config("&require_auth=scram-sha-256"))
        .await
        .expect_err("the server does not use SCRAM");
    assert!(matches!(error.auth_error(), Some(AuthError::Policy(_))), "{error:?}");
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn psql_logs_in_over_tls_and_binds_scram_to_the_channel() {
    let variable = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
    };
    let (cert, key) = (variable("PG_TLS_SERVER_CERT"), variable("PG_TLS_SERVER_KEY"));
    let mock = Mock::start(&["--tls-cert", &cert, "--tls-key", &key]);
    let root = variable("PG_TLS_ROOT");
    let verified = format!("sslmode=verify-full sslrootcert={root} channel_binding=require");
    for (version, settings) in [
        (15, verified.as_str()),
        (18, &format!("{verified} sslnegotiation=direct")),
        (18, "sslmode=disable channel_binding=prefer"),
    ] {
        let conninfo = format!("host=localhost port={} user=mock dbname=any {settings}", mock.port());
        let mut psql = Command::new(variable(&format!("PG{version}_PSQL")));
        psql.args(["-XwAt", "-c", "select 1", "-d", &conninfo]).env("PGPASSWORD", "secret");
        let expected = Ended { code: Some(0), stdout: ROWS.into(), stderr: String::new() };
        assert_eq!(finish(&mut psql), expected, "{settings}");
    }
}
