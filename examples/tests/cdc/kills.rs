//! Tests with random transactions while the program is killed and the server crashes. At the end, the lines are replayed in a second
//! database, whose tables must be equal to the original tables.
//!
//! The environment variable `CDC_TRANSACTIONS` sets the number of transactions per server. `CDC_SEED` sets the seed of the random numbers.

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::database::{Database, Server, Session, on_both};
use crate::process::Cdc;
use crate::replay::Replay;
use crate::workload::{NAMES, Random, TABLES, Writer};

/// Default number of transactions per server.
const TRANSACTIONS: u64 = 1500;

const WRITERS: u64 = 3;

fn transactions() -> u64 {
    std::env::var("CDC_TRANSACTIONS")
        .map_or(TRANSACTIONS, |count| count.parse().expect("CDC_TRANSACTIONS is a number"))
}

/// Kills one process of the server with SIGKILL. The server then ends all sessions and recovers, as after a crash.
fn crash(server: Server) {
    let Some(mut session) = Session::try_open(server, "postgres") else { return };
    if let Some(Ok(rows)) = session.try_query("SELECT pg_backend_pid()") {
        let pid = rows[0][0].clone().expect("a number");
        let killed = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(killed.is_ok_and(|status| status.success()), "the session's process can be killed");
    }
}

/// Returns the columns of a table, and the number and the checksum of its rows. The checksum ignores zeros at the end of a `numeric`,
/// because JSON numbers do not preserve them.
fn content(session: &mut Session, table: &str) -> (String, String) {
    let columns = session.value(&format!(
        "SELECT string_agg(format(CASE atttypid WHEN 'numeric'::regtype THEN 'trim_scale(%I)' ELSE '%I' END, attname), ', ' \
         ORDER BY attname) FROM pg_attribute \
         WHERE attrelid = '{}'::regclass AND attnum > 0 AND NOT attisdropped",
        table.replace('\'', "''")
    ));
    let sum = session.value(&format!(
        "SELECT count(*) || ' rows ' || coalesce(md5(string_agg(r, E'\\n' ORDER BY r)), '') \
         FROM (SELECT ROW({columns})::text AS r FROM {table}) q"
    ));
    (columns, sum)
}

/// Returns the length of the output file in bytes.
fn length(cdc: &Cdc) -> u64 {
    std::fs::metadata(cdc.out()).expect("the file").len()
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

    // The program is killed at a random time, perhaps during the snapshot.
    let first = cdc.start(&[&["--create-slot", "--snapshot"], always].concat());
    thread::sleep(Duration::from_millis(random.below(400)));
    first.kill();
    cdc.run_until_now(&[&["--create-slot", "--snapshot"], always].concat());
    drop(session);

    let (done, committed) = (AtomicU64::new(0), AtomicU64::new(0));
    let (mut kills, mut crashed) = (0, 0);
    let begun = Instant::now();
    thread::scope(|scope| {
        for number in 0..WRITERS {
            let (cdc, done, committed) = (&cdc, &done, &committed);
            scope.spawn(move || {
                let mut writer = Writer::new(&cdc.database, number, WRITERS);
                while done.fetch_add(1, Ordering::Relaxed) < total {
                    writer.transaction();
                }
                writer.finish();
                committed.fetch_add(writer.committed, Ordering::Relaxed);
            });
        }
        let is_done = |done: &AtomicU64| done.load(Ordering::Relaxed) >= total;
        // Continues until at least two kills and, if `crashes` is true, one crash have happened. A fast machine may finish the transactions
        // earlier.
        while !is_done(&done) || kills < 2 || (crashes && crashed == 0) {
            let mut options = Vec::new();
            for (option, chance) in [("--streaming", 2), ("--binary", 2)] {
                if random.one_in(chance) {
                    options.push(option);
                }
            }
            options.extend(always);
            let before = length(&cdc);
            let running = cdc.start(&options);
            if !random.one_in(4) {
                // The server decodes the WAL again from the beginning of the oldest transaction in progress. So a run that is killed too
                // early writes no new lines. Most runs wait here until a new line is written.
                let begun = Instant::now();
                while length(&cdc) <= before && begun.elapsed() < Duration::from_secs(60) && !is_done(&done) {
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
    // Changes the table `changing` once more, so that its last line of kind `relation` contains its current columns.
    let mut session = cdc.database.session();
    session.run("INSERT INTO changing (id) VALUES (-1); UPDATE keyed SET t = 'last' WHERE id = -1");
    cdc.run_until_now(&[&["--streaming"], always].concat());
    let mut replay = Replay::new(&mut copy);
    let lines = replay.file(File::open(cdc.out()).expect("the file"));
    let (transactions, rolled_back) = (replay.transactions, replay.rolled_back);
    for table in NAMES {
        assert_eq!(
            content(&mut session, table),
            content(&mut copy, table),
            "PostgreSQL {}: {table}",
            source.major
        );
    }
    eprintln!(
        "PostgreSQL {}: {} transactions of the writers, {transactions} replayed from {lines} lines ({rolled_back} prepared and rolled \
         back), {kills} kills, {crashed} crashes, {:?}",
        source.major,
        committed.load(Ordering::Relaxed),
        begun.elapsed()
    );
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
