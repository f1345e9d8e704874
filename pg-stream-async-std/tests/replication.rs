//! Tests of replication streams with real servers, on async-std's executor.

use std::env;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_std::task::{block_on, sleep, spawn, spawn_blocking};
use pg_stream_async_std::backend::Backend;
use pg_stream_async_std::pg_auth::config::Replication;
use pg_stream_async_std::pg_wire::replication::command::{
    CreateReplicationSlot, DropReplicationSlot, PgOutput, Snapshot, StartLogical, StartPhysical,
    StreamingOption,
};
use pg_stream_async_std::pg_wire::replication::pgoutput::{Change, MemoryStore, ReceivedChange};
use pg_stream_async_std::pg_wire::replication::{Changes, Lsn, Payload, StreamError};
use pg_stream_async_std::{
    Config, Connection, Host, PgProtocol, ReplicationStream, Socket, SslMode, connect,
};

/// Runs a test against each server. The test creates a new database: a replication connection receives messages
/// and empty transactions of every session in its database, and another test must not send any. Only one test of this program runs at a time, because the servers have few
/// replication connections. nextest starts a process for each test; `xtask/nextest.toml` has the same limit for nextest.
fn alone_on_both(test: impl AsyncFn(&Config)) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for version in ["15", "18"] {
        eprintln!("against PostgreSQL {version}");
        let name = format!("PG{version}_ADDR");
        let address = env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"));
        let (_, port) = address.rsplit_once(':').expect("a port");
        let host = Host::new("127.0.0.1", port.parse().expect("a number"));
        let admin = Config::new("admin").database("test").host(host).sslmode(SslMode::Disable);
        let run = async {
            let name = format!("async_replication_{}", std::process::id());
            let mut session = open(&admin).await;
            let drop = format!("drop database if exists {name} with (force)");
            // A failed test leaves its database.
            query(&mut session, &drop).await;
            query(&mut session, &format!("create database {name} template template0")).await;
            test(&admin.clone().database(name)).await;
            query(&mut session, &drop).await;
        };
        let limit = Duration::from_secs(120);
        block_on(async_std::future::timeout(limit, Box::pin(run)))
            .expect("the test ends within its time limit");
    }
}

/// Opens a connection. The future is boxed, because a future that contains several logins would overflow the stack of a test without
/// optimisation.
async fn open(config: &Config) -> Connection {
    Box::pin(connect(config)).await.expect("a connection").0
}

/// Runs a query. Returns the values of the first column.
async fn query(conn: &mut Connection, sql: &str) -> Vec<String> {
    conn.query(sql).flush().await.expect("sent");
    let mut rows = Vec::new();
    loop {
        match conn.recv().await.expect("received").backend().expect("well-formed") {
            Backend::DataRow(row) => {
                let value = row.values.get(0).expect("well-formed").flatten().unwrap_or_default();
                rows.push(String::from_utf8(value.to_vec()).expect("UTF-8"));
            }
            Backend::ErrorResponse(error) => panic!("{sql}: {error}"),
            Backend::ReadyForQuery(_) => return rows,
            _ => {}
        }
    }
}

/// Opens a session, and creates a table, a publication and a slot, all three with one name. Returns the session and this name.
async fn set_up(config: &Config, name: &str) -> (Connection, String) {
    let name = format!("async_{name}_{}", std::process::id());
    let mut session = open(config).await;
    query(&mut session, &format!("create table {name} (id int primary key, t text)")).await;
    query(&mut session, &format!("create publication {name} for table {name}")).await;
    let create = CreateReplicationSlot::logical(&name, "pgoutput").snapshot(Snapshot::Nothing);
    query(&mut walsender(config).await, &create.to_string()).await;
    (session, name)
}

async fn tear_down(config: &Config, mut session: Connection, name: &str) {
    let drop = DropReplicationSlot { slot: name, wait: true };
    query(&mut walsender(config).await, &drop.to_string()).await;
    query(&mut session, &format!("drop publication {name}")).await;
    query(&mut session, &format!("drop table {name}")).await;
}

async fn walsender(config: &Config) -> Connection {
    let config = config.clone().replication(Replication::Logical);
    open(&config.options("-c logical_decoding_work_mem=64kB")).await
}

async fn start(conn: Connection, name: &str) -> ReplicationStream<Socket, Changes> {
    let command = StartLogical::new(name, Lsn::INVALID).pgoutput(&PgOutput::new(1, &[name]));
    let stream = ReplicationStream::start(conn, &command).await.expect("started");
    stream.interval(Duration::from_millis(200)).changes()
}

/// Receives the next transaction. Returns the number of inserted rows, and the position of the end of the transaction.
async fn transaction<P>(stream: &mut ReplicationStream<Socket, P>) -> Result<(usize, Lsn), StreamError>
where
    P: for<'s> Payload<Item<'s> = ReceivedChange<'s>> + 'static,
{
    let mut rows = 0;
    loop {
        match stream.next().await?.expect("the stream goes on").change {
            Change::Insert(_) => rows += 1,
            Change::Commit(commit) => return Ok((rows, commit.end)),
            _ => {}
        }
    }
}

