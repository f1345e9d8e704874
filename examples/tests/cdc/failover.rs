//! Tests in which the server restarts, or in which a standby replaces the primary, while a client inserts rows.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::cluster::{Cluster, Programs};
use crate::process::{Running, command, parse, wait_until_in};
use crate::resuming::ids;
use crate::support::{finish, until};

/// Settings of a server with logical replication. A standby reports its WAL position to the primary every second.
const SETTINGS: [&str; 2] = ["wal_level=logical", "wal_receiver_status_interval=1"];

/// A running `pg-cdc`, which follows the table `t`, and the directory of its files.
#[derive(Debug)]
struct Following {
    running: Running,
    dir: TempDir,
}

impl Following {
    fn start(ports: &[u16]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let url = format!(
            "postgres://admin@{}/postgres?sslmode=disable&target_session_attrs=read-write",
            hosts.join(",")
        );
        let mut program = command(&[&url, "--publication", "p", "--slot", "s", "--create-slot", "--quiet"]);
        program.arg("--out").arg(dir.path().join("out")).arg("--state").arg(dir.path().join("state"));
        Self { running: Running::start(&mut program), dir }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// Inserts a last row, waits until the program has written the row, and stops the program by SIGTERM.
    ///
    /// The exit code must be 0. The program must have written each row of the table exactly once, and no row of `acknowledged` may be
    /// missing.
    #[track_caller]
    fn finish(self, server: &Cluster, acknowledged: &[i64]) {
        server.sql("insert into t values (-1)");
        wait_until_in(&self.out(), "\"id\":-1}");
        self.running.signal("-TERM");
        let (code, stderr) = self.running.wait();
        assert_eq!(code, Some(0), "{stderr}");
        let written = written(&self.dir.path().join("out"));
        let stored = server.sql("select id from t order by id");
        let stored: Vec<i64> = stored.lines().map(|id| id.parse().expect("a number")).collect();
        assert_eq!(written, stored);
        let missing = acknowledged.iter().find(|id| written.binary_search(id).is_err());
        assert_eq!(missing, None, "{} rows, {stderr}", written.len());
        eprintln!("{} rows acknowledged, {} rows written: {stderr}", acknowledged.len(), written.len());
    }
}

/// Returns the ids of all inserted rows in the output, in ascending order.
fn written(out: &Path) -> Vec<i64> {
    let text = std::fs::read_to_string(out).expect("the file is UTF-8");
    let mut written = ids(&parse(&text));
    written.sort_unstable();
    written
}

/// A client that inserts rows with psql.
#[derive(Debug, Default)]
struct Client {
    /// Ids of the rows whose insertion a server has acknowledged.
    acknowledged: Mutex<Vec<i64>>,
    is_done: AtomicBool,
}

impl Client {
    /// Inserts one row after the other with psql, until [`Client::is_done`] is true. Does not repeat a failed insertion.
    fn insert(&self, programs: &Programs, ports: &[u16]) {
        let hosts = vec!["127.0.0.1"; ports.len()].join(",");
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        let target = format!(
            "host={hosts} port={} user=admin dbname=postgres target_session_attrs=read-write connect_timeout=5",
            ports.join(",")
        );
        for id in 1.. {
            if self.is_done.load(Ordering::Relaxed) {
                return;
            }
            let sql = format!("insert into t values ({id})");
            let mut psql: Command = programs.client("psql");
            if finish(psql.args(["-XAtq", "-d", &target, "-c", &sql])).code == Some(0) {
                self.acknowledged.lock().expect("no panic").push(id);
            }
        }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().expect("no panic").len()
    }

    /// Waits until `count` further rows are acknowledged.
    #[track_caller]
    fn wait_for(&self, count: usize) {
        let before = self.count();
        until("the client inserts", || self.count() >= before + count);
    }

    /// Runs `work` while the client inserts rows, and returns the ids of the acknowledged rows.
    fn during(self, programs: &Programs, ports: &[u16], work: impl FnOnce(&Self)) -> Vec<i64> {
        /// Ends the client when dropped, so that the client also ends if the test panics.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        thread::scope(|scope| {
            scope.spawn(|| self.insert(programs, ports));
            let _end = End(&self.is_done);
            work(&self);
        });
        self.acknowledged.into_inner().expect("no panic")
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn each_row_is_written_exactly_once_while_the_server_restarts() {
    for programs in Programs::both() {
        let mut cluster = Cluster::with(&programs, 16, &SETTINGS);
        cluster.sql("create table t (id bigint primary key)");
        cluster.sql("create publication p for table t");
        let ports = [cluster.port];
        let following = Following::start(&ports);
        until("the program follows", || cluster.is_active("s"));
        let acknowledged = Client::default().during(&programs, &ports, |client| {
            for _ in 0..2 {
                client.wait_for(20);
                cluster.restart();
            }
            client.wait_for(20);
        });
        following.finish(&cluster, &acknowledged);
    }
}

/// Before the primary acknowledges a COMMIT, it waits for the standby (`synchronous_standby_names`). Before the primary sends a transaction
/// to the program, it waits for the standby too (`synchronized_standby_slots`). So no acknowledged or written row is lost when the standby
/// replaces the primary.
#[test]
#[ignore = "needs servers: cargo xtask test"]
fn each_acknowledged_row_is_written_exactly_once_when_a_standby_replaces_the_primary() {
    let [_, programs] = Programs::both();
    let mut primary = Cluster::with(&programs, 16, &SETTINGS);
    primary.sql("create table t (id bigint primary key)");
    primary.sql("create publication p for table t");
    primary.make_slot("standby");
    let of_standby = ["primary_slot_name=standby", "hot_standby_feedback=on", "sync_replication_slots=on"];
    let standby = primary.standby(&[&SETTINGS[..], &of_standby].concat());
    for name in ["synchronous_standby_names", "synchronized_standby_slots"] {
        primary.sql(&format!("alter system set {name} = 'standby'"));
    }
    primary.sql("select pg_reload_conf()");

    let ports = [primary.port, standby.port];
    let following = Following::start(&ports);
    until("the program follows", || primary.is_active("s"));
    let acknowledged = Client::default().during(&programs, &ports, |client| {
        until("the standby has a copy of the slot", || {
            // Writes a WAL record that lists the running transactions. Without such a record after the slot's position, the standby cannot
            // decode the WAL after this position, and drops its copy of the slot.
            primary.sql("select pg_log_standby_snapshot()");
            let sql = "select count(*) from pg_replication_slots where slot_name = 's' and synced and not temporary";
            standby.sql(sql) == "1"
        });
        client.wait_for(50);
        primary.stop_immediately();
        standby.promote();
        client.wait_for(50);
    });
    following.finish(&standby, &acknowledged);
}
