//! Tests of the small example programs, such as `quickstart`, with real servers: output and exit status.

#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;

use support::{Server, run};

/// Checks that the program prints exactly this text, with both servers, over TCP and over the Unix-domain socket.
#[track_caller]
fn prints(program: &str, expected: &str) {
    for server in Server::both() {
        for url in [server.by_tcp(), server.by_socket()] {
            let ended = run(program, &[&url]);
            assert_eq!(ended.stderr, "", "{program} {url}");
            assert_eq!(ended.stdout, expected, "{program} {url}");
            assert_eq!(ended.code, Some(0), "{program} {url}");
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn quickstart_prints_the_version_twice() {
    for server in Server::both() {
        let ended = run(env!("CARGO_BIN_EXE_quickstart"), &[&server.by_tcp()]);
        assert_eq!((ended.stderr.as_str(), ended.code), ("", Some(0)));
        let (reported, selected) = ended.stdout.split_once('\n').expect("two lines");
        let version = reported.strip_prefix("connected to version ").expect("a line with the version");
        assert!(version.starts_with(&format!("{}.", server.major)), "{version}");
        assert!(selected.starts_with(&format!("PostgreSQL {version} on ")), "{selected}");
        assert_eq!(selected.matches('\n').count(), 1, "{selected}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn prepared_adds_two_numbers_and_counts_in_pages_of_three() {
    prints(env!("CARGO_BIN_EXE_prepared"), "15\n1\n2\n3\nand more:\n4\n5\n6\nand more:\n7\n");
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn spans_end_with_the_last_reply_of_their_request() {
    for server in Server::both() {
        let ended = run(env!("CARGO_BIN_EXE_spans"), &[&server.by_tcp()]);
        assert_eq!((ended.stderr.as_str(), ended.code), ("", Some(0)));
        let lines: Vec<&str> = ended.stdout.lines().map(|line| line.trim()).collect();
        let expected = [
            "INFO request{kind=\"Query\" sql=\"select generate_series(1, 3)\" rows=3}: spans: close",
            "INFO request{kind=\"Parse\" sql=\"select 1 / 0\" rows=0}: spans: close",
            "INFO request{kind=\"Bind\" sqlstate=\"22012\" rows=0}: spans: close",
            "INFO request{kind=\"Execute\" discarded=true}: spans: close",
            "INFO request{kind=\"Sync\" rows=0}: spans: close",
            "ERROR 22012: division by zero",
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn function_call_finds_the_root_of_nine() {
    prints(env!("CARGO_BIN_EXE_function_call"), "3\n");
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pipeline_gets_every_row_and_one_ready_for_query() {
    prints(
        env!("CARGO_BIN_EXE_pipeline"),
        "10310033 bytes to send\n10000 rows of 10000000 bytes before the one ReadyForQuery\n",
    );
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn copy_reads_the_rows_that_it_has_written() {
    prints(env!("CARGO_BIN_EXE_copy"), "3 rows are copied in\nEarth: 1\nMars: 2\n");
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn copy_copies_many_rows_in_each_direction() {
    for server in Server::both() {
        for (direction, expected) in [
            ("in", "100000 rows are copied in\n"),
            ("out", "100000 rows are copied out: 1188895 letters, sum 2500025000\n"),
        ] {
            let ended = run(env!("CARGO_BIN_EXE_copy"), &[&server.by_tcp(), direction, "100000"]);
            assert_eq!((ended.stderr.as_str(), ended.code), ("", Some(0)));
            assert_eq!(ended.stdout, expected);
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn notify_receives_its_own_notification() {
    prints(env!("CARGO_BIN_EXE_notify"), "jobs: number 42 is done\n");
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn cancel_ends_the_statement_and_not_the_session() {
    prints(
        env!("CARGO_BIN_EXE_cancel"),
        "INFO 00000: asleep\nERROR 57014: canceling statement due to user request\nSELECT 1\n",
    );
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn values_are_the_same_in_both_formats() {
    let all = r#"(true, -2, 1099511627776, 0.1, "café", [0, 255], None)"#;
    prints(
        env!("CARGO_BIN_EXE_values"),
        &format!(
            "Binary: {all}\nText: {all}\n19.99 is due on 2024-02-29 12:00:00\n\
             column 1 \"price\" of type numeric in binary format: the value is not an i32\n"
        ),
    );
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn rows_prints_the_wrong_parameter_and_the_rows() {
    prints(
        env!("CARGO_BIN_EXE_rows"),
        "parameter $1 of type int4: an i64 is sent as int8: use another Rust type, or cast the parameter in the statement ($1::int8)\n\
         Earth: moons 1, distance 149.6 million km\n\
         Mars: moons 2, distance 227.9 million km\n",
    );
}

/// Name and path of each program that is tested.
const PROGRAMS: [(&str, &str); 9] = [
    ("quickstart", env!("CARGO_BIN_EXE_quickstart")),
    ("prepared", env!("CARGO_BIN_EXE_prepared")),
    ("function_call", env!("CARGO_BIN_EXE_function_call")),
    ("pipeline", env!("CARGO_BIN_EXE_pipeline")),
    ("copy", env!("CARGO_BIN_EXE_copy")),
    ("notify", env!("CARGO_BIN_EXE_notify")),
    ("cancel", env!("CARGO_BIN_EXE_cancel")),
    ("values", env!("CARGO_BIN_EXE_values")),
    ("rows", env!("CARGO_BIN_EXE_rows")),
];

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn with_a_wrong_password_every_program_prints_the_servers_error() {
    for server in Server::both() {
        let url = server.by_tcp().replace("scram-secret", "hunter2");
        for (name, program) in PROGRAMS {
            let ended = run(program, &[&url]);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{name}: {}", ended.stderr);
            assert!(ended.stderr.contains("28P01"), "{name}: {}", ended.stderr);
            assert!(!ended.stderr.contains("hunter2"), "{name}: {}", ended.stderr);
        }
    }
}

#[test]
fn without_a_connection_string_every_program_names_the_variable() {
    for (name, program) in PROGRAMS {
        let ended = run(program, &[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{name}");
        assert!(ended.stderr.contains("DATABASE_URL"), "{name}: {}", ended.stderr);
    }
}
