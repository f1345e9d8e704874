//! Tests of connections over streams in memory, with a scripted server. Also tests of dialling hosts that do not answer.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use pg_stream_tokio::pg_auth::Credentials;
use pg_stream_tokio::pg_auth::error::PolicyError;
use pg_stream_tokio::pg_wire::backend::{CommandComplete, ReadyForQuery};
use pg_stream_tokio::pg_wire::{SqlState, TransactionStatus};
use pg_stream_tokio::{
    Acceptor, AuthError, CancelKey, CancelTarget, Config, ConnectErrorKind, Connection, ConnectionBuilder,
    Error, Host, Limits, MessageCode, PgProtocol, Rewind, TokioIo, Upgraded, accept, cancel, cancel_over,
    connect,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;

/// Bytes with which the server accepts a login: AuthenticationOk, one parameter, a cancel key, ReadyForQuery.
const WELCOME: &[u8] =
    b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0018.0\0K\0\0\0\x0c\0\0\0\x07key!Z\0\0\0\x05I";

/// The start-up message of `Config::new("alice")`.
const ALICE: &[u8] = b"\0\0\0\x14\0\x03\0\0user\0alice\0\0";

/// Runs a test. A test takes milliseconds; a test that hangs fails after a minute.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test must not hang");
    });
}

/// Reads `expected.len()` bytes, and checks that they are equal to `expected`.
async fn hear(stream: &mut (impl AsyncReadExt + Unpin), expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).await.expect("the client sends bytes");
    assert_eq!(heard.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

/// Acts as the server during Alice's login.
async fn welcome(stream: &mut DuplexStream) {
    hear(stream, ALICE).await;
    stream.write_all(WELCOME).await.expect("the client listens");
}

fn alice() -> ConnectionBuilder {
    ConnectionBuilder::new("alice")
}

/// Logs Alice in over a stream that buffers `size` bytes in each direction. Returns her connection and the server's end of the stream.
async fn alice_is_in(size: usize) -> (Connection<TokioIo<DuplexStream>>, DuplexStream) {
    let (stream, mut server) = duplex(size);
    let builder = alice();
    let (connected, ()) = tokio::join!(builder.connect(stream), welcome(&mut server));
    (connected.expect("Alice logs in").0, server)
}

#[test]
fn a_session_passes_through_a_stream_of_any_size() {
    run(async {
        for size in [1, 2, 3, 5, 64, 65_536] {
            let (stream, mut server) = duplex(size);
            let talk = async {
                welcome(&mut server).await;
                hear(&mut server, b"Q\0\0\0\x0dSELECT 1\0").await;
                server
                    .write_all(b"D\0\0\0\x0b\0\x01\0\0\0\x011C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I")
                    .await
                    .expect("the client reads");
                hear(&mut server, b"X\0\0\0\x04").await;
                drop(server);
            };
            let client = async {
                let (mut conn, session) = alice().connect(stream).await.expect("Alice logs in");
                assert_eq!(session.parameters.get("server_version"), Some("18.0"));
                assert_eq!(session.cancel_key, Some(CancelKey::new(7, b"key!")));
                conn.query("SELECT 1").flush().await.expect("sent");
                for code in
                    [MessageCode::DATA_ROW, MessageCode::COMMAND_COMPLETE, MessageCode::READY_FOR_QUERY]
                {
                    assert_eq!(conn.recv().await.expect("received").code, code);
                }
                conn.terminate().flush().await.expect("sent");
                let end = conn.recv().await.expect_err("the server has closed");
                assert!(matches!(end, Error::Closed { mid_message: false }), "{end:?}");
            };
            tokio::join!(talk, client);
        }
    });
}

/// Acts as a server that answers each query at once. An answer has more bytes than a query. The server reads the next query only after the
/// client has read the answer.
async fn answer(stream: DuplexStream, queries: usize) {
    let mut server = pg_stream_tokio::pg_wire::Connection::new(TokioIo(stream), Limits::FRONTEND);
    let long = "x".repeat(500);
    for _ in 0..queries {
        assert_eq!(server.recv().await.expect("a query").code, MessageCode::QUERY);
        server.put(&CommandComplete { tag: (&long).into() });
        server.put(&ReadyForQuery { status: TransactionStatus::Idle });
        // The bytes are sent without `flush`, because `flush` would also read the next queries.
        server.outbox_mut().commit().expect("no error");
        let pending = server.outbox().pending().to_vec();
        server.outbox_mut().sent(pending.len());
        server.transport_mut().0.write_all(&pending).await.expect("the client reads");
    }
}

#[test]
fn a_flush_receives_answers_while_it_sends() {
    run(async {
        let (mut conn, server) = alice_is_in(64).await;
        for _ in 0..200 {
            conn.query("SELECT 'as long as the stream, or a little longer than it is'");
        }
        let client = async {
            conn.flush().await.expect("the flush does not hang");
            for _ in 0..400 {
                conn.recv().await.expect("received");
            }
        };
        tokio::join!(client, answer(server, 200));
    });
}

#[test]
fn the_halves_work_on_two_tasks() {
    run(async {
        let (conn, server) = alice_is_in(64).await;
        let (mut reader, mut writer) = conn.split();
        let server = tokio::spawn(answer(server, 200));
        let writing = tokio::spawn(async move {
            for _ in 0..200 {
                writer.query("SELECT 'as long as the stream, or a little longer than it is'");
            }
            writer.flush().await.expect("the reader makes room");
            writer
        });
        for _ in 0..200 {
            assert_eq!(reader.recv().await.expect("received").code, MessageCode::COMMAND_COMPLETE);
            assert_eq!(reader.recv().await.expect("received").code, MessageCode::READY_FOR_QUERY);
        }
        writing.await.expect("no panic");
        server.await.expect("no panic");
        let end = reader.recv().await.expect_err("the server has closed");
        assert!(matches!(end, Error::Closed { mid_message: false }), "{end:?}");
    });
}

#[test]
fn a_close_in_the_middle_of_a_message_differs_from_a_close_after_a_message() {
    run(async {
        let (mut conn, mut server) = alice_is_in(64).await;
        server.write_all(b"Z\0\0\0\x05IZ\0\0").await.expect("the client reads");
        drop(server);
        assert_eq!(conn.recv().await.expect("whole").code, MessageCode::READY_FOR_QUERY);
        let end = conn.recv().await.expect_err("cut");
        assert!(matches!(end, Error::Closed { mid_message: true }), "{end:?}");
    });
}

#[test]
fn a_password_is_not_sent_in_clear_text() {
    run(async {
        let (stream, mut server) = duplex(64);
        let builder = ConnectionBuilder::from(Config::new("alice").password("hunter2"));
        let client = async {
            let error = builder.connect(stream).await.expect_err("the server asks for the password in clear");
            let policy = AuthError::Policy(PolicyError::CleartextPassword);
            assert!(error.auth_error() == Some(&policy), "{error:?}");
        };
        let talk = async {
            hear(&mut server, ALICE).await;
            server.write_all(b"R\0\0\0\x08\0\0\0\x03").await.expect("the client reads");
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).await.expect("the client has closed");
            assert_eq!(rest, b"");
        };
        tokio::join!(client, talk);
    });
}

