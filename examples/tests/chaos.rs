//! Tests of `pg-chaos`, which checks that no acknowledged transaction is lost. The first run must pass. During the second run, the test
//! deletes one row, and inserts a copy of another row. `pg-chaos` must report both.

#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
mod support;

use std::process::{Command, Stdio};

use support::{Ended, Server, finish};

/// Returns a command that runs `pg-chaos` for this number of seconds. The role `admin` is a superuser and needs no password.
fn chaos(server: &Server, seconds: u64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pg-chaos"));
    command.args(["--proxy", env!("CARGO_BIN_EXE_pg-proxy"), "--user", "admin", "--clients", "1"]);
    command.args(["--fault-rate", "2"]);
    command.args(["--server", &server.address.to_string(), "--seconds", &seconds.to_string(), "--seed", "1"]);
    command
}

/// Runs SQL in the database of `pg-chaos`.
fn sql(server: &Server, sql: &str) -> Ended {
    let url = format!("postgres://admin@{}/postgres?sslmode=disable", server.address);
    finish(Command::new(env!("CARGO_BIN_EXE_pg-query")).args([&url, sql]))
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn chaos_passes_and_reports_lost_and_repeated_transactions() {
    for server in Server::both() {
        let Ended { code, stdout, stderr } = finish(&mut chaos(&server, 3));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        let last = stdout.lines().last();
        assert_eq!(
            last,
            Some("verdict: passed; every acknowledged transaction is in its table once"),
            "{stdout}"
        );
        for word in ["seed 1\n", "transactions: ", "faults: ", " proxies killed", "client process: "] {
            assert!(stdout.contains(word), "{word:?} is missing: {stdout}");
        }

        // Drops the table of the first run. Otherwise the statement below could change the rows of the first run, before the second run has
        // created its own table.
        assert_eq!(sql(&server, "DROP TABLE chaos_rows").code, Some(0));
        let child = chaos(&server, 5).stdout(Stdio::piped()).spawn().expect("the program starts");
        let change = "WITH later AS (SELECT count(DISTINCT client) = 2 AS yes FROM chaos_rows WHERE client < 2 AND key = 3), \
                      lost AS (DELETE FROM chaos_rows USING later WHERE yes AND client = 0 AND key = 1 RETURNING 1), \
                      repeated AS (INSERT INTO chaos_rows SELECT chaos_rows.* FROM chaos_rows, later \
                                   WHERE yes AND client = 1 AND key = 1 RETURNING 1) \
                      SELECT 1 / (SELECT count(*) FROM lost), 1 / (SELECT count(*) FROM repeated)";
        // The statement deletes the row with key 1 of client 0, and inserts the row with key 1 of client 1 again. The statement fails until
        // both clients have inserted their rows with keys 1 to 3.
        support::until("both transactions are in the table", || sql(&server, change).code == Some(0));
        let output = child.wait_with_output().expect("our child process");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{stdout}");
        assert!(stdout.contains("verdict: FAILED with seed 1: 2 differences:"), "{stdout}");
        assert!(stdout.contains("server 0, client 0, key 1 is lost"), "{stdout}");
        assert!(
            stdout.contains(
                "server 0, client 1, key 1 has 4 rows, 2 of them different and 0 wrong, instead of 2"
            ),
            "{stdout}"
        );
        assert_eq!(sql(&server, "DROP TABLE chaos_rows, chaos_fence").code, Some(0));
    }
}
