//! Test of the peak memory of `pg-cdc` with a small and a large transaction. The peak must not depend on the size of the transaction.
//!
//! The environment variable `CDC_CHANGES` sets the number of changes of the large transaction. The small transaction has a tenth of this
//! number.

use crate::database::{Database, on_both};
use crate::process::Cdc;

/// Returns the peak memory of a process, in kilobytes.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn memory_does_not_grow_with_the_size_of_a_transaction() {
    let changes: u64 =
        std::env::var("CDC_CHANGES").map_or(100_000, |count| count.parse().expect("CDC_CHANGES is a number"));
    on_both(|server| {
        for mode in [&[][..], &["--streaming"]] {
            let peaks = [changes / 10, changes].map(|count| {
                let cdc = Cdc::new(Database::create(server, "memory"), true);
                let mut session = cdc.database.session();
                session.run("CREATE TABLE t (id int, x text)");
                session.run(&format!("CREATE PUBLICATION {} FOR ALL TABLES", cdc.database.name));
                let running = cdc.start(&[&["--create-slot"], mode].concat());
                crate::support::until("the slot", || {
                    let sql =
                        "SELECT FROM pg_replication_slots WHERE active AND database = current_database()";
                    !cdc.database.session().run(sql).is_empty()
                });
                session.run(&format!(
                    "INSERT INTO t SELECT g, repeat('x', 40) FROM generate_series(1, {count}) g"
                ));
                session.run("INSERT INTO t VALUES (-1)");
                cdc.wait_for("\"new\":{\"id\":-1,");
                let peak = peak(running.pid());
                running.signal("-TERM");
                assert_eq!(running.wait(), (Some(0), String::new()));
                peak
            });
            eprintln!("PostgreSQL {}: {mode:?}: at most {peaks:?} kB", server.major);
            // A difference of up to 8 MB is accepted, because the small transaction may not fill every buffer.
            assert!(peaks[1] < peaks[0] + 8 * 1024, "{peaks:?} kB with {mode:?}");
        }
    });
}
