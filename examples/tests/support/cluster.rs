//! A database cluster for one test. The test may stop, copy and promote its server.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::support::{Ended, Server, finish, until};

/// Settings of every cluster. They keep the background processes from writing much WAL, so that almost all WAL is written by the test.
const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "autovacuum=off",
    "wal_level=replica",
    "checkpoint_timeout=1h",
    "max_wal_size=10GB",
    "shared_buffers=16MB",
];

/// The programs of a version of PostgreSQL, and the user that runs its servers.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) major: u8,
    clients: PathBuf,
    servers: PathBuf,
    user: (u32, u32),
}

impl Programs {
    /// Returns the programs of both versions.
    pub(crate) fn both() -> [Self; 2] {
        Server::both().map(|Server { major, socket_dir, .. }| {
            let directory = |name: &str| {
                let name = format!("PG{major}_{name}");
                let value = std::env::var_os(&name);
                PathBuf::from(value.unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test`")))
            };
            let owner = fs::metadata(socket_dir).expect("the directory of a running server");
            let (clients, servers) = (directory("CLIENT_BIN"), directory("SERVER_BIN"));
            Self { major, clients, servers, user: (owner.uid(), owner.gid()) }
        })
    }

    /// Returns a command that runs a client program.
    pub(crate) fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.clients.join(name));
        command.env("LC_ALL", "C");
        command
    }

    /// Returns a command that runs a program of the server, such as `initdb`, as the operating-system user that runs the servers.
    fn server(&self, name: &str) -> Command {
        let mut command = Command::new(self.servers.join(name));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        command.env("LD_LIBRARY_PATH", self.servers.join("../lib"));
        if geteuid().is_root() {
            command.uid(self.user.0).gid(self.user.1);
        }
        command
    }

    /// Gives a directory and all files in it to the user that runs the servers.
    pub(crate) fn hand_over(&self, directory: &Path) {
        if !geteuid().is_root() {
            return;
        }
        let (uid, gid) = self.user;
        let owner = format!("{uid}:{gid}");
        done(Command::new("chown").args(["-R", "-h", &owner]).arg(directory));
    }

    /// Makes a temporary directory for a cluster. The directory belongs to the user that runs the servers.
    pub(crate) fn directory(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("our directory");
        if geteuid().is_root() {
            chown(directory.path(), Some(self.user.0), Some(self.user.1)).expect("root may do so");
        }
        directory
    }
}

/// A running server. Dropping this value ends the server.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) programs: Programs,
    pub(crate) port: u16,
    directory: tempfile::TempDir,
    /// Settings of this cluster, which take precedence over `SETTINGS`.
    settings: Vec<String>,
    child: Child,
}

impl Cluster {
    /// Makes a cluster and starts its server. `segment` is the size of a WAL segment, in megabytes.
    pub(crate) fn new(programs: &Programs, segment: u32) -> Self {
        Self::with(programs, segment, &[])
    }

    /// Makes a cluster as [`Cluster::new`] does, and starts its server with further settings, each in the form `name=value`.
    pub(crate) fn with(programs: &Programs, segment: u32, settings: &[&str]) -> Self {
        let directory = programs.directory();
        let mut initdb = programs.server("initdb");
        initdb.args(["--username=admin", "--encoding=UTF8", "--no-locale", "--auth=trust", "--no-sync"]);
        initdb.arg(format!("--wal-segsize={segment}")).arg("--no-instructions").arg("--pgdata");
        done(initdb.arg(directory.path().join("data")));
        Self::start_with(programs, directory, settings)
    }

    /// Starts a server from the files in the subdirectory `data` of a directory.
    pub(crate) fn start(programs: &Programs, directory: tempfile::TempDir) -> Self {
        Self::start_with(programs, directory, &[])
    }

    /// Starts a server as [`Cluster::start`] does, with further settings.
    fn start_with(programs: &Programs, directory: tempfile::TempDir, settings: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let settings: Vec<String> = settings.iter().copied().map(String::from).collect();
        let child = spawn(programs, directory.path(), port, &settings);
        let mut cluster = Self { programs: programs.clone(), port, directory, settings, child };
        cluster.wait_until_ready();
        cluster
    }

    /// Starts a standby with these further settings. The standby is a second server: it starts from a copy of this server's files, and then
    /// receives this server's WAL. The standby's name in `synchronous_standby_names` is `standby`.
    pub(crate) fn standby(&self, settings: &[&str]) -> Self {
        let directory = self.programs.directory();
        let data = directory.path().join("data");
        let mut backup = self.client("pg_basebackup");
        done(backup.args(["-X", "stream", "-c", "fast", "--no-sync", "-R", "-D"]).arg(&data));
        self.programs.hand_over(&data);
        let upstream = format!(
            "primary_conninfo=host=127.0.0.1 port={} user=admin dbname=postgres application_name=standby",
            self.port
        );
        Self::start_with(&self.programs, directory, &[&[upstream.as_str()], settings].concat())
    }

    /// Makes this standby a primary, and waits until the server accepts changes.
    pub(crate) fn promote(&self) {
        self.sql("select pg_promote()");
        until("the standby is promoted", || self.sql("select pg_is_in_recovery()") == "f");
    }

    fn wait_until_ready(&mut self) {
        until("the server is ready", || {
            if let Some(status) = self.child.try_wait().expect("our child") {
                panic!("postgres ended with {status}:\n{}", self.log());
            }
            finish(&mut self.psql("select 1")).code == Some(0)
        });
    }

    /// Restarts the server on the same port, as `pg_ctl restart -m fast` does.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.child = spawn(&self.programs, self.directory.path(), self.port, &self.settings);
        self.wait_until_ready();
    }

    /// Ends the server at once, as `pg_ctl stop -m immediate` does. The server makes no checkpoint, and does not send the rest of the WAL
    /// to clients.
    pub(crate) fn stop_immediately(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::QUIT).expect("our child");
        wait(&mut self.child, "the server ends");
    }

    /// Returns the path of a new file in the cluster's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a directory that belongs to the user that runs the server.
    pub(crate) fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).expect("a directory");
        self.programs.hand_over(&path);
        path
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Returns the connection string of the server.
    pub(crate) fn url(&self) -> String {
        format!("postgres://admin@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Returns a command that runs a client program of PostgreSQL, with the options to connect to this server.
    pub(crate) fn client(&self, name: &str) -> Command {
        let mut command = self.programs.client(name);
        command.args(["-h", "127.0.0.1", "-U", "admin", "-p", &self.port.to_string()]);
        command
    }

    fn psql(&self, sql: &str) -> Command {
        let mut command = self.client("psql");
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", sql]);
        command
    }

    /// Runs SQL, and returns its output.
    pub(crate) fn sql(&self, sql: &str) -> String {
        done(&mut self.psql(sql)).trim_end().to_owned()
    }

    /// Runs statements in one session, each in its own transaction, and returns their output.
    pub(crate) fn sql_in_turn(&self, statements: &[&str]) -> String {
        let mut psql = self.psql("select");
        for statement in statements {
            psql.args(["-c", statement]);
        }
        done(&mut psql).trim_end().to_owned()
    }

    /// Inserts rows, so that the server writes about this many kilobytes of WAL.
    pub(crate) fn write_wal(&self, kilobytes: u32) {
        self.sql("create table if not exists filler (n int, t text)");
        self.sql(&format!(
            "insert into filler select g, repeat('x', 900) from generate_series(1, {kilobytes}) g"
        ));
    }

    /// Makes a replication slot. From now on, the server keeps the WAL for this slot.
    pub(crate) fn make_slot(&self, name: &str) {
        self.sql(&format!("select pg_create_physical_replication_slot('{name}', true)"));
    }

    /// Whether a client uses the slot.
    pub(crate) fn is_active(&self, slot: &str) -> bool {
        self.sql(&format!("select active from pg_replication_slots where slot_name = '{slot}'")) == "t"
    }

    /// Shuts the server down as `pg_ctl stop` does: the server ends after it has sent all WAL to the clients.
    pub(crate) fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("our child");
        let status = wait(&mut self.child, "the server ends");
        assert!(status.success(), "{status}: {}", self.log());
    }
}

/// Starts a server process, which writes its log to the file `log` in the directory.
fn spawn(programs: &Programs, directory: &Path, port: u16, settings: &[String]) -> Child {
    let mut postgres = programs.server("postgres");
    postgres.arg("-D").arg(directory.join("data")).args(["-p", &port.to_string(), "-k"]).arg(directory);
    for setting in SETTINGS.into_iter().chain(settings.iter().map(String::as_str)) {
        postgres.args(["-c", setting]);
    }
    let log = File::options().create(true).append(true).open(directory.join("log")).expect("created");
    postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    postgres.spawn().expect("postgres starts")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // If the test has not stopped the server, ends it at once.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::QUIT);
            let _ = self.child.wait();
        }
    }
}

/// A running client program. Dropping this value kills the program.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        Self(child.expect("the program starts"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("our child");
    }

    /// Waits for the end of the program.
    pub(crate) fn ended(mut self) -> Ended {
        let status = wait(&mut self.0, "the client ends");
        let mut stderr = String::new();
        let pipe = self.0.stderr.take().expect("a pipe");
        std::io::Read::read_to_string(&mut { pipe }, &mut stderr).expect("text");
        Ended { code: status.code(), stdout: String::new(), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(child: &mut Child, what: &str) -> ExitStatus {
    let mut status = None;
    until(what, || {
        status = child.try_wait().expect("our child");
        status.is_some()
    });
    status.expect("the process has ended")
}

/// Runs a program that has to succeed, and returns its standard output.
#[track_caller]
pub(crate) fn done(command: &mut Command) -> String {
    let ended = finish(command);
    assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
    ended.stdout
}
