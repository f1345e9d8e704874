//! Tests of the snapshot. The program first writes the rows that the tables already have, and then the changes.

use std::thread;

use serde_json::{Value, json};

use crate::database::{Database, Server, on_both};
use crate::process::Cdc;
use crate::support::{finish, until};

const SNAPSHOT: &[&str] = &["--create-slot", "--snapshot"];

fn followed(server: Server, name: &str, with_state: bool, tables: &str, publication: &str) -> Cdc {
    let cdc = Cdc::new(Database::create(server, name), with_state);
    let mut session = cdc.database.session();
    session.run(tables);
    session.run(&format!("CREATE PUBLICATION {} {publication}", cdc.database.name));
    cdc
}

/// Returns the rows of a table from the lines of the snapshot.
fn rows(lines: &[Value], table: &str) -> Vec<Value> {
    let rows = lines.iter().filter(|line| line["kind"] == "row" && line["table"] == table);
    rows.map(|line| line["new"].clone()).collect()
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_snapshot_has_the_published_rows_and_columns() {
    on_both(|server| {
        let cdc = followed(
            server,
            "snapshot",
            true,
            "CREATE TABLE a (id int PRIMARY KEY, n numeric, t text, hidden text);
             INSERT INTO a VALUES (1, 1.5, E'tab\\t nl\\n \\\\ caf\u{e9}', 'x'), (2, NULL, '\\N', NULL), (3, 'NaN', '', NULL);
             CREATE TABLE parted (id int, x int) PARTITION BY RANGE (id);
             CREATE TABLE part1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
             CREATE TABLE part2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
             INSERT INTO parted VALUES (1, 1), (11, 11);
             CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent);
             INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2);
             CREATE TABLE \"caf\u{e9} \"\"x\"\"\" (\"\u{fc}\" bytea, g int GENERATED ALWAYS AS (7) STORED);
             INSERT INTO \"caf\u{e9} \"\"x\"\"\" VALUES ('\\x00ff');
             CREATE TABLE unpublished (id int); INSERT INTO unpublished VALUES (1); CREATE TABLE empty (id int)",
            "FOR TABLE a (id, n, t) WHERE (id < 3), parted, parent, \"caf\u{e9} \"\"x\"\"\", empty",
        );
        let name = &cdc.database.name;
        let mut session = cdc.database.session();
        session.run(&format!(
            "CREATE PUBLICATION {name}_2 FOR TABLE parted WITH (publish_via_partition_root); \
             CREATE PUBLICATION {name}_3 FOR TABLE a (id, n, t) WHERE (t = '')"
        ));
        let lines = cdc.until_now(&[SNAPSHOT, &["--publication", &format!("{name}_2,{name}_3")]].concat());
        assert_eq!(
            (&lines[0]["kind"], &lines[lines.len() - 1]["kind"]),
            (&json!("snapshot_begin"), &json!("snapshot_end"))
        );
        assert_eq!(
            rows(&lines, "a"),
            [
                json!({"id": 1, "n": 1.5, "t": "tab\t nl\n \\ caf\u{e9}"}),
                json!({"id": 2, "n": null, "t": "\\N"}),
                json!({"id": 3, "n": "NaN", "t": ""}),
            ]
        );
        let keys: Vec<_> =
            lines.iter().filter(|line| line["table"] == "a").map(|line| line["key"].clone()).collect();
        assert_eq!(keys, [json!({"id": 1}), json!({"id": 2}), json!({"id": 3})]);
        assert_eq!(rows(&lines, "parted"), [json!({"id": 1, "x": 1}), json!({"id": 11, "x": 11})]);
        assert_eq!(rows(&lines, "parent"), [json!({"id": 1})]);
        assert_eq!(rows(&lines, "child"), [json!({"id": 2})]);
        assert_eq!(rows(&lines, "caf\u{e9} \"x\""), [json!({"\u{fc}": "\\x00ff"})]);
        assert_eq!(lines.len(), 10);
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn changes_continue_where_the_snapshot_ends() {
    on_both(|server| {
        let cdc = followed(
            server,
            "continues",
            true,
            "CREATE TABLE t (id serial PRIMARY KEY, x text); INSERT INTO t (x) SELECT 'before' FROM generate_series(1, 2000)",
            "FOR ALL TABLES",
        );
        let stop = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut session = cdc.database.session();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    session.run("INSERT INTO t (x) VALUES ('while')");
                }
            });
            until("a row of the writer", || {
                cdc.database.session().value("SELECT count(*) FROM t WHERE x = 'while'") != "0"
            });
            cdc.until_now(SNAPSHOT);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        // Runs the program a second time with the same options. This run must not write the snapshot again, but must write the changes that
        // were made after the snapshot.
        let lines = cdc.until_now(SNAPSHOT);
        let mut ids: Vec<i64> = lines
            .iter()
            .filter(|line| line["kind"] == "row" || line["kind"] == "insert")
            .map(|line| line["key"]["id"].as_i64().expect("a number"))
            .collect();
        ids.sort_unstable();
        let count: i64 = cdc.database.session().value("SELECT count(*) FROM t").parse().expect("a number");
        assert_eq!(ids, (1..=count).collect::<Vec<_>>());
        assert!(lines.iter().any(|line| line["kind"] == "insert"));
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_snapshot_that_was_interrupted_is_taken_again() {
    on_both(|server| {
        for (with_state, signal) in [(true, "-KILL"), (false, "-KILL"), (true, "-TERM")] {
            let cdc = followed(
                server,
                "interrupted",
                with_state,
                "CREATE TABLE t (id int PRIMARY KEY, x text);
                 INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 40000) g",
                "FOR ALL TABLES",
            );
            let mut session = cdc.database.session();
            let running = cdc.start(SNAPSHOT);
            cdc.wait_for("\"row\"");
            running.signal(signal);
            let (code, stderr) = running.wait();
            assert_ne!(code, Some(0), "{stderr}");
            session.run("DELETE FROM t WHERE id > 10; INSERT INTO t VALUES (0)");
            // After an interrupted snapshot, the program must reject a run without --snapshot. Such a run would never write the missing
            // rows of the snapshot.
            let ended = finish(&mut cdc.command(&["--until", "now"]));
            assert_eq!(ended.code, Some(1));
            assert!(ended.stderr.contains("the last snapshot did not end"), "{}", ended.stderr);
            let lines = cdc.until_now(SNAPSHOT);
            assert_eq!(lines.len(), 13);
            assert_eq!(rows(&lines, "t").len(), 11);
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_snapshot_that_fails_leaves_no_slot() {
    on_both(|server| {
        let cdc = followed(
            server,
            "fails",
            true,
            "CREATE TABLE t (id int); INSERT INTO t VALUES (1)",
            "FOR ALL TABLES",
        );
        let mut session = cdc.database.session();
        let ended = finish(&mut cdc.command(&[SNAPSHOT, &["--publication", "nobody"]].concat()));
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("publication nobody does not exist"), "{}", ended.stderr);
        assert!(
            session.run("SELECT FROM pg_replication_slots WHERE database = current_database()").is_empty()
        );
        assert_eq!(cdc.until_now(SNAPSHOT).len(), 3);
        std::fs::remove_file(cdc.out()).expect("the file");
        std::fs::remove_file(cdc.state()).expect("the file");
        let ended = finish(&mut cdc.command(SNAPSHOT));
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("--snapshot needs a new slot"), "{}", ended.stderr);
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_lost_connection_during_a_snapshot_starts_the_snapshot_again() {
    on_both(|server| {
        let cdc = followed(
            server,
            "cut",
            true,
            "CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 40000) g",
            "FOR ALL TABLES",
        );
        let running = cdc.start(SNAPSHOT);
        cdc.wait_for("\"row\"");
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND backend_type = 'walsender'";
        until("the end of the connection", || !cdc.database.session().run(sql).is_empty());
        cdc.wait_for("\"snapshot_end\"");
        running.signal("-TERM");
        let (code, stderr) = running.wait();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("trying again in"), "{stderr}");
        assert_eq!(rows(&cdc.until_now(SNAPSHOT), "t").len(), 40_000);
    });
}
