//! Tests of replication streams: changes, positions, the end of a stream, and a slow consumer.

use std::time::Duration;

use pg_stream_tokio::pg_auth::config::Replication;
use pg_stream_tokio::pg_wire::SqlState;
use pg_stream_tokio::pg_wire::replication::command::*;
use pg_stream_tokio::pg_wire::replication::pgoutput::*;
use pg_stream_tokio::pg_wire::replication::*;
use pg_stream_tokio::{PgProtocol, ReplicationStream, Socket, oid};

use crate::conversation::*;
use crate::support::{Server, get_in, query};

type ChangeStream = ReplicationStream<Socket, Changes>;

/// Creates a table, a publication of the table, and a slot, all with the same name.
async fn set_up(server: &Server, session: &mut Conn, name: &str) {
    let mut conn = walsender(server, Replication::Logical).await;
    for sql in [
        format!("drop publication if exists {name}"),
        format!("drop table if exists {name}"),
        format!("create table {name} (id int primary key, t text)"),
        format!("create publication {name} for table {name}"),
    ] {
        query(session, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    run(&mut conn, &CreateReplicationSlot::logical(name, "pgoutput").snapshot(Snapshot::Nothing))
        .await
        .expect("created");
}

async fn tear_down(session: &mut Conn, name: &str) {
    for sql in [format!("drop publication {name}"), format!("drop table {name}")] {
        query(session, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

async fn start(server: &Server, name: &str, from: Lsn) -> ChangeStream {
    start_on(walsender(server, Replication::Logical).await, name, from).await
}

async fn start_on(conn: Conn, name: &str, from: Lsn) -> ChangeStream {
    let command = StartLogical::new(name, from).pgoutput(&PgOutput::new(1, &[name]));
    ReplicationStream::start(conn, &command).await.expect("started").changes()
}

/// Receives the next transaction. Returns the ids of the inserted rows, and the position of the end of the transaction.
async fn transaction(stream: &mut ChangeStream) -> (Vec<i32>, Lsn) {
    let mut ids = Vec::new();
    loop {
        let received = stream.next().await.expect("received").expect("the stream goes on");
        match received.change {
            Change::Insert(insert) => {
                let table = received.table.expect("described");
                let first = table.values(insert.new).next().expect("a column");
                let (column, value) = first.expect("well-formed");
                assert_eq!((column.name.as_str(), column.type_name()), ("id", oid::name(oid::INT4)));
                ids.push(value.value(column.type_oid).expect("a number"));
            }
            Change::Commit(commit) => return (ids, commit.end),
            _ => {}
        }
    }
}

/// Returns the confirmed position of the slot, as the server reports it.
async fn confirmed(session: &mut Conn, slot: &str) -> Lsn {
    let sql = format!("select confirmed_flush_lsn from pg_replication_slots where slot_name = '{slot}'");
    query(session, &sql).await.expect("a row").remove(0).parse().expect("a position")
}

/// Waits until `position` is the confirmed position of the slot.
async fn wait_for(session: &mut Conn, slot: &str, position: Lsn) {
    while confirmed(session, slot).await != position {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn insert(session: &mut Conn, name: &str, ids: &str) {
    query(session, &format!("insert into {name} select g, 'x' from generate_series({ids}) g"))
        .await
        .expect("inserted");
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_stream_resumes_at_the_position_that_was_declared_and_confirms_no_other() {
    alone_on_both(async |server| {
        let slot = Slot { name: own_name("resume"), server };
        let name = slot.name.as_str();
        let mut session = session(server).await;
        set_up(server, &mut session, name).await;
        let created = confirmed(&mut session, name).await;

        let mut stream = start(server, name, Lsn::INVALID).await.interval(Duration::from_millis(50));
        for ids in ["1, 3", "4, 5", "6, 6"] {
            insert(&mut session, name, ids).await;
        }
        let (ids, first) = transaction(&mut stream).await;
        assert_eq!(ids, [1, 2, 3]);
        let (ids, second) = transaction(&mut stream).await;
        assert_eq!(ids, [4, 5]);
        assert!(created < first && first < second);

        // The client sends many status updates during this time. No status update confirms a position, because `set_flushed` was not
        // called.
        stream.keep_alive_while(tokio::time::sleep(Duration::from_millis(500))).await;
        assert_eq!(confirmed(&mut session, name).await, created);

        stream.set_flushed(first).expect("the position was received");
        stream.report().await.expect("sent");
        wait_for(&mut session, name, first).await;
        let error =
            stream.set_flushed(Lsn(second.0 + 0x100_0000)).expect_err("the position was not received");
        assert!(error.received >= second);

        // `finish` reports the position set by `set_flushed`, which no status update has reported.
        stream.set_flushed(second).expect("the position was received");
        let mut conn = stream.finish().await.expect("a clean end").connection;
        assert_eq!(confirmed(&mut session, name).await, second);
        assert!(run(&mut conn, &IdentifySystem).await.is_ok(), "the connection takes commands again");

        // A server process can stream changes only one time. So the server ends a second stream on the same connection immediately.
        let mut again = start_on(conn, name, Lsn::INVALID).await;
        let error = again.next().await.expect_err("ended");
        assert!(matches!(error.kind, StreamErrorKind::EndedByServer), "{error}");
        let mut conn = again.finish().await.expect("a clean end").connection;
        assert!(run(&mut conn, &IdentifySystem).await.is_ok());

        // `Lsn::INVALID` starts the stream at the confirmed position of the slot. The client did not confirm the third transaction, so the
        // server sends this transaction again.
        let mut stream = start(server, name, Lsn::INVALID).await;
        assert_eq!(transaction(&mut stream).await.0, [6]);
        stream.finish().await.expect("a clean end");

        // A start position before the confirmed position of the slot has no effect. A start position after the confirmed position skips
        // transactions.
        insert(&mut session, name, "7, 7").await;
        let mut stream = start(server, name, first).await;
        let (ids, third) = transaction(&mut stream).await;
        assert_eq!(ids, [6]);
        stream.finish().await.expect("a clean end");
        let mut stream = start(server, name, third).await;
        assert_eq!(transaction(&mut stream).await.0, [7]);
        stream.finish().await.expect("a clean end");
        assert_eq!(confirmed(&mut session, name).await, second, "a start is no declaration");
        tear_down(&mut session, name).await;
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_error_of_the_server_is_returned_with_all_its_fields_and_the_connection_can_be_used_again() {
    alone_on_both(async |server| {
        let slot = Slot { name: own_name("errors"), server };
        let name = slot.name.as_str();
        let mut session = session(server).await;
        set_up(server, &mut session, name).await;

        let conn = walsender(server, Replication::Logical).await;
        let command = StartLogical::new("no_such_slot", Lsn(7)).pgoutput(&PgOutput::new(1, &[name]));
        let failed = ReplicationStream::start(conn, &command).await.expect_err("there is no such slot");
        let StreamErrorKind::Server(error) = &failed.error.kind else { panic!("{failed}") };
        assert_eq!((error.sqlstate(), failed.error.at), (Some(SqlState::UNDEFINED_OBJECT), Lsn(7)));

        let command = StartLogical::new(name, Lsn::INVALID).option("no_such_option", "on");
        let failed =
            ReplicationStream::start(*failed.connection, &command).await.expect_err("no such option");
        assert!(failed.to_string().contains("no_such_option"), "{failed}");

        // For the row with `id` 0, the row filter of the publication fails with a division by zero. So the server sends an error in the
        // middle of the stream.
        let filter = format!("{name}_filter");
        query(&mut session, &format!("create publication {filter} for table {name} where (1 / id > -2)"))
            .await
            .expect("created");
        let command = StartLogical::new(name, Lsn::INVALID).pgoutput(&PgOutput::new(1, &[&filter]));
        let stream = ReplicationStream::start(*failed.connection, &command).await.expect("started");
        let mut stream = stream.changes();
        insert(&mut session, name, "1, 0, -1").await;
        let error = loop {
            match stream.next().await {
                Ok(received) => assert!(received.is_some()),
                Err(error) => break error,
            }
        };
        assert!(error.at.is_valid(), "a row was received before");
        let StreamErrorKind::Server(error) = error.kind else { panic!("{error}") };
        assert_eq!(error.sqlstate(), Some(SqlState::DIVISION_BY_ZERO));
        let again = stream.next().await.expect_err("the stream is over");
        assert!(matches!(again.kind, StreamErrorKind::Over), "{again}");
        let conn = stream.finish().await.expect("the error was not fatal").connection;
        query(&mut session, &format!("drop publication {filter}")).await.expect("dropped");
        let mut stream = start_on(conn, name, Lsn::INVALID).await;
        assert_eq!(transaction(&mut stream).await.0, [1, 0]);

        let sql = format!(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '{name}'"
        );
        query(&mut session, &sql).await.expect("terminated");
        let error = loop {
            match stream.next().await {
                Ok(received) => assert!(received.is_some()),
                Err(error) => break error,
            }
        };
        let StreamErrorKind::Server(fatal) = &error.kind else { panic!("{error}") };
        assert_eq!(fatal.sqlstate(), Some(SqlState::ADMIN_SHUTDOWN));
        assert!(stream.finish().await.is_err(), "the connection has ended");
        tear_down(&mut session, name).await;
    });
}

/// Connects to a server that disconnects a client which has sent nothing for a second.
async fn impatient_walsender(server: &Server) -> Conn {
    get_in(&superuser(server).replication(Replication::Logical).options("-c wal_sender_timeout=1s")).await.0
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_busy_consumer_is_not_disconnected_although_the_sockets_are_full() {
    alone_on_both(async |server| {
        let slot = Slot { name: own_name("busy"), server };
        let name = slot.name.as_str();
        let mut session = session(server).await;
        set_up(server, &mut session, name).await;
        let conn = impatient_walsender(server).await;
        let mut stream = start_on(conn, name, Lsn::INVALID).await.interval(Duration::from_millis(200));

        // The rows have far more bytes than the buffers of both sockets can hold.
        let sql = format!("insert into {name} select g, repeat('x', 1000) from generate_series(1, 40000) g");
        stream.keep_alive_while(query(&mut session, &sql)).await.expect("inserted");
        let first = stream.next().await.expect("received").expect("the stream goes on");
        assert!(matches!(first.change, Change::Begin(_)));
        stream.keep_alive_while(tokio::time::sleep(Duration::from_secs(4))).await;
        let waits = format!(
            "select count(*) from pg_stat_activity a, pg_replication_slots s where slot_name = '{name}' \
             and a.pid = s.active_pid and wait_event = 'WalSenderWriteData'"
        );
        assert_eq!(
            query(&mut session, &waits).await.expect("a row"),
            ["1"],
            "the server waits for the client"
        );
        // This work sleeps on a separate thread, so the stream can send status updates.
        let work = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(6)));
        stream.keep_alive_while(work).await.expect("the work ends");

        let (ids, end) = transaction(&mut stream).await;
        assert_eq!(ids.len(), 40_000);
        stream.set_flushed(end).expect("the position was received");
        stream.finish().await.expect("a clean end");
        assert_eq!(confirmed(&mut session, name).await, end);
        tear_down(&mut session, name).await;
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_keepalive_is_replied_to_at_once_and_confirms_its_position_only_if_that_is_enabled() {
    alone_on_both(async |server| {
        let slot = Slot { name: own_name("idle"), server };
        let name = slot.name.as_str();
        let mut session = session(server).await;
        set_up(server, &mut session, name).await;
        let created = confirmed(&mut session, name).await;
        for confirm in [false, true] {
            query(&mut session, "select pg_logical_emit_message(false, 'not', 'published')")
                .await
                .expect("WAL");
            query(&mut session, "select pg_switch_wal()").await.expect("WAL");
            let conn = impatient_walsender(server).await;
            // With interval zero, status updates are sent only in reply to keepalives.
            let stream = start_on(conn, name, Lsn::INVALID).await.interval(Duration::ZERO);
            let mut stream = stream.confirm_keepalives(confirm);
            let quiet = tokio::time::timeout(Duration::from_secs(3), stream.next()).await;
            assert!(quiet.is_err(), "no change, and no disconnection: {quiet:?}");
            let server_end = stream.status().server_end();
            assert!(server_end > created);
            if confirm {
                assert!(stream.status().flushed() > created);
                assert!(confirmed(&mut session, name).await > created);
            } else {
                assert_eq!(stream.status().flushed(), Lsn::INVALID);
                assert_eq!(confirmed(&mut session, name).await, created);
            }
            stream.finish().await.expect("a clean end");
        }
        tear_down(&mut session, name).await;
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_wal_is_streamed_without_a_gap() {
    alone_on_both(async |server| {
        let slot = Slot { name: own_name("physical_stream"), server };
        let mut conn = walsender(server, Replication::Physical).await;
        run(&mut conn, &CreateReplicationSlot::physical(&slot.name).reserve_wal()).await.expect("created");
        let reply = run(&mut conn, &ReadReplicationSlot(&slot.name)).await.expect("a reply");
        let start = reply.row::<reply::SlotState<'_>>(0).restart.expect("reserved");

        let command = StartPhysical::new(start).slot(&slot.name);
        let stream: ReplicationStream = ReplicationStream::start(conn, &command).await.expect("started");
        let mut stream = stream.interval(Duration::from_millis(100));
        let mut session = session(server).await;
        query(&mut session, "select pg_switch_wal()").await.expect("WAL");
        let mut bytes = 0;
        // `pg_switch_wal` has ended the current segment of the WAL. Receive the WAL up to the end of this segment.
        while stream.status().received() == start || stream.status().received().0 % 0x100_0000 != 0 {
            let wal = stream.next().await.expect("received").expect("the stream goes on");
            bytes += wal.data.0.len();
        }
        let received = stream.status().received();
        assert_eq!(received.bytes_since(start), Some(bytes as u64));
        stream.set_flushed(received).expect("the position was received");
        let finished = stream.finish().await.expect("a clean end");
        assert_eq!(finished.next_timeline, None, "the timeline goes on");
        let mut conn = finished.connection;
        let reply = run(&mut conn, &ReadReplicationSlot(&slot.name)).await.expect("a reply");
        assert_eq!(reply.row::<reply::SlotState<'_>>(0).restart, Some(received));
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_reader_that_blocks_its_thread_is_not_disconnected_while_the_sender_runs() {
    alone_on_both(async |server| {
        let slot = Slot { name: own_name("split"), server };
        let name = slot.name.as_str();
        let mut session = session(server).await;
        set_up(server, &mut session, name).await;
        let conn = impatient_walsender(server).await;
        let stream = start_on(conn, name, Lsn::INVALID).await.interval(Duration::from_millis(200));
        let (mut reader, sender) = stream.split();
        let sender = tokio::spawn(sender.run());
        let sql = format!("insert into {name} select g, repeat('x', 1000) from generate_series(1, 40000) g");
        query(&mut session, &sql).await.expect("inserted");

        let mut rows = 0;
        let end = loop {
            let received = reader.next().await.expect("received").expect("the stream goes on");
            match received.change {
                // The change borrows the stream, so the stream cannot be used while the thread sleeps.
                Change::Begin(_) => {
                    tokio::task::block_in_place(|| std::thread::sleep(Duration::from_secs(5)))
                }
                Change::Insert(_) => rows += 1,
                Change::Commit(commit) => break commit.end,
                _ => {}
            }
        };
        assert_eq!(rows, 40_000);
        let status = reader.status();
        let declare = tokio::task::spawn_blocking(move || {
            status.set_flushed(end).expect("the position was received");
            status.report();
            status.get()
        });
        assert_eq!(declare.await.expect("the task ends").flushed(), end);
        wait_for(&mut session, name, end).await;

        // Checks that the sending half replies to keepalives: otherwise the server would end the connection.
        let quiet = tokio::time::timeout(Duration::from_secs(3), reader.next()).await;
        assert!(quiet.is_err(), "no change, and no disconnection: {quiet:?}");
        let finished = reader.finish().await.expect("a clean end");
        assert_eq!(finished.next_timeline, None);
        let mut write_half = sender.await.expect("the task ends").expect("the connection is good");
        write_half.terminate().close().await.expect("closed");
        tear_down(&mut session, name).await;
    });
}