async fn confirmed(session: &mut Connection, slot: &str) -> Lsn {
    let sql = format!("select confirmed_flush_lsn from pg_replication_slots where slot_name = '{slot}'");
    query(session, &sql).await.remove(0).parse().expect("a position")
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_stream_resumes_at_the_position_that_was_declared_and_confirms_no_other() {
    alone_on_both(async |config| {
        let (mut session, name) = set_up(config, "resume").await;
        let created = confirmed(&mut session, &name).await;
        let mut stream = start(walsender(config).await, &name).await;
        query(&mut session, &format!("insert into {name} select generate_series(1, 3)")).await;
        query(&mut session, &format!("insert into {name} select generate_series(4, 5)")).await;
        let (rows, first) = transaction(&mut stream).await.expect("whole");
        assert_eq!(rows, 3);
        assert_eq!(transaction(&mut stream).await.expect("whole").0, 2);
        stream.keep_alive_while(sleep(Duration::from_secs(1))).await;
        assert_eq!(confirmed(&mut session, &name).await, created);
        stream.set_flushed(first).expect("received");
        stream.finish().await.expect("a clean end");
        assert_eq!(confirmed(&mut session, &name).await, first);
        let mut stream = start(walsender(config).await, &name).await;
        assert_eq!(transaction(&mut stream).await.expect("whole").0, 2);
        stream.finish().await.expect("a clean end");
        tear_down(config, session, &name).await;
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_busy_consumer_is_not_disconnected_although_the_sockets_are_full() {
    alone_on_both(async |config| {
        let (mut session, name) = set_up(config, "busy").await;
        let logical = config.clone().replication(Replication::Logical).options("-c wal_sender_timeout=1s");
        let mut stream = start(open(&logical).await, &name).await;
        let sql = format!("insert into {name} select g, repeat('x', 1000) from generate_series(1, 40000) g");
        stream.keep_alive_while(query(&mut session, &sql)).await;
        stream.next().await.expect("received");
        // `wal_sender_timeout` is one second, and each of the two following calls takes five seconds. The connection stays open only if the
        // client sends status updates during these calls.
        stream.keep_alive_while(sleep(Duration::from_secs(5))).await;
        stream.keep_alive_while(spawn_blocking(|| std::thread::sleep(Duration::from_secs(5)))).await;
        let (rows, end) = transaction(&mut stream).await.expect("whole");
        assert_eq!(rows, 40_000);

        // Repeats the test with a split stream: the reader blocks its thread, and another task sends the status updates.
        let sql = sql.replace("(1, 40000)", "(40001, 80000)");
        stream.keep_alive_while(query(&mut session, &sql)).await;
        let (mut reader, sender) = stream.split();
        let sender = spawn(sender.run());
        reader.next().await.expect("received");
        std::thread::sleep(Duration::from_secs(5));
        let mut rows = 0;
        while let Some(received) = reader.next().await.expect("received") {
            match received.change {
                Change::Insert(_) => rows += 1,
                Change::Commit(_) => break,
                _ => {}
            }
        }
        assert_eq!(rows, 40_000);
        reader.set_flushed(end).expect("received");
        reader.finish().await.expect("a clean end");
        sender.await.expect("the connection is good");
        assert_eq!(confirmed(&mut session, &name).await, end);
        tear_down(config, session, &name).await;
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_large_transaction_is_returned_at_its_commit_without_the_changes_that_were_rolled_back() {
    alone_on_both(async |config| {
        let (mut session, name) = set_up(config, "streamed").await;
        let mut other = open(config).await;
        let options = [name.as_str()];
        let options = PgOutput::new(2, &options).streaming(StreamingOption::On);
        let command = StartLogical::new(&name, Lsn::INVALID).pgoutput(&options);
        let stream = ReplicationStream::start(walsender(config).await, &command).await.expect("started");
        let mut stream = stream.interval(Duration::from_millis(200)).transactions(MemoryStore::new(64 << 20));
        let rows = |from: u32| {
            let to = from + 999;
            format!("insert into {name} select g, repeat('x', 100) from generate_series({from}, {to}) g")
        };
        query(&mut session, "begin").await;
        for (step, from) in [("select 1", 0), ("savepoint a", 1000), ("rollback to a", 2000)] {
            query(&mut session, step).await;
            query(&mut session, &rows(from)).await;
            let before = stream.payload().store().used();
            while stream.payload().store().used() == before {
                // These statements flush the WAL, because the server decodes only flushed WAL.
                query(&mut other, "set synchronous_commit = on").await;
                query(&mut other, "select pg_logical_emit_message(true, 'flush', 'x')").await;
                let next = async_std::future::timeout(Duration::from_millis(50), stream.next()).await;
                assert!(next.is_err(), "nothing is committed");
            }
        }
        query(&mut session, "commit").await;
        let (rows, end) = transaction(&mut stream).await.expect("whole");
        assert_eq!((rows, stream.payload().store().used()), (2000, 0));
        stream.set_flushed(end).expect("received");
        stream.finish().await.expect("a clean end");
        tear_down(config, session, &name).await;
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_wal_is_streamed_without_a_gap() {
    alone_on_both(async |config| {
        let mut session = open(config).await;
        let start = query(&mut session, "select pg_current_wal_flush_lsn()").await.remove(0);
        let start: Lsn = start.parse().expect("a position");
        let conn = open(&config.clone().replication(Replication::Physical)).await;
        let stream: ReplicationStream =
            ReplicationStream::start(conn, &StartPhysical::new(start)).await.expect("started");
        let mut stream = stream.interval(Duration::from_millis(100));
        query(&mut session, "select pg_switch_wal()").await;
        let mut bytes = 0;
        while stream.status().received() == start || stream.status().received().0 % 0x100_0000 != 0 {
            let wal = stream.next().await.expect("received").expect("the stream goes on");
            bytes += wal.data.0.len() as u64;
        }
        assert_eq!(stream.status().received().bytes_since(start), Some(bytes));
        let finished = stream.finish().await.expect("a clean end");
        let mut conn = finished.connection;
        assert_eq!(query(&mut conn, "IDENTIFY_SYSTEM").await.len(), 1, "the connection takes commands again");
    });
}
