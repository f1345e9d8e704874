//! Tests with two real servers: the oldest and the newest version of PostgreSQL that is tested.

mod support;

use pg_stream_tokio::pg_auth::config::{AuthMethod, SslMode};
use pg_stream_tokio::pg_auth::error::PolicyError;
use pg_stream_tokio::pg_wire::SqlState;
use pg_stream_tokio::pg_wire::Transport;
use pg_stream_tokio::pg_wire::backend::{Backend, DataRow, ServerError};
use pg_stream_tokio::pg_wire::frontend::ProtocolVersion;
use pg_stream_tokio::{
    AuthError, Config, ConnectError, ConnectErrorKind, Connection, ConnectionBuilder, Error, Host, Limits,
    Link, MessageCode, PgProtocol, Portal, Session, Socket, Statement, cancel, cancel_over, connect,
};
use support::{get_in, on_both, query, rows, value};
use tokio::net::{TcpStream, UnixStream};

// ---- Logging in -----------------------------------------------------------------------------------------------------

/// Roles of the test servers: name, password, and authentication method.
const ROLES: [(&str, Option<&str>, AuthMethod); 6] = [
    ("trust", None, AuthMethod::None),
    ("cleartext", Some("cleartext-secret"), AuthMethod::Password),
    ("md5", Some("md5-secret"), AuthMethod::Md5),
    ("scram", Some("scram-secret"), AuthMethod::ScramSha256),
    ("saslprep", Some("pa\u{a0}ss\u{2168}"), AuthMethod::ScramSha256),
    // The password of the role "saslprep", after SASLprep.
    ("saslprep", Some("pa ssIX"), AuthMethod::ScramSha256),
];

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn every_method_logs_in_over_every_stream() {
    on_both(async |server| {
        for (role, password, method) in ROLES {
            let mut config = Config::new(role).database("test");
            config.password = password.map(Into::into);
            // A password may be sent in clear text over a Unix-domain socket. Over TCP without TLS, a password may be sent in clear text
            // only with sslmode=disable.
            let plain = config.clone().sslmode(SslMode::Disable);

            let (conn, session) = get_in(&plain.clone().host(server.tcp())).await;
            is_in(conn, session, role, method).await;
            let (conn, session) = get_in(&config.clone().host(server.socket())).await;
            is_in(conn, session, role, method).await;

            let socket = TcpStream::connect(server.address).await.expect("PostgreSQL listens by TCP");
            let (conn, session) = ConnectionBuilder::from(plain.clone()).connect(socket).await.expect(role);
            is_in(conn, session, role, method).await;
            let path = server.socket().socket_path().expect("a socket has a path");
            let socket = UnixStream::connect(path).await.expect("PostgreSQL listens by socket");
            let over_unix = ConnectionBuilder::from(config).link(Link::Unix);
            let (conn, session) = over_unix.connect(socket).await.expect(role);
            is_in(conn, session, role, method).await;

            let (stream, _) = server.relay().await;
            let (conn, session) = ConnectionBuilder::from(plain).connect(stream).await.expect(role);
            is_in(conn, session, role, method).await;
        }
    });
}

