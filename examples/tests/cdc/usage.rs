//! Tests of the command line, and of errors that end the program.

use std::fs::File;
use std::process::Stdio;

use crate::database::{Database, on_both};
use crate::process::{Cdc, command};
use crate::support::{Ended, finish};

#[test]
fn wrong_usage_is_reported_without_a_password() {
    let url = "postgres://me:hunter2@localhost/shop";
    for arguments in [
        &[][..],
        &[url],
        &[url, "--publication", "p"],
        &[url, "--slot", "s"],
        &[url, "--publication", "p", "--slot", "s", url],
        &[url, "--publication", "p", "--slot", "s", "--start", "7"],
        &[url, "--publication", "p", "--slot", "s", "--until", "tomorrow"],
        &[url, "--publication", "p", "--slot", "s", "--format", "xml"],
        &[url, "--publication", "p", "--slot", "s", "--snapshot"],
        &[url, "--publication", "p", "--slot", "s", "--temporary", "--state", "f"],
        &[url, "--publication", "p,", "--slot", "s"],
        &["postgres://me:hunter2@localhost:port/shop", "--publication", "p", "--slot", "s"],
    ] {
        let Ended { code, stdout, stderr } = finish(&mut command(arguments));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.starts_with("pg-cdc: ") && stderr.contains("Usage: pg-cdc"), "{stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}

#[test]
fn help_names_every_option_and_kind_of_line() {
    let Ended { code, stdout, stderr } = finish(&mut command(&["--help"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for word in [
        "--publication",
        "--slot",
        "--create-slot",
        "--temporary",
        "--out",
        "--state",
        "--start",
        "--until",
        "--format",
        "--streaming",
        "--two-phase",
        "--binary",
        "--snapshot",
        "--quiet",
        "begin_prepare",
        "snapshot_end",
        "SIGTERM",
        "Exit status",
        "unchanged",
    ] {
        assert!(stdout.contains(word), "{word}");
    }
}

#[test]
fn without_a_server_the_program_ends_with_the_reason() {
    let hosts = "postgres://me:hunter2@127.0.0.1:1,127.0.0.1:2/shop?sslmode=disable";
    let Ended { code, stderr, .. } = finish(&mut command(&[hosts, "--publication", "p", "--slot", "s"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("127.0.0.1:1: cannot connect") && stderr.contains("127.0.0.1:2: "), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_reason_why_changes_cannot_be_followed_is_reported() {
    on_both(|server| {
        let cdc = Cdc::new(Database::create(server, "reasons"), true);
        let fails = |more: &[&str], reason: &str| {
            let Ended { code, stderr, .. } = finish(&mut cdc.command(more));
            assert_eq!(code, Some(1), "{stderr}");
            assert!(stderr.starts_with("pg-cdc: ") && stderr.contains(reason), "{stderr}");
        };
        fails(&[], "does not exist: give --create-slot");
        fails(&["--create-slot", "--snapshot"], "publication");
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_output_that_cannot_be_written_ends_the_program() {
    on_both(|server| {
        let cdc = Cdc::new(Database::create(server, "full"), true);
        let mut session = cdc.database.session();
        session
            .run(&format!("CREATE TABLE t (x text); CREATE PUBLICATION {} FOR TABLE t", cdc.database.name));
        cdc.until_now(&["--create-slot"]);
        session.run("INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 1000)");
        let full = File::options().write(true).open("/dev/full").expect("Linux");
        let child =
            cdc.without_out(&["--quiet"]).stdout(full).stderr(Stdio::piped()).spawn().expect("it starts");
        let ended = child.wait_with_output().expect("a child");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1));
        assert!(stderr.starts_with("pg-cdc: standard output: No space left"), "{stderr}");
        // Checks that the program has confirmed nothing: the server must send all changes to the next run.
        let lines = cdc.until_now(&[]);
        assert_eq!(lines.iter().filter(|line| line["kind"] == "insert").count(), 1000);
        let fails = |out: &str, reason: &str| {
            let Ended { code, stderr, .. } = finish(cdc.without_out(&["--quiet"]).args(["--out", out]));
            assert_eq!((code, stderr.contains(reason)), (Some(1), true), "{stderr}");
        };
        fails("/nonexistent/out", "/nonexistent/out: No such file or directory");
        fails("/", "/: Is a directory");
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_value_that_is_not_utf_8_ends_the_program() {
    on_both(|server| {
        let cdc = Cdc::new(Database::create_with(server, "ascii", "ENCODING 'SQL_ASCII' LOCALE 'C'"), true);
        let mut session = cdc.database.session();
        session.run("SET client_encoding = 'SQL_ASCII'; CREATE TABLE t (id int, bad text)");
        session.run(&format!("CREATE PUBLICATION {} FOR TABLE t", cdc.database.name));
        cdc.until_now(&["--create-slot"]);
        session.run("INSERT INTO t VALUES (1, 'caf\u{e9}')");
        let end = session.value("SELECT pg_current_wal_insert_lsn()");
        session.run("INSERT INTO t VALUES (2, E'\\xff')");
        let Ended { code, stderr, .. } = finish(&mut cdc.command(&["--until", "now"]));
        assert_eq!(code, Some(1));
        // The table has a text that is not UTF-8. The server cannot convert this text to UTF-8, the encoding of the session, and reports
        // the error.
        assert!(stderr.contains("invalid byte sequence for encoding \"UTF8\""), "{stderr}");
        // The first transaction is valid and ends before `end`. So a run up to `end` must succeed and write this transaction.
        let ended = finish(&mut cdc.command(&["--until", &end, "--quiet"]));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let lines = cdc.lines();
        assert_eq!(lines[2]["new"]["bad"], "caf\u{e9}");
    });
}
