//! Tests that compare `pg-query` with `psql`. With the same input, both programs must have the same exit status, output and error text, and
//! the same row in the server's view `pg_stat_activity`.

#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use support::Server;

const PG_QUERY: &str = env!("CARGO_BIN_EXE_pg-query");

/// One of the two programs that are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Program {
    PgQuery,
    Psql,
}

/// Selects which parts of the two results must be equal.
#[derive(Clone, Copy, Debug)]
enum Compared {
    /// Exit status, standard output and standard error must be equal.
    All,
    /// Exit status and standard output must be equal. Standard error may differ, but must contain this text for both programs.
    Reported(&'static str),
    /// Exit status and standard error must be equal. Standard output must differ: the first text is pg-query's output, the second text is
    /// psql's output.
    Differs(&'static str, &'static str),
}

/// One comparison of the two programs: their input, and the parts of their results that must be equal.
struct Row {
    name: &'static str,
    /// Connection string. The test replaces the last `@` by the address of the server if the character before it is `@` or a comma, as in
    /// `postgres://trust@@/test`.
    url: &'static str,
    sql: &'static str,
    stdin: &'static str,
    environment: &'static [(&'static str, &'static str)],
    compared: Compared,
}

const URL: &str = "postgres://scram:scram-secret@@/test";

const fn row(name: &'static str, sql: &'static str) -> Row {
    Row { name, url: URL, sql, stdin: "", environment: &[], compared: Compared::All }
}

/// Creates a row in which the login fails. Both programs must print an error that contains `reported`.
const fn refused(name: &'static str, url: &'static str, reported: &'static str) -> Row {
    let compared = Compared::Reported(reported);
    Row { url, compared, ..row(name, "SELECT 1") }
}

/// SQL that returns the row of the view `pg_stat_activity` for the session that executes this SQL.
const VIEW: &str = "SELECT usename, datname, application_name, state, query, backend_type, client_addr, \
                    current_setting('client_encoding'), current_setting('geqo'), \
                    (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) \
                    FROM pg_stat_activity WHERE pid = pg_backend_pid()";

const ROWS: &[Row] = &[
    row("values", "SELECT 1, NULL, 'é', '', 1.50, true, '\\xdead'::bytea, E'a\tb'"),
    // pg-query prints an empty line for each row; psql prints no line.
    Row {
        compared: Compared::Differs("\n\n\n", ""),
        ..row("no columns", "SELECT FROM generate_series(1, 3)")
    },
    row(
        "several statements",
        "SELECT 1; CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (2) RETURNING a, 'x'; SELECT 3",
    ),
    row("nothing", ""),
    row("semicolons", " ; ;; "),
    row("a comment", "-- nothing"),
    row("an error with a position", "SELECT é, nothing FROM (SELECT 1 AS é) AS x"),
    row("an error in a later line", "SELECT 1,\n  2,\n\tnothing"),
    row("an error at the end", "SELECT ("),
    // pg-query prints each row when the row arrives. psql prints the rows of a result only after the whole result has arrived.
    Row {
        compared: Compared::Differs("1\n2\n3\n6\n", "1\n"),
        ..row("an error after rows", "SELECT 1; SELECT 6 / n FROM generate_series(3, 0, -1) AS n")
    },
    row("an error in a transaction", "BEGIN; SELECT 1; SELECT 1 / 0; COMMIT"),
    row(
        "an exception with details",
        "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'XY123', DETAIL = 'more', HINT = 'less'; END $$",
    ),
    row("an error in a query inside a DO block", "DO $$ BEGIN EXECUTE 'SELECT nothing'; END $$"),
    row(
        "notices",
        "DO $$ BEGIN RAISE NOTICE 'by the way' USING DETAIL = 'more'; RAISE WARNING E'two\nlines'; END $$; SELECT 1",
    ),
    row("a COMMIT without a transaction", "COMMIT; SELECT 1"),
    row(
        "COPY TO STDOUT",
        "COPY (SELECT n, NULL, E'a\tb' FROM generate_series(1, 3) AS n) TO STDOUT; SELECT 4",
    ),
    Row { stdin: "1\n2\n", ..row("COPY FROM STDIN", "COPY beside_copy FROM STDIN") },
    row("the rows of the COPY", "SELECT a, count(*) FROM beside_copy GROUP BY a ORDER BY a"),
    Row { stdin: "3\nx\n", ..row("COPY of invalid data", "COPY beside_copy FROM STDIN") },
    row("no rows of the rejected COPY", "SELECT count(*) FROM beside_copy WHERE a = 3"),
    row("the activity view", VIEW),
    Row {
        url: "postgres://scram:scram-secret@@/test?sslmode=disable",
        ..row("the activity view without TLS", VIEW)
    },
    Row {
        environment: &[("PGAPPNAME", "till"), ("PGOPTIONS", "-c geqo=off"), ("PGCLIENTENCODING", "LATIN1")],
        ..row("the activity view with settings of the environment", VIEW)
    },
    Row {
        url: "postgres://scram:scram-secret@@/test?client_encoding=LATIN1",
        ..row("another encoding", "SELECT U&'\\0041'")
    },
    Row {
        url: "",
        environment: &[
            ("PGUSER", "scram"),
            ("PGPASSWORD", "scram-secret"),
            ("PGDATABASE", "test"),
            ("PGHOST", "127.0.0.1"),
        ],
        ..row("the environment alone", VIEW)
    },
    Row { url: "postgres://scram@@/test", ..row("a password file", VIEW) },
    Row { url: "service=till", ..row("a service file", VIEW) },
    Row {
        url: "postgres://scram:scram-secret@127.0.0.1:1,@/test",
        ..row("a host that is down, followed by a host that is up", "SELECT 1")
    },
    Row {
        url: "postgres://scram:scram-secret@@/test?target_session_attrs=read-write",
        ..row("a session that may write", "SELECT 1")
    },
    refused(
        "a session that may only read",
        "postgres://scram:scram-secret@@/test?target_session_attrs=read-only",
        "session is not read-only",
    ),
    refused(
        "a database that does not exist",
        "postgres://scram:scram-secret@@/nowhere",
        "database \"nowhere\" does not exist",
    ),
    refused(
        "a wrong password",
        "postgres://scram:hunter2@@/test",
        "password authentication failed for user \"scram\"",
    ),
    refused("a host that is down", "postgres://scram@127.0.0.1:1/test", "Connection refused"),
    refused("a parameter that does not exist", "postgres://scram@@/test?colour=red", "\"colour\""),
    refused(
        "a start-up parameter that is refused",
        "postgres://scram:scram-secret@@/test?client_encoding=NOTHING",
        "NOTHING",
    ),
    Row {
        compared: Compared::Reported("terminating connection due to administrator command"),
        ..row("a session that is ended", "DO $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); END $$")
    },
];

/// The result of a program, in a form that can be compared.
#[derive(Debug, PartialEq, Eq)]
struct End {
    code: Option<i32>,
    signal: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Set-up of a comparison: a server, the psql of the server's version, and a home directory for pg-query and psql.
struct Place<'s> {
    server: &'s Server,
    psql: String,
    home: tempfile::TempDir,
}

impl<'s> Place<'s> {
    fn new(server: &'s Server) -> Self {
        let variable = format!("PG{}_PSQL", server.major);
        let psql = std::env::var(&variable)
            .unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"));
        let home = tempfile::tempdir().expect("a directory");
        let (host, port) = (server.address.ip(), server.address.port());
        let passwords = home.path().join(".pgpass");
        fs::write(&passwords, format!("{host}:{port}:test:scram:scram-secret\n")).expect("a file");
        fs::set_permissions(&passwords, fs::Permissions::from_mode(0o600)).expect("a mode");
        let service =
            format!("[till]\nhost={host}\nport={port}\nuser=scram\npassword=scram-secret\ndbname=test\n");
        fs::write(home.path().join(".pg_service.conf"), service).expect("a file");
        Self { server, psql, home }
    }

