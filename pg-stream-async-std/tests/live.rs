//! Tests with PostgreSQL servers, on async-std's executor.

use std::env;

use async_std::task::block_on;
use pg_stream_async_std::pg_wire::{SqlState, backend::Backend};
use pg_stream_async_std::{Config, Host, MessageCode, PgProtocol, Portal, Statement, cancel, connect};

/// Returns the TCP address and the socket directory of each server.
fn servers() -> Vec<[String; 2]> {
    let variable = |name: String| env::var(&name).unwrap_or_else(|_| panic!("{name} is not set"));
    ["15", "18"]
        .map(|version| ["ADDR", "SOCKET_DIR"].map(|what| variable(format!("PG{version}_{what}"))))
        .into()
}

/// Returns configurations for this user. For each server: by TCP, and by Unix-domain socket.
fn configs(user: &str) -> Vec<Config> {
    let config = |[addr, dir]: [String; 2]| {
        let (_, port) = addr.rsplit_once(':').expect("a port");
        let port = port.parse().expect("a number");
        let config = Config::new(user).password(format!("{user}-secret")).database("test");
        [config.clone().host(Host::new("127.0.0.1", port)), config.socket(dir, port)]
    };
    servers().into_iter().flat_map(config).collect()
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn every_password_method_logs_in() {
    for user in ["trust", "md5", "scram"] {
        for config in configs(user) {
            block_on(async {
                let (mut conn, session) = connect(&config).await.expect("a session");
                assert!(session.parameters.get("server_version").is_some());
                conn.bind_and_count(3).await;
            });
        }
    }
}

/// Adds to connections a method that runs the query of these tests.
trait Count {
    async fn bind_and_count(&mut self, rows: i32);
}

impl Count for pg_stream_async_std::Connection<pg_stream_async_std::Socket> {
    async fn bind_and_count(&mut self, rows: i32) {
        self.parse(Statement::UNNAMED).query("select generate_series(1, $1::int)").finish();
        self.bind(Statement::UNNAMED, Portal::UNNAMED).execute_and_sync((rows,));
        self.flush().await.expect("sent");
        let mut seen = 0;
        loop {
            match self.recv().await.expect("a message").backend().expect("well-formed") {
                Backend::DataRow(_) => seen += 1,
                Backend::ErrorResponse(error) => panic!("{error}"),
                Backend::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        assert_eq!(seen, rows);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn after_a_cancelled_statement_the_session_can_be_used() {
    for config in configs("scram") {
        block_on(async {
            let (mut conn, session) = connect(&config).await.expect("a session");
            // Wait for the notice, which shows that the statement is running. A cancel request before the notice would have no effect.
            conn.query("do $$ begin raise notice 'begun'; perform pg_sleep(600); end $$")
                .flush()
                .await
                .expect("sent");
            assert_eq!(conn.recv().await.expect("a message").code, MessageCode::NOTICE_RESPONSE);
            cancel(&config, &session.cancel_target().expect("a key"))
                .await
                .expect("the cancel request is sent");
            let frame = conn.recv().await.expect("a message");
            let Ok(Backend::ErrorResponse(error)) = frame.backend() else { panic!("{frame:?}") };
            assert_eq!(error.fields.sqlstate(), Some(SqlState::QUERY_CANCELED));
            while conn.recv().await.expect("a message").code != MessageCode::READY_FOR_QUERY {}
            conn.bind_and_count(1).await;
        });
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn halves_can_be_used_in_two_tasks() {
    for config in configs("scram") {
        block_on(async {
            let (conn, _) = connect(&config).await.expect("a session");
            let (mut reader, mut writer) = conn.split();
            const QUERIES: usize = 2000;
            let sending = async_std::task::spawn(async move {
                for _ in 0..QUERIES {
                    writer.query("select repeat('x', 1000)").flush().await.expect("sent");
                }
            });
            let mut ready = 0;
            while ready < QUERIES {
                ready +=
                    usize::from(reader.recv().await.expect("a message").code == MessageCode::READY_FOR_QUERY);
            }
            sending.await;
        });
    }
}
