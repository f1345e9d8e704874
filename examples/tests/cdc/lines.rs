//! Tests of the lines that `pg-cdc` writes for every kind of change, with each set of options in `MODES`.

use serde_json::{Value, json};

use crate::database::{Database, Session, on_both};
use crate::process::Cdc;
use crate::support::finish;

/// Sets of options that change the messages of the server. `pg-cdc` must write the same lines with each set.
const MODES: [&[&str]; 4] =
    [&[], &["--binary"], &["--streaming"], &["--streaming", "--two-phase", "--binary"]];

/// Returns the lines that `pg-cdc` writes for the changes that `change` makes. First runs the SQL `set_up` in the database, and creates the
/// publication and the slot.
fn lines_of(cdc: &Cdc, mode: &[&str], set_up: &str, change: impl FnOnce(&mut Session)) -> Vec<Value> {
    let mut session = cdc.database.session();
    session.run(set_up);
    session.run(&format!("CREATE PUBLICATION {} FOR ALL TABLES", cdc.database.name));
    assert_eq!(cdc.until_now(&[&["--create-slot"], mode].concat()), Vec::<Value>::new());
    change(&mut session);
    cdc.until_now(mode)
}

/// Returns the lines of the changes between begin and commit, without the fields that are different in each run of the test.
fn changes(lines: &[Value]) -> Vec<Value> {
    let kinds = ["begin", "relation", "commit", "begin_prepare", "prepare"];
    let shown = lines.iter().filter(|line| !kinds.contains(&line["kind"].as_str().expect("a kind")));
    let stripped = shown.map(|line| {
        let mut line = line.clone();
        let fields = line.as_object_mut().expect("an object");
        fields.retain(|field, _| !["lsn", "end", "xid", "time", "schema"].contains(&field.as_str()));
        line
    });
    stripped.collect()
}

