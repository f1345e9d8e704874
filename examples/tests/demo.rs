//! Tests of the output, the errors and the exit status of `demo`.

#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;

use support::{Ended, Server, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_demo");

/// Returns the lines under a heading, up to the next empty line.
fn part<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let rule = "-".repeat(heading.len());
    let (_, after) = text.split_once(&format!("\n{heading}\n{rule}\n\n")).expect(heading);
    after.lines().take_while(|line| !line.is_empty()).collect()
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_tour_prints_all_of_its_parts() {
    for server in Server::both() {
        for url in [server.by_tcp(), server.by_socket()] {
            let Ended { code, stdout, stderr } = run(PROGRAM, &[&url]);
            // Without a terminal there is no progress bar.
            assert_eq!((code, stderr.as_str()), (Some(0), ""));
            assert!(!stdout.contains('\u{1b}'), "colours although there is no terminal: {stdout}");

            let session = part(&stdout, "The session");
            assert!(session[0].starts_with(&format!("  server          PostgreSQL {}.", server.major)));
            assert_eq!(
                session[1..],
                ["  protocol        3.0", "  user            scram", "  authentication  scram-sha-256"]
            );

            assert_eq!(
                part(&stdout, "A prepared query: planets wider than 10,000 km with days under 100 h"),
                [
                    "  planet    diameter (km)    day (h)  discovered",
                    "  Earth             12756       24.0  -",
                    "  Neptune           49528       16.1  1846-09-23",
                    "  Uranus            51118       17.2  1781-03-13",
                    "  Saturn           120536       10.7  -",
                    "  Jupiter          142984        9.9  -",
                ]
            );

            let million = part(&stdout, "A million rows, every value decoded");
            assert!(million[0].starts_with("  rows    1,000,000   "), "{million:?}");
            assert!(million[0].ends_with(" a second") && million[1].ends_with(" a second"), "{million:?}");

            let trace = part(&stdout, "On the wire: an error, and how the session goes on");
            let (error, others): (Vec<_>, _) =
                trace.into_iter().partition(|line| line.contains("ErrorResponse"));
            assert!(
                error[0]
                    .contains("\tErrorResponse\t S \"ERROR\" V \"ERROR\" C \"22012\" M \"division by zero\"")
            );
            assert_eq!(
                others,
                [
                    "F\t64\tParse\t \"\" \"SELECT 60 / (n - $1) FROM generate_series(1, 3) AS n\" 1 23",
                    "F\t22\tBind\t \"\" \"\" 1 1 1 4 '\\x00\\x00\\x00\\x02' 0",
                    "F\t9\tExecute\t \"\" 0",
                    "F\t4\tSync",
                    "F\t22\tBind\t \"\" \"\" 1 1 1 4 '\\x00\\x00\\x00\\x00' 0",
                    "F\t9\tExecute\t \"\" 0",
                    "F\t4\tSync",
                    "B\t4\tParseComplete",
                    "B\t4\tBindComplete",
                    "B\t13\tDataRow\t 1 3 '-60'",
                    "B\t5\tReadyForQuery\t I",
                    "B\t4\tBindComplete",
                    "B\t12\tDataRow\t 1 2 '60'",
                    "B\t12\tDataRow\t 1 2 '30'",
                    "B\t12\tDataRow\t 1 2 '20'",
                    "B\t13\tCommandComplete\t \"SELECT 3\"",
                    "B\t5\tReadyForQuery\t I",
                ]
            );
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_tour_prints_the_negotiated_protocol_version() {
    for server in Server::both() {
        let shown = run(PROGRAM, &[&(server.by_tcp() + "?max_protocol_version=latest")]).stdout;
        let version = if server.major < 18 { "3.0" } else { "3.2" };
        assert_eq!(part(&shown, "The session")[1], format!("  protocol        {version}"));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_rejected_login_is_reported_with_the_servers_address() {
    for server in Server::both() {
        let url = server.by_tcp().replace("scram-secret", "hunter2") + "?sslmode=require";
        let ended = run(PROGRAM, &[&url]);
        let place = server.address;
        let stderr =
            format!("demo: {place} (TLS): FATAL 28P01: password authentication failed for user \"scram\"\n");
        assert_eq!(ended, Ended { code: Some(1), stdout: String::new(), stderr });
    }
}

#[test]
fn errors_are_sentences_without_the_password() {
    for (arguments, said) in [
        (&[][..], "demo: no connection string: give one, or set DATABASE_URL\n"),
        (&["postgres://me:hunter2@localhost:port/"], "demo: invalid value for \"port\"\n"),
    ] {
        let stderr = said.into();
        assert_eq!(run(PROGRAM, arguments), Ended { code: Some(1), stdout: String::new(), stderr });
    }
    let Ended { code, stderr, .. } = run(PROGRAM, &["postgres://me:hunter2@127.0.0.1:1/?sslmode=disable"]);
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("demo: 127.0.0.1:1: cannot connect: "), "{stderr}");
}
