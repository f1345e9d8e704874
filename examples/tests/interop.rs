//! Runs the conformance suite `pg-interop` against all servers, and compares the outcomes with the list of known deviations.

#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
mod support;

use std::process::Command;

use support::finish;

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn every_server_passes_the_suite_except_for_the_known_deviations() {
    // The program needs no time limit here, because it has its own time limit for each message.
    let ended = Command::new(env!("CARGO_BIN_EXE_pg-interop")).output().expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    println!("{stdout}");
    assert_eq!(ended.status.code(), Some(0), "{stdout}{stderr}");
    let servers = stdout.lines().filter(|line| line.contains(" checks: ")).count();
    assert_eq!(servers, 9, "{stdout}");
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
fn only_selects_checks_by_their_area_or_name() {
    let ended =
        finish(Command::new(env!("CARGO_BIN_EXE_pg-interop")).args(["--list", "--only", "function call"]));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines.len() > 20, "{}", ended.stdout);
    assert!(lines.iter().step_by(2).all(|line| line.contains("function call")), "{}", ended.stdout);
}

#[test]
fn a_server_that_cannot_be_reached_is_an_error_and_no_failed_check() {
    // Port 1 of the loopback interface has no server.
    let url = "postgres://user@127.0.0.1:1/db";
    let ended = finish(Command::new(env!("CARGO_BIN_EXE_pg-interop")).arg(url));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("127.0.0.1:1"), "{}", ended.stderr);
}
