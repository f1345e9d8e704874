//! Tests of `--record`. `pg-proxy` records the conversation of a client and a server. Then `mock_server --replay` plays the server's
//! messages to the same client.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pg_stream_tokio::{Config, PgProtocol};
use pg_wire::backend::Backend;

use crate::process::{Proxy, until};
use crate::support::{Ended, Server, finish};
use crate::wire::{Client, polite_server, query};

/// A running `mock_server`. Dropping this value kills the process.
struct Double {
    child: Child,
    address: SocketAddr,
}

impl Double {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mock_server"));
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut first = String::new();
        let stderr = child.stderr.take().expect("a pipe");
        BufReader::new(stderr).read_line(&mut first).expect("text");
        let address = first.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{first}"));
        Self { address: address.parse().expect("an address"), child }
    }

    fn replaying(recording: &Path, more: &[&str]) -> Self {
        Self::start(&[&["--replay", recording.to_str().expect("a path in UTF-8")], more].concat())
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Logs in as `mock` with the password `secret`, and sends these queries. Returns the server's version, and then the rows and errors.
fn ask(address: SocketAddr, queries: &[&str]) -> Result<Vec<String>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let config = format!("postgres://mock:secret@{address}/x?sslmode=disable");
    let config: Config = config.parse().expect("valid");
    let session = async {
        let (mut conn, session) =
            pg_stream_tokio::connect(&config).await.map_err(|error| error.to_string())?;
        let mut seen = vec![session.parameters.get("server_version").unwrap_or_default().to_owned()];
        for &sql in queries {
            conn.query(sql).flush().await.map_err(|error| error.to_string())?;
            loop {
                match conn.recv().await.map_err(|error| error.to_string())?.backend().expect("well-formed") {
                    Backend::DataRow(row) => seen.push(format!("{row:?}")),
                    Backend::ErrorResponse(error) if error.fields.is_fatal() => {
                        return Err(error.to_owned().to_string());
                    }
                    Backend::ErrorResponse(error) => seen.push(error.to_owned().to_string()),
                    Backend::ReadyForQuery(_) => break,
                    _ => {}
                }
            }
        }
        conn.terminate().close().await.map_err(|error| error.to_string())?;
        Ok(seen)
    };
    runtime.block_on(session)
}

/// Stops the proxy, so that all recordings are complete.
fn stop(proxy: Proxy) {
    assert_eq!(proxy.stop().code, Some(0));
}

#[test]
fn a_recording_is_played_to_the_same_client_and_has_no_password() {
    for method in ["cleartext", "md5", "scram"] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("recording");
        let upstream = Double::start(&["--auth", method]);
        let proxy = Proxy::with(upstream.address, &["--record", file.to_str().expect("a path in UTF-8")]);
        let queries = ["select 1; select '\n\"'", "insert", ""];
        let seen = ask(proxy.address(), &queries).expect("a session");
        assert_eq!(seen.len(), 8, "{seen:?}");
        stop(proxy);
        drop(upstream);
        let text = fs::read_to_string(&file).expect("a recording");
        // The recording must contain the role `mock`. It must not contain the password, or values that are computed from the password.
        assert!(text.contains("\"mock\"") && !text.contains("secret"), "{text}");
        let secrets: Vec<&str> =
            text.lines().filter(|line| line.starts_with("F") && line.contains("SSS")).collect();
        for line in text.lines().filter(|line| line.contains("SASL") || line.contains("PasswordMessage")) {
            assert!(
                line.contains("BBBB") || line.contains("SSSS") || line.contains("SCRAM-SHA-256"),
                "{line}"
            );
            assert!(!line.contains("r=") && !line.contains("p=") && !line.contains("v="), "{line}");
        }
        assert_eq!(secrets.len(), usize::from(method != "scram"), "{text}");
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);

        let double = Double::replaying(&file, &["--auth", "scram"]);
        assert_eq!(ask(double.address, &queries).as_ref(), Ok(&seen), "{text}");
        // Checks that a second connection also gets the recording, again from its beginning.
        assert_eq!(ask(double.address, &queries).as_ref(), Ok(&seen));
        let error = ask(double.address, &["select 2"]).expect_err("another query");
        assert!(error.contains("of the transcript: expected F") && error.contains("select 2"), "{error}");
    }
}

