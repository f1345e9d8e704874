//! Tests that compare `pg-proxy` with PgBouncer, both in front of PostgreSQL 15. A client must have the same result through each of them,
//! and the server's view `pg_stat_activity` must have the same row.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Proxy, until};
use crate::support::{Ended, Server, finish};
use crate::wire::{Client, startup_with};

/// An address to which clients connect, and the database name that clients use there. PgBouncer offers the database `test` under another
/// name.
#[derive(Clone, Copy)]
struct Front {
    address: SocketAddr,
    database: &'static str,
}

/// A server, with `pg-proxy` and PgBouncer in front of it.
struct Both {
    server: Server,
    _proxy: Proxy,
    ours: Front,
    theirs: Front,
    psql: String,
}

impl Both {
    fn start() -> Self {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
        };
        let [server, _] = Server::both();
        let proxy = Proxy::with(server.address, &[]);
        let ours = Front { address: proxy.address(), database: "test" };
        let address = variable("PGBOUNCER_ADDR").parse().expect("an address and a port");
        let theirs = Front { address, database: "session" };
        let psql = format!("{}/psql", variable("PG15_CLIENT_BIN"));
        Self { server, _proxy: proxy, ours, theirs, psql }
    }

    fn psql(&self, front: Front, role: &str, arguments: &[&str]) -> Command {
        let mut psql = Command::new(&self.psql);
        psql.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("TZ", "UTC").arg("-X");
        psql.env("PGHOST", "127.0.0.1").env("PGPORT", front.address.port().to_string());
        psql.env("PGUSER", role).env("PGDATABASE", front.database).env("PGSSLMODE", "disable");
        psql.env("PGPASSWORD", format!("{role}-secret")).args(arguments);
        psql
    }

    /// Runs psql. Returns the result without port numbers and process ids, so that two results can be compared.
    fn run(&self, front: Front, change: &dyn Fn(&mut Command), role: &str, arguments: &[&str]) -> Ended {
        let mut psql = self.psql(front, role, arguments);
        change(&mut psql);
        let Ended { code, stdout, stderr } = finish(&mut psql);
        let port = format!("port {}", front.address.port());
        // Removes the process id of the server process, because this id differs between the two connections.
        let stdout = match stdout.split_once("process with PID ") {
            Some((before, after)) => {
                before.to_owned() + after.trim_start_matches(|c: char| c.is_ascii_digit())
            }
            None => stdout,
        };
        Ended { code, stdout, stderr: stderr.replace(&port, "port PORT") }
    }

    /// Runs SQL on the server directly, and returns the output.
    fn asked(&self, sql: &str) -> String {
        let direct = Front { address: self.server.address, database: "test" };
        let ended = finish(&mut self.psql(direct, "admin", &["-Atc", sql]));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout.trim_end().into()
    }

    /// Returns these columns of the view `pg_stat_activity` for the connection with this application name.
    fn activity(&self, columns: &str, name: &str) -> String {
        self.asked(&format!("select {columns} from pg_stat_activity where application_name = '{name}'"))
    }
}

