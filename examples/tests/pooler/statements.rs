//! Tests of prepared statements. A client's statement must also work on a server connection on which the client has not prepared the
//! statement.

use pg_wire::{PgProtocol, Portal, SqlState, Statement};

use crate::lab::{Lab, Peer, sqlstate};

/// Prepares a statement.
async fn prepare(peer: &mut Peer, name: &str, sql: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    peer.conn.parse(Statement(name)).query(sql).finish().sync().flush().await?;
    peer.reply().await
}

/// Executes a statement without parameters.
async fn execute(peer: &mut Peer, name: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    peer.conn.bind(Statement(name), Portal::UNNAMED).execute_and_sync(()).flush().await?;
    peer.reply().await
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_statement_is_prepared_on_each_connection_and_each_client_has_its_own_names() {
    for lab in Lab::both(&["--pool-size", "2"]).await {
        let (mut a, mut b, mut blocker) = (lab.client().await, lab.client().await, lab.client().await);
        prepare(&mut a, "s", "select 'a'").await.expect("prepared");
        prepare(&mut b, "s", "select 'b'").await.expect("the name is free for this client");
        for _ in 0..3 {
            // There are two server connections. `blocker` holds the connection that was used last, so that `a` and `b` must use the other
            // connection.
            blocker.rows("begin").await;
            assert_eq!(execute(&mut a, "s").await.expect("known to the pooler"), ["a"]);
            assert_eq!(execute(&mut b, "s").await.expect("known to the pooler"), ["b"]);
            blocker.rows("commit").await;
            assert_eq!(execute(&mut b, "s").await.expect("known to the pooler"), ["b"]);
            assert_eq!(execute(&mut a, "s").await.expect("known to the pooler"), ["a"]);
        }
        let error = prepare(&mut a, "s", "select 'other'").await.expect_err("the name is taken");
        assert_eq!(sqlstate(&*error), SqlState::DUPLICATE_PREPARED_STATEMENT);
        a.conn.close_statement(Statement("s")).sync().flush().await.expect("sent");
        a.reply().await.expect("closed");
        let error = execute(&mut a, "s").await.expect_err("closed");
        assert_eq!(error.to_string(), "ERROR 26000: prepared statement \"s\" does not exist");
        assert_eq!(execute(&mut b, "s").await.expect("still open"), ["b"]);
        // On the server, the pooler has given the name `pooler_1` to a client's statement. A client must not be able to use this name.
        let error = execute(&mut a, "pooler_1").await.expect_err("not of this client");
        assert_eq!(sqlstate(&*error), SqlState::INVALID_SQL_STATEMENT_NAME);
        prepare(&mut a, "s", "select 'new'").await.expect("the name is free again");
        assert_eq!(execute(&mut a, "s").await.expect("prepared"), ["new"]);
        // Checks that DEALLOCATE ALL closes all statements of this client, and no statement of another client.
        a.rows("deallocate all").await;
        assert!(execute(&mut a, "s").await.is_err());
        assert_eq!(execute(&mut b, "s").await.expect("still open"), ["b"]);
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn clients_share_equal_statements() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        let (mut a, mut b) = (lab.client().await, lab.client().await);
        prepare(&mut a, "of_a", "select count(*) from pg_prepared_statements").await.expect("prepared");
        prepare(&mut b, "of_b", "select count(*) from pg_prepared_statements").await.expect("prepared");
        assert_eq!(execute(&mut a, "of_a").await.expect("prepared"), ["1"]);
        assert_eq!(execute(&mut b, "of_b").await.expect("prepared"), ["1"]);
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn each_client_keeps_its_own_unnamed_statement() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        let (mut a, mut b) = (lab.client().await, lab.client().await);
        prepare(&mut a, "", "select 'a'").await.expect("prepared");
        prepare(&mut b, "", "select 'b'").await.expect("prepared");
        for _ in 0..2 {
            assert_eq!(execute(&mut a, "").await.expect("known to the pooler"), ["a"]);
            assert_eq!(execute(&mut b, "").await.expect("known to the pooler"), ["b"]);
        }
        // Checks that a Query message drops the unnamed statement of the client that sent the Query, and of no other client.
        a.rows("select 1").await;
        let error = execute(&mut a, "").await.expect_err("dropped");
        assert_eq!(sqlstate(&*error), SqlState::INVALID_SQL_STATEMENT_NAME);
        assert_eq!(execute(&mut b, "").await.expect("known to the pooler"), ["b"]);
        let error = execute(&mut lab.client().await, "").await.expect_err("never prepared");
        assert_eq!(sqlstate(&*error), SqlState::INVALID_SQL_STATEMENT_NAME);
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn the_pooler_treats_requests_after_an_error_as_discarded() {
    for lab in Lab::both(&["--pool-size", "2"]).await {
        let (mut a, mut blocker) = (lab.client().await, lab.client().await);
        for name in ["s", "t"] {
            prepare(&mut a, name, &format!("select '{name}'")).await.expect("prepared");
        }
        for round in 0..4 {
            // There are two server connections. In every second round, `blocker` holds the connection on which the statements are prepared.
            // The pooler must then prepare the statements on the other connection.
            if round % 2 == 1 {
                blocker.rows("begin").await;
            }
            let unnamed = Statement::UNNAMED;
            let new = format!("new{round}");
            let conn = &mut a.conn;
            // The first batch has an error. The server discards the requests after the error.
            conn.bind(Statement("s"), Portal::UNNAMED).execute(());
            conn.parse(unnamed).query("select 1/0").finish().bind(unnamed, Portal::UNNAMED).execute(());
            conn.bind(Statement("t"), Portal::UNNAMED).execute(());
            conn.parse(Statement(&new)).query("select 'never'").finish();
            // The server discards these Close and Parse messages too, because they follow the error in the same batch.
            conn.close_statement(Statement("s")).parse(Statement("s")).query("select 'never'").finish();
            conn.sync();
            // The client sends the second batch before it receives the error.
            conn.bind(Statement("t"), Portal::UNNAMED).execute(());
            conn.bind(Statement("s"), Portal::UNNAMED).execute_and_sync(());
            conn.flush().await.expect("sent");
            let error = a.reply().await.expect_err("a division by zero");
            assert_eq!(sqlstate(&*error), SqlState::DIVISION_BY_ZERO);
            assert_eq!(a.reply().await.expect("the second batch"), ["t", "s"]);
            assert!(execute(&mut a, &new).await.is_err(), "discarded");
            prepare(&mut a, &new, "select 'new'").await.expect("the name is free");
            assert_eq!(execute(&mut a, &new).await.expect("prepared"), ["new"]);
            if round % 2 == 1 {
                blocker.rows("commit").await;
            }
        }
        // Checks that a client can use the name of a rejected statement for a new statement.
        assert!(prepare(&mut a, "bad", "selekt").await.is_err());
        prepare(&mut a, "bad", "select 'good'").await.expect("the name is free");
        assert_eq!(execute(&mut a, "bad").await.expect("prepared"), ["good"]);
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_connection_keeps_a_bounded_number_of_statements() {
    let [_, lab] = Lab::both(&["--pool-size", "1"]).await;
    let mut a = lab.client().await;
    for n in 0..1200 {
        prepare(&mut a, &format!("s{n}"), &format!("select '{n}'")).await.expect("prepared");
    }
    for n in (0..1200).rev().step_by(7).chain([0, 1199]) {
        assert_eq!(execute(&mut a, &format!("s{n}")).await.expect("prepared"), [n.to_string()]);
    }
    let count: u32 = a.value("select count(*) from pg_prepared_statements").await.parse().expect("a number");
    assert!((400..=501).contains(&count), "{count}");
}