    fn url(&self, template: &str) -> String {
        let (user, place) = template.rsplit_once('@').unwrap_or((template, ""));
        if place.is_empty() && user == template {
            return template.into();
        }
        format!(
            "{user}{}{place}",
            if user.ends_with(['@', ',']) { self.server.address.to_string() } else { "@".into() }
        )
    }

    /// Returns a command that runs the program with this SQL, without settings from the environment of the tests.
    fn command(&self, program: Program, url: &str, sql: &str) -> Command {
        let mut command = match program {
            Program::PgQuery => Command::new(PG_QUERY),
            Program::Psql => Command::new(&self.psql),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG") && !name.contains('_')) {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.home.path()).env("PGPORT", self.server.address.port().to_string());
        command.env("PGAPPNAME", "beside");
        match program {
            Program::PgQuery => command.args([url, sql]),
            Program::Psql => command.args([
                "-XqAt",
                "-F",
                "\t",
                "-P",
                "null=\\N",
                "-v",
                "VERBOSITY=verbose",
                url,
                "-c",
                sql,
            ]),
        };
        command
    }

    fn end(&self, program: Program, row: &Row) -> End {
        let mut command = self.command(program, &self.url(row.url), row.sql);
        command.envs(row.environment.iter().copied());
        let mut child = start(&mut command);
        child.stdin.take().expect("a pipe").write_all(row.stdin.as_bytes()).expect("the program reads");
        let mut end = wait(child);
        if program == Program::Psql {
            end.stderr = comparable(&end.stderr);
        }
        end
    }

    /// Waits until the server has exactly this number of sessions of pg-query and psql.
    fn until_sessions(&self, wanted: usize) {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'beside' AND pid <> pg_backend_pid()";
        let url = self.url("postgres://admin@@/test");
        loop {
            let seen = wait(start(&mut self.command(Program::Psql, &url, count)));
            if seen.stdout == format!("{wanted}\n") {
                return;
            }
            assert_eq!(seen.code, Some(0), "{}", seen.stderr);
        }
    }
}

fn start(command: &mut Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn wait(child: Child) -> End {
    let output = child.wait_with_output().expect("the program ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    End { code: output.status.code(), signal: output.status.signal(), stdout, stderr }
}

/// Removes text that only psql prints on standard error: lines that begin with LOCATION, and the code 00000.
fn comparable(stderr: &str) -> String {
    let lines = stderr.lines().filter(|line| !line.starts_with("LOCATION:  "));
    lines.map(|line| line.replacen(":  00000: ", ":  ", 1) + "\n").collect()
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pg_query_and_psql_have_the_same_results() {
    assert!(ROWS.len() >= 30, "{} comparisons", ROWS.len());
    let mut differing = Vec::new();
    for server in &Server::both() {
        let place = Place::new(server);
        let prepare = "DROP TABLE IF EXISTS beside_copy; CREATE TABLE beside_copy (a int)";
        let prepared = wait(start(&mut place.command(Program::PgQuery, &place.url(URL), prepare)));
        assert_eq!(prepared.code, Some(0), "{}", prepared.stderr);
        for row in ROWS {
            let (ours, theirs) = (place.end(Program::PgQuery, row), place.end(Program::Psql, row));
            let same = match row.compared {
                Compared::All => ours == theirs,
                Compared::Differs(of_ours, of_theirs) => {
                    (ours.code, ours.signal, &ours.stderr) == (theirs.code, theirs.signal, &theirs.stderr)
                        && (ours.stdout.as_str(), theirs.stdout.as_str()) == (of_ours, of_theirs)
                }
                Compared::Reported(reported) => {
                    let both = ours.stderr.contains(reported) && theirs.stderr.contains(reported);
                    both && (ours.code, ours.signal, &ours.stdout)
                        == (theirs.code, theirs.signal, &theirs.stdout)
                }
            };
            if !same {
                differing.push(format!("{} ({}):\n  {ours:?}\n  {theirs:?}", row.name, server.major));
            }
        }
        // Checks that both programs end their sessions.
        place.until_sessions(0);
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// Returns a table name that contains the name of the program and the process id. So tests that run at the same time use different tables.
fn table(program: Program) -> String {
    format!("beside_{program:?}_{}", std::process::id()).to_lowercase()
}

/// In this test, the reader of the output closes the pipe early. Both programs must still receive the whole result, so that the server
/// commits the statement. After that, SIGPIPE kills psql, and pg-query exits with the status of the statement.
#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pg_query_and_psql_finish_the_statement_when_the_reader_closes() {
    for server in &Server::both() {
        let place = Place::new(server);
        let url = place.url(URL);
        for (program, ending) in [(Program::PgQuery, (Some(0), None)), (Program::Psql, (None, Some(13)))] {
            let table = table(program);
            let create = format!("CREATE TABLE {table} AS SELECT generate_series(1, 1000) AS a");
            assert_eq!(wait(start(&mut place.command(program, &url, &create))).code, Some(0));
            // The result does not fit into the pipe, so the program is still writing when the reader closes the pipe.
            let sql = format!("UPDATE {table} SET a = 0 RETURNING repeat('x', 10000)");
            let mut child = start(&mut place.command(program, &url, &sql));
            let mut stdout = child.stdout.take().expect("a pipe");
            stdout.read_exact(&mut [0]).expect("the first byte");
            drop(stdout);
            let end = wait(child);
            assert_eq!((end.code, end.signal), ending, "{program:?}: {}", end.stderr);
            let left = wait(start(&mut place.command(
                program,
                &url,
                &format!("SELECT sum(a), count(*) FROM {table}"),
            )));
            assert_eq!(left.stdout, "0\t1000\n", "{program:?}");
            let dropped = wait(start(&mut place.command(program, &url, &format!("DROP TABLE {table}"))));
            assert_eq!(dropped.code, Some(0), "{program:?}");
        }
        place.until_sessions(0);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pg_query_and_psql_cancel_the_statement_on_ctrl_c() {
    let sql = "DO $$ BEGIN RAISE NOTICE 'asleep'; PERFORM pg_sleep(3600); END $$";
    for server in &Server::both() {
        let place = Place::new(server);
        for program in [Program::PgQuery, Program::Psql] {
            let mut child = start(&mut place.command(program, &place.url(URL), sql));
            let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
            let mut notice = String::new();
            stderr.read_line(&mut notice).expect("a notice");
            assert_eq!(comparable(&notice), "NOTICE:  asleep\n", "{program:?}");
            place.until_sessions(1);
            let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            assert!(sent.expect("the program kill is installed").success());
            let said = thread::spawn(move || {
                let mut said = String::new();
                stderr.read_to_string(&mut said).map(|_| said)
            });
            let end = wait(child);
            let said = said.join().expect("a reader does not panic").expect("UTF-8");
            assert_eq!((end.code, end.stdout.as_str()), (Some(1), ""), "{program:?}");
            assert!(
                said.contains("ERROR:  57014: canceling statement due to user request\n"),
                "{program:?}: {said}"
            );
            place.until_sessions(0);
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pg_query_and_psql_read_sql_longer_than_an_argument_from_a_file() {
    for server in &Server::both() {
        let place = Place::new(server);
        let file = place.home.path().join("long.sql");
        fs::write(&file, format!("SELECT length('{}')", "x".repeat(200_000))).expect("a file");
        let ends = [Program::PgQuery, Program::Psql].map(|program| {
            let mut command = place.command(program, &place.url(URL), "");
            wait(start(&mut replaced(&mut command, program, &file)))
        });
        assert_eq!(ends[0], ends[1]);
        assert_eq!(ends[0].stdout, "200000\n");
    }
}

/// Returns a copy of a command with `--file` in place of the SQL.
fn replaced(command: &mut Command, program: Program, file: &Path) -> Command {
    let mut arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    arguments.pop();
    if program == Program::Psql {
        arguments.pop();
    }
    let mut other = Command::new(command.get_program());
    other.args(arguments).arg("--file").arg(file);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}
