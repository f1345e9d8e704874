//! Tests in which the program ends and starts again, for different reasons: a signal, a given end position, a lost connection, or files
//! that do not match the server.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_getpipe_size;
use serde_json::Value;

use crate::cluster::{Cluster, Programs};
use crate::database::{Database, Server, on_both};
use crate::process::{Cdc, parse};
use crate::support::{Ended, finish, until};

fn followed(server: Server, name: &str, with_state: bool) -> Cdc {
    let cdc = Cdc::new(Database::create(server, name), with_state);
    let mut session = cdc.database.session();
    session.run("CREATE TABLE t (id int PRIMARY KEY, x text)");
    session.run(&format!("CREATE PUBLICATION {} FOR ALL TABLES", cdc.database.name));
    cdc
}

/// Returns the ids of the inserted rows, in the order of the lines.
pub(crate) fn ids(lines: &[Value]) -> Vec<i64> {
    let inserts = lines.iter().filter(|line| line["kind"] == "insert");
    inserts.map(|line| line["key"]["id"].as_i64().expect("a number")).collect()
}

/// Terminates the server process (walsender) that uses the slot, if any.
fn terminate(cdc: &Cdc) {
    cdc.database.session().run(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
         WHERE database = current_database() AND active_pid IS NOT NULL",
    );
}

/// Whether a server process uses the slot.
pub(crate) fn is_active(cdc: &Cdc) -> bool {
    let sql = "SELECT FROM pg_replication_slots WHERE active AND database = current_database()";
    !cdc.database.session().run(sql).is_empty()
}

