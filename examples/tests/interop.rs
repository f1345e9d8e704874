//! Runs the conformance suite `pg-interop` against all servers, and compares the outcomes with the list of known deviations.

#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
mod support;

use std::process::Command;

use support::finish;

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn every_server_passes_the_suite_except_for_the_known_deviations() {
    let ended = finish(Command::new(env!("CARGO_BIN_EXE_pg-interop")).args(["--patience", "60"]));
    println!("{}", ended.stdout);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let servers = ended.stdout.lines().filter(|line| line.contains(" checks: ")).count();
    assert_eq!(servers, 7, "{}", ended.stdout);
}

#[test]
fn the_list_has_every_check_with_its_link() {
    let ended = finish(Command::new(env!("CARGO_BIN_EXE_pg-interop")).arg("--list"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines.len() > 600 && lines.len().is_multiple_of(2), "{} lines", lines.len());
    for pair in lines.chunks(2) {
        assert!(pair[0].contains(": "), "{}", pair[0]);
        assert!(pair[1].starts_with("    https://www.postgresql.org/docs/current/"), "{}", pair[1]);
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_an_error_and_no_failed_check() {
    // Port 1 of the loopback interface has no server.
    let url = "postgres://user@127.0.0.1:1/db";
    let ended = finish(Command::new(env!("CARGO_BIN_EXE_pg-interop")).arg(url));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("127.0.0.1:1"), "{}", ended.stderr);
}
