//! Tests of the runtime `AsyncStd`, with a server in this process and with PostgreSQL servers.

use std::env;
use std::num::NonZeroU32;
use std::time::Duration;

use async_std::net::{TcpListener, TcpStream};
use async_std::task::{block_on, spawn};
use pg_stream_async_std::pg_auth::connect;
use pg_stream_async_std::pg_auth::scram::Verifier;
use pg_stream_async_std::pg_wire::{SqlState, Transport, backend::Backend};
use pg_stream_async_std::{
    AsyncStd, Config, ConnectErrorKind, Credentials, DefaultTls, Host, MessageCode, PgProtocol, Portal,
    SslMode, Startup, Statement, welcome,
};

/// The builder that the documentation of `AsyncStd` recommends.
type ConnectionBuilder<T = DefaultTls> = connect::ConnectionBuilder<AsyncStd, T>;
type Acceptor = connect::Acceptor<AsyncStd>;

/// Accepts one client, whose password must be "secret", and waits until the client sends Terminate.
async fn serve(stream: TcpStream) {
    let lookup = async |_: Startup| {
        let iterations = NonZeroU32::new(4096).expect("not 0");
        Credentials::Scram(Verifier::new(&"secret".into(), b"a salt of 16 byt".to_vec(), iterations))
    };
    let (mut conn, _) = Acceptor::new().accept(stream, lookup).await.expect("a login");
    welcome([("server_version", "18.0")], None, conn.outbox_mut());
    conn.flush().await.expect("sent");
    assert_eq!(conn.recv().await.expect("a message").code, MessageCode::TERMINATE);
}

#[test]
fn a_client_connects_by_host_name_to_a_server_of_this_runtime() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("the socket is bound").port();
        let served = spawn(async move { serve(listener.accept().await.expect("a client").0).await });
        let config = Config::new("me").password("secret").host(Host::new("localhost", port));
        let builder = ConnectionBuilder::from(config.sslmode(SslMode::Disable));
        let (mut conn, session) = builder.dial().await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(session.parameters.get("server_version"), Some("18.0"));
        conn.terminate().close().await.expect("sent");
        served.await;
    });
}

#[test]
fn a_connection_over_a_tcp_stream_of_async_std_can_be_split() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the socket is bound");
        let served = spawn(async move { serve(listener.accept().await.expect("a client").0).await });
        let stream = TcpStream::connect(address).await.expect("the server listens");
        let builder = ConnectionBuilder::from(Config::new("me").password("secret"));
        let (conn, _) = builder.connect(stream).await.unwrap_or_else(|error| panic!("{error}"));
        let (_reader, mut writer) = conn.split();
        writer.terminate().flush().await.expect("sent");
        served.await;
    });
}

#[test]
fn connecting_to_a_silent_server_ends_with_a_timeout() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("the socket is bound").port();
        let config = Config::new("me").host(Host::new("127.0.0.1", port));
        let config = config.connect_timeout(Duration::from_millis(20));
        let error = ConnectionBuilder::from(config).dial().await.expect_err("the server sends nothing");
        assert!(matches!(error.kind(), ConnectErrorKind::Timeout(_)), "{error}");
    });
}

/// Returns configurations for the user "scram". For each server: by TCP without TLS, by TCP with TLS if the server has TLS, and by
/// Unix-domain socket.
fn configs() -> Vec<Config> {
    let variable = |name: String| env::var(&name).unwrap_or_else(|_| panic!("{name} is not set"));
    let both = |version| {
        let [address, dir] = ["ADDR", "SOCKET_DIR"].map(|what| variable(format!("PG{version}_{what}")));
        let (_, port) = address.rsplit_once(':').expect("a port");
        let port = port.parse().expect("a number");
        let config = Config::new("scram").password("scram-secret").database("test");
        let by_tcp = config.clone().host(Host::new("localhost", port));
        [by_tcp.clone().sslmode(SslMode::Disable), by_tcp.sslmode(SslMode::Prefer), config.socket(dir, port)]
    };
    ["15", "18"].into_iter().flat_map(both).collect()
}

/// Receives messages up to ReadyForQuery, and returns the number of rows.
async fn rows(conn: &mut pg_stream_async_std::Connection<impl Transport>) -> i32 {
    let mut rows = 0;
    loop {
        match conn.recv().await.expect("a message").backend().expect("well-formed") {
            Backend::DataRow(_) => rows += 1,
            Backend::ErrorResponse(error) => panic!("{error}"),
            Backend::ReadyForQuery(_) => return rows,
            _ => {}
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_client_logs_in_queries_and_cancels_on_both_servers() {
    for config in configs() {
        block_on(async {
            let builder = ConnectionBuilder::from(config);
            let (mut conn, session) = builder.dial().await.unwrap_or_else(|error| panic!("{error}"));
            conn.parse(Statement::UNNAMED).query("select generate_series(1, $1::int)").finish();
            conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute_and_sync((1000,));
            conn.flush().await.expect("sent");
            assert_eq!(rows(&mut conn).await, 1000);

            // Wait for the notice, which shows that the statement is running. A cancel request before the notice would have no effect.
            conn.query("do $$ begin raise notice 'begun'; perform pg_sleep(600); end $$");
            conn.flush().await.expect("sent");
            assert_eq!(conn.recv().await.expect("a message").code, MessageCode::NOTICE_RESPONSE);
            let target = session.cancel_target().expect("a key");
            builder.cancel(&target).await.unwrap_or_else(|error| panic!("{error}"));
            let frame = conn.recv().await.expect("a message");
            let Ok(Backend::ErrorResponse(error)) = frame.backend() else { panic!("{frame:?}") };
            assert_eq!(error.fields.sqlstate(), Some(SqlState::QUERY_CANCELED));
            assert_eq!(rows(&mut conn).await, 0);
        });
    }
}