#[track_caller]
fn assert_lines(lines: &[Value], expected: &[Value]) {
    for (at, (line, expected)) in lines.iter().zip(expected).enumerate() {
        assert_eq!(line, expected, "line {at}");
    }
    assert_eq!(lines.len(), expected.len());
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn each_replica_identity_has_its_fields() {
    on_both(|server| {
        for mode in MODES {
            let cdc = Cdc::new(Database::create(server, "identity"), true);
            let lines = lines_of(
                &cdc,
                mode,
                "CREATE TABLE d (id int PRIMARY KEY, n int, t text); ALTER TABLE d ALTER t SET STORAGE EXTERNAL;
                 CREATE TABLE f (a int8, b text); ALTER TABLE f REPLICA IDENTITY FULL;
                 CREATE TABLE i (u int NOT NULL, v int); CREATE UNIQUE INDEX x ON i (u);
                 ALTER TABLE i REPLICA IDENTITY USING INDEX x;
                 CREATE TABLE n (x bool); ALTER TABLE n REPLICA IDENTITY NOTHING;
                 CREATE TABLE \"caf\u{e9} \"\"x\"\"\" (\"\u{fc}\" int PRIMARY KEY)",
                |session| {
                    session.run(
                        "BEGIN; INSERT INTO d VALUES (1, NULL, repeat('x', 5000)), (2, 2, 'short');
                         UPDATE d SET n = 3 WHERE id = 1; UPDATE d SET id = 20 WHERE id = 2; DELETE FROM d WHERE id = 20;
                         INSERT INTO f VALUES (1, 'a'); UPDATE f SET b = NULL; DELETE FROM f;
                         INSERT INTO i VALUES (1, 1); UPDATE i SET v = 2; UPDATE i SET u = 2; DELETE FROM i;
                         INSERT INTO n VALUES (true); INSERT INTO \"caf\u{e9} \"\"x\"\"\" VALUES (7); COMMIT",
                    );
                },
            );
            assert_eq!(
                (&lines[0]["kind"], &lines[lines.len() - 1]["kind"]),
                (&json!("begin"), &json!("commit"))
            );
            assert_eq!(lines[0]["lsn"], lines[lines.len() - 1]["lsn"], "that of the commit");
            assert!(
                lines.iter().all(|line| line["xid"] == lines[0]["xid"] && line["time"] == lines[0]["time"])
            );
            let relation = lines
                .iter()
                .find(|line| line["kind"] == "relation" && line["table"] == "i")
                .expect("a table");
            assert_eq!((&relation["identity"], &relation["schema"]), (&json!("index"), &json!("public")));
            assert_eq!(
                relation["columns"],
                json!([{"name": "u", "type_oid": 23, "type": "int4", "key": true}, {"name": "v", "type_oid": 23, "type": "int4"}])
            );
            let long = "x".repeat(5000);
            assert_lines(
                &changes(&lines),
                &[
                    json!({"kind": "insert", "table": "d", "key": {"id": 1}, "new": {"id": 1, "n": null, "t": long}}),
                    json!({"kind": "insert", "table": "d", "key": {"id": 2}, "new": {"id": 2, "n": 2, "t": "short"}}),
                    json!({"kind": "update", "table": "d", "key": {"id": 1}, "new": {"id": 1, "n": 3}, "unchanged": ["t"]}),
                    json!({"kind": "update", "table": "d", "key": {"id": 2}, "new": {"id": 20, "n": 2, "t": "short"}}),
                    json!({"kind": "delete", "table": "d", "key": {"id": 20}}),
                    json!({"kind": "insert", "table": "f", "new": {"a": 1, "b": "a"}}),
                    json!({"kind": "update", "table": "f", "old": {"a": 1, "b": "a"}, "new": {"a": 1, "b": null}}),
                    json!({"kind": "delete", "table": "f", "old": {"a": 1, "b": null}}),
                    json!({"kind": "insert", "table": "i", "key": {"u": 1}, "new": {"u": 1, "v": 1}}),
                    json!({"kind": "update", "table": "i", "key": {"u": 1}, "new": {"u": 1, "v": 2}}),
                    json!({"kind": "update", "table": "i", "key": {"u": 1}, "new": {"u": 2, "v": 2}}),
                    json!({"kind": "delete", "table": "i", "key": {"u": 2}}),
                    json!({"kind": "insert", "table": "n", "new": {"x": true}}),
                    json!({"kind": "insert", "table": "caf\u{e9} \"x\"", "key": {"\u{fc}": 7}, "new": {"\u{fc}": 7}}),
                ],
            );
        }
    });
}

/// The tested types: the name of each type, a value in SQL, and the value's expected JSON.
const TYPES: [(&str, &str, &str); 52] = [
    ("bool", "true", "true"),
    ("int2", "-32768", "-32768"),
    ("int4", "2147483647", "2147483647"),
    ("int8", "9007199254740992", "9007199254740992"),
    ("int8", "-9007199254740993", "\"-9007199254740993\""),
    ("oid", "4294967295", "4294967295"),
    ("float4", "0.1", "0.1"),
    ("float4", "1e10", "1e10"),
    ("float8", "'-Infinity'", "\"-Infinity\""),
    ("float8", "0.1::float8 + 0.2", "0.30000000000000004"),
    ("float8", "1e300", "1e300"),
    ("numeric", "123456789012345", "123456789012345"),
    ("numeric(20, 3)", "1.5", "1.5"),
    ("numeric", "0.0000000001", "0.0000000001"),
    ("numeric", "12345678901234567890.123", "\"12345678901234567890.123\""),
    ("numeric", "'NaN'", "\"NaN\""),
    ("numeric", "-10000", "-10000"),
    ("text", "E'a\\n\\t\"\\\\ caf\u{e9} \u{1f600}'", "\"a\\n\\t\\\"\\\\ caf\u{e9} \u{1f600}\""),
    ("varchar(5)", "'abc'", "\"abc\""),
    ("char(5)", "'abc'", "\"abc  \""),
    ("name", "'n'", "\"n\""),
    ("\"char\"", "'c'", "\"c\""),
    ("bytea", "'\\x00ff'", "\"\\\\x00ff\""),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\""),
    ("json", "'{\"a\":  1}'", "\"{\\\"a\\\":  1}\""),
    ("jsonb", "'{\"a\":  null}'", "\"{\\\"a\\\": null}\""),
    ("date", "'2026-11-27'", "\"2026-11-27\""),
    ("date", "'0044-03-15 BC'", "\"0044-03-15 BC\""),
    ("time", "'01:02:03.5'", "\"01:02:03.5\""),
    ("timetz", "'01:02:03+05:30'", "\"01:02:03+05:30\""),
    ("timestamp", "'infinity'", "\"infinity\""),
    ("timestamptz", "'2026-11-27 01:02:03.5+05'", "\"2026-11-26 20:02:03.5+00\""),
    ("interval", "'1 year -2 days 03:04:05.6'", "\"1 year -2 days +03:04:05.6\""),
    ("inet", "'10.1.2.3'", "\"10.1.2.3\""),
    ("inet", "'2001:db8::1/64'", "\"2001:db8::1/64\""),
    ("cidr", "'10.0.0.0/8'", "\"10.0.0.0/8\""),
    ("macaddr", "'08:00:2b:01:02:03'", "\"08:00:2b:01:02:03\""),
    ("varbit", "B'10110'", "\"10110\""),
    ("pg_lsn", "'16/B374D848'", "\"16/B374D848\""),
    ("int4[]", "'{1,NULL,3}'", "\"{1,NULL,3}\""),
    (
        "text[]",
        "ARRAY['', 'a b', 'null', 'x\"y', NULL]",
        "\"{\\\"\\\",\\\"a b\\\",\\\"null\\\",\\\"x\\\\\\\"y\\\",NULL}\"",
    ),
    ("float8[]", "'{1e20,0.00001,NaN}'", "\"{1e+20,1e-05,NaN}\""),
    ("int4[]", "'[0:1][2:3]={{1,2},{3,4}}'", "\"[0:1][2:3]={{1,2},{3,4}}\""),
    ("int4range", "'[1,5)'", "\"[1,5)\""),
    ("tsrange", "'[2026-01-01 00:00,)'", "\"[\\\"2026-01-01 00:00:00\\\",)\""),
    ("nummultirange", "'{[1.5,2),(3,4]}'", "\"{[1.5,2),(3,4]}\""),
    ("mood", "'so-so'", "\"so-so\""),
    ("mood[]", "'{happy}'", "\"{happy}\""),
    ("small", "7", "7"),
    ("smaller", "6", "6"),
    ("pair", "ROW(1, 'a \"b\"')", "\"(1,\\\"a \\\"\\\"b\\\"\\\"\\\")\""),
    ("floats", "'[0.5,1.5]'", "\"[0.5,1.5]\""),
];

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn values_have_the_json_of_their_type() {
    on_both(|server| {
        for mode in MODES {
            let cdc = Cdc::new(Database::create(server, "types"), false);
            let columns: Vec<_> =
                TYPES.iter().enumerate().map(|(at, (name, ..))| format!("c{at} {name}")).collect();
            let values: Vec<_> = TYPES.iter().map(|(_, value, _)| *value).collect();
            let set_up = format!(
                "CREATE TYPE mood AS ENUM ('happy', 'so-so'); CREATE DOMAIN small AS int; CREATE DOMAIN smaller AS small;
                 CREATE TYPE pair AS (a int, b text); CREATE TYPE floats AS RANGE (subtype = float8);
                 CREATE TABLE types ({})",
                columns.join(", ")
            );
            let lines = lines_of(&cdc, mode, &set_up, |session| {
                session.run(&format!("INSERT INTO types VALUES ({})", values.join(", ")));
                session.run("INSERT INTO types DEFAULT VALUES");
            });
            let inserts = changes(&lines);
            let [full, empty] = inserts.as_slice() else { panic!("{inserts:?}") };
            for (at, (name, value, expected)) in TYPES.iter().enumerate() {
                let expected: Value = serde_json::from_str(expected).expect("JSON");
                assert_eq!(full["new"][format!("c{at}")], expected, "{value} of {name} with {mode:?}");
                assert_eq!(empty["new"][format!("c{at}")], Value::Null);
            }
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_type_that_is_created_while_the_program_runs_is_looked_up() {
    on_both(|server| {
        let cdc = Cdc::new(Database::create(server, "new_type"), true);
        let mut session = cdc.database.session();
        session.run(&format!("CREATE PUBLICATION {} FOR ALL TABLES", cdc.database.name));
        let running = cdc.start(&["--create-slot", "--binary"]);
        crate::support::until("the slot", || {
            !cdc.database
                .session()
                .run("SELECT FROM pg_replication_slots WHERE active AND database = current_database()")
                .is_empty()
        });
        session.run("CREATE TYPE mood AS ENUM ('happy'); CREATE DOMAIN small AS int2; CREATE TABLE t (m mood, s small)");
        session.run("INSERT INTO t VALUES ('happy', 7)");
        cdc.wait_for("\"commit\"");
        running.signal("-TERM");
        assert_eq!(running.wait(), (Some(0), String::new()));
        let lines = cdc.lines();
        assert_eq!(lines[2]["new"], json!({"m": "happy", "s": 7}));
        assert_eq!(lines[1]["columns"][0]["type"], "mood");
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn messages_and_truncates_have_lines() {
    on_both(|server| {
        for mode in MODES {
            let cdc = Cdc::new(Database::create(server, "kinds"), true);
            let lines = lines_of(
                &cdc,
                mode,
                "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int)",
                |session| {
                    session.run("SELECT pg_logical_emit_message(true, 'p', 'inside')");
                    session.run("BEGIN; SELECT pg_logical_emit_message(false, 'p', 'outside'); ROLLBACK");
                    session.run("SELECT pg_logical_emit_message(true, 'p', '\\xff00'::bytea)");
                    session.run("TRUNCATE a, b RESTART IDENTITY CASCADE");
                    session.run("TRUNCATE b");
                    session.run("ALTER TABLE a ADD COLUMN added date");
                    session.run("INSERT INTO a VALUES (1, '2026-11-27')");
                    let origin = &cdc.database.name;
                    session.run(&format!("SELECT pg_replication_origin_create('{origin}'), pg_replication_origin_session_setup('{origin}')"));
                    session.run("BEGIN; SELECT pg_replication_origin_xact_setup('0/ABC', now()); INSERT INTO a VALUES (2); COMMIT");
                    session.run(&format!("SELECT pg_replication_origin_session_reset(); SELECT pg_replication_origin_drop('{origin}')"));
                },
            );
            let table = |name: &str| json!({"schema": "public", "table": name});
            assert_lines(
                &changes(&lines),
                &[
                    json!({"kind": "message", "transactional": true, "prefix": "p", "content": "inside"}),
                    json!({"kind": "message", "transactional": false, "prefix": "p", "content": "outside"}),
                    json!({"kind": "message", "transactional": true, "prefix": "p", "content": "\\xff00", "encoding": "hex"}),
                    json!({"kind": "truncate", "tables": [table("a"), table("b")], "cascade": true, "restart_identity": true}),
                    json!({"kind": "truncate", "tables": [table("b")], "cascade": false, "restart_identity": false}),
                    json!({"kind": "insert", "table": "a", "key": {"id": 1}, "new": {"id": 1, "added": "2026-11-27"}}),
                    json!({"kind": "origin", "name": cdc.database.name, "origin_lsn": "0/ABC"}),
                    json!({"kind": "insert", "table": "a", "key": {"id": 2}, "new": {"id": 2, "added": null}}),
                ],
            );
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn large_transactions_have_the_same_lines_when_they_are_streamed() {
    on_both(|server| {
        for mode in MODES {
            let cdc = Cdc::new(Database::create(server, "large"), true);
            let lines = lines_of(&cdc, mode, "CREATE TABLE t (id int PRIMARY KEY, x text)", |session| {
                let mut other = cdc.database.session();
                let insert = |from: u32| {
                    format!(
                        "INSERT INTO t SELECT g, repeat('x', 50) FROM generate_series({from}, {}) g; ",
                        from + 1999
                    )
                };
                other.run(&format!("BEGIN; {}", insert(100_000)));
                session.run(&format!(
                    "BEGIN; {} SAVEPOINT a; {} SAVEPOINT b; {} ROLLBACK TO b; {} RELEASE a; {} SAVEPOINT c; {} ROLLBACK TO c; \
                     DELETE FROM t WHERE id = 1; COMMIT",
                    insert(1), insert(10_001), insert(20_001), insert(30_001), insert(40_001), insert(50_001)
                ));
                other.run(&format!("{} ROLLBACK", insert(200_000)));
            });
            let inserted: Vec<i64> = lines
                .iter()
                .filter(|line| line["kind"] == "insert")
                .map(|line| line["key"]["id"].as_i64().expect("a number"))
                .collect();
            let expected: Vec<i64> =
                [1, 10_001, 30_001, 40_001].into_iter().flat_map(|from| from..from + 2000).collect();
            assert!(inserted == expected, "{} rows with {mode:?}", inserted.len());
            let others: Vec<_> = lines
                .iter()
                .filter(|line| line["kind"] != "insert")
                .map(|line| line["kind"].as_str())
                .collect();
            assert_eq!(others, ["begin", "relation", "delete", "commit"].map(Some));
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn prepared_transactions_are_written_when_they_are_prepared() {
    on_both(|server| {
        for streaming in [&[][..], &["--streaming"]] {
            let cdc = Cdc::new(Database::create(server, "prepared"), true);
            let mode = [&["--two-phase"], streaming].concat();
            let gid = &cdc.database.name;
            let mut after_prepare = 0;
            let lines = lines_of(&cdc, &mode, "CREATE TABLE t (id int PRIMARY KEY, x text)", |session| {
                let insert = "INSERT INTO t SELECT g, repeat('x', 50) FROM generate_series(1, 2000) g";
                session.run(&format!("BEGIN; {insert}; PREPARE TRANSACTION '{gid}_1'"));
                session.run(&format!("BEGIN; INSERT INTO t VALUES (5000); PREPARE TRANSACTION '{gid}_2'"));
                after_prepare = cdc.until_now(&mode).len();
                session.run(&format!("COMMIT PREPARED '{gid}_1'"));
                session.run(&format!("ROLLBACK PREPARED '{gid}_2'"));
            });
            let count = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
            assert_eq!(lines.len(), after_prepare + 2);
            for (kind, expected) in [
                ("begin_prepare", 2),
                ("insert", 2001),
                ("prepare", 2),
                ("commit_prepared", 1),
                ("rollback_prepared", 1),
                ("commit", 0),
            ] {
                assert_eq!(count(kind), expected, "{kind}");
            }
            assert_eq!(lines[lines.len() - 1]["gid"], format!("{gid}_2"));
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn lines_of_text_have_the_same_fields() {
    on_both(|server| {
        let cdc = Cdc::new(Database::create(server, "text"), false);
        let mut session = cdc.database.session();
        session.run("CREATE TABLE t (id int PRIMARY KEY, x text)");
        session.run(&format!("CREATE PUBLICATION {} FOR ALL TABLES", cdc.database.name));
        let run = || {
            let ended =
                finish(&mut cdc.command(&["--create-slot", "--until", "now", "--quiet", "--format", "text"]));
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
            std::fs::read_to_string(cdc.out()).expect("UTF-8")
        };
        assert_eq!(run(), "");
        session.run("INSERT INTO t VALUES (1, E'a b\\nc')");
        let first = run();
        let lines: Vec<_> = first.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].contains(" begin xid=") && lines[3].contains(" commit end=\""), "{first}");
        assert!(
            lines[2].ends_with(r#" schema="public" table="t" key={"id":1} new={"id":1,"x":"a b\nc"}"#),
            "{first}"
        );
        // Without --state, the program reads the last line of the output file to find the position at which to continue.
        session.run("INSERT INTO t VALUES (2)");
        let second = run();
        assert!(second.starts_with(&first));
        assert_eq!(second.matches(" insert ").count(), 2);
    });
}
