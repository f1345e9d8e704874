//! Tests that run random transactions while `pg-cdc` is killed and the server crashes. At the end, the lines that `pg-cdc` has written are
//! replayed in a second database. The tables there must be equal to the original tables.
//!
//! The environment variable `CDC_TRANSACTIONS` sets the number of transactions per server. `CDC_SEED` sets the seed of the random numbers.

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::database::{Database, Server, Session, on_both};
use crate::process::Cdc;
use crate::progress::Progress;
use crate::replay::Replay;
use crate::resuming::is_active;
use crate::support::until;
use crate::workload::{NAMES, Random, TABLES, Writer};

/// Default number of transactions per server.
const TRANSACTIONS: u64 = 1500;

const WRITERS: u64 = 3;

/// Limit of unconfirmed WAL, in bytes. At this limit, the writers wait until the program has confirmed more WAL. Without the limit, a
/// program that is killed again and again would fall far behind the writers. Most transactions would then be decoded only by the last run,
/// which is not killed.
const MOST_UNCONFIRMED: u64 = 16 << 20;

fn transactions() -> u64 {
    std::env::var("CDC_TRANSACTIONS")
        .map_or(TRANSACTIONS, |count| count.parse().expect("CDC_TRANSACTIONS is a number"))
}

/// Kills one process of the server with SIGKILL. PostgreSQL then ends all sessions and performs crash recovery.
fn crash(server: Server) {
    let Some(mut session) = Session::try_open(server, "postgres") else { return };
    if let Some(Ok(rows)) = session.try_query("SELECT pg_backend_pid()") {
        let pid = rows[0][0].clone().expect("a number");
        let killed = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(killed.is_ok_and(|status| status.success()), "the session's process can be killed");
    }
}

/// Makes a checkpoint, so that the next run of the program has less WAL to decode. A run decodes from the slot's `restart_lsn` on. This
/// position can only advance to a WAL record that lists the running transactions. A checkpoint writes such a record; without a checkpoint,
/// the server writes one every 15 seconds.
fn checkpoint(server: Server) {
    // After a crash the server may not accept the session yet.
    if let Some(mut session) = Session::try_open(server, "postgres") {
        let _ = session.try_query("CHECKPOINT");
    }
}

/// Content of a table.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    columns: String,
    rows: u64,
    /// The sum of the hashes of all rows. The sum does not depend on the order of the rows.
    sum: String,
}

/// Reads the content of a table. JSON numbers do not preserve zeros at the end of a `numeric`, so these zeros do not change the hash of a
/// row.
fn content(session: &mut Session, table: &str) -> Content {
    let columns = session.value(&format!(
        "SELECT string_agg(format(CASE atttypid WHEN 'numeric'::regtype THEN 'trim_scale(%I)' ELSE '%I' END, attname), ', ' \
         ORDER BY attname) FROM pg_attribute \
         WHERE attrelid = '{}'::regclass AND attnum > 0 AND NOT attisdropped",
        table.replace('\'', "''")
    ));
    let rows = session.value(&format!("SELECT count(*) FROM {table}")).parse().expect("a number");
    let sum = session
        .value(&format!("SELECT coalesce(sum(hashtextextended(ROW({columns})::text, 0)), 0) FROM {table}"));
    Content { columns, rows, sum }
}

