//! Tests of streaming of transactions in progress. The client must receive the same changes in two cases: in blocks while the transaction
//! is in progress, and all together at the commit.

use std::time::Duration;

use pg_stream_tokio::pg_auth::config::Replication;
use pg_stream_tokio::pg_wire::replication::command::*;
use pg_stream_tokio::pg_wire::replication::pgoutput::*;
use pg_stream_tokio::pg_wire::replication::*;
use pg_stream_tokio::{ReplicationStream, Socket};

use crate::conversation::*;
use crate::support::{Server, query};

type Streamed = ReplicationStream<Socket, Transactions<MemoryStore>>;

async fn each(session: &mut Conn, statements: &[&str]) {
    for sql in statements {
        query(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// Formats a change as a line of text, without its position and its transaction number: these two depend on whether the server streams the
/// transaction in progress.
fn line(received: &ReceivedChange<'_>) -> String {
    let table = received.table.map_or_else(String::new, ToString::to_string);
    match received.change {
        Change::Begin(begin) => format!("begin {} {}", begin.xid, begin.commit),
        Change::Commit(commit) => format!("commit {} {}", commit.commit, commit.end),
        Change::BeginPrepare(begin) => format!("begin prepare {} {}", begin.xid, begin.gid),
        Change::Prepare(prepare) => format!("prepare {} {}", prepare.xid, prepare.end),
        Change::CommitPrepared(commit) => format!("commit prepared {} {}", commit.xid, commit.end),
        Change::Insert(insert) => format!("insert {table} {:?}", insert.new),
        Change::Update(update) => format!("update {table} {:?} {:?}", update.old, update.new),
        Change::Delete(delete) => format!("delete {table} {:?}", delete.old),
        Change::Truncate(truncate) => format!("truncate {:?}", truncate.relations),
        // Descriptions of tables and types are ignored: the server sends them again in each block, so the number of these messages depends
        // on the number of blocks.
        Change::Relation(_) | Change::Type(_) => String::new(),
        Change::LogicalMessage(message) => format!("message {}", message.prefix),
        ref other => panic!("{other:?}"),
    }
}

/// Receives changes until `count` transactions are in progress. Returns the number of stored bytes.
async fn until(count: usize, stream: &mut Streamed, lines: &mut Vec<String>, other: &mut Conn) -> usize {
    while stream.payload().in_progress().count() != count {
        receive(stream, lines, other).await;
    }
    stream.payload().store().used()
}

/// Receives changes until more bytes are stored, which shows that another block of a transaction in progress has arrived.
async fn until_more(stream: &mut Streamed, lines: &mut Vec<String>, other: &mut Conn) {
    let before = stream.payload().store().used();
    while stream.payload().store().used() <= before {
        receive(stream, lines, other).await;
    }
}

async fn receive(stream: &mut Streamed, lines: &mut Vec<String>, other: &mut Conn) {
    // These statements flush the WAL, because the server decodes only flushed WAL.
    each(other, &["set synchronous_commit = on", "select pg_logical_emit_message(true, 'flush', 'x')"]).await;
    // At the time limit, the future of `next` is dropped. This loses no change.
    while let Ok(received) = tokio::time::timeout(Duration::from_millis(20), stream.next()).await {
        lines.push(line(&received.expect("received").expect("the stream goes on")));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn transactions_streamed_in_progress_have_the_same_changes_as_transactions_sent_at_their_commit() {
    alone_on_both(async |server| {
        let versions: &[(u32, StreamingOption)] = match server.major {
            16.. => &[(3, StreamingOption::On), (4, StreamingOption::Parallel)],
            _ => &[(3, StreamingOption::On)],
        };
        for (version, streaming) in versions {
            same(server, *version, *streaming).await;
        }
    });
}

async fn same(server: &Server, version: u32, streaming: StreamingOption) {
    let slot = Slot { name: own_name("streamed"), server };
    let name = slot.name.as_str();
    let (mut one, mut two, mut other) = (session(server).await, session(server).await, session(server).await);
    each(
        &mut one,
        &[
            &format!("drop publication if exists {name}"),
            &format!("drop table if exists {name}"),
            &format!("create table {name} (id int primary key, t text)"),
            &format!("create publication {name} for table {name}"),
        ],
    )
    .await;
    let mut conn = walsender(server, Replication::Logical).await;
    let create = CreateReplicationSlot::logical(name, "pgoutput").snapshot(Snapshot::Nothing).two_phase();
    run(&mut conn, &create).await.expect("created");

    let rows = |from: u32| {
        let to = from + 999;
        format!("insert into {name} select g, repeat('x', 100) from generate_series({from}, {to}) g")
    };
    let names = [name];
    let options = PgOutput::new(version, &names).messages(true).two_phase(true).streaming(streaming);
    let command = StartLogical::new(name, Lsn::INVALID).pgoutput(&options);
    let stream = ReplicationStream::start(conn, &command).await.expect("started");
    let mut stream: Streamed = stream.transactions(MemoryStore::new(16 << 20));
    let mut lines = Vec::new();

    // Two transactions run at the same time. Some of their subtransactions are rolled back after the client has received the changes of
    // these subtransactions.
    each(&mut one, &["begin", &rows(0)]).await;
    until_more(&mut stream, &mut lines, &mut other).await;
    each(&mut two, &["begin", &rows(10_000)]).await;
    until_more(&mut stream, &mut lines, &mut other).await;
    each(&mut one, &["savepoint a", &rows(1_000), "savepoint b", &rows(2_000)]).await;
    until_more(&mut stream, &mut lines, &mut other).await;
    let peak = stream.payload().store().used();
    each(&mut one, &["rollback to b", &rows(3_000), "release a"]).await;
    each(&mut two, &["savepoint a", &rows(11_000), "savepoint b", &rows(12_000)]).await;
    until_more(&mut stream, &mut lines, &mut other).await;
    each(&mut two, &["rollback to a", &format!("update {name} set t = 'y' where id = 10007")]).await;
    each(&mut two, &[&format!("delete from {name} where id = 10008"), &rows(13_000)]).await;
    assert_eq!(stream.payload().in_progress().count(), 2);
    each(&mut two, &["commit"]).await;
    until(1, &mut stream, &mut lines, &mut other).await;
    // A small transaction is committed while a large transaction is in progress. Then the large transaction is rolled back.
    each(&mut two, &["begin", &rows(20_000)]).await;
    until(2, &mut stream, &mut lines, &mut other).await;
    each(&mut other, &[&format!("insert into {name} values (-1, 'small')")]).await;
    each(&mut two, &["rollback"]).await;
    each(&mut one, &["commit"]).await;
    assert_eq!(until(0, &mut stream, &mut lines, &mut other).await, 0);
    // A large transaction is prepared (two-phase commit).
    let gid = own_name("streamed");
    each(&mut one, &["begin", &rows(30_000)]).await;
    until(1, &mut stream, &mut lines, &mut other).await;
    each(&mut one, &[&format!("prepare transaction '{gid}'"), &format!("commit prepared '{gid}'")]).await;
    each(&mut one, &["select pg_logical_emit_message(false, 'the end', 'x')"]).await;
    each(&mut other, &["set synchronous_commit = on", "select pg_logical_emit_message(true, 'flush', 'x')"])
        .await;

    let last = loop {
        let received = stream.next().await.expect("received").expect("the stream goes on");
        let line = line(&received);
        if line == "message the end" {
            break received.start;
        }
        lines.push(line);
    };
    assert!(peak > 64 * 1024, "{peak} bytes: the transactions were streamed");
    assert_eq!((stream.payload().store().used(), stream.payload().in_progress().count()), (0, 0));
    stream.finish().await.expect("a clean end");

    // No position has been confirmed. So the server sends the same transactions again, this time at their commits.
    let options = PgOutput::new(version, &names).messages(true).two_phase(true);
    let conn = walsender(server, Replication::Logical).await;
    let command = StartLogical::new(name, Lsn::INVALID).pgoutput(&options);
    let mut stream = ReplicationStream::start(conn, &command).await.expect("started").changes();
    let mut whole = Vec::new();
    loop {
        let received = stream.next().await.expect("received").expect("the stream goes on");
        let line = line(&received);
        if line == "message the end" {
            break;
        }
        whole.push(line);
    }
    stream.set_flushed(last).expect("the position was received");
    stream.finish().await.expect("a clean end");

    for lines in [&mut lines, &mut whole] {
        lines.retain(|line| !line.is_empty());
    }
    let count = |lines: &[String], prefix: &str| lines.iter().filter(|line| line.starts_with(prefix)).count();
    assert_eq!(count(&lines, "insert"), 3_000 + 2_000 + 1 + 1_000);
    for (at, (streamed, whole)) in lines.iter().zip(&whole).enumerate() {
        assert_eq!(streamed, whole, "line {at}");
    }
    assert_eq!(lines.len(), whole.len());
    eprintln!("{} changes, {peak} bytes at most in progress", lines.len());
    each(&mut one, &[&format!("drop publication {name}"), &format!("drop table {name}")]).await;
}
