//! Tests of sessions that share server connections: logins, settings, cancel requests, and lost connections.

use std::time::{Duration, Instant};

use pg_auth::{AuthError, SslMode};
use pg_stream_tokio::{Config, ConnectErrorKind, ConnectionBuilder, cancel, connect};
use pg_wire::{PgProtocol, SqlState, TransactionStatus};

use crate::lab::{Lab, Peer, config, sqlstate, until};

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn clients_are_authenticated_by_their_verifiers_and_the_pooler_logs_in_with_their_keys() {
    for lab in Lab::both(&[]).await {
        assert_eq!(lab.client().await.value("select current_user").await, "scram");
        let mut other =
            Peer::connect(lab.address, "clear_only", "clear_only-secret").await.expect("another user");
        assert_eq!(other.value("select current_user").await, "clear_only");
        for (user, password) in [("scram", "wrong"), ("nobody", "scram-secret"), ("admin", "secret")] {
            let error =
                Peer::connect(lab.address, user, password).await.err().expect("no such user and password");
            let ConnectErrorKind::Auth(refused) = error.kind() else { panic!("{user}: {error}") };
            let error = refused.server_error().expect("the pooler reports the reason");
            assert_eq!(error.fields().sqlstate(), Some(SqlState::INVALID_PASSWORD), "{user}");
        }
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn clients_share_a_connection_but_not_within_a_transaction() {
    for lab in Lab::both(&["--pool-size", "2"]).await {
        let (mut a, mut b, mut c) = (lab.client().await, lab.client().await, lab.client().await);
        let pid = "select pg_backend_pid()";
        let shared = a.value(pid).await;
        assert_eq!((b.value(pid).await, c.value(pid).await), (shared.clone(), shared.clone()));
        a.rows("begin").await;
        assert_eq!(a.value(pid).await, shared);
        let other = b.value(pid).await;
        assert_ne!(other, shared);
        assert_eq!(c.value(pid).await, other);
        a.rows("commit").await;
        assert_eq!(c.value(pid).await, shared);
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn settings_are_restored_for_each_client() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        let (mut a, mut b) = (lab.client().await, lab.client().await);
        assert_eq!(a.value("show timezone").await, b.session.parameters.get("TimeZone").expect("reported"));
        a.rows("set timezone to 'Asia/Tokyo'").await;
        a.rows("set application_name to 'it''s \\ a'").await;
        b.rows("set client_encoding to latin1; set datestyle to german").await;
        for _ in 0..2 {
            assert_eq!(a.value("show timezone").await, "Asia/Tokyo");
            assert_eq!(a.value("show application_name").await, "it's \\ a");
            assert_eq!(a.value("show client_encoding").await, "UTF8");
            assert_ne!(b.value("show timezone").await, "Asia/Tokyo");
            assert_eq!(b.value("show client_encoding").await, "LATIN1");
            assert_eq!(b.value("select date '2026-01-31'").await, "31.01.2026");
        }
        // Checks that a changed setting has its old value after a rollback.
        a.rows("begin; set timezone to 'America/Lima'").await;
        assert_eq!(a.value("show timezone").await, "America/Lima");
        a.rows("rollback").await;
        b.rows("select 1").await;
        assert_eq!(a.value("show timezone").await, "Asia/Tokyo");

        // Checks parameters of the startup message: the client must receive each value in the form that the server reports.
        let config = |name, value| config(lab.address, "scram", "scram-secret").with_parameter(name, value);
        let (conn, session) = connect(&config("datestyle", "sql")).await.expect("a valid value");
        assert_eq!(session.parameters.get("DateStyle"), Some("SQL, MDY"));
        let mut c = Peer { conn, session };
        b.rows("select 1").await;
        assert_eq!(c.value("select date '2026-01-31'").await, "01/31/2026");
        for (name, value) in
            [("TimeZone", "Nowhere"), ("work_mem", "1MB"), ("options", "-c geqo=off"), ("replication", "on")]
        {
            let error =
                connect(&config(name, value)).await.err().unwrap_or_else(|| panic!("{name} is accepted"));
            assert!(matches!(error.kind(), ConnectErrorKind::Auth(AuthError::Server(_))), "{name}: {error}");
        }
        assert_eq!(b.value("show client_encoding").await, "LATIN1");
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn sql_that_changes_the_session_is_rejected_and_an_open_transaction_fails() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        let mut client = lab.client().await;
        for sql in [
            "listen news",
            "set work_mem = '1MB'",
            "create temp table t (n int)",
            "prepare s as select 1",
            "select 1; load 'auto_explain'",
        ] {
            assert_eq!(client.sqlstate(sql).await, SqlState::FEATURE_NOT_SUPPORTED, "{sql}");
            assert_eq!(client.value("select 'fine'").await, "fine");
        }
        client.rows("begin").await;
        let error = client.query("listen news").await.expect_err("LISTEN is rejected");
        assert_eq!(error.to_string(), "ERROR 0A000: LISTEN needs a session of its own");
        assert_eq!(client.status().await, TransactionStatus::Failed);
        assert_eq!(client.sqlstate("select 1").await, SqlState::IN_FAILED_SQL_TRANSACTION);
        client.rows("rollback").await;
        client
            .rows("begin; set local work_mem = '1MB'; create temp table t (n int) on commit drop; commit")
            .await;
        // Checks that the pooler discards the rest of a batch after a rejected Parse message, and executes the next batch.
        client.conn.parse(pg_wire::Statement::UNNAMED).query("listen news").finish();
        client.conn.bind(pg_wire::Statement::UNNAMED, pg_wire::Portal::UNNAMED).execute_and_sync(());
        client.conn.flush().await.expect("sent");
        let error = client.reply().await.expect_err("LISTEN is rejected");
        assert_eq!(sqlstate(&*error), SqlState::FEATURE_NOT_SUPPORTED);
        assert_eq!(client.value("select 'fine'").await, "fine");
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_cancel_request_reaches_the_query_of_its_client_and_no_other() {
    for lab in Lab::both(&["--pool-size", "2"]).await {
        let (mut a, mut b) = (lab.client().await, lab.client().await);
        let target = a.session.cancel_target().expect("the pooler gives a key");
        let settings = config(lab.address, "scram", "scram-secret");
        a.conn.query("select pg_sleep(60)").flush().await.expect("sent");
        b.conn.query("select pg_sleep(1), 'finished'").flush().await.expect("sent");
        let mut admin = lab.admin().await;
        let running = "select count(*) from pg_stat_activity where query like 'select pg_sleep(60)%' and state = 'active'";
        until("the query runs", async || admin.value(running).await != "0").await;
        let begun = Instant::now();
        cancel(&settings, &target).await.expect("the pooler closes the connection");
        assert_eq!(sqlstate(&*a.reply().await.expect_err("cancelled")), SqlState::QUERY_CANCELED);
        assert!(begun.elapsed() < Duration::from_secs(30));
        b.reply().await.expect("not cancelled");
        // Checks that a cancel request of a client without a running query cancels nothing, even while another client runs a query.
        for _ in 0..20 {
            let (cancelled, value) = tokio::join!(cancel(&settings, &target), b.value("select 'fine'"));
            cancelled.expect("the pooler closes the connection");
            assert_eq!(value, "fine");
        }
        let mut wrong = target.clone();
        wrong.key = pg_stream_tokio::CancelKey::new(target.key.pid(), b"wrong");
        a.conn.query("select pg_sleep(0.2)").flush().await.expect("sent");
        cancel(&settings, &wrong).await.expect("the pooler closes the connection");
        a.reply().await.expect("a wrong key cancels nothing");
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn the_transaction_of_a_disconnected_client_is_rolled_back_and_the_connection_is_used_again() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        lab.table("vanished", "n int").await;
        let pid = lab.client().await.value("select pg_backend_pid()").await;
        let scripts: [(&str, bool); 5] = [
            ("begin; insert into vanished values (1)", true),
            ("begin; insert into vanished values (2); select 1/0", true),
            ("begin; insert into vanished values (3); select pg_sleep(60)", false),
            ("copy vanished from stdin", false),
            (
                "begin; insert into vanished values (4); select repeat('x', 1000) from generate_series(1, 1000000)",
                false,
            ),
        ];
        for (sql, finishes) in scripts {
            let mut client = lab.client().await;
            client.conn.query(sql).flush().await.expect("sent");
            if finishes {
                let _ = client.reply().await;
                assert_ne!(client.status().await, TransactionStatus::Idle);
            } else {
                // Waits for a fixed time until the query probably runs. The test cannot see the start of the query, because the server
                // sends no reply before the end of the query.
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            drop(client);
            let mut next = lab.client().await;
            assert_eq!(next.value("select pg_backend_pid()").await, pid, "after {sql}");
            assert_eq!(next.value("select count(*) from vanished").await, "0", "after {sql}");
        }
        // In this part, the client sends a batch without Sync, and disconnects.
        let mut client = lab.client().await;
        client.conn.parse(pg_wire::Statement::UNNAMED).query("insert into vanished values (5)").finish();
        client.conn.bind(pg_wire::Statement::UNNAMED, pg_wire::Portal::UNNAMED).finish(());
        client.conn.execute(pg_wire::Portal::UNNAMED, 0).flush_msg().flush().await.expect("sent");
        client.conn.recv().await.expect("ParseComplete");
        drop(client);
        let mut next = lab.client().await;
        assert_eq!(next.value("select pg_backend_pid()").await, pid);
        assert!(["0", "1"].contains(&&*next.value("select count(*) from vanished").await));
        // In this part, the client sends Terminate in an open transaction.
        let mut client = lab.client().await;
        client.rows("begin; insert into vanished values (6)").await;
        client.conn.terminate().close().await.expect("sent");
        assert_eq!(next.value("select count(*) from vanished where n = 6").await, "0");
        assert_eq!(next.value("select pg_backend_pid()").await, pid);
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_lost_server_connection_is_replaced_and_only_a_client_that_uses_it_is_sent_an_error() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        let mut admin = lab.admin().await;
        let (mut idle, mut busy) = (lab.client().await, lab.client().await);
        let mut last = String::new();
        for _ in 0..3 {
            // Ends the server process of a connection that no client uses. No client may receive an error.
            let pid = idle.value("select pg_backend_pid()").await;
            assert_ne!(pid, last);
            admin.rows(&format!("select pg_terminate_backend({pid})")).await;
            let gone = format!("select count(*) from pg_stat_activity where pid = {pid}");
            until("the server process is gone", async || admin.value(&gone).await == "0").await;
            last = pid;
        }
        busy.rows("begin").await;
        let pid = busy.value("select pg_backend_pid()").await;
        admin.rows(&format!("select pg_terminate_backend({pid})")).await;
        let error = busy.query("select 1").await.expect_err("the connection is lost");
        assert!(error.to_string().contains("57P01") || error.to_string().contains("08006"), "{error}");
        assert_ne!(idle.value("select pg_backend_pid()").await, pid);
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_client_that_waits_too_long_for_a_connection_is_sent_an_error() {
    for lab in Lab::both(&["--pool-size", "1", "--reserve-timeout", "1"]).await {
        let (mut a, mut b, mut c) = (lab.client().await, lab.client().await, lab.client().await);
        a.rows("begin").await;
        let begun = Instant::now();
        assert_eq!(b.sqlstate("select 1").await, SqlState::TOO_MANY_CONNECTIONS);
        assert!((1.0..10.0).contains(&begun.elapsed().as_secs_f64()));
        c.conn.query("select 'waited'").flush().await.expect("sent");
        a.rows("commit").await;
        assert_eq!(c.reply().await.expect("in time"), ["waited"]);
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_server_that_cannot_be_reached_is_reported_to_the_client() {
    let [lab, _] = Lab::both(&[]).await;
    let stream = tokio::net::TcpStream::connect(lab.address).await.expect("the pooler listens");
    // The pooler cannot log in to the server, because the database does not exist.
    let config = Config::new("scram").database("missing").password("scram-secret").sslmode(SslMode::Disable);
    let error = ConnectionBuilder::from(config).connect(stream).await.expect_err("no such database");
    let text = error.to_string();
    assert!(text.contains("3D000") && text.contains("\"missing\" does not exist"), "{text}");
}
