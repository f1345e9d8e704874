//! Tests with clients of other projects. Through the proxy, a client must have the same result as without the proxy.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Proxy, until};
use crate::support::{Server, finish, output, run};

/// Test set-up: a server, a proxy in front of it, a new database, and the directory of the client programs of the server's version.
struct Lab {
    server: Server,
    proxy: Proxy,
    bin: PathBuf,
    database: String,
    directory: tempfile::TempDir,
}

impl Lab {
    /// Creates a set-up for each version of the server.
    fn both() -> [Self; 2] {
        Server::both().map(|server| {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let variable = format!("PG{}_CLIENT_BIN", server.major);
            let bin = std::env::var(&variable);
            let bin = bin.unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"));
            let database = format!("proxy_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
            let proxy = Proxy::start(server.address);
            let directory = tempfile::tempdir().expect("a directory");
            let lab = Self { server, proxy, bin: bin.into(), database, directory };
            lab.create(&lab.database);
            lab
        })
    }

    /// Creates a database. Drops an existing database of this name first.
    fn create(&self, database: &str) {
        for sql in [
            format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
            format!("CREATE DATABASE {database}"),
        ] {
            let done = finish(self.directly("psql").args(["-X", "-d", "postgres", "-c", &sql]));
            assert_eq!(done.code, Some(0), "{}", done.stderr);
        }
    }

    /// Returns a command that runs a client program through the proxy.
    fn client(&self, program: &str) -> Command {
        self.program(program, "127.0.0.1", self.proxy.address().port())
    }

    /// Returns a command that runs a client program without the proxy.
    fn directly(&self, program: &str) -> Command {
        self.program(program, "127.0.0.1", self.server.address.port())
    }

    fn program(&self, program: &str, host: &str, port: u16) -> Command {
        let path = self.bin.join(program);
        assert!(path.exists(), "{} is missing", path.display());
        let mut command = Command::new(path);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        // TLS would hide the messages from the proxy, so TLS is off.
        command.env("PGHOST", host).env("PGPORT", port.to_string()).env("PGSSLMODE", "disable");
        command.env("PGUSER", "admin").env("PGDATABASE", &self.database).env("PGAPPNAME", &self.database);
        command.current_dir(self.directory.path());
        command
    }

    /// Runs SQL by psql without the proxy, and returns the output.
    fn asked(&self, sql: &str) -> String {
        done(self.directly("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])).trim_end().into()
    }

    /// Runs a script by psql through the proxy, and returns the output.
    fn script(&self, script: &str) -> String {
        let file = self.path("script.sql");
        fs::write(&file, script).expect("a file");
        done(self.client("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Stops the proxy. Checks that the proxy has passed on all messages unchanged, and that its trace contains a message like each of
    /// `lines`.
    #[track_caller]
    fn saw(self, lines: &[&str]) {
        let trace = self.proxy.trace();
        for line in lines {
            assert!(trace.lines().any(|traced| is_like(traced, line)), "no {line} in the trace");
        }
        self.proxy.was_faithful();
    }
}

/// Whether a line of the trace has the direction and the message name of `line`, such as `B CopyData`.
fn is_like(traced: &str, line: &str) -> bool {
    let mut fields = traced.split('\t');
    let (direction, name) = (fields.next(), fields.nth(1));
    line.split_once(' ').is_some_and(|(who, what)| direction == Some(who) && name == Some(what))
}

/// Runs a program, which must succeed, and returns its output.
#[track_caller]
fn done(command: &mut Command) -> String {
    let ended = finish(command);
    assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
    ended.stdout
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, signal).expect("our own process");
}

/// Starts a program with pipes for its output.
fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// Waits for the end of a program.
fn ended(child: Child) -> Output {
    child.wait_with_output().expect("the program can be waited for")
}

fn is_same(one: &Path, other: &Path) -> bool {
    fs::read(one).expect("a file") == fs::read(other).expect("a file")
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn psql_copies_a_file_in_and_out_again() {
    for lab in Lab::both() {
        let lines: String =
            (0..20_000).map(|n| format!("{n}\tline {n}, \\\\ and \\t and caf\u{e9}\n")).collect();
        fs::write(lab.path("in"), lines).expect("a file");
        lab.script(
            "create table lines (n int, line text);\n\
             \\copy lines from 'in'\n\
             \\copy (select * from lines order by n) to 'out'\n\
             \\copy lines to 'binary' with (format binary)\n\
             truncate lines;\n\
             \\copy lines from 'binary' with (format binary)\n\
             \\copy (select * from lines order by n) to 'again'\n",
        );
        assert!(is_same(&lab.path("in"), &lab.path("out")));
        assert!(is_same(&lab.path("in"), &lab.path("again")));
        // Every second line of the file is invalid, so the server ends the COPY with an error while psql still sends data.
        fs::write(lab.path("bad"), "1\tfine\nnot a number\tbad\n".repeat(5000)).expect("a file");
        let refused = finish(lab.client("psql").args(["-X", "-c", "\\copy lines from 'bad'"]));
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("invalid input syntax for type integer"), "{}", refused.stderr);
        lab.saw(&[
            "B CopyInResponse",
            "B CopyOutResponse",
            "F CopyData",
            "B CopyData",
            "F CopyDone",
            "B CopyDone",
        ]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn psql_is_interrupted_and_the_statement_is_cancelled() {
    for lab in Lab::both() {
        let psql = spawn(lab.client("psql").args(["-X", "-c", "select pg_sleep(600)"]));
        let active = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)' \
                      and wait_event = 'PgSleep' and datname = current_database()";
        until("the statement runs", || lab.asked(active) == "1");
        signal(&psql, Signal::INT);
        let output = ended(psql);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("canceling statement due to user request"), "{said}");
        lab.saw(&["F CancelRequest", "B ErrorResponse"]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn psql_repeats_a_statement_with_watch() {
    for lab in Lab::both() {
        fs::write(lab.path("watch.sql"), "select 'seen' \\watch 0.01\n").expect("a file");
        let mut psql = spawn(lab.client("psql").args(["-XAt", "-f", "watch.sql"]));
        let lines = BufReader::new(psql.stdout.take().expect("a pipe")).lines();
        let seen = lines.map_while(Result::ok).filter(|line| line == "seen").take(5).count();
        assert_eq!(seen, 5);
        signal(&psql, Signal::INT);
        drop(ended(psql));
        lab.saw(&["F Query", "B DataRow"]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pgbench_runs_in_every_mode() {
    for lab in Lab::both() {
        done(lab.client("pgbench").args(["-i", "-q", "-s", "1"]));
        for mode in ["simple", "extended", "prepared"] {
            let arguments = ["-n", "-c", "16", "-j", "2", "-t", "25", "-M", mode];
            let printed = done(lab.client("pgbench").args(arguments));
            assert!(printed.contains("number of transactions actually processed: 400/400"), "{printed}");
        }
        let sums = "select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts), \
                    sum(delta) = (select sum(bbalance) from pgbench_branches) from pgbench_history";
        assert_eq!(lab.asked(sums), "1200|t|t");
        lab.saw(&[
            "F Parse",
            "F Bind",
            "F Describe",
            "F Execute",
            "F Sync",
            "B ParseComplete",
            "B BindComplete",
        ]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_dump_is_restored_to_the_same_database() {
    for lab in Lab::both() {
        done(lab.client("pgbench").args(["-i", "-q", "-s", "1", "--foreign-keys"]));
        lab.script(
            "create table odd (id int primary key, b bytea, t text, n numeric, j jsonb, a text[]);\n\
             insert into odd select i, decode(md5(i::text), 'hex'), repeat('\u{e9}\\', i), i / 7.0, \
                 jsonb_build_object('i', i), array['a', null, i::text] from generate_series(1, 500) i;\n\
             create view odder as select * from odd where id % 2 = 1;\n\
             create function twice(int) returns int language sql as 'select 2 * $1';\n\
             select lo_from_bytea(0, decode(repeat('00ff', 5000), 'hex'));\n",
        );
        let restored = format!("{}_restored", lab.database);
        lab.create(&restored);
        let mut dump = lab.client("pg_dump");
        let mut dump = dump.args(["-Fc", "-Z0"]).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut restore = lab.client("pg_restore");
        restore.args(["--exit-on-error", "-d", &restored]);
        let pipe = dump.stdout.take().expect("a pipe");
        let restore = restore.stdin(pipe).stderr(Stdio::piped()).spawn().expect("the program starts");
        let output = ended(restore);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(dump.wait().expect("the program can be waited for").success());

        let plain = |mut command: Command, database: &str| {
            let text = done(command.args(["-d", database]));
            // The lines with \restrict and \unrestrict are not compared: pg_dump writes a new random key in them each time.
            let same = |line: &&str| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
            text.lines().filter(same).map(|line| format!("{line}\n")).collect::<String>()
        };
        let before = plain(lab.directly("pg_dump"), &lab.database);
        assert!(before.len() > 100_000);
        assert!(
            before == plain(lab.directly("pg_dump"), &restored),
            "what was restored is not what was dumped"
        );
        assert!(
            before == plain(lab.client("pg_dump"), &lab.database),
            "a dump is not the same through the proxy"
        );
        let dropped = format!("DROP DATABASE {restored}");
        done(lab.directly("psql").args(["-X", "-d", "postgres", "-c", &dropped]));
        lab.saw(&["B CopyOutResponse", "B CopyInResponse", "F CopyData", "B CopyData"]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_base_backup_is_complete() {
    for mut lab in Lab::both() {
        // Uses a proxy without a trace here. The trace would have 250 MB, and other tests trace the same kinds of messages.
        lab.proxy = Proxy::with(lab.server.address, &["--check"]);
        let arguments =
            ["-D", "backup", "-X", "stream", "-c", "fast", "--no-sync", "--manifest-checksums=SHA256"];
        done(lab.client("pg_basebackup").args(arguments));
        let verified = done(lab.client("pg_verifybackup").arg("backup"));
        assert!(verified.contains("backup successfully verified"), "{verified}");
        assert!(lab.proxy.was_faithful() > 1000);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_received_wal_is_the_same_as_the_servers() {
    for lab in Lab::both() {
        let slot = ["-S", &lab.database];
        done(lab.client("pg_receivewal").args(slot).arg("--create-slot"));
        let mut receive = lab.client("pg_receivewal");
        let receive = spawn(receive.args(slot).args(["-D", ".", "--no-loop", "--synchronous"]));
        let active = format!("select active from pg_replication_slots where slot_name = '{}'", lab.database);
        until("it receives", || lab.asked(&active) == "t");
        lab.asked("create table filler as select repeat('x', 1000) from generate_series(1, 1000)");
        let name = lab.asked("select pg_walfile_name(pg_switch_wal())");
        until("the segment is there", || lab.path(&name).exists());
        signal(&receive, Signal::INT);
        let output = ended(receive);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let theirs = lab.asked(&format!("select md5(pg_read_binary_file('pg_wal/{name}'))"));
        let ours = done(Command::new("md5sum").arg(lab.path(&name)));
        assert_eq!(ours.split(' ').next(), Some(theirs.as_str()));
        done(lab.client("pg_receivewal").args(slot).arg("--drop-slot"));
        lab.saw(&["B CopyBothResponse", "B CopyData", "F CopyData", "F CopyDone", "B CopyDone"]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn decoded_changes_are_received() {
    for lab in Lab::both() {
        let base = ["-d", &lab.database, "-S", &format!("{}_changes", lab.database)];
        done(lab.client("pg_recvlogical").args(base).args(["--create-slot", "-P", "test_decoding"]));
        lab.script("create table t (n int, x text); insert into t select i, 'x' || i from generate_series(1, 1000) i;");
        let end = lab.asked("select pg_current_wal_insert_lsn()");
        lab.asked("select pg_logical_emit_message(true, 'end', 'of it')");
        let arguments = ["--start", "--no-loop", "--endpos", &end, "-f", "-", "-o", "skip-empty-xacts=1"];
        let printed = done(lab.client("pg_recvlogical").args(base).args(arguments));
        let rows = printed.lines().filter(|line| line.starts_with("table public.t: INSERT: ")).count();
        assert_eq!(rows, 1000, "{printed}");
        assert!(printed.contains("n[integer]:1000 x[text]:'x1000'"));
        done(lab.client("pg_recvlogical").args(base).arg("--drop-slot"));
        lab.saw(&["B CopyBothResponse", "B CopyData", "F CopyData"]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn large_objects_are_imported_and_exported_by_function_calls() {
    for lab in Lab::both() {
        let bytes: Vec<u8> = (0..300_000u32).flat_map(|n| n.to_be_bytes()).collect();
        fs::write(lab.path("in"), bytes).expect("a file");
        let printed = lab.script("\\lo_import 'in'\n\\lo_export :LASTOID 'out'\n\\lo_unlink :LASTOID\n");
        assert!(is_same(&lab.path("in"), &lab.path("out")), "{printed}");
        lab.saw(&["F FunctionCall", "B FunctionCallResponse"]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn notifications_are_received() {
    for lab in Lab::both() {
        let printed = lab.script("listen news;\nnotify news, 'it works';\nselect 1;\n");
        assert!(
            printed.contains("Asynchronous notification \"news\" with payload \"it works\" received"),
            "{printed}"
        );
        lab.saw(&["B NotificationResponse"]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn psycopg_works_in_a_pipeline() {
    let python = std::env::var("PSYCOPG_PYTHON").expect("PSYCOPG_PYTHON is not set: run `cargo xtask test`");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/pipeline.py");
    for lab in Lab::both() {
        let address = lab.proxy.address();
        let conninfo = format!(
            "host=127.0.0.1 port={} user=scram password=scram-secret dbname=test sslmode=disable",
            address.port()
        );
        assert_eq!(done(Command::new(&python).args([program, &conninfo])), "ok\n");
        lab.saw(&[
            "F SASLInitialResponse",
            "F SASLResponse",
            "F Flush",
            "F Bind",
            "B ErrorResponse",
            "F CopyFail",
        ]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_example_programs_print_the_same_output() {
    for lab in Lab::both() {
        // TLS would hide the messages from the proxy, so TLS is off.
        let direct = format!("{}?sslmode=disable", lab.server.by_tcp());
        let through = direct.replace(&lab.server.address.to_string(), &lab.proxy.address().to_string());
        for (name, program) in [
            ("prepared", env!("CARGO_BIN_EXE_prepared")),
            ("function_call", env!("CARGO_BIN_EXE_function_call")),
            ("pipeline", env!("CARGO_BIN_EXE_pipeline")),
            ("copy", env!("CARGO_BIN_EXE_copy")),
            ("notify", env!("CARGO_BIN_EXE_notify")),
            ("cancel", env!("CARGO_BIN_EXE_cancel")),
            ("values", env!("CARGO_BIN_EXE_values")),
        ] {
            let ended = run(program, &[&through]);
            assert_eq!(ended, run(program, &[&direct]), "{name}");
            assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        }
        lab.saw(&["F SASLInitialResponse", "F FunctionCall", "F CancelRequest", "B NotificationResponse"]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn every_login_method_works_and_no_secret_is_in_the_trace() {
    for lab in Lab::both() {
        for (role, secret) in [
            ("trust", ""),
            ("cleartext", "cleartext-secret"),
            ("md5", "md5-secret"),
            ("scram", "scram-secret"),
        ] {
            let mut psql = lab.client("psql");
            psql.env("PGUSER", role).env("PGPASSWORD", secret).args([
                "-XAt",
                "-d",
                "test",
                "-c",
                "select user",
            ]);
            assert_eq!(done(&mut psql), format!("{role}\n"));
            let refused = finish(psql.env("PGPASSWORD", "hunter2"));
            assert_eq!(refused.code, Some(if role == "trust" { 0 } else { 2 }), "{}", refused.stderr);
        }
        let trace = lab.proxy.trace();
        assert!(!trace.contains("-secret") && !trace.contains("hunter2"), "a secret in the trace");
        lab.saw(&["B AuthenticationCleartextPassword", "B AuthenticationMD5Password", "F PasswordMessage"]);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn clients_work_through_a_proxy_that_does_not_decode() {
    for lab in Lab::both() {
        let proxy = Proxy::with(lab.server.address, &["--raw"]);
        let mut pgbench = lab.program("pgbench", "127.0.0.1", proxy.address().port());
        done(pgbench.args(["-i", "-q", "-s", "1"]));
        let mut dump = lab.program("pg_dump", "127.0.0.1", proxy.address().port());
        let (through, direct) = (output(&mut dump).stdout, output(&mut lab.directly("pg_dump")).stdout);
        let rows =
            |text: &[u8]| text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"\\")).count();
        assert_eq!((through.len(), rows(&through)), (direct.len(), rows(&direct)));
        let stopped = proxy.stop();
        assert_eq!((stopped.code, stopped.said), (Some(0), vec![]));
        let [connections, decoded, _, not_decoded] = stopped.counts;
        // Each of the two programs connects at least once. With --raw, the proxy decodes at most the first messages of each connection, up
        // to AuthenticationOk.
        assert!(
            connections >= 2 && not_decoded == connections && decoded <= 4 * connections,
            "{:?}",
            stopped.counts
        );
    }
}
