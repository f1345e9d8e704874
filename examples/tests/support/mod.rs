//! What the tests of programs share: where the servers are, and running a program to its end.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a program may take. The slowest takes a second on an idle machine; one that hangs is ended.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Where a server is.
#[derive(Debug)]
pub(crate) struct Server {
    /// PostgreSQL's major version.
    pub(crate) major: u8,
    /// Where it listens by TCP.
    pub(crate) address: SocketAddr,
    /// The directory of its Unix-domain socket.
    pub(crate) socket_dir: String,
}

impl Server {
    /// The oldest server and the newest. Without them a test fails: it is never passed over.
    pub(crate) fn both() -> [Self; 2] {
        [15, 18].map(|major| {
            let variable = |name: &str| {
                let name = format!("PG{major}_{name}");
                std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
            };
            let address = variable("ADDR").parse().expect("an address and a port");
            Self { major, address, socket_dir: variable("SOCKET_DIR") }
        })
    }

    /// A connection string by TCP, for the role that proves itself with SCRAM.
    pub(crate) fn by_tcp(&self) -> String {
        format!("postgres://scram:scram-secret@{}/test", self.address)
    }

    /// The same by the Unix-domain socket.
    pub(crate) fn by_socket(&self) -> String {
        let (dir, port) = (self.socket_dir.replace('/', "%2F"), self.address.port());
        format!("postgres://scram:scram-secret@{dir}:{port}/test")
    }
}

/// What a program has said and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote to standard output.
    pub(crate) stdout: String,
    /// What it wrote to standard error.
    pub(crate) stderr: String,
}

/// Runs a program with these arguments, and without a `DATABASE_URL` of ours.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Ended {
    finish(Command::new(program).args(arguments).env_remove("DATABASE_URL"))
}

/// Runs a program to its end; one that hangs is killed, and fails the test.
pub(crate) fn finish(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = output(command);
    let text = |bytes| String::from_utf8(bytes).expect("programs write UTF-8");
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// As [`finish`], for a program that does not write UTF-8.
pub(crate) fn output(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    let pid = child.id();
    let (send, ended) = mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output()));
    match ended.recv_timeout(PATIENCE) {
        Ok(output) => output.expect("a program of ours can be waited for"),
        Err(_) => {
            let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            panic!("{command:?} did not end within {PATIENCE:?} (kill: {killed:?})");
        }
    }
}
