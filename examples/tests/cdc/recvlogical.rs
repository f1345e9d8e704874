//! Compares the messages that a `ReplicationStream` receives with the file that `pg_recvlogical` writes.

use std::fs;

use pg_stream_tokio::pg_auth::config::Replication;
use pg_stream_tokio::pg_wire::replication::Lsn;
use pg_stream_tokio::pg_wire::replication::command::StartLogical;
use pg_stream_tokio::{Config, ReplicationStream, connect};
use tokio::runtime::Builder;

use crate::cluster::{Programs, done};
use crate::database::{Database, on_both};
use crate::support::PATIENCE;

/// SQL statements that cause each kind of change, logical messages, and values that are NULL, empty or unchanged. One of the transactions
/// is larger than `logical_decoding_work_mem`, and rolls back a subtransaction.
const TRAFFIC: [&str; 7] = [
    "INSERT INTO t SELECT g, nullif(g % 3, 0), repeat(E'line\\n', g % 4) FROM generate_series(1, 300) g",
    "UPDATE t SET n = n + 1 WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0",
    "UPDATE t SET id = -id WHERE id % 13 = 0",
    "SELECT pg_logical_emit_message(true, 'prefix', E'with\\nlines'), pg_logical_emit_message(false, 'p', '')",
    "BEGIN; INSERT INTO t SELECT g, g, repeat('x', 100) FROM generate_series(1000, 4000) g; SAVEPOINT s; \
     INSERT INTO t SELECT g, g, repeat('y', 100) FROM generate_series(5000, 8000) g; ROLLBACK TO s; \
     INSERT INTO t VALUES (9000, NULL, ''); COMMIT",
    "ALTER TABLE t ADD COLUMN d date DEFAULT '2026-11-27'; INSERT INTO t VALUES (9001, 1, 'x', NULL)",
    "TRUNCATE t; INSERT INTO t VALUES (1, 1, 'last')",
];

/// Receives all messages up to the position `end`. Returns their bytes, each message followed by a newline, and the number of messages.
async fn receive(database: &Database, command: &StartLogical<'_>, end: Lsn) -> (Vec<u8>, usize) {
    let config: Config = database.url().parse().expect("a connection string");
    let (conn, _) = connect(&config.replication(Replication::Logical)).await.expect("the superuser gets in");
    let stream: ReplicationStream = ReplicationStream::start(conn, command).await.expect("started");
    let (mut stream, mut received, mut count) = (stream, Vec::new(), 0);
    loop {
        let wal = stream.next().await.expect("received").expect("the stream goes on");
        if wal.start >= end {
            return (received, count);
        }
        received.extend_from_slice(wal.data.0);
        received.push(b'\n');
        count += 1;
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_stream_receives_the_bytes_that_pg_recvlogical_writes() {
    let both = Programs::both();
    on_both(|server| {
        let programs = both.iter().find(|programs| programs.major == server.major).expect("both");
        let database = Database::create(server, "recvlogical");
        let name = &database.name;
        let mut session = database.session();
        session.run("CREATE TABLE t (id int PRIMARY KEY, n int, x text)");
        session.run(&format!("CREATE PUBLICATION {name} FOR ALL TABLES"));
        session.run(&format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"));
        let modes =
            [("1", &[][..]), ("1", &["binary"]), ("2", &["streaming"]), ("2", &["streaming", "binary"])];
        // Each run of a client gets its own copy of the slot, because a client advances the slot that it uses.
        for slot in 0..2 * modes.len() {
            session.run(&format!("SELECT pg_copy_logical_replication_slot('{name}', '{name}_{slot}')"));
        }
        for sql in TRAFFIC {
            session.run(sql);
        }
        // No message may have the position `end`: pg_recvlogical would write this message, but `receive` would not. So `txid_current` is
        // called before `end` and after `end`. Each call writes a WAL record that causes no message. Without the first call, the last
        // Commit would have the position `end`, because a Commit has the position after its WAL record.
        session.run("SELECT txid_current()");
        let end = session.value("SELECT pg_current_wal_insert_lsn()");
        session.run("SELECT txid_current()");
        session.run("SELECT pg_logical_emit_message(true, 'after', 'the end')");
        let mut sizes = Vec::new();
        for (number, (version, more)) in modes.into_iter().enumerate() {
            let publications = format!("\"{name}\"");
            let mut options =
                vec![("proto_version", version), ("publication_names", &publications), ("messages", "true")];
            options.extend(more.iter().map(|option| (*option, "true")));

            let (our_slot, their_slot) =
                (format!("{name}_{}", 2 * number), format!("{name}_{}", 2 * number + 1));
            let mut command = StartLogical::new(&our_slot, Lsn::INVALID);
            for (option, value) in &options {
                command = command.option(option, value);
            }
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let ours = receive(&database, &command, end.parse().expect("a position"));
            let ours = runtime.block_on(async { tokio::time::timeout(PATIENCE, ours).await });
            let (ours, count) = ours.expect("the stream reaches the end in time");

            let file = tempfile::NamedTempFile::new().expect("a file");
            let mut program = programs.client("pg_recvlogical");
            program
                .args(["--start", "--no-loop", "--slot", &their_slot, "--endpos", &end, "--file"])
                .arg(file.path());
            program.arg("--dbname").arg(format!(
                "host={} port={} user=admin dbname={name} sslmode=disable options='-c logical_decoding_work_mem=64kB'",
                server.address.ip(),
                server.address.port()
            ));
            for (option, value) in &options {
                program.args(["--option", &format!("{option}={value}")]);
            }
            done(&mut program);
            let theirs = fs::read(file.path()).expect("the file");
            let differs = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs);
            assert_eq!(differs, None, "{options:?}");
            assert_eq!(ours.len(), theirs.len(), "{options:?}");
            sizes.push((count, ours.len()));
        }
        eprintln!("PostgreSQL {}: messages and bytes {sizes:?}", server.major);
        // One subtransaction was rolled back. With `streaming` (`sizes[2]`), the server sends the rows of this subtransaction. Without
        // `streaming` (`sizes[0]`), the server does not send them.
        assert!(sizes[2].0 > sizes[0].0 + 1000, "{sizes:?}");
    });
}