/// Checks the method and the user of a session.
async fn is_in<T: Transport>(mut conn: Connection<T>, session: Session, role: &str, method: AuthMethod) {
    assert_eq!(session.auth_method, method, "{role}");
    assert_eq!(query(&mut conn, "SELECT current_user").await.expect(role), [role]);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_password_is_not_sent_in_clear_text_unless_the_caller_allows_it() {
    on_both(async |server| {
        let config = server.config("cleartext", "cleartext-secret");
        let refused = |error: ConnectError| {
            let policy = AuthError::Policy(PolicyError::CleartextPassword);
            assert!(error.auth_error() == Some(&policy), "{error:?}");
        };
        for mode in [SslMode::Allow, SslMode::Prefer] {
            let (_, session) =
                connect(&config.clone().sslmode(mode)).await.expect("TLS protects the password");
            assert!(session.tls.is_some(), "{mode}");
        }

        let (stream, heard) = server.relay().await;
        refused(
            ConnectionBuilder::from(config)
                .connect(stream)
                .await
                .expect_err("the server asks for a password in clear"),
        );
        let heard = heard.await.expect("a relay does not panic");
        let has = |word: &str| heard.windows(word.len()).any(|bytes| bytes == word.as_bytes());
        assert!(has("cleartext\0") && !has("cleartext-secret"), "{}", heard.escape_ascii());
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_rejected_login_returns_the_servers_error() {
    on_both(async |server| {
        for (role, host) in [
            ("cleartext", server.socket()),
            ("md5", server.tcp()),
            ("md5", server.socket()),
            ("scram", server.tcp()),
            ("saslprep", server.socket()),
        ] {
            let config = Config::new(role).password("wrong").database("test").host(host);
            let error = connect(&config).await.expect_err("the password is wrong");
            let said = error.server_error().unwrap_or_else(|| panic!("{role}: {error:?}"));
            assert_eq!(said.sqlstate(), Some(SqlState::INVALID_PASSWORD), "{role}: {said}");
            assert_eq!(said.fields().severity(), Some("FATAL".into()));
        }

        let error =
            connect(&server.config("somebody", "whatever")).await.expect_err("the user does not exist");
        let state = error.server_error().and_then(ServerError::sqlstate);
        assert_eq!(state, Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION), "{error:?}");

        let nowhere = server.config("scram", "scram-secret").database("nowhere");
        let error = connect(&nowhere).await.expect_err("there is no such database");
        let state = error.server_error().and_then(ServerError::sqlstate);
        assert_eq!(state, Some(SqlState::INVALID_CATALOG_NAME), "{error:?}");
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_missing_password_is_an_error_of_the_client() {
    on_both(async |server| {
        let config = Config::new("scram").host(server.tcp());
        let error = connect(&config).await.expect_err("there is no password");
        let policy = AuthError::Policy(PolicyError::NoPassword);
        assert!(error.auth_error() == Some(&policy), "{error:?}");
    });
}

// ---- The start of a session ------------------------------------------------------------------------------------------

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_newest_common_version_is_used() {
    use ProtocolVersion as V;
    on_both(async |server| {
        let config = server.config("scram", "scram-secret");
        let (newest, key_length) = if server.major < 18 { (V::V3_0, 4) } else { (V::V3_2, 32) };

        let (mut conn, session) = get_in(&config).await;
        assert_eq!((session.version, key_len(&session)), (V::V3_0, 4));
        assert_eq!(query(&mut conn, "SELECT 1").await.expect("the query succeeds"), ["1"]);

        let (mut conn, session) = get_in(&config.clone().protocol_versions(V::V3_0, V::V3_2)).await;
        assert_eq!((session.version, key_len(&session)), (newest, key_length));
        assert_eq!(query(&mut conn, "SELECT 1").await.expect("the query succeeds"), ["1"]);

        let demanding = config.protocol_versions(V::V3_2, V::V3_2);
        match connect(&demanding).await {
            Ok((_, session)) => assert_eq!((session.version, newest), (V::V3_2, V::V3_2)),
            Err(error) => {
                let policy = AuthError::Policy(PolicyError::Version { server: newest, min: V::V3_2 });
                assert!(error.auth_error() == Some(&policy), "{error:?}");
                assert_eq!(server.major, 15);
            }
        }
    });
}

fn key_len(session: &Session) -> usize {
    session.cancel_key.as_ref().map_or(0, |key| key.request().key.0.len())
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_unknown_protocol_option_is_reported() {
    on_both(async |server| {
        for max in [ProtocolVersion::V3_0, ProtocolVersion::V3_2] {
            let config = server.config("scram", "scram-secret").with_parameter("_pq_.grease", "yes");
            let (mut conn, session) = get_in(&config.protocol_versions(ProtocolVersion::V3_0, max)).await;
            assert_eq!(session.unrecognized_options, ["_pq_.grease"]);
            assert_eq!(query(&mut conn, "SELECT 1").await.expect("the query succeeds"), ["1"]);
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_session_contains_the_servers_parameters() {
    on_both(async |server| {
        let url = format!(
            "postgres://scram:scram-secret@{}/test?application_name=caf%C3%A9&options=-c%20work_mem%3D77kB",
            server.address
        );
        let config: Config = url.parse().expect("well-formed");
        let (mut conn, session) = get_in(&config.with_parameter("DateStyle", "German")).await;
        let parameter =
            |name| session.parameters.get(name).unwrap_or_else(|| panic!("{name} is not reported"));
        assert!(parameter("server_version").starts_with(&format!("{}.", server.major)));
        assert_eq!(parameter("client_encoding"), "UTF8");
        assert_eq!(parameter("integer_datetimes"), "on");
        assert_eq!(parameter("session_authorization"), "scram");
        assert_eq!(parameter("is_superuser"), "off");
        assert_eq!(parameter("DateStyle"), "German, DMY");
        // PostgreSQL before 16 allows only ASCII in `application_name`.
        let name = if server.major < 16 { "caf??" } else { "caf\\xc3\\xa9" };
        assert_eq!(parameter("application_name"), name);
        assert_eq!(query(&mut conn, "SHOW application_name").await.expect("the query succeeds"), [name]);
        assert_eq!(query(&mut conn, "SHOW work_mem").await.expect("the query succeeds"), ["77kB"]);
        assert_eq!(
            query(&mut conn, "SELECT DATE '2024-02-29'").await.expect("the query succeeds"),
            ["29.02.2024"]
        );
        assert!(session.notices.is_empty() && session.unrecognized_options.is_empty());
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_host_that_cannot_be_reached_is_skipped() {
    on_both(async |server| {
        let address = server.address;
        let url = format!("postgres://scram:scram-secret@%2Fnowhere,127.0.0.1:1,{address}/test");
        let (mut conn, _) = get_in(&url.parse().expect("well-formed")).await;
        assert_eq!(query(&mut conn, "SELECT 1").await.expect("the query succeeds"), ["1"]);

        let nowhere = Config::new("scram").host(Host::new("127.0.0.1", 1)).socket("/nowhere", 5432);
        let error = connect(&nowhere).await.expect_err("no process listens on this port");
        assert!(
            matches!(error.kind(), ConnectErrorKind::Unreachable(_)) && error.earlier().len() == 1,
            "{error:?}"
        );
    });
}

// ---- Cancelling -----------------------------------------------------------------------------------------------------

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_statement_is_cancelled_and_the_next_statement_is_not() {
    on_both(async |server| {
        for (max, host) in [(ProtocolVersion::V3_0, server.tcp()), (ProtocolVersion::V3_2, server.socket())] {
            let mut config = Config::new("scram").password("scram-secret").database("test");
            config = config.host(host.clone()).protocol_versions(ProtocolVersion::V3_0, max);
            let (mut conn, session) = get_in(&config).await;
            let target = session.cancel_target().expect("PostgreSQL gives a key");

            fall_asleep(&mut conn).await;
            cancel(&config, &target).await.expect("the request is accepted");
            let error = rows(&mut conn).await.expect_err("the statement was cancelled");
            assert_eq!(error.sqlstate(), Some(SqlState::QUERY_CANCELED), "{error}");

            fall_asleep(&mut conn).await;
            let (stream, _) = server.relay().await;
            cancel_over(stream, &target.key).await.expect("the request is accepted");
            let error = rows(&mut conn).await.expect_err("the statement was cancelled");
            assert_eq!(error.sqlstate(), Some(SqlState::QUERY_CANCELED), "{error}");

            // When `cancel` returns, the server has handled the request. So the request cannot cancel a later statement.
            for _ in 0..20 {
                cancel(&config, &target).await.expect("the request is accepted");
                assert_eq!(query(&mut conn, "SELECT 1").await.expect("nobody cancels this"), ["1"]);
            }
        }
    });
}

/// Starts a statement that takes an hour, and returns when the statement is running. A cancel request before this moment would have no
/// effect.
async fn fall_asleep<T: Transport>(conn: &mut Connection<T>) {
    conn.query("DO $$ BEGIN RAISE INFO 'asleep'; PERFORM pg_sleep(3600); END $$")
        .flush()
        .await
        .expect("sent");
    let frame = conn.recv().await.expect("received");
    assert_eq!(frame.code, MessageCode::NOTICE_RESPONSE);
}

// ---- Large amounts ----------------------------------------------------------------------------------------------------

/// Queues `times` statements and a Sync. Each statement returns `value`.
fn echo<P: PgProtocol>(out: &mut P, times: usize, value: &str) {
    out.parse(Statement("echo")).query("SELECT $1::text").finish();
    for _ in 0..times {
        out.bind(Statement("echo"), Portal::UNNAMED).finish((value,));
        out.execute(Portal::UNNAMED, 0);
    }
    out.sync();
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn one_flush_sends_a_pipeline_larger_than_both_socket_buffers() {
    on_both(async |server| {
        for host in [server.tcp(), server.socket()] {
            let config = Config::new("scram").password("scram-secret").database("test").host(host);
            let (mut conn, _) = get_in(&config).await;
            let value = "x".repeat(3000);
            echo(&mut conn, 5000, &value);
            conn.flush().await.expect("the flush does not hang");
            let rows = rows(&mut conn).await.expect("no error");
            assert_eq!(rows.len(), 5000);
            assert!(rows.iter().all(|row| *row == value));
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_pipeline_with_answers_over_read_ahead_is_sent_while_receiving() {
    on_both(async |server| {
        let builder = ConnectionBuilder::from(server.config("scram", "scram-secret"));
        let limits = Limits::BACKEND.read_ahead(1 << 20);
        let (mut conn, _) = builder.limits(limits).dial().await.expect("the user logs in");
        echo(&mut conn, 8000, &"x".repeat(3000));
        let full = conn.flush().await.expect_err("24 MB of answers do not fit into 1 MiB");
        assert!(matches!(full, Error::InboxFull) && !full.is_fatal(), "{full:?}");
        assert!(conn.inbox().capacity() < 4 << 20, "{}", conn.inbox().capacity());
        assert_eq!(rows(&mut conn).await.expect("no error").len(), 8000);
        conn.flush().await.expect("nothing is left");
        assert_eq!(conn.outbox().pending(), b"");
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_halves_work_on_two_tasks() {
    on_both(async |server| {
        for host in [server.tcp(), server.socket()] {
            let config = Config::new("scram").password("scram-secret").database("test").host(host);
            let (conn, _) = get_in(&config).await;
            let (mut reader, mut writer) = conn.split();
            let writing = tokio::spawn(async move {
                echo(&mut writer, 10_000, &"x".repeat(3000));
                writer.flush().await.expect("the reader makes room");
                writer
            });
            let reading = tokio::spawn(async move {
                let mut count = 0;
                loop {
                    match reader.recv().await.expect("received").code {
                        MessageCode::DATA_ROW => count += 1,
                        MessageCode::READY_FOR_QUERY => break (reader, count),
                        code => assert_ne!(code, MessageCode::ERROR_RESPONSE),
                    }
                }
            });
            let (mut reader, count) = reading.await.expect("no panic");
            assert_eq!(count, 10_000);
            let mut writer = writing.await.expect("no panic");
            writer.terminate();
            writer.close().await.expect("sent");
            let end = reader.recv().await.expect_err("the server closes");
            assert!(matches!(end, Error::Closed { mid_message: false }), "{end:?}");
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_receive_that_is_dropped_loses_nothing() {
    on_both(async |server| {
        // The relay cuts every message into pieces.
        let (stream, _) = server.relay().await;
        let builder = ConnectionBuilder::from(server.config("scram", "scram-secret"));
        let (mut conn, _) = builder.connect(stream).await.expect("the user logs in");
        conn.query("SELECT generate_series(1, 5000)").flush().await.expect("sent");
        let (mut numbers, mut drops) = (Vec::new(), 0);
        loop {
            tokio::select! {
                biased;
                frame = conn.recv() => match frame.expect("received").backend().expect("well-formed") {
                    Backend::DataRow(row) => numbers.push(value(&row).to_vec()),
                    Backend::ReadyForQuery(_) => break,
                    _ => {}
                },
                () = std::future::ready(()) => {
                    drops += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        assert!(numbers.into_iter().eq((1..=5000).map(|n| n.to_string().into_bytes())));
        assert!(drops > 1000, "{drops}");
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn memory_for_a_large_value_is_released() {
    on_both(async |server| {
        let (mut conn, _) = get_in(&server.config("scram", "scram-secret")).await;
        conn.query("SELECT repeat('x', 64 * 1024 * 1024)").flush().await.expect("sent");
        let mut length = 0;
        loop {
            match conn.recv().await.expect("received").backend().expect("well-formed") {
                Backend::DataRow(row) => length += value(&row).len(),
                Backend::ReadyForQuery(_) => break,
                other => assert!(!matches!(other, Backend::ErrorResponse(_)), "{other:?}"),
            }
        }
        assert_eq!(length, 64 << 20);
        is_small_again(&mut conn).await;
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_large_value_that_the_caller_keeps_is_not_memory_of_the_connection() {
    on_both(async |server| {
        let (mut conn, _) = get_in(&server.config("scram", "scram-secret")).await;
        conn.query("SELECT repeat('x', 64 * 1024 * 1024)").flush().await.expect("sent");
        let mut kept = Vec::new();
        loop {
            let frame = conn.recv_owned().await.expect("received");
            match frame.code {
                MessageCode::DATA_ROW => kept.push(frame),
                MessageCode::READY_FOR_QUERY => break,
                code => assert_ne!(code, MessageCode::ERROR_RESPONSE),
            }
        }
        is_small_again(&mut conn).await;
        // The kept frame contains the whole value, although the connection has received more messages after this frame.
        assert_eq!(kept.len(), 1);
        let row = kept[0].frame().decode::<DataRow<'_>>().expect("well-formed");
        assert_eq!(value(&row).len(), 64 << 20);
        assert!(value(&row).iter().all(|byte| *byte == b'x'));
    });
}

/// Checks that the connection works, and that its inbox is as small as before the large value.
async fn is_small_again(conn: &mut Connection<Socket>) {
    assert_eq!(query(conn, "SELECT 1").await.expect("the query succeeds"), ["1"]);
    let (held, most) = (conn.inbox().capacity(), 2 * conn.inbox().limits().read_size);
    assert!(held <= most, "{held} bytes of {most}");
}

// ---- The end --------------------------------------------------------------------------------------------------------

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn after_a_terminate_the_server_closes() {
    on_both(async |server| {
        for host in [server.tcp(), server.socket()] {
            let config = Config::new("scram").password("scram-secret").database("test").host(host);
            let (mut conn, _) = get_in(&config).await;
            conn.terminate().flush().await.expect("sent");
            let end = conn.recv().await.expect_err("the server closes");
            assert!(matches!(end, Error::Closed { mid_message: false }) && end.is_fatal(), "{end:?}");
            assert!(matches!(conn.recv().await, Err(Error::Poisoned(_))));
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_servers_last_message_is_received_even_if_writing_fails() {
    on_both(async |server| {
        for host in [server.tcp(), server.socket()] {
            for writes_fail in [false, true] {
                let config =
                    Config::new("scram").password("scram-secret").database("test").host(host.clone());
                let (mut conn, session) = get_in(&config).await;
                let pid = session.cancel_key.expect("PostgreSQL gives a key").pid();
                let (mut killer, _) = get_in(&config).await;
                // The second argument is a time limit in milliseconds. With a time limit, `pg_terminate_backend` returns only after the
                // session has ended.
                let kill = format!("SELECT pg_terminate_backend({pid}, 60000)");
                assert_eq!(query(&mut killer, &kill).await.expect("a session of one's own"), ["t"]);

                // The server has closed its socket. The kernel may accept the first write. The closed socket answers this write with a
                // reset, and all later writes fail.
                let mut wrote = conn.query("SELECT 1").flush().await;
                while writes_fail && conn.write_fault().is_none() {
                    tokio::task::yield_now().await;
                    wrote = conn.query("SELECT 1").flush().await;
                }
                wrote.as_ref().expect("no write error is reported before the last message");
                let last = match conn.recv().await.expect("the message arrived before the reset").backend() {
                    Ok(Backend::ErrorResponse(error)) => error.to_owned(),
                    other => panic!("{other:?}, after {wrote:?}"),
                };
                assert_eq!(last.sqlstate(), Some(SqlState::ADMIN_SHUTDOWN), "{last}");
                assert_eq!(last.fields().severity(), Some("FATAL".into()));
                let end = conn.recv().await.expect_err("no other message follows");
                assert!(end.is_fatal(), "{end:?}");
            }
        }
    });
}