#[test]
fn a_cancel_waits_until_the_server_has_closed() {
    run(async {
        let (stream, mut server) = duplex(64);
        let key = CancelKey::new(7, b"key!");
        let mut request = Box::pin(cancel_over(stream, &key));
        let early = poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx).is_ready())).await;
        hear(&mut server, b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07key!").await;
        let late = poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx).is_ready())).await;
        assert!(!early && !late, "the server has not closed");
        drop(server);
        request.await.expect("the server closes without an answer");
    });
}

#[test]
fn a_rejected_cancel_request_returns_the_servers_error() {
    run(async {
        let (stream, mut server) = duplex(64);
        server.write_all(b"E\0\0\0\x1dSFATAL\0C53300\0Mtoo many\0\0").await.expect("the buffer has room");
        let error = cancel_over(stream, &CancelKey::new(7, b"key!")).await.expect_err("refused");
        let state = error.server_error().and_then(|error| error.sqlstate());
        assert_eq!(state, Some(SqlState::TOO_MANY_CONNECTIONS), "{error:?}");
    });
}

#[test]
fn a_host_that_never_answers_causes_a_timeout() {
    run(async {
        // The clock of Tokio is paused, and jumps to the next timer as soon as every task waits. So the test does not wait for 30 seconds.
        tokio::time::pause();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("a port");
        let host = Host::new(address.ip().to_string(), address.port());
        let config = Config::new("alice").host(host).connect_timeout(Duration::from_secs(30));
        let error = connect(&config).await.expect_err("the host never answers");
        assert!(matches!(error.kind(), ConnectErrorKind::Timeout(_)), "{error:?}");
        drop(listener);
    });
}

#[cfg(unix)]
#[test]
fn a_unix_domain_socket_is_found_by_its_directory() {
    run(async {
        let dir = std::env::temp_dir().join(format!("pg-stream-tokio-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let listener = tokio::net::UnixListener::bind(dir.join(".s.PGSQL.5433")).expect("a socket");
        // The first host does not exist, so `dial` uses the second host, the socket in `dir`.
        let config = Config::new("alice").host(Host::new("/nowhere", 5432)).socket(&dir, 5433);
        let talk = async {
            let (mut stream, _) = listener.accept().await.expect("the client connects");
            hear(&mut stream, ALICE).await;
            stream.write_all(WELCOME).await.expect("the client reads");
        };
        let (connected, ()) = tokio::join!(connect(&config), talk);
        std::fs::remove_dir_all(&dir).expect("our own directory");
        connected.expect("Alice logs in");
    });
}

#[test]
fn every_future_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    let config: Config = "postgres://me@localhost".parse().expect("well-formed");
    let key = CancelKey::new(1, &[0; 4]);
    is_send(&connect(&config));
    is_send(&ConnectionBuilder::from(config.clone()).connect(duplex(64).0));
    let upgrade = async |stream: DuplexStream| Ok(Upgraded::new(stream));
    is_send(&ConnectionBuilder::from(config.clone()).connect_with_tls(duplex(64).0, upgrade));
    let lookup = async |_| Credentials::Trust;
    let upgrade = async |stream: Rewind<DuplexStream>| Ok(Upgraded::new(stream));
    is_send(&Acceptor::new().accept_with_tls(duplex(64).0, upgrade, lookup));
    let _cancel_can = |target: &CancelTarget| is_send(&cancel(&config, target));
    is_send(&cancel_over(duplex(64).0, &key));
    is_send(&accept(duplex(64).0, Limits::FRONTEND, async |_| Credentials::Trust));
}