fn run(source: Server, target: Server, crashes: bool) {
    let two_phase = source.major == 18;
    let total = transactions();
    let cdc = Cdc::new(Database::create(source, "random"), !crashes);
    let second = Database::create(target, "random_copy");
    let (mut session, mut copy) = (cdc.database.session(), second.session());
    session.run(TABLES);
    copy.run(TABLES);
    session.run(&format!("CREATE PUBLICATION {} FOR ALL TABLES", cdc.database.name));
    session
        .run("INSERT INTO keyed SELECT -g, g, 'before', repeat('big', 1000) FROM generate_series(1, 5000) g");
    let mut random = Random::new(source.major.into());
    let always: &[&str] = if two_phase { &["--two-phase"] } else { &[] };

    // Kills the first run at a random time, perhaps during the snapshot.
    let first = cdc.start(&[&["--create-slot", "--snapshot"], always].concat());
    thread::sleep(Duration::from_millis(random.below(400)));
    first.kill();
    cdc.run_until_now(&[&["--create-slot", "--snapshot"], always].concat());
    drop(session);

    let (done, committed) = (AtomicU64::new(0), AtomicU64::new(0));
    let (mut kills, mut crashed) = (0, 0);
    let begun = Instant::now();
    let is_done = |done: &AtomicU64| done.load(Ordering::Relaxed) >= total;
    thread::scope(|scope| {
        for number in 0..WRITERS {
            let (cdc, done, committed) = (&cdc, &done, &committed);
            scope.spawn(move || {
                let mut writer = Writer::new(&cdc.database, number, WRITERS);
                while done.fetch_add(1, Ordering::Relaxed) < total {
                    writer.transaction();
                    while writer.is_ahead(cdc.slot(), MOST_UNCONFIRMED) && !is_done(done) {
                        thread::sleep(Duration::from_millis(20));
                    }
                }
                writer.finish();
                committed.fetch_add(writer.committed, Ordering::Relaxed);
            });
        }
        // On a fast machine, the writers may finish early. The loop still continues until the program was killed twice and, if `crashes` is
        // true, the server has crashed once.
        while !is_done(&done) || kills < 2 || (crashes && crashed == 0) {
            let mut options = Vec::new();
            for (option, chance) in [("--streaming", 2), ("--binary", 2)] {
                if random.one_in(chance) {
                    options.push(option);
                }
            }
            options.extend(always);
            checkpoint(source);
            let before = cdc.length();
            let running = cdc.start(&options);
            if !random.one_in(4) {
                // In three of four rounds, waits until the program has written something. Each run first decodes old WAL again, from the
                // beginning of the oldest open transaction. A run that is killed during this time writes nothing.
                let mut progress = Progress::new(&cdc);
                while cdc.length() <= before && !is_done(&done) {
                    if let Some(reason) = progress.stalled() {
                        // Ends the writers: the panic below is reported only after the writers have ended.
                        done.store(total, Ordering::Relaxed);
                        panic!("PostgreSQL {}: {reason}", source.major);
                    }
                    thread::sleep(Duration::from_millis(10));
                }
            }
            thread::sleep(Duration::from_millis(random.below(1500)));
            if crashes && random.one_in(3) {
                crash(source);
                crashed += 1;
                thread::sleep(Duration::from_millis(300 + random.below(1500)));
            }
            running.kill();
            kills += 1;
        }
    });
    // Changes the table `changing` once more. The program then writes a line of kind `relation` with the table's current columns, which the
    // replay needs.
    let mut session = cdc.database.session();
    session.run("INSERT INTO changing (id) VALUES (-1); UPDATE keyed SET t = 'last' WHERE id = -1");
    cdc.run_until_now(&[&["--streaming"], always].concat());
    let mut replay = Replay::new(&mut copy);
    let lines = replay.file(File::open(cdc.out()).expect("the file"));
    let (transactions, rolled_back) = (replay.transactions, replay.rolled_back);
    let mut rows = 0;
    for table in NAMES {
        let original = content(&mut session, table);
        assert_eq!(original, content(&mut copy, table), "PostgreSQL {}: {table}", source.major);
        rows += original.rows;
    }
    eprintln!(
        "PostgreSQL {}: {} transactions of the writers, {transactions} replayed from {lines} lines ({rolled_back} prepared and rolled \
         back), {kills} kills, {crashed} crashes, {rows} rows compared, {:?}",
        source.major,
        committed.load(Ordering::Relaxed),
        begun.elapsed()
    );
}

/// In this test, a prepared transaction adds a column and is rolled back. The program has written a line of kind `relation` with the new
/// column; the replay must ignore this line after the rollback.
#[test]
#[ignore = "needs servers: cargo xtask test"]
fn columns_that_are_rolled_back_are_not_in_the_replayed_tables() {
    on_both(|server| {
        if server.major < 18 {
            return;
        }
        let cdc = Cdc::new(Database::create(server, "rolled_back"), true);
        let second = Database::create(server, "rolled_back_copy");
        let (mut session, mut copy) = (cdc.database.session(), second.session());
        session.run(TABLES);
        copy.run(TABLES);
        session.run(&format!("CREATE PUBLICATION {} FOR ALL TABLES", cdc.database.name));
        let running = cdc.start(&["--create-slot", "--two-phase"]);
        until("the slot", || is_active(&cdc));
        for (id, end) in [(1, "ROLLBACK"), (2, "COMMIT")] {
            session.run(&format!(
                "BEGIN; ALTER TABLE changing ADD COLUMN x{id} text; INSERT INTO changing VALUES ({id}, 'x'); \
                 PREPARE TRANSACTION 'rolled_back_{id}'"
            ));
            // The server must decode the prepared transaction before ROLLBACK PREPARED: the server does not send the changes of a
            // transaction that is already rolled back. So the test waits for the row `between`, which the server sends after these changes.
            session.run(&format!("INSERT INTO keyed VALUES ({id}, 1, 'between {id}', NULL)"));
            cdc.wait_for(&format!("between {id}"));
            session.run(&format!("{end} PREPARED 'rolled_back_{id}'"));
            session.run(&format!("INSERT INTO changing VALUES (-{id})"));
        }
        cdc.wait_for("\"key\":{\"id\":-2}");
        cdc.wait_for("\"commit\"");
        running.signal("-TERM");
        assert_eq!(running.wait(), (Some(0), String::new()));
        let mut replay = Replay::new(&mut copy);
        replay.file(File::open(cdc.out()).expect("the file"));
        assert_eq!(replay.rolled_back, 1);
        for table in NAMES {
            assert_eq!(content(&mut session, table), content(&mut copy, table), "{table}");
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn random_transactions_are_replayed_exactly_once_from_the_lines_of_a_program_that_is_killed() {
    on_both(|server| run(server, server, false));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn random_transactions_are_replayed_exactly_once_while_the_server_crashes_too() {
    on_both(|server| run(server.spare(), server, true));
}
