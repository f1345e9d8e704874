//! Tests of clients that violate the protocol, or disconnect in the middle of a request. The pooler must still serve the other clients.

use pg_wire::backend::Backend;
use pg_wire::{MessageCode, PgProtocol, Portal, SqlState, Statement};

use crate::lab::{Lab, Peer, sqlstate};

/// Sends bytes to the pooler, and returns the SQLSTATE of the error that ends the session.
async fn ends_with(client: &mut Peer, bytes: &[u8]) -> Option<SqlState> {
    client.conn.outbox_mut().put_raw(bytes);
    client.conn.flush().await.expect("the pooler reads");
    match client.conn.recv().await.expect("a reply").backend().expect("well-formed") {
        Backend::ErrorResponse(error) if error.fields.is_fatal() => error.fields.sqlstate(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn after_a_message_over_the_limit_the_requests_of_other_clients_are_answered() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        let (mut hostile, mut other) = (lab.client().await, lab.client().await);
        let header = b"Q\x7f\xff\xff\xff";
        assert_eq!(ends_with(&mut hostile, header).await, Some(SqlState::PROTOCOL_VIOLATION));
        assert_eq!(other.value("select 7").await, "7");
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_password_message_in_a_session_ends_the_session() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        let (mut hostile, mut other) = (lab.client().await, lab.client().await);
        let password = b"p\0\0\0\x06x\0";
        assert_eq!(ends_with(&mut hostile, password).await, Some(SqlState::PROTOCOL_VIOLATION));
        assert_eq!(other.value("select 7").await, "7");
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_client_that_leaves_during_a_copy_frees_its_connection() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        lab.table("left_in_a_copy", "x int4").await;
        let (mut leaving, mut other) = (lab.client().await, lab.client().await);
        leaving.conn.query("copy left_in_a_copy from stdin").flush().await.expect("the pooler reads");
        while leaving.conn.recv().await.expect("a reply").code != MessageCode::COPY_IN_RESPONSE {}
        leaving.conn.terminate().flush().await.expect("the pooler reads");
        assert_eq!(other.value("select count(*) from left_in_a_copy").await, "0");
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_server_connection_with_an_internal_error_is_closed_and_replaced() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        let (mut client, mut other) = (lab.client().await, lab.client().await);
        let process = "select pg_backend_pid()";
        let raise = |state: &SqlState| {
            format!("do $$ begin raise exception 'raised' using errcode = '{state}'; end $$")
        };
        let first = client.value(process).await;
        for (state, is_kept) in [(SqlState::DIVISION_BY_ZERO, true), (SqlState::INTERNAL_ERROR, false)] {
            assert_eq!(client.sqlstate(&raise(&state)).await, state);
            assert_eq!(other.value(process).await == first, is_kept, "{state}");
        }
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn a_failed_parse_leaves_no_unnamed_statement() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        let mut client = lab.client().await;
        for sql in ["select 7", "selekt"] {
            client.conn.parse(Statement::UNNAMED).query(sql).finish().sync();
            client.conn.flush().await.expect("the pooler reads");
            let _ = client.reply().await;
        }
        client.conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute_and_sync(());
        client.conn.flush().await.expect("the pooler reads");
        let error = client.reply().await.expect_err("there is no unnamed statement");
        assert_eq!(sqlstate(&*error), SqlState::INVALID_SQL_STATEMENT_NAME);
    }
}
