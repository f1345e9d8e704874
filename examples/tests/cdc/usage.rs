//! Tests of the command line, and of errors that end the program at its start.

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