/// The expected results of psql through `pg-proxy` and through PgBouncer.
enum Expected {
    /// Both results are the same in every byte.
    Same,
    /// The results differ. Each pair has the exit code and the start of the error text. The first pair is for `pg-proxy`, the second pair
    /// is for PgBouncer.
    Other([(i32, &'static str); 2]),
}

use Expected::{Other, Same};

/// A comparison: its name, the role of the client, the arguments of psql, and the expected results.
type Row<'a> = (&'a str, &'a str, &'a [&'a str], Expected);

const FAILED: &str = "psql: error: connection to server at \"127.0.0.1\", port PORT failed: FATAL:  ";

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn psql_has_the_same_results_as_through_pgbouncer() {
    let both = Both::start();
    let stop = "ON_ERROR_STOP=1";
    let rows: [Row<'_>; 26] = [
        ("one row", "trust", &["-Atc", "select 6 * 7, null, 'caf\u{e9}'"], Same),
        ("SCRAM", "scram", &["-Atc", "select current_user"], Same),
        ("MD5", "md5", &["-Atc", "select current_user"], Same),
        ("an error with all its fields", "trust", &["-v", "VERBOSITY=verbose", "-c", "select 1/0"], Same),
        ("a position", "trust", &["-c", "select 1 +\n   nonsense"], Same),
        (
            "an error ends a script",
            "trust",
            &["-v", stop, "-c", "select 1", "-c", "select x", "-c", "select 2"],
            Same,
        ),
        (
            "a notice",
            "trust",
            &["-c", "do $$ begin raise notice 'heard' using hint = 'a hint'; end $$"],
            Same,
        ),
        ("many rows", "trust", &["-Atc", "select i, md5(i::text) from generate_series(1, 20000) i"], Same),
        ("a large value", "trust", &["-Atc", "select repeat('x', 3000000)"], Same),
        (
            "COPY out",
            "trust",
            &["-c", "copy (select i, null from generate_series(1, 1000) i) to stdout"],
            Same,
        ),
        (
            "settings of a session last",
            "trust",
            &[
                "-At",
                "-c",
                "set search_path = nowhere",
                "-c",
                "show search_path",
                "-c",
                "begin",
                "-c",
                "select now() = now()",
            ],
            Same,
        ),
        (
            "notifications",
            "trust",
            &[
                "-At",
                "-c",
                "listen news",
                "-c",
                "notify news, 'x'",
                "-c",
                "select count(*) from pg_listening_channels()",
            ],
            Same,
        ),
        ("nothing", "trust", &["-c", ""], Same),
        (
            "several statements of one message",
            "trust",
            &["-c", "select 1; select 2; select 1/0; select 3"],
            Same,
        ),
        (
            "an error in a transaction",
            "trust",
            &["-c", "begin", "-c", "select x", "-c", "select 1", "-c", "commit"],
            Same,
        ),
        ("a warning", "trust", &["-c", "commit"], Same),
        (
            "an exception with details",
            "trust",
            &["-c", "do $$ begin raise 'no' using errcode = 'XY123', detail = 'more', hint = 'less'; end $$"],
            Same,
        ),
        (
            "rows before an error, a few at a time",
            "trust",
            &["-At", "-v", "FETCH_COUNT=2", "-c", "select 6 / n from generate_series(3, -1, -1) n"],
            Same,
        ),
        (
            "a prepared statement of SQL",
            "trust",
            &[
                "-At",
                "-c",
                "prepare p(int) as select $1 + 1",
                "-c",
                "execute p(2)",
                "-c",
                "execute nosuch(2)",
            ],
            Same,
        ),
        (
            "a description without rows",
            "trust",
            &["-c", "select 1::int2 as a, 'x'::varchar(7) as b \\gdesc"],
            Same,
        ),
        (
            "a statement of each row",
            "trust",
            &["-At", "-c", "select 'select ' || i from generate_series(1, 3) i \\gexec"],
            Same,
        ),
        (
            "COPY in of data that is refused",
            "trust",
            &[
                "-v",
                stop,
                "-c",
                "create temp table t (a int)",
                "-c",
                "\\copy t from program 'echo 1; echo x'",
            ],
            Same,
        ),
        ("a role that may not", "trust", &["-c", "create role nobody"], Same),
        (
            "the server ends the session",
            "trust",
            &["-c", "select pg_terminate_backend(pg_backend_pid())", "-c", "select 1"],
            Other([
                (2, "terminating connection due to administrator command"),
                (2, "terminating connection due to administrator command"),
            ]),
        ),
        // In the last two rows, `pg-proxy` passes on PostgreSQL's error, but PgBouncer sends its own error.
        (
            "a wrong password",
            "wrong",
            &["-c", "select 1", "-U", "scram"],
            Other([
                (2, "password authentication failed for user \"scram\""),
                (2, "SASL authentication failed"),
            ]),
        ),
        (
            "an unknown database",
            "trust",
            &["-c", "select 1", "-d", "nosuch"],
            Other([(2, "database \"nosuch\" does not exist"), (2, "\"trust\" authentication failed")]),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, role, arguments, expected) in rows {
        let [ours, theirs] = [both.ours, both.theirs].map(|front| both.run(front, &|_| {}, role, arguments));
        let good = match expected {
            Same => ours == theirs && ours.code.is_some(),
            Other(ends) => [&ours, &theirs].iter().zip(ends).all(|(ended, (code, words))| {
                let text =
                    ended.stderr.strip_prefix(FAILED).or_else(|| ended.stderr.strip_prefix("FATAL:  "));
                ended.code == Some(code) && text.is_some_and(|text| text.starts_with(words))
            }),
        };
        if !good {
            wrong.push(format!("{name}: {ours:?}, and PgBouncer: {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn start_up_parameters_that_pgbouncer_rejects_are_passed_on() {
    let both = Both::start();
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Command), &'a str, &'a [&'a str], &'a str);
    let changes: [Change<'_>; 2] = [
        (
            "options",
            &|psql| {
                psql.env("PGOPTIONS", "-c work_mem=7MB");
            },
            "trust",
            &["-Atc", "show work_mem"],
            "7MB\n",
        ),
        (
            "replication",
            &|_| {},
            "admin",
            &["-At", "-c", "show wal_level", "-d", "dbname=DB replication=database"],
            "logical\n",
        ),
    ];
    for (parameter, change, role, arguments, printed) in changes {
        let ended = [both.ours, both.theirs].map(|front| {
            let named: Vec<String> =
                arguments.iter().map(|argument| argument.replace("DB", front.database)).collect();
            let named: Vec<&str> = named.iter().map(String::as_str).collect();
            both.run(front, change, role, &named)
        });
        let [ours, theirs] = &ended;
        assert_eq!((ours.code, &*ours.stdout, &*ours.stderr), (Some(0), printed, ""));
        let words = format!("{FAILED}unsupported startup parameter: {parameter}");
        assert_eq!((theirs.code, theirs.stderr.starts_with(&words)), (Some(2), true), "{}", theirs.stderr);
    }
}

/// Starts psql with this application name.
fn running(both: &Both, front: Front, name: &str, sql: &str) -> Child {
    let mut psql = both.psql(front, "trust", &["-c", sql]);
    psql.env("PGAPPNAME", name).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    psql.spawn().expect("the program starts")
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_activity_view_is_the_same_and_an_interrupt_ends_the_statement() {
    let both = Both::start();
    let shown = [(both.ours, "through pg-proxy"), (both.theirs, "through PgBouncer")].map(|(front, name)| {
        let psql = running(&both, front, name, "select pg_sleep(600)");
        let state =
            "state || ' ' || usename || ' ' || datname || ' ' || coalesce(wait_event, '') || ' ' || query";
        until("the statement runs", || both.activity("wait_event", name) == "PgSleep");
        let running = both.activity(state, name);
        let pid = i32::try_from(psql.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, Signal::INT).expect("our own process");
        let output = psql.wait_with_output().expect("the program can be waited for");
        (running, output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    });
    assert_eq!(shown[0], shown[1]);
    assert_eq!(shown[0].1, Some(1));
    assert!(shown[0].2.contains("canceling statement due to user request"), "{}", shown[0].2);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn when_a_client_disconnects_its_transaction_and_its_server_connection_end() {
    let both = Both::start();
    for (front, name) in [(both.ours, "left pg-proxy"), (both.theirs, "left PgBouncer")] {
        let parameters = [
            ("user", "trust"),
            ("database", front.database),
            ("application_name", name),
            ("client_encoding", "UTF8"),
        ];
        let mut client = Client::new(front.address);
        client.say(&startup_with(&parameters));
        client.until_ready();
        client.say(&crate::wire::query("begin; create table vanishing (); select 1"));
        client.until_ready();
        assert_eq!(both.activity("state", name), "idle in transaction");
        drop(client);
        until("the transaction is over", || {
            both.activity("count(*) filter (where state like '%transaction%')", name) == "0"
        });
        assert_eq!(both.asked("select to_regclass('vanishing') is null"), "t");
        until("the connection has ended", || both.activity("count(*)", name) == "0");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pgbouncer_keeps_the_servers_connection_and_the_proxy_closes_it() {
    let both = Both::start();
    for (front, kept) in [(both.ours, "0"), (both.theirs, "1")] {
        let parameters = [("user", "trust"), ("database", front.database)];
        let mut client = Client::new(front.address);
        client.say(&startup_with(&parameters));
        client.until_ready();
        client.say(&crate::wire::query("select pg_backend_pid()"));
        let answer = client.until_ready();
        let row = answer.iter().find(|frame| frame.code.0 == b'D').expect("a row");
        // Identifies the server connection by its process id. The application name is not usable for this, because PgBouncer resets it with
        // DISCARD ALL.
        let pid = String::from_utf8_lossy(&row.body[6..]).into_owned();
        let count = || both.asked(&format!("select count(*) from pg_stat_activity where pid = {pid}"));
        assert_eq!(count(), "1");
        client.say(&crate::wire::terminate());
        assert_eq!(client.rest(), b"");
        until("the connection is as expected", || count() == kept);
    }
}
