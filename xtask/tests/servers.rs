//! Tests of the test servers: the login of each role, and the removal of all processes and files after xtask has ended in any way.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

/// A server's answer to a StartupMessage: the code of the message and, for an authentication request, the number of the request's kind.
type Answer = (u8, Option<u32>);

/// AuthenticationOk: the role needs no password.
const OK: Answer = (b'R', Some(0));

/// ErrorResponse: the role is rejected.
const REJECTED: Answer = (b'E', None);

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn each_role_authenticates_by_its_method_and_other_roles_are_rejected() {
    for major in [15, 18] {
        let server = Found::from(&environment(), major);
        for (role, answer) in [
            ("admin", OK),
            ("trust", OK),
            ("cleartext", (b'R', Some(3))),
            ("md5", (b'R', Some(5))),
            ("scram", (b'R', Some(10))),
            ("saslprep", (b'R', Some(10))),
            ("tls_only", REJECTED),
            ("cert", REJECTED),
            ("certscram", REJECTED),
            ("postgres", REJECTED),
            ("somebody", REJECTED),
        ] {
            let by_tcp = TcpStream::connect(server.address).expect("PostgreSQL listens by TCP");
            assert_eq!(ask(by_tcp, role), answer, "{role} by TCP, PostgreSQL {major}");
            let by_socket = UnixStream::connect(server.socket()).expect("PostgreSQL listens by socket");
            assert_eq!(ask(by_socket, role), answer, "{role} by socket, PostgreSQL {major}");
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn after_sigterm_no_server_and_no_file_is_left() {
    let temporary = temporary();
    let mut owner = Serving::start(&temporary);
    owner.signal(Signal::TERM);
    let status = owner.child.wait().expect("our child");
    assert!(status.success(), "{status}");
    // The servers must have ended, and their directory must be removed, before the process of xtask ends.
    assert!(owner.is_gone());
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn after_sigkill_the_watcher_removes_the_servers() {
    let temporary = temporary();
    let mut owner = Serving::start(&temporary);
    let watcher = pidfd_open(owner.watcher(), PidfdFlags::empty()).expect("the watcher runs");
    owner.signal(Signal::KILL);
    owner.child.wait().expect("our child");
    // `poll` reports a pidfd as readable when its process has ended.
    let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&watcher, PollFlags::IN)], Some(&limit)).expect("a descriptor");
    assert_eq!(ended, 1, "the watcher still runs");
    assert!(owner.is_gone(), "the directory {} or its servers still exist", owner.home().display());
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_next_run_clears_the_directory_of_a_killed_run_and_its_killed_watcher() {
    let temporary = temporary();
    let mut first = Serving::start(&temporary);
    kill_process(first.watcher(), Signal::KILL).expect("the watcher runs");
    first.signal(Signal::KILL);
    first.child.wait().expect("our child");
    assert!(!first.is_gone(), "the servers are gone already, so the test shows nothing");
    let mut second = Serving::start(&temporary);
    assert!(first.is_gone());
    assert!(!second.is_gone(), "the directory of the running servers was cleared too");
    second.signal(Signal::INT);
    second.child.wait().expect("our child");
    assert!(second.is_gone());
}

/// The addresses of a server, from environment variables.
#[derive(Debug)]
struct Found {
    address: SocketAddr,
    socket_dir: PathBuf,
}

impl Found {
    fn from(variables: &HashMap<String, String>, major: u8) -> Self {
        let variable = |name: &str| {
            let name = format!("PG{major}_{name}");
            assert!(variables.contains_key(&name), "{name} is not set: run `cargo xtask test`");
            &variables[&name]
        };
        let address = variable("ADDR").parse().expect("an address and a port");
        Self { address, socket_dir: variable("SOCKET_DIR").into() }
    }

    fn socket(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{}", self.address.port()))
    }
}

/// A running `cargo xtask serve`. Dropping this value ends the process.
#[derive(Debug)]
struct Serving {
    child: Child,
    servers: Vec<Found>,
    /// The address of each server process.
    addresses: Vec<SocketAddr>,
}

impl Serving {
    /// Starts `xtask serve` with its own `TMPDIR`, so that no other run of xtask removes its directory.
    fn start(temporary: &TempDir) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("serve").env("TMPDIR", temporary.path());
        let messages = temporary.path().join("messages");
        let stderr = File::options().create(true).append(true).open(&messages).expect("a file");
        command.stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().expect("xtask starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        // `serve` prints all variables at once. `PG18_URL` is the last variable of a server; only variables of client programs follow.
        let mut variables = HashMap::new();
        for line in stdout.lines().map_while(Result::ok) {
            let (name, value) = line.split_once('=').expect("a variable");
            variables.insert(name.to_owned(), value.to_owned());
            if name == "PG18_URL" {
                break;
            }
        }
        assert!(
            variables.contains_key("PG18_URL"),
            "`xtask serve` has ended: {}",
            fs::read_to_string(&messages).unwrap_or_default()
        );
        let servers = [15, 18].map(|major| Found::from(&variables, major)).into();
        let addresses = variables.iter().filter(|(name, _)| name.ends_with("_ADDR"));
        let addresses: Vec<SocketAddr> = addresses.map(|(_, value)| value.parse().expect(value)).collect();
        // The eight servers: PostgreSQL 15 and 18, a spare server of each version, the KDC, PgBouncer, Pgpool-II and PGlite.
        assert_eq!(addresses.len(), 8, "{variables:?}");
        assert!(addresses.iter().all(listens));
        Self { child, servers, addresses }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process has not been waited for");
    }

    /// The directory that contains the directories of all servers.
    fn home(&self) -> &Path {
        self.servers[0].socket_dir.parent().expect("a parent directory")
    }

    /// The watcher: the child process of xtask with the argument `watch`, which removes the directory if xtask is killed.
    fn watcher(&self) -> Pid {
        let owner = self.child.id();
        let children = fs::read_to_string(format!("/proc/{owner}/task/{owner}/children")).expect("/proc");
        let watches = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(b"watch")
        };
        let watcher = children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(watches);
        watcher.and_then(Pid::from_raw).expect("a watcher")
    }

    /// Whether the directory is removed and no server listens.
    fn is_gone(&self) -> bool {
        !self.home().exists() && !self.addresses.iter().any(listens)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // After a failed test, `serve` may still be running, so it is killed here. The watcher of `serve` then stops the servers.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process listens on the address.
fn listens(address: &SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// A directory that the servers' user can enter, with a path that is short enough for Unix sockets.
fn temporary() -> TempDir {
    let everybody = Permissions::from_mode(0o755);
    tempfile::Builder::new().permissions(everybody).tempdir_in("/tmp").expect("a temporary directory")
}

/// The environment variables of this test. `cargo xtask test` has set the addresses of the servers.
fn environment() -> HashMap<String, String> {
    std::env::vars().collect()
}

/// Sends a StartupMessage for a role, and reads the beginning of the server's answer.
fn ask(mut stream: impl Read + Write, role: &str) -> Answer {
    let body = format!("\0\x03\0\0user\0{role}\0database\0postgres\0\0");
    let length = u32::try_from(body.len() + 4).expect("short");
    stream.write_all(&[length.to_be_bytes().as_slice(), body.as_bytes()].concat()).expect("sent");
    let mut head = [0; 9];
    stream.read_exact(&mut head).expect("an answer");
    let [tag, _, _, _, _, code @ ..] = head;
    (tag, (tag == b'R').then(|| u32::from_be_bytes(code)))
}