fn confirmed(cdc: &Cdc) -> String {
    let sql = "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()";
    cdc.database.session().value(sql)
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn sigterm_and_ctrl_c_end_the_program_after_all_changes_are_confirmed() {
    on_both(|server| {
        let cdc = followed(server, "signals", true);
        let mut session = cdc.database.session();
        for (id, signal) in [(1, "-TERM"), (2, "-INT")] {
            let running = cdc.start(&["--create-slot"]);
            until("the slot", || is_active(&cdc));
            session.run(&format!("INSERT INTO t VALUES ({id})"));
            cdc.wait_for(&format!("\"id\":{id}"));
            cdc.wait_for("\"commit\"");
            running.signal(signal);
            assert_eq!(running.wait(), (Some(0), String::new()));
            let lines = cdc.lines();
            assert_eq!(ids(&lines), (1..=id).collect::<Vec<_>>());
            let end = lines[lines.len() - 1]["end"].as_str().expect("a position");
            let sql = format!("SELECT '{}' >= '{end}'::pg_lsn", confirmed(&cdc));
            assert_eq!(session.value(&sql), "t");
            let state: Value =
                serde_json::from_str(&fs::read_to_string(cdc.state()).expect("a state")).expect("JSON");
            assert_eq!(state["lsn"], end);
            assert_eq!(state["length"].as_u64(), Some(fs::metadata(cdc.out()).expect("a file").len()));
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_progress_is_reported_on_standard_error() {
    on_both(|server| {
        let cdc = followed(server, "progress", true);
        let mut session = cdc.database.session();
        let mut running = cdc.start_loudly(&["--create-slot"]);
        until("the slot", || is_active(&cdc));
        session.run("INSERT INTO t SELECT generate_series(1, 12)");
        let line = running.line();
        running.signal("-TERM");
        assert_eq!(running.wait().0, Some(0));
        assert!(line.starts_with("pg-cdc: ") && line.contains("/"), "{line}");
        for part in [" bytes behind, ", " changes/s, 12 changes, "] {
            assert!(line.contains(part), "{line}");
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn after_a_signal_the_program_writes_the_rest_of_the_transaction() {
    on_both(|server| {
        let cdc = followed(server, "middle", true);
        let mut session = cdc.database.session();
        cdc.until_now(&["--create-slot"]);
        session.run("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 30000) g; INSERT INTO t VALUES (0)");
        let running = cdc.start(&[]);
        cdc.wait_for("\"insert\"");
        running.signal("-TERM");
        assert_eq!(running.wait(), (Some(0), String::new()));
        let inserted = ids(&cdc.lines()).len();
        assert!(matches!(inserted, 30_000 | 30_001), "{inserted} rows");
        assert_eq!(ids(&cdc.until_now(&[])).len(), 30_001);
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_program_stops_and_starts_at_the_given_positions() {
    on_both(|server| {
        let cdc = followed(server, "positions", true);
        let mut session = cdc.database.session();
        cdc.until_now(&["--create-slot"]);
        let lsn = "SELECT pg_current_wal_insert_lsn()";
        let mut ends = Vec::new();
        for id in 1..=4 {
            session.run(&format!("INSERT INTO t VALUES ({id})"));
            ends.push(session.value(lsn));
        }
        let until = |lsn: &str, more: &[&str]| {
            let ended = finish(cdc.command(&["--until", lsn, "--quiet"]).args(more));
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
            ids(&cdc.lines())
        };
        assert_eq!(until(&ends[1], &[]), [1, 2]);
        assert_eq!(until(&ends[0], &[]), [1, 2], "an earlier position has been reached");
        // The program continues at the position that it has recorded, or at `--start` if this position is later. With a later `--start`,
        // the program skips the transactions before `--start`.
        assert_eq!(until(&ends[2], &["--start", &ends[0]]), [1, 2, 3]);
        session.run("INSERT INTO t VALUES (5)");
        assert_eq!(ids(&cdc.until_now(&["--start", &ends[3]])), [1, 2, 3, 5]);
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn changes_are_not_repeated_when_the_confirmation_was_lost() {
    on_both(|server| {
        for with_state in [true, false] {
            let cdc = followed(server, "lost", with_state);
            let mut session = cdc.database.session();
            cdc.until_now(&["--create-slot"]);
            // Copies the slot now, before the changes. After the first run, the test replaces the slot by this copy. The server is then in
            // the same state as if the program's confirmation had been lost.
            let copy = format!("{}_copy", cdc.slot());
            session.run(&format!("SELECT pg_copy_logical_replication_slot('{}', '{copy}')", cdc.slot()));
            session.run("INSERT INTO t VALUES (1); SELECT pg_logical_emit_message(false, 'p', 'outside')");
            let before = cdc.until_now(&[]);
            session.run(&format!(
                "SELECT pg_drop_replication_slot('{0}'); SELECT pg_copy_logical_replication_slot('{copy}', '{0}'); \
                 SELECT pg_drop_replication_slot('{copy}')",
                cdc.slot()
            ));
            assert_eq!(cdc.until_now(&[]), before);
            session.run("INSERT INTO t VALUES (2)");
            assert_eq!(ids(&cdc.until_now(&[])), [1, 2]);
        }
    });
}

/// In this test, a transaction begins, then a logical message is written, and then the transaction is committed. The WAL record of the
/// commit must directly follow the WAL record of the message.
#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_transaction_that_is_committed_directly_after_a_message_is_written() {
    for programs in Programs::both() {
        let cluster = Cluster::with(&programs, 16, &["wal_level=logical"]);
        let server = Server { major: programs.major, address: ([127, 0, 0, 1], cluster.port).into() };
        for with_state in [true, false] {
            let cdc = followed(server, "message", with_state);
            let (mut session, mut other) = (cdc.database.session(), cdc.database.session());
            cdc.until_now(&["--create-slot"]);
            // Returns whether the commit directly follows the message. A background process may write WAL between them, so the test tries
            // several times.
            let is_adjacent = |id: i64| {
                session.run(&format!("BEGIN; INSERT INTO t VALUES ({id})"));
                let end = other.value(&format!("SELECT pg_logical_emit_message(false, 'p', '{id}')"));
                let lines = cdc.until_now(&[]);
                assert_eq!(lines[lines.len() - 1]["content"], id.to_string());
                let next = other.value("SELECT pg_current_wal_insert_lsn()");
                session.run("COMMIT");
                assert_eq!(ids(&cdc.until_now(&[])), (1..=id).collect::<Vec<_>>());
                next == end
            };
            assert!((1..=20).any(is_adjacent), "PostgreSQL {}: no commit follows a message", server.major);
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_program_connects_again_and_leaves_no_part_of_a_transaction() {
    on_both(|server| {
        for mode in [&[][..], &["--streaming"]] {
            let cdc = followed(server, "again", true);
            let mut session = cdc.database.session();
            let running = cdc.start(&[&["--create-slot"], mode].concat());
            until("the slot", || is_active(&cdc));
            // Each round runs a transaction, and then ends the program's connection to the server. Round 0 ends the connection at once. The
            // later rounds first wait until the output file has grown by 500 kB, 1 MB and 1.5 MB.
            for round in 0..4 {
                let before = cdc.length();
                session.run(&format!(
                    "INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series({0}, {0} + 9999) g",
                    round * 10_000
                ));
                until("a part of the output", || cdc.length() >= before + round * 500_000);
                terminate(&cdc);
            }
            session.run("INSERT INTO t VALUES (-1)");
            cdc.wait_for("\"id\":-1}");
            running.signal("-TERM");
            let (code, stderr) = running.wait();
            assert_eq!(code, Some(0), "{stderr}");
            assert!(stderr.contains("57P01") && stderr.contains("trying again in"), "{stderr}");
            let inserted = ids(&cdc.lines());
            assert!(inserted == (0..40_000).chain([-1]).collect::<Vec<_>>(), "{} rows", inserted.len());
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_program_waits_for_a_slot_that_is_in_use() {
    on_both(|server| {
        let cdc = followed(server, "in_use", true);
        cdc.until_now(&["--create-slot"]);
        let other = Cdc::new(Database { server, name: cdc.database.name.clone() }, true);
        let first = cdc.start(&[]);
        until("the slot", || is_active(&cdc));
        let mut second = other.start(&[]);
        let line = second.line();
        assert!(line.contains("55006") && second.is_alive(), "{line}");
        first.signal("-TERM");
        assert_eq!(first.wait().0, Some(0));
        cdc.database.session().run("INSERT INTO t VALUES (1)");
        other.wait_for("\"commit\"");
        second.signal("-TERM");
        let (code, stderr) = second.wait();
        assert_eq!(code, Some(0), "{stderr}");
        // `cdc` and `other` use the same database. `cdc` drops the database, so `other` must not drop it again.
        std::mem::forget(other.database);
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn standard_output_has_whole_transactions_only() {
    on_both(|server| {
        let cdc = followed(server, "stdout", true);
        let mut session = cdc.database.session();
        let run = |more: &[&str]| {
            let ended = finish(cdc.without_out(&["--until", "now", "--quiet"]).args(more));
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
            parse(&ended.stdout)
        };
        assert_eq!(run(&["--create-slot"]), Vec::<Value>::new());
        session.run("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g; INSERT INTO t VALUES (0)");
        // The test reads only the first bytes of the program's standard output. So the pipe fills up, and the program waits in the middle
        // of the transaction. The test then kills the program. The program must not have confirmed the transaction to the server.
        let mut command = cdc.without_out(&["--quiet"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let pipe = child.stdout.as_mut().expect("a pipe");
        let mut first = [0; 100];
        pipe.read_exact(&mut first).expect("lines");
        let capacity = fcntl_getpipe_size(&*pipe).expect("a pipe");
        until("a full pipe", || {
            let waiting = usize::try_from(ioctl_fionread(&*pipe).expect("a pipe")).expect("a short length");
            waiting + first.len() == capacity
        });
        child.kill().expect("it runs");
        child.wait().expect("a child");
        let lines = run(&[]);
        assert_eq!(ids(&lines), (1..=20_000).chain([0]).collect::<Vec<_>>());
        assert_eq!(lines[lines.len() - 1]["kind"], "commit");
        assert_eq!(run(&[]), Vec::<Value>::new());
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_reader_that_stalls_longer_than_wal_sender_timeout_loses_nothing() {
    on_both(|server| {
        let cdc = followed(server, "stalls", true);
        let mut session = cdc.database.session();
        let name = cdc.database.name.clone();
        session.run(&format!("ALTER DATABASE {name} SET wal_sender_timeout = '1s'"));
        assert_eq!(
            finish(&mut cdc.without_out(&["--create-slot", "--until", "now", "--quiet"])).code,
            Some(0)
        );
        session.run("INSERT INTO t SELECT g, repeat('x', 1000) FROM generate_series(1, 20000) g");
        let mut command = cdc.without_out(&["--until", "now"]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut pid = String::new();
        until("the walsender", || is_active(&cdc));
        let sql = "SELECT active_pid FROM pg_replication_slots WHERE database = current_database()";
        for _ in 0..8 {
            thread::sleep(Duration::from_millis(500));
            let now = session.value(sql);
            assert!(pid.is_empty() || pid == now, "the server has not disconnected");
            pid = now;
        }
        let mut text = String::new();
        child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("UTF-8");
        let ended = child.wait_with_output().expect("a child");
        assert_eq!(
            (ended.status.code(), String::from_utf8_lossy(&ended.stderr).contains("again")),
            (Some(0), false)
        );
        assert_eq!(ids(&parse(&text)).len(), 20_000);
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn files_that_do_not_match_the_slot_are_rejected() {
    on_both(|server| {
        let cdc = followed(server, "refused", true);
        let mut session = cdc.database.session();
        let fails = |more: &[&str], reason: &str| {
            let Ended { code, stderr, .. } = finish(&mut cdc.command(more));
            assert_eq!(code, Some(1), "{stderr}");
            assert!(stderr.starts_with("pg-cdc: ") && stderr.contains(reason), "{reason} is not in {stderr}");
        };
        fails(&[], "does not exist: give --create-slot");
        cdc.until_now(&["--create-slot"]);
        session.run("INSERT INTO t VALUES (1)");
        let complete = cdc.until_now(&[]);
        // Checks that the program ends with an error if the output file is shorter than the length in the state file.
        let (out, state) =
            (fs::read(cdc.out()).expect("read"), fs::read_to_string(cdc.state()).expect("read"));
        fs::write(cdc.out(), &out[1..]).expect("written");
        fails(&[], "something else has cut or replaced the file");
        fs::write(cdc.out(), &out).expect("written");
        // Checks that the program rejects three state files: one of another server, one with a position that this server has not reached,
        // and one of another slot.
        for (field, value, reason) in [
            ("system", "7", "system identifier"),
            ("lsn", "FFFFFFFF/0", "but the recorded position is FFFFFFFF/0"),
            ("slot", "other", "is the state of slot other"),
        ] {
            let mut changed: Value = serde_json::from_str(&state).expect("JSON");
            changed[field] = value.into();
            fs::write(cdc.state(), changed.to_string()).expect("written");
            fails(&[], reason);
        }
        fs::write(cdc.state(), &state).expect("written");
        assert_eq!(cdc.until_now(&[]), complete);
        // Checks that, without a state file, the program rejects an output file that another program has written.
        fs::remove_file(cdc.state()).expect("removed");
        fs::write(cdc.out(), "id,x\n1,a\n").expect("written");
        fails(&[], "is not a line of pg-cdc");
        fs::write(cdc.out(), &out).expect("written");
        fs::write(cdc.state(), &state).expect("written");
        // Checks that the program does not create the slot again if the slot was dropped after an earlier run.
        session.run(&format!("SELECT pg_drop_replication_slot('{}')", cdc.slot()));
        fails(&["--create-slot"], "changes after this position may be lost");
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_temporary_slot_ends_with_the_program() {
    on_both(|server| {
        let cdc = followed(server, "temporary", false);
        let mut session = cdc.database.session();
        let running = cdc.start(&["--temporary"]);
        until("the slot", || is_active(&cdc));
        session.run("INSERT INTO t VALUES (1)");
        cdc.wait_for("\"commit\"");
        terminate(&cdc);
        let (code, stderr) = running.wait();
        assert_eq!(code, Some(1), "{stderr}");
        let slots = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()";
        assert!(session.run(slots).is_empty());
        assert_eq!(ids(&cdc.lines()), [1]);
    });
}