#[test]
fn each_connection_has_its_own_recording() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    for (name, files) in [("a", ["a", "a.2"]), ("b-%d", ["b-1", "b-2"])] {
        let proxy = Proxy::with(polite_server(), &["--record", &path(name)]);
        for sql in ["first", "second"] {
            let mut client = Client::let_in(proxy.address());
            client.say(&query(sql));
            client.until_ready();
            drop(client);
        }
        stop(proxy);
        for (file, sql) in files.into_iter().zip(["first", "second"]) {
            let text = fs::read_to_string(path(file)).expect("a recording");
            let line = format!("F\t{}\tQuery\t \"{sql}\"\n", sql.len() + 5);
            assert!(text.contains(&line) && text.contains("\nF\tclose\n"), "{text}");
        }
    }
    let ended = crate::support::run(
        env!("CARGO_BIN_EXE_pg-proxy"),
        &["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--record", &path("missing/file")],
    );
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("cannot write") && ended.stderr.contains("missing/file"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_recording_that_cannot_be_played_is_an_error_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("recording");
    fs::write(&file, "B ReadyForQuery I\nB DataRow *\n").expect("a file");
    let program = env!("CARGO_BIN_EXE_mock_server");
    let ended = finish(Command::new(program).args(["--listen", "127.0.0.1:0", "--replay"]).arg(&file));
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("line 2 of the transcript: the wildcard * cannot be sent"),
        "{}",
        ended.stderr
    );
}

/// Script for psql with text, bytes, NULL, errors, notices, and COPY in both directions.
const SCRIPT: &str = r#"\set VERBOSITY verbose
select 'quote " and '' and \ and
F Query "x"
B ReadyForQuery I' as text, '\x4142ff00'::bytea as bytes, null as nothing, 'ü' as "strange ""name""";
create temp table t (id int, note text);
copy t from stdin;
1	first line\nsecond
2	\N
\.
copy t to stdout;
select count(*), sum(id) from t;
select 1 / 0;
do $$ begin raise notice 'a "notice"'; end $$;
select g, repeat('x', g) from generate_series(1, 200) g;
"#;

/// Python program that uses psycopg and the extended protocol: prepared statements, binary parameters, a pipeline, a cursor on the server.
const PSYCOPG: &str = r#"
import os, psycopg
with psycopg.connect(os.environ["URL"], autocommit=True) as conn:
    print(conn.info.server_version, conn.info.parameter_status("server_encoding"))
    for number in range(8):
        row = conn.execute("select %s::int + 1, %s, %b::bytea", (number, "it's \"it\"", b"\\x41\x00")).fetchone()
        print(row)
    with conn.pipeline():
        cursors = [conn.execute("select %s * 2", (number,)) for number in range(20)]
    print([cursor.fetchone() for cursor in cursors])
    try:
        conn.execute("select * from no_such_table")
    except psycopg.Error as error:
        print(error)
    with conn.transaction(), conn.cursor(name="c") as cursor:
        cursor.execute("select g from generate_series(1, 30) g")
        print(cursor.fetchmany(7), sum(row[0] for row in cursor))
"#;

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_recording_of_a_driver_is_played_to_the_driver_without_a_server() {
    for server in Server::both() {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
        };
        let psql = format!("{}/psql", variable(&format!("PG{}_CLIENT_BIN", server.major)));
        let directory = tempfile::tempdir().expect("a directory");
        let script = directory.path().join("script.sql");
        fs::write(&script, SCRIPT).expect("a file");
        let run_psql = |address: SocketAddr| {
            let url = format!("postgres://scram:scram-secret@{address}/test?sslmode=disable");
            let mut command = Command::new(&psql);
            command.env_clear().env("LC_ALL", "C.UTF-8").args(["-X", "-f"]).arg(&script).arg(url);
            finish(&mut command)
        };
        let run_psycopg = |address: SocketAddr| {
            let url = format!("postgres://scram:scram-secret@{address}/test?sslmode=disable");
            finish(Command::new(variable("PSYCOPG_PYTHON")).env("URL", url).args(["-c", PSYCOPG]))
        };
        let drivers: [(&str, &dyn Fn(SocketAddr) -> Ended); 2] =
            [("psql", &run_psql), ("psycopg", &run_psycopg)];
        for (name, run) in drivers {
            let file = directory.path().join(name);
            let proxy = Proxy::with(server.address, &["--record", file.to_str().expect("a path in UTF-8")]);
            let live = run(proxy.address());
            assert_eq!(live.code, Some(0), "{name}: {}", live.stderr);
            assert!(live.stdout.lines().count() > 10, "{name}: {}", live.stdout);
            let recording = || fs::read_to_string(&file).unwrap_or_default();
            until("the end is recorded", || recording().contains("\nB\tclose\n"));
            stop(proxy);
            assert!(!recording().contains("scram-secret"));

            let login = ["--auth", "scram", "--user", "scram", "--password", "scram-secret"];
            let double = Double::replaying(&file, &login);
            assert_eq!(run(double.address), live, "{name}, PostgreSQL {}", server.major);
        }
    }
}
